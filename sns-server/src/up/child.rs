//! A child that `up` keeps and that listens at one address: the router, the gateway of the course.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

use crate::failure::{Failure, Result};
use crate::pair::child::OwnChild;
use crate::pair::machine::{Event, Exit, Last, Report};
use crate::pair::process::{self, ProcessId};
use crate::sockets::Listening;

pub(super) struct ChildProcess {
    program: PathBuf,
    args: Vec<OsString>,
    address: SocketAddr,
    dir: PathBuf,
    child: Option<(OwnChild, ProcessId)>,
    /// The present process has answered.
    serves: bool,
}

impl ChildProcess {
    /// This program with `args`, which let it listen at `address`; its log goes to `dir`.
    pub(super) fn new(args: Vec<OsString>, address: SocketAddr, dir: PathBuf) -> Result<Self> {
        Ok(Self {
            program: process::program().map_err(|e| Failure::io("cannot find this program", &e))?,
            args,
            address,
            dir,
            child: None,
            serves: false,
        })
    }

    /// Takes over the child of the program that ran in this process before.
    pub(super) fn adopt(&mut self, id: &ProcessId) {
        self.child = OwnChild::adopt(id.clone()).map(|child| (child, id.clone()));
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The living process.
    pub(super) fn id(&self) -> Option<ProcessId> {
        self.child.as_ref().map(|(_, id)| id.clone())
    }

    /// Whether the present process has answered.
    pub(super) fn serves(&self) -> bool {
        self.child.is_some() && self.serves
    }

    /// How it ended, if it just did.
    pub(super) fn exited(&mut self) -> Option<Event> {
        let (child, id) = self.child.as_mut()?;
        let pid = id.pid;
        let status = child.try_wait().ok().flatten()?;
        self.child = None;
        let why = match (status.signal(), process::last_words(&self.dir)) {
            (Some(signal), _) => format!("ended by signal {signal}"),
            (None, Some(words)) => words,
            (None, None) => format!("exit code {}", status.code().unwrap_or_default()),
        };
        let exit = Exit {
            asked: status.success(),
            lock_held: false,
            why,
        };
        Some(Event::Exited { pid, exit })
    }

    /// Somebody answered at the address. That may be a stranger who took it first, as another `up` does
    /// that was started in the same moment: then it is no answer of this child.
    pub(super) fn answered(&mut self) -> Option<Event> {
        let pid = self.id()?.pid;
        if !self.serves {
            let there = Listening::on(self.address.port());
            // None at all: this system does not tell.
            self.serves = there.is_empty() || there.iter().any(|it| it.is_open_in(pid));
        }
        let report = Report {
            serving: true,
            ..Report::default()
        };
        self.serves.then_some(Event::Answer { pid, report })
    }

    pub(super) fn look(&self) -> Event {
        match &self.child {
            Some((_, id)) => Event::Found {
                pid: id.pid,
                old: false,
                draining: false,
            },
            None => Event::Free(Last::Nobody),
        }
    }

    pub(super) fn start(&mut self) -> Event {
        let child = match process::spawn(&self.program, &self.args, &self.dir) {
            Ok(child) => child,
            Err(e) => return Event::NotStarted { why: e.to_string() },
        };
        let Some(id) = child.id().and_then(ProcessId::of) else {
            let why = process::last_words(&self.dir);
            let why = why.unwrap_or_else(|| "it ended at once".to_owned());
            return Event::NotStarted { why };
        };
        let pid = id.pid;
        self.serves = false;
        self.child = Some((OwnChild::Started(child), id));
        Event::Started { pid }
    }

    /// SIGKILL; `title` is what the log calls it.
    pub(super) fn kill(&mut self, title: &str) {
        if let Some((child, _)) = &mut self.child
            && let Err(error) = child.kill()
        {
            tracing::error!(%error, "cannot kill {title}");
        }
    }
}
