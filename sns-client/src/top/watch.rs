//! [`Watch`]: what looks at the servers add up to. Plain rules over values: it has no clock and
//! asks nobody.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use jiff::Zoned;
use sns_client::{Server, ServerRole, ServerState};

use crate::render::escape;

/// Servers taken from an answer; a router knows no more.
const SERVERS_MAX: usize = 1_024;
/// Changes remembered.
const CHANGES_MAX: usize = 32;
/// States of one change that are told.
const STATES_MAX: usize = 6;
/// While a server is on its way to another state it is looked at this often.
const QUICK: Duration = Duration::from_millis(100);
/// But not for ever: some are restarted with long pauses.
const QUICK_AT_MOST: Duration = Duration::from_secs(10);
/// Servers tell how far they are a few times a second: a shorter difference says nothing.
const RATE_OVER: Duration = Duration::from_secs(1);
/// Differences are kept this many looks back.
const SAMPLES_MAX: usize = 32;

/// A server at the last look.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) server: Server,
    /// Entries a second that it applied of late, once two looks can tell.
    pub(crate) rate: Option<f64>,
}

/// How a server is doing, for the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Well,
    /// Serves, and says that something is weaker than it should be.
    Weak,
    OnItsWay,
    Bad,
}

impl Row {
    pub(crate) fn runs(&self) -> bool {
        self.server.pid != 0
    }

    pub(crate) fn lag(&self) -> u64 {
        self.server
            .tail
            .saturating_sub(self.server.applied.saturating_add(1))
    }

    pub(crate) fn role(&self) -> &'static str {
        match self.server.role {
            ServerRole::Master => "master",
            ServerRole::Slave => "slave",
            ServerRole::Unspecified => "unspecified",
        }
    }

    pub(crate) fn state(&self) -> &'static str {
        state(self.server.state)
    }

    pub(crate) fn health(&self) -> Health {
        match self.server.state {
            ServerState::Serving if self.server.reason.is_empty() => Health::Well,
            ServerState::Serving => Health::Weak,
            ServerState::Starting | ServerState::Draining => Health::OnItsWay,
            _ => Health::Bad,
        }
    }
}

fn state(state: ServerState) -> &'static str {
    match state {
        ServerState::Starting => "starting",
        ServerState::Serving => "serving",
        ServerState::Draining => "draining",
        ServerState::Hung => "hung",
        ServerState::Restarting => "restarting",
        ServerState::Failed => "failed",
        ServerState::Stopped => "stopped",
        ServerState::Unspecified => "unspecified",
    }
}

/// Something that was seen to happen to a server.
#[derive(Debug)]
struct Change {
    name: String,
    /// On the clock of the person: when it was first seen.
    clock: String,
    told: Told,
}

#[derive(Debug)]
enum Told {
    /// It left SERVING, and went through these states.
    Trouble(Trouble),
    /// It serves again, or still, and was seen in no other state.
    Restarted {
        within: Duration,
    },
    Listed {
        again: bool,
    },
    /// As when both of a pair are dead, and nobody reports them.
    Unlisted,
}

#[derive(Debug)]
struct Trouble {
    states: Vec<&'static str>,
    /// The last look before it; `None` when it was so from the first.
    before: Option<Instant>,
    first: Instant,
    /// The last look at which it did not serve.
    last: Instant,
    /// The look at which it served again.
    over: Option<Instant>,
}

/// All that was seen.
#[derive(Debug)]
pub(crate) struct Watch {
    every: Duration,
    rows: Vec<Row>,
    looked: Option<Instant>,
    samples: HashMap<String, Samples>,
    total: Samples,
    changes: VecDeque<Change>,
}

impl Watch {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            rows: Vec::new(),
            looked: None,
            samples: HashMap::new(),
            total: Samples::default(),
            changes: VecDeque::new(),
        }
    }

    /// Takes in what a router answered, at `now`, which the person calls `clock`.
    pub(crate) fn look(&mut self, mut servers: Vec<Server>, now: Instant, clock: &Zoned) {
        servers.truncate(SERVERS_MAX);
        let rank = |role| match role {
            ServerRole::Master => 0,
            ServerRole::Slave => 1,
            ServerRole::Unspecified => 2,
        };
        servers.sort_by(|a, b| {
            let key = |server: &Server| (server.pair.clone(), rank(server.role));
            key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
        });
        servers.dedup_by(|a, b| a.name == b.name);
        let before = std::mem::take(&mut self.rows);
        let looked = self.looked.replace(now);
        let clock = clock.strftime("%H:%M:%S").to_string();
        if let Some(looked) = looked {
            let old: HashMap<_, _> = before.iter().map(|row| (&row.server.name, row)).collect();
            for server in &servers {
                let old = old.get(&server.name).map(|row| &row.server);
                self.compare(old, server, looked, now, &clock);
            }
            for row in &before {
                let name = &row.server.name;
                if !servers.iter().any(|server| server.name == *name) {
                    self.add(name, &clock, Told::Unlisted);
                }
            }
        } else {
            for server in &servers {
                if server.state != ServerState::Serving {
                    self.add(
                        &server.name,
                        &clock,
                        Told::Trouble(Trouble::new(server, None, now)),
                    );
                }
            }
        }
        let far = servers.iter().map(|server| server.applied).max();
        self.total.add(now, 0, far.unwrap_or(0));
        self.samples
            .retain(|name, _| servers.iter().any(|server| server.name == *name));
        self.rows = servers
            .into_iter()
            .map(|server| {
                let samples = self.samples.entry(server.name.clone()).or_default();
                samples.add(now, server.pid, server.applied);
                let rate = samples
                    .rate(self.every.max(RATE_OVER))
                    .filter(|_| server.pid != 0);
                Row { server, rate }
            })
            .collect();
    }

    fn compare(
        &mut self,
        old: Option<&Server>,
        server: &Server,
        looked: Instant,
        now: Instant,
        clock: &str,
    ) {
        let well = server.state == ServerState::Serving;
        let open = self
            .changes
            .iter_mut()
            .rev()
            .find_map(|change| match &mut change.told {
                Told::Trouble(trouble) if change.name == server.name && trouble.over.is_none() => {
                    Some(trouble)
                }
                _ => None,
            });
        match (open, old) {
            (Some(trouble), _) if well => trouble.over = Some(now),
            (Some(trouble), _) => trouble.goes_on(server, now),
            (None, _) if !well => {
                let trouble = Trouble::new(server, Some(looked), now);
                self.add(&server.name, clock, Told::Trouble(trouble));
            }
            (None, None) => {
                let left = |change: &Change| {
                    change.name == server.name && matches!(change.told, Told::Unlisted)
                };
                let again = self.changes.iter().any(left);
                self.add(&server.name, clock, Told::Listed { again });
            }
            (None, Some(old)) => {
                if old.pid != server.pid || server.restarts > old.restarts {
                    let within = now.saturating_duration_since(looked);
                    self.add(&server.name, clock, Told::Restarted { within });
                }
            }
        }
    }

    fn add(&mut self, name: &str, clock: &str, told: Told) {
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(Change {
            name: name.to_owned(),
            clock: clock.to_owned(),
            told,
        });
    }

    /// The servers at the last look, by pair with the master first.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn serving(&self) -> usize {
        let serving = |row: &&Row| row.server.state == ServerState::Serving;
        self.rows.iter().filter(serving).count()
    }

    /// Entries a second by which the log grew. Every server applies each of them.
    pub(crate) fn total(&self) -> Option<f64> {
        self.total.rate(self.every.max(RATE_OVER))
    }

    /// When to look next: sooner while something is under way.
    pub(crate) fn pause(&self, now: Instant) -> Duration {
        let on_its_way = self.changes.iter().any(|change| match &change.told {
            Told::Trouble(trouble) => {
                trouble.over.is_none()
                    && now.saturating_duration_since(trouble.first) < QUICK_AT_MOST
            }
            _ => false,
        });
        if on_its_way {
            self.every.min(QUICK)
        } else {
            self.every
        }
    }

    /// The last changes, the newest first, each a line. A time is told as what looks can tell:
    /// between so much and so much.
    pub(crate) fn changes(&self) -> impl Iterator<Item = String> {
        self.changes.iter().rev().map(|change| {
            let (clock, name) = (&change.clock, escape(&change.name));
            match &change.told {
                Told::Trouble(trouble) => format!("{clock} {name} {}", trouble.told()),
                Told::Restarted { within } => {
                    format!("{clock} {name} was restarted, within {}", time(*within))
                }
                Told::Listed { again: true } => format!("{clock} {name} is listed again"),
                Told::Listed { again: false } => format!("{clock} {name} is new"),
                Told::Unlisted => format!("{clock} {name} is listed no longer"),
            }
        })
    }
}

impl Trouble {
    fn new(server: &Server, before: Option<Instant>, now: Instant) -> Self {
        Self {
            states: vec![state(server.state)],
            before,
            first: now,
            last: now,
            over: None,
        }
    }

    fn goes_on(&mut self, server: &Server, now: Instant) {
        self.last = now;
        let state = state(server.state);
        if self.states.last() == Some(&state) {
            return;
        }
        if self.states.len() == STATES_MAX {
            self.states.pop();
        }
        self.states.push(state);
    }

    fn told(&self) -> String {
        let states = self.states.join(" → ");
        let Some(over) = self.over else {
            return states;
        };
        let least = self.last.saturating_duration_since(self.first);
        match self.before {
            Some(before) => {
                let most = over.saturating_duration_since(before);
                format!("{states} → serving after {}", between(least, most))
            }
            None => format!("{states} → serving after {} or more", time(least)),
        }
    }
}

fn between(least: Duration, most: Duration) -> String {
    if most < Duration::from_secs(1) {
        format!("{}-{} ms", least.as_millis(), most.as_millis())
    } else {
        format!("{:.1}-{:.1} s", least.as_secs_f64(), most.as_secs_f64())
    }
}

fn time(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// How far a process was, at looks of late.
#[derive(Debug, Default)]
struct Samples {
    pid: u32,
    far: VecDeque<(Instant, u64)>,
}

impl Samples {
    fn add(&mut self, now: Instant, pid: u32, applied: u64) {
        // Another process began anew.
        if self.pid != pid {
            self.far.clear();
            self.pid = pid;
        }
        if self.far.len() == SAMPLES_MAX {
            self.far.pop_front();
        }
        self.far.push_back((now, applied));
    }

    /// Over the shortest time that is at least `over`, or over all there is.
    fn rate(&self, over: Duration) -> Option<f64> {
        let (now, applied) = *self.far.back()?;
        // Looks are never exactly apart what they should be.
        let long = |at: Instant| now.saturating_duration_since(at) + over / 10 >= over;
        let older = self.far.iter().rev().skip(1);
        let base = older.clone().find(|(at, _)| long(*at));
        let (at, then) = base.or_else(|| older.last())?;
        let span = now.saturating_duration_since(*at).as_secs_f64();
        // Far below 2^52.
        #[expect(clippy::cast_precision_loss)]
        let difference = applied.saturating_sub(*then) as f64;
        (span > 0.0).then(|| difference / span)
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
