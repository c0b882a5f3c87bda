//! `completions` and `man`: what shells and readers are given, from the definitions of the command
//! line themselves.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;
use sns_client::manual::{self, Section};

use crate::args::Args;
use crate::output::Failure;

/// What to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Manual {
    /// What completes words in a shell.
    Completions(Shell),
    /// Manual pages; `None`: the first one to stdout.
    Man(Option<PathBuf>),
}

/// What clap knows nothing of.
const SECTIONS: &[Section] = &[
    Section {
        title: manual::ENVIRONMENT,
        entries: &[
            (
                "SNS_TOKEN",
                "A token, in the place of a login. Where both are, the token counts.",
            ),
            ("NO_COLOR", "Set to anything: nothing is emphasised."),
        ],
        commands: &[],
    },
    Section {
        title: "FILES",
        entries: &[
            (
                "$XDG_CONFIG_HOME/sns/credentials.json, else ~/.config/sns/credentials.json",
                "The tokens of those who logged in; for their owner alone.",
            ),
            (
                "$XDG_STATE_HOME/sns/history, else ~/.local/state/sns/history",
                "The commands of the interactive mode; never what was posted.",
            ),
        ],
        commands: &[],
    },
    Section {
        title: "EXIT STATUS",
        entries: &[
            ("0", "Done."),
            ("1", "A bug: report it."),
            ("2", "Correct what was typed."),
            ("3", "Nobody has that name, or nothing that id."),
            ("4", "It is there already."),
            ("5", "Log in first."),
            ("6", "Too much at once: slow down."),
            ("7", "No server answers: try again later."),
            ("8", "The write may have happened, or not."),
            ("9", "Data is damaged: call the operator."),
            ("10", "bench: the figures are not as --fail-if asks for."),
            ("130, 143", "A signal ended it."),
        ],
        commands: &[],
    },
];

/// Writes it.
pub(crate) fn run(what: &Manual) -> Result<(), Failure> {
    let program = Args::command();
    let mut stdout = std::io::stdout().lock();
    match what {
        Manual::Completions(shell) => manual::completions(*shell, program, &mut stdout)?,
        Manual::Man(out) => {
            manual::write(program, SECTIONS, out.as_deref(), &mut stdout)?;
        }
    }
    Ok(())
}
