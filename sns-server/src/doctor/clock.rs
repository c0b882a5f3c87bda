//! The clock: times of posts come from it, tokens and certificates end by it.

use std::path::Path;

use sns_core::{Clock, ErrorKind};

use super::finding::Finding;

/// The beginning of 2026: this program is not older.
const MADE_MS: u64 = 1_767_225_600_000;

/// The beginning of 2100.
const FAR_MS: u64 = 4_102_444_800_000;

/// So far ahead an entry may be: clocks that NTP sets differ by less.
const AHEAD_MS: u64 = 1_000;

/// So far ahead nobody can overlook it: the times of posts stay there until the clock catches up.
const FAR_AHEAD_MS: u64 = 60_000;

/// Who keeps the clock, as far as files tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// By systemd-timesyncd, which has reached a server.
    Synchronised,
    /// By systemd-timesyncd, which has not yet.
    Trying,
    /// By a program of this name.
    By(&'static str),
    /// Nobody can tell.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    now_ms: u64,
    /// When the newest entry of the log was written, by the clock of its writer.
    newest_ms: Option<u64>,
    kept: Kept,
}

impl Facts {
    pub(super) fn gather(newest_ms: Option<u64>) -> Self {
        let there = |path: &str| Path::new(path).exists();
        let kept = if there("/run/systemd/timesync/synchronized") {
            Kept::Synchronised
        } else if there("/run/systemd/timesync") {
            Kept::Trying
        } else if there("/run/chrony/chronyd.pid") || there("/run/chronyd.pid") {
            Kept::By("chronyd")
        } else if there("/run/ntpd.pid") || there("/run/ntpsec.pid") {
            Kept::By("ntpd")
        } else {
            Kept::Unknown
        };
        Self {
            now_ms: Clock::system().now_ms(),
            newest_ms,
            kept,
        }
    }
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let shown = i64::try_from(facts.now_ms).ok();
    let shown = shown.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let shown = shown.map_or_else(|| "?".to_owned(), |at| format!("{at:.0}"));
    if !(MADE_MS..FAR_MS).contains(&facts.now_ms) {
        return vec![Finding::fail(
            ErrorKind::Invalid,
            "clock",
            format!("it says {shown}, which cannot be"),
            "set it: `timedatectl set-ntp true`, or chronyd",
        )];
    }
    let ahead = facts
        .newest_ms
        .map_or(0, |newest| newest.saturating_sub(facts.now_ms));
    let mut findings = Vec::new();
    if ahead > AHEAD_MS {
        let found = format!(
            "the newest entry of the log is {}.{:03} s in the future of this clock ({shown})",
            ahead / 1_000,
            ahead % 1_000
        );
        let advice = "set the clocks of all machines by NTP: times of posts follow the fastest, and \
                      stay there until the others catch up";
        findings.push(if ahead > FAR_AHEAD_MS {
            Finding::fail(ErrorKind::Invalid, "clock", found, advice)
        } else {
            Finding::warn("clock", found, advice)
        });
    }
    findings.push(match facts.kept {
        Kept::Synchronised => Finding::ok("clock", format!("{shown}, set by timesyncd")),
        Kept::By(who) => Finding::ok("clock", format!("{shown}; {who} keeps it")),
        Kept::Trying => Finding::warn(
            "clock",
            format!("{shown}; timesyncd has not reached a time server yet"),
            "`timedatectl timesync-status` says why",
        ),
        Kept::Unknown => Finding::warn(
            "clock",
            format!("{shown}; nothing here tells who sets it"),
            "have it set by NTP (timesyncd, chronyd), unless the host of this container does: \
             `timedatectl`",
        ),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    fn verdicts(now_ms: u64, newest_ms: Option<u64>, kept: Kept) -> Vec<Verdict> {
        let facts = Facts {
            now_ms,
            newest_ms,
            kept,
        };
        judge(&facts).iter().map(|it| it.verdict).collect()
    }

    #[test]
    fn an_entry_from_the_future_is_told_and_far_ahead_it_fails() {
        let (now, kept) = (MADE_MS + 1_000_000, Kept::Synchronised);
        assert_eq!(verdicts(now, None, kept), [Verdict::Ok]);
        assert_eq!(verdicts(now, Some(now + 1_000), kept), [Verdict::Ok]);
        let near = verdicts(now, Some(now + 1_001), kept);
        assert_eq!(near, [Verdict::Warn, Verdict::Ok]);
        let far = verdicts(now, Some(now + 60_001), kept);
        assert_eq!(far, [Verdict::Fail(ErrorKind::Invalid), Verdict::Ok]);
    }

    #[test]
    fn a_clock_of_another_century_fails_and_one_that_nobody_sets_is_a_warning() {
        let fail = [Verdict::Fail(ErrorKind::Invalid)];
        assert_eq!(verdicts(0, None, Kept::Synchronised), fail);
        assert_eq!(verdicts(FAR_MS, None, Kept::Synchronised), fail);
        assert_eq!(verdicts(u64::MAX, None, Kept::Synchronised), fail);
        for kept in [Kept::Trying, Kept::Unknown] {
            assert_eq!(verdicts(MADE_MS, None, kept), [Verdict::Warn]);
        }
    }
}
