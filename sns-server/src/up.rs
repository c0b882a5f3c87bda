//! `up`: a router and N pairs on this machine with one command, watched as long as it lives.
//!
//! `up` is the parent of the router and of the slaves; each slave starts its master. The pairs look
//! after themselves: `up` restarts the router, and a pair of which nobody is left to restart the
//! other. If `up` itself dies, the rest goes on; `down` finds them all.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::Uri;
use rustix::fs::{FlockOperation, flock};
use sns_proto::v1::{Server, ServerState};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::args::AuthMode;
use crate::config::{PageFlags, UpConfig, UpHttp};
use crate::down;
use crate::failure::{Failure, Result};
use crate::net::tls::{Dial, TlsFiles};
use crate::notify::Watchdog;
use crate::pair::child::{adopts_orphans, reap_orphans};
use crate::pair::machine::TICK;
use crate::pair::process::{self, ProcessId};
use crate::run_file::{self, Living, Program, RunFile};
use crate::telemetry::escaped;
use crate::token::{InternalKey, Purpose};
use crate::{again, notify, serve, status_cmd};

mod child;
mod course;
mod greeting;
mod keeper;
mod pairs;
mod plan;
mod resume;
mod router;

use course::CourseProcess;
use keeper::Keeper;
use pairs::PairOfNodes;
use plan::Plan;
use router::RouterProcess;

/// How often the wait for the first service says what it waits for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a node that was killed may need to go.
const DYING: Duration = Duration::from_secs(10);

/// Starts everything, prints `router http://H:P` once all of it serves, and stops it at `shutdown`.
///
/// # Errors
/// `Unavailable`: something runs on this data already, a port is in use, or a node does not come
/// up. `Invalid`: the directory holds something else. Whatever was started is stopped again.
pub async fn run(config: UpConfig, shutdown: CancellationToken) -> Result<()> {
    let tls = config.doors.open()?;
    let data = config.data.clone();
    let data = blocking(move || Ok(data.open()?.path().to_owned())).await?;
    // Held to the end: the kernel lets go of it, however this process ends.
    let _lock = lock_soon(&data).await?;
    let taken_over = resume::plan(&data, config.servers);
    let plan = match &taken_over {
        Some((plan, _)) => plan,
        None => &fresh_plan(&config, &data).await?,
    };
    let mut watching = JoinSet::new();
    if let Some(tls) = tls.clone() {
        watching.spawn(tls.watch_files(shutdown.clone()));
    }
    watching.spawn(notify::on_reload(shutdown.clone()));
    let mut up = Up::new(&config, plan, data, Dial::mutual(tls.as_ref()))?;
    if let Some((_, run)) = &taken_over {
        up.take_over(run);
    }
    up.write_run_file()?;
    let serves = match &taken_over {
        Some(_) => Ok(true),
        None => up.until_serving(plan, &shutdown).await,
    };
    let ended = match serves {
        Ok(true) => match up.greet(plan, taken_over.is_none()) {
            Ok(()) => {
                up.keep(&shutdown).await;
                if again::settle() {
                    // All of them go on, as children of the program that takes this one's place.
                    return Ok(());
                }
                Ok(())
            }
            mute => mute,
        },
        other => other.map(drop),
    };
    let stopped = up.stop().await;
    ended.and(stopped)
}

/// Where everything is to be; written down for each node.
async fn fresh_plan(config: &UpConfig, data: &Path) -> Result<Plan> {
    refuse_if_living(data).await?;
    if config.listen.port() != 0 {
        drop(serve::bind("--listen", config.listen).await?);
    }
    let plan = Plan::new(config.servers, config.listen, config.http)?;
    for node in plan.nodes() {
        node.file.write(&data.join("nodes").join(&node.name))?;
    }
    Ok(plan)
}

/// As [`lock`]. While a program is replaced by itself the lock is free for a moment: who looks then
/// finds living servers, and lets go of it again.
async fn lock_soon(data: &Path) -> Result<File> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lock(data) {
            Err(_) if again::before().is_some() && Instant::now() < deadline => {
                tokio::time::sleep(TICK).await;
            }
            other => return other,
        }
    }
}

/// One `up` a directory: a lock on the directory itself.
fn lock(data: &Path) -> Result<File> {
    let dir = File::open(data).map_err(|e| Failure::io(format!("{}", data.display()), &e))?;
    match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(dir),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let by = process::lock_holder(data).ok().flatten();
            let by = by.map_or(String::new(), |pid| format!(" (process {pid})"));
            Err(runs_already(data, &format!("another `sns-server up`{by}")))
        }
        Err(e) => Err(Failure::io("cannot lock the data directory", &e.into())),
    }
}

/// Refuses when a node or a router of this data lives. Those that were just killed are waited for:
/// the locks of a process stay until the last of its threads is gone, and one may sit in a sync.
async fn refuse_if_living(data: &Path) -> Result<()> {
    let deadline = Instant::now() + DYING;
    loop {
        let held = run_file::living(data)?;
        let dying = |living: &&Living| ProcessId::of(living.pid).is_none();
        let dying = held.iter().filter(dying).count();
        let mut names: Vec<&str> = held.iter().map(|living| living.node.as_str()).collect();
        let run = RunFile::read(data);
        let alive = |id: &Option<ProcessId>| id.as_ref().is_some_and(ProcessId::is_alive);
        if run.as_ref().is_some_and(|run| alive(&run.router)) {
            names.push("a router");
        }
        if run.as_ref().is_some_and(|run| alive(&run.course)) {
            names.push("a gateway of the course");
        }
        if names.is_empty() {
            return Ok(());
        }
        if dying < names.len() || Instant::now() > deadline {
            return Err(runs_already(data, &names.join(", ")));
        }
        tokio::time::sleep(TICK).await;
    }
}

fn runs_already(data: &Path, what: &str) -> Failure {
    let data = escaped(&data.display().to_string());
    let mut failure = Failure::unavailable(format!(
        "{what} runs on {data} already: `sns-server down --data {data}` stops it"
    ));
    failure.reason = None;
    failure
}

struct Up {
    data: PathBuf,
    uri: Uri,
    url: String,
    router: Keeper<RouterProcess>,
    pairs: Vec<Keeper<PairOfNodes>>,
    course: Option<Keeper<CourseProcess>>,
    started: Instant,
    /// As `run.json` has it.
    written: Option<RunFile>,
    tls: Option<TlsFiles>,
    dial: Dial,
    auth: AuthMode,
}

impl Up {
    fn new(config: &UpConfig, plan: &Plan, data: PathBuf, dial: Dial) -> Result<Self> {
        let doors = (&config.doors, &dial);
        let url = format!("{}://{}", config.doors.scheme(), plan.router);
        let uri: Uri = url
            .parse()
            .map_err(|e| Failure::invalid(format!("{url}: {e}")))?;
        let started = Instant::now();
        let router = RouterProcess::new(config, plan.router, &data, uri.clone(), &dial)?;
        let router = Keeper::new(router, RouterProcess::RULES, started);
        let storage = crate::config::DataConfig {
            path: data.clone(),
            ..config.data.clone()
        };
        let page = PageFlags {
            http: match config.http {
                UpHttp::Off => None,
                UpHttp::Next => Some(plan.router.ip()),
                UpHttp::From(first) => Some(first.ip()),
            },
            slow_call_ms: config.slow_call_ms,
            auth: config.auth,
            limits: config.limits,
        };
        let pairs = plan.pairs.iter().map(|pair| {
            let ip = plan.router.ip();
            let pair = PairOfNodes::new(&pair.name, ip, &storage, &uri, page, doors)?;
            Ok(Keeper::new(pair, PairOfNodes::RULES, started))
        });
        let course = config.course.map(|listen| {
            let course = CourseProcess::new(config, listen, &data, &url)?;
            Ok::<_, Failure>(Keeper::new(course, CourseProcess::RULES, started))
        });
        Ok(Self {
            course: course.transpose()?,
            pairs: pairs.collect::<Result<_>>()?,
            router,
            tls: config.doors.tls.clone(),
            dial,
            auth: config.auth.auth,
            url,
            uri,
            data,
            started,
            written: None,
        })
    }

    /// Keeps `run.json` as things are.
    fn write_run_file(&mut self) -> Result<()> {
        let own = ProcessId::own().map_err(|e| Failure::io("cannot tell who I am", &e))?;
        let file = RunFile {
            up: own,
            router: self.router.kept().child().id(),
            router_url: self.url.clone(),
            router_restarts: self.router.restarts(),
            pairs: u32::try_from(self.pairs.len()).unwrap_or(u32::MAX),
            course: self.course_process(),
            course_address: self.course_address(),
            course_restarts: self.course.as_ref().map_or(0, Keeper::restarts),
            tls: self.tls.clone(),
            program: Program::own(),
        };
        if self.written.as_ref() != Some(&file) {
            file.write(&self.data)?;
            self.written = Some(file);
        }
        Ok(())
    }

    /// Where the course's clients connect; empty when there is no gateway.
    fn course_address(&self) -> String {
        let course = self.course.as_ref();
        course.map_or_else(String::new, |course| {
            course.kept().child().address().to_string()
        })
    }

    fn course_process(&self) -> Option<ProcessId> {
        self.course.as_ref()?.kept().child().id()
    }

    fn tick(&mut self) {
        self.router.tick();
        if let Some(course) = &mut self.course {
            course.tick();
        }
        for pair in &mut self.pairs {
            pair.tick();
        }
        if adopts_orphans() {
            let pairs = self.pairs.iter().filter_map(|pair| pair.kept().child());
            let ours: Vec<u32> = pairs
                .chain(self.router.kept().child().id())
                .chain(self.course_process())
                .map(|id| id.pid)
                .collect();
            reap_orphans(&ours);
        }
        if let Err(error) = self.write_run_file() {
            tracing::warn!(%error, "cannot write run.json");
        }
    }

    /// Starts what there is to start; true once all serve, false when asked to stop before.
    async fn until_serving(&mut self, plan: &Plan, shutdown: &CancellationToken) -> Result<bool> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Instant::now();
        let (listing, list) = watch::channel(Vec::new());
        let mut asking = JoinSet::new();
        let key = InternalKey::of_data(&self.data, Purpose::Announce).ok();
        asking.spawn(ask_for_list(
            self.uri.clone(),
            self.dial.clone(),
            key,
            listing,
        ));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(false),
                _ = tick.tick() => {}
            }
            self.tick();
            if let Some(why) = self.router.failure() {
                return Err(Failure::unavailable(format!(
                    "the router does not start: {why}"
                )));
            }
            if let Some(why) = self.course.as_ref().and_then(Keeper::failure) {
                return Err(Failure::unavailable(format!(
                    "the gateway of the course does not start: {why}"
                )));
            }
            for pair in &self.pairs {
                if let Some(why) = pair.failure() {
                    let pair = pair.kept().name();
                    return Err(Failure::unavailable(format!(
                        "pair {pair} does not start: {why}"
                    )));
                }
            }
            let listed = list.borrow().clone();
            if let Some(failed) = listed.iter().find(|s| s.state() == ServerState::Failed) {
                return Err(Failure::unavailable(format!(
                    "{} does not start: {}",
                    escaped(&failed.name),
                    escaped(&failed.reason)
                )));
            }
            let mut missing = missing(plan, &listed);
            if !self.router.kept().child().serves() {
                missing.push("the router".to_owned());
            }
            let course = self.course.as_ref();
            if course.is_some_and(|it| !it.kept().child().serves()) {
                missing.push("the gateway of the course".to_owned());
            }
            if missing.is_empty() {
                return Ok(true);
            }
            if told.elapsed() >= PATIENCE {
                told = Instant::now();
                let after = self.started.elapsed().as_secs();
                tracing::info!(after_s = after, "waiting for {}", missing.join(", "));
            }
        }
    }

    async fn keep(&mut self, shutdown: &CancellationToken) {
        let mut tick = interval(TICK);
        // One that slept has one tick to make up for, not many.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watchdog = Watchdog::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {
                    self.tick();
                    watchdog.alive();
                }
            }
        }
    }

    /// All nodes first, the router last: clients are told who drains.
    async fn stop(&mut self) -> Result<()> {
        self.router.stop();
        // First whoever has something to post still.
        let course = match &mut self.course {
            Some(course) => {
                course.stop();
                let id = course.kept().child().id().into_iter().collect();
                down::stop_processes(id).await.map(drop)
            }
            None => Ok(()),
        };
        let mut ours = Vec::new();
        for pair in &mut self.pairs {
            pair.stop();
            ours.extend(pair.kept().child());
        }
        let nodes = down::stop_nodes(&self.data, ours).await;
        let router = match self.router.kept().child().id() {
            Some(id) => down::stop_processes(vec![id]).await.map(drop),
            None => Ok(()),
        };
        down::forget(&self.data);
        course.and(nodes.map(drop)).and(router)
    }
}

/// Asks the router for its list, for ever, beside the ticks: a router that does not answer holds up
/// whoever asks, and the ticks are what tells that it hangs.
async fn ask_for_list(
    router: Uri,
    dial: Dial,
    key: Option<InternalKey>,
    listing: watch::Sender<Vec<Server>>,
) {
    loop {
        let listed = status_cmd::list(&router, &dial, key.as_ref()).await;
        let listed = listed.unwrap_or_default();
        if listing.send(listed).is_err() {
            return;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Nodes of the plan that do not serve yet, with what is known of them.
fn missing(plan: &Plan, listed: &[Server]) -> Vec<String> {
    plan.nodes()
        .filter_map(|node| match listed.iter().find(|it| it.name == node.name) {
            Some(server) if server.state() == ServerState::Serving => None,
            Some(server) if server.reason.is_empty() => Some(node.name.clone()),
            Some(server) => Some(format!("{} ({})", node.name, escaped(&server.reason))),
            None => Some(node.name.clone()),
        })
        .collect()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let panicked = |e| Failure::new(sns_core::ErrorKind::Internal, format!("report this: {e}"));
    tokio::task::spawn_blocking(work).await.map_err(panicked)?
}

/// Where a router's own log goes.
fn router_dir(data: &Path) -> PathBuf {
    data.join("nodes").join("router")
}

/// `host:port` of a loopback listener, as flags take it.
fn flag(address: SocketAddr) -> String {
    address.to_string()
}
