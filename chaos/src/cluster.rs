//! The service under test: what `sns-server up` starts, and who is who among its processes.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sns_server::pair::process::{Handle, ProcessId};
use sns_server::run_file::{NodeFile, RunFile, nodes};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::failure::{Doing as _, Failure, Result};
use crate::log::LogPlace;

/// An `up` that does not serve within this time never will.
const UP_LIMIT: Duration = Duration::from_secs(120);
/// Between two looks at something that has to come.
pub(crate) const LOOK: Duration = Duration::from_millis(5);
/// Whoever is still there after SIGKILL and this sits in the kernel.
const DYING: Duration = Duration::from_secs(20);
/// So many looks in a row have to find nobody before all count as dead.
const LOOKS: u32 = 5;

/// Everything that one `up` started on one data directory.
#[derive(Debug)]
pub(crate) struct Cluster {
    program: PathBuf,
    data: PathBuf,
    shape: Shape,
    url: String,
    up: Child,
}

/// What `up` is told.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) pairs: u32,
    pub(crate) segment_bytes: u64,
    pub(crate) log: LogPlace,
}

impl Cluster {
    /// Starts `up` and waits until all serve.
    pub(crate) async fn start(program: &Path, data: &Path, shape: Shape) -> Result<Self> {
        let up = launch(program, data, &shape, "127.0.0.1:0")?;
        // From here on nothing of it outlives this value.
        let mut cluster = Self {
            program: program.to_owned(),
            data: data.to_owned(),
            shape,
            url: String::new(),
            up,
        };
        cluster.until_serving().await?;
        Ok(cluster)
    }

    /// Starts `up` again, where it was, after everything was killed; how long until all serve.
    pub(crate) async fn start_again(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        let listen = self.listen().to_owned();
        self.up = launch(&self.program, &self.data, &self.shape, &listen)?;
        self.until_serving().await?;
        Ok(begun.elapsed())
    }

    /// Waits for the first line of `up`, which is the address of the router.
    async fn until_serving(&mut self) -> Result<()> {
        let stdout = self.up.stdout.take();
        let stdout = stdout.ok_or_else(|| Failure("`up` has no stdout".to_owned()))?;
        let mut lines = BufReader::new(stdout);
        let mut line = String::new();
        let read = timeout(UP_LIMIT, lines.read_line(&mut line)).await;
        read.doing("wait for `up` to serve")?
            .doing("read what `up` says")?;
        // It may say more; somebody has to read it.
        tokio::spawn(async move {
            let mut rest = String::new();
            while lines.read_line(&mut rest).await.is_ok_and(|read| read > 0) {
                rest.clear();
            }
        });
        if let Some(url) = line.trim_end().strip_prefix("router ") {
            url.clone_into(&mut self.url);
            return Ok(());
        }
        let log = std::fs::read_to_string(up_log_path(&self.data)).unwrap_or_default();
        let last = log.lines().last().unwrap_or_default();
        Err(Failure(format!(
            "`up` said {line:?} where the address of the router belongs; its last words: {}",
            last.escape_debug()
        )))
    }

    /// `http://H:P` of the router.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Its log.
    pub(crate) fn log(&self) -> &LogPlace {
        &self.shape.log
    }

    /// The program, to be run for something else on the same data.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_remove("SNS_ROUTER")
            .env_remove("SNS_DATA")
            .env("SNS_SEGMENT_BYTES", self.shape.segment_bytes.to_string())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        self.shape.log.tell(&mut command);
        command
    }

    /// Where a node keeps its own.
    pub(crate) fn node_dir(&self, node: &str) -> PathBuf {
        self.data.join("nodes").join(node)
    }

    /// All nodes, by pair, the master first.
    pub(crate) fn nodes(&self) -> Vec<String> {
        nodes(&self.data)
    }

    /// Where clients reach a node.
    pub(crate) fn address(&self, node: &str) -> Option<String> {
        NodeFile::read(&self.node_dir(node)).map(|file| file.address)
    }

    /// The process that a node is now.
    pub(crate) fn node(&self, node: &str) -> Option<ProcessId> {
        let id = NodeFile::read(&self.node_dir(node))?.process?;
        id.is_alive().then_some(id)
    }

    /// The process that the router is now.
    pub(crate) fn router(&self) -> Option<ProcessId> {
        RunFile::read(&self.data)?
            .router
            .filter(ProcessId::is_alive)
    }

    /// Process by name, `router` among them.
    pub(crate) fn process(&self, name: &str) -> Option<ProcessId> {
        if name == "router" {
            self.router()
        } else {
            self.node(name)
        }
    }

    /// Every process that runs for the service, by name: `up` too.
    pub(crate) fn processes(&self) -> BTreeMap<String, ProcessId> {
        let mut all = BTreeMap::new();
        all.extend(
            self.up
                .id()
                .and_then(ProcessId::of)
                .map(|id| ("up".to_owned(), id)),
        );
        all.extend(self.router().map(|id| ("router".to_owned(), id)));
        for node in self.nodes() {
            all.extend(self.node(&node).map(|id| (node, id)));
        }
        all
    }

    /// SIGKILL for everything, those first that would start others again.
    pub(crate) async fn kill_everything(&mut self) -> Result<()> {
        let deadline = Instant::now() + DYING;
        drop(self.up.start_kill());
        // Who is just being started is seen at a later look.
        let mut nobody = 0;
        while nobody < LOOKS {
            let left = self.serving();
            nobody = if left.is_empty() { nobody + 1 } else { 0 };
            if Instant::now() > deadline {
                return Err(Failure(format!("these do not die: {left:?}")));
            }
            for id in left {
                signal(&id, Signal::KILL)?;
            }
            sleep(LOOK).await;
        }
        self.up.wait().await.doing("wait for the end of `up`")?;
        Ok(())
    }

    /// Every process of the service but `up`, by its command line: one that was started a moment
    /// ago stands in no file yet.
    fn serving(&self) -> Vec<ProcessId> {
        let Ok(processes) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        let listen = self.listen().as_bytes();
        let data = self.data.as_os_str().as_bytes();
        let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let ours = pids.filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            let program = words.next().unwrap_or_default();
            let ours = |word: &[u8]| word == data || (!listen.is_empty() && word == listen);
            program.ends_with(b"sns-server") && words.any(ours)
        });
        let up = self.up.id();
        ours.filter(|pid| Some(*pid) != up)
            .filter_map(ProcessId::of)
            .collect()
    }

    /// The processes of a node, one that is just starting among them.
    pub(crate) fn starting(&self, node: &str) -> Vec<ProcessId> {
        let (pair, role) = node.rsplit_once('-').unwrap_or((node, ""));
        let mut found = self.serving();
        found.retain(|id| {
            let line = std::fs::read(format!("/proc/{}/cmdline", id.pid)).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words.get(1) == Some(&role.as_bytes())
                && words
                    .windows(2)
                    .any(|it| it == [b"--name", pair.as_bytes()])
        });
        found
    }

    /// `H:P` of the router.
    fn listen(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Asks everything to stop, and waits for that.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let mut down = self.program();
        down.args(["down", "--data"]).arg(&self.data);
        let output = down.output().await.doing("run `sns-server down`")?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            self.kill_everything().await?;
            return Err(Failure(format!(
                "`sns-server down` failed: {}",
                why.escape_debug()
            )));
        }
        self.up.wait().await.doing("wait for the end of `up`")?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // What a run leaves behind when it could not stop it: nothing may outlive the harness.
        drop(self.up.start_kill());
        let deadline = Instant::now() + DYING;
        let mut nobody = 0;
        while nobody < LOOKS && Instant::now() < deadline {
            let left = self.serving();
            nobody = if left.is_empty() { nobody + 1 } else { 0 };
            for id in &left {
                drop(signal(id, Signal::KILL));
            }
            std::thread::yield_now();
        }
    }
}

/// Sends a signal to exactly this process; one that is gone gets none.
pub(crate) fn signal(id: &ProcessId, signal: Signal) -> Result<()> {
    if let Some(handle) = Handle::open(id.clone()).doing("hold a process")? {
        handle.signal(signal).doing("send a signal")?;
    }
    Ok(())
}

fn launch(program: &Path, data: &Path, shape: &Shape, listen: &str) -> Result<Child> {
    let log = up_log(data).doing("open the log of `up`")?;
    let pairs = shape.pairs.to_string();
    let mut up = Command::new(program);
    shape.log.tell(&mut up);
    up.args(["up", "--servers", &pairs, "--listen", listen])
        .args(["--segment-bytes", &shape.segment_bytes.to_string()])
        .arg("--data")
        .arg(data)
        .env_remove("SNS_ROUTER")
        .env_remove("SNS_DATA")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        // Ctrl-C is for the harness, which then stops all.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .doing(format_args!("start {}", program.display()))
}

fn up_log_path(data: &Path) -> PathBuf {
    data.with_extension("up.log")
}

fn up_log(data: &Path) -> std::io::Result<File> {
    let path = up_log_path(data);
    OpenOptions::new().create(true).append(true).open(path)
}
