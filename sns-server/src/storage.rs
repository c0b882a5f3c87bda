//! How the data is kept: a directory with its log, or a directory of views of a log on a NATS
//! cluster.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sns_core::log::Log;
use sns_core::log::dir::{DirLog, DirLogOptions};
use sns_core::snapshots::SnapshotStore;
use sns_core::{DataDir, Settings, Sns, SnsBuilder};

use crate::args;
use crate::failure::{Failure, Result};
use crate::telemetry::escaped;

#[cfg(feature = "nats")]
mod nats;

/// A data directory, and where its log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataConfig {
    /// Its path.
    pub path: PathBuf,
    /// Its log.
    pub log: LogPlace,
    /// A network file system will do.
    pub force_network_fs: bool,
    /// Bytes of one segment of the log.
    pub segment_bytes: u64,
}

/// Where a log is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogPlace {
    /// In the data directory.
    Dir,
    /// On a NATS cluster.
    Nats(Box<NatsConfig>),
}

/// A NATS cluster, and the stream in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsConfig {
    /// `nats://host:port`; one at least.
    pub servers: Vec<String>,
    /// The stream.
    pub stream: String,
    /// Copies of it, if it is made.
    pub replicas: Option<u8>,
    /// User, and the file with the password.
    pub user: Option<(String, PathBuf)>,
    /// A file with a token.
    pub token: Option<PathBuf>,
    /// A credentials file.
    pub credentials: Option<PathBuf>,
    /// PEM file of a CA.
    pub ca: Option<PathBuf>,
    /// PEM files of a certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Run also where acknowledged entries could be lost.
    pub accept_weaker_durability: bool,
    /// Where snapshots lie, if not in the cluster.
    pub snapshots: Option<PathBuf>,
}

/// `log copy`
#[derive(Clone, Debug)]
pub struct CopyConfig {
    /// What is copied.
    pub from: DataConfig,
    /// Where it goes.
    pub to: DataConfig,
}

/// What a URL of a NATS server begins with.
const SCHEMES: [&str; 2] = ["nats://", "tls://"];

impl LogPlace {
    /// `directory` or `nats`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dir => "directory",
            Self::Nats(_) => "nats",
        }
    }

    fn check(text: &str, nats: args::Nats) -> Result<Self> {
        if text == "dir" {
            return Ok(Self::Dir);
        }
        let Some(scheme) = SCHEMES.into_iter().find(|it| text.starts_with(it)) else {
            return Err(Failure::invalid(format!(
                "--log {text:?} is no log: give dir, or nats://HOST[:PORT],..."
            )));
        };
        let servers = text.split(',').map(|server| {
            // The scheme of the first one is that of all.
            if SCHEMES.iter().any(|it| server.starts_with(it)) {
                server.to_owned()
            } else {
                format!("{scheme}{server}")
            }
        });
        let nats = NatsConfig {
            servers: servers.collect(),
            stream: nats.nats_stream,
            replicas: nats.nats_replicas,
            user: nats.nats_user.zip(absolute(nats.nats_password_file)?),
            token: absolute(nats.nats_token_file)?,
            credentials: absolute(nats.nats_credentials)?,
            ca: absolute(nats.nats_ca)?,
            certificate: absolute(nats.nats_certificate)?.zip(absolute(nats.nats_key)?),
            accept_weaker_durability: nats.accept_weaker_durability,
            snapshots: absolute(nats.snapshots)?,
        };
        #[cfg(feature = "nats")]
        nats.validate()?;
        Ok(Self::Nats(Box::new(nats)))
    }

    /// The flags that say the same.
    pub fn args(&self) -> Vec<OsString> {
        let nats = match self {
            Self::Dir => return vec!["--log".into(), "dir".into()],
            Self::Nats(nats) => nats,
        };
        let mut args: Vec<OsString> = Vec::new();
        let mut flag = |name: &str, value: Option<OsString>| {
            if let Some(value) = value {
                args.extend([name.into(), value]);
            }
        };
        let file = |path: &Option<PathBuf>| path.as_ref().map(|it| it.clone().into_os_string());
        flag("--log", Some(nats.servers.join(",").into()));
        flag("--nats-stream", Some(nats.stream.clone().into()));
        flag(
            "--nats-replicas",
            nats.replicas.map(|it| it.to_string().into()),
        );
        if let Some((user, password)) = &nats.user {
            flag("--nats-user", Some(user.into()));
            flag("--nats-password-file", Some(password.into()));
        }
        flag("--nats-token-file", file(&nats.token));
        flag("--nats-credentials", file(&nats.credentials));
        flag("--nats-ca", file(&nats.ca));
        if let Some((certificate, key)) = &nats.certificate {
            flag("--nats-certificate", Some(certificate.into()));
            flag("--nats-key", Some(key.into()));
        }
        flag("--snapshots", file(&nats.snapshots));
        if nats.accept_weaker_durability {
            args.push("--accept-weaker-durability".into());
        }
        args
    }
}

/// Nodes are started from elsewhere.
fn absolute(path: Option<PathBuf>) -> Result<Option<PathBuf>> {
    let absolute = |path: PathBuf| {
        std::path::absolute(&path).map_err(|e| Failure::io(path.display().to_string(), &e))
    };
    path.map(absolute).transpose()
}

impl DataConfig {
    /// Checks what was typed.
    ///
    /// # Errors
    /// `Invalid`: the log.
    pub fn check(path: PathBuf, storage: args::Storage) -> Result<Self> {
        Ok(Self {
            path,
            log: LogPlace::check(&storage.log, storage.nats)?,
            force_network_fs: storage.force_network_fs,
            segment_bytes: storage.segment_bytes,
        })
    }

    /// The settings of a replica of it.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.force_network_fs = self.force_network_fs;
        settings.segment_bytes = self.segment_bytes;
        settings
    }

    /// Opens the directory, or makes it; for that a cluster is asked which log it holds.
    ///
    /// # Errors
    /// As [`DataDir::open`], and as connecting to the cluster.
    pub fn open(&self) -> Result<DataDir> {
        match &self.log {
            LogPlace::Dir => Ok(DataDir::open(&self.path, self.force_network_fs)?),
            #[cfg(feature = "nats")]
            LogPlace::Nats(nats) => {
                // A log that is gone is not made anew beside views of it.
                let known = DataDir::open_existing(&self.path, self.force_network_fs);
                let is_known = known.is_ok_and(|it| it.log_elsewhere().is_some());
                let log = nats.connect("sns-server", !is_known)?;
                Ok(DataDir::open_for(&self.path, self.force_network_fs, &log)?)
            }
            #[cfg(not(feature = "nats"))]
            LogPlace::Nats(_) => Err(without_nats()),
        }
    }

    /// As [`DataConfig::open`], but the cluster is not asked when the directory was there: a node
    /// answers its partner also while no cluster does.
    ///
    /// # Errors
    /// As [`DataConfig::open`].
    pub fn open_for_node(&self) -> Result<DataDir> {
        if self.log == LogPlace::Dir || !self.path.join("format.json").exists() {
            return self.open();
        }
        // What does not fit is refused when the log is opened.
        Ok(DataDir::open_existing(&self.path, self.force_network_fs)?)
    }

    /// A replica to be opened, whose connection to a cluster has this name.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`: a file with a password cannot be read.
    pub fn builder(&self, name: &str) -> Result<SnsBuilder> {
        let builder = Sns::builder(&self.path).settings(self.settings());
        match &self.log {
            LogPlace::Dir => Ok(builder),
            #[cfg(feature = "nats")]
            LogPlace::Nats(nats) => Ok(builder.jetstream(nats.options(name)?)),
            #[cfg(not(feature = "nats"))]
            LogPlace::Nats(_) => {
                let _ = name;
                Err(without_nats())
            }
        }
    }

    /// As [`DataConfig::builder`], for a node: it waits for a cluster for as long as that takes.
    ///
    /// # Errors
    /// As [`DataConfig::builder`].
    pub fn builder_for_node(&self, name: &str) -> Result<SnsBuilder> {
        match &self.log {
            #[cfg(feature = "nats")]
            LogPlace::Nats(nats) => {
                let options = nats.options(name)?.patience(std::time::Duration::MAX);
                let builder = Sns::builder(&self.path).settings(self.settings());
                Ok(builder.jetstream(options))
            }
            _ => self.builder(name),
        }
    }

    /// The directory of a log that must be there: an operator who mistypes it must not make one.
    ///
    /// # Errors
    /// As [`DataDir::open_existing`]; `Invalid`: its log lies elsewhere.
    pub fn existing(&self) -> Result<DataDir> {
        let data = DataDir::open_existing(&self.path, self.force_network_fs)?;
        data.refuse_elsewhere()?;
        Ok(data)
    }

    /// The log, which must be there, to be read.
    ///
    /// # Errors
    /// As [`DataConfig::existing`], and as connecting to the cluster.
    pub fn read_log(&self) -> Result<Box<dyn Log>> {
        match &self.log {
            LogPlace::Dir => {
                let options = DirLogOptions::default().read_only(true).file_events(false);
                let log = DirLog::open(&self.existing()?.log_dir(), options);
                Ok(Box::new(log.map_err(sns_core::Error::from)?))
            }
            #[cfg(feature = "nats")]
            LogPlace::Nats(nats) => Ok(Box::new(nats.connect("sns-server log", false)?)),
            #[cfg(not(feature = "nats"))]
            LogPlace::Nats(_) => Err(without_nats()),
        }
    }

    /// The snapshots of a log that must be there.
    ///
    /// # Errors
    /// As [`DataConfig::existing`], and as connecting to the cluster.
    pub fn snapshots(&self) -> Result<SnapshotStore> {
        match &self.log {
            LogPlace::Dir => Ok(SnapshotStore::of_directory(&self.existing()?)),
            #[cfg(feature = "nats")]
            LogPlace::Nats(nats) => {
                let log = nats.connect("sns-server snapshot", false)?;
                Ok(SnapshotStore::of_jetstream_alone(&log)?)
            }
            #[cfg(not(feature = "nats"))]
            LogPlace::Nats(_) => Err(without_nats()),
        }
    }

    /// For messages.
    pub fn title(&self) -> String {
        match &self.log {
            LogPlace::Dir => shown(&self.path),
            LogPlace::Nats(nats) => {
                escaped(&format!("{} of {}", nats.stream, nats.servers.join(",")))
            }
        }
    }
}

fn shown(path: &Path) -> String {
    escaped(&path.display().to_string())
}

#[cfg(not(feature = "nats"))]
pub(crate) fn without_nats() -> Failure {
    Failure::invalid("this program was built without the feature `nats`: --log nats:// needs it")
}

impl CopyConfig {
    /// Checks what was typed.
    ///
    /// # Errors
    /// `Invalid`: a log, or two clusters.
    pub fn check(typed: args::Copy) -> Result<Self> {
        let is_url = |text: &str| text.contains("://");
        let (to_url, from_url) = (is_url(&typed.to), is_url(&typed.from));
        if to_url == from_url {
            return Err(Failure::invalid(
                "a log is copied from a data directory to nats://HOST, or back: give one of each",
            ));
        }
        let (url, path) = if to_url {
            (&typed.to, &typed.from)
        } else {
            (&typed.from, &typed.to)
        };
        let config = |path: &str, log| DataConfig {
            path: path.into(),
            log,
            force_network_fs: false,
            segment_bytes: sns_core::limits::SEGMENT_BYTES,
        };
        let cluster = config("", LogPlace::check(url, typed.nats)?);
        let directory = config(path, LogPlace::Dir);
        Ok(if to_url {
            Self {
                from: directory,
                to: cluster,
            }
        } else {
            Self {
                from: cluster,
                to: directory,
            }
        })
    }
}
