//! [`DirLog::verify`]: a directory read to its end, also one that cannot be opened for damage.

use std::path::Path;

use super::super::verify::{self, VerifyReport};
use super::{DirLog, DirLogOptions, Error};

/// How it is opened for that.
pub(super) fn options() -> DirLogOptions {
    DirLogOptions::default().read_only(true).file_events(false)
}

pub(super) fn verify(dir: &Path) -> Result<VerifyReport, Error> {
    report_of(DirLog::open(dir, options()))
}

/// As [`DirLog::verify`], of a log that was opened with [`options`], or could not be.
pub(super) fn report_of(opened: Result<DirLog, Error>) -> Result<VerifyReport, Error> {
    let log = match opened {
        Ok(log) => log,
        Err(error) => return VerifyReport::new().damaged(error),
    };
    let mut report = verify::verify(&log)?;
    report.segments = Some(log.segments()?);
    Ok(report)
}
