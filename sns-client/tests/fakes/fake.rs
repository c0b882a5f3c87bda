//! A world of fake servers in this process: they share one history, and each can be told to
//! refuse, to lose an answer, to hang, to freeze or to die.

mod net;
mod service;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sns_client::{Client, Options};

pub(crate) use self::service::{Fault, Node, Router};
pub(crate) use self::world::{Fact, World};

/// Servers `a`, `b`, ... and a router that names them in this order.
pub(crate) struct Setup {
    pub(crate) world: Arc<World>,
    pub(crate) router: Router,
    pub(crate) nodes: Vec<Node>,
}

impl Setup {
    /// So many servers, the first two of which the router names.
    pub(crate) async fn of(nodes: usize) -> Self {
        let world = World::new();
        let mut all = Vec::new();
        for _ in 0..nodes {
            all.push(Node::start(Arc::clone(&world)).await);
        }
        let router = Router::start().await;
        let named: Vec<_> = all.iter().take(2).collect();
        router.name(&named);
        Self {
            world,
            router,
            nodes: all,
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options::new("alice").routers([self.router.address()])
    }

    pub(crate) async fn connect(&self) -> Client {
        self.options().connect().await.expect("connected")
    }
}

/// Waits until `done`, at most 10 s.
pub(crate) async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What it gives and how long it took.
pub(crate) async fn timed<T>(work: impl IntoFuture<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    let given = work.into_future().await;
    (given, started.elapsed())
}
