//! How a run of the simulated service ends: with a last post, and what the replicas list.

use sns_chaos::history::{Call, List, Listing, Outcome, Replica, Seen, sum};

use super::{BEACON, SERVERS, Service, asked, name};

impl Service {
    pub(super) fn end(&mut self) {
        // Nobody else writes any more.
        for client in 0..self.clients.len() {
            while self.clients[client].walk.is_some() {
                self.now = (self.now + 10).max(self.clients[client].free + 1);
                self.walk_on(client);
            }
        }
        self.now = self
            .clients
            .iter()
            .map(|who| who.free)
            .fold(self.now, u64::max)
            + 500_000;
        for (_, act) in std::mem::take(&mut self.late) {
            let id = self.id();
            self.log(&act, Some(id));
        }
        let call = Call::Post { text: self.text() };
        let act = asked(&name(BEACON), &call);
        let op = self.begin(BEACON, call);
        let id = self.id();
        let (seq, _) = self.log(&act, Some(id));
        self.finish(op, Outcome::Ok { seq });
        self.now += 10_000;
        for watcher in 0..self.size.watchers {
            // Opened, if it was not yet, before the end: it waits for what is behind it.
            if self.watchers[watcher].stream.is_some() {
                self.watch(watcher);
            }
            if let Some(mut stream) = self.watchers[watcher].stream.take() {
                (stream.until, stream.end) = (Some(seq), self.now + 10);
                self.history.streams.push(stream);
            }
        }
        self.history.ops.sort_by_key(|op| op.start);
        for replica in &SERVERS {
            self.list(replica);
        }
    }

    fn list(&mut self, replica: &str) {
        self.history.replicas.push(Replica {
            state: "serving".into(),
            name: replica.into(),
            applied: self.state.seq >> 16,
            digest: format!("{:x}", self.state.seq * 31),
        });
        let state = &self.state;
        for user in 0..self.size.users.min(40) {
            let posts = |of: Option<usize>| {
                let (found, _) = state.page(user, of, u64::MAX, usize::MAX);
                let seen: Vec<Seen> = found.iter().map(|post| state.seen(*post)).collect();
                let sum = sum(seen.iter().map(|seen| (&*seen.author, &*seen.text)));
                (seen.iter().map(|seen| seen.id).collect::<Vec<_>>(), sum)
            };
            let sorted = |mut names: Vec<String>| {
                names.sort();
                names
            };
            let followers =
                (0..self.size.users).filter(|other| state.follows[*other].contains_key(&user));
            let ((ids, sum), home) = (posts(Some(user)), posts(None));
            let lists = [
                List::Posts { ids, sum },
                List::Home {
                    ids: home.0,
                    sum: home.1,
                    complete: true,
                },
                List::Following {
                    names: sorted(state.follows[user].keys().copied().map(name).collect()),
                },
                List::Followers {
                    names: sorted(followers.map(name).collect()),
                },
            ];
            self.history.listings.extend(lists.map(|list| Listing {
                replica: replica.into(),
                user: name(user),
                list,
            }));
        }
    }
}
