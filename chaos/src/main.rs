//! The `sns-chaos` command.

fn main() -> std::process::ExitCode {
    sns_chaos::main()
}
