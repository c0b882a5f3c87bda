//! Places for connections: so many in all, so many an address. When all are taken, the oldest
//! connection that has said nothing yet gives up its place, then the oldest that has asked for
//! nothing: who holds a place only to hold it does not keep others out.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::{Limits, Refusal};

/// Connections that have not said yet what they are, handshakes among them; a further one pushes
/// the oldest out.
const UNKNOWN: usize = 1_024;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    /// It has not said what it is.
    Unknown,
    /// It has asked for nothing.
    Idle,
    /// It was of use: never pushed out.
    Used,
}

/// The places of one listener. A cheap clone.
#[derive(Clone, Debug)]
pub(super) struct Bounds(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    unknown_most: usize,
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
    idle: BTreeMap<u64, CancellationToken>,
}

impl Bounds {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner {
            unknown_most: UNKNOWN.min(limits.connections.div_ceil(2)),
            limits,
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
                id,
                key,
                leave,
                rank: Mutex::new(Rank::Unknown),
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
    id: u64,
    key: Option<IpAddr>,
    leave: CancellationToken,
    rank: Mutex<Rank>,
}

impl Place {
    /// Cancelled when another one needs the place more.
    pub(super) fn leave(&self) -> &CancellationToken {
        &self.leave
    }

    /// The connection has said what it is.
    pub(super) fn known(&self) {
        self.rise(Rank::Idle);
    }

    /// The connection asks for something.
    pub(super) fn used(&self) {
        self.rise(Rank::Used);
    }

    fn rise(&self, to: Rank) {
        let mut rank = self.rank.lock().unwrap_or_else(PoisonError::into_inner);
        if *rank == to || *rank == Rank::Used {
            return;
        }
        *rank = to;
        self.bounds.with(|table| {
            let unknown = table.unknown.remove(&self.id);
            let idle = table.idle.remove(&self.id);
            if to == Rank::Idle
                && let Some(leave) = unknown.or(idle)
            {
                table.idle.insert(self.id, leave);
            }
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.bounds.with(|table| {
            table.open -= 1;
            table.unknown.remove(&self.id);
            table.idle.remove(&self.id);
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
        places[2].used();
        places[3].known();
        let (fifth, pushed) = bounds.enter(ip("192.0.2.1")).unwrap();
        assert!(pushed && places[3].leave().is_cancelled());
        fifth.used();
        let sixth = bounds.enter(ip("192.0.2.1"));
        assert_eq!(sixth.err(), Some(Refusal::Full));
        assert!(!places[2].leave().is_cancelled() && !fifth.leave().is_cancelled());
        drop(places);
        bounds.enter(ip("192.0.2.1")).unwrap();
    }
}
