//! A real directory on a disk with faults that a test orders.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::disk::{Access, DiskFile, Identity};
use super::*;
use crate::log::conformance::read_all;

/// What goes wrong with the next calls; when a list is empty, nothing does.
#[derive(Debug, Default)]
struct Faults {
    writes: Mutex<VecDeque<Fault>>,
    opens: Mutex<VecDeque<i32>>,
    cuts: Mutex<VecDeque<i32>>,
    syncs: Mutex<VecDeque<i32>>,
    synced: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// So many bytes are written, and that is what the call says.
    Short(usize),
    Errno(i32),
}

const EINTR: i32 = 4;
const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

#[derive(Debug)]
struct Faulty {
    real: RealDisk,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct FaultyFile {
    real: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
    segment: bool,
}

impl Disk for Faulty {
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(code) = self.faults.opens.lock().pop_front() {
            return Err(errno(code));
        }
        Ok(Arc::new(FaultyFile {
            real: self.real.open(name, access)?,
            faults: self.faults.clone(),
            segment: name.contains(".seg"),
        }))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.real.list()
    }
    fn identity(&self, name: &str) -> io::Result<Option<Identity>> {
        self.real.identity(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.real.rename(from, to)
    }
    fn unlink(&self, name: &str) -> io::Result<()> {
        self.real.unlink(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.real.sync_dir()
    }
    fn read_direct(&self, name: &str, offset: u64) -> io::Result<Option<Vec<u8>>> {
        self.real.read_direct(name, offset)
    }
    fn pause(&self, tries: u32) {
        self.real.pause(tries);
    }
    fn place(&self, name: &str) -> String {
        self.real.place(name)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.real.read_at(bytes, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let fault = if self.segment {
            self.faults.writes.lock().pop_front()
        } else {
            None
        };
        match fault {
            Some(Fault::Short(length)) => self.real.write_at(&bytes[..length], offset),
            Some(Fault::Errno(code)) => Err(errno(code)),
            None => self.real.write_at(bytes, offset),
        }
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        match self.faults.cuts.lock().pop_front() {
            Some(code) => Err(errno(code)),
            None => self.real.set_len(len),
        }
    }
    fn len(&self) -> io::Result<u64> {
        self.real.len()
    }
    fn identity(&self) -> io::Result<Identity> {
        self.real.identity()
    }
    fn sync_data(&self) -> io::Result<()> {
        self.faults.synced.fetch_add(1, Ordering::SeqCst);
        let fault = if self.segment {
            self.faults.syncs.lock().pop_front()
        } else {
            None
        };
        match fault {
            Some(code) => Err(errno(code)),
            None => self.real.sync_data(),
        }
    }
    fn sync_all(&self) -> io::Result<()> {
        self.real.sync_all()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.real.try_lock()
    }
    fn unlock(&self) -> io::Result<()> {
        self.real.unlock()
    }
}

fn faulty(dir: &Path) -> (DirLog, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let disk = Faulty {
        real: RealDisk::new(dir),
        faults: faults.clone(),
    };
    let options = DirLogOptions::default().file_events(false);
    let log = DirLog::open_on(Arc::new(disk), dir.into(), None, options).expect("open");
    (log, faults)
}

fn texts(log: &DirLog) -> Vec<String> {
    let records = read_all(log).into_iter();
    records
        .map(|record| String::from_utf8(record.payload).expect("text"))
        .collect()
}

#[test]
fn interrupted_and_short_writes_are_finished() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, faults) = faulty(dir.path());
    let interrupted = Fault::Errno(EINTR);
    *faults.writes.lock() = [Fault::Short(7), interrupted, Fault::Short(1), interrupted].into();
    assert_eq!(log.append(b"one").expect("append"), 1);
    assert!(faults.writes.lock().is_empty());
    assert_eq!(texts(&log), ["one"]);
}

#[test]
fn on_a_full_disk_nothing_stays_and_later_appends_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, faults) = faulty(dir.path());
    log.append(b"one").expect("append");
    let size = log.size_bytes().expect("size");
    *faults.writes.lock() = [Fault::Short(20), Fault::Errno(ENOSPC)].into();
    assert!(matches!(log.append(b"two"), Err(Error::Full(_))));
    assert_eq!(log.size_bytes().expect("size"), size, "cut back");
    assert_eq!(log.append(b"three").expect("append"), 2);
    assert_eq!(texts(&log), ["one", "three"]);
}

#[test]
fn when_the_cut_fails_too_the_torn_rest_goes_with_the_next_opening() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, faults) = faulty(dir.path());
    log.append(b"one").expect("append");
    *faults.writes.lock() = [Fault::Short(20), Fault::Errno(ENOSPC)].into();
    *faults.cuts.lock() = [EIO].into();
    assert!(matches!(log.append(b"two"), Err(Error::Full(_))));
    assert!(
        log.weakness()
            .is_some_and(|weakness| weakness.contains("opened anew"))
    );
    // Another process opens the log and finds the rest; this one does after its back-off.
    let other = DirLog::open(dir.path(), DirLogOptions::default()).expect("open");
    assert_eq!(other.append(b"three").expect("append"), 2);
    assert_eq!(texts(&log), ["one", "three"], "reads go on");
    assert_eq!(append_after_back_off(&log, b"four"), 3);
    assert_eq!(texts(&log), ["one", "three", "four"]);
}

/// The first appends may come too early.
fn append_after_back_off(log: &DirLog, payload: &[u8]) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match log.append(payload) {
            Ok(index) => return index,
            Err(Error::Unavailable(_)) if Instant::now() < deadline => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_failed_sync_is_unknown_is_not_tried_again_and_the_log_is_opened_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, faults) = faulty(dir.path());
    log.append(b"one").expect("append");
    let before = faults.synced.load(Ordering::SeqCst);
    *faults.syncs.lock() = [EIO].into();
    assert!(matches!(log.append(b"two"), Err(Error::Unknown(_))));
    assert_eq!(faults.synced.load(Ordering::SeqCst), before + 1);
    assert_eq!(texts(&log), ["one"], "it is not readable, and reads go on");
    // Here the bytes were not lost after all: Open finds them on the disk and keeps them.
    assert_eq!(append_after_back_off(&log, b"three"), 3);
    assert_eq!(texts(&log), ["one", "two", "three"]);
    assert_eq!(log.weakness(), None);
}

#[test]
fn without_descriptors_appends_are_refused_and_come_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, faults) = faulty(dir.path());
    log.append(b"one").expect("append");
    // Needs a new descriptor: the log goes through Open.
    log.shared.set_broken();
    *faults.opens.lock() = [EMFILE].into();
    assert!(log.append(b"two").is_err());
    assert_eq!(append_after_back_off(&log, b"three"), 2);
    assert_eq!(texts(&log), ["one", "three"]);
}

#[test]
fn one_writer_alone_needs_at_most_one_and_a_half_syncs_a_post() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, faults) = faulty(dir.path());
    let before = faults.synced.load(Ordering::SeqCst);
    for _ in 0..200 {
        log.append(b"a post").expect("append");
    }
    let synced = faults.synced.load(Ordering::SeqCst) - before;
    assert!(synced <= 300, "{synced} syncs for 200 posts");
}

#[test]
fn reading_on_and_reading_anywhere_walk_through_nothing_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = DirLog::open(dir.path(), DirLogOptions::default()).expect("open");
    for _ in 0..300 {
        log.append(&[7; 2000]).expect("append");
    }
    assert_eq!(log.read(299, 1).expect("read").len(), 1);
    let reader = log.reader.lock();
    assert_eq!(reader.remembered().0, 10, "places in 600 KB");
    let (_, cursor) = reader.remembered();
    assert_eq!(cursor, Some(300), "where the next read would go on");
}

#[test]
fn an_entry_that_was_passed_and_then_cut_by_another_does_not_cut_its_successor() {
    let dir = tempfile::tempdir().expect("a directory");
    let (a, a_faults) = faulty(dir.path());
    let (b, b_faults) = faulty(dir.path());
    a.append(b"one").expect("append");
    let before = a.size_bytes().expect("size");
    *a_faults.syncs.lock() = [EIO].into();
    assert!(matches!(a.append(b"two"), Err(Error::Unknown(_))));
    // B goes past the entry that A wrote, and writes nothing.
    *b_faults.writes.lock() = [Fault::Errno(ENOSPC)].into();
    assert!(matches!(b.append(b"three"), Err(Error::Full(_))));
    // Another process does not find it on the disk, cuts it, and writes a longer one there.
    let segment = dir.path().join(segment::name(1));
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(segment)
        .expect("open");
    file.set_len(before).expect("cut");
    let c = DirLog::open(dir.path(), DirLogOptions::default()).expect("open");
    assert_eq!(c.append(b"another two, and longer").expect("append"), 2);
    assert_eq!(b.append(b"three").expect("append"), 3);
    assert_eq!(texts(&c), ["one", "another two, and longer", "three"]);
}
