//! An attacker: HTTP/2 frames made by hand, over a bare connection.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every test takes what it needs"
)]

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout};

/// What every client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![size[1], size[2], size[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// One setting.
pub fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend(value.to_be_bytes());
    bytes
}

/// A header that no table keeps (HPACK, literal without indexing).
pub fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        let mut left = text.len();
        if left < 127 {
            bytes.push(u8::try_from(left).unwrap());
        } else {
            bytes.push(127);
            left -= 127;
            while left >= 128 {
                bytes.push(u8::try_from(left % 128 + 128).unwrap());
                left /= 128;
            }
            bytes.push(u8::try_from(left).unwrap());
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// The headers of a call of `method`, as `/package.Service/Method`.
pub fn headers(method: &str, token: Option<&str>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "127.0.0.1"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.extend(header(name, value));
    }
    if let Some(token) = token {
        block.extend(header("authorization", &format!("Bearer {token}")));
    }
    block
}

/// A message as gRPC frames it.
pub fn message(bytes: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    framed.extend(bytes);
    framed
}

/// A bare connection.
pub struct Raw(pub TcpStream);

impl Raw {
    /// Says nothing.
    pub async fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Greets with these settings.
    pub async fn greet(address: &str, settings: &[u8]) -> io::Result<Self> {
        let mut raw = Self::connect(address).await?;
        raw.0.write_all(PREFACE).await?;
        raw.0.write_all(&frame(SETTINGS, 0, 0, settings)).await?;
        Ok(raw)
    }

    /// Waits for the other side to close; after how long, `None` if it does not in `most`.
    pub async fn closed(self, most: Duration) -> Option<Duration> {
        let began = Instant::now();
        let (read, _write) = self.0.into_split();
        let drained = timeout(most, drain(read)).await;
        drained.ok().map(|_| began.elapsed())
    }

    /// Sends `bytes` again and again, takes all that comes, until it is cut off or `most` is over.
    pub async fn flood(self, bytes: &[u8], frames: u64, most: Duration) -> Flooded {
        let (read, mut write) = self.0.into_split();
        let began = Instant::now();
        let reads = tokio::spawn(drain(read));
        let mut sent = 0;
        let ended = timeout(most, send(&mut write, bytes, frames, &mut sent)).await;
        let after = began.elapsed();
        reads.abort();
        Flooded {
            frames: sent,
            after,
            cut: ended.is_ok(),
        }
    }
}

/// What became of a flood.
#[derive(Debug)]
pub struct Flooded {
    pub frames: u64,
    pub after: Duration,
    /// The server ended it.
    pub cut: bool,
}

async fn send(write: &mut OwnedWriteHalf, bytes: &[u8], frames: u64, sent: &mut u64) {
    while write.write_all(bytes).await.is_ok() {
        *sent += frames;
    }
}

/// Takes all that comes until the end; how many bytes.
pub async fn drain(mut read: OwnedReadHalf) -> u64 {
    let (mut bytes, mut total) = (vec![0; 64 * 1024], 0);
    loop {
        match read.read(&mut bytes).await {
            Ok(0) | Err(_) => return total,
            Ok(length) => total += length as u64,
        }
    }
}
