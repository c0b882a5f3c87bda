//! The `sns-peers` command.

fn main() {}
