//! Going from frame to frame through an open segment.

use std::io;

use super::disk::{DiskFile, read_full};
use super::frame::{self, Frame, Parsed, Seal};

/// What comes next.
#[derive(Debug)]
pub(super) enum Walked<'a> {
    Frame(Frame<'a>),
    /// Nothing stands here: the file ends.
    End,
    /// Something stands here, and it is not the frame that belongs here.
    Bad(&'static str),
}

/// A place between two frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Bytes from the start of the segment.
    pub(super) offset: u64,
    /// Index of the entry that belongs here.
    pub(super) next: u64,
    /// Checksum of the entry before.
    pub(super) prev: u32,
}

/// Reads in chunks. What it has read ahead is only good for as long as nothing there is cut: under
/// the lock, or below the `commit` that was read before.
#[derive(Debug)]
pub(super) struct Walker {
    position: Position,
    window: Vec<u8>,
    /// Where the window begins.
    start: u64,
    chunk: usize,
}

const CHUNK_MAX: usize = 1024 * 1024;

impl Walker {
    /// Starts at `position`, reading `chunk` bytes at first and more as it goes on; `room` is
    /// memory to use again.
    pub(super) fn new(position: Position, chunk: usize, mut room: Vec<u8>) -> Self {
        room.clear();
        Self {
            position,
            window: room,
            start: position.offset,
            chunk,
        }
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The memory, to be used again.
    pub(super) fn into_room(self) -> Vec<u8> {
        self.window
    }

    fn seen(&self) -> usize {
        usize::try_from(self.position.offset - self.start).unwrap_or(usize::MAX)
    }

    /// Has at least `need` bytes from the position on, unless the file ends; how many there are.
    fn ensure(&mut self, file: &dyn DiskFile, need: usize) -> io::Result<usize> {
        let have = self.window.len() - self.seen();
        if have >= need {
            return Ok(have);
        }
        self.window.drain(..self.seen());
        self.start = self.position.offset;
        self.window.resize(need.max(self.chunk), 0);
        self.chunk = (self.chunk * 2).min(CHUNK_MAX);
        match read_full(file, &mut self.window[have..], self.start + have as u64) {
            Ok(read) => {
                self.window.truncate(have + read);
                Ok(have + read)
            }
            Err(error) => {
                self.window.truncate(have);
                Err(error)
            }
        }
    }

    /// Goes to the next frame; at `End` and `Bad` it stays where it is.
    pub(super) fn next(&mut self, file: &dyn DiskFile, seal: Seal) -> io::Result<Walked<'_>> {
        let have = self.ensure(file, frame::HEADER)?;
        if have == 0 {
            return Ok(Walked::End);
        }
        if have < frame::HEADER {
            return Ok(Walked::Bad("the frame is cut off"));
        }
        let need = match frame::size(&self.window[self.seen()..]) {
            Ok(need) => need,
            Err(what) => return Ok(Walked::Bad(what)),
        };
        if self.ensure(file, need)? < need {
            return Ok(Walked::Bad("the frame is cut off"));
        }
        let Position { next, prev, .. } = self.position;
        let at = self.seen();
        match frame::parse_next(seal, &self.window[at..], next, prev) {
            Parsed::Frame(frame) => {
                self.position = Position {
                    offset: self.position.offset + frame.size() as u64,
                    next: next + 1,
                    prev: frame.crc,
                };
                Ok(Walked::Frame(frame))
            }
            Parsed::Short => Ok(Walked::Bad("the frame is cut off")),
            Parsed::Bad(what) => Ok(Walked::Bad(what)),
        }
    }
}
