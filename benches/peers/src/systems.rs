//! The systems under comparison: started, loaded, filled, and given as something to load.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sns_load::{Graph, Mix};
use tempfile::TempDir;

use crate::failure::{Doing as _, Result};
use crate::feed::Feed;
use crate::pull::{PostgresServer, Pull, Query};
use crate::retwis::server::Fsync;
use crate::retwis::{RedisServer, Retwis, Ways};
use crate::sns::{SnsFeed, SnsServer, Spread};
use crate::target::{Feeds, flood};

/// A system with a promise about its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Redis.
    Redis(Fsync),
    /// `PostgreSQL`, `synchronous_commit` on or off.
    Postgres(bool),
    /// SNS: there is only one way.
    Sns,
}

impl System {
    /// All, in the order of the tables: the durable ones first.
    pub const ALL: [Self; 5] = [
        Self::Sns,
        Self::Redis(Fsync::Always),
        Self::Postgres(true),
        Self::Redis(Fsync::Everysec),
        Self::Postgres(false),
    ];

    /// Checks that it can be started; `sns_server` is the program of SNS.
    ///
    /// # Errors
    /// It is not installed; what brings it.
    pub fn check(self, sns_server: &Path) -> Result<()> {
        match self {
            Self::Redis(_) => RedisServer::program().map(drop),
            Self::Postgres(_) => PostgresServer::programs().map(drop),
            Self::Sns => SnsServer::check(sns_server),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis(_) => "redis",
            Self::Postgres(_) => "postgres",
            Self::Sns => "sns",
        }
    }

    /// What it was told about durability.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Redis(Fsync::Always) => "appendfsync always",
            Self::Redis(Fsync::Everysec) => "appendfsync everysec",
            Self::Postgres(true) => "synchronous on",
            Self::Postgres(false) => "synchronous off",
            Self::Sns => "durable",
        }
    }

    /// Whether every acknowledged write survives a power cut.
    pub fn durable(self) -> bool {
        matches!(
            self,
            Self::Sns | Self::Redis(Fsync::Always) | Self::Postgres(true)
        )
    }
}

/// What a system is filled with.
#[derive(Clone, Copy, Debug)]
pub struct Filling<'a> {
    /// The users and follows.
    pub graph: &'a Graph,
    /// Posts by users drawn as the load draws them.
    pub posts: u64,
    /// Of the posts; other than that of the load.
    pub seed: u64,
    /// Callers at a time.
    pub callers: usize,
}

impl Filling<'_> {
    async fn fill<F: Feed>(&self, clients: Vec<F>) -> Result<Arc<Feeds<F>>> {
        let feeds = Arc::new(Feeds::new(clients)?);
        let posts = (self.seed, self.posts);
        flood(&feeds, Mix::Post, self.graph.users, posts, self.callers).await?;
        Ok(feeds)
    }
}

/// A directory for one system; gone with the value.
///
/// # Errors
/// It cannot be made.
pub fn directory(dir: &Path) -> Result<TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    let made = tempfile::Builder::new()
        .prefix("sns-peers-")
        .tempdir_in(dir);
    let made = made.doing(format_args!("make a directory in {}", dir.display()))?;
    // The user that postgres runs as has to get through.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(made.path(), open).doing("open the directory")?;
    Ok(made)
}

/// Redis, filled: with relaxed syncs, which are set at the end.
///
/// # Errors
/// It is not installed, does not come up or refuses something.
pub async fn redis(
    dir: &Path,
    fsync: Fsync,
    ways: Ways,
    filling: Filling<'_>,
) -> Result<(RedisServer, Arc<Feeds<Retwis>>)> {
    let server = RedisServer::start(dir, Fsync::Everysec).await?;
    let clients = Retwis::connect(&server, ways).await?;
    if let Some(client) = clients.first() {
        client.load(&filling.graph.follows).await?;
    }
    let feeds = filling.fill(clients).await?;
    server.set_fsync(fsync).await?;
    Ok((server, feeds))
}

/// `PostgreSQL`, filled by sessions that do not wait for the disk; it gives its clients by
/// [`Pull::connect`].
///
/// # Errors
/// It is not installed, does not come up or refuses something.
pub async fn postgres(dir: &Path, sessions: usize, filling: Filling<'_>) -> Result<PostgresServer> {
    let server = PostgresServer::start(dir).await?;
    Pull::load(&server, &filling.graph.names, &filling.graph.follows).await?;
    let relaxed = Pull::connect(&server, false, Query::default(), sessions).await?;
    drop(filling.fill(relaxed).await?);
    Pull::settle(&server).await?;
    Ok(server)
}

/// Reads of a query before it is judged.
const TRIAL: u64 = 3_000;

/// The query that reads home pages fastest on what the server holds now: the best of three rounds
/// each. Which one that is depends on the graph.
///
/// # Errors
/// The server refuses something.
pub async fn fastest_query(
    server: &PostgresServer,
    sessions: usize,
    filling: Filling<'_>,
) -> Result<Query> {
    let mut best = (Duration::MAX, Query::default());
    for round in 0..3 {
        for query in [Query::LateralIds, Query::LateralRanked, Query::Join] {
            let clients = Pull::connect(server, false, query, sessions).await?;
            let feeds = Arc::new(Feeds::new(clients)?);
            let start = Instant::now();
            let reads = (filling.seed.wrapping_add(round), TRIAL);
            flood(
                &feeds,
                Mix::Read,
                filling.graph.users,
                reads,
                filling.callers,
            )
            .await?;
            let took = start.elapsed();
            if took < best.0 {
                best = (took, query);
            }
        }
    }
    Ok(best.1)
}

/// SNS, filled.
///
/// # Errors
/// It does not come up or refuses something.
pub async fn sns(
    dir: &Path,
    program: &Path,
    (pairs, spread): (u32, Spread),
    filling: Filling<'_>,
) -> Result<(SnsServer, Arc<Feeds<SnsFeed>>)> {
    let server = SnsServer::start(program, dir, pairs).await?;
    server.load(filling.graph).await?;
    let clients = SnsFeed::connect(server.router(), filling.graph, spread).await?;
    let feeds = filling.fill(clients).await?;
    Ok((server, feeds))
}
