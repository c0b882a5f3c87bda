//! The gateway of the course as `up` keeps it: a child, restarted when it dies. One that does not
//! answer is left alone: its clients cannot come back to another, so only its death ends them.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::child::ChildProcess;
use super::keeper::Kept;
use crate::again;
use crate::config::UpConfig;
use crate::failure::{Failure, Result};
use crate::pair::machine::{Event, Rules};
use crate::ports;

/// How often it is asked until it answers, and how long an answer may take.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// The flag of `up` that says where.
const FLAG: &str = "--course";

pub(super) struct CourseProcess {
    child: ChildProcess,
    /// Somebody has, since the present process was started.
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
            child: ChildProcess::new(args, address, data.join("nodes").join("course"))?,
            answered,
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
        if let Some(exited) = self.child.exited() {
            return vec![exited];
        }
        if !self.answered.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.child.answered().into_iter().collect()
    }

    fn look(&mut self) -> Event {
        self.child.look()
    }

    fn start(&mut self, _: u64) -> Event {
        self.answered.store(false, Ordering::Relaxed);
        self.child.start()
    }

    fn kill(&mut self) {
        self.child.kill("the gateway of the course");
    }
}
