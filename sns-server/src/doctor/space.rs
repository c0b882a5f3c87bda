//! Room on the disk: for the next segment of the log, and for a snapshot beside the present one.

use std::path::Path;

use rustix::fs::statvfs;
use sns_core::ErrorKind;

use super::finding::{Finding, bytes};

/// A disk that is fuller than nine tenths is soon full.
const TENTH: u64 = 10;

#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Free for this user; `None`: nobody can tell.
    room: Option<Room>,
    /// What the next segment and the next snapshot take.
    needed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Room {
    free: u64,
    total: u64,
    inodes_free: u64,
    /// 0: the file system does not count them.
    inodes: u64,
}

impl Facts {
    pub(super) fn gather(place: &Path, needed: u64) -> Self {
        let room = statvfs(place).ok().map(|found| Room {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
            inodes_free: found.f_favail,
            inodes: found.f_files,
        });
        Self { room, needed }
    }
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(room) = facts.room else {
        let advice = "look yourself: `df`, `df -i`";
        return vec![Finding::warn(
            "space",
            "nobody can tell how full the disk is",
            advice,
        )];
    };
    vec![space(room, facts.needed), inodes(room)]
}

fn space(room: Room, needed: u64) -> Finding {
    let found = format!("{} of {} are free", bytes(room.free), bytes(room.total));
    if room.free < needed {
        return Finding::fail(
            ErrorKind::Exhausted,
            "space",
            format!(
                "{found}; the next segment and a snapshot take {}",
                bytes(needed)
            ),
            "make room, or move the data to a larger disk: writes are refused when it is full, reads \
             go on",
        );
    }
    if room.free < room.total / TENTH {
        return Finding::warn(
            "space",
            found,
            "make room before it is full: writes are refused then",
        );
    }
    Finding::ok("space", found)
}

fn inodes(room: Room) -> Finding {
    if room.inodes == 0 {
        return Finding::ok("inodes", "the file system does not count them");
    }
    let found = format!("{} of {} are free", room.inodes_free, room.inodes);
    // A segment, its successor, a snapshot, and what each writes before it renames.
    if room.inodes_free < 16 {
        let advice = "remove small files: no new file can be made, however much room there is";
        return Finding::fail(ErrorKind::Exhausted, "inodes", found, advice);
    }
    if room.inodes_free < room.inodes / TENTH {
        return Finding::warn(
            "inodes",
            found,
            "remove small files before there are none left",
        );
    }
    Finding::ok("inodes", found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    fn verdicts(free: u64, inodes_free: u64, inodes: u64) -> Vec<Verdict> {
        let room = Some(Room {
            free,
            total: 1_000,
            inodes_free,
            inodes,
        });
        let facts = Facts { room, needed: 50 };
        judge(&facts).iter().map(|it| it.verdict).collect()
    }

    #[test]
    fn a_disk_without_room_for_what_comes_next_fails_and_a_nearly_full_one_is_a_warning() {
        let full = Verdict::Fail(ErrorKind::Exhausted);
        assert_eq!(verdicts(100, 0, 0), [Verdict::Ok, Verdict::Ok]);
        assert_eq!(verdicts(99, 100, 1_000), [Verdict::Warn, Verdict::Ok]);
        assert_eq!(verdicts(49, 99, 1_000), [full, Verdict::Warn]);
        assert_eq!(verdicts(1_000, 15, 1_000), [Verdict::Ok, full]);
        let unknown = Facts {
            room: None,
            needed: 0,
        };
        assert_eq!(judge(&unknown)[0].verdict, Verdict::Warn);
    }
}
