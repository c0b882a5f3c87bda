//! [`Table`]: the servers a handle knows, in the order of preference. Plain rules over values.

use std::time::{Duration, Instant};

/// How long a server that failed is passed over.
pub(crate) const SHUN: Duration = Duration::from_secs(1);
/// Servers remembered. Two are given at a time; older ones are kept for the hour when no router
/// answers.
const KNOWN_MAX: usize = 8;

#[derive(Debug)]
struct Known<P> {
    address: String,
    peer: P,
    shunned: Option<Instant>,
}

impl<P> Known<P> {
    fn is_good(&self, now: Instant) -> bool {
        self.shunned.is_none_or(|until| until <= now)
    }
}

/// The servers known; the first that is not shunned is asked.
#[derive(Debug)]
pub(crate) struct Table<P> {
    servers: Vec<Known<P>>,
}

impl<P> Default for Table<P> {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
        }
    }
}

impl<P: Clone> Table<P> {
    /// The first that did not fail lately.
    pub(crate) fn pick(&self, now: Instant) -> Option<P> {
        let good = self.servers.iter().find(|known| known.is_good(now));
        good.map(|known| known.peer.clone())
    }

    /// The next after it, other than `but`.
    pub(crate) fn spare(&self, now: Instant, but: &str) -> Option<P> {
        let mut others = self.servers.iter().filter(|known| known.address != but);
        let good = others.find(|known| known.is_good(now));
        good.map(|known| known.peer.clone())
    }

    /// The one that failed longest ago.
    pub(crate) fn least_shunned(&self) -> Option<P> {
        let least = self.servers.iter().min_by_key(|known| known.shunned);
        least.map(|known| known.peer.clone())
    }

    /// A server answered: it goes first, and nothing is held against it.
    pub(crate) fn prefer(&mut self, address: &str) {
        if let Some(at) = self.position(address) {
            self.servers[at].shunned = None;
            self.servers[..=at].rotate_right(1);
        }
    }

    /// A server failed: it goes last, and is passed over for [`SHUN`].
    pub(crate) fn shun(&mut self, address: &str, now: Instant) {
        if let Some(at) = self.position(address) {
            self.servers[at].shunned = Some(now + SHUN);
            self.servers[at..].rotate_left(1);
        }
    }

    /// A router named these servers, the best first. A first one that works stays where it is:
    /// moving would gain nothing. Returns the named ones.
    pub(crate) fn learn(
        &mut self,
        addresses: &[String],
        now: Instant,
        mut make: impl FnMut(&str) -> P,
    ) -> Vec<P> {
        let mut place = usize::from(self.servers.first().is_some_and(|known| known.is_good(now)));
        let mut named = Vec::new();
        for address in addresses {
            let at = self.position(address).unwrap_or_else(|| {
                self.servers.push(Known {
                    address: address.clone(),
                    peer: make(address),
                    shunned: None,
                });
                self.servers.len() - 1
            });
            named.push(self.servers[at].peer.clone());
            if at >= place {
                self.servers[place..=at].rotate_right(1);
                place += 1;
            }
        }
        self.servers.truncate(KNOWN_MAX);
        named
    }

    /// All addresses, in the order of preference.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let all = self.servers.iter();
        all.map(|known| known.address.clone()).collect()
    }

    fn position(&self, address: &str) -> Option<usize> {
        let mut all = self.servers.iter();
        all.position(|known| known.address == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        table: Table<String>,
        now: Instant,
    }

    impl Fixture {
        fn of(addresses: &[&str]) -> Self {
            let mut fixture = Self {
                table: Table::default(),
                now: Instant::now(),
            };
            fixture.learn(addresses);
            fixture
        }

        fn learn(&mut self, addresses: &[&str]) {
            let addresses: Vec<_> = addresses.iter().map(|a| (*a).to_owned()).collect();
            self.table.learn(&addresses, self.now, str::to_owned);
        }

        fn pick(&self) -> Option<String> {
            self.table.pick(self.now)
        }
    }

    #[test]
    fn the_master_is_asked_first_and_the_slave_when_it_failed() {
        let mut t = Fixture::of(&["master", "slave"]);
        assert_eq!(t.pick().as_deref(), Some("master"));
        assert_eq!(t.table.spare(t.now, "master").as_deref(), Some("slave"));
        t.table.shun("master", t.now);
        assert_eq!(t.pick().as_deref(), Some("slave"));
        assert_eq!(t.table.spare(t.now, "slave"), None);
    }

    #[test]
    fn a_failed_server_is_shunned_for_a_second_and_comes_last_then() {
        let mut t = Fixture::of(&["a", "b"]);
        t.table.shun("a", t.now);
        t.table.shun("b", t.now + SHUN / 2);
        assert_eq!(t.pick(), None);
        assert_eq!(t.table.least_shunned().as_deref(), Some("a"));
        t.now += SHUN;
        assert_eq!(t.pick().as_deref(), Some("a"));
        t.now += SHUN;
        assert_eq!(t.table.addresses(), ["a", "b"]);
    }

    #[test]
    fn a_server_that_works_keeps_its_place_when_a_router_names_others() {
        let mut t = Fixture::of(&["a", "b"]);
        t.table.shun("a", t.now);
        t.learn(&["c", "d"]);
        assert_eq!(t.table.addresses(), ["b", "c", "d", "a"]);
        t.learn(&["a", "b"]);
        assert_eq!(t.table.addresses(), ["b", "a", "c", "d"]);
        assert_eq!(t.pick().as_deref(), Some("b"));
        // Named again, it is still shunned: the router may not know yet.
        assert_eq!(t.table.spare(t.now, "b").as_deref(), Some("c"));
    }

    #[test]
    fn new_servers_go_before_those_that_failed() {
        let mut t = Fixture::of(&["a", "b"]);
        t.table.shun("a", t.now);
        t.table.shun("b", t.now);
        t.learn(&["c"]);
        assert_eq!(t.table.addresses(), ["c", "a", "b"]);
    }

    #[test]
    fn who_answers_is_preferred() {
        let mut t = Fixture::of(&["a", "b", "c"]);
        t.table.shun("c", t.now);
        t.table.prefer("c");
        assert_eq!(t.table.addresses(), ["c", "a", "b"]);
        assert_eq!(t.pick().as_deref(), Some("c"));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut t = Fixture::of(&[]);
        for n in 0..50 {
            let name = format!("s{n}");
            t.learn(&[name.as_str()]);
        }
        assert_eq!(t.table.addresses().len(), KNOWN_MAX);
    }
}
