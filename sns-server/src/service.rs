//! The tonic services, one a file: decode, call the core, encode. No rules live here.

pub mod status;
