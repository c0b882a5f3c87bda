//! `down`: stops everything that runs on a data directory, whoever started it.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use sns_core::DataDir;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::DownConfig;
use crate::failure::{Failure, Result};
use crate::output;
use crate::pair::process::{self, Handle, ProcessId};
use crate::run_file::{self, RunFile};
use crate::telemetry::escaped;

/// A node drains for 5 s at most; a little more, and it is killed: it was asked to stop, so nobody
/// restarts it.
const PATIENCE: Duration = Duration::from_millis(6_500);

/// The launcher gives its nodes as long, and then kills and waits itself: longer than that.
const UP_PATIENCE: Duration = Duration::from_millis(6_500 + 4_000);

/// After SIGKILL only a process in uninterruptible sleep is still there.
const KILLED: Duration = Duration::from_secs(2);

/// Between two looks at the locks.
const LOOK: Duration = Duration::from_millis(50);

/// A partner that was being started while its starter was asked to stop shows up within that time.
const LATE: Duration = Duration::from_millis(400);

/// Stops the launcher, the nodes and the router of a data directory, in this order. Safe to repeat.
///
/// # Errors
/// `Invalid`: there is no data. `Unavailable`: a process does not end.
pub async fn run(config: DownConfig) -> Result<()> {
    let data = DataDir::open_existing(&config.data, true)?
        .path()
        .to_owned();
    let run = RunFile::read(&data);
    let mut stopped = 0;
    // The launcher holds a lock on the directory itself: a file that names another process lies.
    let launcher = process::lock_holder(&data).ok().flatten();
    let up = run.as_ref().map(|run| run.up.clone());
    if let Some(up) = up.filter(|up| launcher == Some(up.pid)) {
        // It stops the others. One that is stopped itself hears nothing.
        let mut stopping = Stopping::default();
        stopping.ask(up)?;
        stopping.end(UP_PATIENCE).await?;
        stopped += stopping.handles.len();
    }
    stopped += stop_nodes(&data, Vec::new()).await?;
    if let Some(run) = run {
        let others = run.course.into_iter().chain(run.router);
        stopped += stop_processes(others.collect()).await?;
    }
    forget(&data);
    let data = escaped(&data.display().to_string());
    output::message(&match stopped {
        0 => format!("nothing runs on {data}"),
        _ => format!("all servers of {data} are stopped"),
    });
    Ok(())
}

/// Removes `run.json`: nothing of it runs any more.
pub(crate) fn forget(data: &Path) {
    match std::fs::remove_file(RunFile::path(data)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, "cannot remove run.json");
        }
        _ => {}
    }
}

/// Asks each process to stop, kills those that do not, and waits for all; how many there were.
///
/// # Errors
/// `Unavailable`: one does not end, or belongs to another user.
pub(crate) async fn stop_processes(ids: Vec<ProcessId>) -> Result<usize> {
    let mut stopping = Stopping::default();
    for id in ids {
        stopping.ask(id)?;
    }
    stopping.end(PATIENCE).await?;
    Ok(stopping.handles.len())
}

/// The same for all nodes of `data`, also those that are started meanwhile, and for `also`: nodes
/// that may not hold their lock yet.
///
/// # Errors
/// As [`stop_processes`]; or the locks cannot be read.
pub(crate) async fn stop_nodes(data: &Path, also: Vec<ProcessId>) -> Result<usize> {
    let mut stopping = Stopping::default();
    for id in also {
        stopping.ask(id)?;
    }
    let mut deadline = Instant::now() + PATIENCE;
    // Asked anew until none has shown up for a while.
    let mut quiet_since = None;
    loop {
        let mut living = run_file::living(data)?;
        for node in &living {
            if let Some(id) = ProcessId::of(node.pid)
                && stopping.ask(id)?
            {
                deadline = deadline.max(Instant::now() + PATIENCE / 2);
            }
        }
        living.retain(|node| !stopping.strangers.contains(&node.pid));
        if living.is_empty() && stopping.is_over() {
            let since = *quiet_since.get_or_insert(Instant::now());
            if stopping.handles.is_empty() || since.elapsed() >= LATE {
                return Ok(stopping.handles.len());
            }
        } else {
            quiet_since = None;
            if Instant::now() >= deadline {
                stopping.kill().await?;
            }
        }
        sleep(LOOK).await;
    }
}

/// SIGKILL for one that is stopped: it cannot hear, and nothing that was acknowledged depends on it.
fn end_if_stopped(handle: &Handle) -> std::io::Result<()> {
    if process::doing(handle.id().pid) == "stopped" {
        handle.signal(Signal::KILL)?;
    }
    Ok(())
}

/// Processes that were asked to stop.
#[derive(Default)]
struct Stopping {
    handles: HashMap<u32, Handle>,
    /// No processes of ours, whatever the files say.
    strangers: HashSet<u32>,
}

impl Stopping {
    /// Sends SIGTERM, once: a second one would end it without draining. Whether it was new.
    fn ask(&mut self, id: ProcessId) -> Result<bool> {
        let pid = id.pid;
        let refused = |e| Failure::io(format!("cannot stop process {pid}"), &e);
        let known = self.handles.get(&pid);
        if let Some(handle) = known.filter(|known| *known.id() == id) {
            // A stop signal may take effect after the question before.
            end_if_stopped(handle).map_err(refused)?;
            return Ok(false);
        }
        if !id.is_alive() {
            return Ok(false);
        }
        if !process::is_ours(&id) {
            if self.strangers.insert(pid) {
                tracing::warn!(
                    pid,
                    "a file or a lock of the data names a process that is no sns-server: it is left \
                     alone; end it yourself if it holds up the data"
                );
            }
            return Ok(false);
        }
        let Some(handle) = Handle::open(id).map_err(refused)? else {
            return Ok(false);
        };
        handle.signal(Signal::TERM).map_err(refused)?;
        end_if_stopped(&handle).map_err(refused)?;
        self.handles.insert(pid, handle);
        Ok(true)
    }

    fn is_over(&self) -> bool {
        !self.handles.values().any(|handle| handle.id().is_alive())
    }

    async fn end(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        for handle in self.handles.values() {
            if timeout_at(deadline, handle.exited()).await.is_err() {
                return self.kill().await;
            }
        }
        Ok(())
    }

    /// SIGKILL for those that are left.
    async fn kill(&mut self) -> Result<()> {
        let deadline = Instant::now() + KILLED;
        for handle in self.handles.values() {
            let id = handle.id();
            if !id.is_alive() {
                continue;
            }
            tracing::warn!(pid = id.pid, "does not stop: killing it");
            let refused = |e| Failure::io(format!("cannot kill process {}", id.pid), &e);
            handle.signal(Signal::KILL).map_err(refused)?;
        }
        for handle in self.handles.values() {
            if timeout_at(deadline, handle.exited()).await.is_err() {
                let pid = handle.id().pid;
                return Err(Failure::unavailable(format!(
                    "process {pid} was killed and does not end: it is {}; try again once its disk \
                     answers",
                    process::doing(pid)
                )));
            }
        }
        Ok(())
    }
}
