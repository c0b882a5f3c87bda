//! What a run has shown, for people and for programs.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::check::Report;
use crate::history::{Fault, Run};

/// So many violations are told to people; the JSON has more, the history all.
const TOLD: usize = 20;

/// A run and what came out of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// How it was set up.
    pub(crate) run: Run,
    /// What was done.
    pub(crate) faults: Vec<Fault>,
    /// What the checker says.
    pub(crate) report: Report,
    /// Where the history was saved.
    pub(crate) history: Option<PathBuf>,
}

impl Outcome {
    /// One object: `passed`, `run`, `report`, `faults` (what, when, how it went), `history`.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "passed": self.report.passed(),
            "run": self.run,
            "report": self.report,
            "faults": self.faults,
            "history": self.history,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (run, counts) = (&self.run, &self.report.counts);
        write!(
            f,
            "seed {}, {} pairs, {} clients, {} timelines, ",
            run.seed, run.pairs, run.clients, run.watchers
        )?;
        if !run.log.is_empty() {
            write!(f, "log {}, ", run.log)?;
        }
        writeln!(f, "{}", run.version)?;
        writeln!(
            f,
            "calls    {} ({} writes acknowledged, {} refused, {} unknown, {} failed)",
            counts.ops, counts.acknowledged, counts.refused, counts.unknown, counts.failed
        )?;
        writeln!(
            f,
            "reads    {} walks over {} pages with {} posts; {} events on timelines",
            counts.walks, counts.pages, counts.seen, counts.events
        )?;
        writeln!(
            f,
            "log      {} commands, {} of them repeated and without effect; {} replicas",
            counts.commands, counts.repeated, counts.replicas
        )?;
        for (kind, number) in &counts.faults {
            writeln!(f, "fault    {kind}: {number}")?;
        }
        for (kind, it) in &self.report.outages.back {
            writeln!(
                f,
                "service  {kind}: back {} times, p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
                it.count, it.p50_ms, it.p99_ms, it.max_ms
            )?;
        }
        for (kind, it) in &self.report.outages.calls {
            writeln!(
                f,
                "outage   {kind}: {} of clients, p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
                it.count, it.p50_ms, it.p99_ms, it.max_ms
            )?;
        }
        for (kind, it) in &self.report.outages.streams {
            writeln!(
                f,
                "outage   {kind}: {} of timelines, p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
                it.count, it.p50_ms, it.p99_ms, it.max_ms
            )?;
        }
        if let (Some(least), Some(most)) = (
            self.report.outages.stream_faults.iter().min(),
            self.report.outages.stream_faults.iter().max(),
        ) {
            writeln!(f, "timelines  each lost its server {least} to {most} times")?;
        }
        writeln!(f, "outages that never ended: {}", self.report.outages.open)?;
        if self.report.passed() {
            write!(
                f,
                "nothing lost, doubled, reordered, stale or diverged; no gap"
            )?;
        } else {
            let violations = self.report.violations.iter();
            for violation in violations.take(TOLD) {
                writeln!(f, "VIOLATION  {violation}")?;
            }
            let all: u64 = self.report.by_kind.values().sum();
            write!(f, "{all} violations: {:?}", self.report.by_kind)?;
        }
        if let Some(path) = &self.history {
            write!(f, "\nthe history: {}", path.display())?;
        }
        Ok(())
    }
}
