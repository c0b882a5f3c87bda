//! Small files and locks that somebody has crafted: no process of anybody else is ever sent a signal,
//! and what makes no sense counts as absent.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

#[path = "support/cluster.rs"]
mod cluster;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cluster::{rows, run, stderr, until};
use rustix::fs::{FlockOperation, flock};
use sns_core::Sns;
use sns_server::pair::process::{ProcessId, is_ours, lock_holder};

/// A process of somebody else; ends with the test.
struct Stranger(Child);

impl Stranger {
    fn start() -> Self {
        let child = Command::new("sleep")
            .arg("600")
            .stdin(Stdio::null())
            .spawn();
        let stranger = Self(child.unwrap());
        until("it is another program", || {
            let id = stranger.id();
            (!is_ours(&id)).then_some(())
        });
        stranger
    }

    /// Holds the lock of `path` as long as it lives.
    fn holding(path: &Path) -> Self {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        // The lock belongs to the open file, which the child has as its stdin.
        let child = Command::new("sleep").arg("600").stdin(file).spawn();
        let stranger = Self(child.unwrap());
        until("it is another program", || {
            (!is_ours(&stranger.id())).then_some(())
        });
        stranger
    }

    fn id(&self) -> ProcessId {
        ProcessId::of(self.0.id()).unwrap()
    }

    #[track_caller]
    fn lives(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "it was sent a signal");
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Data that no server runs on.
fn data() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    drop(Sns::open(dir.path()).unwrap());
    dir
}

fn down(data: &Path) -> String {
    let down = run(&["down", "--data", data.to_str().unwrap()]);
    assert_eq!(down.status.code(), Some(0), "{}", stderr(&down));
    stderr(&down)
}

#[test]
fn a_run_file_that_names_another_program_gets_nobody_a_signal() {
    let dir = data();
    let mut stranger = Stranger::start();
    let id = serde_json::to_value(stranger.id()).unwrap();
    let run = serde_json::json!({
        "up": id, "router": id, "router_url": "http://127.0.0.1:9", "router_restarts": 0,
    });
    fs::write(dir.path().join("run.json"), run.to_string()).unwrap();
    let said = down(dir.path());
    assert!(said.contains("nothing runs"), "{said}");
    stranger.lives();
}

#[test]
fn a_lock_that_another_program_holds_gets_it_no_signal() {
    let dir = data();
    let node = dir.path().join("nodes/a-master");
    fs::create_dir_all(&node).unwrap();
    let mut stranger = Stranger::holding(&node.join("lock"));
    let mut file = serde_json::to_value(stranger.id()).unwrap();
    file["address"] = "127.0.0.1:9".into();
    file["peer_address"] = "127.0.0.1:9".into();
    file["restarts"] = 0.into();
    file["stopping"] = false.into();
    fs::write(node.join("node.json"), file.to_string()).unwrap();
    down(dir.path());
    stranger.lives();
}

#[test]
fn a_lock_that_is_a_link_to_that_of_another_program_is_held_by_nobody() {
    let dir = data();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("daemon.pid");
    let mut stranger = Stranger::holding(&target);
    let node = dir.path().join("nodes/evil-master");
    fs::create_dir_all(&node).unwrap();
    symlink(&target, node.join("lock")).unwrap();
    assert_eq!(lock_holder(&node.join("lock")).unwrap(), None);
    let said = down(dir.path());
    assert!(said.contains("nothing runs"), "{said}");
    stranger.lives();
    assert_eq!(fs::read(&target).unwrap(), b"", "nothing was written there");
}

#[test]
fn small_files_of_nonsense_count_as_absent_and_odd_directories_are_no_nodes() {
    let dir = data();
    let node = dir.path().join("nodes/a-master");
    fs::create_dir_all(&node).unwrap();
    for name in [
        "x\u{1b}[2J-master",
        "\u{202e}-slave",
        "A-master",
        " -master",
    ] {
        fs::create_dir_all(dir.path().join("nodes").join(name)).unwrap();
    }
    let deep = "[".repeat(50_000);
    let long = "9".repeat(1 << 20);
    for bad in [
        "",
        "{",
        "null",
        "[]",
        "{\"pid\":-1}",
        "{\"pid\":4294967296,\"start_time\":-5}",
        "\u{0}\u{1b}[2J",
        &deep,
        &long,
    ] {
        for name in [
            "run.json",
            "nodes/a-master/node.json",
            "nodes/a-master/deaths.json",
        ] {
            fs::write(dir.path().join(name), bad).unwrap();
        }
        let status = run(&["status", "--json", "--data", dir.path().to_str().unwrap()]);
        assert_eq!(status.status.code(), Some(0), "{}", stderr(&status));
        let rows = rows(&status);
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(
            (&rows[0]["name"], &rows[0]["state"]),
            (&"a-master".into(), &"stopped".into())
        );
        down(dir.path());
    }
    // A device without an end, in place of a file.
    fs::remove_file(node.join("node.json")).unwrap();
    symlink("/dev/zero", node.join("node.json")).unwrap();
    down(dir.path());
}

#[test]
fn a_directory_that_others_may_write_to_starts_no_server() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = data();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let up = run(&[
        "up",
        "--data",
        dir.path().to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(up.status.code(), Some(2), "{}", stderr(&up));
    assert!(stderr(&up).contains("chmod go-w"), "{}", stderr(&up));
}
