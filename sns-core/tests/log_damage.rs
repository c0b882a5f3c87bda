//! Damage is reported and never cut off; what was never acknowledged is cut and never reported.

#![allow(clippy::cast_possible_truncation, reason = "the files here are small")]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sns_core::log::conformance::read_all;
use sns_core::log::dir::{DirLog, DirLogOptions, Witness, network_file_system};
use sns_core::log::{Error, Log, LogId};

fn open(dir: &Path) -> Result<DirLog, Error> {
    DirLog::open(dir, DirLogOptions::default().segment_bytes(2000))
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(dir)
        .expect("list")
        .map(|entry| entry.expect("entry").path());
    let mut segments: Vec<_> = names
        .filter(|name| name.extension().is_some_and(|e| e == "seg"))
        .collect();
    segments.sort();
    segments
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("open");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 1], at).expect("write");
}

/// A log of `count` entries, all acknowledged.
fn filled(count: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path()).expect("open");
    for index in 1..=count {
        log.append(format!("entry {index}").as_bytes())
            .expect("append");
    }
    log.close().expect("close");
    dir
}

fn entries(dir: &Path) -> usize {
    read_all(&open(dir).expect("open")).len()
}

#[test]
fn a_torn_last_entry_that_was_never_acknowledged_is_cut() {
    let dir = filled(5);
    let last = segments(dir.path()).pop().expect("a segment");
    let length = fs::metadata(&last).expect("length").len();
    for rest in [&b"\xff"[..], b"\xffSNf\x09\0\0\0torn", &[0; 300]] {
        let mut file = OpenOptions::new().append(true).open(&last).expect("open");
        file.write_all(rest).expect("write");
        assert_eq!(entries(dir.path()), 5);
        assert_eq!(fs::metadata(&last).expect("length").len(), length);
    }
    // By a writer that is open already, too.
    let log = open(dir.path()).expect("open");
    let mut file = OpenOptions::new().append(true).open(&last).expect("open");
    file.write_all(b"\xffSNf\x09").expect("write");
    assert_eq!(log.append(b"six").expect("append"), 6);
    assert_eq!(entries(dir.path()), 6);
}

#[test]
fn a_flipped_bit_in_an_acknowledged_entry_is_refused_and_named() {
    let dir = filled(5);
    let last = segments(dir.path()).pop().expect("a segment");
    let length = fs::metadata(&last).expect("length").len();
    flip(&last, length - 1);
    let Err(Error::Damaged {
        place,
        index,
        witness,
        ..
    }) = open(dir.path())
    else {
        panic!("not noticed");
    };
    assert_eq!(index, 5);
    assert!(place.contains(last.to_str().expect("a path")), "{place}");
    assert!(place.contains("byte 2"), "{place}");
    assert!(witness.contains("commit"), "{witness}");
    assert_eq!(
        fs::metadata(&last).expect("length").len(),
        length,
        "nothing was cut"
    );
    let damage = DirLog::verify(dir.path())
        .expect("verify")
        .damage
        .expect("damage");
    assert_eq!(damage.index, 5);
}

#[test]
fn an_entry_that_a_later_one_declares_durable_is_damage_without_commit_too() {
    let dir = filled(9);
    let last = segments(dir.path()).pop().expect("a segment");
    flip(&last, 60 + 40 + 33);
    fs::remove_file(dir.path().join("commit")).expect("remove");
    let Err(Error::Damaged { index, witness, .. }) = open(dir.path()) else {
        panic!("not noticed");
    };
    assert_eq!(index, 2);
    assert!(witness.starts_with("entry "), "{witness}");
}

#[test]
fn an_entry_that_a_view_declares_durable_is_damage_and_another_logs_view_says_nothing() {
    let dir = filled(3);
    let (id, crc) = {
        let log = open(dir.path()).expect("open");
        (log.id(), read_all(&log)[2].crc)
    };
    // The power cut took `commit` and the end of the log.
    fs::remove_file(dir.path().join("commit")).expect("remove");
    let last = segments(dir.path()).pop().expect("a segment");
    let length = fs::metadata(&last).expect("length").len();
    let file = OpenOptions::new().write(true).open(&last).expect("open");
    file.set_len(length - 1).expect("cut");
    let witness = |log_id, index| Witness {
        name: "view of a-slave".into(),
        log_id,
        index,
        crc,
    };
    let with = |witness| {
        let options = DirLogOptions::default().segment_bytes(2000);
        DirLog::open(dir.path(), options.witnesses(vec![witness]))
    };
    let Err(Error::Damaged {
        index, witness: by, ..
    }) = with(witness(id, 3))
    else {
        panic!("not noticed");
    };
    assert_eq!(index, 3);
    assert!(by.contains("view of a-slave"), "{by}");
    let other = with(witness(LogId(id.0 ^ 1), 3)).expect("a view of another log");
    assert_eq!(
        read_all(&other).len(),
        2,
        "never acknowledged, as far as anybody knows"
    );
}

#[test]
fn a_bad_commit_counts_as_absent_and_is_written_anew() {
    let dir = filled(5);
    let commit = dir.path().join("commit");
    for bad in [&b""[..], b"short", &[0; 36], &[7; 100]] {
        fs::write(&commit, bad).expect("write");
        assert_eq!(entries(dir.path()), 5);
        let report = DirLog::verify(dir.path()).expect("verify");
        assert_eq!((report.entries, report.tail, report.damage), (5, 6, None));
    }
    // Under a handle that is open: readers and writers mend it.
    let log = open(dir.path()).expect("open");
    let write = |bytes: &[u8]| {
        let file = OpenOptions::new().write(true).open(&commit).expect("open");
        file.write_all_at(bytes, 0).expect("write");
    };
    write(&[9; 36]);
    assert_eq!(log.tail().expect("tail"), 6);
    write(&[9; 36]);
    assert_eq!(log.append(b"six").expect("append"), 6);
    assert_eq!(open(dir.path()).expect("open").tail().expect("tail"), 7);
}

#[test]
fn a_frame_inside_a_post_is_never_taken_for_an_entry() {
    let dir = filled(3);
    let bytes = fs::read(&segments(dir.path())[0]).expect("read");
    // What somebody who has read the file would put into a post: entries that are valid here.
    let stolen = bytes[60..].to_vec();
    {
        let log = open(dir.path()).expect("open");
        log.append(&stolen).expect("append");
    }
    let last = segments(dir.path()).pop().expect("a segment");
    let length = fs::metadata(&last).expect("length").len();
    // The post itself is torn: its inner frames are no entries, and declare only what was durable.
    fs::remove_file(dir.path().join("commit")).expect("remove");
    let file = OpenOptions::new().write(true).open(&last).expect("open");
    file.set_len(length - 1).expect("cut");
    assert_eq!(entries(dir.path()), 3);
}

#[test]
fn a_missing_segment_is_damage_wherever_it_was() {
    let dir = filled(200);
    let all = segments(dir.path());
    assert!(all.len() > 3);
    for missing in [0, 1, all.len() - 1] {
        let away = dir.path().join("away");
        fs::rename(&all[missing], &away).expect("rename");
        let refused = open(dir.path());
        assert!(
            matches!(refused, Err(Error::Damaged { .. })),
            "segment {missing}: {refused:?}"
        );
        let damage = DirLog::verify(dir.path()).expect("verify").damage;
        assert!(damage.is_some(), "segment {missing}");
        fs::rename(&away, &all[missing]).expect("rename");
    }
    assert_eq!(entries(dir.path()), 200);
}

#[test]
fn damage_in_the_middle_is_read_up_to_and_then_named() {
    let dir = filled(200);
    let all = segments(dir.path());
    flip(&all[1], 60 + 45);
    let log = open(dir.path()).expect("only the last segment is checked at the opening");
    let mut next = 1;
    let error = loop {
        match log.read(next, 100) {
            Ok(records) => next = records.last().expect("an entry").index + 1,
            Err(error) => break error,
        }
    };
    let Error::Damaged { index, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(index, next);
    let report = DirLog::verify(dir.path()).expect("verify");
    assert_eq!(report.entries, next - 1);
    assert_eq!(report.damage.expect("damage").index, next);
}

#[test]
fn a_log_that_may_not_be_made_is_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let refused = DirLog::open(&log, DirLogOptions::default().create(false));
    assert!(
        matches!(refused, Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound)
    );
    assert!(!log.exists());
    fs::create_dir(&log).expect("make");
    assert!(DirLog::open(&log, DirLogOptions::default().create(false)).is_err());
    assert!(segments(&log).is_empty());
}

#[test]
fn a_read_only_log_writes_nothing_and_sees_what_others_append() {
    let dir = filled(3);
    let names = || {
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .expect("list")
            .map(|e| e.expect("e").file_name())
            .collect();
        names.sort();
        names
    };
    let before = names();
    let reader = DirLog::open(dir.path(), DirLogOptions::default().read_only(true)).expect("open");
    assert!(matches!(reader.append(b"x"), Err(Error::Unavailable(_))));
    assert!(matches!(reader.trim_to(1), Err(Error::Unavailable(_))));
    let writer = open(dir.path()).expect("open");
    writer.append(b"four").expect("append");
    assert_eq!(read_all(&reader).len(), 4);
    assert_eq!(names(), before);
}

#[test]
fn a_replaced_lock_file_is_noticed() {
    let dir = filled(2);
    let log = open(dir.path()).expect("open");
    fs::remove_file(dir.path().join("lock")).expect("remove");
    File::create(dir.path().join("lock")).expect("create");
    assert_eq!(log.append(b"three").expect("append"), 3);
    assert_eq!(
        open(dir.path())
            .expect("open")
            .append(b"four")
            .expect("append"),
        4
    );
    assert_eq!(read_all(&log).len(), 4);
}

#[test]
fn a_temporary_directory_is_on_no_network() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(network_file_system(dir.path()).expect("a kind"), None);
    assert!(network_file_system(dir.path().join("missing")).is_err());
}
