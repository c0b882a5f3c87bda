//! Goal 7: loading a graph: users, then follows.
//!
//! In process: from an edge list in memory to all of it durable and applied. Beside two running
//! pairs: `sns-server import` of the file, from its start until the log has its last entry durable,
//! until each of the four servers shows it, and until the command ends. The log and the servers are
//! asked every few milliseconds, which costs them little.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sns_benches::{Graph, GraphFile, load};
use sns_core::log::Log as _;
use sns_core::log::dir::{DirLog, DirLogOptions};
use sns_core::{DataDir, Seq, Sns};

use crate::rpc::Caller;
use crate::run::{self, Result, Run};
use crate::server::{self, Up};
use crate::system;

/// Between two questions.
const ASK: Duration = Duration::from_millis(5);

/// How long a server may take after the import ended.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(run: &Run) -> Result<()> {
    let mut rows = Vec::new();
    for (file, graph) in run::graphs() {
        rows.push(in_process(run, file, &graph)?);
        rows.push(beside_servers(run, file, &graph)?);
    }
    run::table(
        "Goal 7: import of users and follows",
        &[
            "graph",
            "how",
            "users",
            "follows",
            "durable",
            "applied on all",
            "command ended",
            "follows/s",
            "CPU",
            "written MiB",
        ],
        &rows,
    );
    Ok(())
}

/// Fills a new feed; how long until all is durable and applied.
pub(crate) fn fill(sns: &Sns, graph: &Graph, what: &str) -> Duration {
    let total = graph.users.len() + graph.follows.len();
    let bar = run::bar(what, total as u64);
    let begun = Instant::now();
    load::users(sns, &graph.users, &mut |more| bar.inc(more));
    load::follows(sns, &graph.users, &graph.follows, &mut |more| bar.inc(more));
    let took = begun.elapsed();
    bar.finish_and_clear();
    took
}

fn in_process(run: &Run, file: GraphFile, graph: &Graph) -> Result<Vec<String>> {
    let dir = run.scratch()?;
    let sns = Sns::open(dir.path())?;
    let (cpu, written) = (system::own_cpu_time(), system::own_written_bytes());
    let took = fill(&sns, graph, &format!("{}: importing", file.name()));
    let cpu = system::own_cpu_time().saturating_sub(cpu);
    let written = system::own_written_bytes().saturating_sub(written);
    let status = sns.status();
    sns.close();
    if status.follows != graph.follows.len() as u64 {
        return Err(format!("{} follows came of {}", status.follows, file.name()).into());
    }
    let per_s = graph.follows.len() as f64 / took.as_secs_f64();
    run.record.add(
        "import",
        &json!({
            "graph": file.name(),
            "durability": "fdatasync",
            "how": "in process",
            "users": graph.users.len(),
            "follows": graph.follows.len(),
            "applied_ms": run::millis(took),
            "cpu_ms": run::millis(cpu),
            "follows_per_s": run::round(per_s),
            "log_bytes": status.log_bytes,
            "written_bytes": written,
        }),
    )?;
    Ok(vec![
        file.name().into(),
        "in process".into(),
        run::count(graph.users.len() as f64),
        run::count(graph.follows.len() as f64),
        run::ms(took),
        run::ms(took),
        "-".into(),
        run::count(per_s),
        run::ms(cpu),
        run::count(written as f64 / f64::from(1 << 20)),
    ])
}

/// What was seen at one moment of an import.
struct Seen {
    /// Since its start.
    when: Duration,
    /// The first index that was not durable.
    tail: u64,
    /// What each server had applied.
    applied: Vec<u64>,
}

/// A process that does not outlive the value.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Mostly it has ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The seq that a server has applied; one that was restarted meanwhile is waited for.
async fn applied_at(server: &mut Caller) -> Result<u64> {
    let end = Instant::now() + PATIENCE;
    loop {
        match server.applied().await {
            Err(why) if Instant::now() > end => return Err(why),
            Err(_) => tokio::time::sleep(ASK).await,
            applied => return applied,
        }
    }
}

/// Asks the log and the servers how far they are.
struct Watch {
    runtime: tokio::runtime::Runtime,
    log: DirLog,
    servers: Vec<(String, Caller)>,
    begun: Instant,
    seen: Vec<Seen>,
}

impl Watch {
    fn new(up: &Up, data: &Path) -> Result<Self> {
        let runtime = run::runtime()?;
        let mut servers = Vec::new();
        for node in up.nodes() {
            let address = up.address(&node)?;
            servers.push((node, runtime.block_on(Caller::login(&address, "watcher"))?));
        }
        let log_dir = DataDir::open_existing(data, false)?.log_dir();
        let options = DirLogOptions::default().read_only(true).create(false);
        Ok(Self {
            runtime,
            log: DirLog::open(&log_dir, options)?,
            servers,
            begun: Instant::now(),
            seen: Vec::new(),
        })
    }

    fn look(&mut self) -> Result<&Seen> {
        let mut applied = Vec::new();
        for (_, server) in &mut self.servers {
            applied.push(self.runtime.block_on(applied_at(server))?);
        }
        self.seen.push(Seen {
            when: self.begun.elapsed(),
            tail: self.log.tail()?,
            applied,
        });
        self.seen.last().ok_or("nothing was seen".into())
    }

    /// When it was first so.
    fn first(&self, so: impl Fn(&Seen) -> bool) -> Result<Duration> {
        let found = self.seen.iter().find(|seen| so(seen));
        let found = found.ok_or("nobody saw the end of the import")?;
        Ok(found.when)
    }
}

fn beside_servers(run: &Run, file: GraphFile, graph: &Graph) -> Result<Vec<String>> {
    let dir = run.scratch()?;
    let data = dir.path().join("data");
    let up = Up::start(&data, 2)?;
    let mut watch = Watch::new(&up, &data)?;
    let mut command = import_command(&data, file)?;
    watch.begun = Instant::now();
    let mut import = Killed(command.spawn()?);
    let bar = run::bar(format!("{}: sns-server import", file.name()), 4);
    while import.0.try_wait()?.is_none() {
        watch.look()?;
        run::pause(ASK);
    }
    let ended = watch.begun.elapsed();
    bar.inc(1);
    let summary = summary(&mut import.0)?;
    let target = summary["seq"].as_u64().ok_or("the import names no seq")?;
    while watch.look()?.applied.iter().any(|&seq| seq < target) {
        if watch.begun.elapsed() > ended + PATIENCE {
            return Err("a server did not apply the import within two minutes".into());
        }
        run::pause(ASK);
    }
    bar.finish_and_clear();
    up.stop()?;

    let index = Seq::from_u64(target).index();
    let durable = watch.first(|seen| seen.tail > index)?;
    let applied = watch.first(|seen| seen.applied.iter().all(|&seq| seq >= target))?;
    let mut each = Vec::new();
    for (at, (node, _)) in watch.servers.iter().enumerate() {
        let when = watch.first(|seen| seen.applied[at] >= target)?;
        each.push(json!({"node": node, "applied_ms": run::millis(when)}));
    }
    let per_s = graph.follows.len() as f64 / durable.as_secs_f64();
    run.record.add(
        "import",
        &json!({
            "graph": file.name(),
            "durability": "fdatasync",
            "how": "sns-server import beside two pairs",
            "users": summary["users"],
            "follows": summary["follows"],
            "durable_ms": run::millis(durable),
            "applied_ms": run::millis(applied),
            "ended_ms": run::millis(ended),
            "servers": each,
            "follows_per_s": run::round(per_s),
        }),
    )?;
    let number = |key: &str| run::count(summary[key].as_f64().unwrap_or(0.0));
    Ok(vec![
        file.name().into(),
        "beside two pairs".into(),
        number("users"),
        number("follows"),
        run::ms(durable),
        run::ms(applied),
        run::ms(ended),
        run::count(per_s),
        "-".into(),
        "-".into(),
    ])
}

fn import_command(data: &Path, file: GraphFile) -> Result<Command> {
    let mut command = server::command()?;
    command.args(["import", "--json", "--data"]).arg(data);
    command.arg("--follows").arg(file.find()?);
    if file == GraphFile::Reed98 {
        command.arg("--undirected");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command)
}

/// What the command said when it ended.
fn summary(import: &mut std::process::Child) -> Result<Value> {
    use std::io::Read as _;
    let mut text = String::new();
    if let Some(mut stdout) = import.stdout.take() {
        stdout.read_to_string(&mut text)?;
    }
    let status = import.wait()?;
    if !status.success() {
        return Err(format!("`sns-server import` ended with {status}: {}", text.trim()).into());
    }
    Ok(serde_json::from_str(text.trim())?)
}
