//! The checker is checked: it passes histories of a service that is right, and finds each way in
//! which one was spoilt.

#[path = "check_bad_histories/service.rs"]
mod service;
#[path = "check_bad_histories/spoil.rs"]
mod spoil;

use std::time::Instant;

use service::{Rng, SMALL, Size, good};
use sns_chaos::check::{Report, check};

/// Histories in which each way to spoil one has to be found.
const SEEDS_EACH: usize = 6;

fn told(report: &Report) -> String {
    let first = report.violations.iter().take(8).map(ToString::to_string);
    format!(
        "{:?}\n{}",
        report.by_kind,
        first.collect::<Vec<_>>().join("\n")
    )
}

#[test]
fn a_history_of_a_right_service_passes() {
    let mut unknown = 0;
    for seed in 0..200 {
        let report = check(&good(seed, SMALL));
        assert!(report.passed(), "seed {seed}: {}", told(&report));
        unknown += report.counts.unknown;
    }
    assert!(unknown > 200, "too little is unknown: {unknown}");
    println!("{:#?}", check(&good(0, SMALL)).counts);
}

#[test]
fn each_way_to_spoil_a_history_is_found() {
    let spoilings = spoil::all();
    assert!(spoilings.len() >= 40);
    let mut missed = Vec::new();
    for (name, kind, spoil) in &spoilings {
        let mut seeds = Vec::new();
        for seed in 0..400 {
            let mut history = good(seed, SMALL);
            let before = history.clone();
            if spoil(&mut history, &mut Rng(seed)).is_none() {
                continue;
            }
            assert_ne!(history, before, "{name}, seed {seed}: nothing was spoilt");
            seeds.push(seed);
            let report = check(&history);
            if !report.has(*kind) {
                missed.push(format!(
                    "{name}, seed {seed}: no {kind:?}: {}",
                    told(&report)
                ));
            }
            if seeds.len() == SEEDS_EACH {
                break;
            }
        }
        println!("{kind:?}: {name}: seeds {seeds:?}");
        if seeds.len() < SEEDS_EACH {
            missed.push(format!("{name} fits too few histories: {seeds:?}"));
        }
    }
    println!("{} ways to spoil a history", spoilings.len());
    assert!(
        missed.is_empty(),
        "{} missed:\n{}",
        missed.len(),
        missed.join("\n")
    );
}

#[test]
fn a_history_is_the_same_in_a_file() {
    let history = good(7, SMALL);
    let dir = tempfile::tempdir().unwrap();
    for name in ["history.jsonl", "history.jsonl.gz"] {
        let path = dir.path().join(name);
        history.write(&path).unwrap();
        assert_eq!(sns_chaos::history::History::read(&path).unwrap(), history);
    }
}

/// Prints what it takes to check many calls: `SNS_CHECK_OPS=1000000 cargo test -p sns-chaos
/// --test check_bad_histories many -- --nocapture`.
#[test]
fn many_calls_are_checked_in_seconds() {
    let ops = std::env::var("SNS_CHECK_OPS").map_or(20_000, |ops| ops.parse().unwrap());
    let size = Size {
        ops,
        users: 1_000.min(ops / 20),
        clients: 64,
        watchers: 16,
        preloaded: ops / 10,
        lag: 0,
    };
    let history = good(1, size);
    let bytes = peak_bytes();
    let start = Instant::now();
    let report = check(&history);
    let took = start.elapsed();
    assert!(report.passed(), "{}", told(&report));
    println!(
        "{ops} calls, {} commands, {} posts on {} pages, {} events: {took:?}, \
         {} MB before, {} MB at the peak",
        report.counts.commands,
        report.counts.seen,
        report.counts.pages,
        report.counts.events,
        bytes / 1_000,
        peak_bytes() / 1_000
    );
}

/// The most memory this process ever had, in kB; 0 where the system does not tell.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}
