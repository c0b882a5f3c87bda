//! A feed over a log that was cut, overwritten or flipped: it serves a state that was there, and the
//! same one after a second recovery; or it refuses and says where the damage is.
//!
//! Every byte of the log alone is tried in `log_cut_and_flipped.rs`; here some of them, with all
//! that stands on the log. `SNS_DAMAGE_STEP=N` tries every N-th byte.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

#[path = "support/feed.rs"]
mod feed;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use feed::draw::Draw;
use sns_core::{Reason, Settings, Sns, SnsBuilder};

const ENTRIES: u64 = 200;
/// The entry after which `commit` was synced for the last time.
const SYNCED: u64 = 150;

/// A feed of so many entries in several segments, and all its states.
struct Sound {
    log: BTreeMap<String, Vec<u8>>,
    /// By the last entry.
    digests: BTreeMap<u64, String>,
}

fn builder(data: &Path) -> SnsBuilder {
    let mut settings = Settings::default();
    settings.segment_bytes = 64 * 1024;
    Sns::builder(data).node("a").settings(settings)
}

fn files(log: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(log).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        files.insert(name, fs::read(path).unwrap());
    }
    files
}

/// Writes the feed; its data directory keeps the `commit` of [`SYNCED`].
fn fill(data: &Path) -> Sound {
    let sns = builder(data).open().unwrap();
    let log = data.join("log");
    let users = [sns.user("alice").unwrap(), sns.user("bob").unwrap()];
    let mut digests = BTreeMap::new();
    let mut commit = Vec::new();
    let mut n = 0;
    while sns.status().applied < ENTRIES {
        // One entry each: nothing else is under way.
        let (a, b) = (&users[n % 2], &users[(n + 1) % 2]);
        match n % 10 {
            0 => drop(sns.follow(a, b).wait()),
            1 => drop(sns.unfollow(b, a).wait()),
            2 => {
                let post = sns.posts_of(a).limit(1).page().unwrap().items.pop();
                drop(post.map(|post| sns.delete(a, post.id).wait()));
            }
            _ => drop(
                sns.post(a, &format!("{n} {}", "y".repeat(900)))
                    .wait()
                    .unwrap(),
            ),
        }
        n += 1;
        let status = sns.status();
        digests.insert(status.applied, status.digest);
        if status.applied == SYNCED {
            commit = fs::read(log.join("commit")).unwrap();
        }
    }
    sns.close();
    drop(sns);
    fs::write(log.join("commit"), commit).unwrap();
    let log = files(&log);
    Sound { log, digests }
}

/// What comes of opening: the last entry and the digest, or what was said.
fn open(data: &Path) -> Result<(u64, String), String> {
    match builder(data).open() {
        Ok(sns) => {
            let status = sns.status();
            sns.close();
            Ok((status.applied, status.digest))
        }
        Err(error) => {
            let words = error.message().to_owned();
            assert_eq!(error.reason(), Reason::Damaged, "{words}");
            assert!(words.contains("entry ") && words.contains("log"), "{words}");
            Err(words)
        }
    }
}

/// Damages a copy of the log, opens the feed twice, and puts everything back.
fn check(sound: &Sound, data: &Path, name: &str, content: &[u8], how: &str) -> bool {
    let log = data.join("log");
    // Who was there before would vouch for more: only the log speaks for itself.
    let _ = fs::remove_dir_all(data.join("nodes"));
    for (name, bytes) in &sound.log {
        fs::write(log.join(name), bytes).unwrap();
    }
    fs::write(log.join(name), content).unwrap();
    let first = open(data);
    let second = open(data);
    assert_eq!(first, second, "{how}: a second recovery differs");
    match first {
        Ok((applied, digest)) => {
            assert!(applied >= SYNCED, "{how}: {applied} entries are left");
            assert_eq!(sound.digests.get(&applied), Some(&digest), "{how}");
            true
        }
        Err(words) => {
            assert!(words.contains(name), "{how}: {words}");
            false
        }
    }
}

#[test]
fn a_feed_over_a_damaged_log_serves_a_state_that_was_there_or_says_what_is_damaged() {
    let step = std::env::var("SNS_DAMAGE_STEP").map_or(8_009, |step| step.parse().unwrap());
    let mut draw = Draw::new();
    // In memory where there is such a place: hundreds of views are made.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = dir.unwrap();
    let sound = fill(dir.path());
    let segments: Vec<PathBuf> = sound.log.keys().map(PathBuf::from).collect();
    let segments = segments.iter().filter(|path| path.extension().is_some());
    assert!(segments.count() > 2, "several segments");
    let (mut served, mut refused) = (0, 0);
    for (name, bytes) in &sound.log {
        if name == "lock" {
            continue;
        }
        // The small files have fewer bytes, and the first ones of each are the header's.
        let step = step.min(bytes.len() / 4 + 1);
        let first = usize::try_from(draw.below(step as u64)).unwrap();
        for at in (first..bytes.len()).step_by(step).chain([17, bytes.len()]) {
            let cut = bytes[..at].to_vec();
            let mut zeros = cut.clone();
            zeros.resize(bytes.len() + 100, 0);
            let mut garbage = cut.clone();
            garbage.extend((0..200).map(|_| draw.below(256).to_le_bytes()[0]));
            let mut flipped = bytes.clone();
            if let Some(byte) = flipped.get_mut(at) {
                *byte ^= 1 << draw.below(8);
            }
            for (how, content) in [
                ("cut", cut),
                ("zeros", zeros),
                ("garbage", garbage),
                ("a flipped bit", flipped),
            ] {
                let how = format!("{name}: {how} at byte {at}");
                if check(&sound, dir.path(), name, &content, &how) {
                    served += 1;
                } else {
                    refused += 1;
                }
            }
        }
    }
    println!("{served} served, {refused} refused");
    assert!(served > 10 && refused > 10);
}
