//! Physical floors: what the machine takes for the least that has to be done.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// How a file is written before it is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// At its end: the file grows, so that its size is synced too.
    Appended,
    /// Over bytes that were there already.
    Over,
}

/// Writes `bytes` and calls `fdatasync`, again and again for `time` in a file in `dir`; every
/// single time it took.
///
/// # Errors
/// When the file system refuses.
pub fn fdatasync(
    dir: &Path,
    bytes: usize,
    how: Written,
    time: Duration,
) -> io::Result<Vec<Duration>> {
    let path = dir.join("floor");
    let mut file = File::create(&path)?;
    let payload = vec![7; bytes];
    // As large as a segment of the log, then from the start again.
    let turn = (64 * 1024 * 1024 / bytes.max(1)).max(1);
    if how == Written::Over {
        for _ in 0..turn {
            file.write_all(&payload)?;
        }
        file.sync_all()?;
    }
    file.rewind()?;
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        if times.len() % turn == 0 {
            if how == Written::Appended {
                file = File::create(&path)?;
            }
            file.seek(SeekFrom::Start(0))?;
        }
        let start = Instant::now();
        file.write_all(&payload)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    drop(file);
    fs::remove_file(path)?;
    Ok(times)
}

/// The median time of a bare write at the end of a file and `fdatasync`: the floor of every durable
/// write.
///
/// # Panics
/// When the file system refuses.
pub fn fdatasync_p50(dir: &Path, bytes: usize) -> Duration {
    let time = Duration::from_millis(300);
    let times = fdatasync(dir, bytes, Written::Appended, time).expect("a file that takes writes");
    median(times)
}

/// The median time of copying `bytes` in memory: the floor of handing a page out.
pub fn memcpy_p50(bytes: usize) -> Duration {
    const ROUNDS: u32 = 64;
    let (from, mut to) = (vec![7_u8; bytes], vec![0_u8; bytes]);
    let times = (0..200).map(|_| {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            to.copy_from_slice(black_box(&from));
            black_box(&mut to);
        }
        start.elapsed() / ROUNDS
    });
    median(times.collect())
}

/// How long reading every file of `dir` from start to end takes, and how many bytes that are: the
/// floor of a rebuild from the log. The page cache is as it is.
///
/// # Errors
/// When the file system refuses.
pub fn read_through(dir: &Path) -> io::Result<(Duration, u64)> {
    let begun = Instant::now();
    let (mut buffer, mut bytes) = (vec![0; 1 << 20], 0);
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        let mut file = OpenOptions::new().read(true).open(path)?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            black_box(&buffer);
            bytes += read as u64;
        }
    }
    Ok((begun.elapsed(), bytes))
}

/// The middle one of some times; zero when there are none.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
