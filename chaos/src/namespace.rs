//! A disk that can be full: the run goes on inside a mount namespace of its own, where the data
//! lies on a small tmpfs that nobody else sees.

use std::path::Path;
use std::process::{ExitCode, Stdio};

use tokio::process::Command;

use crate::failure::{Doing as _, Failure, Result};

/// Set inside: where the tmpfs is.
pub(crate) const MOUNT: &str = "SNS_CHAOS_MOUNT";
/// Set inside: where to put what is worth keeping, since the tmpfs goes away with the process.
pub(crate) const KEEP: &str = "SNS_CHAOS_KEEP";
/// Large enough for a short run, small enough to be filled at once.
const SIZE: &str = "512m";

/// Whether a disk of our own is possible here.
pub(crate) async fn is_possible() -> bool {
    let Ok(mount) = tempfile::tempdir() else {
        return false;
    };
    let probe = inside(mount.path(), "true").stderr(Stdio::null()).status();
    probe.await.is_ok_and(|status| status.success())
}

/// Runs this very command again with its data on a small tmpfs. `stop` ends it early, and it
/// stops what it started.
///
/// # Errors
/// It is refused here, or this program cannot be started again.
pub(crate) async fn run_inside(stop: impl Future<Output = Failure>) -> Result<ExitCode> {
    let me = std::env::current_exe().doing("find this program")?;
    let mount = tempfile::tempdir().doing("make a temporary directory")?;
    let keep = tempfile::Builder::new().prefix("sns-chaos-").tempdir();
    let keep = keep.doing("make a temporary directory")?;
    let mut run = inside(mount.path(), "exec \"$@\"");
    run.arg("sns-chaos")
        .arg(me)
        .args(std::env::args_os().skip(1));
    let mut run = run.env(KEEP, keep.path()).spawn().doing("run `unshare`")?;
    let ended = tokio::select! {
        ended = run.wait() => ended,
        _ = stop => {
            if let Some(pid) = run.id().and_then(|pid| i32::try_from(pid).ok()) {
                let pid = rustix::process::Pid::from_raw(pid);
                pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
            }
            run.wait().await
        }
    };
    let status = ended.doing("wait for the run")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let code = code.ok_or_else(|| Failure(format!("the run ended with {status}")))?;
    if code != 0 {
        drop(keep.keep());
    }
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
