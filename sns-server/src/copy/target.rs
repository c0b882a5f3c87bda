//! [`Target`]: the log that a copy goes to.

use sns_core::log::dir::{DirLog, DirLogOptions};
#[cfg(feature = "nats")]
use sns_core::log::jetstream::JetStreamLog;
use sns_core::log::{Log, Record};
use sns_core::snapshots::SnapshotStore;
use sns_core::{DataDir, SnapshotInfo};

use super::{READ_BYTES, core, mismatch};
use crate::config::{DataConfig, LogPlace};
use crate::failure::{Failure, Result};

pub(super) struct Target {
    log: Kind,
    snapshots: SnapshotStore,
}

enum Kind {
    Dir(Box<DirLog>),
    #[cfg(feature = "nats")]
    Nats(JetStreamLog),
}

/// How often entries that may or may not have arrived are looked for and sent again.
#[cfg(feature = "nats")]
const TRIES: u32 = 10;

impl Target {
    /// Opens it, or makes it so that it begins at `first` and continues the data of the source.
    pub(super) fn open(
        config: &DataConfig,
        first: u64,
        data_id: &str,
        secret: [u8; 32],
    ) -> Result<Self> {
        match &config.log {
            LogPlace::Dir => {
                let force = config.force_network_fs;
                let data = DataDir::open_as(&config.path, force, data_id, secret)?;
                let options = DirLogOptions::default().node("log-copy").first(first);
                let log = DirLog::open(&data.log_dir(), options).map_err(core)?;
                Ok(Self {
                    log: Kind::Dir(Box::new(log)),
                    snapshots: SnapshotStore::of_directory(&data),
                })
            }
            #[cfg(feature = "nats")]
            LogPlace::Nats(nats) => {
                let options = nats.options("sns-server log copy")?;
                let options = options.continues(first, data_id, secret);
                let log = JetStreamLog::open(&options).map_err(core)?;
                if log.data_id() != data_id {
                    return Err(Failure::invalid(
                        "the stream holds other data: name a new one with --nats-stream",
                    ));
                }
                // The key of the source goes along, unless another one is there.
                if log.secret().map_err(core)? != secret {
                    return Err(Failure::invalid(
                        "the key-value bucket of that stream holds the key of other data: name a new \
                         stream with --nats-stream",
                    ));
                }
                Ok(Self {
                    snapshots: SnapshotStore::of_jetstream_alone(&log)?,
                    log: Kind::Nats(log),
                })
            }
            #[cfg(not(feature = "nats"))]
            LogPlace::Nats(_) => Err(crate::storage::without_nats()),
        }
    }

    fn log(&self) -> &dyn Log {
        match &self.log {
            Kind::Dir(log) => &**log,
            #[cfg(feature = "nats")]
            Kind::Nats(log) => log,
        }
    }

    pub(super) fn begin(&self) -> Result<u64> {
        self.log().head().map_err(core)
    }

    pub(super) fn tail(&self) -> Result<u64> {
        self.log().tail().map_err(core)
    }

    /// Takes in the snapshot behind which the copy begins, unless it has it.
    pub(super) fn adopt(&self, from: &SnapshotStore, info: &SnapshotInfo) -> Result<()> {
        let id = self.log().id();
        let ours = |it: &SnapshotInfo| it.log_id == id && it.index == info.index;
        let listed = self.snapshots.list()?;
        if !listed.iter().any(|it| it.1.as_ref().is_ok_and(ours)) {
            self.snapshots.adopt(from, info, id)?;
        }
        Ok(())
    }

    /// Compares entries that it has already.
    pub(super) fn compare(&self, records: &[Record]) -> Result<()> {
        let mut left = records;
        while let Some(first) = left.first() {
            let found = self.log().read(first.index, READ_BYTES).map_err(core)?;
            if found.is_empty() {
                return Err(mismatch(self.log().id(), first.index));
            }
            let count = found.len().min(left.len());
            let differs = left.iter().zip(&found).find(|(ours, theirs)| {
                (ours.index, &ours.payload) != (theirs.index, &theirs.payload)
            });
            if let Some((ours, _)) = differs {
                return Err(mismatch(self.log().id(), ours.index));
            }
            left = &left[count..];
        }
        Ok(())
    }

    /// Appends entries, the first of which must come to stand at `index`; the tail.
    pub(super) fn append(&self, index: u64, records: &[Record]) -> Result<u64> {
        let end = index + records.len() as u64;
        match &self.log {
            Kind::Dir(log) => {
                for record in records {
                    let found = log.append(&record.payload).map_err(core)?;
                    if found != record.index {
                        return Err(taken(record.index, found));
                    }
                }
                Ok(end)
            }
            #[cfg(feature = "nats")]
            Kind::Nats(log) => {
                let mut tries = 0;
                let mut next = index;
                loop {
                    let skip = usize::try_from(next - index).unwrap_or(usize::MAX);
                    let left = records[skip..].iter().map(|it| it.payload.clone());
                    let sent = log.append_run(next, left.collect());
                    let Err(error) = sent else { return Ok(end) };
                    tries += 1;
                    if tries > TRIES {
                        return Err(core(error));
                    }
                    // Some may have arrived: those that did are ours, which is checked.
                    next = log.tail().map_err(core)?;
                    tracing::warn!(%error, next, index, end, "sending the rest again");
                    if !(index..=end).contains(&next) {
                        return Err(taken(index, next));
                    }
                    let arrived = usize::try_from(next - index).unwrap_or(usize::MAX);
                    self.compare(&records[..arrived])?;
                    if next == end {
                        return Ok(end);
                    }
                }
            }
        }
    }
}

fn taken(index: u64, found: u64) -> Failure {
    Failure::invalid(format!(
        "somebody else writes to the target: entry {index} came to stand at {found}; stop that, and \
         give a new target"
    ))
}
