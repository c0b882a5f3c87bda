//! Carries out what the [`Machine`] decides about the partner, answers its heartbeats, and tells
//! the routers about both.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sns_proto::pair::v1::HeartbeatResponse;
use sns_proto::v1::{AnnounceRequest, Server, ServerRole, ServerState};
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::NodeProbe;
use super::heartbeat::{Asker, report};
use super::machine::{Action, Event, Last, Machine, Rules, TICK};
use super::process::{Handle, ProcessId};
use super::told::Telling;
use crate::args::PartnerBy;
use crate::config::NodeConfig;
use crate::failure::{Failure, Result};
use crate::metrics::Metrics;
use crate::net::tls::{Dial, Tls};
use crate::net::{self, Door, Listener};
use crate::notify::{self, Pulse, Watchdog};
use crate::rates::Rates;
use crate::run_file::NodeFile;
use crate::service::pair::PairApi;
use crate::telemetry::escaped;
use crate::token::InternalKey;
use crate::{again, announce, serve};

mod obituary;
mod own;
pub(crate) mod partner;
mod watched;
mod words;

use obituary::Obituary;
use own::{Myself, try_disk};
use partner::{Partner, Seen};
use watched::Watched;

/// How often a node sees to its own file.
const REGISTER_EVERY: u32 = 10;

/// How long a stopping node goes on telling that it drains.
const FAREWELL: Duration = Duration::from_millis(150);

/// What came of something that ran beside the loop. Bounded: each kind is under way once.
const NOTES: usize = 64;

/// A node as the driver is given it.
#[derive(Debug)]
pub struct PairConfig {
    /// What was asked for.
    pub node: NodeConfig,
    /// Where clients connect, with the port that was drawn.
    pub address: SocketAddr,
    /// The absolute path of the data directory.
    pub data: PathBuf,
    /// Where the partner asks: `--peer-listen`.
    pub peer: TcpListener,
    /// Where browsers connect; empty without a page.
    pub http_address: String,
    /// Whom it tells.
    pub telling: Telling,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// What it shows its partner, and the routers.
    pub keys: Keys,
    /// By which partner and routers know this node.
    pub tls: Option<Tls>,
}

/// The keys of the data that processes show each other.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Of heartbeats.
    pub pair: InternalKey,
    /// Of announcements.
    pub announce: InternalKey,
}

enum Note {
    Registered(bool),
    Looked(Seen),
    Started(Result<(Child, Handle), String>),
    NotStartedAs(Seen),
    Heartbeat(HeartbeatResponse),
    Probed,
    Ended {
        pid: u32,
        event: Event,
        at: Duration,
    },
}

/// Answers the partner, watches it and tells the routers, until `shutdown`. Starts no other node
/// than its partner and kills no other one.
///
/// It may run before the node holds its lock; it writes `node.json`, and begins to watch, once it
/// does.
///
/// # Errors
/// `Unavailable`: the peer listener failed, or `/proc` cannot be read.
pub async fn run(
    config: PairConfig,
    probe: Arc<dyn NodeProbe>,
    shutdown: CancellationToken,
) -> Result<()> {
    let PairConfig {
        node,
        address,
        data,
        peer,
        http_address,
        telling,
        metrics,
        keys,
        tls,
    } = config;
    let own_dir = data.join("nodes").join(node.node());
    let before = NodeFile::read(&own_dir).unwrap_or_default();
    // Whoever starts a node again writes its file first; a fresh start finds the old one.
    let again = before.starting && before.restarts > 0 || again::before().is_some();
    let me = Myself {
        peer_address: serve::address_of(&peer)?.to_string(),
        address: address.to_string(),
        http_address,
        restarts: before.restarts,
        asker: Asker::new(node.node(), keys.pair.clone()),
        dir: own_dir,
        stopping: Arc::default(),
        tls: node.doors.tls.clone(),
        routers: telling.routers.iter().map(|it| it.said().0).collect(),
    };
    let partner = Partner::new(&node, address.ip(), data)?;

    let ended = CancellationToken::new();
    let mut routes = Routes::builder();
    let dial = Dial::mutual(tls.as_ref());
    let pair = PairApi::new(probe.clone(), me.restarts, keys.pair.clone());
    let pair = pair.certified(tls.as_ref().is_some_and(Tls::is_mutual));
    routes.add_service(pair.into_service());
    let mut tasks = JoinSet::new();
    let limits = node.limits.net.at_most(net::PARTNER_CONNECTIONS);
    let counts = metrics.connections.clone();
    let door = Door::new(Listener::Partner, limits, tls, Rates::off(), counts);
    tasks.spawn(serve::serve(peer, routes.routes(), door, ended.clone()));

    let (told_to, heard) = (telling.routers.clone(), telling.word.subscribe());
    let obituary = Obituary::new(&node, partner.dir(), telling.deaths, metrics);
    let mut driver = Driver::new(node, me, partner, probe, telling.word, obituary, again);
    driver.dial = dial.clone();
    driver.tell(false);
    tasks.spawn({
        let ended = ended.clone();
        async move {
            announce::run(told_to, keys.announce, heard, dial, ended).await;
            Ok(())
        }
    });

    let broken = tokio::select! {
        () = driver.drive(&shutdown) => Ok(()),
        ended = tasks.join_next() => ended.map_or(Ok(()), joined),
    };
    driver.farewell().await;
    ended.cancel();
    let mut stopped = broken;
    while let Some(task) = tasks.join_next().await {
        stopped = stopped.and(joined(task));
    }
    stopped
}

fn joined(task: Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    task.unwrap_or_else(|e| {
        Err(Failure::new(
            sns_core::ErrorKind::Internal,
            format!("a task panicked, report this: {e}"),
        ))
    })
}

struct Driver {
    node: NodeConfig,
    me: Myself,
    partner: Arc<Partner>,
    probe: Arc<dyn NodeProbe>,
    word: watch::Sender<AnnounceRequest>,
    obituary: Obituary,
    dial: Dial,
    machine: Machine,
    started: Instant,
    notes: mpsc::Sender<Note>,
    inbox: mpsc::Receiver<Note>,
    watched: Option<Watched>,
    /// What it said last.
    heard: Option<Server>,
    busy: HashSet<Chore>,
    /// The lock is held and the file written; from then on it is seen to now and then.
    registered: bool,
    /// It held its lock once: from then on it watches.
    watches: bool,
    pulse: Pulse,
    watchdog: Watchdog,
    ticks: u32,
}

/// What runs beside the loop, each at most once at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Chore {
    Register,
    Look,
    Probe,
}

impl Driver {
    fn new(
        node: NodeConfig,
        me: Myself,
        partner: Partner,
        probe: Arc<dyn NodeProbe>,
        word: watch::Sender<AnnounceRequest>,
        obituary: Obituary,
        again: bool,
    ) -> Self {
        let file = partner.file();
        // A slave starts its master, whatever was before; one that only comes back leaves a master
        // alone that was asked to stop.
        let keeper = node.role == ServerRole::Slave;
        let before = if again {
            Last::Nobody
        } else {
            partner::last(file.as_ref())
        };
        let restarts = file.map_or(0, |file| file.restarts);
        let (notes, inbox) = mpsc::channel(NOTES);
        Self {
            node,
            me,
            partner: Arc::new(partner),
            probe,
            word,
            obituary,
            dial: Dial::Plain,
            machine: Machine::new(Rules::PAIR, keeper, restarts).undoing(before),
            started: Instant::now(),
            notes,
            inbox,
            watched: None,
            heard: None,
            busy: HashSet::new(),
            registered: false,
            watches: false,
            pulse: Pulse::default(),
            watchdog: Watchdog::new(),
            ticks: 0,
        }
    }

    /// Events in, actions out, until `shutdown`.
    async fn drive(&mut self, shutdown: &CancellationToken) {
        let mut tick = interval(TICK);
        // A watcher that slept has one tick to make up for, not many.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                Some(note) = self.inbox.recv() => self.take(note),
                _ = tick.tick() => {
                    if !self.registered || self.ticks.is_multiple_of(REGISTER_EVERY) {
                        self.register();
                    }
                    self.ticks = self.ticks.wrapping_add(1);
                    // Whoever does not hold its own lock yet may be a second one, or one that will
                    // never come up: it starts and kills nobody.
                    let own = report(&self.probe.heartbeat());
                    if self.watches {
                        self.step(Event::Tick(own));
                    }
                    if self.pulse.goes_on(own) {
                        self.watchdog.alive();
                    }
                }
            }
            self.tell(false);
        }
    }

    fn step(&mut self, event: Event) {
        let before = self.machine.condition();
        let actions = self
            .machine
            .step(self.started.elapsed(), rand::random(), event);
        let after = self.machine.condition();
        if before != after {
            let (partner, why) = (&self.node.partner(), escaped(self.machine.reason()));
            tracing::info!(%partner, condition = ?after, why, "the partner changed");
            let node = self.node.node();
            let status = format!("{node}; partner {partner}: {after:?} {why}");
            notify::status(status.trim_end());
        }
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Look => {
                let partner = self.partner.clone();
                self.chore(Chore::Look, move || Note::Looked(partner.look()));
            }
            Action::Probe => {
                let path = self.me.dir.join("probe");
                self.chore(Chore::Probe, move || {
                    try_disk(&path);
                    Note::Probed
                });
            }
            // It comes back by itself, and is looked for until then.
            Action::Start { .. } if self.node.partner_by == PartnerBy::Others => {
                self.step(Event::Vanished);
            }
            Action::Start { restarts } => {
                let (partner, notes) = (self.partner.clone(), self.notes.clone());
                tokio::task::spawn_blocking(move || {
                    let note = match partner.start(restarts) {
                        Ok(started) => Note::Started(Ok(started)),
                        Err(partner::NotStarted::Held(seen)) => Note::NotStartedAs(seen),
                        Err(partner::NotStarted::Failed(why)) => Note::Started(Err(why)),
                    };
                    // The loop is gone: so is whoever wanted to know.
                    let _ = notes.blocking_send(note);
                });
            }
            Action::Kill { pid, why } => {
                let partner = self.node.partner();
                if let Some(watched) = &self.watched
                    && watched.handle.id().pid == pid
                {
                    let doing = super::process::doing(pid);
                    self.obituary.hung(pid, &why);
                    tracing::warn!(%partner, pid, why, doing, "the partner hangs: killing it");
                    if let Err(error) = watched.handle.signal(rustix::process::Signal::KILL) {
                        tracing::error!(%partner, pid, %error, "cannot kill the partner");
                    }
                }
            }
            Action::Say(what) => tracing::error!(partner = %self.node.partner(), "{what}"),
        }
    }

    /// Runs `work`, which may wait for the disk, on a thread of its own, unless it runs already.
    fn chore(&mut self, chore: Chore, work: impl FnOnce() -> Note + Send + 'static) {
        if self.busy.insert(chore) {
            let notes = self.notes.clone();
            tokio::task::spawn_blocking(move || {
                let _ = notes.blocking_send(work());
            });
        }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Registered(done) => {
                self.busy.remove(&Chore::Register);
                self.registered = done;
                self.watches |= done;
            }
            Note::Looked(seen) => {
                self.busy.remove(&Chore::Look);
                self.seen(seen, false);
            }
            Note::NotStartedAs(seen) => self.seen(seen, true),
            Note::Probed => {
                self.busy.remove(&Chore::Probe);
                self.step(Event::Probed);
            }
            Note::Started(Ok((child, handle))) => {
                let pid = handle.id().pid;
                tracing::info!(partner = %self.node.partner(), pid, "started the partner");
                self.obituary.started(pid);
                self.step(Event::Started { pid });
                self.watch(handle, Some(child));
            }
            Note::Started(Err(why)) => {
                tracing::error!(partner = %self.node.partner(), %why, "cannot start the partner");
                self.step(Event::NotStarted { why });
            }
            Note::Heartbeat(heartbeat) => {
                let report = report(&heartbeat);
                self.obituary.heard(&heartbeat);
                if let Some(server) = heartbeat.server {
                    let pid = server.pid;
                    self.heard = Some(server);
                    self.step(Event::Answer { pid, report });
                }
            }
            Note::Ended { pid, event, at } => {
                if self.machine.pid() == Some(pid) {
                    self.watched = None;
                    if let Event::Exited { exit, .. } = &event {
                        self.obituary.exited(pid, at, exit);
                    }
                }
                self.step(event);
            }
        }
    }

    /// What a look found, or a start `instead` of a free lock.
    fn seen(&mut self, seen: Seen, instead: bool) {
        match seen {
            Seen::Free(last) => {
                if let Last::Died(pid) = last {
                    self.obituary.found_dead(pid);
                }
                self.step(Event::Free(last));
            }
            Seen::Held(by) => self.step(Event::Held { by }),
            Seen::Living { id, old, draining } => {
                let pid = id.pid;
                self.found(id, Event::Found { pid, old, draining }, instead);
                if self.machine.pid() == Some(pid) {
                    self.ask_where_it_is();
                }
            }
            Seen::Opening(id) => {
                let pid = id.pid;
                self.found(id, Event::Opens { pid }, instead);
            }
        }
    }

    /// Tells the machine about a living process, and watches it if the machine does.
    fn found(&mut self, id: ProcessId, event: Event, instead: bool) {
        let pid = id.pid;
        let known = self.machine.pid() == Some(pid);
        // The hold first: whoever cannot be held is not watched.
        let handle = Handle::open(id).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot watch the partner");
            None
        });
        let Some(handle) = handle else {
            if instead {
                // The machine still waits for what came of its start.
                self.step(Event::Vanished);
            }
            return;
        };
        self.step(event);
        if !known && self.machine.pid() == Some(pid) {
            tracing::info!(partner = %self.node.partner(), pid, "found the partner");
            self.obituary.started(pid);
            self.watch(handle, None);
        }
    }

    fn register(&mut self) {
        let me = self.me.clone();
        self.chore(Chore::Register, move || {
            Note::Registered(me.register(false).unwrap_or_else(|error| {
                tracing::warn!(%error, "cannot write node.json");
                false
            }))
        });
    }

    /// Tells the routers: at once if something changed, else with their next heartbeat.
    fn tell(&self, draining: bool) {
        let mut server = self.probe.heartbeat().server.unwrap_or_default();
        server.restarts = self.me.restarts;
        if draining {
            server.set_state(ServerState::Draining);
        }
        let file = self.partner.file();
        let partner = words::partner(&self.node, &self.machine, self.heard.as_ref(), file);
        let word = AnnounceRequest {
            server: Some(server),
            partner,
        };
        self.word.send_if_modified(|old| {
            let news = words::is_news(old, &word);
            *old = word;
            news
        });
    }

    /// No more starts and kills; says that it drains, in its file first.
    async fn farewell(&mut self) {
        self.step(Event::Stop);
        let me = self.me.clone();
        let written = tokio::task::spawn_blocking(move || me.register(true));
        let written = tokio::time::timeout(Duration::from_secs(1), written).await;
        if !matches!(written, Ok(Ok(Ok(_)))) {
            tracing::warn!(?written, "cannot write node.json");
        }
        self.tell(true);
        tokio::time::sleep(FAREWELL).await;
    }
}
