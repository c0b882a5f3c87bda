//! One run, from a new data directory to a checked history.

use std::cell::RefCell;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sns_client::{Client, Options};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::args;
use crate::check::check;
use crate::clock::Clock;
use crate::cluster::{Cluster, Shape};
use crate::collect::{listings, settled};
use crate::failure::{Doing as _, Failure, Result};
use crate::faults::{Deck, Kind, Kinds, Stage, complain};
use crate::follower::follow;
use crate::history::{Fault, History, Run};
use crate::load::{Counters, Load, MARKER, PROBER, Plan, Prober, Shared, user};
use crate::log::{LogKind, LogPlace};
use crate::nats::Nats;
use crate::progress::Progress;
use crate::report::Outcome;
use crate::resources::Sampler;
use crate::wire::Wires;
use crate::{facade, namespace};

/// Users that the posts of `--preload` are spread over.
const PRELOAD_USERS: u64 = 100;
/// Of the prober where a full disk refuses writes: they are to be seen refused, not retried.
const LITTLE_PATIENCE: Duration = Duration::from_millis(700);
/// Before the first fault: as long as a node has to serve until its death is no failed start.
const WARM_UP: Duration = Duration::from_millis(2_500);

/// Runs, checks, and says how it went.
///
/// # Errors
/// The run could not be made, or not to its end: a process that was killed did not come back, for
/// instance.
pub(crate) async fn run(args: args::Run) -> Result<Outcome> {
    let seed = args.seed.unwrap_or_else(rand::random);
    let progress = Progress::new(args.duration);
    progress.say(&format!("seed {seed}"));
    let program = server_program(&args)?;
    let place = Place::new(&args)?;
    if let Some(path) = &args.history {
        // Better now than after an hour.
        fs::File::create(path).doing(format_args!("write {}", path.display()))?;
    }
    let ran = Running::start(&args, seed, &program, &place, &progress).await;
    let history = match ran {
        Ok(running) => running.finish(&args, &progress).await,
        Err(e) => Err(e),
    };
    let history = match history {
        Ok(history) => history,
        Err(e) => {
            let kept = place.keep();
            return Err(Failure(format!(
                "{e}; seed {seed}; the data is in {}",
                kept.display()
            )));
        }
    };
    progress.stage("checking");
    let report = check(&history);
    let mut saved = args.history.clone();
    if !report.passed() && saved.is_none() {
        saved = Some(place.keep().join("history.jsonl.gz"));
    }
    if let Some(path) = &saved {
        progress.stage("saving the history");
        history
            .write(path)
            .doing(format_args!("write {}", path.display()))?;
    }
    progress.end();
    Ok(Outcome {
        run: history.run,
        faults: history.faults,
        report,
        history: saved,
    })
}

/// Where the data is.
struct Place {
    dir: PathBuf,
    temporary: RefCell<Option<TempDir>>,
    /// Where to put what is worth keeping, if the data goes away with this process.
    outside: Option<PathBuf>,
}

impl Place {
    fn new(args: &args::Run) -> Result<Self> {
        let outside = std::env::var_os(namespace::KEEP).map(PathBuf::from);
        if let Some(dir) = &args.data {
            fs::create_dir_all(dir).doing(format_args!("make {}", dir.display()))?;
            let mut entries = fs::read_dir(dir).doing("list the directory of --data")?;
            if entries.next().is_some() {
                let what = format!("{} is not empty: give a new directory", dir.display());
                return Err(Failure(what));
            }
            return Ok(Self {
                dir: dir.clone(),
                temporary: None.into(),
                outside,
            });
        }
        let temporary = tempfile::Builder::new().prefix("sns-chaos-").tempdir();
        let temporary = temporary.doing("make a temporary directory")?;
        Ok(Self {
            dir: temporary.path().to_owned(),
            temporary: Some(temporary).into(),
            outside,
        })
    }

    /// It stays when the run is over; where.
    fn keep(&self) -> &Path {
        if let Some(temporary) = self.temporary.take() {
            drop(temporary.keep());
        }
        let Some(outside) = &self.outside else {
            return &self.dir;
        };
        // A view is made from the log, and is large. What cannot be copied is lost.
        drop(copy(&self.dir, outside));
        outside
    }
}

/// Copies a directory, but no views.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            fs::copy(entry.path(), target)?;
        } else if entry.file_name() != "view" {
            copy(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// A run under way.
struct Running {
    stage: Stage,
    load: Load,
    follower: tokio::task::JoinHandle<Result<Vec<crate::history::Command>>>,
    /// Ends the follower, also when the run fails.
    enough: DropGuard,
    sampler: Sampler,
    run: Run,
}

impl Running {
    async fn start(
        args: &args::Run,
        seed: u64,
        program: &Path,
        place: &Place,
        progress: &Progress,
    ) -> Result<Self> {
        progress.stage("starting the service");
        let data = place.dir.join("data");
        let nats = match args.log {
            LogKind::Dir => None,
            LogKind::Nats => Some(Nats::start(&place.dir.join("nats")).await?),
        };
        let log = nats
            .as_ref()
            .map_or_else(|| LogPlace::in_data(&data), Nats::log);
        let shape = Shape {
            pairs: args.pairs,
            segment_bytes: args.segment_bytes,
            log: log.clone(),
        };
        let cluster = Cluster::start(program, &data, shape).await?;
        if args.preload > 0 {
            progress.stage("loading posts");
            preload(&cluster, &place.dir, args.preload).await?;
        }
        let wires = Wires::default();
        let mut routers = vec![cluster.url().to_owned()];
        if args.faults.contains(Kind::Net) {
            routers.push(facade::start(cluster.url(), wires.clone()).await?);
        }
        let clock = Clock::start();
        let shared = Shared {
            clock,
            wires: wires.clone(),
            counters: Arc::new(Counters::default()),
            enough: CancellationToken::new(),
        };
        let ending = CancellationToken::new();
        let enough = ending.clone().drop_guard();
        let sampler = Sampler::new(&data, log.dir(), args.samples.as_deref())?;
        let follower = tokio::task::spawn_blocking(move || follow(&*log.open()?, &ending));
        progress.stage("starting the clients");
        let plan = Plan {
            seed,
            clients: args.clients,
            watchers: args.watchers,
            rate: args.rate,
            routers,
        };
        let counters = Arc::clone(&shared.counters);
        let patience = args
            .faults
            .contains(Kind::DiskFull)
            .then_some(LITTLE_PATIENCE);
        let prober = Prober::connect(cluster.url(), patience, shared.clone()).await?;
        let load = Load::start(&plan, shared).await?;
        let control = Options::new(MARKER).routers([cluster.url()]);
        let control = Client::connect(control)
            .await
            .doing("connect to the router")?;
        let run = Run {
            seed,
            faults: names(&args.faults),
            log: args.log.as_str().to_owned(),
            clients: args.clients,
            watchers: args.watchers,
            pairs: args.pairs,
            preloaded: args.preload,
            version: version(&cluster).await?,
        };
        let stage = Stage {
            cluster,
            nats,
            control,
            clock,
            seed,
            rng: StdRng::seed_from_u64(seed),
            hit: Vec::new(),
            wires,
            counters,
            prober,
            ballast: place.dir.join("ballast"),
        };
        Ok(Self {
            stage,
            load,
            follower,
            enough,
            sampler,
            run,
        })
    }

    async fn finish(mut self, args: &args::Run, progress: &Progress) -> Result<History> {
        let mut faults = self.hurt(args, progress).await?;
        progress.stage("waiting for the timelines");
        let (mut ops, streams) = self.load.finish().await?;
        ops.extend(self.stage.prober.into_ops());
        // By time, as one would tell it.
        ops.sort_by_key(|op| op.start);
        // What goes wrong from here on is the service's doing: the history is judged all the same.
        let mut end = Fault {
            kind: "end".to_owned(),
            at: self.stage.clock.now(),
            ..Fault::default()
        };
        let cluster = &mut self.stage.cluster;
        let nodes = cluster.nodes().len();
        let log = cluster.log().clone();
        progress.stage("asking every replica");
        let found = settled(&self.stage.control, nodes, &log).await;
        let found = found.unwrap_or_else(|e| complain_of(&mut end, &e));
        drop(self.enough);
        let log = self.follower.await.doing("follow the log")?;
        let log = log.unwrap_or_else(|e| complain_of(&mut end, &e));
        let users = users(args);
        let total = users.len() * found.len();
        let mut listed = Vec::new();
        let mut done = 0;
        for (replica, address) in &found {
            let lists = listings(&replica.name, address, &users, || {
                done += 1;
                progress.part(done, total);
            });
            listed.extend(lists.await.unwrap_or_else(|e| complain_of(&mut end, &e)));
        }
        progress.stage("stopping the service");
        if let Err(e) = cluster.stop().await {
            complain(&mut end, &e.to_string());
        }
        if end.complaint.is_some() {
            faults.push(end);
        }
        Ok(History {
            run: self.run,
            ops,
            streams,
            faults,
            log,
            replicas: found.into_iter().map(|(replica, _)| replica).collect(),
            listings: listed,
        })
    }

    /// One fault after the other, until it is enough by every measure.
    async fn hurt(&mut self, args: &args::Run, progress: &Progress) -> Result<Vec<Fault>> {
        let mut faults: Vec<Fault> = Vec::new();
        let begun = Instant::now();
        let mut rest = WARM_UP;
        let mut deck = Deck::new(args.faults.clone());
        let mut order = StdRng::seed_from_u64(self.run.seed);
        loop {
            let counters = Arc::clone(&self.stage.counters);
            let acknowledged = Counters::get(&counters.acknowledged);
            let failed = Counters::get(&counters.failed);
            let (time, count) = (begun.elapsed(), faults.len() as u64);
            progress.hurting(time, count, acknowledged, failed);
            let running = self.stage.cluster.processes();
            self.sampler.look(time, acknowledged, &running)?;
            if time >= args.duration && count >= args.count && acknowledged >= args.writes {
                return Ok(faults);
            }
            tokio::time::sleep(rest).await;
            let kind = deck.draw(&mut order);
            let kind = kind.ok_or_else(|| Failure("no kind of fault is given".to_owned()))?;
            let fault = self.stage.inject(kind, count).await;
            if let Some(complaint) = &fault.complaint {
                // Whatever comes after a broken promise proves little.
                progress.say(&format!("the run ends early: {kind}: {complaint}"));
                faults.push(fault);
                return Ok(faults);
            }
            faults.push(fault);
            rest = args.rest.mul_f64(self.stage.rng.random());
        }
    }
}

/// Who is listed in the end.
fn users(args: &args::Run) -> Vec<String> {
    let mut users: Vec<String> = (0..args.clients).map(user).collect();
    users.extend((0..args.watchers).map(|number| format!("watcher{number}")));
    users.extend([MARKER, PROBER].map(str::to_owned));
    users.extend((0..PRELOAD_USERS.min(args.preload)).map(preloaded));
    users
}

/// Nothing, and why.
fn complain_of<T: Default>(fault: &mut Fault, why: &Failure) -> T {
    complain(fault, &why.to_string());
    T::default()
}

fn names(kinds: &Kinds) -> Vec<String> {
    kinds.as_slice().iter().map(ToString::to_string).collect()
}

/// The server program that is tested.
fn server_program(args: &args::Run) -> Result<PathBuf> {
    let program = if let Some(program) = &args.server {
        program.clone()
    } else {
        let own = std::env::current_exe().doing("find this program")?;
        own.with_file_name("sns-server")
    };
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure(format!(
        "there is no {}: build it with `cargo build -p sns-server`, or name it with --server",
        program.display()
    )))
}

async fn version(cluster: &Cluster) -> Result<String> {
    let output = cluster.program().arg("--version").output().await;
    let output = output.doing("run `sns-server --version`")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn preloaded(number: u64) -> String {
    format!("p{number}")
}

async fn preload(cluster: &Cluster, dir: &Path, posts: u64) -> Result<()> {
    let path = dir.join("posts.jsonl");
    let file = fs::File::create(&path).doing("write the posts to load")?;
    let mut file = BufWriter::new(file);
    for number in 0..posts {
        let author = preloaded(number % PRELOAD_USERS);
        let line = serde_json::json!({"author": author, "text": format!("before {number}")});
        writeln!(file, "{line}").doing("write the posts to load")?;
    }
    file.flush().doing("write the posts to load")?;
    let mut import = cluster.program();
    import.args(["import", "--data"]).arg(cluster.data());
    import.arg("--posts").arg(&path);
    let output = import.output().await.doing("run `sns-server import`")?;
    fs::remove_file(&path).doing("remove the posts to load")?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failure(format!(
        "`sns-server import` failed: {}",
        why.escape_debug()
    )))
}
