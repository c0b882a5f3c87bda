//! Timelines that move from server to server, and lag.

use sns_chaos::history::{Event, Seen, Stream};

use super::{Change, SERVERS, Service, name};

impl Service {
    pub(super) fn watch(&mut self, watcher: usize) {
        let (ops, last) = (self.history.ops.len(), self.watchers[watcher].next);
        let watch = &mut self.watchers[watcher];
        let Some(stream) = &mut watch.stream else {
            if ops >= watch.opens {
                watch.next = if watch.opens == 0 {
                    0
                } else {
                    self.changes.len()
                };
                watch.stream = Some(Stream {
                    client: u32::try_from(1_000 + watcher).unwrap_or(0),
                    user: name(watch.user),
                    after: if watch.opens == 0 { 0 } else { self.state.seq },
                    until: None,
                    start: self.now,
                    end: 0,
                    events: Vec::new(),
                    failed: None,
                    server: SERVERS[0].into(),
                });
            }
            return;
        };
        if self.rng.one_in(8) {
            let (at, server) = (self.now, SERVERS[self.rng.below(4)].into());
            stream.events.push(Event::Lost { at, server });
            let server = SERVERS[self.rng.below(4)].into();
            stream.events.push(Event::Resumed { at: at + 1, server });
        }
        let at = self.now + 2;
        let follows = &self.state.follows[watch.user];
        let followed = |author: &usize| *author == watch.user || follows.contains_key(author);
        for change in &self.changes[last..] {
            match change {
                Change::Posted(id, author, text) if followed(author) => {
                    let older = follows.get(author).is_none_or(|since| since < id);
                    let gone = !self.state.posts[*author].contains_key(id);
                    // A live one was on its way before it was deleted.
                    if older && !(gone && self.rng.one_in(2)) {
                        let (id, author, text) = (*id, name(*author), text.to_string());
                        stream.events.push(Event::Post {
                            at,
                            post: Seen { id, author, text },
                        });
                    }
                }
                Change::Deleted(seq, author, id) if followed(author) => {
                    stream.events.push(Event::Deleted {
                        at,
                        id: *id,
                        seq: *seq,
                    });
                }
                _ => {}
            }
        }
        watch.next = self.changes.len();
    }
}
