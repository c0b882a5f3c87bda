//! Everything that one `sns-server up` starts, on a scratch directory.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use http::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sns_server::pair::process::ProcessId;
use sns_server::run_file::{NodeFile, RunFile, nodes};
use tempfile::TempDir;

use crate::{Web, until};

/// Whoever is still there after SIGKILL and this sits in the kernel.
const DYING: Duration = Duration::from_secs(10);
/// A node that served this long is restarted at once when it dies.
const SERVED: Duration = Duration::from_millis(2_500);

/// An `up` and all that comes from it; nothing of it outlives this value.
#[derive(Debug)]
pub struct Cluster {
    up: Child,
    url: String,
    dir: TempDir,
}

impl Cluster {
    /// Starts `pairs` pairs, and waits until all serve.
    pub fn start(pairs: u32) -> Self {
        Self::start_with(pairs, &[])
    }

    /// The same with more flags of `up`.
    pub fn start_with(pairs: u32, flags: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("sns-browser-").tempdir();
        let dir = dir.expect("a directory");
        let errors = File::create(dir.path().join("up.err")).expect("a file");
        let mut up = Command::new(server());
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"SNS_") {
                up.env_remove(name);
            }
        }
        let up = up
            .args(["up", "--servers", &pairs.to_string()])
            .args(flags)
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(dir.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            // Ctrl-C is for this program, which then ends all.
            .process_group(0)
            .spawn()
            .expect("`up` starts");
        let mut cluster = Self {
            up,
            url: String::new(),
            dir,
        };
        let stdout = cluster.up.stdout.take().expect("piped");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let line = lines.next().unwrap_or_default();
        let url = line.strip_prefix("router ");
        url.unwrap_or_else(|| panic!("first line {line:?}; {}", cluster.log("up")))
            .clone_into(&mut cluster.url);
        // It may say more; somebody has to read it. The thread ends with `up`.
        std::thread::spawn(move || lines.count());
        cluster
    }

    /// Where its router is.
    pub fn router(&self) -> &str {
        &self.url
    }

    /// All nodes, by pair, the master first.
    pub fn nodes(&self) -> Vec<String> {
        nodes(&self.data())
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn file(&self, node: &str) -> Option<NodeFile> {
        NodeFile::read(&self.data().join("nodes").join(node))
    }

    /// Where the pages of a node are.
    pub fn origin(&self, node: &str) -> String {
        let file = self.file(node).unwrap_or_else(|| panic!("no node {node}"));
        format!("http://{}", file.http_address)
    }

    /// Of all nodes.
    pub fn origins(&self) -> Vec<String> {
        self.nodes().iter().map(|node| self.origin(node)).collect()
    }

    fn process(&self, node: &str) -> Option<ProcessId> {
        self.file(node)?.process.filter(ProcessId::is_alive)
    }

    /// Waits until a node has a process that served long enough to be restarted at once.
    pub async fn settled(&self, node: &str) {
        until(&format!("{node} has served for a while"), async || {
            let id = self.process(node)?;
            (id.age() > SERVED).then_some(())
        })
        .await;
        self.serves(node, None).await;
    }

    /// Sends a signal to the process that a node is now; its id.
    pub async fn signal(&self, node: &str, signal: Signal) -> u32 {
        let id = until(&format!("{node} runs"), async || self.process(node)).await;
        kill(id.pid, signal);
        id.pid
    }

    /// kill -9; the id that was.
    pub async fn kill(&self, node: &str) -> u32 {
        self.signal(node, Signal::KILL).await
    }

    /// Waits until a node serves, as another process than `not`.
    pub async fn serves(&self, node: &str, not: Option<u32>) {
        let nobody = Web::new(vec![]);
        until(&format!("{node} serves"), async || {
            let id = self.process(node)?;
            let origin = self.origin(node);
            let answer = nobody.ask(&origin, Method::GET, "/readyz", &Value::Null);
            let ready = answer.await?.status == StatusCode::OK;
            (ready && Some(id.pid) != not).then_some(())
        })
        .await;
    }

    fn log(&self, who: &str) -> String {
        let file = if who == "up" {
            self.dir.path().join("up.err")
        } else {
            self.data().join("nodes").join(who).join("server.log")
        };
        std::fs::read_to_string(file).unwrap_or_default()
    }

    /// What everybody had to say, for a test that failed.
    #[allow(clippy::print_stderr, reason = "a failed test says why")]
    fn print_logs(&self) {
        let mut all = vec!["up".to_owned()];
        all.extend(self.nodes());
        for who in all {
            eprintln!("--- {who}\n{}", self.log(&who));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        // First those that restart others, then the others; again, for what was just started.
        drop(self.up.kill());
        drop(self.up.wait());
        let deadline = Instant::now() + DYING;
        let mut nobody = 0;
        while nobody < 5 && Instant::now() < deadline {
            let left = left_of(&self.data());
            nobody = if left.is_empty() { nobody + 1 } else { 0 };
            for id in left {
                if let Some(pid) = i32::try_from(id.pid).ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

/// The `sns-server` beside this program, brought up to date when something that it is made of has
/// changed since: cargo builds it before all tests, but not before those of this package alone.
fn server() -> &'static Path {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = beside("sns-server");
        if !is_fresh(&server) {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
            cargo.args(["build", "-p", "sns-server", "--bin", "sns-server"]);
            if server.parent().is_some_and(|dir| dir.ends_with("release")) {
                cargo.arg("--release");
            }
            cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
            let status = cargo.status().expect("cargo runs");
            assert!(status.success(), "{cargo:?}: {status}");
        }
        server
    })
}

/// A program of this workspace in the directory of this one.
pub fn beside(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this program");
    let mut dir = own.parent().expect("a directory");
    if dir.ends_with("deps") {
        dir = dir.parent().expect("a directory");
    }
    dir.join(name)
}

/// Whether it is younger than all that it is made of in this workspace.
fn is_fresh(program: &Path) -> bool {
    let Some(built) = changed(program) else {
        return false;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let parts = ["sns-server/src", "sns-server/web", "sns-core/src", "proto"];
    !parts.iter().any(|part| is_newer(&root.join(part), built))
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// Whether `path`, or anything below it, was changed after `built`.
fn is_newer(path: &Path, built: SystemTime) -> bool {
    let below = std::fs::read_dir(path).into_iter().flatten().flatten();
    changed(path).is_none_or(|at| at > built)
        || below.into_iter().any(|it| is_newer(&it.path(), built))
}

/// Processes that the files of `data` name and that are alive.
fn left_of(data: &Path) -> Vec<ProcessId> {
    let node = |name: &String| NodeFile::read(&data.join("nodes").join(name))?.process;
    let mut ids: Vec<ProcessId> = nodes(data).iter().filter_map(node).collect();
    ids.extend(RunFile::read(data).and_then(|run| run.router));
    ids.retain(ProcessId::is_alive);
    ids
}

fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a pid"), signal).expect("signalled");
}
