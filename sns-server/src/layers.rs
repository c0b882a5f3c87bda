//! Where a setting comes from: a flag goes before a variable, that before a file, and that before
//! the default.
//!
//! What counts from the file is put behind what was typed, as if it had been typed there: so a value
//! from a file is checked, and excludes or needs others, exactly as one that was typed. Before that,
//! keys of the file give way to flags and variables, also to those that exclude them.

use std::ffi::OsString;
use std::path::Path;

use clap::builder::Resettable;
use clap::{Arg, ArgMatches, Command, CommandFactory as _, FromArgMatches as _};

use crate::args::Args;
use crate::config_file::{self, ConfigFile};
use crate::failure::Failure;

mod choice;
mod settings;

pub use settings::{Origin, Setting};

use choice::Chosen;

/// Why nothing can be run: what was typed, or what a file says.
#[derive(Debug)]
pub enum Early {
    /// Help, a version, or a line that makes no sense.
    Typed(Box<clap::Error>),
    /// A file that makes none.
    File(Failure),
}

impl From<clap::Error> for Early {
    fn from(error: clap::Error) -> Self {
        Self::Typed(Box::new(error))
    }
}

impl From<Failure> for Early {
    fn from(failure: Failure) -> Self {
        Self::File(failure)
    }
}

impl Early {
    /// The same as a failure of a command that reads command lines itself.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Typed(error) => Failure::invalid(config_file::first_paragraph(&error)),
            Self::File(failure) => failure,
        }
    }
}

/// Whether what a command needs has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// It is to be run.
    All,
    /// It is only looked at.
    Nothing,
}

/// A command line with all that counts for it.
#[derive(Debug)]
pub struct Resolved {
    /// As clap reads it.
    pub matches: ArgMatches,
    /// The words of the command.
    pub command: Vec<String>,
    /// Every setting of the command, in the order of its help.
    pub settings: Vec<Setting>,
    /// Where the keys come from.
    pub file: Option<ConfigFile>,
}

/// The program as clap knows it, with what commands have from the program as a whole. Variables that
/// are empty count as not set.
pub fn program() -> Command {
    let mut program = without_empty(Args::command());
    program.build();
    program
}

/// For clap a variable that is empty has a value, which no address and no path is.
fn without_empty(mut command: Command) -> Command {
    for inner in command.get_subcommands_mut() {
        *inner = without_empty(std::mem::take(inner));
    }
    command.mut_args(|arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        if value.is_some_and(|value| value.is_empty()) {
            arg.env(Resettable::Reset)
        } else {
            arg
        }
    })
}

/// Reads the command line `words`; `variable` gives the value of an environment variable, `None`
/// where it is not set, or empty. The variables that clap reads itself are those of this process.
///
/// # Errors
/// `Typed`: the line, also with what a file adds to it. `File`: what is wrong with the file.
pub fn resolve(
    words: &[OsString],
    variable: &dyn Fn(&str) -> Option<OsString>,
    needs: Needs,
) -> Result<Resolved, Early> {
    let program = match needs {
        Needs::All => program(),
        Needs::Nothing => without_needs(program()),
    };
    // What is wrong in it is said below, with what the file adds.
    let typed = lenient(program.clone()).try_get_matches_from(words);
    let typed = typed.ok().filter(|typed| typed.subcommand().is_some());
    let Some(typed) = typed else {
        return without_file(&program, words, variable);
    };
    let (command, given) = deepest(&typed);
    let Some(path) = file_named(&typed).filter(|_| config_file::is_read_for(&command)) else {
        return without_file(&program, words, variable);
    };
    let file = ConfigFile::read(Path::new(&path), &program)?;
    let mut chosen = Vec::new();
    if let Some(known) = config_file::find(&program, &command)
        && config_file::is_configured(&command)
    {
        let sources = choice::Sources {
            path: &command,
            typed: given,
            variable,
        };
        chosen = choice::choose(known, &sources, &file)?;
    }
    let line = with(words, chosen.iter().flat_map(Chosen::words));
    let matches = match program.clone().try_get_matches_from(line) {
        Ok(matches) => matches,
        Err(error) if chosen.is_empty() || !error.use_stderr() => return Err(error.into()),
        Err(error) => {
            let message = config_file::first_paragraph(&error);
            let settings = chosen.iter().map(|it| (it.name(), it.key.line));
            return Err(Failure::invalid(blame(message, &file, settings)).into());
        }
    };
    let settings = settings::list(&program, &command, deepest(&matches).1, &chosen, variable);
    Ok(Resolved {
        matches,
        command,
        settings,
        file: Some(file),
    })
}

fn without_file(
    program: &Command,
    words: &[OsString],
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Resolved, Early> {
    let matches = program.clone().try_get_matches_from(words)?;
    let (command, given) = deepest(&matches);
    let settings = settings::list(program, &command, given, &[], variable);
    Ok(Resolved {
        matches,
        command,
        settings,
        file: None,
    })
}

impl Resolved {
    /// What was typed, and what the file added to it.
    ///
    /// # Errors
    /// As clap's.
    pub fn args(&self) -> Result<Args, Early> {
        Args::from_arg_matches(&self.matches).map_err(|error| Early::Typed(Box::new(error)))
    }

    /// Says where the settings stand that a failure is about.
    pub fn blame(&self, mut failure: Failure) -> Failure {
        if let Some(file) = &self.file {
            let lines = self.settings.iter().filter_map(|setting| {
                let Origin::File(line) = setting.origin else {
                    return None;
                };
                Some((&*setting.name, line))
            });
            failure.message = blame(failure.message, file, lines);
        }
        failure
    }
}

/// A message, and the places in the file of all flags that it names.
fn blame<'a>(
    message: String,
    file: &ConfigFile,
    settings: impl Iterator<Item = (&'a str, usize)>,
) -> String {
    let named = settings.filter(|(name, _)| names(&message, name));
    let places: Vec<String> = named
        .map(|(name, line)| file.at(line, &format!("`{name}` is set here")))
        .collect();
    if places.is_empty() {
        return message;
    }
    format!("{message} ({})", places.join("; "))
}

/// Whether a text speaks of a flag: `--tls-cert` is not spoken of in `--tls-cert-file`.
fn names(text: &str, flag: &str) -> bool {
    let flag = format!("--{flag}");
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    text.match_indices(&flag)
        .any(|(at, found)| ends(&text[at + found.len()..]))
}

/// The same program, which makes what it can of any line.
fn lenient(mut command: Command) -> Command {
    for inner in command.get_subcommands_mut() {
        *inner = lenient(std::mem::take(inner));
    }
    without_needs_here(command).ignore_errors(true)
}

/// The same program, in which nothing has to be given.
fn without_needs(mut command: Command) -> Command {
    for inner in command.get_subcommands_mut() {
        *inner = without_needs(std::mem::take(inner));
    }
    without_needs_here(command)
}

fn without_needs_here(command: Command) -> Command {
    let groups: Vec<String> = command
        .get_groups()
        .filter(|group| group.is_required_set())
        .map(|group| group.get_id().to_string())
        .collect();
    let command = command.mut_args(|arg| arg.required(false));
    groups.into_iter().fold(command, |command, group| {
        command.mut_group(group, |group| group.required(false))
    })
}

/// `--config` or `SNS_CONFIG`, wherever it was typed; empty is as good as not given.
fn file_named(typed: &ArgMatches) -> Option<OsString> {
    let mut found = None;
    let mut level = Some(typed);
    while let Some(matches) = level {
        if let Ok(Some(path)) = matches.try_get_one::<OsString>("config") {
            found = Some(path.clone());
        }
        level = matches.subcommand().map(|(_, inner)| inner);
    }
    found.filter(|path| !path.is_empty())
}

/// The words of the command, and what was given to it.
fn deepest(matches: &ArgMatches) -> (Vec<String>, &ArgMatches) {
    let (mut path, mut level) = (Vec::new(), matches);
    while let Some((name, inner)) = level.subcommand() {
        path.push(name.to_owned());
        level = inner;
    }
    (path, level)
}

/// The line with `more` behind its flags.
fn with(words: &[OsString], more: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let flags = words.iter().position(|word| word == "--");
    let (flags, rest) = words.split_at(flags.unwrap_or(words.len()));
    let flags = flags.iter().cloned().chain(more);
    flags.chain(rest.iter().cloned()).collect()
}

/// The variable of a flag. `status` reads two by hand: they must not count as a conflict.
fn variable_of<'a>(path: &[String], arg: &'a Arg) -> Option<&'a str> {
    match (path.first().map(String::as_str), arg.get_long()) {
        (Some("status"), Some("router")) => Some("SNS_ROUTER"),
        (Some("status"), Some("data")) => Some("SNS_DATA"),
        _ => arg.get_env().and_then(|name| name.to_str()),
    }
}

#[cfg(test)]
mod tests;
