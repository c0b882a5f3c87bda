//! Reading entries. Where frames begin is remembered: where the last reads ended, and every so
//! many bytes of a segment, so that nothing is walked through twice.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::disk::{Access, DiskFile};
use super::frame::Seal;
use super::recovery::damaged;
use super::segment::{self, Header};
use super::walk::{Position, Walked, Walker};
use super::{Error, Record, Shared, failed, trim};

/// Bytes between two remembered places.
const MARK_EVERY: u64 = 64 * 1024;

/// Bytes that a read asks for first; each further piece is twice as long. The applier mostly finds one
/// small entry.
const FIRST_PIECE: usize = 16 * 1024;

/// Segments that stay open.
const OPEN: usize = 16;

/// Ends of reads that are remembered: the applier's, and those of a few others.
const CURSORS: usize = 8;

#[derive(Debug)]
struct Segment {
    first: u64,
    file: Arc<dyn DiskFile>,
    /// Ascending; the first is the start.
    marks: Vec<Position>,
}

/// The reading side of a handle.
#[derive(Debug, Default)]
pub(super) struct Reader {
    segments: VecDeque<Segment>,
    /// First index of the segment, and the place in it.
    cursors: VecDeque<(u64, Position)>,
    room: Vec<u8>,
    dropped: u64,
    head: u64,
}

impl Reader {
    /// Forgets what was trimmed, and all descriptors when they are not trusted any more.
    pub(super) fn refresh(&mut self, shared: &Shared) {
        let dropped = shared.dropped.load(Ordering::Acquire);
        if self.dropped != dropped {
            *self = Self::default();
            self.dropped = dropped;
        }
        let head = shared.head.load(Ordering::Acquire);
        if self.head < head {
            self.head = head;
            self.segments.retain(|segment| segment.first >= head);
            self.cursors.retain(|(first, _)| *first >= head);
        }
    }

    /// How many places are remembered in the front segment, and where the last read ended.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> (usize, Option<u64>) {
        let marks = self
            .segments
            .front()
            .map_or(0, |segment| segment.marks.len());
        (
            marks,
            self.cursors.front().map(|(_, position)| position.next),
        )
    }

    /// Entries `from..tail`, as the trait says; `from < tail`, and below the tail all is durable.
    /// With `open_end` the end of the log is no damage.
    pub(super) fn read(
        &mut self,
        shared: &Shared,
        from: u64,
        tail: u64,
        max_bytes: usize,
        open_end: bool,
    ) -> Result<Vec<Record>, Error> {
        let seal = Seal::new(shared.id());
        let mut records = Vec::new();
        let mut bytes = 0;
        let (mut first, position) = self.locate(shared, from)?;
        let room = std::mem::take(&mut self.room);
        let mut walker = Walker::new(position, FIRST_PIECE, room);
        let mut again = true;
        let result = loop {
            if walker.position().next >= tail {
                break Ok(());
            }
            let segment = match self.segment(shared, first) {
                Ok(segment) => segment,
                Err(error) => break Err(error),
            };
            let before = walker.position();
            let what = match walker.next(&*segment.file, seal) {
                Ok(Walked::Frame(frame)) => {
                    segment.mark(before);
                    again = true;
                    if frame.index < from {
                        continue;
                    }
                    bytes += frame.payload.len();
                    if !records.is_empty() && bytes > max_bytes {
                        walker = Walker::new(before, 0, walker.into_room());
                        break Ok(());
                    }
                    records.push(Record {
                        index: frame.index,
                        crc: frame.crc,
                        payload: frame.payload.to_vec(),
                    });
                    continue;
                }
                // An empty segment has the name of the entry that is missing.
                Ok(Walked::End) if before.next == first && open_end => break Ok(()),
                Ok(Walked::End) if before.next == first => "the entry is missing",
                Ok(Walked::End) => match self.open(shared, before.next) {
                    Ok(start) => {
                        first = before.next;
                        if start.prev == before.prev {
                            walker = Walker::new(start, FIRST_PIECE, walker.into_room());
                            continue;
                        }
                        "the segment does not follow the entry before"
                    }
                    Err(Error::Damaged { .. }) if open_end => break Ok(()),
                    Err(Error::Damaged { .. }) => "the entry is missing",
                    Err(error) => break Err(error),
                },
                Ok(Walked::Bad(_)) if open_end => break Ok(()),
                Ok(Walked::Bad(what)) => what,
                Err(error) => {
                    let name = segment::name(first);
                    break Err(failed(&*shared.disk, "reading", &name, error));
                }
            };
            if again {
                // Once more from the file, before such a word is said.
                again = false;
                walker = Walker::new(before, FIRST_PIECE, walker.into_room());
                continue;
            }
            let place = (before.offset, before.next);
            let witness = format!("commit, up to entry {}", tail - 1);
            break Err(damaged(&*shared.disk, first, place, what, witness));
        };
        self.remember(first, walker.position());
        self.room = walker.into_room();
        match result {
            // What was read is good; the error comes back when the next read starts there.
            Err(_) if !records.is_empty() => Ok(records),
            Err(error) => Err(error),
            Ok(()) => Ok(records),
        }
    }

    fn remember(&mut self, first: u64, position: Position) {
        self.cursors
            .retain(|(_, known)| known.next != position.next);
        self.cursors.push_front((first, position));
        self.cursors.truncate(CURSORS);
    }

    /// A known place at or before entry `from`, in the segment that holds it.
    fn locate(&mut self, shared: &Shared, from: u64) -> Result<(u64, Position), Error> {
        if let Some(&cursor) = self.cursors.iter().find(|(_, known)| known.next == from) {
            return Ok(cursor);
        }
        // Only a listing tells whether a later segment has begun before `from`.
        let disk = &*shared.disk;
        let firsts = segment::list(disk).map_err(|e| failed(disk, "listing", "", e))?;
        let head = trim::read_head(disk)?.map_or(1, |(_, head)| head);
        shared.head_is(head);
        if from < head {
            return Err(Error::Trimmed { head });
        }
        let Some(first) = firsts.into_iter().filter(|&first| first <= from).max() else {
            return Err(damaged(
                disk,
                head,
                (0, from),
                "the segment is missing",
                "its entry is durable",
            ));
        };
        let segment = self.segment(shared, first)?;
        let after = segment.marks.partition_point(|mark| mark.next <= from);
        let mark = segment.marks[after.max(1) - 1];
        let cursors = self
            .cursors
            .iter()
            .filter(|(of, at)| *of == first && at.next <= from);
        let cursor = cursors.map(|(_, at)| *at).max_by_key(|at| at.next);
        let nearest = cursor.filter(|at| at.next > mark.next).unwrap_or(mark);
        Ok((first, nearest))
    }

    fn segment(&mut self, shared: &Shared, first: u64) -> Result<&mut Segment, Error> {
        match self
            .segments
            .iter()
            .position(|segment| segment.first == first)
        {
            Some(0) => {}
            Some(at) => {
                let segment = self.segments.remove(at);
                self.segments.extend(segment);
                self.segments.rotate_right(1);
            }
            None => {
                self.open(shared, first)?;
            }
        }
        Ok(&mut self.segments[0])
    }

    /// Opens a segment and puts it in front; where its entries begin.
    fn open(&mut self, shared: &Shared, first: u64) -> Result<Position, Error> {
        let disk = &*shared.disk;
        let name = segment::name(first);
        let bad = |what: &str| damaged(disk, first, (0, first), what, "commit");
        let file = match disk.open(&name, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Another process may have trimmed it just now.
                let head = trim::read_head(disk)?.map_or(1, |(_, head)| head);
                shared.head_is(head);
                if first < head {
                    return Err(Error::Trimmed { head });
                }
                return Err(bad("the segment is missing"));
            }
            Err(error) => return Err(failed(disk, "opening", &name, error)),
        };
        let header = Header::read(&*file)
            .map_err(|e| failed(disk, "reading", &name, e))?
            .map_err(bad)?;
        if header.first != first || header.id != shared.id() {
            return Err(bad("it is another segment under this name"));
        }
        let start = Position {
            offset: segment::HEADER,
            next: first,
            prev: header.prev,
        };
        self.segments.retain(|segment| segment.first != first);
        self.segments.push_front(Segment {
            first,
            file,
            marks: vec![start],
        });
        self.segments.truncate(OPEN);
        Ok(start)
    }
}

impl Segment {
    fn mark(&mut self, position: Position) {
        if self
            .marks
            .last()
            .is_some_and(|last| position.offset >= last.offset + MARK_EVERY)
        {
            self.marks.push(position);
        }
    }
}
