//! The `sns-server` binary.
fn main() {}
