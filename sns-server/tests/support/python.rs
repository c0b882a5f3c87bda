//! A Python with grpcio: the system's, or an environment that is made once beside the build.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "every test takes what it needs"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const IMPORTS: &str = "import grpc, grpc_tools.protoc";

/// Whether this Python has what the client needs.
fn has_grpc(python: &Path) -> bool {
    Command::new(python)
        .args(["-c", IMPORTS])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn find() -> Result<PathBuf, String> {
    let system = PathBuf::from("python3");
    if has_grpc(&system) {
        return Ok(system);
    }
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-grpc");
    let python = home.join("bin/python3");
    if has_grpc(&python) {
        return Ok(python);
    }
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let output = output.map_err(|e| format!("{}: {e}", program.display()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "{} {arguments:?}: {}",
            program.display(),
            String::from_utf8_lossy(&output.stderr)
        ))
    };
    run(&system, &["-m", "venv", home.to_str().unwrap()])?;
    let install = ["-m", "pip", "install", "--quiet", "grpcio", "grpcio-tools"];
    run(&python, &install)?;
    has_grpc(&python)
        .then_some(python)
        .ok_or_else(|| "grpcio was installed and cannot be imported".to_owned())
}

/// Python or grpcio missing: says so, and the test passes on a developer's machine; with `CI=true` it
/// fails.
pub fn python() -> Option<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(find) {
        Ok(python) => Some(python.clone()),
        Err(why) => {
            let ci = std::env::var("CI").is_ok_and(|value| value == "true");
            assert!(!ci, "no Python with grpcio: {why}");
            eprintln!("SKIPPED: no Python with grpcio, so this was NOT tested: {why}");
            None
        }
    }
}
