//! A client that wants to know at once: what is answered while nothing is well?

use std::time::{Duration, Instant};

use sns_client::{Client, Options};
use tokio::time::sleep;

use super::Shared;
use super::caller::{seen, told};
use crate::cluster::LOOK;
use crate::failure::{Doing as _, Failure, Result};
use crate::history::{Call, Op, Outcome, Page};

/// Its user.
pub(crate) const PROBER: &str = "prober";

/// Posts of a page.
const LIMIT: usize = 20;

/// The client and what it was told.
pub(crate) struct Prober {
    client: Client,
    shared: Shared,
    ops: Vec<Op>,
}

impl Prober {
    /// `patience`: how long it waits for an answer; by default as long as every client.
    pub(crate) async fn connect(
        router: &str,
        patience: Option<Duration>,
        shared: Shared,
    ) -> Result<Self> {
        let mut options = Options::new(PROBER).routers([router]);
        if let Some(patience) = patience {
            options = options.deadline(patience);
        }
        Ok(Self {
            client: options.connect().await.doing("log the prober in")?,
            shared,
            ops: Vec::new(),
        })
    }

    /// Posts something.
    pub(crate) async fn post(&mut self) -> Outcome {
        let (start, server) = (self.shared.clock.now(), self.shared.server(&self.client));
        let text = format!("{PROBER} {}", self.ops.len());
        let outcome = match self.client.post(text.clone()).await {
            Ok(post) => Outcome::Ok { seq: post.id.get() },
            Err(error) => told(&error),
        };
        self.note(Call::Post { text }, start, server, outcome)
    }

    /// Posts until that is acknowledged; how long it took.
    pub(crate) async fn until_written(&mut self, limit: Duration) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            match self.post().await {
                Outcome::Ok { .. } => return Ok(begun.elapsed()),
                last if begun.elapsed() > limit => {
                    return Err(Failure(format!("no write after {limit:?}: {last:?}")));
                }
                _ => sleep(LOOK).await,
            }
        }
    }

    /// Reads its home timeline.
    pub(crate) async fn read(&mut self) -> Outcome {
        let (start, server) = (self.shared.clock.now(), self.shared.server(&self.client));
        let at_least = self.client.seen().get();
        let mut pages = Vec::new();
        let mut complete = false;
        let outcome = match self.client.home().limit(LIMIT).page().await {
            Ok(page) => {
                complete = page.next.is_none();
                pages.push(Page {
                    seq: page.seq.get(),
                    posts: page.items.into_iter().map(seen).collect(),
                });
                Outcome::Ok { seq: 0 }
            }
            Err(error) => told(&error),
        };
        let call = Call::Walk {
            of: None,
            at_least,
            limit: LIMIT,
            linearizable: false,
            pages,
            complete,
        };
        self.note(call, start, server, outcome)
    }

    /// All that was asked and told.
    pub(crate) fn into_ops(self) -> Vec<Op> {
        self.ops
    }

    fn note(&mut self, call: Call, start: u64, server: String, outcome: Outcome) -> Outcome {
        self.ops.push(Op {
            client: u32::MAX - 1,
            user: PROBER.to_owned(),
            call,
            start,
            end: self.shared.clock.now(),
            server,
            outcome: outcome.clone(),
        });
        outcome
    }
}
