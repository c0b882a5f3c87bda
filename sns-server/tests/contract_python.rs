//! The contract is enough for a client in another language: Python with grpcio, its stubs made
//! from `proto/` alone, against a real process.
//!
//! Python or grpcio missing: the test says so and passes on a developer's machine; with `CI=true`
//! it fails.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support"]
mod support {
    pub(crate) mod python;
    pub(crate) mod server;
}

use std::path::Path;
use std::process::{Command, Stdio};

use support::python::python;
use support::server::{PATIENCE, Server};
use tempfile::TempDir;

#[tokio::test]
async fn a_python_client_made_from_the_contract_does_everything() {
    let Some(python) = tokio::task::spawn_blocking(python).await.unwrap() else {
        return;
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
    let output = tokio::time::timeout(3 * PATIENCE, ended);
    let output = output.await.expect("the client hangs").unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said == "ok\n",
        "{said}\n{complained}"
    );
}
