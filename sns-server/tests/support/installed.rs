//! The program as a package installs it: a file of its own that is replaced by rename while it runs.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "every test takes what it needs"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use sns_server::run_file::{NodeFile, nodes};
use tempfile::TempDir;

use super::cluster::{PROGRAM, leftovers, pause, rows, until};

/// Device and inode of the file that `pid` runs.
pub fn runs(pid: u32) -> (u64, u64) {
    let file = fs::metadata(format!("/proc/{pid}/exe")).unwrap();
    (file.dev(), file.ino())
}

/// Copies the program. Not in this process: a child that another test starts meanwhile would have the
/// file open for writing for a moment, and what is written to cannot be run.
fn copy(to: &Path) {
    let done = Command::new("cp").arg(PROGRAM).arg(to).status().unwrap();
    assert!(done.success());
}

/// A directory with the program in it.
pub struct Installed {
    dir: TempDir,
}

impl Installed {
    pub fn new() -> Self {
        // Beside the build, where programs may be run and copies are cheap.
        let beside = PathBuf::from(PROGRAM).parent().unwrap().to_owned();
        let dir = tempfile::Builder::new()
            .prefix("installed-")
            .tempdir_in(beside)
            .unwrap();
        copy(&dir.path().join("sns-server"));
        Self { dir }
    }

    pub fn program(&self) -> PathBuf {
        self.dir.path().join("sns-server")
    }

    /// Device and inode of the program on disk.
    pub fn file(&self) -> (u64, u64) {
        let file = fs::metadata(self.program()).unwrap();
        (file.dev(), file.ino())
    }

    /// An upgrade: another file under the same name.
    pub fn replace(&self) {
        let new = self.dir.path().join(".new");
        copy(&new);
        fs::rename(new, self.program()).unwrap();
    }

    /// An upgrade that went wrong: something that is no program.
    pub fn spoil(&self) {
        let new = self.dir.path().join(".new");
        fs::write(&new, b"not a program\n").unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.program()).unwrap();
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        Command::new(self.program())
            .args(args)
            .env_remove("SNS_ROUTER")
            .env_remove("SNS_DATA")
            .output()
            .unwrap()
    }

    /// Starts it by hand, as a child whose stdout is read.
    pub fn start(&self, args: &[&str]) -> ByHand {
        let child = Command::new(self.program())
            .args(args)
            .env_remove("SNS_ROUTER")
            .env_remove("SNS_DATA")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        ByHand(child)
    }

    /// `up` with so many pairs, once it serves.
    pub fn up(&self, pairs: u32) -> Service {
        self.up_with(&["--servers", &pairs.to_string()])
    }

    /// `up` with these flags, once it serves.
    pub fn up_with(&self, flags: &[&str]) -> Service {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data").to_str().unwrap().to_owned();
        let mut up = Command::new(self.program())
            .args(["up", "--listen", "127.0.0.1:0"])
            .args(["--data", &data])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(dir.path().join("up.err")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        // Nobody reads it from here on: what takes its place must not mind.
        BufReader::new(up.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line
            .trim_end()
            .strip_prefix("router ")
            .unwrap_or_default()
            .to_owned();
        let service = Service { up, url, data, dir };
        assert!(
            !service.url.is_empty(),
            "{line:?}; {}",
            service.complaints()
        );
        service
    }
}

/// A process that was started by hand; killed at the end of the test.
pub struct ByHand(pub Child);

impl ByHand {
    pub fn first_line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What an installed `up` started; nothing of it outlives the test.
pub struct Service {
    pub up: Child,
    pub url: String,
    pub data: String,
    dir: TempDir,
}

impl Service {
    pub fn node_dir(&self, node: &str) -> PathBuf {
        PathBuf::from(&self.data).join("nodes").join(node)
    }

    pub fn pid(&self, node: &str) -> u32 {
        until(&format!("{node} runs"), || {
            let id = NodeFile::read(&self.node_dir(node))?.process?;
            id.is_alive().then_some(id.pid)
        })
    }

    /// What the router says of `node`.
    pub fn row(&self, node: &str) -> Option<Value> {
        let status = super::cluster::run(&["status", "--json", "--router", &self.url]);
        rows(&status).into_iter().find(|row| row["name"] == node)
    }

    pub fn log(&self, node: &str) -> String {
        fs::read_to_string(self.node_dir(node).join("server.log")).unwrap_or_default()
    }

    pub fn complaints(&self) -> String {
        fs::read_to_string(self.dir.path().join("up.err")).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- up\n{}", self.complaints());
            for node in nodes(self.data.as_ref())
                .iter()
                .map(String::as_str)
                .chain(["router"])
            {
                eprintln!("--- {node}\n{}", self.log(node));
            }
        }
        let _ = self.up.kill();
        let _ = self.up.wait();
        for _ in 0..20 {
            let left = leftovers(self.data.as_ref());
            if left.is_empty() {
                break;
            }
            for id in left {
                let pid = i32::try_from(id.pid)
                    .ok()
                    .and_then(rustix::process::Pid::from_raw);
                let _ = rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::KILL);
            }
            pause(std::time::Duration::from_millis(50));
        }
    }
}
