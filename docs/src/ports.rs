//! The ports that documents speak of, moved to where nobody is.
//!
//! A document says 7400, and a reader has that port free; a machine that runs tests may not, and runs
//! several documents at once.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// What documents speak of: from, how many.
const SPOKEN: &[(u16, u16)] = &[(7400, 100), (3010, 10), (4220, 10), (6220, 10), (8080, 10)];

/// Below what systems give out by themselves.
const FIRST: u16 = 12_000;
const LAST: u16 = 30_000;
const STRIDE: u16 = 200;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// Where the ports of one document went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports(u16);

impl Ports {
    /// Ports that are free now, and that no other document of this process has.
    ///
    /// # Panics
    /// There are none.
    pub(crate) fn draw() -> Self {
        let blocks = (LAST - FIRST) / STRIDE;
        let by_process = u16::try_from(std::process::id() % u32::from(blocks)).unwrap_or(0);
        for _ in 0..blocks {
            let turn = NEXT.fetch_add(1, Ordering::Relaxed);
            let base = FIRST + (by_process + turn) % blocks * STRIDE;
            let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
            if (base..base + STRIDE).all(free) {
                return Self(base);
            }
        }
        panic!("no {STRIDE} ports in a row are free between {FIRST} and {LAST}");
    }

    /// Where `port` went, when documents speak of it.
    pub(crate) fn of(self, port: u16) -> Option<u16> {
        let mut base = self.0;
        for &(from, count) in SPOKEN {
            if (from..from + count).contains(&port) {
                return Some(base + port - from);
            }
            base += count;
        }
        None
    }

    /// `text` with all ports where they went.
    pub(crate) fn moved(self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
            let (before, number) = rest.split_at(start);
            let end = number.find(|c: char| !c.is_ascii_digit());
            let (number, after) = number.split_at(end.unwrap_or(number.len()));
            out.push_str(before);
            let moved = number.parse().ok().and_then(|port| self.of(port));
            match moved {
                Some(port) => out.push_str(&port.to_string()),
                None => out.push_str(number),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_documents_move_and_other_numbers_stay() {
        let ports = Ports(20_000);
        assert_eq!(
            ports.moved("up --listen 127.0.0.1:7400 --http :7409 -n 100000, $((4221 + i)) 74001"),
            "up --listen 127.0.0.1:20000 --http :20009 -n 100000, $((20111 + i)) 74001"
        );
        let used: u16 = SPOKEN.iter().map(|(_, count)| count).sum();
        assert!(used <= STRIDE);
    }
}
