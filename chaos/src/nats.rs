//! The NATS servers that hold the log: three, each behind a proxy, so that the service can be cut off
//! from one of them.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use sns_core::log::jetstream::STREAM;
use sns_natsd::{Servers, Settings};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::failure::{Doing as _, Failure, Result};
use crate::log::LogPlace;
use crate::wire::{Weather, Wires};

/// Servers; every one has a copy of the stream.
pub(crate) const SERVERS: usize = 3;
/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(1);
/// Between two looks at something that has to come.
const LOOK: Duration = Duration::from_millis(50);
/// Servers that found each other after their start.
const MEETING: Duration = Duration::from_secs(30);

/// What is done to one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// kill -9.
    Kill,
    /// SIGSTOP.
    Stop,
    /// The service does not reach it; the other servers do.
    Cut(Weather),
}

/// The servers, and the proxies in front of them.
pub(crate) struct Nats {
    /// Whatever is done with them blocks, and is done on threads for that.
    servers: Arc<Mutex<Servers>>,
    names: Vec<String>,
    log: LogPlace,
    wires: Vec<Wires>,
}

impl Nats {
    /// Starts them with a new store each, and waits until they can make a stream.
    pub(crate) async fn start(dir: &Path) -> Result<Self> {
        let (mut fronts, mut listeners) = (Vec::new(), Vec::new());
        for _ in 0..SERVERS {
            let listener = TcpListener::bind("127.0.0.1:0").await.doing("listen")?;
            fronts.push(listener.local_addr().doing("listen")?);
            listeners.push(listener);
        }
        let settings = Settings {
            servers: SERVERS,
            dir: Some(dir.to_owned()),
            // Clients learn from one server where the others are: behind proxies.
            advertise: fronts.clone(),
            ..Settings::default()
        };
        let servers = spawn_blocking(move || Servers::start(&settings)).await;
        let servers = servers.doing("start NATS servers")?;
        let servers = servers.doing("start NATS servers")?;
        let mut wires = Vec::new();
        for (number, listener) in listeners.into_iter().enumerate() {
            let wire = Wires::default();
            wire.stand_before(listener, servers.address(number).to_string());
            wires.push(wire);
        }
        let log = LogPlace::Nats {
            servers: fronts.iter().map(|it| format!("nats://{it}")).collect(),
            direct: servers.urls(),
            stores: servers.dir().to_owned(),
        };
        let names = (0..SERVERS).map(|it| servers.name(it).to_owned());
        let nats = Self {
            names: names.collect(),
            servers: Arc::new(Mutex::new(servers)),
            log,
            wires,
        };
        let deadline = Instant::now() + MEETING;
        while !nats.with(have_met).await? {
            if Instant::now() > deadline {
                return Err(Failure(format!(
                    "the NATS servers have no leader after {MEETING:?}"
                )));
            }
            sleep(LOOK).await;
        }
        Ok(nats)
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Servers) -> T + Send + 'static,
    ) -> Result<T> {
        let servers = Arc::clone(&self.servers);
        let done = spawn_blocking(move || {
            work(&mut servers.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.doing("work with NATS servers")
    }

    /// Where the log is that they hold.
    pub(crate) fn log(&self) -> LogPlace {
        self.log.clone()
    }

    /// `n1`, `n2`, …
    pub(crate) fn name(&self, number: usize) -> &str {
        &self.names[number]
    }

    /// Does that to one of them.
    pub(crate) async fn harm(&self, number: usize, harm: Harm) -> Result<()> {
        let done = match harm {
            Harm::Kill => self.with(move |it| it.kill(number)).await?,
            Harm::Stop => self.with(move |it| it.stop(number)).await?,
            Harm::Cut(weather) => {
                self.wires[number].set_all(weather);
                Ok(())
            }
        };
        done.doing("harm a NATS server")
    }

    /// Undoes it.
    pub(crate) async fn mend(&self, number: usize, harm: Harm) -> Result<()> {
        let done = match harm {
            Harm::Kill => self.with(move |it| it.start_again(number)).await?,
            Harm::Stop => self.with(move |it| it.go_on(number)).await?,
            Harm::Cut(_) => {
                self.wires[number].set_all(Weather::Clear);
                Ok(())
            }
        };
        done.doing("mend a NATS server")
    }

    /// Which of them leads the stream; `None`: nobody says.
    pub(crate) async fn leader(&self) -> Result<Option<usize>> {
        let standing = self.with(|it| standing(it)).await?;
        let leader = standing.and_then(|it| it.leader);
        Ok((0..SERVERS).find(|it| Some(self.name(*it)) == leader.as_deref()))
    }

    /// Waits until each of them answers and the stream has a leader and every copy of it is
    /// complete.
    pub(crate) async fn until_whole(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let (met, standing) = self.with(|it| (have_met(it), standing(it))).await?;
            if met && standing.as_ref().is_some_and(Standing::is_whole) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Failure(format!(
                    "the NATS servers are not whole after {limit:?}: {standing:?}"
                )));
            }
            sleep(LOOK).await;
        }
    }
}

/// Whether each of them answers, and knows a leader.
fn have_met(servers: &mut Servers) -> bool {
    (0..SERVERS).all(|number| {
        let answer = servers.ask(number, "$JS.API.INFO", QUESTION);
        answer.is_ok_and(|answer| !answer.contains("\"error\""))
    })
}

/// How the stream stands, by its leader, over whichever server answers.
fn standing(servers: &Servers) -> Option<Standing> {
    let subject = format!("$JS.API.STREAM.INFO.{STREAM}");
    (0..SERVERS).find_map(|number| {
        let answer = servers.ask(number, &subject, QUESTION).ok()?;
        serde_json::from_str::<Info>(&answer).ok()?.cluster
    })
}

/// What is of interest of the state of a stream.
#[derive(Debug, Deserialize)]
struct Info {
    cluster: Option<Standing>,
}

#[derive(Debug, Deserialize)]
struct Standing {
    leader: Option<String>,
    #[serde(default)]
    replicas: Vec<Copy>,
}

/// A copy that the leader does not keep itself.
#[derive(Debug, Deserialize)]
struct Copy {
    current: bool,
    #[serde(default)]
    offline: bool,
    #[serde(default)]
    lag: u64,
}

impl Standing {
    fn is_whole(&self) -> bool {
        let complete = |copy: &Copy| copy.current && !copy.offline && copy.lag == 0;
        self.leader.is_some()
            && self.replicas.len() + 1 == SERVERS
            && self.replicas.iter().all(complete)
    }
}

#[cfg(test)]
mod tests {
    use sns_core::log::jetstream::{JetStreamLog, JetStreamOptions};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_secs(3);

    fn standing(text: &str) -> Standing {
        let info: Info = serde_json::from_str(text).expect("an answer");
        info.cluster.expect("of a cluster")
    }

    #[test]
    fn a_stream_is_whole_with_a_leader_and_two_complete_copies() {
        let whole = r#"{"config":{},"cluster":{"name":"sns","leader":"n2","replicas":[
            {"name":"n1","current":true,"active":1},{"name":"n3","current":true,"active":1}]}}"#;
        assert!(standing(whole).is_whole());
        for (from, to) in [
            (r#""leader":"n2","#, ""),
            (r#""n1","current":true"#, r#""n1","current":false"#),
            (r#""n3","#, r#""n3","offline":true,"#),
            (r#""n3","#, r#""n3","lag":3,"#),
            (r#",{"name":"n3","current":true,"active":1}"#, ""),
        ] {
            let broken = whole.replace(from, to);
            assert_ne!(broken, whole);
            assert!(!standing(&broken).is_whole(), "{broken}");
        }
    }

    #[tokio::test]
    async fn the_service_is_cut_off_from_one_server_and_the_others_are_not() {
        if !sns_natsd::is_here() {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let nats = Nats::start(dir.path()).await.expect("three servers");
        let LogPlace::Nats { servers, .. } = nats.log() else {
            panic!("it is on NATS");
        };
        let opens = async |number: usize, patience: Duration| {
            let options = JetStreamOptions::new([servers[number].clone()]);
            let options = options.patience(patience);
            let opened = spawn_blocking(move || JetStreamLog::open(&options).map(drop));
            opened.await.expect("tried")
        };
        let whole = async || {
            nats.until_whole(LONG).await.expect("whole");
        };
        opens(0, LONG).await.expect("open");
        whole().await;
        let leader = nats.leader().await.expect("asked").expect("a leader");
        let cut = Harm::Cut(Weather::Cut);
        nats.harm(leader, cut).await.expect("cut");
        opens(leader, SHORT).await.expect_err("it is cut off");
        opens((leader + 1) % SERVERS, LONG).await.expect("open");
        // Nobody asks through a proxy here.
        whole().await;
        nats.mend(leader, cut).await.expect("mended");
        opens(leader, LONG).await.expect("open again");
        nats.harm(leader, Harm::Kill).await.expect("killed");
        nats.mend(leader, Harm::Kill).await.expect("started again");
        whole().await;
    }
}
