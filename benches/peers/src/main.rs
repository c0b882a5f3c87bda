//! The `sns-peers` command.

fn main() -> std::process::ExitCode {
    sns_peers::main()
}
