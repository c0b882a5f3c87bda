//! How much one user, and one address, may do in a time. Past it calls are refused with
//! `RATE_LIMITED` and the wait after which the same call is taken; nothing of them reaches the log,
//! so a refusal is no outcome that is remembered.
//!
//! Each server counts for itself: who goes to all of them has the sum. That bounds a flood as well as
//! a shared count would, and costs no word between servers.

mod streams;
mod table;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sns_core::Username;
use sns_proto::reason;
use sns_proto::v1::{ErrorReason, TimelineRefused};
use tonic::Status;

pub use self::streams::Stream;
use self::streams::Streams;
use self::table::{Rate, Table};
use crate::limits::Switch;
use crate::net::{Peer, neighbourhood};
use crate::service::status;

/// Posts and deletions of one user: a person types one in a few seconds, a program that fills a
/// timeline is done in bursts.
const POSTS: Rate = Rate::new(10, Duration::from_secs(1), 50);

/// Follows and unfollows of one user. The first hundred are free: someone new looks around.
const FOLLOWS: Rate = Rate::new(100, Duration::from_secs(60), 100);

/// Streams that one user has open at this server: pages, terminals, programs.
const STREAMS: u32 = 50;

/// When a stream may be free again: they end when their reader goes.
const STREAM_WAIT: Duration = Duration::from_secs(1);

/// Logins from one address: a class that sits down at once behind one address takes a few seconds.
const LOGINS: Rate = Rate::new(5, Duration::from_secs(1), 20);

/// Calls of all kinds from one address, and requests for pages.
const CALLS: Rate = Rate::new(500, Duration::from_secs(1), 2_000);

/// Rates of one server; a cheap clone.
#[derive(Clone, Debug, Default)]
pub struct Rates(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    started: Instant,
    loopback: bool,
    posts: Table<Username>,
    follows: Table<Username>,
    streams: Arc<Streams>,
    logins: Table<IpAddr>,
    calls: Table<IpAddr>,
}

impl Rates {
    /// As `asked`; by default they apply where users have accounts, since where anybody takes any
    /// name a limit for each name is none. Those by address leave out this machine unless they are
    /// asked for: all that runs here has one address.
    pub fn of(asked: Option<Switch>, accounts: bool) -> Self {
        match asked {
            Some(Switch::Off) => Self::off(),
            None if !accounts => Self::off(),
            asked => Self(Some(Arc::new(Inner {
                started: Instant::now(),
                loopback: asked.is_some(),
                posts: Table::new(POSTS),
                follows: Table::new(FOLLOWS),
                streams: Streams::new(STREAMS),
                logins: Table::new(LOGINS),
                calls: Table::new(CALLS),
            }))),
        }
    }

    /// None.
    pub fn off() -> Self {
        Self(None)
    }

    /// `user` makes or deletes a post.
    ///
    /// # Errors
    /// Too many, or follows as below.
    pub fn post(&self, user: &Username) -> Result<(), Limited> {
        self.by_user("posts and deletions", user, |inner| &inner.posts)
    }

    /// `user` follows, or follows no longer.
    ///
    /// # Errors
    /// Too many.
    pub fn follow(&self, user: &Username) -> Result<(), Limited> {
        self.by_user("follows and unfollows", user, |inner| &inner.follows)
    }

    /// `user` opens a stream, which is open until what comes back is dropped.
    ///
    /// # Errors
    /// Too many are open.
    pub fn stream(&self, user: &Username) -> Result<Option<Stream>, Limited> {
        let Some(inner) = &self.0 else {
            return Ok(None);
        };
        let opened = Streams::open(&inner.streams, *user);
        opened.map(Some).ok_or(Limited {
            what: "open streams",
            wait: STREAM_WAIT,
        })
    }

    /// Somebody logs in from there.
    ///
    /// # Errors
    /// Too many.
    pub fn login(&self, peer: Option<&Peer>) -> Result<(), Limited> {
        self.by_address("logins", peer, |inner| &inner.logins)
    }

    /// A call comes from there.
    ///
    /// # Errors
    /// Too many.
    pub fn call(&self, peer: Option<&Peer>) -> Result<(), Limited> {
        self.by_address("calls", peer, |inner| &inner.calls)
    }

    fn by_user(
        &self,
        what: &'static str,
        user: &Username,
        table: impl FnOnce(&Inner) -> &Table<Username>,
    ) -> Result<(), Limited> {
        let Some(inner) = &self.0 else {
            return Ok(());
        };
        let taken = table(inner).take(*user, inner.started.elapsed());
        taken.map_err(|wait| Limited { what, wait })
    }

    fn by_address(
        &self,
        what: &'static str,
        peer: Option<&Peer>,
        table: impl FnOnce(&Inner) -> &Table<IpAddr>,
    ) -> Result<(), Limited> {
        let (Some(inner), Some(peer)) = (&self.0, peer) else {
            return Ok(());
        };
        // Our own servers are no flood.
        let here = peer.address.ip().to_canonical().is_loopback() && !inner.loopback;
        if here || peer.certified {
            return Ok(());
        }
        let address = neighbourhood(peer.address.ip());
        let taken = table(inner).take(address, inner.started.elapsed());
        taken.map_err(|wait| Limited { what, wait })
    }
}

/// Too much, for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    what: &'static str,
    wait: Duration,
}

impl Limited {
    /// The same call is taken after so long, if nothing else is asked meanwhile.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    fn message(self) -> String {
        format!("too many {}: try again in {:?}", self.what, self.wait)
    }

    /// As a stream says it of a post.
    pub(crate) fn refused(self, request_id: String) -> TimelineRefused {
        let reason = ErrorReason::RateLimited;
        TimelineRefused {
            request_id,
            code: reason::code_of(reason),
            reason: reason.into(),
            message: self.message(),
            retry_after_ms: u32::try_from(self.wait.as_millis()).unwrap_or(u32::MAX),
        }
    }
}

impl From<Limited> for Status {
    fn from(limited: Limited) -> Self {
        let wait = Some(limited.wait);
        status::status_after(ErrorReason::RateLimited, limited.message(), wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn peer(text: &str) -> Peer {
        Peer {
            address: text.parse().unwrap(),
            certified: false,
        }
    }

    #[test]
    fn each_user_has_a_burst_and_the_refusal_says_how_long_to_wait() {
        let rates = Rates::of(None, true);
        let (alice, bob) = (user("alice"), user("bob"));
        let taken = (0..60).take_while(|_| rates.post(&alice).is_ok()).count();
        assert!((50..60).contains(&taken), "{taken}");
        let limited = rates.post(&alice).unwrap_err();
        assert!(limited.wait() <= Duration::from_millis(100));
        rates.post(&bob).unwrap();
        let refused = limited.refused("id".into());
        assert_eq!(refused.code, reason::code::RESOURCE_EXHAUSTED);
        assert!((1..=100).contains(&refused.retry_after_ms));
    }

    #[test]
    fn a_stream_is_free_again_when_it_ends() {
        let rates = Rates::of(None, true);
        let alice = user("alice");
        let mut open: Vec<_> = (0..STREAMS).map(|_| rates.stream(&alice)).collect();
        assert!(open.iter().all(Result::is_ok));
        rates.stream(&alice).unwrap_err();
        open.pop();
        rates.stream(&alice).unwrap();
    }

    #[test]
    fn this_machine_and_our_own_servers_are_no_flood_unless_that_is_asked_for() {
        let many = |rates: &Rates, peer: &Peer| (0..100).all(|_| rates.login(Some(peer)).is_ok());
        let (here, there) = (peer("127.0.0.1:1"), peer("192.0.2.1:1"));
        let default = Rates::of(None, true);
        assert!(many(&default, &here) && !many(&default, &there));
        let certified = Peer {
            certified: true,
            ..there
        };
        assert!(many(&default, &certified));
        assert!(!many(&Rates::of(Some(Switch::On), false), &here));
        assert!(many(&Rates::of(None, false), &there));
        assert!(many(&Rates::of(Some(Switch::Off), true), &there));
        // One after the other from one network of IPv6.
        let near = |at: u32| peer(&format!("[2001:db8::{at:x}]:1"));
        assert!(!(0..100).all(|at| default.login(Some(&near(at))).is_ok()));
    }
}
