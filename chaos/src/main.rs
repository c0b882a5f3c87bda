//! The `sns-chaos` command.

fn main() {}
