//! The router as `up` keeps it: a child, asked for its list now and then.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Uri;
use tokio::task::JoinSet;

use super::child::ChildProcess;
use super::keeper::Kept;
use crate::announce;
use crate::args::Policy;
use crate::config::UpConfig;
use crate::failure::Result;
use crate::net::tls::Dial;
use crate::pair::machine::{Event, Rules};
use crate::status_cmd;
use crate::token::{InternalKey, Purpose};

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(250);

pub(super) struct RouterProcess {
    child: ChildProcess,
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
            child: ChildProcess::new(args, listen, super::router_dir(data))?,
            answers,
            seen: 0,
            _asking: asking,
        })
    }

    pub(super) fn child(&self) -> &ChildProcess {
        &self.child
    }

    pub(super) fn child_mut(&mut self) -> &mut ChildProcess {
        &mut self.child
    }
}

impl Kept for RouterProcess {
    fn title(&self) -> String {
        "the router".to_owned()
    }

    fn poll(&mut self, _: Option<u32>) -> Vec<Event> {
        if let Some(exited) = self.child.exited() {
            return vec![exited];
        }
        let answers = self.answers.load(Ordering::Relaxed);
        if std::mem::replace(&mut self.seen, answers) == answers {
            return Vec::new();
        }
        self.child.answered().into_iter().collect()
    }

    fn look(&mut self) -> Event {
        self.child.look()
    }

    fn start(&mut self, _: u64) -> Event {
        self.seen = self.answers.load(Ordering::Relaxed);
        self.child.start()
    }

    fn kill(&mut self) {
        self.child.kill("the router");
    }
}
