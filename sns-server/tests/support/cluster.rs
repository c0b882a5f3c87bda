//! Everything that `sns-server up` starts, on a scratch directory, and what `status` says of it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "every test takes what it needs"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sns_server::pair::process::{ProcessId, command_line, is_ours};
use sns_server::run_file::{NodeFile, RunFile, nodes};
use tempfile::TempDir;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sns-server");

/// Looks until it is there.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        pause(Duration::from_millis(20));
    }
}

/// Lets time pass: for looking again, or for what must *not* happen meanwhile.
#[allow(clippy::disallowed_methods, reason = "between two looks, see `until`")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(args)
        .env_remove("SNS_ROUTER")
        .env_remove("SNS_DATA")
        .output()
        .unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An `up` and all that comes from it; nothing of it outlives the test.
pub struct Cluster {
    pub up: Child,
    pub url: String,
    dir: TempDir,
}

impl Cluster {
    /// Starts `pairs` pairs and waits for the first line.
    pub fn start(pairs: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start_in(dir, pairs, "127.0.0.1:0")
    }

    pub fn start_in(dir: TempDir, pairs: u32, listen: &str) -> Self {
        let mut cluster = Self::spawn_in(dir, pairs, listen);
        cluster.greeting();
        cluster
    }

    /// As [`Cluster::start`], with more flags.
    pub fn start_with(pairs: u32, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Self::spawn_with(dir, pairs, "127.0.0.1:0", flags);
        cluster.greeting();
        cluster
    }

    /// Starts `pairs` pairs and waits for nothing.
    pub fn spawn_in(dir: TempDir, pairs: u32, listen: &str) -> Self {
        Self::spawn_with(dir, pairs, listen, &[])
    }

    /// As [`Cluster::spawn_in`], with more flags.
    pub fn spawn_with(dir: TempDir, pairs: u32, listen: &str, flags: &[&str]) -> Self {
        Self {
            up: up(dir.path(), pairs, listen, flags),
            url: String::new(),
            dir,
        }
    }

    /// Kills all of it at once, and starts it anew on the same data.
    pub fn kill_everything_and_start_again(&mut self, pairs: u32, flags: &[&str]) {
        self.kill_everything();
        self.up = up(self.dir.path(), pairs, "127.0.0.1:0", flags);
        self.greeting();
    }

    /// Where the gateway for the course's clients listens.
    pub fn course(&self) -> String {
        RunFile::read(&self.data()).unwrap().course_address
    }

    /// First those that restart others, then the others; again, for what was just started.
    fn kill_everything(&mut self) {
        let _ = self.up.kill();
        let _ = self.up.wait();
        for _ in 0..20 {
            let left = leftovers(&self.data());
            if left.is_empty() {
                break;
            }
            for id in left {
                signal_quietly(&id);
            }
            pause(Duration::from_millis(50));
        }
    }

    /// As `command` starts it, with its data in `data` of `dir`; waits for the first line.
    pub fn of(mut command: Command, dir: TempDir) -> Self {
        let up = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(dir.path().join("up.err")).unwrap())
            .spawn()
            .unwrap();
        let mut cluster = Self {
            up,
            url: String::new(),
            dir,
        };
        cluster.greeting();
        cluster
    }

    /// Waits for the first line, and keeps what it says.
    pub fn greeting(&mut self) {
        let mut line = String::new();
        let stdout = self.up.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("router ");
        self.url = url
            .unwrap_or_else(|| panic!("first line {line:?}; {}", self.complaints()))
            .to_owned();
    }

    pub fn complaints(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("up.err")).unwrap_or_default()
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn data_arg(&self) -> String {
        self.data().to_str().unwrap().to_owned()
    }

    pub fn node_dir(&self, node: &str) -> PathBuf {
        self.data().join("nodes").join(node)
    }

    /// The pid of the process that `node` is now, by its file.
    pub fn pid(&self, node: &str) -> u32 {
        until(&format!("{node} runs"), || self.living_pid(node))
    }

    pub fn living_pid(&self, node: &str) -> Option<u32> {
        let id = NodeFile::read(&self.node_dir(node))?.process?;
        id.is_alive().then_some(id.pid)
    }

    /// What the router says of all of them.
    pub fn status(&self) -> Vec<Value> {
        rows(&run(&["status", "--json", "--router", &self.url]))
    }

    /// The line about `node`, if the router knows it.
    pub fn row(&self, node: &str) -> Option<Value> {
        self.status().into_iter().find(|row| row["name"] == node)
    }

    /// Waits until the router says that another process than `old` serves as `node`; its line.
    pub fn until_replaced(&self, node: &str, old: u32) -> Value {
        until(&format!("{node} serves again"), || {
            self.row(node)
                .filter(|row| row["state"] == "serving" && row["pid"] != old)
        })
    }

    /// What everybody had to say, for a test that failed.
    fn print_logs(&self) {
        eprintln!("--- up\n{}", self.complaints());
        let mut dirs = nodes(&self.data());
        dirs.push("router".to_owned());
        for node in dirs {
            let dir = self.node_dir(&node);
            let log = std::fs::read_to_string(dir.join("server.log")).unwrap_or_default();
            let file = NodeFile::read(&dir);
            eprintln!("--- {node}: {file:?}\n{log}");
        }
    }

    /// Waits until all nodes have served long enough to be restarted at once.
    pub fn settled(&self) {
        for node in nodes(&self.data()) {
            until(&format!("{node} has served for a while"), || {
                let id = NodeFile::read(&self.node_dir(&node))?.process?;
                (id.is_alive() && id.age() > Duration::from_millis(2_500)).then_some(())
            });
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        self.kill_everything();
    }
}

fn up(dir: &Path, pairs: u32, listen: &str, flags: &[&str]) -> Child {
    Command::new(PROGRAM)
        .args(["up", "--servers", &pairs.to_string(), "--listen", listen])
        .args(flags)
        .arg("--data")
        .arg(dir.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(dir.join("up.err")).unwrap())
        .spawn()
        .unwrap()
}

/// Processes that the files of `data` name, or that were started on it a moment ago, and that are alive.
pub fn leftovers(data: &Path) -> Vec<ProcessId> {
    let node = |name: &String| NodeFile::read(&data.join("nodes").join(name))?.process;
    let mut ids: Vec<ProcessId> = nodes(data).iter().filter_map(node).collect();
    ids.extend(
        RunFile::read(data)
            .into_iter()
            .flat_map(|run| run.router.into_iter().chain(run.course)),
    );
    ids.extend(started_on(data));
    ids.retain(ProcessId::is_alive);
    ids
}

/// Processes of ours whose command line names `data`: one that was just started has no file yet.
fn started_on(data: &Path) -> impl Iterator<Item = ProcessId> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = all.filter_map(|entry| ProcessId::of(entry.file_name().to_str()?.parse().ok()?));
    ids.filter(move |id| {
        let (_, args) = command_line(id.pid).unwrap_or_default();
        args.iter().any(|arg| Path::new(arg) == data) && is_ours(id)
    })
}

fn signal_quietly(id: &ProcessId) {
    if let Some(pid) = i32::try_from(id.pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// One JSON object a line.
pub fn rows(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
