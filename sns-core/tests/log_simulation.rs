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
        None => 0..number("SNS_SIM_SEEDS").unwrap_or(10_000),
    };
    let count = seeds.end - seeds.start;
    // With two writers, and with three.
    let mut sums = [Report::default(), Report::default()];
    for seed in seeds {
        let plan = plan(seed, None);
        match run(seed, plan) {
            Ok(report) => sums[plan.processes - 2].add(&report),
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
    }
    println!("{count} seeds, of two writers and of three: {sums:#?}");
    if count < 100 {
        return;
    }
    for sum in sums {
        // The machine was not too kind.
        let count = count / 2;
        assert!(sum.acknowledged > 10 * count && sum.kills > count);
        assert!(sum.power_cuts > count / 2 && sum.failed_syncs > count / 10);
        assert!(sum.failed_dir_syncs > count / 10 && sum.falls > count / 20);
        assert!(sum.rolls > count && sum.trims > count / 5);
        assert!(sum.segments > count && sum.flips > count / 20);
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
