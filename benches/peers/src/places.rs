//! Where programs, directories and ports of a run come from.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use crate::failure::{Doing as _, Failure, Result};

/// From `linux/magic.h`: a file system in memory.
const TMPFS: i64 = 0x0102_1994;
/// From `linux/magic.h`: the older one.
const RAMFS: i64 = 0x8584_58f6;

/// A program from one of `dirs` or `PATH`; `hint` says what brings it.
pub(crate) fn program(name: &str, dirs: &[&str], hint: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    dirs.iter()
        .map(PathBuf::from)
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| Failure(format!("{name} is not installed: {hint}")))
}

/// Checks that a sync in `dir` reaches a disk: else all durable figures would be worthless.
///
/// # Errors
/// `dir` cannot be looked at, or lies in memory.
pub fn check_disk(dir: &Path) -> Result<()> {
    let stat = rustix::fs::statfs(dir).doing(format_args!("look at {}", dir.display()))?;
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_lossless,
        reason = "its width differs between platforms"
    )]
    let kind = stat.f_type as i64;
    if kind == TMPFS || kind == RAMFS {
        return Err(Failure(format!(
            "{} lies in memory, where a sync costs nothing: name a directory on a disk with --dir",
            dir.display()
        )));
    }
    Ok(())
}

/// A port of loopback that is free now. Somebody may take it before it is used: start again then.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("find a free port")?;
    let address = listener.local_addr().doing("find a free port")?;
    Ok(address.port())
}

/// What a program says to `--version`.
pub(crate) fn version(program: &Path) -> Result<String> {
    let output = std::process::Command::new(program)
        .arg("--version")
        .output()
        .doing(format_args!("run {}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
