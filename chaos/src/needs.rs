//! What the processes of a run needed, from the file of `--samples`: how it was in the course of
//! the run, and its slope.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::failure::{Doing as _, Failure, Result};

/// The file is told at so many moments.
const MOMENTS: usize = 5;

/// A line of the file.
#[derive(Debug, Deserialize)]
struct Sample {
    s: f64,
    acknowledged: u64,
    log_bytes: u64,
    snapshot_bytes: u64,
    view_bytes: BTreeMap<String, u64>,
    processes: BTreeMap<String, Process>,
}

#[derive(Debug, Deserialize)]
struct Process {
    rss_kib: Option<u64>,
    fds: Option<u64>,
}

/// One quantity over the run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Course {
    /// What, and its unit.
    pub(crate) what: &'static str,
    /// At the beginning, the quarters and the end: the mean around that moment.
    pub(crate) moments: Vec<f64>,
    /// By least squares over the second half of the run, when caches are warm.
    pub(crate) slope_per_hour: f64,
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:38}", self.what)?;
        for moment in &self.moments {
            write!(f, " {moment:10.1}")?;
        }
        write!(f, "   {:+.1} an hour", self.slope_per_hour)
    }
}

/// A quantity and how it is read off a sample.
type Reading = (&'static str, fn(&Sample) -> Option<f64>);

/// What is told.
const READINGS: &[Reading] = &[
    ("memory of a node, mean, MiB", |sample| {
        mean(nodes(sample).filter_map(|node| node.rss_kib)).map(|kib| kib / 1_024.0)
    }),
    ("memory of `up`, MiB", |sample| {
        mean(sample.processes.get("up")?.rss_kib.into_iter()).map(|kib| kib / 1_024.0)
    }),
    ("descriptors of a node, mean", |sample| {
        mean(nodes(sample).filter_map(|node| node.fds))
    }),
    ("log and snapshots, bytes a write", |sample| {
        per_write(sample, sample.log_bytes + sample.snapshot_bytes)
    }),
    ("one view, mean, bytes a write", |sample| {
        let bytes = mean(sample.view_bytes.values().copied())?;
        Some(bytes / number(sample.acknowledged.max(1)))
    }),
];

/// Reads the file.
///
/// # Errors
/// It cannot be read, or has too few lines to say anything.
pub(crate) fn read(path: &Path) -> Result<Vec<Course>> {
    let text = std::fs::read_to_string(path).doing(format_args!("read {}", path.display()))?;
    let lines = text.lines().map(serde_json::from_str::<Sample>);
    let samples: Result<Vec<Sample>, _> = lines.collect();
    let samples = samples.doing(format_args!("understand {}", path.display()))?;
    if samples.len() < 2 * MOMENTS {
        let (few, path) = (samples.len(), path.display());
        return Err(Failure(format!(
            "{few} samples in {path} are too few: run longer"
        )));
    }
    Ok(READINGS
        .iter()
        .map(|(what, reading)| course(what, *reading, &samples))
        .collect())
}

fn course(what: &'static str, reading: fn(&Sample) -> Option<f64>, samples: &[Sample]) -> Course {
    let points: Vec<(f64, f64)> = samples
        .iter()
        .filter_map(|sample| Some((sample.s, reading(sample)?)))
        .collect();
    let width = (points.len() / (4 * MOMENTS)).max(1);
    let moments = (0..MOMENTS).map(|moment| {
        let middle = moment * points.len().saturating_sub(1) / (MOMENTS - 1);
        let from = middle.saturating_sub(width);
        let around = &points[from..(middle + width).min(points.len())];
        around.iter().map(|point| point.1).sum::<f64>() / number(around.len() as u64)
    });
    Course {
        what,
        moments: moments.collect(),
        slope_per_hour: 3_600.0 * slope(&points[points.len() / 2..]),
    }
}

/// By least squares; 0 when there is nothing to tell.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = number(points.len() as u64);
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    let (x, y) = (x / count, y / count);
    let (above, below) = points.iter().fold((0.0, 0.0), |sum, point| {
        let off = point.0 - x;
        (sum.0 + off * (point.1 - y), sum.1 + off * off)
    });
    if below > 0.0 { above / below } else { 0.0 }
}

fn nodes(sample: &Sample) -> impl Iterator<Item = &Process> {
    let named = sample.processes.iter();
    named
        .filter(|(name, _)| name.contains('-'))
        .map(|(_, process)| process)
}

fn per_write(sample: &Sample, bytes: u64) -> Option<f64> {
    (sample.acknowledged > 0).then(|| number(bytes) / number(sample.acknowledged))
}

fn mean(values: impl Iterator<Item = u64>) -> Option<f64> {
    let (sum, count) = values.fold((0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| number(sum) / number(count))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "for a human, and far below 2^52"
)]
fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_line_is_its_slope_and_of_a_point_none() {
        let line: Vec<(f64, f64)> = (0..10).map(|x| (f64::from(x), f64::from(3 * x))).collect();
        assert!((slope(&line) - 3.0).abs() < 1e-9);
        assert!(slope(&line[..1]).abs() < 1e-9);
        assert!(slope(&[]).abs() < 1e-9);
    }

    #[test]
    fn a_file_of_samples_is_told_by_its_moments() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("samples");
        let line = |s: u64| {
            serde_json::json!({
                "s": s,
                "acknowledged": 100 * s,
                "log_bytes": 10_000 * s,
                "snapshot_bytes": 0,
                "view_bytes": {"a-master": 20_000 * s},
                "processes": {
                    "a-master": {"pid": 1, "age_s": s, "rss_kib": 1_024 * (10 + s), "fds": 7},
                    "router": {"pid": 2, "age_s": s, "rss_kib": 1, "fds": 900},
                },
            })
        };
        let text: Vec<String> = (1..=41).map(|s| line(s).to_string()).collect();
        std::fs::write(&path, text.join("\n")).expect("written");
        let courses = read(&path).expect("told");
        let of = |what: &str| courses.iter().find(|it| it.what.starts_with(what));
        let memory = of("memory of a node").expect("memory");
        assert!((memory.slope_per_hour - 3_600.0).abs() < 1e-6, "{memory}");
        let log = of("log").expect("the log");
        assert!((log.moments[2] - 100.0).abs() < 1e-6, "{log}");
        assert!(log.slope_per_hour.abs() < 1e-6, "{log}");
        std::fs::write(&path, &text[0]).expect("written");
        read(&path).expect_err("one sample");
    }
}
