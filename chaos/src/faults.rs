//! What is done to the service, and until when it was over.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use sns_client::{Client, ServerState};
use sns_server::pair::process::ProcessId;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::cluster::{Cluster, LOOK, signal};
use crate::failure::{Failure, Result};
use crate::history::Fault;
use crate::load::{Counters, Prober};
use crate::log::LogKind;
use crate::nats::{Nats, SERVERS};
use crate::wire::Wires;

mod disk;
mod kill;
mod nats;
mod net;
mod stop;
mod view;

/// Whoever is not back after this is lost.
const BACK: Duration = Duration::from_secs(60);

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// kill -9 of one process: a master, a slave, a router.
    Kill,
    /// kill -9 of both nodes of a pair.
    Pair,
    /// kill -9 of everything, `up` too, which is then started again.
    All,
    /// SIGSTOP of any process for 0.1 to 10 s, then SIGCONT if it still lives.
    Stop,
    /// SIGSTOP of a node for good, as often as not while it holds the lock of the log.
    Hang,
    /// kill -9 of a node, and again while it starts and recovers.
    Startup,
    /// kill -9 while a snapshot is made and the log is trimmed: of the maker, and of a node.
    Snapshot,
    /// A view is deleted or damaged under a running node, which is then killed.
    View,
    /// The disk is full for some seconds.
    DiskFull,
    /// A node may open no further file and no further connection for some seconds.
    Descriptors,
    /// Connections of clients are delayed, stalled, closed on one side, cut.
    Net,
    /// kill -9 of one NATS server, which is started again a moment later.
    NatsKill,
    /// kill -9 of two NATS servers at once: no quorum until one is there again.
    NatsKillTwo,
    /// kill -9 of all NATS servers.
    NatsAll,
    /// SIGSTOP of one NATS server for 0.1 to 10 s.
    NatsStop,
    /// SIGSTOP of two NATS servers at once for 0.1 to 10 s.
    NatsStopTwo,
    /// The service does not reach one NATS server for 0.1 to 5 s.
    NatsCut,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Kill,
        Self::Pair,
        Self::All,
        Self::Stop,
        Self::Hang,
        Self::Startup,
        Self::Snapshot,
        Self::View,
        Self::DiskFull,
        Self::Descriptors,
        Self::Net,
        Self::NatsKill,
        Self::NatsKillTwo,
        Self::NatsAll,
        Self::NatsStop,
        Self::NatsStopTwo,
        Self::NatsCut,
    ];

    /// As it is written on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pair => "pair",
            Self::All => "all",
            Self::Stop => "stop",
            Self::Hang => "hang",
            Self::Startup => "startup",
            Self::Snapshot => "snapshot",
            Self::View => "view",
            Self::DiskFull => "disk-full",
            Self::Descriptors => "descriptors",
            Self::Net => "net",
            Self::NatsKill => "nats-kill",
            Self::NatsKillTwo => "nats-kill-two",
            Self::NatsAll => "nats-all",
            Self::NatsStop => "nats-stop",
            Self::NatsStopTwo => "nats-stop-two",
            Self::NatsCut => "nats-cut",
        }
    }

    /// The only log with which it can be done.
    const fn needs(self) -> Option<LogKind> {
        match self {
            Self::NatsKill
            | Self::NatsKillTwo
            | Self::NatsAll
            | Self::NatsStop
            | Self::NatsStopTwo
            | Self::NatsCut => Some(LogKind::Nats),
            // The small disk would be that of the NATS servers too.
            Self::DiskFull => Some(LogKind::Dir),
            _ => None,
        }
    }

    fn fits(self, log: LogKind) -> bool {
        self.needs().is_none_or(|needed| needed == log)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is no fault: write `everything`, or some of {names}")
        })
    }
}

/// Several kinds: `kill,stop`, or `everything`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kinds {
    kinds: Vec<Kind>,
    /// Nobody named them one by one.
    everything: bool,
}

impl Kinds {
    /// Each of them once, in the order of [`Kind::ALL`].
    pub fn as_slice(&self) -> &[Kind] {
        &self.kinds
    }

    /// Whether this one is among them.
    pub fn contains(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// All but one; `None` if nothing is left.
    pub fn without(&self, kind: Kind) -> Option<Self> {
        let mut left = self.clone();
        left.kinds.retain(|it| *it != kind);
        (!left.kinds.is_empty()).then_some(left)
    }

    /// Those that can be done to a service with this log.
    ///
    /// # Errors
    /// One was asked for by its name and cannot; for a human.
    pub fn with_log(&self, log: LogKind) -> Result<Self, String> {
        let mut fitting = self.clone();
        fitting.kinds.retain(|kind| kind.fits(log));
        let other = self.kinds.iter().find(|kind| !kind.fits(log));
        match other.and_then(|kind| Some((kind, kind.needs()?))) {
            Some((kind, needed)) if !self.everything => {
                Err(format!("the fault {kind} needs --log {}", needed.as_str()))
            }
            _ => Ok(fitting),
        }
    }
}

impl FromStr for Kinds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "everything" {
            return Ok(Self {
                kinds: Kind::ALL.to_vec(),
                everything: true,
            });
        }
        let kinds: Result<Vec<Kind>, String> = text.split(',').map(str::parse).collect();
        let mut kinds = kinds?;
        kinds.sort_unstable();
        kinds.dedup();
        Ok(Self {
            kinds,
            everything: false,
        })
    }
}

/// Draws kinds: each once before one of them comes again, in an order of its own each time.
#[derive(Debug)]
pub(crate) struct Deck {
    kinds: Kinds,
    left: Vec<Kind>,
}

impl Deck {
    pub(crate) fn new(kinds: Kinds) -> Self {
        Self {
            kinds,
            left: Vec::new(),
        }
    }

    pub(crate) fn draw(&mut self, rng: &mut StdRng) -> Option<Kind> {
        if self.left.is_empty() {
            self.left.extend(self.kinds.as_slice());
            self.left.shuffle(rng);
        }
        self.left.pop()
    }
}

/// The service with all that faults need, and the dice.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    /// Who holds the log, if no directory does.
    pub(crate) nats: Option<Nats>,
    pub(crate) control: Client,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    /// Of the fault that is being done.
    pub(crate) rng: StdRng,
    /// Whom it is meant to hit.
    pub(crate) hit: Vec<String>,
    pub(crate) wires: Wires,
    pub(crate) counters: Arc<Counters>,
    /// A client that asks what can be done just now.
    pub(crate) prober: Prober,
    /// A file on the disk of the data that can grow until the disk is full.
    pub(crate) ballast: PathBuf,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").finish_non_exhaustive()
    }
}

impl Stage {
    /// Does one of this kind, and waits until it is over and all serve again. The dice are thrown
    /// anew for each, so that the schedule is the seed's, however long a fault took.
    pub(crate) async fn inject(&mut self, kind: Kind, number: u64) -> Fault {
        self.rng = StdRng::seed_from_u64(self.seed ^ (number + 1).wrapping_mul(0x9e37_79b9));
        let mut fault = Fault {
            kind: kind.as_str().to_owned(),
            at: self.clock.now(),
            ..Fault::default()
        };
        self.hit.clear();
        let before = self.cluster.processes();
        let ended = match kind {
            Kind::Kill => self.kill_one(&mut fault).await,
            Kind::Pair => self.kill_pair(&mut fault).await,
            Kind::All => self.kill_all(&mut fault).await,
            Kind::Startup => self.kill_starting(&mut fault).await,
            Kind::Snapshot => self.kill_in_snapshot(&mut fault).await,
            Kind::Stop => self.stop(&mut fault).await,
            Kind::Hang => self.hang(&mut fault).await,
            Kind::View => self.view(&mut fault).await,
            Kind::DiskFull => self.disk_full(&mut fault).await,
            Kind::Descriptors => self.descriptors(&mut fault).await,
            Kind::Net => self.net(&mut fault).await,
            Kind::NatsKill => self.kill_nats(1, &mut fault).await,
            Kind::NatsKillTwo => self.kill_nats(2, &mut fault).await,
            Kind::NatsAll => self.kill_nats(SERVERS, &mut fault).await,
            Kind::NatsStop => self.stop_nats(1, &mut fault).await,
            Kind::NatsStopTwo => self.stop_nats(2, &mut fault).await,
            Kind::NatsCut => self.cut_nats(&mut fault).await,
        };
        fault.end = self.clock.now();
        if let Err(e) = ended {
            complain(&mut fault, &e.to_string());
        }
        // Nobody else may have been touched.
        let after = self.cluster.processes();
        for (name, id) in &before {
            if !self.hit.contains(name) && after.get(name) != Some(id) {
                complain(&mut fault, &format!("{name} did not live on: {id:?}"));
            }
        }
        fault
    }

    /// One of the nodes.
    fn any_node(&mut self) -> Result<String> {
        let nodes = self.cluster.nodes();
        let drawn = nodes.choose(&mut self.rng).cloned();
        drawn.ok_or_else(|| Failure("there is no node".to_owned()))
    }

    /// One of the nodes, or the router.
    fn any_process(&mut self) -> Result<String> {
        let number = self.cluster.nodes().len();
        if self.rng.random_range(0..=number) == number {
            return Ok("router".to_owned());
        }
        self.any_node()
    }

    /// The process behind a name, once there is one.
    async fn living(&self, name: &str) -> Result<ProcessId> {
        let deadline = Instant::now() + BACK;
        loop {
            if let Some(id) = self.cluster.process(name) {
                return Ok(id);
            }
            if Instant::now() > deadline {
                return Err(Failure(format!("{name} does not run")));
            }
            sleep(LOOK).await;
        }
    }

    /// Sends a signal to whoever has this name now, and notes whom it hit and when.
    async fn hit(&mut self, name: &str, how: Signal, fault: &mut Fault) -> Result<ProcessId> {
        let id = self.living(name).await?;
        self.hit.push(name.to_owned());
        name.clone_into(&mut fault.target);
        fault.servers.extend(self.cluster.address(name));
        fault.everybody = name == "router";
        signal(&id, how)?;
        fault.at = self.clock.now();
        Ok(id)
    }

    /// Waits until the router says that all nodes serve, none of them as one of `old`.
    async fn all_serve(&self, old: &[ProcessId]) -> Result<()> {
        let deadline = Instant::now() + BACK;
        let nodes = self.cluster.nodes().len();
        loop {
            let servers = self.control.servers().await;
            let why = match servers {
                Err(e) => e.to_string(),
                Ok(servers) => {
                    let is_back = |server: &&sns_client::Server| {
                        let replaced = old.iter().all(|it| it.pid != server.pid);
                        server.state == ServerState::Serving && replaced
                    };
                    let number = servers.iter().filter(is_back).count();
                    let router = self.cluster.router();
                    let replaced = router.is_some_and(|it| !old.contains(&it));
                    if number == nodes && replaced {
                        return Ok(());
                    }
                    format!("{servers:?}")
                }
            };
            if Instant::now() > deadline {
                return Err(Failure(format!(
                    "not all {nodes} nodes serve after {BACK:?}: {why}"
                )));
            }
            sleep(LOOK).await;
        }
    }
}

/// Adds what should not have happened.
pub(crate) fn complain(fault: &mut Fault, what: &str) {
    let said = fault.complaint.get_or_insert_default();
    if !said.is_empty() {
        said.push_str("; ");
    }
    said.push_str(what);
}

/// As a history has it.
fn micros(time: Duration) -> Option<u64> {
    u64::try_from(time.as_micros()).ok()
}

/// Milliseconds, for details.
fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn kinds_are_listed_once_each_and_what_is_none_is_refused() {
        let kinds: Kinds = "stop,kill,stop".parse().expect("kinds");
        assert_eq!(kinds.as_slice(), [Kind::Kill, Kind::Stop]);
        assert_eq!(kinds.without(Kind::Kill), "stop".parse().ok());
        let everything: Kinds = "everything".parse().expect("kinds");
        assert_eq!(everything.as_slice(), Kind::ALL);
        for text in ["", "kill,", "kill, stop", "flood"] {
            text.parse::<Kinds>().expect_err(text);
        }
    }

    #[test]
    fn everything_is_what_the_log_allows_and_what_it_does_not_is_refused_by_name() {
        let everything: Kinds = "everything".parse().expect("kinds");
        let dir = everything.with_log(LogKind::Dir).expect("kinds");
        assert!(dir.contains(Kind::DiskFull) && !dir.contains(Kind::NatsKill));
        let nats = everything.with_log(LogKind::Nats).expect("kinds");
        assert!(!nats.contains(Kind::DiskFull) && nats.contains(Kind::NatsCut));
        assert!(dir.contains(Kind::Hang) && nats.contains(Kind::Hang));
        for (named, log) in [
            ("kill,nats-kill", LogKind::Dir),
            ("disk-full", LogKind::Nats),
        ] {
            let named: Kinds = named.parse().expect("kinds");
            let why = named.with_log(log).expect_err("it does not fit");
            assert!(why.contains("--log"), "{why}");
        }
    }

    #[test]
    fn every_kind_comes_before_one_comes_again() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut deck = Deck::new("everything".parse().expect("kinds"));
        for _ in 0..20 {
            let mut round: Vec<Kind> = (0..Kind::ALL.len())
                .filter_map(|_| deck.draw(&mut rng))
                .collect();
            round.sort_unstable();
            assert_eq!(round, Kind::ALL);
        }
    }
}
