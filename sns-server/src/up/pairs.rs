//! A pair as `up` keeps it: alive as long as one of its two nodes is and answers. Each other's
//! restarts are the nodes' own business; `up` acts when neither is left that could.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Uri;
use rustix::process::Signal;
use sns_proto::v1::{ServerRole, ServerState};
use tokio::task::JoinSet;

use super::keeper::Kept;
use crate::config::{DataConfig, PageFlags};
use crate::doors::Doors;
use crate::failure::Result;
use crate::net::tls::Dial;
use crate::pair::child::OwnChild;
use crate::pair::driver::partner::{NotStarted, Partner, Seen};
use crate::pair::heartbeat::{self, Asker};
use crate::pair::machine::{Event, Exit, Last, Report, Rules};
use crate::pair::process::{self, Handle, ProcessId};
use crate::token::{InternalKey, Purpose};

/// How often each node is asked.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// What the asking of both nodes found.
#[derive(Debug, Default)]
struct Heard {
    answers: AtomicU64,
    serving: AtomicU64,
}

pub(super) struct PairOfNodes {
    name: String,
    slave: Arc<Partner>,
    master: Arc<Partner>,
    /// The node that was started here and has not ended.
    child: Option<(OwnChild, ProcessId, Arc<Partner>)>,
    /// Whether it ended cleanly, and why: kept until the pair as a whole is judged.
    ended: Option<(bool, String)>,
    /// Whom it killed because neither node answered, until they are gone.
    killed: Option<Vec<ProcessId>>,
    /// Counts what the machine takes for processes; the one that it knows of now.
    generation: u32,
    running: Option<u32>,
    heard: Arc<Heard>,
    seen: (u64, u64),
    /// Ends with it.
    _asking: JoinSet<()>,
}

impl PairOfNodes {
    pub(super) const RULES: Rules = Rules::LAUNCHER;

    /// Call it inside a tokio runtime.
    pub(super) fn new(
        name: &str,
        ip: IpAddr,
        data: &DataConfig,
        router: &Uri,
        page: PageFlags,
        (doors, dial): (&Doors, &Dial),
    ) -> Result<Self> {
        let node = |role| {
            let routers = vec![router.clone()];
            let (name, data, doors) = (name.to_owned(), data.clone(), doors.clone());
            let node = Partner::node(role, name, ip, data, routers, page, doors)?;
            Ok::<_, crate::failure::Failure>(Arc::new(node))
        };
        let (slave, master) = (node(ServerRole::Slave)?, node(ServerRole::Master)?);
        let heard = Arc::<Heard>::default();
        let mut asking = JoinSet::new();
        let asker = Asker::new("up", InternalKey::of_data(&data.path, Purpose::Pair)?);
        for node in [&slave, &master] {
            asking.spawn(ask(
                asker.clone(),
                node.clone(),
                dial.clone(),
                heard.clone(),
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            slave,
            master,
            child: None,
            ended: None,
            killed: None,
            generation: 0,
            running: None,
            heard,
            seen: (0, 0),
            _asking: asking,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Takes over the node that is a child of this process: the program that ran in it before had
    /// started it.
    pub(super) fn adopt(&mut self) {
        for node in [&self.slave, &self.master] {
            let id = node.file().and_then(|file| file.process);
            if let Some(id) = id
                && let Some(child) = OwnChild::adopt(id.clone())
            {
                self.child = Some((child, id, node.clone()));
                return;
            }
        }
    }

    /// The process that was started here and has not ended.
    pub(super) fn child(&self) -> Option<ProcessId> {
        self.child.as_ref().map(|(_, id, _)| id.clone())
    }

    /// Reaps the child; how it ended, if it just did.
    fn reap(&mut self) -> Option<(bool, String)> {
        let (child, id, node) = self.child.as_mut()?;
        let status = child.try_wait().ok().flatten()?;
        let exit = node.exit(id.pid, Some(status));
        self.child = None;
        Some((exit.asked || exit.lock_held, exit.why))
    }
}

/// Asks one node for ever.
async fn ask(asker: Asker, node: Arc<Partner>, dial: Dial, heard: Arc<Heard>) {
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        let Some(file) = node.file() else {
            continue;
        };
        if let Ok(heartbeat) = heartbeat::ask_once(&asker, &file.peer_address, &dial).await {
            heard.answers.fetch_add(1, Ordering::Relaxed);
            let server = heartbeat.server.unwrap_or_default();
            if server.state() == ServerState::Serving {
                heard.serving.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn lives(seen: &Seen) -> bool {
    !matches!(seen, Seen::Free(_))
}

fn died(seen: &Seen) -> bool {
    matches!(seen, Seen::Free(Last::Died(_)))
}

fn asked(seen: &Seen) -> bool {
    matches!(seen, Seen::Free(Last::Asked(_)))
}

impl Kept for PairOfNodes {
    fn title(&self) -> String {
        format!("pair {}", self.name)
    }

    fn poll(&mut self, running: Option<u32>) -> Vec<Event> {
        if let Some(ended) = self.reap() {
            self.ended = Some(ended);
        }
        self.running = running;
        let Some(pid) = running else {
            return Vec::new();
        };
        let gone = |killed: &Vec<ProcessId>| !killed.iter().any(ProcessId::is_alive);
        if self.killed.as_ref().is_some_and(gone) {
            self.killed = None;
            // One that was only just starting, or that a node had started meanwhile, lives on: it is
            // judged afresh, else nobody would ever notice that it hangs.
            if self.child.is_some() || lives(&self.slave.look()) || lives(&self.master.look()) {
                let exit = Exit {
                    asked: false,
                    lock_held: true,
                    why: String::new(),
                };
                return vec![Event::Exited { pid, exit }];
            }
        }
        let heard = (
            self.heard.answers.load(Ordering::Relaxed),
            self.heard.serving.load(Ordering::Relaxed),
        );
        let old = std::mem::replace(&mut self.seen, heard);
        if heard.0 != old.0 {
            let report = Report {
                serving: heard.1 > old.1,
                ..Report::default()
            };
            return vec![Event::Answer { pid, report }];
        }
        let (slave, master) = (self.slave.look(), self.master.look());
        if self.child.is_none() && !lives(&slave) && !lives(&master) {
            // Its files know best; a child that did not come so far as to write one is judged by
            // its exit code.
            let by_files = asked(&slave) || asked(&master);
            let (clean, why) = self
                .ended
                .take()
                .unwrap_or_else(|| (by_files, "both of its nodes died".to_owned()));
            let exit = Exit {
                asked: clean && !died(&slave) && !died(&master),
                lock_held: false,
                why,
            };
            return vec![Event::Exited { pid, exit }];
        }
        if self.child.is_none() {
            // The other one is still there, and has seen to it.
            self.ended = None;
        }
        // Stopping nodes answer no more; their files say why.
        let drains = |seen: &Seen| matches!(seen, Seen::Living { draining: true, .. });
        let all = [&slave, &master]
            .iter()
            .all(|seen| drains(seen) || !lives(seen));
        if all && (drains(&slave) || drains(&master)) {
            return vec![Event::Found {
                pid,
                old: false,
                draining: true,
            }];
        }
        Vec::new()
    }

    fn look(&mut self) -> Event {
        let (slave, master) = (self.slave.look(), self.master.look());
        if lives(&slave) || lives(&master) || self.child.is_some() {
            if self.running.is_none() {
                self.generation += 1;
            }
            return Event::Found {
                pid: self.generation,
                old: false,
                draining: false,
            };
        }
        if died(&slave) || died(&master) {
            return Event::Free(Last::Died(self.generation));
        }
        Event::Free(Last::Nobody)
    }

    fn start(&mut self, restarts: u64) -> Event {
        // A slave that was asked to stop stays stopped: then only the master comes back.
        let node = if asked(&self.slave.look()) && died(&self.master.look()) {
            self.master.clone()
        } else {
            self.slave.clone()
        };
        let again = node.file().map_or(0, |file| file.restarts) + u64::from(restarts > 0);
        match node.start(again) {
            Ok((child, handle)) => {
                let id = handle.id().clone();
                self.child = Some((OwnChild::Started(child), id, node));
                self.ended = None;
                self.generation += 1;
                Event::Started {
                    pid: self.generation,
                }
            }
            Err(NotStarted::Held(_)) => self.look(),
            Err(NotStarted::Failed(why)) => Event::NotStarted { why },
        }
    }

    fn kill(&mut self) {
        let mut hung: Vec<ProcessId> = self.child().into_iter().collect();
        for node in [&self.slave, &self.master] {
            if let Seen::Living { id, .. } | Seen::Opening(id) = node.look() {
                hung.push(id);
            }
        }
        hung.sort_unstable_by_key(|id| id.pid);
        hung.dedup();
        self.killed = Some(hung.clone());
        for id in hung {
            let (pid, doing) = (id.pid, process::doing(id.pid));
            tracing::warn!(pair = %self.name, pid, doing, "neither node answers: killing it");
            let killed = Handle::open(id).and_then(|handle| match handle {
                Some(handle) => handle.signal(Signal::KILL),
                None => Ok(()),
            });
            if let Err(error) = killed {
                tracing::error!(pair = %self.name, pid, %error, "cannot kill it");
            }
        }
    }
}
