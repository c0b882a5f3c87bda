//! Any [`Feed`] under the load of `sns-load`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use sns_load::{CallError, Connection, Mix, Op, Reply, Target};
use tokio::task::JoinSet;

use crate::failure::{Doing as _, Failure, Result};
use crate::feed::Feed;

/// A system under load. Its callers take the clients in turn.
#[derive(Debug)]
pub struct Feeds<F> {
    clients: Vec<Arc<F>>,
    next: AtomicUsize,
}

impl<F> Feeds<F> {
    /// Over these clients, of which there must be one.
    ///
    /// # Errors
    /// There is none.
    pub fn new(clients: Vec<F>) -> Result<Self> {
        if clients.is_empty() {
            return Err(Failure("a system needs a client".to_owned()));
        }
        Ok(Self {
            clients: clients.into_iter().map(Arc::new).collect(),
            next: AtomicUsize::new(0),
        })
    }
}

impl<F: Feed> Target for Feeds<F> {
    type Connection = Caller<F>;

    async fn connect(&self) -> Result<Caller<F>, CallError> {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.clients.len();
        Ok(Caller(Arc::clone(&self.clients[at])))
    }
}

/// One caller: waits for each answer before it asks again.
#[derive(Debug)]
pub struct Caller<F>(Arc<F>);

impl<F: Feed> Connection for Caller<F> {
    async fn call(&mut self, op: &Op) -> Result<Reply, CallError> {
        let feed = &self.0;
        let done = match op {
            Op::Home { user } => feed.home(*user).await.map(|page| page.len()),
            Op::UserPage { user } => feed.user_page(*user).await.map(|page| page.len()),
            Op::Post { user, text } => feed.post(*user, text).await.map(|()| 0),
            Op::Follow { user, followee } => feed.follow(*user, *followee).await.map(|()| 0),
        };
        let posts = done.map_err(|failure| CallError(failure.0))?;
        Ok(Reply { posts })
    }
}

/// Carries out operations 0 to `count` of a mix as fast as the system takes them: to fill it, or to
/// see how much it bears.
///
/// # Errors
/// The first failure.
pub async fn flood<T: Target>(
    target: &Arc<T>,
    mix: Mix,
    users: u32,
    (seed, count): (u64, u64),
    callers: usize,
) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let (target, next) = (Arc::clone(target), Arc::clone(&next));
        running.spawn(async move {
            let mut connection = target.connect().await.doing("connect")?;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok::<(), Failure>(());
                }
                let op = mix.op(seed, index, users);
                connection.call(&op).await.doing("fill the system")?;
            }
        });
    }
    while let Some(done) = running.join_next().await {
        done.doing("fill the system")??;
    }
    Ok(())
}
