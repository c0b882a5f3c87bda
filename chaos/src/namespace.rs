//! A disk that can be full: the run goes on inside a mount namespace of its own, where the data
//! lies on a small tmpfs that nobody else sees.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use crate::failure::{Doing as _, Failure, Result};

/// Set inside: where the tmpfs is.
pub(crate) const MOUNT: &str = "SNS_CHAOS_MOUNT";
/// Large enough for a short run, small enough to be filled at once.
const SIZE: &str = "512m";

/// Whether a disk of our own is possible here.
pub(crate) fn is_possible(mount: &Path) -> bool {
    let probe = inside(mount, "true").stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}

/// Runs this very command again with its data on a small tmpfs.
///
/// # Errors
/// It is refused here, or this program cannot be started again.
pub(crate) fn run_inside(mount: &Path) -> Result<ExitCode> {
    let me = std::env::current_exe().doing("find this program")?;
    let status = inside(mount, "exec \"$@\"")
        .arg("sns-chaos")
        .arg(me)
        .args(std::env::args_os().skip(1))
        .status();
    let status = status.doing("run `unshare`")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let code = code.ok_or_else(|| Failure(format!("the run ended with {status}")))?;
    Ok(ExitCode::from(code))
}

fn inside(mount: &Path, then: &str) -> Command {
    let script = format!("mount -t tmpfs -o size={SIZE} none \"${MOUNT}\" && {then}");
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .env(MOUNT, mount);
    command
}
