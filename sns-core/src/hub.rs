//! [`Hub`]: hands what was applied to the open streams of this process. Push exists here and
//! nowhere else.
//!
//! The applier never waits for a stream: one whose queue is full is marked, gets nothing more, and
//! reads on from the view by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::error::{Error, Reason, Result};
use crate::limits;
use crate::seq::Seq;
use crate::view::UserNo;
use crate::view::apply::Change;

/// The live end of a subscription, as the hub keeps it.
#[derive(Debug)]
pub(crate) struct Outlet {
    id: u64,
    reader: UserNo,
    /// Whom it watches: where to take it out again.
    watched: Mutex<Vec<UserNo>>,
    to: async_channel::Sender<Change>,
    /// The queue was full: what came since is missing in it.
    overflowed: AtomicBool,
}

/// The live end of a subscription, as its reader keeps it; dropped, it leaves the hub.
#[derive(Debug)]
pub(crate) struct Inlet {
    hub: Arc<Hub>,
    outlet: Arc<Outlet>,
    pub(crate) from: async_channel::Receiver<Change>,
}

impl Inlet {
    /// Whether something is missing behind what is still queued.
    pub(crate) fn overflowed(&self) -> bool {
        self.outlet.overflowed.load(Ordering::Acquire)
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.hub.leave(&self.outlet);
    }
}

/// Which streams watch whom.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    state: Mutex<State>,
    live: AtomicUsize,
    /// Counts subscriptions, also those that read from the view at the moment.
    open: AtomicUsize,
    /// All that was applied up to here was handed over.
    position: AtomicU64,
    /// Counts the views that streams were read from: one that is rebuilt ends them all.
    generation: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    by_author: FxHashMap<UserNo, Vec<Arc<Outlet>>>,
    by_reader: FxHashMap<UserNo, Vec<Arc<Outlet>>>,
    next_id: u64,
    closed: bool,
}

impl Hub {
    /// Joins as a live stream of `reader` who watches `authors`. Call it while the view cannot
    /// move: what is applied later arrives, what was applied before may arrive too.
    pub(crate) fn join(self: &Arc<Self>, reader: UserNo, authors: Vec<UserNo>) -> Result<Inlet> {
        let (to, from) = async_channel::bounded(limits::SUBSCRIBER_EVENTS);
        let mut state = self.state.lock();
        if state.closed {
            return Err(shutting_down());
        }
        let id = state.next_id;
        state.next_id += 1;
        let overflowed = AtomicBool::new(false);
        let outlet = Arc::new(Outlet {
            id,
            reader,
            watched: Mutex::default(),
            to,
            overflowed,
        });
        for author in &authors {
            state
                .by_author
                .entry(*author)
                .or_default()
                .push(Arc::clone(&outlet));
        }
        *outlet.watched.lock() = authors;
        state
            .by_reader
            .entry(reader)
            .or_default()
            .push(Arc::clone(&outlet));
        self.live.fetch_add(1, Ordering::Release);
        Ok(Inlet {
            hub: Arc::clone(self),
            outlet,
            from,
        })
    }

    fn leave(&self, outlet: &Arc<Outlet>) {
        let mut state = self.state.lock();
        for author in outlet.watched.lock().drain(..) {
            take_out(&mut state.by_author, author, outlet.id);
        }
        take_out(&mut state.by_reader, outlet.reader, outlet.id);
        self.live.fetch_sub(1, Ordering::Release);
    }

    /// Hands over what changed; then everything up to `applied` was handed over.
    pub(crate) fn publish(&self, changes: Vec<Change>, applied: Seq) {
        if self.live.load(Ordering::Acquire) > 0 {
            let mut state = self.state.lock();
            for change in changes {
                state.hand_over(&change);
            }
        }
        self.position.store(applied.as_u64(), Ordering::Release);
    }

    /// All that was applied up to here was handed over.
    pub(crate) fn position(&self) -> Seq {
        Seq::from_u64(self.position.load(Ordering::Acquire))
    }

    /// Ends all streams: each reads what is queued for it, then that this process stops.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.wake_all();
    }

    /// Ends all streams, because the view is of no use: what they were told of it is true, but they
    /// cannot go on before another view has caught up.
    pub(crate) fn reset(&self) {
        let state = self.state.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        state.wake_all();
    }

    /// Which view streams are read from now; see [`Hub::reset`].
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Takes a place among the open subscriptions.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Place> {
        if self.state.lock().closed {
            return Err(shutting_down());
        }
        if self.open.fetch_add(1, Ordering::Relaxed) >= limits::SUBSCRIBERS {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::new(
                Reason::Overloaded,
                format!(
                    "this server has {} open streams already",
                    limits::SUBSCRIBERS
                ),
            ));
        }
        Ok(Place(Arc::clone(self)))
    }

    /// Open subscriptions.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follow_that_no_stream_watches_leaves_nothing_behind() {
        let hub = Arc::new(Hub::default());
        let inlet = hub.join(UserNo(1), vec![UserNo(2)]).unwrap();
        let follow = |user, followee| Change::Followed {
            user: UserNo(user),
            followee: UserNo(followee),
        };
        let changes = (10..500).map(|n| follow(n, n + 1)).collect();
        hub.publish(changes, Seq::new(1, 0));
        assert_eq!(hub.state.lock().by_author.len(), 1);
        hub.publish(vec![follow(1, 3)], Seq::new(2, 0));
        assert_eq!(hub.state.lock().by_author.len(), 2);
        drop(inlet);
        assert!(hub.state.lock().by_author.is_empty());
    }
}

impl State {
    fn wake_all(&self) {
        for outlet in self.by_reader.values().flatten() {
            outlet.to.close();
        }
    }

    fn hand_over(&mut self, change: &Change) {
        let author = match change {
            Change::Posted { author, .. } | Change::Deleted { author, .. } => *author,
            Change::Followed { user, followee } => {
                let Some(followers) = self.by_reader.get(user) else {
                    return;
                };
                let watching = self.by_author.entry(*followee).or_default();
                for outlet in followers {
                    if watching.iter().all(|other| other.id != outlet.id) {
                        watching.push(Arc::clone(outlet));
                        outlet.watched.lock().push(*followee);
                    }
                }
                return;
            }
        };
        for outlet in self.by_author.get(&author).into_iter().flatten() {
            let overflowed = outlet.overflowed.load(Ordering::Relaxed);
            if !overflowed
                && outlet
                    .to
                    .try_send(change.clone())
                    .is_err_and(|e| e.is_full())
            {
                outlet.overflowed.store(true, Ordering::Release);
                // Wakes the reader also when it sees its queue empty just now.
                outlet.to.close();
            }
        }
    }
}

fn take_out(from: &mut FxHashMap<UserNo, Vec<Arc<Outlet>>>, of: UserNo, id: u64) {
    if let Some(outlets) = from.get_mut(&of) {
        outlets.retain(|other| other.id != id);
        if outlets.is_empty() {
            from.remove(&of);
        }
    }
}

/// One of the open subscriptions; dropped, it makes room.
#[derive(Debug)]
pub(crate) struct Place(Arc<Hub>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) fn shutting_down() -> Error {
    Error::new(
        Reason::ShuttingDown,
        "this server is stopping; go on with another one",
    )
}
