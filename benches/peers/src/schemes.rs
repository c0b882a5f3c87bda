//! Which way of asking a peer is its fastest: each is measured with callers that ask as fast as
//! they are answered, on the graphs and the machine at hand.
//!
//! The campaign takes what won here; the figures stand in the crate's documentation.

use std::sync::Arc;
use std::time::Instant;

use sns_load::{Mix, Target};

use crate::args::Common;
use crate::campaign::{SESSIONS, say, sns_server};
use crate::failure::Result;
use crate::pull::{Pull, Query};
use crate::retwis::server::Fsync;
use crate::retwis::{HomeWay, PostWay, Retwis, Ways};
use crate::sns::{SnsFeed, Spread};
use crate::systems::{self, Filling, directory};
use crate::target::{Feeds, flood};
use crate::{graphs, places};

/// Operations for one figure.
const OPERATIONS: u64 = 40_000;
/// With `--quick`.
const OPERATIONS_QUICK: u64 = 10_000;

/// Measures all ways of all peers and prints operations a second.
///
/// # Errors
/// A system is not installed, does not come up or refuses its load.
pub async fn run(args: Common) -> Result<()> {
    places::check_disk(&args.dir)?;
    for graph in &graphs::load(&args.graphs, args.quick, say)? {
        let filling = Filling {
            graph,
            posts: args.preload,
            seed: !args.seed,
            callers: usize::from(args.connections),
        };
        let trial = Trial {
            filling,
            seed: args.seed,
            count: if args.quick {
                OPERATIONS_QUICK
            } else {
                OPERATIONS
            },
        };
        let name = &graph.name;
        say(&format!(
            "{name}: operations a second, {} callers",
            filling.callers
        ));
        Box::pin(redis(&args, &trial)).await?;
        Box::pin(postgres(&args, &trial)).await?;
        Box::pin(sns(&args, &trial)).await?;
    }
    Ok(())
}

struct Trial<'a> {
    filling: Filling<'a>,
    seed: u64,
    count: u64,
}

impl Trial<'_> {
    async fn time<T: Target>(&self, what: &str, mix: Mix, target: Arc<T>) -> Result<()> {
        let users = self.filling.graph.users;
        // Once to warm up.
        let warm = (self.seed.wrapping_add(1), self.count / 10);
        flood(&target, mix, users, warm, self.filling.callers).await?;
        let start = Instant::now();
        let all = (self.seed, self.count);
        flood(&target, mix, users, all, self.filling.callers).await?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let rate = self.count as f64 / start.elapsed().as_secs_f64();
        print(&format!("{what:64} {mix:>10} {rate:>10.0}/s"));
        Ok(())
    }
}

#[allow(clippy::print_stdout, reason = "this is a command line")]
fn print(text: &str) {
    println!("{text}");
}

async fn redis(args: &Common, trial: &Trial<'_>) -> Result<()> {
    let dir = directory(&args.dir)?;
    let made = systems::redis(dir.path(), Fsync::Everysec, Ways::default(), trial.filling);
    let (server, feeds) = made.await?;
    drop(feeds);
    let with = async |ways: Ways, mix: Mix, setting: &str| {
        let feeds = Arc::new(Feeds::new(Retwis::connect(&server, ways).await?)?);
        trial
            .time(&format!("redis {setting}, {ways:?}"), mix, feeds)
            .await
    };
    let base = Ways::default();
    for home in [HomeWay::Sort, HomeWay::Script, HomeWay::TwoTrips] {
        with(Ways { home, ..base }, Mix::Read, "everysec").await?;
    }
    for fsync in [Fsync::Everysec, Fsync::Always] {
        server.set_fsync(fsync).await?;
        for post in [PostWay::Script, PostWay::Pipeline] {
            with(Ways { post, ..base }, Mix::Post, &fsync.to_string()).await?;
        }
        for sockets in [1, 2, 4, 8, trial.filling.callers] {
            with(Ways { sockets, ..base }, Mix::Dsb, &fsync.to_string()).await?;
        }
    }
    server.stop()
}

async fn postgres(args: &Common, trial: &Trial<'_>) -> Result<()> {
    let dir = directory(&args.dir)?;
    let server = systems::postgres(dir.path(), SESSIONS, trial.filling).await?;
    let fastest = systems::fastest_query(&server, SESSIONS, trial.filling).await?;
    let with = async |query: Query, sessions: usize, durable: bool, mix: Mix| {
        let clients = Pull::connect(&server, durable, query, sessions).await?;
        let commit = if durable { "on" } else { "off" };
        let what = format!("postgres {commit}, {query:?}, {sessions} sessions");
        trial.time(&what, mix, Arc::new(Feeds::new(clients)?)).await
    };
    for query in Query::ALL {
        with(query, SESSIONS, false, Mix::Read).await?;
    }
    for durable in [false, true] {
        for sessions in [4, 8, 16, 32, trial.filling.callers] {
            with(fastest, sessions, durable, Mix::Dsb).await?;
        }
    }
    server.stop()
}

async fn sns(args: &Common, trial: &Trial<'_>) -> Result<()> {
    let dir = directory(&args.dir)?;
    let base = Spread::default();
    let program = sns_server(args)?;
    let made = systems::sns(dir.path(), &program, (1, base), trial.filling);
    let (server, feeds) = Box::pin(made).await?;
    drop(feeds);
    for slaves in [false, true] {
        for sockets in [2, 4, 8, trial.filling.callers] {
            let spread = Spread { sockets, slaves };
            let clients = SnsFeed::connect(server.router(), trial.filling.graph, spread).await?;
            let feeds = Arc::new(Feeds::new(clients)?);
            trial
                .time(&format!("sns, {spread:?}"), Mix::Dsb, feeds)
                .await?;
        }
    }
    server.stop()
}
