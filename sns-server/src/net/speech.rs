//! What a connection has said so far, shared by its bytes, its requests and the task that keeps it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::Refusal;
use super::bounds::Place;

/// Of one connection.
#[derive(Debug)]
pub(super) struct Speech {
    place: Place,
    heard: AtomicBool,
    open: AtomicBool,
    blame: OnceLock<Refusal>,
}

impl Speech {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            heard: AtomicBool::new(false),
            open: AtomicBool::new(false),
            blame: OnceLock::new(),
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Bytes came.
    pub(super) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    pub(super) fn heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// It has said what it is.
    pub(super) fn opened(&self) {
        if !self.open.swap(true, Ordering::Relaxed) {
            self.place.known();
        }
    }

    /// A request came, and is open until what this gives is dropped; `None` when there are too many.
    pub(super) fn ask(self: &Arc<Self>) -> Option<Asked> {
        self.open.store(true, Ordering::Relaxed);
        self.place.ask().then(|| Asked(self.clone()))
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Why it is cut off; the first word counts.
    pub(super) fn blame(&self, why: Refusal) {
        let _ = self.blame.set(why);
    }

    pub(super) fn blamed(&self) -> Option<Refusal> {
        self.blame.get().copied()
    }
}

/// A request that is open.
#[derive(Debug)]
pub(super) struct Asked(Arc<Speech>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.place.answered();
    }
}
