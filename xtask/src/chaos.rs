//! `cargo xtask chaos [NAME]`: the runs behind `docs/reliability.md`, each as one command of
//! `sns-chaos`. Histories stay in `target/chaos`; `sns-chaos check FILE [--json]` judges one again.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::{finish, say};

/// A run.
struct Campaign {
    name: &'static str,
    what: &'static str,
    /// With the build that users run; the short one takes what `cargo test` has built.
    release: bool,
    args: &'static str,
}

/// Where the soak notes what its processes need.
const SAMPLES: &str = "target/chaos/soak.samples.jsonl";

/// All of them take about two hours; the short ones are part of the gate.
const CAMPAIGNS: &[Campaign] = &[
    Campaign {
        name: "short",
        what: "every kind of fault but a full disk, 2 minutes, unoptimised build",
        release: false,
        args: "--faults kill,pair,all,stop,hang,startup,snapshot,view,descriptors,net \
               --duration 110s --clients 24 --watchers 6 --rate 250 --segment-bytes 65536",
    },
    Campaign {
        name: "short-disk-full",
        what: "a full disk now and then, 20 seconds, unoptimised build",
        release: false,
        args: "--faults disk-full,kill --duration 20s --clients 12 --watchers 3 --rate 100",
    },
    Campaign {
        name: "short-nats",
        what: "the log on three NATS servers, which are hurt too, 1 minute, unoptimised build",
        release: false,
        args: "--log nats --faults nats-kill,nats-stop,nats-cut,nats-kill-two,kill,stop \
               --duration 60s --clients 16 --watchers 4 --rate 200",
    },
    Campaign {
        name: "kill",
        what: "1,000 kills under 1,000,000 acknowledged writes",
        release: true,
        args: "--faults kill --count 1000 --writes 1000000 --clients 32 --watchers 10 \
               --rate 2000 --rest 300ms --duration 1s",
    },
    Campaign {
        name: "hang",
        what: "200 nodes stopped for good, half of them while they hold the lock of the log",
        release: true,
        args: "--faults hang --count 200 --clients 32 --watchers 10 --rate 1000 --rest 300ms \
               --duration 1s",
    },
    Campaign {
        name: "all",
        what: "everything killed at once 50 times, with 1,000,000 posts stored",
        release: true,
        args: "--faults all --count 50 --preload 1000000 --clients 32 --watchers 10 --rate 500 \
               --rest 2s --duration 1s",
    },
    Campaign {
        name: "disk-full",
        what: "20 times no room left",
        release: true,
        args: "--faults disk-full --count 20 --clients 16 --watchers 4 --rate 200 --rest 2s \
               --duration 1s",
    },
    Campaign {
        name: "trim",
        what: "makers of snapshots and nodes killed 100 times while the log is trimmed",
        release: true,
        args: "--faults snapshot,startup --count 200 --segment-bytes 65536 --clients 32 \
               --watchers 10 --rate 1000 --rest 300ms --duration 1s",
    },
    Campaign {
        name: "nats-kill",
        what: "300 kills of servers, of one and of two NATS servers at a time",
        release: true,
        args: "--log nats --faults kill,nats-kill,nats-kill-two --count 300 --clients 32 \
               --watchers 10 --rate 500 --rest 300ms --duration 1s",
    },
    Campaign {
        name: "nats",
        what: "everything that can be done to NATS servers, wires and servers, 100 times",
        release: true,
        args: "--log nats --faults nats-stop,nats-stop-two,nats-cut,nats-all,stop,pair,snapshot \
               --count 100 --segment-bytes 65536 --clients 32 --watchers 10 --rate 500 \
               --rest 300ms --duration 1s",
    },
    Campaign {
        name: "soak",
        what: "every kind of fault but a full disk for 30 minutes; what the processes need",
        release: true,
        args: "--faults kill,pair,all,stop,hang,startup,snapshot,view,descriptors,net \
               --duration 30m --clients 32 --watchers 10 --rate 500 --rest 10s \
               --samples target/chaos/soak.samples.jsonl",
    },
];

/// Runs one, or all.
pub(crate) fn run(name: Option<&str>) -> ExitCode {
    let chosen: Vec<&Campaign> = CAMPAIGNS
        .iter()
        .filter(|it| name.is_none_or(|name| it.name == name))
        .collect();
    if chosen.is_empty() {
        usage();
        return ExitCode::from(2);
    }
    let mut failed = Vec::new();
    for campaign in chosen {
        say(&format!("chaos {}: {}", campaign.name, campaign.what));
        if let Err(why) = one(campaign) {
            say(&format!("failed: chaos {}: {why}", campaign.name));
            failed.push(campaign.name);
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    say(&format!("failed: {}", failed.join(", ")));
    ExitCode::FAILURE
}

pub(crate) fn usage() {
    for campaign in CAMPAIGNS {
        say(&format!(
            "       cargo xtask chaos {:15} {}",
            campaign.name, campaign.what
        ));
    }
}

fn one(campaign: &Campaign) -> Result<(), String> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "-p", "sns-server", "-p", "sns-chaos"]);
    if campaign.release {
        build.arg("--release");
    }
    finish(&mut build)?;
    let profile = if campaign.release { "release" } else { "debug" };
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let program = Path::new(&target).join(profile).join("sns-chaos");
    fs::create_dir_all("target/chaos").map_err(|e| format!("target/chaos: {e}"))?;
    let mut run = Command::new(&program);
    run.arg("run").args(campaign.args.split_whitespace());
    run.arg("--history");
    run.arg(format!("target/chaos/{}.jsonl.gz", campaign.name));
    finish(&mut run)?;
    if campaign.args.contains(SAMPLES) {
        finish(Command::new(program).args(["needs", SAMPLES]))?;
    }
    Ok(())
}
