//! [`RouteTable`]: which nodes live, and the draw of a master and a slave. Pure: announcements and
//! the time go in, it knows no socket and no clock.
//!
//! Two words about a node are kept apart: its own, which goes first while its stream is open, and
//! that of its partner, which alone can tell of a dead one. Only a node's own word makes it a
//! candidate for clients.
//!
//! *Invariant:* the table is soft. Nothing in it outlives one second of silence, so a router that
//! starts anew has all of it back within one heartbeat.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::{Rng, RngExt as _};
use sns_core::limits::ROUTER_NODES;
use sns_proto::v1::{AnnounceRequest, ErrorReason, Server, ServerRole, ServerState};

use crate::args::Policy;
use crate::config::node_name;

#[cfg(test)]
mod tests;

/// A word older than this counts no more.
pub const SILENCE: Duration = Duration::from_secs(1);

/// How often a node announces itself when nothing changes.
pub const ANNOUNCE_EVERY: Duration = Duration::from_millis(250);

/// Bytes of a text in an announcement: with the bound on nodes it bounds the table.
pub const TEXT_BYTES: usize = 1_024;

/// Names one announcement stream; never used twice by one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(u64);

/// Why an announcement was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// As the wire names it.
    pub reason: ErrorReason,
    /// For a human.
    pub message: String,
}

/// What somebody said about a node, and when.
#[derive(Clone, Debug)]
struct Word {
    stream: StreamId,
    at: Duration,
    server: Server,
}

#[derive(Clone, Debug, Default)]
struct Node {
    own: Option<Word>,
    partner: Option<Word>,
    /// Clients sent there since its own last word: its count of streams does not hold them yet.
    drawn: u64,
}

impl Node {
    fn word(&self) -> Option<&Word> {
        self.own.as_ref().or(self.partner.as_ref())
    }

    /// Its own word, if it can be given to clients.
    fn serving(&self) -> Option<&Server> {
        let server = &self.own.as_ref()?.server;
        (server.state() == ServerState::Serving).then_some(server)
    }

    fn load(&self) -> u64 {
        let streams = self.own.as_ref().map_or(0, |word| word.server.streams);
        streams.saturating_add(self.drawn)
    }
}

/// Orders the list: by pair, the master first.
type Key = (String, i32);

/// The live nodes of one data. See the module.
#[derive(Debug, Default)]
pub struct RouteTable {
    data_id: String,
    nodes: BTreeMap<Key, Node>,
    streams: u64,
}

impl RouteTable {
    /// An empty table: the first node to announce itself decides whose data it routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name for a new stream.
    pub fn open(&mut self) -> StreamId {
        self.streams += 1;
        StreamId(self.streams)
    }

    /// Takes what a node says of itself and its partner.
    ///
    /// # Errors
    /// `DATA_MISMATCH`: it serves other data than the nodes that are there. `OVERLOADED`: the table
    /// is full. `STREAM_PROTOCOL`: it makes no sense.
    pub fn announce(
        &mut self,
        stream: StreamId,
        now: Duration,
        request: AnnounceRequest,
    ) -> Result<(), Refusal> {
        self.expire(now);
        let Some(server) = request.server else {
            return Err(malformed("the announcement names no server"));
        };
        check(&server)?;
        if server.data_id.is_empty() || server.address.is_empty() {
            return Err(malformed("the announcement lacks an address or a data_id"));
        }
        if self.nodes.is_empty() {
            self.data_id.clone_from(&server.data_id);
        } else if self.data_id != server.data_id {
            return Err(Refusal {
                reason: ErrorReason::DataMismatch,
                message: format!(
                    "{} serves other data ({}) than this router ({}): give each data a router",
                    server.name, server.data_id, self.data_id
                ),
            });
        }
        let key = (server.pair.clone(), server.role);
        if !self.nodes.contains_key(&key) && self.nodes.len() >= ROUTER_NODES {
            return Err(Refusal {
                reason: ErrorReason::Overloaded,
                message: format!("the router knows {ROUTER_NODES} nodes already"),
            });
        }
        let partner = request
            .partner
            .map(|partner| self.partner(&server, partner));
        let partner = partner.transpose()?;
        let node = self.nodes.entry(key).or_default();
        node.drawn = 0;
        node.own = Some(Word {
            stream,
            at: now,
            server,
        });
        if let Some(server) = partner {
            let key = (server.pair.clone(), server.role);
            if self.nodes.contains_key(&key) || self.nodes.len() < ROUTER_NODES {
                self.nodes.entry(key).or_default().partner = Some(Word {
                    stream,
                    at: now,
                    server,
                });
            }
        }
        Ok(())
    }

    fn partner(&self, of: &Server, mut partner: Server) -> Result<Server, Refusal> {
        check(&partner)?;
        if partner.pair != of.pair || partner.role == of.role {
            return Err(malformed(format!(
                "{} is no partner of {}",
                partner.name, of.name
            )));
        }
        partner.data_id.clone_from(&self.data_id);
        Ok(partner)
    }

    /// The stream ended: what was said on it counts no more.
    pub fn close(&mut self, stream: StreamId) {
        self.retain(|word| word.stream != stream);
    }

    /// All nodes that somebody speaks for: by pair, the master first.
    pub fn list(&mut self, now: Duration) -> Vec<Server> {
        self.expire(now);
        let words = self.nodes.values().filter_map(Node::word);
        words.map(|word| word.server.clone()).collect()
    }

    /// A serving master and another serving node to fall back on, drawn by `policy`; a slave first
    /// where no master serves. `None` when nobody serves.
    pub fn assign(
        &mut self,
        now: Duration,
        policy: Policy,
        rng: &mut impl Rng,
    ) -> Option<(Server, Option<Server>)> {
        self.expire(now);
        let role = |key: &Key, role: ServerRole| key.1 == i32::from(role);
        let first = self
            .draw(policy, rng, |key| role(key, ServerRole::Master))
            .or_else(|| self.draw(policy, rng, |_| true))?;
        let slave = |key: &Key| role(key, ServerRole::Slave) && *key != first;
        let second = self
            .draw(policy, rng, |key| slave(key) && key.0 != first.0)
            .or_else(|| self.draw(policy, rng, slave))
            .or_else(|| self.draw(policy, rng, |key| *key != first));
        let master = self.take(&first)?;
        let slave = second.and_then(|key| self.nodes.get(&key)?.serving().cloned());
        Some((master, slave))
    }

    fn take(&mut self, key: &Key) -> Option<Server> {
        let node = self.nodes.get_mut(key)?;
        node.drawn += 1;
        node.serving().cloned()
    }

    fn draw(&self, policy: Policy, rng: &mut impl Rng, fits: impl Fn(&Key) -> bool) -> Option<Key> {
        let candidates: Vec<(&Key, &Node)> = self
            .nodes
            .iter()
            .filter(|(key, node)| node.serving().is_some() && fits(key))
            .collect();
        if candidates.is_empty() {
            return None;
        }
        let one = rng.random_range(0..candidates.len());
        let drawn = match policy {
            Policy::P2c if candidates.len() > 1 => {
                // A different one: an offset of 1 to len - 1 around the circle.
                let other = (one + rng.random_range(1..candidates.len())) % candidates.len();
                if candidates[other].1.load() < candidates[one].1.load() {
                    other
                } else {
                    one
                }
            }
            _ => one,
        };
        Some(candidates[drawn].0.clone())
    }

    fn expire(&mut self, now: Duration) {
        self.retain(|word| now.saturating_sub(word.at) <= SILENCE);
    }

    fn retain(&mut self, keep: impl Fn(&Word) -> bool) {
        self.nodes.retain(|_, node| {
            node.own.take_if(|word| !keep(word));
            node.partner.take_if(|word| !keep(word));
            node.word().is_some()
        });
    }
}

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal {
        reason: ErrorReason::StreamProtocol,
        message: message.into(),
    }
}

/// Names and bounds: what comes in here goes out to every client.
fn check(server: &Server) -> Result<(), Refusal> {
    let role = server.role();
    if role == ServerRole::Unspecified || server.name != node_name(&server.pair, role) {
        return Err(malformed(format!(
            "{:?} is no name of a node: PAIR-master or PAIR-slave",
            server.name.chars().take(64).collect::<String>()
        )));
    }
    let texts = [
        &server.name,
        &server.address,
        &server.digest,
        &server.reason,
        &server.data_id,
    ];
    if texts.iter().any(|text| text.len() > TEXT_BYTES) {
        return Err(malformed(format!(
            "the announcement of {} holds a text of over {TEXT_BYTES} bytes",
            server.name
        )));
    }
    Ok(())
}
