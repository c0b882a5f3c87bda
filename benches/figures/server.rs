//! Real servers: a whole service by `sns-server up`, one node alone; ended with the value.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sns_server::run_file::{NodeFile, nodes};

use crate::run::{self, Result};

/// `sns-server`, from where this program is.
pub(crate) fn command() -> Result<Command> {
    let own = std::env::current_exe()?;
    let program = own.with_file_name("sns-server");
    if !program.is_file() {
        return Err(format!(
            "{} is missing: build it with `cargo build --release -p sns-server`, or use `cargo \
             xtask figures`",
            program.display()
        )
        .into());
    }
    let mut command = Command::new(program);
    command
        .env_remove("SNS_ROUTER")
        .env_remove("SNS_DATA")
        .env("SNS_TRACE", "warn")
        .stdin(Stdio::null());
    Ok(command)
}

/// Data directories that servers of ours run on, or ran.
static SERVED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn serving(data: &Path) {
    if let Ok(mut served) = SERVED.lock() {
        served.push(data.to_owned());
    }
}

/// Stops every server that this process started: for a process that is about to end.
pub(crate) fn stop_all() {
    let served = SERVED.lock().map(|it| it.clone()).unwrap_or_default();
    for data in served.iter().filter(|data| data.exists()) {
        if let Err(why) = down(data) {
            run::say(&format!(
                "cannot stop what runs on {}: {why}",
                data.display()
            ));
        }
    }
}

/// Asks all that runs on a data directory to stop, and waits for that.
fn down(data: &Path) -> Result<()> {
    let mut down = command()?;
    down.args(["down", "--data"]).arg(data);
    let status = down.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("`sns-server down` ended with {status}").into())
}

/// A router and pairs, as `sns-server up` starts them.
#[derive(Debug)]
pub(crate) struct Up {
    data: PathBuf,
    child: Child,
    stopped: bool,
}

impl Up {
    /// Starts them and waits until all serve.
    pub(crate) fn start(data: &Path, pairs: u32) -> Result<Self> {
        serving(data);
        let mut child = command()?
            .args(["up", "--listen", "127.0.0.1:0", "--servers"])
            .arg(pairs.to_string())
            .arg("--data")
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take();
        // From here on nothing of it outlives this value.
        let up = Self {
            data: data.to_owned(),
            child,
            stopped: false,
        };
        let mut line = String::new();
        let mut lines = BufReader::new(stdout.ok_or("`sns-server up` has no stdout")?);
        lines.read_line(&mut line)?;
        if !line.starts_with("router http://") {
            return Err(format!("`sns-server up` said {:?}", line.trim_end()).into());
        }
        // It may say more; somebody has to read it.
        std::thread::spawn(move || for _ in lines.lines() {});
        Ok(up)
    }

    /// All nodes, by pair, the master first.
    pub(crate) fn nodes(&self) -> Vec<String> {
        nodes(&self.data)
    }

    /// Where clients reach a node.
    pub(crate) fn address(&self, node: &str) -> Result<String> {
        let dir = self.data.join("nodes").join(node);
        let file = NodeFile::read(&dir).ok_or_else(|| format!("{node} has no node.json"))?;
        Ok(file.address)
    }

    /// Asks all to stop and waits for that.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.down()
    }

    fn down(&mut self) -> Result<()> {
        self.stopped = true;
        let ended = down(&self.data);
        if ended.is_err() {
            self.child.kill()?;
        }
        self.child.wait()?;
        ended
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if !self.stopped
            && let Err(why) = self.down()
        {
            run::say(&format!(
                "cannot stop what runs on {}: {why}",
                self.data.display()
            ));
        }
    }
}

/// One node alone: a master whose router and slave are not there.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    data: PathBuf,
    begun: Instant,
}

impl Node {
    /// Starts it; does not wait.
    pub(crate) fn spawn(data: &Path) -> Result<Self> {
        serving(data);
        let begun = Instant::now();
        let child = command()?
            .args(["master", "--name", "a", "--listen", "127.0.0.1:0"])
            .args([
                "--peer-listen",
                "127.0.0.1:0",
                "--router",
                "http://127.0.0.1:9",
            ])
            .arg("--data")
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            data: data.to_owned(),
            begun,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Since it was started.
    pub(crate) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Where clients reach it, once it listens.
    pub(crate) fn address(&mut self) -> Result<String> {
        let dir = self.data.join("nodes/a-master");
        let pid = self.pid();
        let child = &mut self.child;
        run::wait_for("the server listens", || {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(Err(format!("the server ended with {status}")));
            }
            let file = NodeFile::read(&dir)?;
            let ours = file.process.as_ref().is_some_and(|it| it.pid == pid);
            ours.then_some(Ok(file.address))
        })?
        .map_err(Into::into)
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, as an operator stops it.
    pub(crate) fn stop(mut self) -> Result<()> {
        down(&self.data)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Gone already after `kill` and `stop`.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
