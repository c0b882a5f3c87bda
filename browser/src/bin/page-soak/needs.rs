//! What a page needs, and whether that grows.

use std::fmt;
use std::fs;

use serde_json::{Value, json};
use sns_browser::Page;

/// Growth an hour that is allowed, per page and need; see [`Need::bound`].
const HEAP_AN_HOUR: f64 = 2.0 * MIB;
const NODES_AN_HOUR: f64 = 600.0;
const LISTENERS_AN_HOUR: f64 = 100.0;
/// The same over a short time, which says little about an hour.
const HEAP_FLOOR: f64 = 0.75 * MIB;
const NODES_FLOOR: f64 = 1_000.0;
const LISTENERS_FLOOR: f64 = 60.0;
const MIB: f64 = 1_048_576.0;
/// Until the windows of the pages are full: 400 posts, and ten minutes of samples.
const WARM_UP_S: f64 = 12.0 * 60.0;
/// A short run warms up for this share of it.
const WARM_UP_SHARE: f64 = 0.4;

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    Heap,
    Nodes,
    Listeners,
    /// Told, but not judged: the renderer keeps what it once had.
    Rss,
}

impl Need {
    const ALL: [Self; 4] = [Self::Heap, Self::Nodes, Self::Listeners, Self::Rss];

    fn name(self) -> &'static str {
        match self {
            Self::Heap => "heap_bytes",
            Self::Nodes => "nodes",
            Self::Listeners => "listeners",
            Self::Rss => "rss_bytes",
        }
    }

    /// How much it may grow in so many hours.
    fn bound(self, hours: f64) -> f64 {
        match self {
            Self::Heap => (HEAP_AN_HOUR * hours).max(HEAP_FLOOR),
            Self::Nodes => (NODES_AN_HOUR * hours).max(NODES_FLOOR),
            Self::Listeners => (LISTENERS_AN_HOUR * hours).max(LISTENERS_FLOOR),
            Self::Rss => f64::INFINITY,
        }
    }
}

/// One look, after all garbage was collected.
#[derive(Debug)]
pub(crate) struct Sample {
    page: &'static str,
    at_s: f64,
    posts: usize,
    heap: f64,
    nodes: f64,
    listeners: f64,
    rss: f64,
}

impl Sample {
    fn of(&self, need: Need) -> f64 {
        match need {
            Need::Heap => self.heap,
            Need::Nodes => self.nodes,
            Need::Listeners => self.listeners,
            Need::Rss => self.rss,
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "page": self.page, "at_s": self.at_s, "posts": self.posts, "heap_bytes": self.heap,
            "nodes": self.nodes, "listeners": self.listeners, "rss_bytes": self.rss,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:6.0} s  {:4}  {:6} posts  heap {:6.2} MiB  nodes {:6}  listeners {:5}  renderer {:6.1} MiB",
            self.at_s,
            self.page,
            self.posts,
            self.heap / MIB,
            self.nodes,
            self.listeners,
            self.rss / MIB
        )
    }
}

/// Looks at a page.
pub(crate) async fn look(page: &Page, name: &'static str, at_s: f64, posts: usize) -> Sample {
    page.cdp("HeapProfiler.collectGarbage", json!({})).await;
    let heap = page.cdp("Runtime.getHeapUsage", json!({})).await;
    let counters = page.cdp("Memory.getDOMCounters", json!({})).await;
    let number = |value: &Value| value.as_f64().expect("a number");
    Sample {
        page: name,
        at_s,
        posts,
        heap: number(&heap["usedSize"]),
        nodes: number(&counters["nodes"]),
        listeners: number(&counters["jsEventListeners"]),
        rss: renderers(page),
    }
}

/// The resident memory of the renderers of this browser.
#[allow(clippy::cast_precision_loss, reason = "bytes of a process")]
fn renderers(page: &Page) -> f64 {
    let profile = page.profile().display().to_string();
    let Ok(all) = fs::read_dir("/proc") else {
        return 0.0;
    };
    let pids = all.filter_map(|it| it.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut processes = Vec::new();
    for pid in pids {
        let read = |what: &str| fs::read_to_string(format!("/proc/{pid}/{what}")).ok();
        let (Some(line), Some(stat)) = (read("cmdline"), read("stat")) else {
            continue;
        };
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, words)| words.split(' ').nth(1)?.parse().ok());
        processes.push((pid, parent.unwrap_or(0), line));
    }
    let browser = processes
        .iter()
        .find(|(_, _, line)| !line.contains("--type=") && line.contains(&profile));
    let Some(&(browser, ..)) = browser else {
        return 0.0;
    };
    let parent_of = |pid: u32| processes.iter().find(|it| it.0 == pid).map_or(0, |it| it.1);
    let ours = processes.iter().filter(|(_, parent, line)| {
        line.contains("--type=renderer") && (*parent == browser || parent_of(*parent) == browser)
    });
    let resident = ours.filter_map(|(pid, ..)| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    resident.sum::<u64>() as f64 * 1_024.0
}

/// Whether one need of one page grew.
#[derive(Debug)]
pub(crate) struct Verdict {
    page: &'static str,
    need: Need,
    an_hour: f64,
    hours: f64,
    first: f64,
    last: f64,
}

impl Verdict {
    fn growth(&self) -> f64 {
        self.an_hour * self.hours
    }

    pub(crate) fn well(&self) -> bool {
        self.growth() <= self.need.bound(self.hours)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "page": self.page, "need": self.need.name(), "an_hour": self.an_hour, "hours": self.hours,
            "first": self.first, "last": self.last, "well": self.well(),
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = self.need.bound(self.hours);
        write!(
            f,
            "{:4} {:10} {:14.0} -> {:14.0}  slope {:+12.0} an hour over {:.2} h, {}",
            self.page,
            self.need.name(),
            self.first,
            self.last,
            self.an_hour,
            self.hours,
            if bound.is_infinite() {
                "not judged".to_owned()
            } else if self.well() {
                format!("growth {:+.0} of at most {bound:.0}: well", self.growth())
            } else {
                format!(
                    "growth {:+.0} of at most {bound:.0}: IT GROWS",
                    self.growth()
                )
            }
        )
    }
}

/// One for each page and need, over what was seen after the warm-up.
pub(crate) fn verdicts(samples: &[Sample]) -> Vec<Verdict> {
    let end = samples.last().map_or(0.0, |it| it.at_s);
    let warm = WARM_UP_S.min(end * WARM_UP_SHARE);
    let mut all = Vec::new();
    for page in ["feed", "ops"] {
        let seen: Vec<&Sample> = samples
            .iter()
            .filter(|it| it.page == page && it.at_s >= warm)
            .collect();
        let (Some(first), Some(last)) = (seen.first(), seen.last()) else {
            continue;
        };
        for need in Need::ALL {
            let points: Vec<(f64, f64)> = seen
                .iter()
                .map(|it| (it.at_s / 3_600.0, it.of(need)))
                .collect();
            all.push(Verdict {
                page,
                need,
                an_hour: slope(&points),
                hours: (last.at_s - first.at_s) / 3_600.0,
                first: first.of(need),
                last: last.of(need),
            });
        }
    }
    all
}

/// Of the line that fits best, by least squares.
#[allow(clippy::cast_precision_loss, reason = "a count of samples")]
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|it| it.0), mean(|it| it.1));
    let both: f64 = points.iter().map(|it| (it.0 - x) * (it.1 - y)).sum();
    let alone: f64 = points.iter().map(|it| (it.0 - x).powi(2)).sum();
    if alone > 0.0 { both / alone } else { 0.0 }
}
