//! The figures as a table or as one JSON object, and what was expected of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use sns_load::{Found, Latency, Report, Summary, Tried};

use super::flags::{FailIf, Figure};
use crate::output::Failure;
use crate::render;

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Measured {
    /// Calls.
    Calls(Box<Calls>),
    /// Streams.
    Watch(Box<Watched>),
}

/// Calls of a mix.
#[derive(Debug, Serialize)]
pub(super) struct Calls {
    #[serde(flatten)]
    summary: Summary,
    servers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    find_max: Option<FindMax>,
}

#[derive(Debug, Serialize)]
struct FindMax {
    p99_bound_ms: f64,
    held: bool,
    tried: Vec<TriedShape>,
}

#[derive(Debug, Serialize)]
struct TriedShape {
    rate: f64,
    achieved: f64,
    p99_ms: f64,
    errors: u64,
    held: bool,
}

/// Posts on their way to open streams.
#[derive(Debug, Serialize)]
pub(super) struct Watched {
    pub(super) mix: &'static str,
    pub(super) graph: String,
    pub(super) users: u32,
    /// Open streams.
    pub(super) connections: usize,
    /// TCP connections that carry them.
    pub(super) tcp_connections: usize,
    pub(super) servers: usize,
    pub(super) seed: u64,
    pub(super) rate: f64,
    pub(super) achieved: f64,
    pub(super) duration_s: f64,
    pub(super) warmup_s: f64,
    /// Posts that were made; see `post_latency` for how long that took.
    pub(super) posts: u64,
    /// Events that had to come, that came, that did not.
    pub(super) expected: u64,
    pub(super) came: u64,
    pub(super) missing: u64,
    /// Posts and streams that failed, and events that are missing.
    pub(super) errors: u64,
    pub(super) errors_by_reason: BTreeMap<String, u64>,
    /// From the call of a post to its event at a watcher.
    #[serde(flatten)]
    pub(super) latency: Latency,
    /// From when a post was due to its answer.
    pub(super) post_latency: Latency,
}

impl Measured {
    pub(super) fn run(report: &Report, servers: usize) -> Self {
        Self::calls(report.summary(), servers, None)
    }

    pub(super) fn found(found: &Found, bound: Duration, servers: usize) -> Self {
        let tried = found.tried.iter().map(|tried| TriedShape {
            rate: tried.rate,
            achieved: tried.achieved.round(),
            p99_ms: ms(tried.p99),
            errors: tried.errors,
            held: tried.held,
        });
        let find_max = FindMax {
            p99_bound_ms: ms(bound),
            held: found.held,
            tried: tried.collect(),
        };
        Self::calls(found.report.summary(), servers, Some(find_max))
    }

    fn calls(summary: Summary, servers: usize, find_max: Option<FindMax>) -> Self {
        Self::Calls(Box::new(Calls {
            summary,
            servers,
            find_max,
        }))
    }

    /// Whether the run was stopped before it measured.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Self::Calls(calls) => {
                let found = calls.find_max.as_ref();
                calls.summary.requests == 0 && found.is_none_or(|found| found.tried.len() < 2)
            }
            Self::Watch(watched) => watched.posts + watched.errors == 0,
        }
    }

    /// For stdout.
    pub(super) fn lines(&self, json: bool) -> Vec<String> {
        if json {
            return vec![render::object(self)];
        }
        match self {
            Self::Calls(calls) => calls.lines(),
            Self::Watch(watched) => watched.lines(),
        }
    }

    /// # Errors
    /// The expectations that were met, so that the program fails.
    pub(super) fn judge(&self, fail_if: &[FailIf]) -> Result<(), Failure> {
        let mut met: Vec<_> = fail_if
            .iter()
            .filter(|expectation| expectation.is_met(self.figure(expectation.figure)))
            .map(|expectation| format!("{expectation}: it is {}", self.shown(expectation.figure)))
            .collect();
        if let Self::Calls(calls) = self
            && calls.find_max.as_ref().is_some_and(|found| !found.held)
        {
            met.push("--find-max: no rate held over the whole duration".to_owned());
        }
        if met.is_empty() {
            return Ok(());
        }
        Err(Failure::Missed(met.join("; ")))
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn figure(&self, figure: Figure) -> f64 {
        let (latency, errors, achieved) = match self {
            Self::Calls(calls) => {
                let summary = &calls.summary;
                (summary.latency(), summary.errors, summary.achieved)
            }
            Self::Watch(watched) => (watched.latency, watched.errors, watched.achieved),
        };
        match figure {
            Figure::P50 => latency.p50_ms,
            Figure::P90 => latency.p90_ms,
            Figure::P99 => latency.p99_ms,
            Figure::P999 => latency.p999_ms,
            Figure::Max => latency.max_ms,
            Figure::Errors => errors as f64,
            Figure::Achieved => achieved,
        }
    }

    fn shown(&self, figure: Figure) -> String {
        let value = self.figure(figure);
        match figure {
            Figure::Errors | Figure::Achieved => value.to_string(),
            _ => format!("{value}ms"),
        }
    }
}

impl Calls {
    fn lines(&self) -> Vec<String> {
        let summary = &self.summary;
        let mut lines = vec![
            format!(
                "{} on {} ({} users), {} connections to {} servers, seed {}",
                summary.mix,
                render::escape(&summary.graph),
                summary.users,
                summary.connections,
                self.servers,
                summary.seed
            ),
            String::new(),
            header(),
            row("all", &summary.latency()),
        ];
        let kinds = summary.kinds.iter();
        lines.extend(kinds.map(|(kind, latency)| row(&kind.replace('_', " "), latency)));
        lines.push(String::new());
        lines.push(format!(
            "{}/s of {}/s achieved over {} s, {:.1} posts a page, {} errors",
            summary.achieved,
            summary.rate,
            summary.duration_s,
            summary.posts_per_page,
            summary.errors
        ));
        if summary.unsent > 0 {
            lines.push(format!(
                "{} requests were due and never sent: all connections were busy to the end",
                summary.unsent
            ));
        }
        lines.extend(reasons(&summary.errors_by_reason));
        if let Some(found) = &self.find_max {
            lines.push(if found.held {
                format!(
                    "the highest rate with p99 under {} ms: {}/s",
                    found.p99_bound_ms, summary.rate
                )
            } else {
                format!("no rate kept p99 under {} ms", found.p99_bound_ms)
            });
        }
        lines
    }
}

impl Watched {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "watch on {} ({} users), {} streams over {} connections to {} servers, seed {}",
                render::escape(&self.graph),
                self.users,
                self.connections,
                self.tcp_connections,
                self.servers,
                self.seed
            ),
            String::new(),
            header(),
            row("to a watcher", &self.latency),
            row("post", &self.post_latency),
            String::new(),
            format!(
                "{}/s of {}/s posts achieved over {} s; of {} events {} came, {} are missing; \
                 {} errors",
                self.achieved,
                self.rate,
                self.duration_s,
                self.expected,
                self.came,
                self.missing,
                self.errors
            ),
        ];
        lines.extend(reasons(&self.errors_by_reason));
        lines
    }
}

fn header() -> String {
    format!(
        "{:<13}{:>9}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}  ms",
        "", "count", "mean", "p50", "p90", "p99", "p999", "max"
    )
}

fn row(what: &str, latency: &Latency) -> String {
    let Latency {
        count,
        mean_ms,
        p50_ms,
        p90_ms,
        p99_ms,
        p999_ms,
        max_ms,
    } = latency;
    format!(
        "{what:<13}{count:>9}{mean_ms:>10.3}{p50_ms:>10.3}{p90_ms:>10.3}{p99_ms:>10.3}\
         {p999_ms:>10.3}{max_ms:>10.3}"
    )
}

fn reasons(reasons: &BTreeMap<String, u64>) -> impl Iterator<Item = String> + '_ {
    let line = |(why, count): (&String, &u64)| format!("  {count:>7}  {}", render::escape(why));
    reasons.iter().map(line)
}

/// One rate of a search.
pub(super) fn tried(tried: &Tried) -> String {
    format!(
        "{:>7}/s: achieved {:>7.0}/s, p99 {:>8.3} ms, {} errors: {}",
        tried.rate,
        tried.achieved,
        ms(tried.p99),
        tried.errors,
        if tried.held { "holds" } else { "fails" }
    )
}

/// Milliseconds, to the microsecond.
pub(super) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
