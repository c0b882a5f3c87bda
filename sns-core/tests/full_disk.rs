//! A full disk refuses writes, and nothing else: reads go on, and writes once there is room.
//!
//! The test starts itself again inside a mount namespace of its own, on a small tmpfs. Where that
//! is not allowed it says so and passes, but not when `CI=true`: there it has to run.

#![cfg(target_os = "linux")]

#[path = "support/feed.rs"]
mod feed;

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use feed::{PATIENCE, all_posts, name, wait_until};
use sns_core::{Post, Reason, Sns, State};

const MOUNT: &str = "SNS_FULL_DISK_MOUNT";

/// A mount namespace of our own, where we may mount a tmpfs of 64 MiB on `$SNS_FULL_DISK_MOUNT`.
fn inside(program: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("mount -t tmpfs -o size=64m none \"${MOUNT}\" && {program}");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
    command
}

#[test]
fn writes_are_refused_while_the_disk_is_full_and_go_on_once_there_is_room() {
    if let Some(mount) = std::env::var_os(MOUNT) {
        return on_a_small_disk(&PathBuf::from(mount));
    }
    let mount = tempfile::tempdir().unwrap();
    let able = inside("true")
        .env(MOUNT, mount.path())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !able {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(
            !ci,
            "a small tmpfs cannot be mounted here, and CI has to run this test"
        );
        println!("SKIPPED: a small tmpfs cannot be mounted here (unshare --map-root-user --mount)");
        return;
    }
    let me = std::env::current_exe().unwrap();
    let program = format!(
        "exec \"{}\" --exact --nocapture \
         writes_are_refused_while_the_disk_is_full_and_go_on_once_there_is_room",
        me.display()
    );
    let status = inside(&program).env(MOUNT, mount.path()).status().unwrap();
    assert!(status.success());
}

/// Takes all room but `left` bytes.
fn fill(path: &Path, left: usize) {
    let mut ballast = File::create(path).unwrap();
    loop {
        match ballast.write(&[7; 4_096]) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::StorageFull => break,
            Err(e) => panic!("{e}"),
        }
    }
    let length = ballast.metadata().unwrap().len();
    ballast.set_len(length - left as u64).unwrap();
}

fn on_a_small_disk(mount: &Path) {
    let data = mount.join("data");
    let ballast = mount.join("ballast");
    let sns = Sns::builder(&data)
        .node("a")
        .tiny_cache(50_000)
        .open()
        .unwrap();
    let user = sns.user("user").unwrap();
    let mut posts: Vec<Post> = Vec::new();
    for n in 0..300 {
        posts.push(
            sns.post(&user, &format!("{n} {}", "z".repeat(700)))
                .wait_timeout(PATIENCE)
                .unwrap(),
        );
    }
    for round in 0..3 {
        // Nothing left at all, and enough for the log alone.
        fill(&ballast, [0, 40_000, 400_000][round]);
        let mut refused = 0;
        wait_until("the refusal", || {
            match sns
                .post(&user, &format!("full {}", "z".repeat(700)))
                .wait_timeout(PATIENCE)
            {
                Ok(post) => posts.push(post),
                Err(error) => {
                    assert_eq!(error.reason(), Reason::DiskFull, "{error}");
                    refused += 1;
                }
            }
            refused > 20
        });
        // For longer than the view can pretend that nothing happened.
        let began = std::time::Instant::now();
        wait_until("some time", || {
            assert!(all_posts(&sns, &user) == posts, "reads go on");
            let error = sns.post(&user, "refused").wait_timeout(PATIENCE);
            match error {
                Err(error) => assert_eq!(error.reason(), Reason::DiskFull, "{error}"),
                Ok(post) => posts.push(post),
            }
            std::thread::park_timeout(std::time::Duration::from_millis(50));
            began.elapsed().as_millis() > 1_500
        });
        assert_eq!(sns.status().state, State::Serving, "{:?}", sns.status());
        println!(
            "round {round}: {} posts, {:?}",
            posts.len(),
            sns.status().reason
        );
        fs::remove_file(&ballast).unwrap();
        wait_until("a write", || {
            match sns
                .post(&user, &format!("room {round}"))
                .wait_timeout(PATIENCE)
            {
                Ok(post) => posts.push(post),
                Err(_) => return false,
            }
            true
        });
        for n in 0..200 {
            posts.push(
                sns.post(&user, &format!("{n} {}", "z".repeat(700)))
                    .wait_timeout(PATIENCE)
                    .unwrap(),
            );
        }
        assert!(all_posts(&sns, &user) == posts);
        wait_until("an empty reason", || {
            let status = sns.status();
            let weak = status.reason.contains("full");
            status.state == State::Serving && !weak
        });
    }
    let digest = sns.status().digest;
    drop(sns);
    for node in ["a", "fresh"] {
        let sns = Sns::builder(&data).node(node).open().unwrap();
        assert_eq!(sns.status().digest, digest);
        assert!(all_posts(&sns, &name("user")) == posts);
    }
}
