//! The writing side of a handle (rules R2, R3, R4, R6): one thread at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commit;
use super::disk::{DiskFile, read_full, read_rest, write_full};
use super::frame::{self, Seal};
use super::lock::{Held, Lock};
use super::options::Step;
use super::recovery::{self, Tip, cut, damaged, witness};
use super::segment::{self, Header};
use super::walk::{Position, Walked, Walker};
use super::{AppendPhase, Error, Shared, failed, refused, trim};
use crate::seq::Seq;

/// The longest pause between two attempts to open the log again.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The writing side of a handle.
#[derive(Debug)]
pub(super) struct Writer {
    lock: Lock,
    /// `None`: the log goes through Open before anything else.
    tip: Option<Tip>,
    retry: Duration,
    retry_at: Option<Instant>,
    frame: Vec<u8>,
    room: Vec<u8>,
}

/// Where an entry was written, to see later whether it still stands there.
#[derive(Debug)]
struct Written {
    first: u64,
    offset: u64,
    index: u64,
    /// Where it ends.
    end: Position,
    header: [u8; frame::HEADER],
    file: Arc<dyn DiskFile>,
}

impl Writer {
    pub(super) fn new(node: &str) -> Self {
        Self {
            lock: Lock::new(node),
            tip: None,
            retry: Duration::ZERO,
            retry_at: None,
            frame: Vec::new(),
            room: Vec::new(),
        }
    }

    /// Takes the right to write; the log is open then.
    pub(super) fn hold(&mut self, shared: &Shared) -> Result<Held, Error> {
        if self.tip.is_none()
            && let Some(at) = self.retry_at
            && Instant::now() < at
        {
            return Err(Error::Unavailable(
                "the log is opened again in a moment".into(),
            ));
        }
        let held = self.lock.take(shared)?;
        if held.opened || shared.take_broken() {
            self.tip = None;
        }
        if self.tip.is_none() {
            match recovery::open(shared) {
                Ok(tip) => {
                    self.tip = Some(tip);
                    shared.weak(|weak| weak.reopens = false);
                }
                Err(error) => {
                    self.give_up(shared);
                    return Err(error);
                }
            }
            self.retry = Duration::ZERO;
            self.retry_at = None;
        }
        Ok(held)
    }

    /// Drops every descriptor; the next use goes through Open, after a pause (rule R6).
    fn give_up(&mut self, shared: &Shared) {
        self.tip = None;
        self.lock.close();
        shared.drop_descriptors();
        shared.weak(|weak| weak.reopens = true);
        self.retry = (self.retry * 2).clamp(shared.options.retry_after, RETRY_MAX);
        self.retry_at = Some(Instant::now() + self.retry);
    }

    /// See [`Log::append`](super::Log::append).
    pub(super) fn append(&mut self, shared: &Shared, payload: &[u8]) -> Result<u64, Error> {
        let held = self.hold(shared)?;
        let written = self.write(shared, payload);
        drop(held);
        let written = written?;
        shared.enter(AppendPhase::Syncs);
        let unknown = |error: &dyn std::fmt::Display| {
            Error::Unknown(format!(
                "entry {} was written, then: {error}",
                written.index
            ))
        };
        let mut synced = written.file.sync_data();
        if synced.is_err() && shared.options.lacks(Step::NeverRetrySync) {
            synced = written.file.sync_data();
        }
        if let Err(error) = synced {
            self.give_up(shared);
            return Err(unknown(&error));
        }
        shared.synced();
        if shared.options.lacks(Step::AcknowledgeAfterCommit) {
            return Ok(written.index);
        }
        let _held = self.hold(shared).map_err(|error| unknown(&error))?;
        match self.declare(shared, &written) {
            Ok(true) => Ok(written.index),
            Ok(false) => {
                self.give_up(shared);
                Err(unknown(
                    &"another process found it lost and went on without it",
                ))
            }
            Err(error) => {
                self.give_up(shared);
                Err(unknown(&error))
            }
        }
    }

    /// Writes an entry at the true end. Under the lock.
    fn write(&mut self, shared: &Shared, payload: &[u8]) -> Result<Written, Error> {
        let durable = self.go_to_end(shared)?;
        let size = (frame::HEADER + payload.len()) as u64;
        let tip = self.open_tip()?;
        let position = tip.position;
        if position.next > Seq::INDEX_MAX {
            return Err(Error::Io {
                doing: "appending".into(),
                source: std::io::Error::other("the log holds all the entries it can (2^48)"),
            });
        }
        if position.offset > segment::HEADER
            && position.offset + size > shared.options.segment_bytes
        {
            self.roll(shared)?;
        }
        let disk = &*shared.disk;
        let mut bytes = std::mem::take(&mut self.frame);
        bytes.clear();
        let tip = self.open_tip()?;
        let Position { offset, next, prev } = tip.position;
        let seal = Seal::new(shared.id());
        let crc = frame::encode(seal, next, prev, durable, payload, &mut bytes);
        let mut header = [0; frame::HEADER];
        header.copy_from_slice(&bytes[..frame::HEADER]);
        let outcome = write_full(&*tip.file, &bytes, offset);
        self.frame = bytes;
        let tip = self.open_tip()?;
        let name = segment::name(tip.first);
        if let Err(error) = outcome {
            if tip.file.set_len(offset).is_err() {
                self.give_up(shared);
            }
            return Err(refused(disk, "writing", &name, error));
        }
        tip.position = Position {
            offset: offset + size,
            next: next + 1,
            prev: crc,
        };
        Ok(Written {
            first: tip.first,
            offset,
            index: next,
            end: tip.position,
            header,
            file: tip.file.clone(),
        })
    }

    fn open_tip(&mut self) -> Result<&mut Tip, Error> {
        self.tip
            .as_mut()
            .ok_or_else(|| Error::Unavailable("the log is not open".into()))
    }

    /// Goes past the entries of others, and cuts a torn rest. Under the lock; returns the last
    /// durable entry.
    fn go_to_end(&mut self, shared: &Shared) -> Result<u64, Error> {
        let disk = &*shared.disk;
        let seal = Seal::new(shared.id());
        // Twice at most: Open leads to the end of the last segment, under the same lock.
        let mut opened = false;
        loop {
            let recorded = shared.commit.read(disk, shared.id());
            let recorded = recorded.map_err(|e| failed(disk, "reading", commit::NAME, e))?;
            let room = std::mem::take(&mut self.room);
            let tip = self.open_tip()?;
            let reading = |e| failed(disk, "reading", &segment::name(tip.first), e);
            let from = if shared.options.lacks(Step::TrueEndFromCommit) {
                tip.position
            } else {
                tip.sure
            };
            let mut walker = Walker::new(from, 4096, room);
            let end = loop {
                match walker.next(&*tip.file, seal).map_err(reading)? {
                    Walked::Frame(frame) if recorded.is_some_and(|sure| frame.index <= sure) => {
                        tip.sure = walker.position();
                    }
                    Walked::Frame(_) => {}
                    Walked::End => break None,
                    Walked::Bad(what) => break Some(what),
                }
            };
            tip.position = walker.position();
            let Position { offset, next, .. } = tip.position;
            let name = segment::name(next);
            let rolled = disk
                .identity(&name)
                .map_err(|e| failed(disk, "looking at", &name, e))?;
            let first = tip.first;
            self.room = walker.into_room();
            let tip = self.open_tip()?;
            let behind = match end {
                Some(_) => read_rest(&*tip.file, offset).map_err(reading_of(shared, first))?,
                None => Vec::new(),
            };
            let witness = witness(shared, shared.id(), next, &behind);
            let elsewhere = rolled.is_some() && next > first;
            if !opened && (elsewhere || recorded.is_none() || witness.is_some()) {
                // The first use of a segment goes through Open (R5), and so does a lost `commit`.
                // What is missing here may stand in a later segment, if this one was trimmed: Open
                // knows them all, and its verdict counts.
                self.tip = None;
                self.tip = Some(recovery::open(shared).inspect_err(|_| self.give_up(shared))?);
                opened = true;
                continue;
            }
            if let Some(witness) = witness {
                let what = end.unwrap_or("the entry is missing");
                return Err(damaged(disk, first, (offset, next), what, witness));
            }
            if end.is_some()
                && let Err(error) = cut(shared, tip)
            {
                self.give_up(shared);
                return Err(refused(disk, "cutting", &segment::name(first), error));
            }
            return Ok(shared.commit.known());
        }
    }

    /// Begins the next segment (rule R4). Under the lock, at the true end.
    fn roll(&mut self, shared: &Shared) -> Result<(), Error> {
        let disk = &*shared.disk;
        let tip = self.open_tip()?;
        let Position { next, prev, .. } = tip.position;
        let prev_first = tip.first;
        if !shared.options.lacks(Step::RollSync)
            && let Err(error) = tip.file.sync_data()
        {
            self.give_up(shared);
            return Err(refused(disk, "syncing", &segment::name(prev_first), error));
        }
        let header = Header {
            id: shared.id(),
            first: next,
            prev_first,
            prev,
        };
        let file = match segment::create(disk, &shared.options, &header) {
            Ok(file) => file,
            Err(error) => {
                // It may exist or not: Open looks, and removes a temporary one.
                self.give_up(shared);
                return Err(refused(disk, "making", &segment::name(next), error));
            }
        };
        let start = Position {
            offset: segment::HEADER,
            next,
            prev,
        };
        self.tip = Some(Tip {
            first: next,
            file,
            position: start,
            sure: start,
        });
        // What stands before a segment is durable; waiting readers may see it now.
        let raised = shared
            .commit
            .raise(disk, &shared.options, shared.id(), next - 1)
            .map_err(|e| refused(disk, "writing", commit::NAME, e));
        if !raised.inspect_err(|_| self.give_up(shared))? {
            shared.set_broken();
        }
        shared.sync_commit_soon();
        Ok(())
    }

    /// Declares an entry durable that was written and synced (rule R3); false when it is gone.
    /// Under the lock.
    fn declare(&mut self, shared: &Shared, written: &Written) -> Result<bool, Error> {
        let disk = &*shared.disk;
        if !stands(shared, written)? {
            return Ok(false);
        }
        let mut index = written.index;
        if shared.options.lacks(Step::CommitBeforeSync) {
            self.go_to_end(shared)?;
            index = self.open_tip()?.position.next - 1;
        }
        let raised = shared
            .commit
            .raise(disk, &shared.options, shared.id(), index)
            .map_err(|e| refused(disk, "writing", commit::NAME, e))?;
        if !raised {
            // The record is lost: Open writes it anew, up to what it finds on the disk.
            self.tip = None;
            self.tip = Some(recovery::open(shared)?);
            return stands(shared, written);
        }
        let tip = self.open_tip()?;
        if tip.first == written.first && tip.sure.next < written.end.next {
            tip.sure = written.end;
        }
        Ok(true)
    }

    /// See [`Log::trim_to`](super::Log::trim_to).
    pub(super) fn trim(&mut self, shared: &Shared, index: u64) -> Result<(), Error> {
        let disk = &*shared.disk;
        let _held = self.hold(shared)?;
        let durable = shared
            .commit
            .read(disk, shared.id())
            .map_err(|e| failed(disk, "reading", commit::NAME, e))?
            .unwrap_or_else(|| shared.commit.known());
        if index > durable {
            return Err(Error::Invalid(format!("entry {index} is not durable yet")));
        }
        trim::trim(shared, shared.id(), index)
    }
}

fn reading_of(shared: &Shared, first: u64) -> impl Fn(std::io::Error) -> Error + '_ {
    move |error| failed(&*shared.disk, "reading", &segment::name(first), error)
}

/// Whether an entry still stands where it was written. A trimmed file still shows it.
fn stands(shared: &Shared, written: &Written) -> Result<bool, Error> {
    let mut header = [0; frame::HEADER];
    let read = read_full(&*written.file, &mut header, written.offset)
        .map_err(reading_of(shared, written.first))?;
    Ok(read == frame::HEADER && header == written.header)
}
