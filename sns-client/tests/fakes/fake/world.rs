//! [`World`]: the one history behind all fake servers, with at-most-once writes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use sns_proto::v1;
use tokio::sync::watch;

/// What happened at a seq.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    Posted(v1::Post),
    Deleted(u64),
    /// Of no interest to a stream.
    Other,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) facts: BTreeMap<u64, Fact>,
    pub(crate) users: Vec<String>,
    /// First outcomes by request id.
    outcomes: HashMap<String, u64>,
}

impl History {
    pub(crate) fn tail(&self) -> u64 {
        self.facts.keys().next_back().copied().unwrap_or(0)
    }

    /// The posts that were not deleted, newest first.
    pub(crate) fn posts(&self) -> Vec<v1::Post> {
        let gone: Vec<u64> = self
            .facts
            .values()
            .filter_map(|fact| match fact {
                Fact::Deleted(id) => Some(*id),
                _ => None,
            })
            .collect();
        let all = self.facts.values().rev();
        all.filter_map(|fact| match fact {
            Fact::Posted(post) if !gone.contains(&post.id) => Some(post.clone()),
            _ => None,
        })
        .collect()
    }
}

pub(crate) struct World {
    history: Mutex<History>,
    tail: watch::Sender<u64>,
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            history: Mutex::default(),
            tail: watch::channel(0).0,
        })
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().expect("no test panics inside")
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.tail.subscribe()
    }

    /// Writes a fact, once per request id; gives its seq.
    pub(crate) fn write(&self, request_id: &str, fact: impl FnOnce(u64) -> Fact) -> u64 {
        let mut history = self.history();
        if let Some(seq) = history.outcomes.get(request_id) {
            return *seq;
        }
        let seq = ((history.tail() >> 16) + 1) << 16;
        history.facts.insert(seq, fact(seq));
        if !request_id.is_empty() {
            history.outcomes.insert(request_id.to_owned(), seq);
        }
        self.tail.send_replace(seq);
        seq
    }

    pub(crate) fn post(&self, request_id: &str, author: &str, text: &str) -> v1::Post {
        let seq = self.write(request_id, |id| {
            Fact::Posted(v1::Post {
                id,
                author: author.to_owned(),
                text: text.to_owned(),
                created_at: Some(prost_types::Timestamp {
                    seconds: 1_700_000_000,
                    nanos: 0,
                }),
            })
        });
        match &self.history().facts[&seq] {
            Fact::Posted(post) => post.clone(),
            other => panic!("{request_id} was {other:?}"),
        }
    }

    /// The texts of all posts, oldest first.
    pub(crate) fn texts(&self) -> Vec<String> {
        let posts = self.history().posts();
        posts.into_iter().rev().map(|post| post.text).collect()
    }
}
