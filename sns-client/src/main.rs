//! The `sns` binary.
fn main() {}
