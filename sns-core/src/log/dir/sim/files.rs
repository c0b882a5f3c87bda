//! [`Files`]: a log's files in memory, for tests that damage them byte by byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{VerifyReport, verify};
use super::machine::Machine;
use super::model::Model;
use super::random::Random;
use super::world::{Rates, World};
use super::{DirLog, DirLogOptions, Error, open_on};

/// The files of a log on a simulated disk on which nothing goes wrong by itself. One thread uses
/// it, through as many handles as it likes.
#[derive(Clone, Debug)]
pub struct Files(Arc<World>);

impl Default for Files {
    fn default() -> Self {
        Self::new(&BTreeMap::new())
    }
}

impl Files {
    /// Files with these names and contents, all of it on the disk.
    pub fn new(contents: &BTreeMap<String, Vec<u8>>) -> Self {
        let world = World::new(0, 1, Rates::default(), Model::new(1));
        world.put(contents);
        world.state().alone();
        Self(Arc::new(world))
    }

    /// What every process sees now.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.state();
        let content = |(name, inode): (&String, &usize)| {
            let bytes = state.inodes[*inode].cache.clone();
            (name.clone(), bytes)
        };
        state.names.iter().map(content).collect()
    }

    /// Opens the log; the production code, with no thread of its own.
    ///
    /// # Errors
    /// As [`DirLog::open`].
    pub fn open(&self, options: DirLogOptions) -> Result<DirLog, Error> {
        open_on(&self.machine(), options)
    }

    /// Reads the whole log; the production code.
    ///
    /// # Errors
    /// As [`DirLog::verify`].
    pub fn verify(&self) -> Result<VerifyReport, Error> {
        verify::report_of(self.open(verify::options()))
    }

    pub(super) fn machine(&self) -> Machine {
        self.0.machine(0)
    }

    pub(super) fn world(&self) -> &World {
        &self.0
    }

    /// Every handle that is open is dead from now on, as its process is after a kill: what it does
    /// next unwinds, and it can only be dropped. What it had written stays.
    pub fn kill(&self) {
        self.0.state().kill(0);
    }

    /// The next sync fails with this number of an error: whoever called it cannot tell what came of
    /// it. But for EINTR, what it was to write is lost.
    pub fn fail_next_sync(&self, errno: i32) {
        self.0.state().fail_sync = Some(errno);
    }

    /// After so many moments (there is one before each call of the disk, and one in each write after
    /// its effect) the lazy sync of this log's `commit` comes, which is a thread's elsewhere, and
    /// fails; if there is nothing to sync then, nothing happens.
    pub fn fail_lazy_sync(&self, log: &DirLog, moments: u64) {
        *self.0.lazy.lock() = Arc::downgrade(&log.shared);
        self.0.state().fail_lazy_sync = Some(moments);
    }

    /// Syncs that have failed.
    pub fn failed_syncs(&self) -> u64 {
        self.0.state().failed_syncs
    }

    /// The next write to a segment fails with this number, and writes nothing.
    pub fn fail_next_write(&self, errno: i32) {
        self.0.state().fail_write = Some(errno);
    }

    /// The power is cut: of what was not synced, the seed says what is on the disk.
    pub fn cut_power(&self, seed: u64) {
        let mut state = self.0.state();
        state.random = Random::new(seed);
        state.power_cut();
    }

    /// Memory is short: what a failed sync has lost is not shown any more.
    pub fn evict(&self) {
        self.0.state().evict();
    }
}
