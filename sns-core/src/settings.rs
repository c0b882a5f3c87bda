//! [`Settings`]: plain data that tunes a replica.

use crate::error::{Error, Result};
use crate::limits;

/// Plain data that tunes a replica; nothing in it changes what is true.
///
/// ```
/// # fn main() -> sns_core::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let mut settings = sns_core::Settings::default();
/// settings.cache_bytes = 16 * 1024 * 1024; // a small program beside others
/// let sns = sns_core::Sns::builder(dir.path()).settings(settings).open()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Bytes of memory in front of the database; 256 MiB unless set, 8 MiB at least.
    pub cache_bytes: usize,
    /// Whether file events wake the follower of the log (Linux). Off, another process's post is
    /// still seen within 50 ms.
    pub file_events: bool,
    /// Bytes of one segment of the log; 64 MiB unless set, 64 KiB at least.
    pub segment_bytes: u64,
    /// Open data on a network file system all the same. Locks and syncs cannot be relied upon
    /// there: what the system promises is not promised then.
    pub force_network_fs: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache_bytes: limits::CACHE_BYTES,
            file_events: true,
            segment_bytes: limits::SEGMENT_BYTES,
            force_network_fs: false,
        }
    }
}

impl Settings {
    /// Checks the bounds.
    ///
    /// # Errors
    /// `Invalid`: a value is out of bounds.
    pub fn validate(&self) -> Result<()> {
        if self.cache_bytes < limits::CACHE_BYTES_MIN {
            return Err(Error::invalid(format!(
                "cache_bytes must be at least {}",
                limits::CACHE_BYTES_MIN
            )));
        }
        if self.segment_bytes < 64 * 1024 {
            return Err(Error::invalid("segment_bytes must be at least 65536"));
        }
        Ok(())
    }
}
