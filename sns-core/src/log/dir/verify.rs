//! Reading a whole log to see whether it is sound.

use std::path::Path;

use super::{DirLog, DirLogOptions, Error, Log, LogId};

/// What [`DirLog::verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Which log this is; `None` when the damage hides it.
    pub log_id: Option<LogId>,
    /// Segments there are.
    pub segments: u64,
    /// Sound entries, from the head on.
    pub entries: u64,
    /// Bytes of their payload.
    pub bytes: u64,
    /// The oldest entry that can be read.
    pub head: u64,
    /// The first index that is not durable.
    pub tail: u64,
    /// The first damage; nothing behind it was looked at. `None`: the log is sound.
    pub damage: Option<Damage>,
}

/// What is wrong, where, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Segment and offset in bytes.
    pub place: String,
    /// The entry that is bad or missing.
    pub index: u64,
    /// What was found.
    pub what: String,
    /// What declares that it was durable.
    pub witness: String,
}

impl VerifyReport {
    fn damaged(mut self, error: Error) -> Result<Self, Error> {
        match error {
            Error::Damaged {
                place,
                index,
                what,
                witness,
            } => {
                self.damage = Some(Damage {
                    place,
                    index,
                    what,
                    witness,
                });
                Ok(self)
            }
            other => Err(other),
        }
    }
}

/// How it is opened for that.
pub(super) fn options() -> DirLogOptions {
    DirLogOptions::default().read_only(true).file_events(false)
}

pub(super) fn verify(dir: &Path) -> Result<VerifyReport, Error> {
    report_of(DirLog::open(dir, options()))
}

/// As [`DirLog::verify`], of a log that was opened with [`options`], or could not be.
pub(super) fn report_of(opened: Result<DirLog, Error>) -> Result<VerifyReport, Error> {
    let mut report = VerifyReport {
        log_id: None,
        segments: 0,
        entries: 0,
        bytes: 0,
        head: 1,
        tail: 1,
        damage: None,
    };
    let log = match opened {
        Ok(log) => log,
        Err(error) => return report.damaged(error),
    };
    report.log_id = Some(log.id());
    report.head = log.head()?;
    report.tail = log.tail()?;
    report.segments = log.segments()?;
    let mut next = report.head;
    while next < report.tail {
        let records = match log.read(next, 1024 * 1024) {
            Ok(records) => records,
            // Others trim while we read: what is gone need not be sound.
            Err(Error::Trimmed { head }) => {
                report.head = head;
                (report.entries, report.bytes) = (0, 0);
                next = head;
                continue;
            }
            Err(error) => return report.damaged(error),
        };
        for record in records
            .into_iter()
            .filter(|record| record.index < report.tail)
        {
            report.entries += 1;
            report.bytes += record.payload.len() as u64;
            next = record.index + 1;
        }
    }
    Ok(report)
}
