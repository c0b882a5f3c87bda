//! HTTP/2 frames as they pass by: which of them carry nothing, and how many of those an honest
//! client may send.
//!
//! A ping, a setting or a reset costs its sender a few bytes and the server an answer or a search;
//! the transport itself handles them for ever. Here every one takes something out of a bucket that
//! fills with time, and with what the server sends: window updates and the pings that measure a
//! path come in proportion to that. Only the 9 bytes before each frame are looked at.
//!
//! Source: the floods of 2019 (CVE-2019-9511 to 9518), rapid reset (CVE-2023-44487) and
//! CONTINUATION floods (CVE-2024-24786 and its kin).

use std::time::{Duration, Instant};

/// What every client sends first.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes before a frame: length, type, flags, stream.
const HEAD: usize = 9;

/// Points of a full bucket. A client may close all streams of a connection at once, and again.
const BURST: u32 = 4_000;

/// Points that come back in a second.
const REFILL: u32 = 1_000;

/// Bytes sent that earn a point. A small answer earns more than the updates that it may cause; the
/// answer to a ping earns a quarter of one.
const BYTES_A_POINT: u64 = 64;

/// A connection that sent no frame too many, so far.
#[derive(Debug)]
pub(super) struct Frames {
    /// Of the preface.
    greeted: usize,
    head: [u8; HEAD],
    have: usize,
    /// Bytes of the present frame that are still to come.
    skip: usize,
    /// The first settings have come whole.
    open: bool,
    settings: bool,
    bucket: Bucket,
}

/// Why a connection is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    /// It does not begin as HTTP/2 does.
    NoPreface,
    /// Too many frames that carry nothing.
    TooMany,
}

impl Frames {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            greeted: 0,
            head: [0; HEAD],
            have: 0,
            skip: 0,
            open: false,
            settings: false,
            bucket: Bucket::full(now),
        }
    }

    /// Whether the client has sent its preface and its first settings.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// The server sent so many bytes.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bucket.earn(bytes as u64);
    }

    /// Looks at what came in, in pieces of any size.
    ///
    /// # Errors
    /// The connection is to be cut off.
    pub(super) fn came(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Breach> {
        if self.greeted < PREFACE.len() {
            let length = bytes.len().min(PREFACE.len() - self.greeted);
            let (piece, rest) = bytes.split_at(length);
            if piece != &PREFACE[self.greeted..self.greeted + length] {
                return Err(Breach::NoPreface);
            }
            self.greeted += length;
            bytes = rest;
        }
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if self.skip == 0 && self.settings {
                self.open = true;
            }
            let length = bytes.len().min(HEAD - self.have);
            let (piece, rest) = bytes.split_at(length);
            self.head[self.have..self.have + length].copy_from_slice(piece);
            self.have += length;
            bytes = rest;
            if self.have == HEAD {
                self.have = 0;
                self.frame(now)?;
            }
        }
        Ok(())
    }

    /// The head of a frame has come whole.
    fn frame(&mut self, now: Instant) -> Result<(), Breach> {
        let [a, b, c, kind, flags, ..] = self.head;
        self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if kind == SETTINGS && flags & ACK == 0 {
            self.settings = true;
            self.open |= self.skip == 0;
        }
        let price = price(kind, flags, self.skip);
        if price > 0 && !self.bucket.take(price, now) {
            return Err(Breach::TooMany);
        }
        Ok(())
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;

/// What a frame takes out of the bucket.
fn price(kind: u8, flags: u8, length: usize) -> u32 {
    match kind {
        // What carries something is bounded by those who are asked for it.
        DATA if length > 0 || flags & END_STREAM != 0 => 0,
        HEADERS => 0,
        // Every stream of the connection may have to be looked at for it.
        SETTINGS if flags & ACK == 0 => 8,
        // Empty data, priorities, resets, pings, goodbyes, window updates, continuations, and what
        // nobody knows.
        _ => 1,
    }
}

/// Points; in 1/64 of one, so that every byte counts.
#[derive(Debug)]
struct Bucket {
    level: u64,
    at: Instant,
}

const POINT: u64 = BYTES_A_POINT;
const FULL: u64 = BURST as u64 * POINT;

impl Bucket {
    fn full(now: Instant) -> Self {
        Self {
            level: FULL,
            at: now,
        }
    }

    fn earn(&mut self, parts: u64) {
        self.level = self.level.saturating_add(parts).min(FULL);
    }

    fn take(&mut self, points: u32, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at);
        // In whole milliseconds, the rest stays for the next time.
        let ms = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        if ms > 0 {
            self.at += Duration::from_millis(ms);
            self.earn(ms.saturating_mul(u64::from(REFILL) * POINT / 1_000));
        }
        let price = u64::from(points) * POINT;
        if self.level < price {
            return false;
        }
        self.level -= price;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        let mut bytes = vec![size[1], size[2], size[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(HEAD + length, 7);
        bytes
    }

    fn greeted(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        frames.came(PREFACE, now).unwrap();
        assert!(!frames.is_open());
        frames.came(&frame(SETTINGS, 0, 6), now).unwrap();
        assert!(frames.is_open());
        frames
    }

    #[test]
    fn pings_are_free_now_and_then_and_end_the_connection_in_a_flood() {
        let mut now = Instant::now();
        let mut frames = greeted(now);
        let ping = frame(PING, 0, 8);
        for _ in 0..100_000 {
            now += Duration::from_millis(1);
            frames.came(&ping, now).unwrap();
        }
        let flood = (0..=u64::from(BURST)).find(|_| frames.came(&ping, now).is_err());
        assert!(flood.is_some());
        assert_eq!(frames.came(&ping, now), Err(Breach::TooMany));
    }

    #[test]
    fn settings_cost_more() {
        let now = Instant::now();
        let mut frames = greeted(now);
        let setting = frame(SETTINGS, 0, 6);
        let taken = (0..BURST).take_while(|_| frames.came(&setting, now).is_ok());
        assert_eq!(taken.count(), BURST as usize / 8 - 1);
    }

    #[test]
    fn window_updates_follow_what_is_sent_and_data_is_free() {
        let now = Instant::now();
        let mut frames = greeted(now);
        let (update, data) = (frame(WINDOW_UPDATE, 0, 4), frame(DATA, 0, 100));
        for _ in 0..100_000 {
            frames.sent(100);
            frames.came(&update, now).unwrap();
            frames.came(&data, now).unwrap();
        }
        let empty = frame(DATA, 0, 0);
        let taken = (0..=BURST).take_while(|_| frames.came(&empty, now).is_ok());
        assert!(taken.count() <= BURST as usize);
        // Half-closing is no flood.
        frames.came(&frame(DATA, END_STREAM, 0), now).unwrap();
    }

    #[test]
    fn what_is_no_http2_is_seen_at_the_first_wrong_byte() {
        let now = Instant::now();
        let mut frames = Frames::new(now);
        frames.came(b"PRI * H", now).unwrap();
        assert_eq!(frames.came(b"x", now), Err(Breach::NoPreface));
        let mut frames = Frames::new(now);
        let refused = frames.came(b"GET / HTTP/1.1\r\n\r\n", now);
        assert_eq!(refused, Err(Breach::NoPreface));
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(
            kinds in proptest::collection::vec((0..12_u8, 0..2_u8, 0..300_usize), 0..200),
            cuts in proptest::collection::vec(1..64_usize, 1..50),
        ) {
            let now = Instant::now();
            let mut bytes = PREFACE.to_vec();
            for (kind, flags, length) in kinds {
                bytes.extend(frame(kind, flags, length));
            }
            let mut whole = Frames::new(now);
            whole.came(&bytes, now).unwrap();
            let mut pieces = Frames::new(now);
            let (mut left, mut cuts) = (&bytes[..], cuts.into_iter().cycle());
            while !left.is_empty() {
                let (piece, rest) = left.split_at(cuts.next().unwrap().min(left.len()));
                pieces.came(piece, now).unwrap();
                left = rest;
            }
            prop_assert_eq!(whole.bucket.level, pieces.bucket.level);
            prop_assert_eq!(whole.is_open(), pieces.is_open());
            prop_assert_eq!((whole.have, whole.skip), (pieces.have, pieces.skip));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..5_000)) {
            let now = Instant::now();
            let mut frames = greeted(now);
            let _ = frames.came(&bytes, now);
        }
    }
}
