//! A log that is cut at any byte, or has a bit flipped at any byte: what was declared durable is
//! served as it was written, or its loss is reported with its place; nothing else is ever served,
//! and opening the log twice gives the same.
//!
//! Every byte of every file is tried, in logs of 200 entries on a disk in memory; the code that
//! opens and reads is that of production. `SNS_DAMAGE_SEEDS=N` tries N bits and N tails of garbage
//! at each byte.

#![allow(
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "this is test code, and the files here are small"
)]

#[path = "support/draw.rs"]
mod draw;

use std::collections::BTreeMap;

use draw::Draw;
use sns_core::log::dir::sim::Files;
use sns_core::log::dir::{DirLog, DirLogOptions};
use sns_core::log::{Error, Log, LogId, Record};

const ENTRIES: u64 = 200;
/// As `segment.rs` and `frame.rs` document them.
const SEGMENT_HEADER: usize = 60;
const FRAME_HEADER: usize = 32;
/// `commit` and `head`.
const RECORD: usize = 36;

const EINTR: i32 = 4;

type Contents = BTreeMap<String, Vec<u8>>;

/// One entry, and where it stands.
#[derive(Clone, Debug)]
struct Placed {
    segment: String,
    offset: usize,
    end: usize,
    index: u64,
    /// What its writer knew to be durable.
    durable: u64,
}

/// A sound log.
struct Sound {
    what: &'static str,
    contents: Contents,
    placed: Vec<Placed>,
    records: Vec<Record>,
    /// What `commit` says; 0 when it is missing.
    commit: u64,
    segment_bytes: u64,
}

fn options(segment_bytes: u64) -> DirLogOptions {
    DirLogOptions::default()
        .segment_bytes(segment_bytes)
        .log_id(LogId(0x5eed_0000_1234_5678_9abc_def0_0000_0001))
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Where the entries stand, by walking over sound files.
fn place(contents: &Contents) -> Vec<Placed> {
    let mut placed = Vec::new();
    for (name, bytes) in contents.iter().filter(|(name, _)| name.contains(".seg")) {
        let mut offset = SEGMENT_HEADER;
        while offset < bytes.len() {
            let length = u32::from_le_bytes(bytes[offset + 4..offset + 8].try_into().expect("4"));
            let end = offset + FRAME_HEADER + length as usize;
            placed.push(Placed {
                segment: name.clone(),
                offset,
                end,
                index: number(bytes, offset + 16),
                durable: number(bytes, offset + 24),
            });
            offset = end;
        }
    }
    placed
}

/// All there is from the head on, and what ended it.
fn read(log: &DirLog) -> (Vec<Record>, Option<Error>) {
    let mut all: Vec<Record> = Vec::new();
    let mut next = match log.head() {
        Ok(head) => head,
        Err(error) => return (all, Some(error)),
    };
    loop {
        match log.read(next, 1 << 20) {
            Ok(records) if records.is_empty() => return (all, None),
            Ok(records) => {
                next += records.len() as u64;
                all.extend(records);
            }
            Err(error) => return (all, Some(error)),
        }
    }
}

fn payload(index: u64) -> Vec<u8> {
    let mut draw = Draw(index);
    let length = 1 + draw.next() % 40;
    // Bytes of any value, those of a frame's beginning among them.
    let mut bytes: Vec<u8> = (0..length).map(|_| draw.next() as u8).collect();
    if index.is_multiple_of(7) {
        bytes.splice(..0, *b"\xffSNf\x01\0\0\0");
    }
    bytes
}

impl Sound {
    fn of(what: &'static str, files: &Files, commit: Option<&[u8]>, segment_bytes: u64) -> Self {
        let mut contents = files.contents();
        contents.remove("lock");
        match commit {
            Some(old) => contents.insert("commit".into(), old.to_vec()),
            None => contents.remove("commit"),
        };
        let commit = contents.get("commit").map_or(0, |bytes| number(bytes, 24));
        let placed = place(&contents);
        let log = Files::new(&contents).open(options(segment_bytes));
        let (records, error) = read(&log.expect("a sound log"));
        assert!(error.is_none(), "{error:?}");
        assert_eq!(records.len(), placed.len());
        Self {
            what,
            contents,
            placed,
            records,
            commit,
            segment_bytes,
        }
    }

    fn last_segment(&self) -> &str {
        &self.placed.last().expect("an entry").segment
    }

    /// The most that anything declares durable which is sound in `damaged` still.
    fn declared(&self, damaged: &Contents) -> u64 {
        let same = |name: &str| damaged.get(name) == self.contents.get(name);
        let commit = if same("commit") { self.commit } else { 0 };
        let last = self.last_segment();
        let bytes = &damaged[last];
        let frames = self.placed.iter().filter(|placed| {
            let sound = &self.contents[last];
            let range = placed.offset..placed.end;
            placed.segment == last && bytes.get(range.clone()) == Some(&sound[range])
        });
        let first = self.placed.iter().find(|placed| placed.segment == last);
        let frames = frames.map(|placed| placed.durable).max().unwrap_or(0);
        commit
            .max(frames)
            .max(first.map_or(0, |first| first.index - 1))
    }

    /// What must come of opening and reading, when the first byte of `name` that differs is `at`.
    fn expected(&self, damaged: &Contents, name: &str, at: usize) -> Expected {
        let whole = Expected::Serves(self.records.len());
        if damaged.get(name) == self.contents.get(name) {
            return whole;
        }
        match name {
            "head" if at < RECORD => return Expected::Refused(None, 0),
            // A bad `commit` counts as absent, and the entries are there.
            "commit" | "head" => return whole,
            _ => {}
        }
        let of_segment = |placed: &&Placed| placed.segment == name;
        let first = self.placed.iter().find(of_segment).expect("an entry");
        if at < SEGMENT_HEADER {
            return Expected::Refused(Some(0), first.index);
        }
        let is_last = name == self.last_segment();
        let bad = |placed: &Placed| placed.segment == name && placed.end > at;
        match self.placed.iter().position(bad) {
            Some(bad) => {
                let Placed { offset, index, .. } = self.placed[bad];
                if index > self.declared(damaged) {
                    Expected::Serves(bad)
                } else if is_last {
                    Expected::Refused(Some(offset), index)
                } else {
                    Expected::ServesThenRefuses(bad, offset)
                }
            }
            // It stands behind the last entry of its segment.
            None if is_last => whole,
            None => {
                let count = self.placed.iter().rposition(|p| p.segment == name);
                let count = count.expect("an entry") + 1;
                Expected::ServesThenRefuses(count, self.placed[count - 1].end)
            }
        }
    }

    /// Opens the damaged log twice and checks what comes of it.
    fn check(&self, damaged: &Contents, name: &str, how: &str) {
        let pairs = self.contents[name].iter().zip(&damaged[name]);
        let at = pairs.take_while(|(sound, bad)| sound == bad).count();
        let expected = self.expected(damaged, name, at);
        let place = || format!("{}: {name}, {how}; expected {expected:?}", self.what);
        let files = Files::new(damaged);
        self.check_report(&files, damaged, &expected, name, &place());
        let mut before = None;
        for _ in 0..2 {
            let opened = files.open(options(self.segment_bytes));
            let (records, error) = match &opened {
                Ok(log) => read(log),
                Err(_) => (Vec::new(), None),
            };
            assert!(
                Some(&records[..]) == self.records.get(..records.len()),
                "{}: something else is served",
                place()
            );
            let refusal = opened.err();
            match (&expected, &refusal, &error) {
                (Expected::Serves(count), None, None) => {
                    assert_eq!(records.len(), *count, "{}", place());
                }
                (Expected::Refused(offset, index), Some(refused), None) => {
                    assert_damage(refused, name, *offset, *index, &place());
                    let mut left = files.contents();
                    left.remove("lock");
                    // Made, and with nothing in it.
                    if left.get("commit").is_some_and(Vec::is_empty) {
                        left.remove("commit");
                    }
                    let mut damaged = damaged.clone();
                    if damaged.get("commit").is_some_and(Vec::is_empty) {
                        damaged.remove("commit");
                    }
                    assert!(left == damaged, "{}: something was written", place());
                }
                (Expected::ServesThenRefuses(count, offset), None, Some(refused)) => {
                    assert_eq!(records.len(), *count, "{}", place());
                    let index = self.placed[0].index + *count as u64;
                    assert_damage(refused, name, Some(*offset), index, &place());
                }
                _ => panic!(
                    "{}: opening said {refusal:?}, reading {error:?}, {} entries",
                    place(),
                    records.len()
                ),
            }
            let state = (records, format!("{refusal:?} {error:?}"), files.contents());
            // A second recovery gives the same, to the byte.
            if let Some(first) = &before {
                assert!(*first == state, "{}: a second opening differs", place());
            }
            before = Some(state);
        }
        if let Expected::Serves(count) = expected {
            let log = files.open(options(self.segment_bytes)).expect("open");
            let next = self.placed[0].index + count as u64;
            let appended = log.append(b"behind").expect("append");
            assert_eq!(appended, next, "{}", place());
            let read = log.read(next, 1).expect("read");
            assert_eq!(read[0].payload, b"behind", "{}", place());
        }
    }

    /// Reading the whole log writes nothing and says the same as opening it, as far as the log says
    /// of itself that it is durable: what is beyond may be cut still, and opening decides that.
    fn check_report(
        &self,
        files: &Files,
        damaged: &Contents,
        expected: &Expected,
        name: &str,
        how: &str,
    ) {
        let report = files.verify().unwrap_or_else(|e| panic!("{how}: {e}"));
        assert!(files.contents() == *damaged, "{how}: it wrote something");
        let first = self.placed[0].index;
        let (offset, index) = match *expected {
            Expected::Serves(count) => {
                assert_eq!(report.damage, None, "{how}");
                assert!(report.entries <= count as u64, "{how}: {report:?}");
                assert_eq!(report.head, first, "{how}");
                assert_eq!(report.tail, first + report.entries, "{how}");
                return;
            }
            Expected::Refused(offset, index) => (offset, index),
            Expected::ServesThenRefuses(count, offset) => (Some(offset), first + count as u64),
        };
        let Some(damage) = report.damage else {
            assert!(report.tail <= index, "{how}: it is called sound");
            return;
        };
        let said = offset.map_or(name.to_owned(), |offset| format!("{name} at byte {offset}"));
        assert_eq!((damage.place, damage.index), (said, index), "{how}");
        assert!(!damage.witness.is_empty(), "{how}");
    }

    /// Damages every byte of every file; returns how many bytes there are.
    fn attack(&self, seeds: u64) -> u64 {
        let mut bytes = 0;
        for (name, sound) in &self.contents {
            for at in 0..=sound.len() {
                let with = |content: Vec<u8>, how: &str| {
                    let mut damaged = self.contents.clone();
                    damaged.insert(name.clone(), content);
                    self.check(&damaged, name, &format!("{how} at byte {at}"));
                };
                let cut = sound[..at].to_vec();
                let mut zeros = cut.clone();
                zeros.resize(sound.len() + at % 50, 0);
                with(cut.clone(), "cut");
                with(zeros, "zeros");
                for seed in 0..seeds {
                    let mut draw = Draw(at as u64 ^ seed << 32);
                    let mut garbage = cut.clone();
                    self.add_garbage(&mut garbage, name, &mut draw);
                    with(garbage, &format!("garbage {seed}"));
                    if at < sound.len() {
                        let mut flipped = sound.clone();
                        flipped[at] ^= 1 << (draw.next() % 8);
                        with(flipped, &format!("a flipped bit {seed}"));
                    }
                }
                bytes += 1;
            }
        }
        bytes
    }

    /// Bytes that nobody wrote there, an entry among them that stands somewhere before.
    fn add_garbage(&self, to: &mut Vec<u8>, name: &str, draw: &mut Draw) {
        let at = to.len();
        for _ in 0..=draw.next() % 3 {
            let length = draw.next() % 60;
            to.extend((0..length).map(|_| draw.next() as u8));
            to.extend_from_slice(b"\xffSNf");
            let whole = |placed: &&Placed| placed.segment == name && placed.end <= at;
            let before: Vec<&Placed> = self.placed.iter().filter(whole).collect();
            if !before.is_empty() {
                let old = before[draw.next() as usize % before.len()];
                to.extend_from_slice(&self.contents[name][old.offset..old.end]);
            }
        }
    }
}

/// What must come of opening a damaged log and reading it.
#[derive(Debug)]
enum Expected {
    /// So many entries, and no complaint.
    Serves(usize),
    /// Opening it names this offset of the damaged file, and this entry.
    Refused(Option<usize>, u64),
    /// So many entries are read; then this offset is named.
    ServesThenRefuses(usize, usize),
}

/// It is damage, and says where it is and how that is known.
fn assert_damage(error: &Error, name: &str, offset: Option<usize>, at: u64, how: &str) {
    let Error::Damaged {
        place,
        index,
        witness,
        ..
    } = error
    else {
        panic!("{how}: {error}");
    };
    let said = offset.map_or(name.to_owned(), |offset| format!("{name} at byte {offset}"));
    assert_eq!((place, *index), (&said, at), "{how}: {error}");
    assert!(!witness.is_empty(), "{how}: {error}");
}

fn seeds() -> u64 {
    std::env::var("SNS_DAMAGE_SEEDS").map_or(1, |n| n.parse().expect("a number"))
}

/// A log that one process wrote; `commit` as it was after so many entries.
fn written(segment_bytes: u64, commit_at: u64) -> (Files, Option<Vec<u8>>) {
    let files = Files::default();
    let log = files.open(options(segment_bytes)).expect("open");
    let mut commit = None;
    for index in 1..=ENTRIES {
        assert_eq!(log.append(&payload(index)).expect("append"), index);
        if index == commit_at {
            commit = files.contents().remove("commit");
        }
    }
    (files, commit)
}

fn attack(sound: &Sound) {
    let bytes = sound.attack(seeds());
    println!(
        "{}: {bytes} bytes, each cut, zeroed, overwritten and flipped",
        sound.what
    );
    assert!(bytes > 5_000);
}

#[test]
fn entries_beyond_the_synced_commit_are_kept_as_far_as_they_vouch_for_each_other() {
    let (files, commit) = written(1 << 20, 50);
    attack(&Sound::of(
        "commit is old",
        &files,
        commit.as_deref(),
        1 << 20,
    ));
}

#[test]
fn without_commit_only_what_nothing_vouches_for_is_cut() {
    let (files, _) = written(1 << 20, 0);
    attack(&Sound::of("no commit", &files, None, 1 << 20));
}

#[test]
fn what_commit_covers_is_never_cut_in_any_of_several_segments() {
    let (files, commit) = written(2_500, ENTRIES);
    let sound = Sound::of("commit covers all", &files, commit.as_deref(), 2_500);
    assert!(sound.contents.len() > 4, "several segments");
    attack(&sound);
}

#[test]
fn a_trimmed_log_is_as_safe_and_its_head_is_too() {
    let (files, commit) = written(1_500, 150);
    files
        .open(options(1_500))
        .expect("open")
        .trim_to(60)
        .expect("trim");
    let sound = Sound::of("trimmed", &files, commit.as_deref(), 1_500);
    assert!(sound.placed[0].index > 1 && sound.contents.contains_key("head"));
    attack(&sound);
}

#[test]
fn entries_whose_writers_knew_less_vouch_for_less_and_nothing_else_is_lost() {
    let files = Files::default();
    let open = || files.open(options(1 << 20)).expect("open");
    let logs = [open(), open(), open()];
    let mut draw = Draw(5);
    let mut written = 0;
    while written < ENTRIES {
        // Some writers cannot tell what came of their entries; the next one goes past those. They
        // open the log anew before they write again.
        for log in &logs[..draw.next() as usize % 3] {
            files.fail_next_sync(EINTR);
            written += 1;
            let unknown = log.append(&payload(written));
            assert!(matches!(unknown, Err(Error::Unknown(_))), "{unknown:?}");
        }
        written += 1;
        assert_eq!(logs[2].append(&payload(written)).expect("append"), written);
        for log in &logs[..2] {
            log.trim_to(1).expect("nothing to trim");
        }
    }
    let sound = Sound::of("they knew less", &files, None, 1 << 20);
    let behind = |placed: &&Placed| placed.durable + 1 < placed.index;
    assert!(sound.placed.iter().filter(behind).count() > 20);
    attack(&sound);
}

#[test]
fn a_log_without_commit_is_read_as_far_as_its_entries_vouch_and_on_once_there_is_one() {
    let (files, _) = written(1 << 20, 0);
    let mut contents = files.contents();
    contents.remove("commit");
    let files = Files::new(&contents);
    let reader = files.open(options(1 << 20).read_only(true)).expect("open");
    // The last one vouches for those before it.
    assert_eq!(reader.tail().expect("tail"), ENTRIES);
    assert_eq!(files.verify().expect("it is read").entries, ENTRIES - 1);
    assert!(!files.contents().contains_key("commit"));
    let writer = files.open(options(1 << 20)).expect("open");
    assert_eq!(writer.append(b"behind").expect("append"), ENTRIES + 1);
    assert_eq!(reader.tail().expect("tail"), ENTRIES + 2);
}
