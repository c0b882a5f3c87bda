//! [`Recorder`]: figures as JSON lines, each with the machine and the commit that it was taken on.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::run::Result;
use crate::system;

/// Appends figures to a file.
#[derive(Debug)]
pub(crate) struct Recorder {
    path: PathBuf,
    every: Map<String, Value>,
}

impl Recorder {
    pub(crate) fn open(path: &Path, quick: bool) -> Result<Self> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let every = json!({
            "date": jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M").to_string(),
            "commit": commit(),
            "cpu": system::cpu_model(),
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "memory_mib": system::memory_mib(),
            "kernel": system::kernel(),
            "quick": quick,
        });
        let every = every.as_object().cloned().unwrap_or_default();
        Ok(Self {
            path: path.to_owned(),
            every,
        })
    }

    /// Appends one figure of subcommand `figure`: `what` is an object that holds at least the data
    /// set (`graph`) and, where something is written, how durable it is (`durability`).
    pub(crate) fn add(&self, figure: &str, what: &Value) -> Result<()> {
        let mut line = Map::new();
        line.insert("figure".into(), figure.into());
        line.insert("system".into(), "sns".into());
        line.extend(what.as_object().cloned().unwrap_or_default());
        line.extend(self.every.clone());
        let failed = |e: std::io::Error| format!("cannot write to {}: {e}", self.path.display());
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .append(true)
            .open(&self.path)
            .map_err(failed)?;
        writeln!(file, "{}", Value::Object(line)).map_err(failed)?;
        Ok(())
    }
}

/// The commit of the sources, with `+` behind it when they were changed since.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=7", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let clean = changed.is_some_and(|it| it.is_empty());
    if clean { commit } else { format!("{commit}+") }
}
