//! The comparison: one system after the other, never two at once, under the very same load.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sns_load::{Bound, Graph, Mix, Plan, Report, Target, find_max};

use crate::args::{Common, Run};
use crate::failure::{Doing as _, Failure, Result};
use crate::machine::Machine;
use crate::pull::Pull;
use crate::record::{Record, table};
use crate::retwis::Ways;
use crate::sns::Spread;
use crate::systems::{self, Filling, System, directory};
use crate::target::Feeds;
use crate::{graphs, places};

/// Sessions of `PostgreSQL`, at most: beyond these, more callers share them.
pub const SESSIONS: usize = 16;
/// Where the search for the highest rate begins.
const FIRST_RATE: f64 = 2_000.0;
/// More than any of them bears: what comes back is what it bears with all callers busy.
const FLAT_OUT: f64 = 100_000.0;
/// Of `--quick`.
const QUICK: (Duration, u64) = (Duration::from_secs(2), 20_000);
/// The rates of `--quick`.
const QUICK_RATES: &[u32] = &[1_000, 5_000];

/// Says something while the comparison works.
#[allow(clippy::print_stderr, reason = "this is a command line")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// Compares, prints a table for each graph and mix, and writes the records.
///
/// # Errors
/// A system is not installed, does not come up or refuses its load; a file cannot be written.
pub async fn run(mut args: Run) -> Result<()> {
    places::check_disk(&args.common.dir)?;
    if args.common.quick {
        args.duration = args.duration.min(QUICK.0);
        args.common.preload = args.common.preload.min(QUICK.1);
        args.rates.retain(|rate| QUICK_RATES.contains(rate));
    }
    let sns_server = sns_server(&args.common)?;
    // Better now than after a quarter of an hour.
    for system in System::ALL.into_iter().filter(|it| args.wants(*it)) {
        system.check(&sns_server)?;
    }
    let graphs = graphs::load(&args.common.graphs, args.common.quick, say)?;
    let out = args.out.as_ref().map(|path| {
        let opened = OpenOptions::new().create(true).append(true).open(path);
        opened.doing(format_args!("write {}", path.display()))
    });
    let mut campaign = Campaign {
        sns_server,
        out: out.transpose()?,
        machine: Machine::look(),
        args,
    };
    for graph in &graphs {
        for mix in campaign.args.mixes.clone() {
            let mut records = Vec::new();
            for system in System::ALL {
                if campaign.args.wants(system) {
                    let measured = Box::pin(campaign.measure(system, graph, mix)).await?;
                    records.extend(measured);
                }
            }
            print(&table(&records));
        }
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "this is a command line")]
fn print(text: &str) {
    println!("{text}");
}

/// The `sns-server` to measure.
pub(crate) fn sns_server(common: &Common) -> Result<PathBuf> {
    if let Some(path) = &common.sns_server {
        return Ok(path.clone());
    }
    let own = std::env::current_exe().doing("find this program")?;
    Ok(own.with_file_name("sns-server"))
}

impl Run {
    fn wants(&self, system: System) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == system.name())
    }
}

struct Campaign {
    args: Run,
    sns_server: PathBuf,
    out: Option<File>,
    machine: Machine,
}

/// What a record says of the system.
struct About {
    version: String,
    scheme: String,
}

impl Campaign {
    /// Starts, fills, measures and stops one system.
    async fn measure(&mut self, system: System, graph: &Graph, mix: Mix) -> Result<Vec<Record>> {
        let (name, setting) = (system.name(), system.setting());
        say(&format!(
            "{name} ({setting}), {}, {mix}: starts and fills",
            graph.name
        ));
        let common = &self.args.common;
        let dir = directory(&common.dir)?;
        let filling = Filling {
            graph,
            posts: common.preload,
            // Other texts and authors than those of the load.
            seed: !common.seed,
            callers: usize::from(common.connections),
        };
        match system {
            System::Redis(fsync) => {
                let ways = Ways::default();
                let (server, feeds) = systems::redis(dir.path(), fsync, ways, filling).await?;
                let about = About {
                    version: server.version().to_owned(),
                    scheme: format!("Retwis, {ways:?}"),
                };
                let records = self.load(system, &about, feeds, graph, mix).await?;
                server.stop()?;
                Ok(records)
            }
            System::Postgres(durable) => {
                let sessions = SESSIONS.min(filling.callers);
                let server = systems::postgres(dir.path(), sessions, filling).await?;
                let query = systems::fastest_query(&server, sessions, filling).await?;
                let clients = Pull::connect(&server, durable, query, sessions).await?;
                let feeds = Arc::new(Feeds::new(clients)?);
                let about = About {
                    version: server.version().to_owned(),
                    scheme: format!("indexed pull, {query:?}, {sessions} sessions"),
                };
                let records = self.load(system, &about, feeds, graph, mix).await?;
                server.stop()?;
                Ok(records)
            }
            System::Sns => {
                let ways = (self.args.pairs, Spread::default());
                let made = systems::sns(dir.path(), &self.sns_server, ways, filling);
                let (server, feeds) = Box::pin(made).await?;
                let about = About {
                    version: server.version().to_owned(),
                    scheme: format!("up, {} pairs, {:?}", ways.0, ways.1),
                };
                let records = self.load(system, &about, feeds, graph, mix).await?;
                server.stop()?;
                Ok(records)
            }
        }
    }

    /// The measuring itself: the same for whatever system.
    async fn load<T: Target>(
        &mut self,
        system: System,
        about: &About,
        target: Arc<T>,
        graph: &Graph,
        mix: Mix,
    ) -> Result<Vec<Record>> {
        let plan = Plan {
            connections: usize::from(self.args.common.connections),
            duration: self.args.duration,
            warmup: (self.args.duration / 4).min(Duration::from_secs(2)),
            seed: self.args.common.seed,
            ..Plan::new(mix, FIRST_RATE)
        };
        let bound = Bound {
            p99: Duration::from_millis(self.args.p99),
            step: (self.args.duration / 4).max(Duration::from_millis(500)),
        };
        let mut records = Vec::new();
        for rate in self.args.rates.clone() {
            let plan = Plan {
                rate: f64::from(rate),
                ..plan.clone()
            };
            let go_on = |_: &sns_load::Progress| ControlFlow::Continue(());
            let report = sns_load::run(Arc::clone(&target), graph, &plan, go_on);
            let report = Box::pin(report).await.doing("load a system")?;
            let held = bound.holds(&report);
            records.push(self.keep(system, about, ("rate", held), &report)?);
            // Far beyond what it bears, higher rates tell nothing more.
            if report.achieved() < 0.7 * plan.rate {
                break;
            }
        }
        let flat_out = Plan {
            rate: FLAT_OUT,
            // What is due in a warm-up would take up the whole run.
            warmup: Duration::ZERO,
            ..plan.clone()
        };
        let go_on = |_: &sns_load::Progress| ControlFlow::Continue(());
        let report = sns_load::run(Arc::clone(&target), graph, &flat_out, go_on);
        let report = Box::pin(report).await.doing("load a system")?;
        records.push(self.keep(system, about, ("flat_out", false), &report)?);
        let go_on = |_: &sns_load::Searching<'_>| ControlFlow::Continue(());
        let found = find_max(target, graph, &plan, &bound, go_on);
        let found = Box::pin(found).await.doing("load a system")?;
        let max = ("find_max", found.held);
        records.push(self.keep(system, about, max, &found.report)?);
        Ok(records)
    }

    fn keep(
        &mut self,
        system: System,
        about: &About,
        (measure, held): (&'static str, bool),
        report: &Report,
    ) -> Result<Record> {
        let record = Record {
            system: system.name(),
            setting: system.setting(),
            durable: system.durable(),
            version: about.version.clone(),
            scheme: about.scheme.clone(),
            preload: self.args.common.preload,
            measure,
            held,
            summary: report.summary(),
            machine: self.machine.clone(),
        };
        let it = &record.summary;
        say(&format!(
            "  {measure}: asked for {:.0}/s, got {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {} errors{}",
            it.rate,
            it.achieved,
            it.p50_ms,
            it.p99_ms,
            it.errors,
            if held || measure == "flat_out" {
                ""
            } else {
                ", not held"
            }
        ));
        for (reason, count) in &it.errors_by_reason {
            say(&format!("    {count} times: {reason}"));
        }
        if let Some(out) = &mut self.out {
            let line = serde_json::to_string(&record).map_err(|e| Failure(e.to_string()))?;
            writeln!(out, "{line}").doing("write the records")?;
        }
        Ok(record)
    }
}
