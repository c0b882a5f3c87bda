//! One process asked to replace itself, and waited for until it is back.

use std::time::{Duration, Instant};

use http::Uri;
use rustix::process::Signal;
use sns_proto::v1::{Server, ServerState};

use super::service::{Service, Subject, What};
use super::{Row, SETTLED, look};
use crate::again;
use crate::pair::machine::TICK;
use crate::pair::process::{self, Handle, ProcessId};
use crate::run_file::{NodeFile, RunFile};

/// It drains for 5 s, and may have much to read: but within that time something about it changes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that ended is started again by its watcher; one that nobody watches is not.
const GONE: Duration = Duration::from_secs(15);

/// How far it is.
enum Standing {
    /// Back, as this process.
    Back(ProcessId),
    /// Not yet, and what it waits for.
    Not(String),
    /// It will not be.
    Never(String),
}

/// Why a restart stopped, for a human.
pub(super) enum Stop {
    /// Before the process was asked.
    Before(String),
    /// It was asked, and is not back.
    After(String),
}

/// What is known of the service before it.
struct Before {
    /// The process that is asked; `None` when none has to be.
    asked: Option<ProcessId>,
    /// The life that it lived.
    life: Option<u64>,
    /// The end of the log, as far as anybody knew.
    tail: u64,
    /// Nodes that routers hand out, of all that are here.
    served: Vec<(Uri, Vec<String>)>,
}

impl Service {
    /// Replaces one process; comes back when it serves again, and went on to.
    ///
    /// # Errors
    /// Why it did not.
    pub(super) async fn replace(&self, subject: &Subject, force: bool) -> Result<Row, Stop> {
        let id = self.living(subject).await.map_err(Stop::Before)?;
        if !force {
            self.partner_serves(subject).await.map_err(Stop::Before)?;
        }
        // Who died meanwhile was started again, and as the program that is on disk.
        let is_new = id != subject.id && look::runs(id.pid) == Some(self.own);
        let before = self.before((!is_new).then(|| id.clone())).await;
        let asked = Instant::now();
        if !is_new {
            let handle = Handle::open(id).map_err(|e| Stop::Before(e.to_string()))?;
            let handle = handle.ok_or_else(|| Stop::Before("it is gone".to_owned()))?;
            let sent = handle.signal(Signal::USR2);
            sent.map_err(|e| Stop::Before(e.to_string()))?;
        }
        self.back(subject, &before, asked)
            .await
            .map_err(Stop::After)
    }

    /// The process that it is now; one that died is waited for.
    async fn living(&self, subject: &Subject) -> Result<ProcessId, String> {
        let began = Instant::now();
        loop {
            match self.now(subject) {
                Some(id) => return Ok(id),
                None if began.elapsed() >= GONE => return Err("it is gone".to_owned()),
                None => tokio::time::sleep(TICK).await,
            }
        }
    }

    /// Waits until the partner of a node serves: with both away a pair is away.
    async fn partner_serves(&self, subject: &Subject) -> Result<(), String> {
        let partner = self.nodes().find(|it| is_partner(&subject.name, it));
        let Some(partner) = partner.filter(|_| subject.what == What::Node) else {
            return Ok(());
        };
        let began = Instant::now();
        while !self.ask(partner).await.is_some_and(|it| serves(&it)) {
            if began.elapsed() >= PATIENCE {
                return Err(format!("{partner} does not serve, and both would be away"));
            }
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    async fn back(
        &self,
        subject: &Subject,
        before: &Before,
        asked: Instant,
    ) -> Result<Row, String> {
        let (id, took) = self.until_back(subject, before, asked).await?;
        if look::runs(id.pid) != Some(self.own) {
            return Err(format!(
                "process {} runs another program than this one; see its log",
                id.pid
            ));
        }
        // It has to stay so for a while.
        tokio::time::sleep(SETTLED).await;
        match self.standing(subject, before).await {
            Standing::Back(still) if still == id => {}
            Standing::Back(other) => {
                return Err(format!(
                    "process {} died soon, {} follows",
                    id.pid, other.pid
                ));
            }
            Standing::Not(why) | Standing::Never(why) => return Err(why),
        }
        Ok(Row {
            node: subject.name.clone(),
            old_pid: subject.id.pid,
            new_pid: id.pid,
            old_version: subject.version.clone(),
            new_version: env!("CARGO_PKG_VERSION").to_owned(),
            ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        })
    }

    async fn until_back(
        &self,
        subject: &Subject,
        before: &Before,
        asked: Instant,
    ) -> Result<(ProcessId, Duration), String> {
        let (mut last, mut changed) = (String::new(), asked);
        loop {
            let waits = match self.standing(subject, before).await {
                Standing::Back(id) => return Ok((id, asked.elapsed())),
                Standing::Never(why) => return Err(why),
                Standing::Not(waits) => waits,
            };
            let gone = self.now(subject).is_none();
            let patience = if gone { GONE } else { PATIENCE };
            if waits != last {
                (last, changed) = (waits, Instant::now());
            } else if changed.elapsed() >= patience {
                return Err(last);
            }
            tokio::time::sleep(TICK / 2).await;
        }
    }

    async fn before(&self, asked: Option<ProcessId>) -> Before {
        let mut tail = 0;
        for node in self.nodes() {
            tail = tail.max(self.ask(node).await.map_or(0, |server| server.tail));
        }
        let mut served = Vec::new();
        for router in &self.routers {
            if let Ok(list) = self.list(&router.uri).await {
                let names = list.into_iter().filter(serves).map(|server| server.name);
                served.push((router.uri.clone(), names.collect()));
            }
        }
        Before {
            life: asked.as_ref().and_then(|id| again::life_of(id.pid)),
            asked,
            tail,
            served,
        }
    }

    fn nodes(&self) -> impl Iterator<Item = &str> {
        let nodes = self.subjects.iter().filter(|it| it.what == What::Node);
        nodes.map(|it| &*it.name)
    }

    /// The process that it is now, if it lives.
    fn now(&self, subject: &Subject) -> Option<ProcessId> {
        let id = match &subject.what {
            What::Node => NodeFile::read(&self.data.join("nodes").join(&subject.name))?.process,
            What::Router(_) if subject.name == "router" => RunFile::read(&self.data)?.router,
            What::Router(uri) => look::router_on(uri.port_u16()?),
            What::Up => Some(RunFile::read(&self.data)?.up),
        };
        id.filter(ProcessId::is_alive)
    }

    async fn standing(&self, subject: &Subject, before: &Before) -> Standing {
        let Some(id) = self.now(subject) else {
            let dir = self.data.join("nodes").join(&subject.name);
            let words = process::last_words(&dir);
            let words = words.map_or(String::new(), |words| format!(": {words}"));
            return Standing::Not(format!("it ended and is not there again{words}"));
        };
        let life = again::life_of(id.pid);
        if before.asked.as_ref() == Some(&id) && (life.is_none() || life == before.life) {
            return Standing::Not(format!("process {} still drains", id.pid));
        }
        match &subject.what {
            What::Node => self.node_standing(subject, id, before).await,
            What::Router(uri) => self.router_standing(uri, id, before).await,
            What::Up => {
                let holder = process::lock_holder(&self.data).ok().flatten();
                if holder == Some(id.pid) && look::takes(id.pid, Signal::USR2) {
                    Standing::Back(id)
                } else {
                    Standing::Not("it has not taken over its children yet".to_owned())
                }
            }
        }
    }

    async fn node_standing(&self, subject: &Subject, id: ProcessId, before: &Before) -> Standing {
        let name = &subject.name;
        let Some(server) = self.ask(name).await.filter(|it| it.pid == id.pid) else {
            return Standing::Not(format!("process {} does not answer yet", id.pid));
        };
        match server.state() {
            ServerState::Serving => {}
            // It says itself that it cannot.
            ServerState::Failed => return Standing::Never(server.reason),
            state => {
                let state = crate::status_cmd::state(state);
                return Standing::Not(format!("it is {state} at entry {}", server.applied));
            }
        }
        if server.applied.saturating_add(1) < before.tail {
            return Standing::Not(format!("it has applied {}", server.applied));
        }
        let mut partners = self.nodes().filter(|other| is_partner(name, other));
        if let Some(partner) = partners.next()
            && !self.ask(partner).await.is_some_and(|it| serves(&it))
        {
            return Standing::Not(format!("{partner} does not serve"));
        }
        for (uri, served) in &before.served {
            let list = self.list(uri).await.unwrap_or_default();
            let here = |it: &Server| it.name == *name && it.pid == id.pid && serves(it);
            if served.contains(name) && !list.iter().any(here) {
                return Standing::Not(format!("{uri} does not hand it out yet"));
            }
        }
        Standing::Back(id)
    }

    async fn router_standing(&self, uri: &Uri, id: ProcessId, before: &Before) -> Standing {
        let list = match self.list(uri).await {
            Ok(list) => list,
            Err(why) => return Standing::Not(format!("it does not answer: {}", why.message())),
        };
        let served = before.served.iter().find(|(known, _)| known == uri);
        let served = served.map_or(&[][..], |(_, names)| names);
        let there = |name: &&String| list.iter().any(|it| it.name == **name && serves(it));
        match served.iter().find(|name| !there(name)) {
            Some(missing) => Standing::Not(format!("it does not know {missing} yet")),
            None => Standing::Back(id),
        }
    }
}

fn serves(server: &Server) -> bool {
    server.state() == ServerState::Serving
}

fn is_partner(one: &str, other: &str) -> bool {
    let pair = |name: &str| name.rsplit_once('-').map(|(pair, _)| pair.to_owned());
    one != other && pair(one) == pair(other)
}
