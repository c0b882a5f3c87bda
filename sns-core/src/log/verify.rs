//! Reading a whole log to see whether it is sound.

use super::{Error, Log, LogId};

/// Bytes that are read in one go.
const READ_BYTES: usize = 1024 * 1024;

/// What the reading of a whole log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Which log this is; `None` when the damage hides it.
    pub log_id: Option<LogId>,
    /// Segments there are; a log that has none of its own says nothing.
    pub segments: Option<u64>,
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
    /// Of a log of which nothing is known yet.
    pub(super) fn new() -> Self {
        Self {
            log_id: None,
            segments: None,
            entries: 0,
            bytes: 0,
            head: 1,
            tail: 1,
            damage: None,
        }
    }

    pub(super) fn damaged(mut self, error: Error) -> Result<Self, Error> {
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

/// Reads every entry of a log.
///
/// # Errors
/// As [`Log::read`], but for damage, which the report tells.
pub fn verify(log: &dyn Log) -> Result<VerifyReport, Error> {
    let mut report = VerifyReport::new();
    report.log_id = Some(log.id());
    report.head = log.head()?;
    report.tail = log.tail()?;
    let mut next = report.head;
    while next < report.tail {
        let records = match log.read(next, READ_BYTES) {
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
