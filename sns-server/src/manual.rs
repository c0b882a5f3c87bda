//! `completions` and `man`: what shells and readers are given, from the definitions of the command
//! line themselves.

use std::path::PathBuf;

use clap::{Args as Group, CommandFactory as _};
use clap_complete::Shell;
use sns_client::manual::{self, Section};

use crate::args::Args;
use crate::failure::{Failure, Result};
use crate::output;

/// `completions`
#[derive(Debug, Group)]
pub struct CompletionArgs {
    /// Whose completion it is.
    pub shell: Shell,
}

/// `man`
#[derive(Debug, Group)]
pub struct ManArgs {
    /// Write every page into this directory, which is made when it is missing.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// What to write.
#[derive(Clone, Debug)]
pub enum ManualTask {
    /// What completes words in a shell.
    Completions(Shell),
    /// Manual pages; `None`: the first one to stdout.
    Man(Option<PathBuf>),
}

impl From<CompletionArgs> for ManualTask {
    fn from(typed: CompletionArgs) -> Self {
        Self::Completions(typed.shell)
    }
}

impl From<ManArgs> for ManualTask {
    fn from(typed: ManArgs) -> Self {
        Self::Man(typed.out)
    }
}

/// What clap knows nothing of.
const SECTIONS: &[Section] = &[
    Section {
        title: manual::ENVIRONMENT,
        entries: &[
            (
                "SNS_CONFIG",
                "A file with settings, as --config. The \
                 command line goes before a variable, that before the file, and that before the \
                 default; a variable that is empty counts as not set.",
            ),
            (
                "SNS_TRACE, RUST_LOG",
                "What is logged to stderr: error, warn, info, debug, trace, or a filter such as \
                 sns_server=debug. The first that is set counts.",
            ),
            (
                "SNS_LOG_FORMAT",
                "text or json. By default servers write text to a terminal, and JSON elsewhere.",
            ),
        ],
        commands: &[],
    },
    Section {
        title: "FILES",
        entries: &[
            (
                "/etc/sns/sns.toml",
                "Settings of the services that a package installs; it is read only where --config \
                 or SNS_CONFIG names it.",
            ),
            (
                "DATA/format.json",
                "Makes a directory a data directory, and says which program can read it.",
            ),
            (
                "DATA/log/",
                "The log: all that ever happened. Everything else follows from it.",
            ),
            (
                "DATA/snapshots/",
                "Copies of the view, from which a new node starts.",
            ),
            (
                "DATA/nodes/NODE/",
                "What one node keeps: its view, node.json, server.log, its lock.",
            ),
            (
                "DATA/secret",
                "The key by which tokens are signed; for its owner alone.",
            ),
        ],
        commands: &[
            "", "up", "master", "slave", "down", "status", "import", "doctor",
        ],
    },
    Section {
        title: "EXIT STATUS",
        entries: &[
            ("0", "Done."),
            ("1", "A bug: report it."),
            ("2", "Correct what was typed, set, or written in the file."),
            ("3", "Something is not there."),
            ("4", "Something is there already."),
            (
                "5",
                "Who are you? Log in, or check the owner and the mode of a file.",
            ),
            ("6", "There is too much of something, or the disk is full."),
            (
                "7",
                "It may work later: something does not answer, or is in use.",
            ),
            ("8", "A write may have happened, or not."),
            ("9", "Data is damaged: call the operator."),
        ],
        commands: &[],
    },
];

/// Writes it.
///
/// # Errors
/// As the file system refuses.
pub fn run(task: &ManualTask) -> Result<()> {
    let program = Args::command();
    let mut stdout = std::io::stdout().lock();
    let written = match task {
        ManualTask::Completions(shell) => {
            manual::completions(*shell, program, &mut stdout).map(|()| 0)
        }
        ManualTask::Man(out) => manual::write(program, SECTIONS, out.as_deref(), &mut stdout),
    };
    match (written, task) {
        (Ok(pages), ManualTask::Man(Some(out))) => {
            output::message(&format!("{pages} pages in {}", out.display()));
            Ok(())
        }
        (Ok(_), _) => Ok(()),
        (Err(error), ManualTask::Man(Some(_))) => Err(Failure::io("cannot write pages", &error)),
        (Err(error), _) => output::gone(error),
    }
}
