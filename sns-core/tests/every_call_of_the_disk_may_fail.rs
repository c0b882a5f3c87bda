//! Whichever call of the disk fails, and however: what was acknowledged is there, what was refused
//! is not, sound data is not called damaged, and writing goes on.
//!
//! `SNS_NTH_SEEDS=N` cuts the power in N ways after each run.

use std::collections::BTreeMap;

use sns_core::log::dir::DirLogOptions;
use sns_core::log::dir::sim::{Aftermath, Fault, Files, Struck, fail_nth};
use sns_core::log::{Error, Log};

const EINTR: i32 = 4;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn run(calls: u64, times: u64, fault: Fault, aftermath: Aftermath) -> Struck {
    fail_nth(calls, times, fault, aftermath).unwrap_or_else(|violation| {
        panic!("{fault:?}, {times} times after {calls} calls, then {aftermath:?}: {violation}")
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
    let calm = run(0, 0, Fault::Short, Aftermath::GoOn);
    assert_eq!((calm.refused, calm.unknown), (0, 0));
    for (fault, times) in faults {
        for calls in 0..calm.calls {
            let mut aftermaths = vec![Aftermath::GoOn, Aftermath::Kill, Aftermath::Evict];
            aftermaths.extend((0..seeds).map(|seed| Aftermath::PowerCut(seed * 10_007 + calls)));
            for aftermath in aftermaths {
                let one = run(calls, times, fault, aftermath);
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
