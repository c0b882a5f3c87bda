//! What one run of a comparison gave: a line of JSON, and a row of the table.

use std::fmt::Write as _;

use serde::Serialize;
use sns_load::Summary;

use crate::machine::Machine;

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// `redis`, `postgres` or `sns`.
    pub system: &'static str,
    /// What it was told about durability.
    pub setting: &'static str,
    /// Whether every acknowledged write survives a power cut.
    pub durable: bool,
    /// What it says its version is.
    pub version: String,
    /// How its data is laid out and asked for.
    pub scheme: String,
    /// Posts that it held when its measuring began.
    pub preload: u64,
    /// `find_max` or `rate`.
    pub measure: &'static str,
    /// Whether this rate kept the bound on p99 without an error.
    pub held: bool,
    /// The figures.
    #[serde(flatten)]
    pub summary: Summary,
    /// Where.
    #[serde(flatten)]
    pub machine: Machine,
}

impl Record {
    fn label(&self) -> String {
        format!("{} {}", self.system, self.setting)
    }

    fn is_max(&self) -> bool {
        self.measure == "find_max"
    }
}

/// The table of one graph and mix: rates that were held, latencies, and SNS in relation to each.
/// `records` in the order in which the systems are to stand.
pub fn table(records: &[Record]) -> String {
    let mut out = String::new();
    let maxima: Vec<&Record> = records.iter().filter(|it| it.is_max()).collect();
    let sns = maxima.iter().find(|it| it.system == "sns");
    let Some(first) = maxima.first() else {
        return out;
    };
    let mut line = |text: String| {
        // Cannot fail: it goes to memory.
        let _written = writeln!(out, "{}", text.trim_end());
    };
    let Summary {
        graph,
        mix,
        connections,
        ..
    } = &first.summary;
    line(format!(
        "{graph}, mix {mix}, {connections} callers, {} posts before",
        first.preload
    ));
    line(format!(
        "{:28} {:>10} {:>8} {:>8} {:>8}  {:>10}",
        "highest rate that held", "requests/s", "p50 ms", "p99 ms", "durable", "SNS / it"
    ));
    for max in &maxima {
        let ratio = sns.filter(|sns| sns.held && max.held);
        let ratio = ratio.map_or("-".to_owned(), |sns| {
            format!("{:.2}x", sns.summary.achieved / max.summary.achieved)
        });
        let rate = if max.held {
            format!("{:.0}", max.summary.achieved)
        } else {
            "none".to_owned()
        };
        line(format!(
            "{:28} {:>10} {:>8.2} {:>8.2} {:>8}  {:>10}",
            max.label(),
            rate,
            max.summary.p50_ms,
            max.summary.p99_ms,
            if max.durable { "yes" } else { "no" },
            ratio,
        ));
    }
    let mut rates: Vec<f64> = Vec::new();
    for record in records.iter().filter(|it| !it.is_max()) {
        if !rates.contains(&record.summary.rate) {
            rates.push(record.summary.rate);
        }
    }
    let heads = rates
        .iter()
        .map(|rate| format!(" {:>15}", format!("{rate}/s")));
    line(format!(
        "{:28}{}",
        "p50 / p99, ms, at",
        heads.collect::<String>()
    ));
    for max in &maxima {
        let cells = rates.iter().map(|rate| {
            let at = |it: &&Record| {
                !it.is_max() && it.label() == max.label() && it.summary.rate.total_cmp(rate).is_eq()
            };
            records
                .iter()
                .find(at)
                .map_or(format!(" {:>15}", "-"), |it| cell(&it.summary))
        });
        line(format!("{:28}{}", max.label(), cells.collect::<String>()));
    }
    out
}

/// Latencies at a rate; where the rate was not reached, what was.
fn cell(summary: &Summary) -> String {
    if summary.errors + summary.unsent > 0 || summary.achieved < 0.99 * summary.rate {
        let some = if summary.errors > 0 { " err" } else { "" };
        return format!(" {:>15}", format!("only {:.0}{some}", summary.achieved));
    }
    format!(
        " {:>15}",
        format!("{:.2} / {:.2}", summary.p50_ms, summary.p99_ms)
    )
}
