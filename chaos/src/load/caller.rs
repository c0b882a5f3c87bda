//! A client that calls: posts, deletions, follows, pages.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use sns_client::{Client, Cursor, Error, ErrorKind, Post};
use tokio::time::{Instant, sleep_until};

use super::{Counters, Plan, Shared, user};
use crate::check::failure;
use crate::history::{Call, Micros, Op, Outcome, Page, Seen};

/// Own posts that are kept in mind, to delete one of them.
const KEPT: usize = 64;
/// Pages of one walk.
const PAGES: usize = 4;

/// One client with its user.
pub(super) struct Caller {
    number: u32,
    user: String,
    client: Client,
    others: Vec<String>,
    followed: BTreeSet<String>,
    own: Vec<u64>,
    posts: u64,
    tag: u64,
    rng: StdRng,
    shared: Shared,
    ops: Vec<Op>,
}

impl Caller {
    pub(super) fn new(plan: &Plan, number: u32, client: Client, shared: Shared) -> Self {
        let others = (0..plan.clients).filter(|other| *other != number);
        Self {
            number,
            user: user(number),
            client,
            others: others.map(user).collect(),
            followed: BTreeSet::new(),
            own: Vec::new(),
            posts: 0,
            tag: plan.seed & 0xffff,
            rng: StdRng::seed_from_u64(plan.seed ^ (u64::from(number) << 32)),
            shared,
            ops: Vec::new(),
        }
    }

    /// Calls, one call every so often, until it is enough.
    pub(super) async fn run(mut self, every: Duration) -> Vec<Op> {
        // Not all at the same moment.
        let mut next = Instant::now() + every.mul_f64(self.rng.random());
        while !self.shared.enough.is_cancelled() {
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.shared.enough.cancelled() => break,
            }
            // A client that was held up does not make good for what it missed.
            next = (next + every).max(Instant::now());
            let op = self.call().await;
            self.ops.push(op);
        }
        self.ops
    }

    async fn call(&mut self) -> Op {
        let server = self.shared.server(&self.client);
        let start = self.shared.clock.now();
        let kind = self.rng.random_range(0..100);
        let (call, outcome) = match kind {
            0..80 => self.post().await,
            80..84 => self.delete().await,
            84..90 => self.follow_or_not().await,
            90..96 => self.walk().await,
            _ => self.linearizable().await,
        };
        let op = Op {
            client: self.number,
            user: self.user.clone(),
            call,
            start,
            end: self.now(),
            server,
            outcome,
        };
        self.count(&op);
        op
    }

    fn now(&self) -> Micros {
        self.shared.clock.now()
    }

    fn count(&self, op: &Op) {
        let counters = &self.shared.counters;
        if failure(op).is_some() {
            Counters::add(&counters.failed);
        } else if matches!(op.outcome, Outcome::Ok { .. }) && !is_walk(op) {
            Counters::add(&counters.acknowledged);
        }
    }

    async fn post(&mut self) -> (Call, Outcome) {
        self.posts += 1;
        let text = format!("{:x}.{}.{}", self.tag, self.number, self.posts);
        let outcome = match self.client.post(text.clone()).await {
            Ok(post) => {
                let id = post.id.get();
                if self.own.len() < KEPT {
                    self.own.push(id);
                } else {
                    let place = self.rng.random_range(0..KEPT);
                    self.own[place] = id;
                }
                Outcome::Ok { seq: id }
            }
            Err(error) => told(&error),
        };
        (Call::Post { text }, outcome)
    }

    async fn delete(&mut self) -> (Call, Outcome) {
        if self.own.is_empty() {
            return self.post().await;
        }
        let place = self.rng.random_range(0..self.own.len());
        let id = self.own.swap_remove(place);
        let outcome = self.client.delete(id).await;
        let outcome = outcome.map_or_else(|e| told(&e), |seq| Outcome::Ok { seq: seq.get() });
        (Call::Delete { id }, outcome)
    }

    async fn follow_or_not(&mut self) -> (Call, Outcome) {
        let Some(followee) = self.others.choose(&mut self.rng).cloned() else {
            return self.post().await;
        };
        let already = self.followed.contains(&followee);
        // Now and then what makes no sense, to be refused.
        let senseless = self.rng.random_ratio(1, 20);
        let (call, outcome) = if already == senseless {
            let outcome = self.client.follow(followee.clone()).await;
            if outcome.is_ok() {
                self.followed.insert(followee.clone());
            }
            (Call::Follow { followee }, outcome)
        } else {
            let outcome = self.client.unfollow(followee.clone()).await;
            if outcome.is_ok() {
                self.followed.remove(&followee);
            }
            (Call::Unfollow { followee }, outcome)
        };
        let outcome = outcome.map_or_else(|e| told(&e), |seq| Outcome::Ok { seq: seq.get() });
        (call, outcome)
    }

    /// Some pages of the home timeline or of one user.
    async fn walk(&mut self) -> (Call, Outcome) {
        let home: bool = self.rng.random();
        let of = (!home).then(|| self.others.choose(&mut self.rng).cloned());
        let (limit, pages) = (
            self.rng.random_range(1..=30),
            self.rng.random_range(1..=PAGES),
        );
        self.pages(of.flatten(), limit, pages, false).await
    }

    /// The newest posts of somebody, with all that was acknowledged anywhere.
    async fn linearizable(&mut self) -> (Call, Outcome) {
        let of = self.others.choose(&mut self.rng).cloned();
        self.pages(of, 5, 1, true).await
    }

    async fn pages(
        &mut self,
        of: Option<String>,
        limit: usize,
        most: usize,
        linearizable: bool,
    ) -> (Call, Outcome) {
        let at_least = self.client.seen().get();
        let mut pages = Vec::new();
        let mut cursor = None;
        let mut outcome = Outcome::Ok { seq: 0 };
        let complete = loop {
            let fresh = linearizable && pages.is_empty();
            match self.page(of.as_deref(), limit, fresh, cursor).await {
                Ok(page) => {
                    pages.push(Page {
                        seq: page.seq.get(),
                        posts: page.items.into_iter().map(seen).collect(),
                    });
                    cursor = page.next;
                }
                Err(error) => {
                    outcome = told(&error);
                    break false;
                }
            }
            if cursor.is_none() {
                break true;
            }
            if pages.len() == most {
                break false;
            }
        };
        let call = Call::Walk {
            of,
            at_least,
            limit,
            linearizable,
            pages,
            complete,
        };
        (call, outcome)
    }

    async fn page(
        &self,
        of: Option<&str>,
        limit: usize,
        linearizable: bool,
        cursor: Option<Cursor>,
    ) -> Result<sns_client::Page<Post>, Error> {
        if let Some(author) = of {
            let page = self.client.posts_of(author).limit(limit);
            let page = page.linearizable(linearizable);
            match cursor {
                Some(cursor) => page.cursor(cursor).page().await,
                None => page.page().await,
            }
        } else {
            let page = self.client.home().limit(limit).linearizable(linearizable);
            match cursor {
                Some(cursor) => page.cursor(cursor).page().await,
                None => page.page().await,
            }
        }
    }
}

/// A post, as it is noted.
pub(super) fn seen(post: Post) -> Seen {
    Seen {
        id: post.id.get(),
        author: post.author,
        text: post.text,
    }
}

fn is_walk(op: &Op) -> bool {
    matches!(op.call, Call::Walk { .. })
}

/// How a call ended that was not well.
pub(super) fn told(error: &Error) -> Outcome {
    let reason = match error.reason_name() {
        "" => error.kind().as_str(),
        name => name,
    };
    let reason = reason.to_owned();
    match error.kind() {
        ErrorKind::Unknown => Outcome::Unknown { reason },
        _ => Outcome::Refused { reason },
    }
}
