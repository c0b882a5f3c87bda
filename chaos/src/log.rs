//! Where the log of the service is, and how it is read beside the servers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use sns_core::log::Log;
use sns_core::log::dir::{DirLog, DirLogOptions};
use sns_core::log::jetstream::{JetStreamLog, JetStreamOptions};
use tokio::process::Command;

use crate::failure::{Doing as _, Result};

/// How long to wait for a cluster of which servers were just hurt.
const PATIENCE: Duration = Duration::from_secs(60);

/// The kinds of logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum LogKind {
    /// A directory that all servers share.
    Dir,
    /// A stream on three NATS servers, which are started and hurt too.
    Nats,
}

impl LogKind {
    /// As it is written on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Nats => "nats",
        }
    }
}

/// The log of one service.
#[derive(Clone, Debug)]
pub(crate) enum LogPlace {
    /// In its data directory.
    Dir(PathBuf),
    /// On NATS servers.
    Nats {
        /// How the service reaches them.
        servers: Vec<String>,
        /// How this program does: nobody stands between.
        direct: Vec<String>,
        /// Where they keep what they store.
        stores: PathBuf,
    },
}

impl LogPlace {
    /// In this data directory.
    pub(crate) fn in_data(data: &Path) -> Self {
        Self::Dir(data.join("log"))
    }

    /// Tells a command of `sns-server`, whatever the environment of this program says.
    pub(crate) fn tell(&self, command: &mut Command) {
        let log = match self {
            Self::Dir(_) => "dir".to_owned(),
            Self::Nats { servers, .. } => servers.join(","),
        };
        command.env("SNS_LOG", log);
        for name in ["STREAM", "REPLICAS", "USER", "TOKEN_FILE", "CREDENTIALS"] {
            command.env_remove(format!("SNS_NATS_{name}"));
        }
    }

    /// Opens it, to be read. Blocks.
    pub(crate) fn open(&self) -> Result<Box<dyn Log>> {
        match self {
            Self::Dir(dir) => {
                let options = DirLogOptions::default().create(false).read_only(true);
                Ok(Box::new(DirLog::open(dir, options).doing("open the log")?))
            }
            Self::Nats { direct, .. } => {
                let options = JetStreamOptions::new(direct.clone())
                    .create(false)
                    .name("sns-chaos")
                    .patience(PATIENCE);
                Ok(Box::new(
                    JetStreamLog::open(&options).doing("open the log")?,
                ))
            }
        }
    }

    /// The directory whose size is that of the log; of NATS servers, with all copies.
    pub(crate) fn dir(&self) -> &Path {
        match self {
            Self::Dir(dir) => dir,
            Self::Nats { stores, .. } => stores,
        }
    }
}
