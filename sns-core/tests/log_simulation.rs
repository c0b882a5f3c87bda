//! The rules of the directory log under every fault a machine has, and without each of them.
//!
//! `SNS_SIM_SEEDS=N` runs more seeds, `SNS_SIM_SEED=S` only that one.

use sns_core::log::dir::Step;
use sns_core::log::dir::sim::{Plan, Report, run};

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

fn plan(seed: u64, without: Option<Step>) -> Plan {
    Plan {
        processes: 2 + (seed % 2) as usize,
        calls: 1500,
        without,
    }
}

#[test]
fn no_seed_loses_changes_or_invents_an_entry_or_calls_sound_data_damaged() {
    let seeds = match number("SNS_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SNS_SIM_SEEDS").unwrap_or(5000),
    };
    let count = seeds.end - seeds.start;
    let mut sum = Report::default();
    for seed in seeds {
        let report = match run(seed, plan(seed, None)) {
            Ok(report) => report,
            Err(violation) => panic!("seed {seed}: {violation}"),
        };
        sum.calls += report.calls;
        sum.acknowledged += report.acknowledged;
        sum.kills += report.kills;
        sum.power_cuts += report.power_cuts;
        sum.failed_syncs += report.failed_syncs;
        sum.segments += report.segments;
        sum.flipped |= report.flipped;
    }
    println!("{count} seeds: {sum:?}");
    if count >= 100 {
        // The machine was not too kind.
        assert!(sum.acknowledged > 10 * count && sum.kills > count);
        assert!(sum.power_cuts > count / 2 && sum.failed_syncs > count / 10);
        assert!(sum.segments > count && sum.flipped);
    }
}

#[test]
fn the_same_seed_runs_the_same_way() {
    for seed in 0..40 {
        let (one, two) = (run(seed, plan(seed, None)), run(seed, plan(seed, None)));
        assert_eq!(one, two, "seed {seed}");
    }
}

#[test]
fn every_step_of_the_rules_is_missed_when_it_is_left_out() {
    for step in Step::ALL {
        let caught = (0..2_000).find_map(|seed| {
            let violation = run(seed, plan(seed, Some(step))).err()?;
            Some((seed, violation))
        });
        let (seed, violation) = caught.unwrap_or_else(|| panic!("{step:?} is not missed"));
        println!("{step:?}: seed {seed}: {violation}");
    }
}
