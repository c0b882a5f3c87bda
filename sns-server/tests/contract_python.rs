//! The contract is enough for a client in another language: Python with grpcio, its stubs made
//! from `proto/` alone, against a real process.
//!
//! Python or grpcio missing: the test says so and passes on a developer's machine; with `CI=true`
//! it fails.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/server.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::Server;
use tempfile::TempDir;

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

/// A Python with grpcio: the system's, or an environment that is made once beside the build.
fn python() -> Result<PathBuf, String> {
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

#[tokio::test]
async fn a_python_client_made_from_the_contract_does_everything() {
    let python = match tokio::task::spawn_blocking(python).await.unwrap() {
        Ok(python) => python,
        Err(why) => {
            let ci = std::env::var("CI").is_ok_and(|value| value == "true");
            assert!(!ci, "no Python with grpcio: {why}");
            eprintln!("SKIPPED: no Python with grpcio, the contract was NOT tested: {why}");
            return;
        }
    };
    let data = TempDir::new().unwrap();
    let scratch = TempDir::new().unwrap();
    let server = Server::start(data.path()).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let client = Command::new(python)
        .arg(root.join("tests/python/client.py"))
        .arg(&server.address)
        .arg(root.join("../proto"))
        .arg(scratch.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ended = tokio::task::spawn_blocking(move || client.wait_with_output());
    let output = tokio::time::timeout(3 * support::PATIENCE, ended);
    let output = output.await.expect("the client hangs").unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said == "ok\n",
        "{said}\n{complained}"
    );
}
