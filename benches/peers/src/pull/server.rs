//! A `PostgreSQL` cluster of one's own, on loopback.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio_postgres::{Client, Config, NoTls};

use crate::failure::{Doing as _, Failure, Result};
use crate::places;
use crate::process::Running;

/// Where Debian puts the programs; others have them in `PATH`.
const DEBIAN: &str = "/usr/lib/postgresql/15/bin";
/// How to get it on Debian, without the cluster that the package starts by itself.
const HINT: &str = "apt-get install postgresql-15 (its own cluster is not used)";
/// The user that the programs run as when this runs as root, which they refuse.
const USER: &str = "postgres";
/// How long it may take to answer.
const STARTING: Duration = Duration::from_secs(60);

/// What differs from the defaults. Nothing here weakens durability.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=300",
    "shared_buffers=1GB",
    "effective_cache_size=4GB",
    "random_page_cost=1.1",
    // One server without replicas: less is written.
    "wal_level=minimal",
    "max_wal_senders=0",
    "wal_buffers=64MB",
    // A checkpoint in the middle of a short run would only cost.
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    // Compiling a query takes longer than these queries do, and so does planning one anew.
    "jit=off",
    "plan_cache_mode=force_generic_plan",
];

/// A running `PostgreSQL`; it ends with this value.
#[derive(Debug)]
pub struct PostgresServer {
    running: Running,
    port: u16,
    version: String,
}

impl PostgresServer {
    /// `initdb` and `postgres`.
    pub(crate) fn programs() -> Result<(PathBuf, PathBuf)> {
        let initdb = places::program("initdb", &[DEBIAN], HINT)?;
        Ok((initdb, places::program("postgres", &[DEBIAN], HINT)?))
    }

    /// Makes a cluster in `dir`, which must exist, and starts it.
    ///
    /// # Errors
    /// It is not installed, or does not come up.
    pub async fn start(dir: &Path) -> Result<Self> {
        let (initdb, postgres) = Self::programs()?;
        let version = places::version(&postgres)?;
        let owner = Owner::needed()?;
        let cluster = dir.join("cluster");
        std::fs::create_dir(&cluster).doing(format_args!("make {}", cluster.display()))?;
        if let Some(owner) = &owner {
            owner.give(dir)?;
            owner.give(&cluster)?;
        }
        make(&initdb, &cluster, owner.as_ref())?;

        let port = places::free_port()?;
        let log = dir.join("postgres.log");
        let mut command = Command::new(postgres);
        command.arg("-D").arg(&cluster);
        command.args(["-c", &format!("port={port}")]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.stdout(Stdio::null()).current_dir(dir);
        if let Some(owner) = &owner {
            owner.run(&mut command);
        }
        // Interrupt is its fast shutdown: it does not wait for clients.
        let running = Running::start("postgres", &mut command, Signal::INT, &log)?;
        let mut server = Self {
            running,
            port,
            version,
        };
        let deadline = Instant::now() + STARTING;
        loop {
            server.running.check(&log)?;
            if server.connect(true).await.is_ok() {
                return Ok(server);
            }
            if Instant::now() > deadline {
                return Err(Failure("postgres does not answer".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it says its version is.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// One more session. Not `durable`: a commit does not wait for the disk, and a power cut loses
    /// up to about 0.6 seconds of acknowledged writes.
    pub(crate) async fn connect(&self, durable: bool) -> Result<Client> {
        let mut config = Config::new();
        let commit = if durable { "on" } else { "off" };
        config
            .host("127.0.0.1")
            .port(self.port)
            .user(USER)
            .dbname(USER)
            .options(format!("-c synchronous_commit={commit}"));
        let (client, connection) = config.connect(NoTls).await.doing("connect to postgres")?;
        // Ends when the client is dropped; an error shows in the client's calls.
        tokio::spawn(connection);
        Ok(client)
    }

    /// Stops it.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(mut self) -> Result<()> {
        self.running.stop().map(drop)
    }
}

fn make(initdb: &Path, cluster: &Path, owner: Option<&Owner>) -> Result<()> {
    let mut command = Command::new(initdb);
    command
        .arg("-D")
        .arg(cluster)
        .args(["--username", USER, "--auth=trust"])
        .args(["--locale=C", "--encoding=UTF8"]);
    if let Some(dir) = cluster.parent() {
        command.current_dir(dir);
    }
    if let Some(owner) = owner {
        owner.run(&mut command);
    }
    let output = command.output().doing("run initdb")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure(format!(
        "initdb ended with {}: {said}",
        output.status
    )))
}

/// Another user to run as.
#[derive(Debug)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// `None` when this process may run the programs itself.
    fn needed() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = PathBuf::from("/etc/passwd");
        let text = std::fs::read_to_string(passwd).doing("read /etc/passwd")?;
        let found = text.lines().find_map(|line| {
            let mut parts = line.split(':');
            let name = parts.next()?;
            let uid = parts.nth(1)?.parse().ok()?;
            let gid = parts.next()?.parse().ok()?;
            (name == USER).then_some(Self { uid, gid })
        });
        let missing = || Failure(format!("postgres refuses root, and no user {USER}: {HINT}"));
        found.ok_or_else(missing).map(Some)
    }

    fn give(&self, dir: &Path) -> Result<()> {
        std::os::unix::fs::chown(dir, Some(self.uid), Some(self.gid))
            .doing(format_args!("give {} to {USER}", dir.display()))
    }

    fn run(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}
