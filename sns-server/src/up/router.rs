//! The router as `up` keeps it: a child, asked for its list now and then.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Uri;
use tokio::task::JoinSet;

use super::keeper::Kept;
use crate::announce;
use crate::args::Policy;
use crate::config::UpConfig;
use crate::failure::{Failure, Result};
use crate::net::tls::Dial;
use crate::pair::child::OwnChild;
use crate::pair::machine::{Event, Exit, Last, Report, Rules};
use crate::pair::process::{self, ProcessId};
use crate::status_cmd;
use crate::token::{InternalKey, Purpose};

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(250);

pub(super) struct RouterProcess {
    program: PathBuf,
    args: Vec<OsString>,
    dir: PathBuf,
    child: Option<(OwnChild, ProcessId)>,
    answers: Arc<AtomicU64>,
    seen: u64,
    /// Ends with it.
    _asking: JoinSet<()>,
}

impl RouterProcess {
    pub(super) const RULES: Rules = Rules::ROUTER;

    /// Call it inside a tokio runtime.
    pub(super) fn new(
        config: &UpConfig,
        listen: SocketAddr,
        data: &Path,
        uri: Uri,
        dial: &Dial,
    ) -> Result<Self> {
        let key = announce::key_file(data);
        InternalKey::of_data(data, Purpose::Announce)?.keep(&key)?;
        let answers = Arc::new(AtomicU64::new(0));
        let count = answers.clone();
        let mut asking = JoinSet::new();
        let dial = dial.clone();
        asking.spawn(async move {
            loop {
                if status_cmd::list(&uri, &dial, None).await.is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        });
        let policy = match config.policy {
            Policy::Random => "random",
            Policy::P2c => "p2c",
        };
        let args = [
            "router",
            "--json",
            "--listen",
            &super::flag(listen),
            "--policy",
            policy,
        ];
        let mut args = args.map(OsString::from).to_vec();
        args.extend(["--announce-key".into(), key.into()]);
        args.extend(config.limits.args());
        args.extend(config.doors.args());
        let auth = config
            .auth
            .flags()
            .into_iter()
            .filter(|(name, _)| *name == "--auth");
        args.extend(auth.flat_map(|(name, value)| [name.into(), value.into()]));
        Ok(Self {
            program: process::program().map_err(|e| Failure::io("cannot find this program", &e))?,
            args,
            dir: super::router_dir(data),
            child: None,
            answers,
            seen: 0,
            _asking: asking,
        })
    }

    /// Takes over the child of the program that ran in this process before.
    pub(super) fn adopt(&mut self, id: &ProcessId) {
        self.child = OwnChild::adopt(id.clone()).map(|child| (child, id.clone()));
    }

    /// The living process.
    pub(super) fn id(&self) -> Option<ProcessId> {
        self.child.as_ref().map(|(_, id)| id.clone())
    }
}

impl Kept for RouterProcess {
    fn title(&self) -> String {
        "the router".to_owned()
    }

    fn poll(&mut self, _: Option<u32>) -> Vec<Event> {
        let Some((child, id)) = &mut self.child else {
            return Vec::new();
        };
        let pid = id.pid;
        if let Ok(Some(status)) = child.try_wait() {
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
            return vec![Event::Exited { pid, exit }];
        }
        let answers = self.answers.load(Ordering::Relaxed);
        if answers == self.seen {
            return Vec::new();
        }
        self.seen = answers;
        let report = Report {
            serving: true,
            ..Report::default()
        };
        vec![Event::Answer { pid, report }]
    }

    fn look(&mut self) -> Event {
        match &self.child {
            Some((_, id)) => Event::Found {
                pid: id.pid,
                old: false,
                draining: false,
            },
            None => Event::Free(Last::Nobody),
        }
    }

    fn start(&mut self, _: u64) -> Event {
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
        self.seen = self.answers.load(Ordering::Relaxed);
        self.child = Some((OwnChild::Started(child), id));
        Event::Started { pid }
    }

    fn kill(&mut self) {
        if let Some((child, _)) = &mut self.child
            && let Err(error) = child.kill()
        {
            tracing::error!(%error, "cannot kill the router");
        }
    }
}
