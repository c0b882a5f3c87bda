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
    /// `rate`: at a rate of the curve. `find_max`: at the highest rate that kept the bound.
    /// `flat_out`: at far more than it bears, so that only `achieved` tells something.
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

    fn is_rate(&self) -> bool {
        self.measure == "rate"
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
        "{:26} {:>9} {:>8} {:>8} {:>7} {:>9} {:>7} {:>10} {:>7}",
        "", "held, /s", "p50 ms", "p99 ms", "SNS/it", "most, /s", "SNS/it", "posts/page", "durable"
    ));
    let most = |it: &Record| {
        let same = |other: &&Record| other.measure == "flat_out" && other.label() == it.label();
        records.iter().find(same).map(|it| it.summary.achieved)
    };
    for max in &maxima {
        let held = |it: &Record| it.held.then_some(it.summary.achieved);
        line(format!(
            "{:26} {:>9} {:>8.2} {:>8.2} {:>7} {:>9} {:>7} {:>10.1} {:>7}",
            max.label(),
            held(max).map_or("none".to_owned(), |rate| format!("{rate:.0}")),
            max.summary.p50_ms,
            max.summary.p99_ms,
            ratio(sns.and_then(|sns| held(sns)), held(max)),
            most(max).map_or("-".to_owned(), |rate| format!("{rate:.0}")),
            ratio(sns.and_then(|sns| most(sns)), most(max)),
            max.summary.posts_per_page,
            if max.durable { "yes" } else { "no" },
        ));
    }
    let mut rates: Vec<f64> = Vec::new();
    for record in records.iter().filter(|it| it.is_rate()) {
        if !rates.contains(&record.summary.rate) {
            rates.push(record.summary.rate);
        }
    }
    let heads = rates
        .iter()
        .map(|rate| format!(" {:>15}", format!("{rate}/s")));
    line(format!(
        "{:26}{}",
        "p50 / p99, ms, at",
        heads.collect::<String>()
    ));
    for max in &maxima {
        let cells = rates.iter().map(|rate| {
            let at = |it: &&Record| {
                it.is_rate() && it.label() == max.label() && it.summary.rate.total_cmp(rate).is_eq()
            };
            records
                .iter()
                .find(at)
                .map_or(format!(" {:>15}", "-"), |it| cell(&it.summary))
        });
        line(format!("{:26}{}", max.label(), cells.collect::<String>()));
    }
    out
}

/// How many times as much; `-` where one of them is missing.
fn ratio(sns: Option<f64>, peer: Option<f64>) -> String {
    match (sns, peer) {
        (Some(sns), Some(peer)) if peer > 0.0 => format!("{:.2}x", sns / peer),
        _ => "-".to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn record(system: &'static str, measure: &'static str, rate: f64, achieved: f64) -> Record {
        let summary = Summary {
            mix: "dsb".to_owned(),
            graph: "g".to_owned(),
            users: 2,
            connections: 64,
            seed: 1,
            rate,
            achieved,
            duration_s: 1.0,
            warmup_s: 0.0,
            requests: 10,
            answered: 10,
            errors: 0,
            errors_by_reason: BTreeMap::new(),
            unsent: 0,
            unanswered: 0,
            mean_ms: 1.0,
            p50_ms: 1.0,
            p90_ms: 1.5,
            p99_ms: 2.0,
            p999_ms: 3.0,
            max_ms: 4.0,
            wait_p50_ms: 0.0,
            wait_p99_ms: 0.0,
            posts_per_page: 20.0,
            kinds: BTreeMap::new(),
        };
        Record {
            system,
            setting: "x",
            durable: true,
            version: String::new(),
            scheme: String::new(),
            preload: 5,
            measure,
            held: achieved >= 0.99 * rate,
            summary,
            machine: Machine::look(),
        }
    }

    #[test]
    fn the_table_sets_sns_in_relation_to_each_and_hides_no_rate_that_was_missed() {
        let table = table(&[
            record("sns", "rate", 1_000.0, 1_000.0),
            record("sns", "find_max", 6_000.0, 6_000.0),
            record("redis", "rate", 1_000.0, 700.0),
            record("redis", "find_max", 4_000.0, 4_000.0),
            record("sns", "flat_out", 1e5, 9_000.0),
            record("redis", "flat_out", 1e5, 6_250.0),
            record("postgres", "find_max", 900.0, 100.0),
        ]);
        let row = |name: &str, nth: usize| {
            let rows = table.lines().filter(|line| line.starts_with(name));
            rows.into_iter().nth(nth).unwrap_or_default().to_owned()
        };
        assert!(row("sns", 0).contains("1.00x"), "{table}");
        assert!(row("redis", 0).contains("1.50x"), "{table}");
        assert!(row("redis", 0).contains("1.44x"), "{table}");
        assert!(row("postgres", 0).contains("none"), "{table}");
        assert!(row("sns", 1).contains("1.00 / 2.00"), "{table}");
        assert!(row("redis", 1).contains("only 700"), "{table}");
    }

    #[test]
    fn a_record_is_one_flat_object() {
        let record = record("sns", "rate", 1_000.0, 1_000.0);
        let json = serde_json::to_value(&record).unwrap();
        for key in [
            "system", "setting", "durable", "version", "measure", "graph", "mix", "rate", "seed",
            "achieved", "p99_ms", "cpu", "cores", "kernel", "commit", "date",
        ] {
            assert!(json.get(key).is_some(), "{key} is missing in {json}");
        }
    }
}
