//! A Redis server of one's own, on loopback.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo};
use rustix::process::Signal;

use crate::failure::{Doing as _, Failure, Result};
use crate::places;
use crate::process::Running;

/// How to get it on Debian.
const HINT: &str = "apt-get install redis-server (its service need not run)";
/// How long it may take to answer.
const STARTING: Duration = Duration::from_secs(20);

/// When Redis syncs its append-only file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before it answers, once for all commands of one round of its loop.
    Always,
    /// Once a second: a power cut loses up to two seconds of acknowledged writes.
    Everysec,
}

impl fmt::Display for Fsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "always",
            Self::Everysec => "everysec",
        })
    }
}

/// A running Redis; it ends with this value.
#[derive(Debug)]
pub struct RedisServer {
    running: Running,
    port: u16,
    version: String,
}

impl RedisServer {
    pub(crate) fn program() -> Result<PathBuf> {
        places::program("redis-server", &[], HINT)
    }

    /// Starts one with its data in `dir`, which must exist.
    ///
    /// # Errors
    /// It is not installed, or does not come up.
    pub async fn start(dir: &Path, fsync: Fsync) -> Result<Self> {
        let program = Self::program()?;
        let version = places::version(&program)?;
        let log = dir.join("redis.log");
        let port = places::free_port()?;
        let mut command = Command::new(program);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .arg("--dir")
            .arg(dir)
            .args(["--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", &fsync.to_string()])
            // Writing the file anew in the middle of a short run would only cost.
            .args(["--auto-aof-rewrite-percentage", "0"])
            // Sets of numbers stay packed: reading the followers of the most followed is faster.
            .args(["--set-max-intset-entries", "16384"])
            .args(["--loglevel", "warning"])
            .stdout(Stdio::null());
        let running = Running::start("redis-server", &mut command, Signal::TERM, &log)?;
        let mut server = Self {
            running,
            port,
            version,
        };
        let deadline = Instant::now() + STARTING;
        loop {
            server.running.check(&log)?;
            if let Ok(mut connection) = server.connect().await {
                let ping = redis::cmd("PING");
                if ping.exec_async(&mut connection).await.is_ok() {
                    return Ok(server);
                }
            }
            if Instant::now() > deadline {
                return Err(Failure("redis-server does not answer".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it says its version is.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Changes when it syncs.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn set_fsync(&self, fsync: Fsync) -> Result<()> {
        let mut connection = self.connect().await?;
        let set = redis::cmd("CONFIG")
            .arg(&["SET", "appendfsync", &fsync.to_string()])
            .exec_async(&mut connection)
            .await;
        set.doing("set appendfsync")
    }

    /// One more connection, without the client's limit of half a second for an answer: the load
    /// measures how long answers take.
    pub(crate) async fn connect(&self) -> Result<MultiplexedConnection> {
        let address = ConnectionAddr::Tcp("127.0.0.1".to_owned(), self.port);
        let info = address.into_connection_info().doing("name the address")?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).doing("make a client of Redis")?;
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        connection.await.doing("connect to Redis")
    }

    /// Stops it.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(mut self) -> Result<()> {
        self.running.stop().map(drop)
    }
}
