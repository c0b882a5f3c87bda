//! A data directory that somebody else has prepared: what is in it is refused in words, or has an
//! effect with a bound. Nothing else is written, nothing is lost, nothing panics.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use sns_core::{ErrorKind, Sns};

/// A directory with one post in it.
fn made() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let sns = Sns::open(&data).unwrap();
    let alice = sns.user("alice").unwrap();
    sns.post(&alice, "hello").wait().unwrap();
    (dir, data)
}

fn texts(data: &Path) -> Vec<String> {
    let sns = Sns::open(data).unwrap();
    let alice = sns.user("alice").unwrap();
    let page = sns.posts_of(&alice).page().unwrap();
    page.items
        .iter()
        .map(|post| post.text.to_string())
        .collect()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn refused(data: &Path, kind: ErrorKind, words: &[&str]) {
    let error = Sns::open(data).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.message().contains(word), "{word}: {error}");
    }
}

#[test]
fn a_directory_that_others_may_write_to_is_refused_with_what_to_type() {
    let (_dir, data) = made();
    for part in ["", "log", "nodes", "snapshots"] {
        let part = data.join(part);
        for open in [0o777, 0o770, 0o702] {
            mode(&part, open);
            refused(&data, ErrorKind::Invalid, &["chmod go-w"]);
        }
        mode(&part, 0o700);
    }
    assert_eq!(texts(&data), ["hello"]);
    // An empty one that is offered as a new one, too.
    let fresh = data.parent().unwrap().join("fresh");
    fs::create_dir(&fresh).unwrap();
    mode(&fresh, 0o777);
    refused(&fresh, ErrorKind::Invalid, &["chmod go-w"]);
    assert_eq!(
        fs::read_dir(&fresh).unwrap().count(),
        0,
        "nothing was made in it"
    );
}

#[test]
fn a_secret_that_others_may_read_is_refused_with_what_to_type() {
    let (_dir, data) = made();
    let rights = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (rights(&data), rights(&data.join("secret"))),
        (0o700, 0o600)
    );
    mode(&data.join("secret"), 0o640);
    let found = sns_core::DataDir::open_existing(&data, false).unwrap();
    let error = found.secret().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("chmod 600"), "{error}");
    mode(&data.join("secret"), 0o600);
    found.secret().unwrap();
}

#[test]
fn a_link_in_place_of_a_file_is_not_followed_and_its_target_stays_as_it_is() {
    for name in [
        "format.json",
        "log/lock",
        "log/commit",
        "log/00000000000000000001.seg",
        "nodes/local-0/lock",
        "nodes/local-0/boot",
    ] {
        let (dir, data) = made();
        let target = dir.path().join("elsewhere");
        let path = data.join(name);
        if fs::rename(&path, &target).is_err() {
            // Only there while the node runs.
            fs::write(&target, "mine").unwrap();
        }
        let before = fs::read(&target).unwrap();
        symlink(&target, &path).unwrap();
        let error = Sns::open(&data).unwrap_err();
        assert!(error.message().contains("symbolic link"), "{name}: {error}");
        assert_eq!(fs::read(&target).unwrap(), before, "{name}");
        // Put back, all is as it was.
        fs::rename(&target, &path).unwrap();
        assert_eq!(texts(&data), ["hello"], "{name}");
    }
}

#[test]
fn a_link_in_place_of_the_secret_is_not_read() {
    let (dir, data) = made();
    let target = dir.path().join("elsewhere");
    fs::write(&target, [7; 32]).unwrap();
    mode(&target, 0o600);
    fs::remove_file(data.join("secret")).unwrap();
    symlink(&target, data.join("secret")).unwrap();
    let found = sns_core::DataDir::open_existing(&data, false).unwrap();
    let error = found.secret().unwrap_err();
    assert!(error.message().contains("symbolic link"), "{error}");
}

#[test]
fn what_only_speeds_up_a_start_is_made_anew_when_it_is_a_link() {
    let (dir, data) = made();
    let target = dir.path().join("elsewhere");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("file"), "mine").unwrap();
    let view = data.join("nodes/local-0/view");
    fs::remove_dir_all(&view).unwrap();
    symlink(&target, &view).unwrap();
    let applied = data.join("nodes/local-0/applied");
    let _ = fs::remove_file(&applied);
    symlink(target.join("file"), &applied).unwrap();
    assert_eq!(texts(&data), ["hello"]);
    assert_eq!(fs::read(target.join("file")).unwrap(), b"mine");
}

#[test]
fn a_pipe_in_place_of_a_file_is_refused_and_holds_nobody_up() {
    let (_dir, data) = made();
    for name in ["format.json", "log/commit", "nodes/local-0/lock"] {
        let path = data.join(name);
        let kept = path.with_extension("kept");
        fs::rename(&path, &kept).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, pipe, mode, 0).unwrap();
        let error = Sns::open(&data).unwrap_err();
        assert!(
            error.message().contains("no regular file"),
            "{name}: {error}"
        );
        fs::rename(&kept, &path).unwrap();
    }
    assert_eq!(texts(&data), ["hello"]);
}

#[test]
fn a_format_file_of_nonsense_is_damage_and_says_where() {
    let (_dir, data) = made();
    let path = data.join("format.json");
    let good = fs::read(&path).unwrap();
    let deep = "[".repeat(60_000);
    let huge = format!("{{\"version\":1,\"data_id\":\"{}\"}}", "x".repeat(10 << 20));
    for (bad, kind) in [
        ("", ErrorKind::Damaged),
        ("{}", ErrorKind::Damaged),
        ("\u{0}\u{1b}[2J", ErrorKind::Damaged),
        (deep.as_str(), ErrorKind::Damaged),
        (
            "{\"version\":-1,\"data_id\":\"x\",\"made_at\":1}",
            ErrorKind::Damaged,
        ),
        (
            "{\"version\":99,\"data_id\":\"x\",\"made_at\":1}",
            ErrorKind::Damaged,
        ),
        (huge.as_str(), ErrorKind::Unavailable),
    ] {
        fs::write(&path, bad).unwrap();
        refused(&data, kind, &["format"]);
    }
    fs::write(&path, good).unwrap();
    assert_eq!(texts(&data), ["hello"]);
}

#[test]
fn notes_and_locks_with_nonsense_in_them_do_no_harm() {
    let (_dir, data) = made();
    let node = data.join("nodes/local-0");
    fs::write(node.join("lock"), "-1\n\u{1b}[2J").unwrap();
    fs::write(node.join("applied"), "{".repeat(100_000)).unwrap();
    fs::write(
        data.join("log/lock"),
        "4294967295 18446744073709551615 x-master",
    )
    .unwrap();
    assert_eq!(texts(&data), ["hello"]);
    // One that declares what nobody ever wrote is damage of the log: it says what is missing.
    let log = sns_core::log::dir::DirLog::verify(&data.join("log")).unwrap();
    let id = log.log_id.unwrap();
    let far = u64::MAX;
    let declared = format!("{{\"log_id\":\"{id}\",\"index\":{far},\"crc\":0}}");
    fs::write(node.join("applied"), declared).unwrap();
    refused(&data, ErrorKind::Damaged, &[]);
    fs::remove_file(node.join("applied")).unwrap();
    assert_eq!(texts(&data), ["hello"]);
}

#[test]
fn crafted_snapshots_are_listed_with_what_is_wrong_and_never_loaded() {
    let (_dir, data) = made();
    let snapshots = data.join("snapshots");
    fs::write(snapshots.join("00000000000000000009.snap"), [0xff; 4_000]).unwrap();
    fs::write(snapshots.join("00000000000000000008.snap"), "").unwrap();
    symlink("/dev/zero", snapshots.join("00000000000000000007.snap")).unwrap();
    symlink("/dev/null", snapshots.join("x.snap")).unwrap();
    fs::remove_dir_all(data.join("nodes/local-0/view")).unwrap();
    assert_eq!(texts(&data), ["hello"], "the view comes back from the log");
}
