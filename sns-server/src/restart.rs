//! `restart --rolling`: every process of a running service becomes the program that is on disk now,
//! one after the other, while the service goes on.
//!
//! Each process replaces itself (see [`again`](crate::again)); this command asks them one at a time and
//! goes on only when the last one is back: it serves, has caught up, its partner serves, and all
//! routers hand it out. Of each pair the slave comes first, then the routers, `up` at last.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args as Group;
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use sns_core::DataDir;
use sns_proto::escape::escape_json;

use crate::failure::{Failure, Result};
use crate::output;
use crate::telemetry::escaped;

mod look;
mod replace;
mod service;

use service::Service;

/// For so long whoever is back has to stay so. Clients turn to an address again 1 s after it failed
/// them: nobody shall find both of a pair's just gone.
const SETTLED: Duration = Duration::from_millis(1_500);

/// `restart`
#[derive(Clone, Debug, Group)]
pub struct RestartArgs {
    /// One process after the other, so that no call of a client fails.
    #[arg(long)]
    pub rolling: bool,
    /// The data directory.
    #[arg(
        long,
        value_name = "DIR",
        env = "SNS_DATA",
        default_value = "./sns-data"
    )]
    pub data: PathBuf,
    /// Begin although a server is down, or does not serve.
    #[arg(long)]
    pub force: bool,
}

/// What became of one process. The order of the fields is the contract's.
#[derive(Clone, Debug, Serialize)]
struct Row {
    node: String,
    old_pid: u32,
    new_pid: u32,
    old_version: Option<String>,
    new_version: String,
    ms: u64,
}

impl Row {
    fn text(&self) -> String {
        let old = self.old_version.as_deref().unwrap_or("?");
        format!(
            "{:<12} {} -> {}  pid {}  {} ms",
            escaped(&self.node),
            escaped(old),
            self.new_version,
            self.new_pid,
            self.ms
        )
    }
}

/// Replaces all of them.
///
/// # Errors
/// `Invalid`: `--rolling` is missing, or there is no data. `Damaged`: this program cannot read the
/// data. `Unavailable`: nothing runs, the service is not whole, the program on disk is not this one, or a
/// process did not come back; then the message says who is new, who is not and how to go back.
pub async fn run(args: RestartArgs, json: bool) -> Result<()> {
    if !args.rolling {
        return Err(Failure::invalid(
            "say --rolling: one process after the other, and no call fails; to stop everything \
             first, use `sns-server down` and then `sns-server up`",
        ));
    }
    let data = DataDir::open_existing(&args.data, true)?.path().to_owned();
    let _alone = alone(&data)?;
    let service = Service::find(&data)?;
    service.check(args.force).await?;
    let mut new: Vec<&str> = Vec::new();
    for subject in &service.subjects {
        if !json {
            output::message(&format!("{}: replacing it", escaped(&subject.name)));
        }
        match service.replace(subject, args.force).await {
            Ok(row) => {
                let line = if json {
                    let line = serde_json::to_string(&row);
                    let line = line.map_err(|e| Failure::invalid(format!("no JSON: {e}")))?;
                    escape_json(&line)
                } else {
                    row.text()
                };
                output::line(&line)?;
                new.push(&subject.name);
            }
            Err(why) => return Err(service.stopped_at(subject, &new, &why)),
        }
    }
    if let Some(course) = &service.course {
        output::message(&format!(
            "course: process {pid} goes on as it is, since its clients know no other place; \
             `kill -USR2 {pid}` replaces it, and they have to connect again",
            pid = course.pid
        ));
    }
    Ok(())
}

/// Held while one restart runs: two would take away both nodes of a pair. A lock on a directory, so that
/// whoever runs this leaves nothing behind that others could not open.
fn alone(data: &Path) -> Result<std::fs::File> {
    let nodes = data.join("nodes");
    let refused = |e: std::io::Error| Failure::io(format!("{}", nodes.display()), &e);
    let dir = std::fs::File::open(&nodes).map_err(refused)?;
    match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(dir),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Failure::unavailable(
            "another `sns-server restart` is at work on this data: wait for its end",
        )),
        Err(e) => Err(refused(e.into())),
    }
}
