//! What every subcommand is given, and what it says on a terminal.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sns_benches::{Graph, GraphFile};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::record::Recorder;
use crate::server;

/// A sentence for whoever takes the figures.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What can fail.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// What every subcommand is given.
#[derive(Debug)]
pub(crate) struct Run {
    /// Small, to see that it works.
    pub(crate) quick: bool,
    dir: PathBuf,
    /// Where figures go.
    pub(crate) record: Recorder,
}

impl Run {
    pub(crate) fn new(quick: bool, dir: &Path, out: &Path) -> Result<Self> {
        tidy_when_asked_to_stop()?;
        std::fs::create_dir_all(dir).map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
        Ok(Self {
            quick,
            dir: dir.to_owned(),
            record: Recorder::open(out, quick)?,
        })
    }

    /// An empty directory that goes with the value.
    pub(crate) fn scratch(&self) -> Result<TempDir> {
        let made = tempfile::Builder::new()
            .prefix("data-")
            .tempdir_in(&self.dir);
        let made = made.map_err(|e| format!("cannot write to {}: {e}", self.dir.display()))?;
        if let Ok(mut scratch) = SCRATCH.lock() {
            scratch.push(made.path().to_owned());
        }
        Ok(made)
    }

    /// One of two values: the small one for `--quick`.
    pub(crate) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// A runtime that closes connections also while nobody waits for it, so that a server which stops
/// need not wait for them.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
}

/// Directories that go with this process, however it ends.
static SCRATCH: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// On Ctrl-C and SIGTERM stops the servers that run on what lies on the disk, removes it and ends.
fn tidy_when_asked_to_stop() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new().name("stop".into()).spawn(move || {
        let asked: std::io::Result<()> = runtime.block_on(async {
            let mut end = signal(SignalKind::terminate())?;
            tokio::select! {
                ended = tokio::signal::ctrl_c() => ended,
                _ = end.recv() => Ok(()),
            }
        });
        if let Err(why) = asked {
            say(&format!("Ctrl-C will leave data behind: {why}"));
            return;
        }
        say("asked to stop: stopping servers, removing what lies on the disk");
        // Whoever still works on it will fail now; nobody needs to hear of that.
        std::panic::set_hook(Box::new(|_| ()));
        server::stop_all();
        if let Ok(scratch) = SCRATCH.lock() {
            for dir in scratch.iter().filter(|dir| dir.exists()) {
                if let Err(why) = std::fs::remove_dir_all(dir) {
                    say(&format!("{} stays: {why}", dir.display()));
                }
            }
        }
        std::process::exit(130);
    })?;
    Ok(())
}

/// The graphs that are there; says which are not.
pub(crate) fn graphs() -> Vec<(GraphFile, Graph)> {
    [GraphFile::Reed98, GraphFile::Slashdot]
        .into_iter()
        .filter_map(|file| match file.read() {
            Ok(graph) => Some((file, graph)),
            Err(why) => {
                say(&format!("SKIPPED {}: {why}", file.name()));
                None
            }
        })
        .collect()
}

/// A line for whoever watches.
#[allow(clippy::print_stderr, reason = "this is a command line")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// A table: numbers to the right, the first column to the left.
#[allow(clippy::print_stdout, reason = "this is a command line")]
pub(crate) fn table(title: &str, head: &[&str], rows: &[Vec<String>]) {
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            widest.max(head[column].chars().count())
        })
        .collect();
    println!("\n{title}");
    let head: Vec<String> = head.iter().map(|&it| it.to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let cells = row.iter().zip(&widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(column, (cell, &width))| {
                if column == 0 {
                    format!("{cell:width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        println!("  {}", cells.join("  ").trim_end());
    }
    println!();
}

/// A bar on a terminal; nothing elsewhere.
pub(crate) fn bar(what: impl Into<String>, total: u64) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(5)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(total), target).with_message(what.into());
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}")
    {
        bar.set_style(style);
    }
    bar
}

/// Waits until `when`, while a bar goes on if there is one.
pub(crate) fn until(when: Instant) {
    loop {
        let left = when.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

/// Waits for a while.
pub(crate) fn pause(time: Duration) {
    until(Instant::now() + time);
}

/// Looks again and again until there is an answer, for a minute at most.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = look() {
            return Ok(answer);
        }
        if Instant::now() > end {
            return Err(format!("waited a minute in vain: {what}").into());
        }
        pause(Duration::from_millis(1));
    }
}

/// With separators between thousands: `1,234,567`.
pub(crate) fn count(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Three or four digits of milliseconds.
pub(crate) fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        0.0 => "-".to_owned(),
        ms if ms < 1.0 => format!("{ms:.4} ms"),
        ms if ms < 100.0 => format!("{ms:.2} ms"),
        ms => format!("{} ms", count(ms)),
    }
}

/// Microseconds of a time, to three digits after the point.
pub(crate) fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e9).round() / 1e3
}

/// Milliseconds of a time, to three digits after the point.
pub(crate) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// To two digits after the point.
pub(crate) fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
