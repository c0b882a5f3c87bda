//! Draws the plots of `docs/performance.md` from figures: files of JSON lines, as the other
//! subcommands and the load generators write them. A later line replaces an earlier one about the
//! same thing, so a figure that was taken again is drawn once.

mod chart;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::run::{self, Result};
use chart::{Axis, Chart, Scale, Series};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Files of figures, one JSON object a line.
    #[arg(long, value_delimiter = ',', value_name = "FILE")]
    #[arg(default_value = "docs/performance.jsonl")]
    from: Vec<PathBuf>,
    /// Where the plots go.
    #[arg(long, value_name = "DIR", default_value = "docs")]
    to: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut lines = Vec::new();
    for path in &options.from {
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let text = fs::read_to_string(path).map_err(|e| failed(&e))?;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            lines.push(serde_json::from_str(line).map_err(|e| failed(&e))?);
        }
    }
    fs::create_dir_all(&options.to)?;
    let mut charts = vec![
        followers(&lines),
        followees(&lines),
        growth(&lines),
        memory(&lines),
    ];
    charts.extend(loads(&lines));
    for chart in charts {
        let path = options.to.join(&chart.file);
        if chart.series.iter().all(|it| it.points.is_empty()) {
            run::say(&format!("no figures for {}: not drawn", chart.file));
            continue;
        }
        chart.draw(&path)?;
        run::say(&format!("drew {}", path.display()));
    }
    Ok(())
}

/// The figures of one kind.
fn of<'a>(lines: &'a [Value], figure: &str) -> Vec<&'a Value> {
    lines
        .iter()
        .filter(|line| line["figure"] == figure)
        .collect()
}

/// `y` against `x` in the order of `x`; the last line counts where two have the same `x`.
fn points(lines: &[&Value], x: &str, y: &str) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for line in lines {
        if let (Some(x), Some(y)) = (line[x].as_f64(), line[y].as_f64()) {
            points.retain(|point| (point.0 - x).abs() > f64::EPSILON);
            points.push((x, y));
        }
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

fn series(name: &str, lines: &[&Value], x: &str, y: &str) -> Series {
    Series {
        name: name.to_owned(),
        points: points(lines, x, y),
        dashed: false,
    }
}

/// The data set and the machine of the last figure.
fn caption(lines: &[&Value]) -> String {
    let Some(last) = lines.last() else {
        return String::new();
    };
    let graph = last["graph"].as_str().unwrap_or("?");
    let durability = last["durability"].as_str();
    let durability = durability.map_or(String::new(), |it| format!("; {it}"));
    format!("{graph}{durability}; {}", machine(lines))
}

/// The machine of the last figure.
fn machine(lines: &[&Value]) -> String {
    let Some(last) = lines.last() else {
        return String::new();
    };
    let text = |key: &str| last[key].as_str().unwrap_or("?").to_owned();
    format!(
        "{} cores, {}, Linux {}; commit {}, {}",
        last["cores"].as_u64().unwrap_or(0),
        text("cpu"),
        text("kernel"),
        text("commit"),
        text("date"),
    )
}

fn axis(title: &str, scale: Scale) -> Axis {
    Axis {
        title: title.to_owned(),
        scale,
    }
}

fn followers(lines: &[Value]) -> Chart {
    let lines = of(lines, "followers");
    Chart {
        file: "performance-followers.svg".into(),
        title: "A durable post by its author's followers".into(),
        caption: caption(&lines),
        x: axis("followers of the author", Scale::Log),
        y: axis("microseconds", Scale::Log),
        series: vec![
            series("over gRPC, median", &lines, "followers", "rpc_p50_us"),
            series("in process, median", &lines, "followers", "p50_us"),
            series(
                "processor time, 1,000 in flight",
                &lines,
                "followers",
                "cpu_us_per_post",
            ),
        ],
    }
}

fn followees(lines: &[Value]) -> Chart {
    let lines = of(lines, "followees");
    Chart {
        file: "performance-followees.svg".into(),
        title: "A home page of 20 by the reader's followees, in memory".into(),
        caption: caption(&lines),
        x: axis("followees of the reader", Scale::Log),
        y: axis("microseconds, median", Scale::Log),
        series: vec![
            series(
                "after each post of a followee",
                &lines,
                "followees",
                "after_post_p50_us",
            ),
            series(
                "read again, nothing changed",
                &lines,
                "followees",
                "unchanged_p50_us",
            ),
            series(
                "floor: memcpy of its text",
                &lines,
                "followees",
                "floor_memcpy_us",
            ),
        ],
    }
}

fn growth(lines: &[Value]) -> Chart {
    let lines = of(lines, "growth");
    Chart {
        file: "performance-growth.svg".into(),
        title: "Throughput by posts stored, in process".into(),
        caption: caption(&lines),
        x: axis("posts stored", Scale::Log),
        y: axis("a second", Scale::Linear),
        series: vec![
            series(
                "home pages, 2 threads",
                &lines,
                "posts_stored",
                "pages_per_s",
            ),
            series(
                "durable posts, 1,000 in flight",
                &lines,
                "posts_stored",
                "posts_per_s",
            ),
        ],
    }
}

fn memory(lines: &[Value]) -> Chart {
    let lines = of(lines, "memory");
    let mut texts = series("texts of the posts", &lines, "users", "text_total_bytes");
    for point in &mut texts.points {
        point.1 /= f64::from(1 << 20);
    }
    texts.dashed = true;
    Chart {
        file: "performance-memory.svg".into(),
        title: "Resident memory by users: 10 follows and one post of 256 characters each".into(),
        caption: caption(&lines),
        x: axis("users", Scale::Log),
        y: axis("MiB", Scale::Log),
        series: vec![
            series("filled", &lines, "users", "rss_loaded_mib"),
            series(
                "opened, all home pages read",
                &lines,
                "users",
                "rss_read_mib",
            ),
            series("opened", &lines, "users", "rss_opened_mib"),
            texts,
        ],
    }
}

/// One chart for each mix on each graph that was driven at several rates: latency against what was
/// achieved, the 99th of a hundred drawn through, the median dashed; each system in its own colour.
fn loads(lines: &[Value]) -> Vec<Chart> {
    let loads: Vec<&Value> = lines
        .iter()
        .filter(|line| line["mix"].is_string() && line["p99_ms"].is_number())
        .collect();
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or("?").to_owned();
    let kinds: BTreeSet<(String, String)> = loads
        .iter()
        .map(|line| (text(line, "mix"), text(line, "graph")))
        .collect();
    let mut charts = Vec::new();
    for (mix, graph) in kinds {
        let mut systems: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for &line in &loads {
            if text(line, "mix") == mix && text(line, "graph") == graph {
                systems.entry(system(line)).or_default().push(line);
            }
        }
        let all: Vec<&Value> = systems.values().flatten().copied().collect();
        let mut series = Vec::new();
        for (system, lines) in &systems {
            for (percentile, name, dashed) in [("p99_ms", "p99", false), ("p50_ms", "p50", true)] {
                series.push(Series {
                    name: format!("{system}, {name}"),
                    points: by_rate(lines, percentile),
                    dashed,
                });
            }
        }
        let word = |text: &str| -> String {
            let kept = |c: char| c.is_ascii_alphanumeric().then_some(c.to_ascii_lowercase());
            text.chars().map(|c| kept(c).unwrap_or('-')).collect()
        };
        charts.push(Chart {
            file: format!("performance-load-{}-{}.svg", word(&mix), word(&graph)),
            title: format!("Latency against throughput: {mix} on {graph}"),
            caption: machine(&all),
            x: axis("requests a second, achieved", Scale::Linear),
            y: axis("milliseconds", Scale::Log),
            series,
        });
    }
    charts
}

/// A system as it is told from others: with what it promises of a write.
fn system(line: &Value) -> String {
    let system = line["system"].as_str().unwrap_or("sns");
    let setting = line["setting"].as_str().or(line["durability"].as_str());
    match setting {
        Some(setting) => format!("{system} ({setting})"),
        None => system.to_owned(),
    }
}

/// Latency against what was achieved, in the order of what was asked for; the last run of a rate
/// counts.
fn by_rate(lines: &[&Value], percentile: &str) -> Vec<(f64, f64)> {
    let mut runs: Vec<(f64, f64, f64)> = Vec::new();
    for line in lines {
        let (achieved, latency) = (line["achieved"].as_f64(), line[percentile].as_f64());
        if let (Some(achieved), Some(latency)) = (achieved, latency) {
            let rate = line["rate"].as_f64().unwrap_or(achieved);
            runs.retain(|run| (run.0 - rate).abs() > f64::EPSILON);
            runs.push((rate, achieved, latency));
        }
    }
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    runs.into_iter()
        .map(|(_, achieved, latency)| (achieved, latency))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_figure_that_was_taken_again_is_drawn_once() {
        let lines = [
            json!({"figure": "growth", "posts_stored": 10, "posts_per_s": 1.0}),
            json!({"figure": "growth", "posts_stored": 5, "posts_per_s": 2.0}),
            json!({"figure": "growth", "posts_stored": 10, "posts_per_s": 3.0}),
            json!({"figure": "memory", "users": 10}),
        ];
        let of = of(&lines, "growth");
        assert_eq!(
            points(&of, "posts_stored", "posts_per_s"),
            [(5.0, 2.0), (10.0, 3.0)]
        );
    }

    #[test]
    fn every_chart_is_drawn_from_lines_of_its_kind() {
        let mut lines: Vec<Value> = [1_000, 2_000, 4_000]
            .iter()
            .flat_map(|rate| {
                ["sns", "redis"].map(|system| {
                    json!({"system": system, "graph": "Reed98", "mix": "dsb", "rate": rate,
                           "achieved": rate, "p50_ms": 0.5, "p99_ms": f64::from(*rate) / 1e3})
                })
            })
            .collect();
        lines.push(json!({"figure": "followers", "followers": 10, "p50_us": 900.0}));
        let loads = loads(&lines);
        assert_eq!(loads.len(), 1);
        assert_eq!(loads[0].file, "performance-load-dsb-reed98.svg");
        assert_eq!(loads[0].series.len(), 4);
        let dir = tempfile::tempdir().unwrap();
        for chart in [&loads[0], &followers(&lines)] {
            let path = dir.path().join(&chart.file);
            chart.draw(&path).unwrap();
            let svg = fs::read_to_string(path).unwrap();
            assert!(svg.contains(&chart.x.title) && svg.contains(&chart.y.title));
        }
    }
}
