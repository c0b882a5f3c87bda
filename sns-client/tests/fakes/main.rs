//! The library and `sns` against servers that fail on demand.

mod calls;
mod cli;
mod fake;
mod pages;
mod streams;
mod term;
mod top;
