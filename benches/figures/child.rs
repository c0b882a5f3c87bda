//! Processes of their own that other subcommands measure: so that memory is that of one replica
//! alone, and so that one can be killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::{Value, json};
use sns_benches::{TEXT, load};
use sns_core::{Settings, Sns, Username};

use crate::memory;
use crate::run::{self, Result};
use crate::system;

/// The node that all of them are.
pub(crate) const NODE: &str = "bench";

/// What the process does.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Opens a feed, reads a page, says how long that took; ends with its standard input.
    Open {
        /// The data directory.
        #[arg(long)]
        data: PathBuf,
        /// Whose page is read.
        #[arg(long)]
        reader: String,
        /// Post until killed.
        #[arg(long)]
        post: bool,
    },
    /// Fills a feed and says how much memory that took.
    Fill(memory::Size),
    /// Opens a feed that was filled, reads all home pages and says how much memory that took.
    ReadAll(memory::Size),
}

pub(crate) fn run(what: &What) -> Result<()> {
    match what {
        What::Open { data, reader, post } => open(data, reader, *post),
        What::Fill(size) => memory::fill(size),
        What::ReadAll(size) => memory::read_all(size),
    }
}

/// As every child of ours opens a feed.
pub(crate) fn open_feed(data: &Path) -> sns_core::Result<Sns> {
    Sns::builder(data)
        .node(NODE)
        .settings(Settings::default())
        .open()
}

fn open(data: &Path, reader: &str, post: bool) -> Result<()> {
    let begun = Instant::now();
    let sns = open_feed(data)?;
    let opened = begun.elapsed();
    let reader = Username::parse(reader)?;
    let page = sns.home(&reader).page()?;
    say(&json!({
        "open_ms": run::millis(opened),
        "page_ms": run::millis(begun.elapsed().saturating_sub(opened)),
        "posts": page.items.len(),
        "rss_kib": system::rss_kib(std::process::id()),
    }))?;
    if post {
        load::posts(&sns, std::iter::repeat(&reader), TEXT, &mut |_| ());
    }
    wait_for_end()?;
    sns.close();
    Ok(())
}

/// Tells the process that started this one.
pub(crate) fn say(what: &Value) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{what}")?;
    Ok(stdout.flush()?)
}

/// Waits until the process that started this one has seen enough, or is gone.
pub(crate) fn wait_for_end() -> Result<()> {
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    Ok(())
}

/// A process that runs `sns-figures child …`; killed with the value.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("a child has no stdout")?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout),
        })
    }

    /// Waits for what it says next.
    pub(crate) fn hear(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        if line.is_empty() {
            return Err("a process that was measured ended early; it says why above".into());
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// Lets it end by itself.
    pub(crate) fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("a process that was measured ended with {status}").into());
        }
        Ok(())
    }

    /// SIGKILL after a while.
    pub(crate) fn kill_after(mut self, time: Duration) -> Result<()> {
        run::pause(time);
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already after `end` and `kill_after`.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `sns-figures child`, with more to come.
pub(crate) fn command() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("child");
    Ok(command)
}
