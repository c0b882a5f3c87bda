//! The `sns-server` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    sns_server::cli::main()
}
