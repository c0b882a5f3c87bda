//! How many streams each user has open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sns_core::Username;

/// Of all users; as many entries as there are users with an open stream, and those are bounded by
/// the core.
#[derive(Debug)]
pub(super) struct Streams {
    most: u32,
    open: Mutex<HashMap<Username, u32>>,
}

impl Streams {
    pub(super) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self {
            most,
            open: Mutex::default(),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Username, u32>) -> T) -> T {
        work(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One more of `user`, if there may be one.
    pub(super) fn open(all: &Arc<Self>, user: Username) -> Option<Stream> {
        all.with(|open| {
            let there = open.get(&user).copied().unwrap_or(0);
            if there >= all.most {
                return None;
            }
            open.insert(user, there + 1);
            Some(Stream {
                all: all.clone(),
                user,
            })
        })
    }
}

/// An open stream.
#[derive(Debug)]
pub struct Stream {
    all: Arc<Streams>,
    user: Username,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.all.with(|open| {
            if let Some(there) = open.get_mut(&self.user) {
                *there -= 1;
                if *there == 0 {
                    open.remove(&self.user);
                }
            }
        });
    }
}
