//! A pair: two processes that watch each other.

pub mod machine;
pub mod process;
