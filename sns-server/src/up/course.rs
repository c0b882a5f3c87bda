//! The gateway of the course as `up` keeps it: a child, restarted when it dies. One that does not
//! answer is left alone: its clients cannot come back to another, so only its death ends them.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::keeper::Kept;
use crate::again;
use crate::config::UpConfig;
use crate::failure::{Failure, Result};
use crate::pair::child::OwnChild;
use crate::pair::machine::{Event, Exit, Last, Report, Rules};
use crate::pair::process::{self, ProcessId};
use crate::ports;

/// How often it is asked until it answers, and how long an answer may take.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// The flag of `up` that says where.
const FLAG: &str = "--course";

pub(super) struct CourseProcess {
    program: PathBuf,
    args: Vec<OsString>,
    address: SocketAddr,
    dir: PathBuf,
    child: Option<(OwnChild, ProcessId)>,
    /// The present process has.
    answered: Arc<AtomicBool>,
    /// Ends with it.
    _asking: JoinSet<()>,
}

impl CourseProcess {
    pub(super) const RULES: Rules = Rules::ROUTER;

    /// On `listen`, whose port is drawn if it is 0, and kept over restarts. Call it inside a tokio
    /// runtime.
    pub(super) fn new(
        config: &UpConfig,
        listen: SocketAddr,
        data: &Path,
        router: &str,
    ) -> Result<Self> {
        let address = match (again::place_of(FLAG, listen), listen.port()) {
            (Some(before), _) => before,
            (None, 0) => SocketAddr::new(listen.ip(), ports::draw(listen.ip(), 1)?[0]),
            (None, _) => listen,
        };
        again::note_place(FLAG, address);
        // The gateway of the program before goes on.
        if again::before().is_none() && !ports::is_free(address) {
            return Err(Failure::unavailable(format!(
                "--course {address} is in use: choose another port"
            )));
        }
        let answered = Arc::new(AtomicBool::new(false));
        let tell = answered.clone();
        let mut asking = JoinSet::new();
        asking.spawn(async move {
            loop {
                let wanted = !tell.load(Ordering::Relaxed);
                if wanted && timeout(ASK_EVERY, serves(address)).await == Ok(true) {
                    tell.store(true, Ordering::Relaxed);
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        });
        let address_flag = super::flag(address);
        let args = [
            "gateway",
            "--json",
            "--listen",
            &address_flag,
            "--router",
            router,
        ];
        let mut args = args.map(OsString::from).to_vec();
        let tls = config.doors.tls.as_ref();
        if let Some(ca) = tls.and_then(|tls| tls.ca.as_ref()) {
            args.extend(["--tls-ca".into(), ca.into()]);
        }
        if config.doors.insecure {
            args.push("--insecure".into());
        }
        Ok(Self {
            program: process::program().map_err(|e| Failure::io("cannot find this program", &e))?,
            args,
            address,
            dir: data.join("nodes").join("course"),
            child: None,
            answered,
            _asking: asking,
        })
    }

    /// Takes over the child of the program that ran in this process before.
    pub(super) fn adopt(&mut self, id: &ProcessId) {
        self.child = OwnChild::adopt(id.clone()).map(|child| (child, id.clone()));
    }

    /// Where the course's clients connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The living process.
    pub(super) fn id(&self) -> Option<ProcessId> {
        self.child.as_ref().map(|(_, id)| id.clone())
    }

    /// Whether the present process has answered.
    pub(super) fn has_answered(&self) -> bool {
        self.child.is_some() && self.answered.load(Ordering::Relaxed)
    }
}

/// Whether the one at `address` says that it serves.
async fn serves(address: SocketAddr) -> bool {
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{address}")) else {
        return false;
    };
    let Ok(channel) = endpoint.connect().await else {
        return false;
    };
    let request = HealthCheckRequest {
        service: crate::gateway::SERVICE.to_owned(),
    };
    let answer = HealthClient::new(channel).check(request).await;
    answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving)
}

impl Kept for CourseProcess {
    fn title(&self) -> String {
        "the gateway of the course".to_owned()
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
        if !self.has_answered() {
            return Vec::new();
        }
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
        self.answered.store(false, Ordering::Relaxed);
        self.child = Some((OwnChild::Started(child), id));
        Event::Started { pid }
    }

    fn kill(&mut self) {
        if let Some((child, _)) = &mut self.child
            && let Err(error) = child.kill()
        {
            tracing::error!(%error, "cannot kill the gateway of the course");
        }
    }
}
