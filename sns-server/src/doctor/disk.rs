//! The file system that the log lies on: whether what it says is on the disk is there.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use sns_core::ErrorKind;
use sns_core::log::dir::network_file_system;

use super::finding::Finding;
use super::mounts::Mount;
use super::unavailable;

/// How many syncs are timed; the middle one is told.
const SYNCS: usize = 15;

/// All of them may take so long together.
const PATIENCE: Duration = Duration::from_secs(5);

/// Of a block of any disk that we know.
const BLOCK: usize = 4_096;

/// A page that waits longer for a write is felt to be slow; a write waits for one sync at least.
const SLOW: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Facts {
    /// The directory, or the one in which it would be made.
    place: PathBuf,
    mount: Option<Mount>,
    network: Result<Option<&'static str>, String>,
    /// It will do all the same.
    force: bool,
    /// How long a sync takes, or why there is none.
    sync: Result<Duration, String>,
    /// Whether files can be read past the page cache.
    direct: bool,
}

impl Facts {
    pub(super) fn gather(place: &Path, force: bool) -> Self {
        let place = place.canonicalize().unwrap_or_else(|_| place.to_owned());
        let (sync, direct) = match probe(&place) {
            Ok((sync, direct)) => (Ok(sync), direct),
            Err(error) => (Err(error.to_string()), false),
        };
        Self {
            mount: Mount::of(&place),
            network: network_file_system(&place).map_err(|e| e.to_string()),
            place,
            force,
            sync,
            direct,
        }
    }
}

/// Times syncs of a file without a name, which is gone with this process however that ends.
fn probe(place: &Path) -> io::Result<(Duration, bool)> {
    let mut file = tempfile::tempfile_in(place)?;
    let begin = Instant::now();
    let mut times = Vec::with_capacity(SYNCS);
    while times.len() < SYNCS && begin.elapsed() < PATIENCE {
        file.write_all(&[0x5a; BLOCK])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let direct = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .and_then(|mut file| {
            let mut room = vec![0_u8; 2 * BLOCK];
            let aligned = room.as_ptr().align_offset(BLOCK);
            file.read_exact(&mut room[aligned..aligned + BLOCK])
        });
    Ok((middle, direct.is_ok()))
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    vec![system(facts), syncs(facts)]
}

fn system(facts: &Facts) -> Finding {
    let place = facts.place.display();
    let local = "use a local disk; several machines use a cluster log (--log nats://)";
    match &facts.network {
        Ok(Some(kind)) if !facts.force => {
            let found = format!("{place} is on a network file system ({kind})");
            return Finding::fail(ErrorKind::Invalid, "disk", found, local);
        }
        Ok(Some(kind)) => {
            let found = format!("{place} is on a network file system ({kind}), as you want it");
            return Finding::warn(
                "disk",
                found,
                format!("locks and syncs may lie there: {local}"),
            );
        }
        Err(why) => {
            let found = format!("{place} cannot be looked at: {why}");
            let advice = "check its owner, its mode, and those of the directories above it";
            return Finding::fail(ErrorKind::Invalid, "disk", found, advice);
        }
        Ok(None) => {}
    }
    let Some(mount) = &facts.mount else {
        let found = format!("nothing tells what {place} lies on");
        return Finding::warn("disk", found, "mount /proc: servers need it too");
    };
    let found = format!(
        "{place} is on {} (mounted at {})",
        mount.kind,
        mount.at.display()
    );
    if mount.has("ro") {
        let advice = "mount it for writing: `mount -o remount,rw`, and see what the kernel's log \
                      says if nobody mounted it so";
        return Finding::fail(
            ErrorKind::Invalid,
            "disk",
            format!("{found}, read-only"),
            advice,
        );
    }
    let barriers = ["nobarrier", "barrier=0"]
        .into_iter()
        .find(|it| mount.has(it));
    if let Some(option) = barriers {
        let found = format!("{found} with {option}");
        let advice = "mount it without that, unless the disk has a battery: a power cut loses what \
                      was acknowledged";
        return Finding::warn("disk", found, advice);
    }
    match &*mount.kind {
        "tmpfs" | "ramfs" => Finding::warn(
            "disk",
            format!("{found}, which is memory"),
            "put the data on a disk, unless it may be gone after a restart of the machine",
        ),
        "overlay" => Finding::warn(
            "disk",
            format!("{found}, the layer of a container"),
            "mount a volume there, unless the data may go with the container",
        ),
        _ => Finding::ok("disk", found),
    }
}

fn syncs(facts: &Facts) -> Finding {
    let sync = match &facts.sync {
        Ok(sync) => *sync,
        Err(why) => {
            let found = format!(
                "no file can be written and synced in {}: {why}",
                facts.place.display()
            );
            let advice = "a user who may write there has to run this, and the disk has to have room \
                          and take syncs";
            return Finding {
                verdict: unavailable(),
                ..Finding::warn("sync", found, advice)
            };
        }
    };
    let direct = if facts.direct {
        "reads past the page cache work"
    } else {
        "no reads past the page cache (O_DIRECT): a repair takes the cache's word"
    };
    let found = format!("fdatasync takes {sync:.1?} (median of {SYNCS}); {direct}");
    if sync > SLOW {
        let advice = "every write waits for one: use a faster disk, or look who else writes to it";
        return Finding::warn("sync", found, advice);
    }
    Finding::ok("sync", found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    fn facts(kind: &str, options: &[&str]) -> Facts {
        Facts {
            place: "/d".into(),
            mount: Some(Mount {
                at: "/".into(),
                kind: kind.to_owned(),
                options: options.iter().map(|it| (*it).to_owned()).collect(),
            }),
            network: Ok(None),
            force: false,
            sync: Ok(Duration::from_millis(1)),
            direct: true,
        }
    }

    #[test]
    fn file_systems_that_lose_data_are_told() {
        let verdict = |kind: &str, options: &[&str]| system(&facts(kind, options)).verdict;
        assert_eq!(verdict("ext4", &["rw"]), Verdict::Ok);
        assert_eq!(verdict("ext4", &["rw", "nobarrier"]), Verdict::Warn);
        assert_eq!(verdict("ext4", &["rw", "barrier=0"]), Verdict::Warn);
        assert_eq!(verdict("tmpfs", &["rw"]), Verdict::Warn);
        assert_eq!(verdict("overlay", &["rw"]), Verdict::Warn);
        let fail = Verdict::Fail(ErrorKind::Invalid);
        assert_eq!(verdict("ext4", &["ro", "rw"]), fail);
        let mut network = facts("nfs4", &["rw"]);
        network.network = Ok(Some("nfs"));
        assert_eq!(system(&network).verdict, fail);
        network.force = true;
        assert_eq!(system(&network).verdict, Verdict::Warn);
    }

    #[test]
    fn a_disk_that_takes_no_syncs_fails_and_a_slow_one_is_a_warning() {
        let mut disk = facts("ext4", &["rw"]);
        assert_eq!(syncs(&disk).verdict, Verdict::Ok);
        disk.sync = Ok(Duration::from_millis(51));
        assert_eq!(syncs(&disk).verdict, Verdict::Warn);
        disk.sync = Err("read-only file system".to_owned());
        assert_eq!(syncs(&disk).verdict, unavailable());
    }

    #[test]
    fn a_sync_is_timed_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (sync, _) = probe(dir.path()).unwrap();
        assert!(sync > Duration::ZERO);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(probe(&dir.path().join("missing")).is_err());
    }
}
