//! One simulated file: what the page cache shows, and what is on the disk.

use std::collections::BTreeSet;

use super::random::Random;

/// Bytes that reach the disk together. Small, so that frames and records span several.
pub(super) const SECTOR: usize = 48;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What every process reads and writes.
    pub(super) cache: Vec<u8>,
    /// What is durable.
    pub(super) disk: Vec<u8>,
    /// Written since the last sync.
    dirty: BTreeSet<usize>,
    /// A failed write-back left them clean, and not on the disk. True: the block was new. Linux
    /// (ext4) then shows the bytes until they are evicted; writing again does not mend a new block.
    lost: Vec<(usize, bool)>,
    /// Lengths since the last sync, in the order in which the journal commits them.
    lengths: Vec<usize>,
    /// What stands in the last block on the disk behind the length: a cut does not write there, so
    /// it shows again when the file grows and that block is lost.
    slack: (usize, Vec<u8>),
    /// Counts failed write-backs.
    errors: u64,
    /// The last one was told to somebody.
    told: bool,
    /// The descriptor that has the lock.
    pub(super) lock: Option<u64>,
}

impl Inode {
    /// A file whose bytes are on the disk.
    pub(super) fn durable(bytes: &[u8]) -> Self {
        Self {
            cache: bytes.to_vec(),
            disk: bytes.to_vec(),
            ..Self::default()
        }
    }

    fn length_is(&mut self, length: usize) {
        self.cache.resize(length, 0);
        self.lengths.push(length);
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if end > self.cache.len() {
            self.length_is(end);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        for sector in offset / SECTOR..=(end - 1) / SECTOR {
            match self.lost.iter().position(|(lost, _)| *lost == sector) {
                Some(at) if !self.lost[at].1 => {
                    self.lost.remove(at);
                    self.dirty.insert(sector);
                }
                Some(_) => {}
                None => {
                    self.dirty.insert(sector);
                }
            }
        }
    }

    pub(super) fn set_len(&mut self, length: usize) {
        if length < self.cache.len() {
            let keep = length.div_ceil(SECTOR);
            let partial = (!length.is_multiple_of(SECTOR)).then_some(length / SECTOR);
            self.dirty.retain(|sector| *sector < keep);
            self.lost.retain(|(sector, _)| *sector < keep);
            // The rest of the last block is zeroed, and so it is written anew.
            if let Some(partial) = partial {
                self.lost.retain(|(sector, _)| *sector != partial);
                self.dirty.insert(partial);
            }
        }
        if length != self.cache.len() {
            self.length_is(length);
        }
    }

    fn disk_length_is(&mut self, length: usize) {
        let before = self.disk.len();
        if length < before {
            let end = length.next_multiple_of(SECTOR).min(before);
            self.slack = (length, self.disk[length..end].to_vec());
        }
        self.disk.resize(length, 0);
        if length > before && self.slack.0 == before {
            let end = (before + self.slack.1.len()).min(length);
            self.disk[before..end].copy_from_slice(&self.slack.1[..end - before]);
        }
    }

    fn copy(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.cache.len()).min(self.disk.len());
        if start < end {
            self.disk[start..end].copy_from_slice(&self.cache[start..end]);
        }
    }

    /// A write-back of some dirty sectors fails.
    pub(super) fn fail(&mut self, random: &mut Random) {
        let dirty: Vec<usize> = self.dirty.iter().copied().collect();
        if dirty.is_empty() {
            return;
        }
        let surely = random.below(dirty.len() as u64) as usize;
        for (at, sector) in dirty.into_iter().enumerate() {
            if at == surely || random.chance(50) {
                self.dirty.remove(&sector);
                let new = sector * SECTOR >= self.disk.len().min(self.cut());
                self.lost.push((sector, new));
            }
        }
        self.errors += 1;
        self.told = false;
    }

    /// What a new descriptor will not be told of.
    pub(super) fn sample(&self) -> u64 {
        if self.told { self.errors } else { 0 }
    }

    /// `fdatasync`, by a descriptor that was told of `told` errors.
    pub(super) fn sync(&mut self, told: &mut u64) -> Result<(), ()> {
        if self.errors != *told {
            *told = self.errors;
            self.told = true;
            return Err(());
        }
        for length in std::mem::take(&mut self.lengths) {
            self.disk_length_is(length);
        }
        for sector in std::mem::take(&mut self.dirty) {
            self.copy(sector);
        }
        Ok(())
    }

    /// Where the file was cut since the last sync: what stood behind it is gone for every reader,
    /// also where the disk still has it.
    fn cut(&self) -> usize {
        self.lengths.iter().copied().min().unwrap_or(usize::MAX)
    }

    /// What a reader finds at `at` where the page cache has nothing. The last block before a cut
    /// stays, with all that was in it.
    fn beneath(&self, at: usize) -> u8 {
        if at / SECTOR * SECTOR >= self.cut() {
            return 0;
        }
        self.disk.get(at).copied().unwrap_or_default()
    }

    /// Memory is short: what is clean and not on the disk shows as it is there.
    pub(super) fn evict(&mut self) {
        for (sector, _) in std::mem::take(&mut self.lost) {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(self.cache.len());
            for at in start..end {
                self.cache[at] = self.beneath(at);
            }
        }
    }

    /// What a read past the page cache gives: it writes dirty pages back first, lost ones are
    /// not dirty.
    pub(super) fn direct(&self) -> Vec<u8> {
        let mut bytes = self.cache.clone();
        for (sector, _) in &self.lost {
            let start = sector * SECTOR;
            for (at, byte) in bytes.iter_mut().enumerate().skip(start).take(SECTOR) {
                *byte = self.beneath(at);
            }
        }
        bytes
    }

    /// The power is cut: any subset of what was not synced is on the disk. Lengths are in order.
    pub(super) fn power_cut(&mut self, random: &mut Random) {
        let steps = match random.below(3) {
            0 => self.lengths.len(),
            _ => random.below(self.lengths.len() as u64 + 1) as usize,
        };
        let percent = [0, 20, 50, 80, 100][random.below(5) as usize];
        for step in 0..steps {
            self.disk_length_is(self.lengths[step]);
        }
        // Blocks behind a cut that did not reach the disk are others than those written since.
        let cut = self.lengths[steps..].iter().copied().min();
        let cut = cut
            .filter(|cut| *cut < self.disk.len())
            .unwrap_or(usize::MAX);
        for sector in std::mem::take(&mut self.dirty) {
            if sector * SECTOR < cut && random.chance(percent) {
                self.copy(sector);
            }
        }
        self.cache = self.disk.clone();
        self.lost.clear();
        self.lengths.clear();
        self.errors = 0;
        self.told = false;
        self.lock = None;
    }
}
