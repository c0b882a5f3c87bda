//! `sns-server up` on a directory of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use sns_load::Graph;

use crate::failure::{Doing as _, Failure, Result};
use crate::places;
use crate::process::Running;

/// How long it may take to serve.
const STARTING: Duration = Duration::from_secs(60);

/// A running service; it ends with this value.
#[derive(Debug)]
pub struct SnsServer {
    program: PathBuf,
    dir: PathBuf,
    running: Running,
    /// Whoever writes to it must find it open.
    _stdout: BufReader<ChildStdout>,
    router: String,
    version: String,
}

impl SnsServer {
    /// Whether the program is there.
    pub(crate) fn check(program: &Path) -> Result<()> {
        if !program.is_file() {
            let path = program.display();
            let hint = "cargo build --release -p sns-server, or name it with --sns-server";
            return Err(Failure(format!("{path} is not there: {hint}")));
        }
        Ok(())
    }

    /// Starts `program`, which is `sns-server`, with its data in `dir`, which must exist.
    ///
    /// # Errors
    /// It is not there, or does not come up.
    pub async fn start(program: &Path, dir: &Path, pairs: u32) -> Result<Self> {
        Self::check(program)?;
        let version = places::version(program)?;
        let log = dir.join("up.log");
        let mut command = Command::new(program);
        command
            .args(["up", "--servers", &pairs.to_string()])
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(dir.join("data"))
            .stdout(Stdio::piped());
        plain(&mut command);
        let mut running = Running::start("sns-server", &mut command, Signal::TERM, &log)?;
        let stdout = running.stdout();
        let stdout = stdout.ok_or_else(|| Failure("sns-server has no stdout".to_owned()))?;
        let first = tokio::task::spawn_blocking(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = String::new();
            reader.read_line(&mut line).map(|_| (reader, line))
        });
        let silent = || Failure("sns-server up does not serve within a minute".to_owned());
        let first = tokio::time::timeout(STARTING, first).await;
        let (reader, line) = first
            .map_err(|_| silent())?
            .doing("wait for sns-server")?
            .doing("read what sns-server says")?;
        let router = line.trim().strip_prefix("router ");
        let Some(router) = router.map(str::to_owned) else {
            running.check(&log)?;
            return Err(Failure(format!("sns-server up said {line:?}")));
        };
        Ok(Self {
            program: program.to_owned(),
            dir: dir.to_owned(),
            running,
            _stdout: reader,
            router,
            version,
        })
    }

    /// Address of the router, `http://HOST:PORT`.
    pub fn router(&self) -> &str {
        &self.router
    }

    /// What it says its version is.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Loads a graph with `sns-server import`, beside the running servers.
    ///
    /// # Errors
    /// The import fails, with what it said.
    pub async fn load(&self, graph: &Graph) -> Result<()> {
        let users = self.dir.join("users.txt");
        let follows = self.dir.join("follows.txt");
        write(&users, graph.names.iter().map(|name| format!("{name}\n")))?;
        let pairs = graph.follows.iter().map(|(user, followee)| {
            let name = |user: &u32| graph.names.get(*user as usize).map_or("", String::as_str);
            format!("{}\t{}\n", name(user), name(followee))
        });
        write(&follows, pairs)?;
        let mut command = tokio::process::Command::new(&self.program);
        plain(command.as_std_mut());
        let output = command
            .args(["import", "--data"])
            .arg(self.dir.join("data"))
            .arg("--users")
            .arg(users)
            .arg("--follows")
            .arg(follows)
            .kill_on_drop(true)
            .output()
            .await
            .doing("run sns-server import")?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Failure(format!("sns-server import failed: {said}")))
    }

    /// Stops all of it.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(mut self) -> Result<()> {
        self.running.stop().map(drop)
    }
}

impl Drop for SnsServer {
    fn drop(&mut self) {
        let stopped = self.running.stop();
        if stopped.is_ok_and(|status| status.success()) {
            return;
        }
        // `up` is gone and could not take its nodes along.
        let mut down = Command::new(&self.program);
        plain(&mut down);
        down.args(["down", "--data"]).arg(self.dir.join("data"));
        drop(down.stdin(Stdio::null()).output());
    }
}

/// Without settings from the caller's environment.
fn plain(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("SNS_")) {
            command.env_remove(name);
        }
    }
}

fn write(path: &Path, lines: impl Iterator<Item = String>) -> Result<()> {
    let doing = format!("write {}", path.display());
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).doing(&doing)?);
    for line in lines {
        file.write_all(line.as_bytes()).doing(&doing)?;
    }
    file.flush().doing(&doing)
}
