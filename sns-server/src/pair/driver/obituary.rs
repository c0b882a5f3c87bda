//! Keeps what is told of the partner's deaths: to readers at once, in a file a little later.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sns_core::Clock;
use sns_proto::pair::v1::HeartbeatResponse;
use tokio::sync::watch;

use crate::config::NodeConfig;
use crate::metrics::Metrics;
use crate::pair::deaths::{self, Death, Deaths, Moment, Said, monotonic};
use crate::pair::machine::Exit;

pub(super) struct Obituary {
    deaths: Deaths,
    clock: Clock,
    tell: watch::Sender<Vec<Death>>,
    metrics: Arc<Metrics>,
    dir: PathBuf,
    /// To write the file.
    turn: Arc<Mutex<()>>,
}

impl Obituary {
    /// Of the partner of `node`, whose directory is `dir`.
    pub(super) fn new(
        node: &NodeConfig,
        dir: &Path,
        tell: watch::Sender<Vec<Death>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let past = deaths::read(dir);
        let deaths = Deaths::new(node.partner(), node.pair.clone(), node.node(), past);
        tell.send_replace(deaths.all());
        Self {
            deaths,
            clock: Clock::system(),
            tell,
            metrics,
            dir: dir.to_owned(),
            turn: Arc::default(),
        }
    }

    fn now(&self) -> Moment {
        Moment {
            at: monotonic(),
            wall_ms: self.clock.now_ms(),
        }
    }

    pub(super) fn exited(&mut self, pid: u32, at: Duration, exit: &Exit) {
        if exit.asked {
            self.deaths.stopped(pid);
        } else if !exit.lock_held && self.deaths.died(pid, at, self.now(), &exit.why) {
            self.metrics.partner_died(false);
        }
        self.publish();
    }

    pub(super) fn found_dead(&mut self, pid: u32) {
        if self.deaths.found_dead(pid, self.now()) {
            self.metrics.partner_died(false);
            self.publish();
        }
    }

    pub(super) fn hung(&mut self, pid: u32, why: &str) {
        self.deaths.hung(pid, self.now(), why);
        self.metrics.partner_died(true);
        self.publish();
    }

    pub(super) fn started(&mut self, pid: u32) {
        self.deaths.started(pid, monotonic());
        self.publish();
    }

    pub(super) fn heard(&mut self, heartbeat: &HeartbeatResponse) {
        let at = |us: u64| (us > 0).then(|| Duration::from_micros(us));
        let said = Said {
            pid: heartbeat.server.as_ref().map_or(0, |server| server.pid),
            serving: at(heartbeat.serving_at_us),
            caught_up: at(heartbeat.caught_up_at_us),
        };
        let (news, back) = self.deaths.heard(said, monotonic());
        if let Some(after) = back {
            self.metrics.partner_back(after);
        }
        if news {
            self.publish();
            self.keep();
        }
    }

    fn publish(&self) {
        self.tell.send_replace(self.deaths.all());
    }

    /// Only once it serves again: nobody needs a file of what is still going on.
    fn keep(&self) {
        let (dir, tell, turn) = (self.dir.clone(), self.tell.clone(), self.turn.clone());
        tokio::task::spawn_blocking(move || {
            // One after the other, each with the newest: an older one must not come last.
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            let all = tell.borrow().clone();
            if let Err(error) = deaths::write(&dir, &all) {
                tracing::warn!(%error, "cannot keep the deaths of the partner");
            }
        });
    }
}
