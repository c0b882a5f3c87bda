//! Places for connections: so many in all, so many an address. When all are taken, the oldest
//! connection that has said nothing yet gives up its place, then the one that has gone longest
//! without an open request: who holds a place only to hold it does not keep others out. Open requests
//! are bounded too.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::{Limits, Refusal};

/// Connections that have not said yet what they are, handshakes among them; a further one pushes
/// the oldest out.
const UNKNOWN: usize = 1_024;

/// Calls and streams that may be open on all connections of a listener: each takes a few KiB.
const REQUESTS: usize = 65_536;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    /// It has not said what it is.
    Unknown,
    /// None of its requests is open.
    Idle,
    /// It is of use: never pushed out.
    Used,
}

/// The places of one listener. A cheap clone.
#[derive(Clone, Debug)]
pub(super) struct Bounds(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    unknown_most: usize,
    requests: AtomicUsize,
    table: Mutex<Table>,
}

/// Every map here has at most as many entries as there are places.
#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: usize,
    by_address: HashMap<IpAddr, usize>,
    /// By age.
    unknown: BTreeMap<u64, CancellationToken>,
    /// By when they came to rest.
    idle: BTreeMap<u64, CancellationToken>,
}

impl Bounds {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner {
            unknown_most: UNKNOWN.min(limits.connections.div_ceil(2)),
            limits,
            requests: AtomicUsize::new(0),
            table: Mutex::default(),
        }))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        work(&mut self.0.table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A place for a connection from `address`, and whether another one was pushed out for it.
    pub(super) fn enter(&self, address: IpAddr) -> Result<(Place, bool), Refusal> {
        let limits = &self.0.limits;
        let counts = limits.loopback_counts || !address.to_canonical().is_loopback();
        let key = counts.then(|| neighbourhood(address));
        self.with(|table| {
            if let Some(key) = key {
                let there = table.by_address.get(&key).copied().unwrap_or(0);
                if there >= limits.per_address {
                    return Err(Refusal::Address);
                }
            }
            let mut pushed = table.open >= limits.connections;
            if pushed && !table.push_out() {
                return Err(Refusal::Full);
            }
            if !pushed && table.unknown.len() >= self.0.unknown_most {
                pushed = table.push_out();
            }
            let id = table.next;
            table.next += 1;
            table.open += 1;
            if let Some(key) = key {
                *table.by_address.entry(key).or_default() += 1;
            }
            let leave = CancellationToken::new();
            table.unknown.insert(id, leave.clone());
            let place = Place {
                bounds: self.clone(),
                key,
                leave,
                standing: Mutex::new(Standing {
                    rank: Rank::Unknown,
                    requests: 0,
                    spot: id,
                }),
            };
            Ok((place, pushed))
        })
    }

    /// How many places are taken.
    #[cfg(test)]
    fn open(&self) -> usize {
        self.with(|table| table.open)
    }
}

impl Table {
    /// Tells the connection of least use to go; false when all are of use. Its place is free as
    /// soon as it has gone, a moment later, so there may be one more than there are places then.
    fn push_out(&mut self) -> bool {
        let out = self.unknown.pop_first().or_else(|| self.idle.pop_first());
        out.is_some_and(|(_, leave)| {
            leave.cancel();
            true
        })
    }
}

/// One connection's place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    bounds: Bounds,
    key: Option<IpAddr>,
    leave: CancellationToken,
    standing: Mutex<Standing>,
}

#[derive(Debug)]
struct Standing {
    rank: Rank,
    /// That are open.
    requests: usize,
    /// Where it stands among those that may be pushed out.
    spot: u64,
}

impl Place {
    /// Cancelled when another one needs the place more.
    pub(super) fn leave(&self) -> &CancellationToken {
        &self.leave
    }

    /// The connection has said what it is.
    pub(super) fn known(&self) {
        let mut standing = self.standing();
        if standing.rank == Rank::Unknown {
            self.move_to(&mut standing, Rank::Idle);
        }
    }

    /// A request is open from now on; false when there are too many on this listener.
    pub(super) fn ask(&self) -> bool {
        let requests = &self.bounds.0.requests;
        if requests.fetch_add(1, Ordering::Relaxed) >= REQUESTS {
            requests.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let mut standing = self.standing();
        standing.requests += 1;
        if standing.rank != Rank::Used {
            self.move_to(&mut standing, Rank::Used);
        }
        true
    }

    /// A request is open no longer.
    pub(super) fn answered(&self) {
        self.bounds.0.requests.fetch_sub(1, Ordering::Relaxed);
        let mut standing = self.standing();
        standing.requests -= 1;
        if standing.requests == 0 {
            self.move_to(&mut standing, Rank::Idle);
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn move_to(&self, standing: &mut Standing, to: Rank) {
        standing.rank = to;
        self.bounds.with(|table| {
            table.unknown.remove(&standing.spot);
            table.idle.remove(&standing.spot);
            // One that was told to go goes, whatever it asks for meanwhile.
            if to == Rank::Idle && !self.leave.is_cancelled() {
                standing.spot = table.next;
                table.next += 1;
                table.idle.insert(standing.spot, self.leave.clone());
            }
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let spot = self.standing().spot;
        self.bounds.with(|table| {
            table.open -= 1;
            table.unknown.remove(&spot);
            table.idle.remove(&spot);
            if let Some(key) = self.key
                && let Some(there) = table.by_address.get_mut(&key)
            {
                *there -= 1;
                if *there == 0 {
                    table.by_address.remove(&key);
                }
            }
        });
    }
}

/// What counts as one address: of IPv6 a /64, which is what a household or a machine is given whole.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(connections: usize, per_address: usize) -> Bounds {
        Bounds::new(Limits {
            connections,
            per_address,
            ..Limits::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_others_have_theirs() {
        let bounds = bounds(100, 2);
        let first = bounds.enter(ip("192.0.2.1")).unwrap();
        let _second = bounds.enter(ip("192.0.2.1")).unwrap();
        let third = bounds.enter(ip("192.0.2.1"));
        assert_eq!(third.err(), Some(Refusal::Address));
        // The same address written otherwise.
        let mapped = bounds.enter(ip("::ffff:192.0.2.1"));
        assert_eq!(mapped.err(), Some(Refusal::Address));
        let other = bounds.enter(ip("192.0.2.2")).unwrap();
        drop(first);
        bounds.enter(ip("192.0.2.1")).unwrap();
        drop(other);
        assert_eq!(bounds.open(), 1);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let bounds = bounds(100, 1);
        let _one = bounds.enter(ip("2001:db8:0:1::1")).unwrap();
        let near = bounds.enter(ip("2001:db8:0:1:ffff::2"));
        assert_eq!(near.err(), Some(Refusal::Address));
        bounds.enter(ip("2001:db8:0:2::1")).unwrap();
    }

    #[test]
    fn this_machine_counts_only_when_that_is_asked_for() {
        let bounds = bounds(100, 1);
        let _one = bounds.enter(ip("127.0.0.1")).unwrap();
        let _two = bounds.enter(ip("::1")).unwrap();
        let _three = bounds.enter(ip("127.0.0.1")).unwrap();
        let strict = Bounds::new(Limits {
            per_address: 1,
            loopback_counts: true,
            ..Limits::default()
        });
        let _one = strict.enter(ip("127.0.0.1")).unwrap();
        assert_eq!(strict.enter(ip("127.0.0.1")).err(), Some(Refusal::Address));
    }

    #[test]
    fn the_connection_of_least_use_goes_first_and_one_of_use_never() {
        let bounds = bounds(4, 100);
        let places: Vec<Place> = (0..4)
            .map(|_| bounds.enter(ip("192.0.2.1")).unwrap().0)
            .collect();
        // Half of the places are for those that have not spoken: the first two were pushed out.
        assert!(places[0].leave().is_cancelled() && places[1].leave().is_cancelled());
        places[2].ask();
        places[3].known();
        let (fifth, pushed) = bounds.enter(ip("192.0.2.1")).unwrap();
        assert!(pushed && places[3].leave().is_cancelled());
        fifth.ask();
        let sixth = bounds.enter(ip("192.0.2.1"));
        assert_eq!(sixth.err(), Some(Refusal::Full));
        assert!(!places[2].leave().is_cancelled() && !fifth.leave().is_cancelled());
        // A request that was answered keeps nobody out.
        fifth.answered();
        let (_sixth, pushed) = bounds.enter(ip("192.0.2.1")).unwrap();
        assert!(pushed && fifth.leave().is_cancelled());
        drop(places);
        bounds.enter(ip("192.0.2.1")).unwrap();
    }
}
