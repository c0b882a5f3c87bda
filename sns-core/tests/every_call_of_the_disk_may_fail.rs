//! Whichever call of the disk fails, and however: what was acknowledged is there, what was refused
//! is not, sound data is not called damaged, and writing goes on.
//!
//! `SNS_NTH_SEEDS=N` cuts the power in N ways after each run; `SNS_NTH_PAIRS=N` lets N pairs fail.

#[path = "support/draw.rs"]
mod draw;

use std::collections::BTreeMap;

use draw::Draw;
use sns_core::log::dir::DirLogOptions;
use sns_core::log::dir::sim::{Aftermath, Fault, Files, Struck, fail_nth};
use sns_core::log::{Error, Log};

const EINTR: i32 = 4;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn run(faults: &[(u64, u64, Fault)], aftermath: Aftermath) -> Struck {
    fail_nth(faults, aftermath).unwrap_or_else(|violation| {
        panic!("(calls before, times, fault) {faults:?}, then {aftermath:?}: {violation}")
    })
}

#[test]
fn whichever_call_fails_nothing_acknowledged_is_lost_and_nothing_refused_is_there() {
    let seeds = std::env::var("SNS_NTH_SEEDS").map_or(2, |n| n.parse().expect("a number"));
    let faults = [
        (Fault::Errno(EIO), 1),
        (Fault::Errno(EIO), 2),
        (Fault::Errno(EIO), 5),
        (Fault::Errno(EIO), 20),
        (Fault::Errno(ENOSPC), 1),
        (Fault::Errno(ENOSPC), 2),
        (Fault::Errno(EINTR), 1),
        (Fault::Errno(EINTR), 3),
        (Fault::Short, 1),
        (Fault::Torn(ENOSPC), 1),
        (Fault::Torn(EIO), 1),
    ];
    let (mut runs, mut failed) = (0_u64, 0_u64);
    let (mut refused, mut unknown) = (0, 0);
    let mut kinds: BTreeMap<char, u64> = BTreeMap::new();
    // Without a fault nothing is refused; so many calls there are.
    let calm = run(&[], Aftermath::GoOn);
    assert_eq!((calm.refused, calm.unknown), (0, 0));
    for (fault, times) in faults {
        for calls in 0..calm.calls {
            let mut aftermaths = vec![Aftermath::GoOn, Aftermath::Kill, Aftermath::Evict];
            aftermaths.extend((0..seeds).map(|seed| Aftermath::PowerCut(seed * 10_007 + calls)));
            for aftermath in aftermaths {
                let one = run(&[(calls, times, fault)], aftermath);
                runs += 1;
                failed += one.struck.len() as u64;
                refused += one.refused;
                unknown += one.unknown;
                for kind in one.struck {
                    *kinds.entry(char::from(kind)).or_default() += 1;
                }
            }
        }
    }
    println!(
        "{} calls, {runs} runs, {failed} calls failed, {refused} appends refused, {unknown} unknown: {kinds:?}",
        calm.calls
    );
    // Every call there is was among them: cuts, syncs, renames, locks and all.
    let all: String = kinds.keys().collect();
    assert_eq!(all, "DILRUdilnorstuw");
}

#[test]
fn whichever_two_calls_fail_it_is_the_same() {
    let pairs = std::env::var("SNS_NTH_PAIRS").map_or(4_000, |n| n.parse().expect("a number"));
    let calls = run(&[], Aftermath::GoOn).calls;
    let mut draw = Draw(7);
    let mut below = |bound| draw.below(bound);
    for _ in 0..pairs {
        let mut fault = || match below(6) {
            0 => (0, 1, Fault::Short),
            1 => (0, 1, Fault::Torn(ENOSPC)),
            2 => (0, 1 + below(3), Fault::Errno(ENOSPC)),
            3 => (0, 1, Fault::Errno(EINTR)),
            _ => (0, 1 + below(3), Fault::Errno(EIO)),
        };
        let (mut one, mut two) = (fault(), fault());
        one.0 = below(calls);
        // Often the second hits what mends the first.
        two.0 = one.0
            + one.1
            + if below(2) == 0 {
                below(25)
            } else {
                below(calls)
            };
        let aftermath = match below(4) {
            0 => Aftermath::GoOn,
            1 => Aftermath::Kill,
            2 => Aftermath::Evict,
            _ => Aftermath::PowerCut(below(1 << 40)),
        };
        run(&[one, two], aftermath);
    }
}

#[test]
fn a_stop_after_a_failed_sync_of_commit_brings_it_to_the_disk_all_the_same() {
    for seed in 0..200 {
        let files = Files::default();
        let log = files.open(DirLogOptions::default()).expect("open");
        let commit = |when: &str| {
            let bytes = files.contents().remove("commit").expect("commit");
            let index = bytes.get(24..32).expect(when);
            u64::from_le_bytes(index.try_into().expect("eight bytes"))
        };
        for index in 1..=3 {
            assert_eq!(log.append(b"entry").expect("append"), index);
        }
        // It may have been on the disk before, or not.
        if seed % 2 == 0 {
            log.close().expect("close");
            log.append(b"four").expect("append");
        }
        let durable = commit("written");
        files.fail_next_sync(EIO);
        assert!(matches!(log.close(), Err(Error::Io { .. })));
        // The page cache shows it in vain, a second sync says that all is well, and it is lost.
        if seed % 3 == 0 {
            files.evict();
        }
        log.close().expect("a second attempt");
        files.cut_power(seed);
        assert_eq!(commit("on the disk"), durable, "seed {seed}");
    }
}

#[test]
fn a_lazy_sync_of_commit_that_fails_at_any_moment_of_an_opening_is_not_forgotten() {
    let number = |files: &Files| {
        let bytes = files.contents().remove("commit").expect("commit");
        let index = bytes.get(24..32).map(<[u8; 8]>::try_from);
        index.and_then(Result::ok).map(u64::from_le_bytes)
    };
    let mut failed = 0;
    for (moments, seed) in (0..120).flat_map(|moments| (0..8).map(move |seed| (moments, seed))) {
        let files = Files::default();
        let log = files.open(DirLogOptions::default()).expect("open");
        log.append(b"entry").expect("append");
        // It may have been on the disk before, or not.
        if seed % 2 == 0 {
            log.close().expect("close");
            log.append(b"entry").expect("append");
        }
        // What came of this one cannot be told: the next goes through Open, which writes `commit`.
        files.fail_next_sync(if seed % 4 < 2 { EINTR } else { EIO });
        let unknown = log.append(b"entry");
        assert!(matches!(unknown, Err(Error::Unknown(_))), "{unknown:?}");
        let before = files.failed_syncs();
        files.fail_lazy_sync(&log, moments);
        let mut attempts = 0;
        while log.append(b"entry").is_err() {
            attempts += 1;
            assert!(attempts < 5, "it does not write again");
        }
        let stopped = (0..3).any(|_| log.close().is_ok());
        assert!(stopped, "it does not stop");
        failed += files.failed_syncs() - before;
        let durable = number(&files);
        files.evict();
        files.cut_power(seed);
        assert!(durable.is_some_and(|index| index >= 2), "{durable:?}");
        assert_eq!(
            number(&files),
            durable,
            "after {moments} moments, seed {seed}"
        );
    }
    println!("{failed} lazy syncs failed");
    assert!(failed > 300, "{failed}");
}
