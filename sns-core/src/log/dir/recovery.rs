//! Open (rule R5) and the judgement of what is not there (rule R7).

use std::io;
use std::sync::Arc;

use super::commit;
use super::disk::{Access, Disk, DiskFile, TEMPORARY, read_rest};
use super::frame::{self, Parsed, Seal};
use super::options::Step;
use super::segment::{self, Header};
use super::trim;
use super::walk::{Position, Walked, Walker};
use super::{Error, LogId, Shared, failed, refused};

/// The end of the log, where the next entry is written.
#[derive(Debug)]
pub(super) struct Tip {
    /// First index of the last segment.
    pub(super) first: u64,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) position: Position,
    /// Where the durable entries end, as far as it is known. What stands behind it may be cut and
    /// written anew by another process that could not find it on the disk, so that every search
    /// for the true end begins here.
    pub(super) sure: Position,
}

/// Damage, with its place.
pub(super) fn damaged(
    disk: &dyn Disk,
    first: u64,
    position: (u64, u64),
    what: impl Into<String>,
    witness: impl Into<String>,
) -> Error {
    let (offset, index) = position;
    Error::Damaged {
        place: format!("{} at byte {offset}", disk.place(&segment::name(first))),
        index,
        what: what.into(),
        witness: witness.into(),
    }
}

/// The segments, as their names and headers tell.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) id: LogId,
    /// The oldest readable index.
    pub(super) head: u64,
    /// All that count, ascending; at least one.
    pub(super) segments: Vec<Header>,
    /// Below the head: their removal was interrupted.
    pub(super) leftovers: Vec<u64>,
}

impl Chain {
    /// Reads all headers and looks for holes (R10). `None`: there is no log.
    pub(super) fn read(shared: &Shared) -> Result<Option<Self>, Error> {
        let disk = &*shared.disk;
        let head = trim::read_head(disk)?;
        let firsts = segment::list(disk).map_err(|e| failed(disk, "listing", "", e))?;
        let recorded = head.map_or(1, |(_, head)| head);
        let Some(&newest) = firsts.last() else {
            return match witness_of_any(shared, head.is_some())? {
                Some(witness) => Err(damaged(
                    disk,
                    recorded,
                    (0, recorded),
                    "there is no segment at all",
                    witness,
                )),
                None => Ok(None),
            };
        };
        let (leftovers, kept): (Vec<u64>, Vec<u64>) =
            firsts.into_iter().partition(|&first| first < recorded);
        if kept.first() != Some(&recorded) {
            let witness = match head {
                Some(_) => "head".into(),
                None => format!("segment {}", segment::name(newest)),
            };
            return Err(damaged(
                disk,
                recorded,
                (0, recorded),
                "the segment is missing",
                witness,
            ));
        }
        let mut segments: Vec<Header> = Vec::with_capacity(kept.len());
        for first in kept {
            let name = segment::name(first);
            let bad = |what: &str, witness: &str| damaged(disk, first, (0, first), what, witness);
            let header = disk
                .open(&name, Access::Read)
                .and_then(|file| Header::read(&*file))
                .map_err(|e| failed(disk, "reading", &name, e))?
                .map_err(|what| bad(what, "its name"))?;
            if header.first != first {
                return Err(bad("it is another segment under this name", "its header"));
            }
            if head.is_some_and(|(id, _)| id != header.id) {
                return Err(bad("it belongs to another log", "head"));
            }
            if let Some(before) = segments.last() {
                if before.id != header.id {
                    return Err(bad("it belongs to another log", "the segment before"));
                }
                if before.first != header.prev_first {
                    return Err(damaged(
                        disk,
                        header.prev_first,
                        (0, header.prev_first),
                        "the segment is missing",
                        format!("segment {name}"),
                    ));
                }
            }
            segments.push(header);
        }
        Ok(Some(Self {
            id: segments[0].id,
            head: recorded,
            segments,
            leftovers,
        }))
    }

    pub(super) fn last(&self) -> Header {
        self.segments[self.segments.len() - 1]
    }
}

/// Who says that there was a log, when there is no segment.
fn witness_of_any(shared: &Shared, head: bool) -> Result<Option<String>, Error> {
    let disk = &*shared.disk;
    if head {
        return Ok(Some("head".into()));
    }
    let commit = disk
        .identity(commit::NAME)
        .map_err(|e| failed(disk, "looking at", commit::NAME, e))?;
    if commit.is_some() {
        return Ok(Some("commit".into()));
    }
    if shared.id.get().is_some() {
        return Ok(Some("this process, which has used it".into()));
    }
    let witness = shared
        .options
        .witnesses
        .iter()
        .find(|witness| witness.index > 0);
    Ok(witness.map(|witness| witness.name.clone()))
}

/// Who declares entry `index` durable, which is bad or missing; `behind` is what stands there.
/// `None`: it was never acknowledged.
pub(super) fn witness(shared: &Shared, id: LogId, index: u64, behind: &[u8]) -> Option<String> {
    let known = shared.commit.known();
    if known >= index {
        return Some(format!("commit, up to entry {known}"));
    }
    let declared = shared
        .options
        .witnesses
        .iter()
        .find(|witness| witness.log_id == id && witness.index >= index);
    if let Some(witness) = declared {
        return Some(format!("{}, up to entry {}", witness.name, witness.index));
    }
    if shared.options.lacks(Step::FrameWitness) {
        return None;
    }
    frame::search(Seal::new(id), behind)
        .find(|frame| frame.durable >= index)
        .map(|frame| format!("entry {}, up to entry {}", frame.index, frame.durable))
}

/// Brings the log into a state in which the next entry can be written: makes it if need be, drops
/// what was never acknowledged, declares the rest durable. Under the lock.
pub(super) fn open(shared: &Shared) -> Result<Tip, Error> {
    let disk = &*shared.disk;
    for name in disk.list().map_err(|e| failed(disk, "listing", "", e))? {
        if name.ends_with(TEMPORARY) {
            disk.unlink(&name)
                .map_err(|e| refused(disk, "removing", &name, e))?;
        }
    }
    let chain = match Chain::read(shared)? {
        Some(chain) => chain,
        None => make(shared)?,
    };
    if !chain.leftovers.is_empty() && !shared.options.lacks(Step::SyncBeforeLeftovers) {
        // Who trimmed may have died before the name of `head` was durable.
        disk.sync_dir()
            .map_err(|e| refused(disk, "syncing", "", e))?;
    }
    for &first in &chain.leftovers {
        let name = segment::name(first);
        disk.unlink(&name)
            .map_err(|e| refused(disk, "removing", &name, e))?;
    }
    shared.set_id(chain.id, &chain)?;
    let recorded = open_commit(shared, chain.id)?;
    let last = chain.last();
    let tip = check_last(shared, &chain, recorded.unwrap_or_default())?;
    sync_dir(shared)?;
    let end = tip.position.next - 1;
    debug_assert!(end + 1 >= last.first && end >= shared.commit.known());
    if recorded == Some(end) && !shared.commit.is_lost() {
        shared.commit.sync_is_due();
    } else {
        shared
            .commit
            .set(&shared.options, chain.id, end)
            .map_err(|e| refused(disk, "writing", commit::NAME, e))?;
    }
    shared.head_is(chain.head);
    Ok(tip)
}

/// Makes the names of all segments durable, as each process does before it raises `commit` in one
/// (rule R4).
fn sync_dir(shared: &Shared) -> Result<(), Error> {
    if shared.options.lacks(Step::FirstUseSyncDirectory) {
        return Ok(());
    }
    let disk = &*shared.disk;
    disk.sync_dir().map_err(|e| refused(disk, "syncing", "", e))
}

/// There is none, and none may be made.
pub(super) fn no_log(disk: &dyn Disk) -> Error {
    Error::Io {
        doing: format!("opening {}", disk.place("")),
        source: io::Error::new(io::ErrorKind::NotFound, "there is no log here"),
    }
}

/// Makes the first segment of a new log.
fn make(shared: &Shared) -> Result<Chain, Error> {
    let disk = &*shared.disk;
    if !shared.options.create {
        return Err(no_log(disk));
    }
    let header = Header {
        id: shared
            .options
            .log_id
            .unwrap_or_else(|| LogId(rand::random())),
        first: shared.options.first,
        prev_first: 0,
        prev: 0,
    };
    if header.first > 1 {
        trim::begin(disk, header.id, header.first)?;
    }
    segment::create(disk, &shared.options, &header)
        .map_err(|e| refused(disk, "making", &segment::name(header.first), e))?;
    Ok(Chain {
        id: header.id,
        head: header.first,
        segments: vec![header],
        leftovers: Vec::new(),
    })
}

/// Opens `commit`, made if it is missing; what it says, `None` if nothing.
fn open_commit(shared: &Shared, id: LogId) -> Result<Option<u64>, Error> {
    let disk = &*shared.disk;
    let opening = |e| refused(disk, "opening", commit::NAME, e);
    let file = match disk.open(commit::NAME, Access::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Its name is a witness that there was a segment: that one's name goes first.
            if !shared.options.lacks(Step::NamesBeforeCommit) {
                sync_dir(shared)?;
            }
            disk.open(commit::NAME, Access::Create).map_err(opening)?
        }
        other => other.map_err(opening)?,
    };
    let record =
        commit::read(disk, &*file).map_err(|e| failed(disk, "reading", commit::NAME, e))?;
    shared.commit.set_file(Some(file));
    match record {
        Some((of, index)) if of != id => Err(Error::Damaged {
            place: disk.place(commit::NAME),
            index,
            what: format!("it belongs to the log {of}"),
            witness: format!("the segments, of the log {id}"),
        }),
        Some((_, index)) => {
            shared.commit.learn(index);
            Ok(Some(index))
        }
        None => Ok(None),
    }
}

/// Opens, syncs and checks the last segment, and cuts what was never acknowledged.
fn check_last(shared: &Shared, chain: &Chain, recorded: u64) -> Result<Tip, Error> {
    let disk = &*shared.disk;
    let seal = Seal::new(chain.id);
    let Header { first, prev, .. } = chain.last();
    let name = segment::name(first);
    let file = disk
        .open(&name, Access::Write)
        .map_err(|e| refused(disk, "opening", &name, e))?;
    if !shared.options.lacks(Step::OpenSync) {
        file.sync_data()
            .map_err(|e| refused(disk, "syncing", &name, e))?;
    }
    // That this segment exists declares all before it durable.
    let durable = shared.commit.known().max(recorded).max(first - 1);
    let start = Position {
        offset: segment::HEADER,
        next: first,
        prev,
    };
    let reading = |e| failed(disk, "reading", &name, e);
    let mut walker = Walker::new(start, 64 * 1024, Vec::new());
    while walker.position().next <= durable {
        let what = match walker.next(&*file, seal).map_err(reading)? {
            Walked::Frame(_) => continue,
            Walked::End => "the entry is missing",
            Walked::Bad(what) => what,
        };
        let Position { offset, next, .. } = walker.position();
        let witness = witness(shared, chain.id, next, &[]).unwrap_or_default();
        return Err(damaged(disk, first, (offset, next), what, witness));
    }
    let mut position = walker.position();
    let direct = if shared.options.lacks(Step::OpenFromDisk) {
        None
    } else {
        let direct = disk.read_direct(&name, position.offset).map_err(reading)?;
        shared.weak(|weak| weak.no_direct_read = direct.is_none());
        direct
    };
    let cached = read_rest(&*file, position.offset).map_err(reading)?;
    // After a failed sync the page cache may show one entry and the disk another, whole one, left
    // from before: only where both agree is it the same for everybody.
    let agree = direct.as_ref().map_or(cached.len(), |direct| {
        if shared.options.lacks(Step::OpenAgrees) {
            return direct.len();
        }
        let pairs = direct.iter().zip(&cached);
        pairs.take_while(|(disk, cache)| disk == cache).count()
    });
    let rest = direct.unwrap_or(cached);
    let mut at = 0;
    let what = loop {
        match frame::parse_next(seal, &rest[at..agree], position.next, position.prev) {
            Parsed::Frame(frame) => {
                at += frame.size();
                position = Position {
                    offset: position.offset + frame.size() as u64,
                    next: frame.index + 1,
                    prev: frame.crc,
                };
            }
            Parsed::Short if at == rest.len() => break "the entry is missing",
            Parsed::Short => break "the frame is cut off",
            Parsed::Bad(what) => break what,
        }
    };
    if let Some(witness) = witness(shared, chain.id, position.next, &rest[at..]) {
        let place = (position.offset, position.next);
        return Err(damaged(disk, first, place, what, witness));
    }
    let mut tip = Tip {
        first,
        file,
        position,
        sure: position,
    };
    cut(shared, &mut tip).map_err(|e| refused(disk, "cutting", &name, e))?;
    Ok(tip)
}

/// Cuts what stands behind the tip, in the page cache too.
pub(super) fn cut(shared: &Shared, tip: &mut Tip) -> io::Result<()> {
    let length = tip.file.len()?;
    if length == tip.position.offset {
        return Ok(());
    }
    if shared.options.lacks(Step::CutTornRest) {
        tip.position.offset = length;
        return Ok(());
    }
    tracing::warn!(
        segment = tip.first,
        from = tip.position.offset,
        to = length,
        "cutting what was written behind entry {} and never acknowledged",
        tip.position.next - 1
    );
    tip.file.set_len(tip.position.offset)
}

/// Looks at a log without writing to it: its chain, and what `commit` says. Retried by the caller,
/// since others may trim meanwhile.
pub(super) fn look(shared: &Shared) -> Result<Chain, Error> {
    let disk = &*shared.disk;
    let Some(chain) = Chain::read(shared)? else {
        return Err(no_log(disk));
    };
    shared.set_id(chain.id, &chain)?;
    shared.head_is(chain.head);
    let file = match disk.open(commit::NAME, Access::Read) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(disk, "opening", commit::NAME, error)),
    };
    let readable = file.is_some();
    shared.commit.set_file(file);
    let recorded = if readable {
        let fresh = shared.commit.read(disk, chain.id);
        fresh.map_err(|e| failed(disk, "reading", commit::NAME, e))?
    } else {
        None
    };
    if recorded.is_none() {
        learn_from_frames(shared, &chain)?;
    }
    Ok(chain)
}

/// Without a `commit`: what the entries themselves declare durable, which may be less than is.
fn learn_from_frames(shared: &Shared, chain: &Chain) -> Result<(), Error> {
    let disk = &*shared.disk;
    let Header { first, prev, .. } = chain.last();
    let name = segment::name(first);
    let reading = |e| failed(disk, "reading", &name, e);
    let file = disk.open(&name, Access::Read).map_err(reading)?;
    let start = Position {
        offset: segment::HEADER,
        next: first,
        prev,
    };
    shared.commit.learn(first - 1);
    let mut walker = Walker::new(start, 64 * 1024, Vec::new());
    while let Walked::Frame(frame) = walker.next(&*file, Seal::new(chain.id)).map_err(reading)? {
        shared.commit.learn(frame.durable);
    }
    Ok(())
}
