//! Snapshots: a view copied at an index, in one file that checks itself.
//!
//! ```text
//! magic  view format  log id  index  crc of the entry  digest version  digest  crc of the header
//!   8         4         16      8           4                 4           16           4
//! lz4 frame: (key length u8, key, value length u32, value)*
//! xxh3-128 of the frame, 16
//! ```
//!
//! Numbers are little endian. Written to a temporary name, synced, renamed: a file named
//! `<index>.snap` is whole, or damaged later. Keys and values are those of the view, so a snapshot
//! of another view format is of no use, and said to be.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use tempfile::NamedTempFile;
use xxhash_rust::xxh3::Xxh3;

use super::keys::UserNo;
use super::keys::meta::{self, FORMAT, Meta};
use super::keys::user::{self, UserRecord};
use super::{Error, KEY_BYTES, Store, codec, digest};
use crate::log::LogId;
use crate::own_file;
use crate::seq::Seq;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

const MAGIC: &[u8; 8] = b"SNSSNAP1";
pub(crate) const HEADER_BYTES: usize = 64;
/// Bytes that are loaded into sled in one step: nobody reads from it yet.
const LOAD_BYTES: usize = 4 * 1024 * 1024;

/// One snapshot file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// The index of the last entry it holds.
    pub index: u64,
    /// The log it belongs to.
    pub log_id: LogId,
    /// The log's checksum of that entry.
    pub crc: u32,
    /// The digest of the view at that index, with its version.
    pub digest: u128,
    /// Version of [`SnapshotInfo::digest`].
    pub digest_version: u32,
    /// Version of its keys and values.
    pub view_format: u32,
    /// Bytes of the file.
    pub bytes: u64,
    /// Where it is.
    pub path: PathBuf,
}

impl SnapshotInfo {
    /// Whether this program can load it: keys and values of another version are of no use to it.
    pub(crate) fn is_usable(&self) -> bool {
        self.view_format == FORMAT
    }
}

fn io_error(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let what = format!("{doing} {}", path.display());
    move |error| match error.kind() {
        io::ErrorKind::StorageFull => Error::Full(format!("{what}: {error}")),
        // What the decoder finds wrong, and a file that ends too early.
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            Error::Damaged(format!("{what}: {error}"))
        }
        _ => Error::Io(format!("{what}: {error}")),
    }
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::Damaged(format!("the snapshot {} {why}", path.display()))
}

/// Writes what `store` holds, which stands still at `meta`; `give_up` is asked now and then.
///
/// # Errors
/// `Io`; `Busy` when it was given up. Nothing is left behind.
pub(crate) fn write(
    dir: &Path,
    store: &Store,
    meta: &Meta,
    give_up: &dyn Fn() -> bool,
) -> Result<SnapshotInfo, Error> {
    let mut file = NewFile::begin(dir, meta)?;
    let mut is_empty = true;
    for (count, pair) in store.scan_raw(&[])?.enumerate() {
        let (key, value) = pair?;
        if count.is_multiple_of(256) && give_up() {
            return Err(Error::Busy);
        }
        is_empty = false;
        file.pair(&key, &value)?;
    }
    if is_empty {
        // Nothing was ever applied: sled does not say where it stands.
        file.pair(&meta::KEY, &codec::encode(meta::KEY, meta)?)?;
    }
    file.finish()
}

/// A snapshot that is being written; nothing is left behind if it is dropped.
struct NewFile {
    path: PathBuf,
    temporary: PathBuf,
    body: FrameEncoder<Hashing<BufWriter<NamedTempFile>>>,
}

impl NewFile {
    fn begin(dir: &Path, meta: &Meta) -> Result<Self, Error> {
        let file = tempfile::Builder::new()
            .prefix(".snap-")
            .tempfile_in(dir)
            .map_err(io_error("making a temporary file in", dir))?;
        let temporary = file.path().to_owned();
        let mut file = BufWriter::new(file);
        file.write_all(&header(meta))
            .map_err(io_error("writing", &temporary))?;
        Ok(Self {
            path: dir.join(format!("{:020}.snap", meta.applied_index())),
            temporary,
            body: FrameEncoder::new(Hashing {
                to: file,
                hash: Xxh3::new(),
            }),
        })
    }

    fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        write_pair(&mut self.body, key, value).map_err(io_error("writing", &self.temporary))
    }

    fn finish(self) -> Result<SnapshotInfo, Error> {
        let Self {
            path,
            temporary,
            body,
        } = self;
        let failed = |error| io_error("writing", &temporary)(error);
        let Hashing { to: mut file, hash } = body.finish().map_err(|e| failed(e.into()))?;
        file.write_all(&hash.digest128().to_le_bytes())
            .map_err(failed)?;
        let file = file.into_inner().map_err(|e| failed(e.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path)
            .map_err(|e| io_error("renaming to", &path)(e.error))?;
        let dir = path.parent().unwrap_or(Path::new("."));
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(io_error("syncing", dir))?;
        info(&path)
    }
}

fn write_pair(to: &mut impl Write, key: &[u8], value: &[u8]) -> io::Result<()> {
    let too_long = |_| io::Error::other("a value is too long for a snapshot");
    to.write_all(&[u8::try_from(key.len()).map_err(too_long)?])?;
    to.write_all(key)?;
    to.write_all(&u32::try_from(value.len()).map_err(too_long)?.to_le_bytes())?;
    to.write_all(value)
}

fn header(meta: &Meta) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&meta.format.to_le_bytes());
    header[12..28].copy_from_slice(&meta.log_id().0.to_le_bytes());
    header[28..36].copy_from_slice(&meta.applied_index().to_le_bytes());
    header[36..40].copy_from_slice(&meta.crc.to_le_bytes());
    header[40..44].copy_from_slice(&digest::VERSION.to_le_bytes());
    header[44..60].copy_from_slice(&meta.digest.to_le_bytes());
    let crc = crc32c::crc32c(&header[..60]);
    header[60..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Reads the header of a snapshot: cheap, the body is not looked at.
///
/// # Errors
/// `Io`, `Damaged`.
pub(crate) fn info(path: &Path) -> Result<SnapshotInfo, Error> {
    let failed = || io_error("reading", path);
    let mut file = own_file::open(path).map_err(failed())?;
    let bytes = file.metadata().map_err(failed())?.len();
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header)
        .map_err(|_| damaged(path, "is cut short"))?;
    parse(&header, bytes, path)
}

/// What the header of a snapshot of so many bytes says.
///
/// # Errors
/// `Damaged`.
pub(crate) fn parse(
    header: &[u8; HEADER_BYTES],
    bytes: u64,
    path: &Path,
) -> Result<SnapshotInfo, Error> {
    let u32_at = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let u128_at = |at: usize| {
        let mut number = [0; 16];
        number.copy_from_slice(&header[at..at + 16]);
        u128::from_le_bytes(number)
    };
    if header[..8] != MAGIC[..] || u32_at(60) != crc32c::crc32c(&header[..60]) {
        return Err(damaged(path, "has a bad header"));
    }
    let index = u64::from(u32_at(28)) | u64::from(u32_at(32)) << 32;
    if index > Seq::INDEX_MAX {
        return Err(damaged(path, "stands at an index that no log has"));
    }
    Ok(SnapshotInfo {
        index,
        log_id: LogId(u128_at(12)),
        crc: u32_at(36),
        digest: u128_at(44),
        digest_version: u32_at(40),
        view_format: u32_at(8),
        bytes,
        path: path.to_owned(),
    })
}

/// Reads a snapshot to its end, checks it, and hands out its pairs.
///
/// # Errors
/// `Io`, `Damaged`; those of `each`.
fn read(
    path: &Path,
    mut each: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), Error>,
) -> Result<SnapshotInfo, Error> {
    let info = info(path)?;
    let failed = || io_error("reading", path);
    let body_bytes = info
        .bytes
        .checked_sub(HEADER_BYTES as u64 + 16)
        .ok_or_else(|| damaged(path, "is cut short"))?;
    // First the checksum of the whole, so that nothing of a damaged file is ever used.
    let mut file = BufReader::new(own_file::open(path).map_err(failed())?);
    io::copy(
        &mut file.by_ref().take(HEADER_BYTES as u64),
        &mut io::sink(),
    )
    .map_err(failed())?;
    let mut hashing = Hashing {
        to: io::sink(),
        hash: Xxh3::new(),
    };
    io::copy(&mut file.by_ref().take(body_bytes), &mut hashing).map_err(failed())?;
    let mut sum = [0; 16];
    file.read_exact(&mut sum).map_err(failed())?;
    if u128::from_le_bytes(sum) != hashing.hash.digest128() {
        return Err(damaged(path, "has a bad checksum"));
    }
    let mut file = BufReader::new(own_file::open(path).map_err(failed())?);
    io::copy(
        &mut file.by_ref().take(HEADER_BYTES as u64),
        &mut io::sink(),
    )
    .map_err(failed())?;
    let mut body = FrameDecoder::new(file.take(body_bytes));
    loop {
        let mut len = [0];
        if body.read(&mut len).map_err(failed())? == 0 {
            return Ok(info);
        }
        let key = take(&mut body, u32::from(len[0])).map_err(failed())?;
        let mut len = [0; 4];
        body.read_exact(&mut len).map_err(failed())?;
        let len = u32::from_le_bytes(len);
        if len as usize > codec::VALUE_BYTES_MAX + 4 {
            return Err(damaged(path, "holds a value that is too long"));
        }
        each(key, take(&mut body, len).map_err(failed())?)?;
    }
}

/// Memory grows with what is there, not with what a length says is there.
fn take(from: &mut impl Read, len: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(len.into()).read_to_end(&mut bytes)?;
    if bytes.len() < len as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// Checks every byte of a snapshot.
///
/// # Errors
/// `Io`, `Damaged`.
pub(crate) fn verify(path: &Path) -> Result<SnapshotInfo, Error> {
    read(path, |_, _| Ok(()))
}

/// Fills an empty store with a snapshot of the log `log_id`. The store has its `Meta` only once all
/// of it is there.
///
/// # Errors
/// `Mismatch`: of another log or format. `Io`, `Damaged`.
pub(crate) fn load(path: &Path, log_id: LogId, store: &Store) -> Result<SnapshotInfo, Error> {
    let about = info(path)?;
    if about.log_id != log_id || !about.is_usable() {
        return Err(Error::Mismatch(format!(
            "the snapshot {} is of log {} and format {}, this is {log_id} and {FORMAT}",
            path.display(),
            about.log_id,
            about.view_format
        )));
    }
    let mut pairs = Vec::new();
    let mut bytes = 0;
    let mut meta = None;
    read(path, |key, value| {
        if key == meta::KEY {
            meta = Some(value);
            return Ok(());
        }
        bytes += key.len() + value.len();
        pairs.push((key, value));
        if bytes >= LOAD_BYTES {
            bytes = 0;
            store.write_raw(pairs.drain(..))?;
        }
        Ok(())
    })?;
    let meta = meta.ok_or_else(|| damaged(path, "says not where it stands"))?;
    let stands: Meta = codec::decode::<Meta>(meta::KEY, &meta)?;
    if stands.digest != about.digest || stands.applied_index() != about.index {
        return Err(damaged(path, "contradicts its header"));
    }
    store.write_raw(pairs)?;
    store.write_raw([([0; KEY_BYTES].to_vec(), meta)])?;
    Ok(about)
}

/// Where the view stands that a snapshot holds, and log time when its first user was made; all of it is
/// read and checked.
///
/// # Errors
/// `Io`, `Damaged`; `Mismatch`: of another format.
pub(crate) fn stands(path: &Path) -> Result<(Meta, Option<u64>), Error> {
    let about = info(path)?;
    if !about.is_usable() {
        let what = format!(
            "{} is of format {}, this program has {FORMAT}",
            path.display(),
            about.view_format
        );
        return Err(Error::Mismatch(what));
    }
    let (mut stands, mut born_ms) = (None, None);
    let first = user::key(UserNo(1)).to_bytes();
    read(path, |key, value| {
        if key == meta::KEY {
            stands = Some(codec::decode::<Meta>(meta::KEY, &value)?);
        } else if key == first {
            born_ms = Some(codec::decode::<UserRecord>(first, &value)?.created_at_ms);
        }
        Ok(())
    })?;
    let stands = stands.ok_or_else(|| damaged(path, "says not where it stands"))?;
    Ok((stands, born_ms))
}

/// Writes the snapshot `from` anew in `dir`, with the same facts, standing where `change` says.
///
/// # Errors
/// `Io`, `Damaged`; `Mismatch`: of another format.
pub(crate) fn rebind(
    from: &Path,
    dir: &Path,
    change: impl FnOnce(Meta) -> Meta,
) -> Result<SnapshotInfo, Error> {
    let stands = change(stands(from)?.0);
    let mut file = NewFile::begin(dir, &stands)?;
    read(from, |key, value| {
        if key == meta::KEY {
            let value = codec::encode(meta::KEY, &stands)?;
            return file.pair(&key, &value);
        }
        file.pair(&key, &value)
    })?;
    file.finish()
}

/// A snapshot's path, and what its header says.
pub(crate) type Listed = (PathBuf, Result<SnapshotInfo, Error>);

/// All snapshots in `dir`, newest first; a damaged header is an error in its place.
///
/// # Errors
/// `Io`: the directory cannot be read.
pub(crate) fn list(dir: &Path) -> Result<Vec<Listed>, Error> {
    let failed = || io_error("reading", dir);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "snap")
        {
            paths.push(path);
        }
    }
    // Names are indexes of a fixed width.
    paths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(paths
        .into_iter()
        .map(|path| {
            let info = info(&path);
            (path, info)
        })
        .collect())
}

/// Hashes what passes through.
struct Hashing<W> {
    to: W,
    hash: Xxh3,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
