//! The `sns-server` binary.

use std::process::ExitCode;

/// Values are made by one thread and freed by another all the time: glibc's allocator spends a third
/// of an import on its locks then.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sns_server::cli::main()
}
