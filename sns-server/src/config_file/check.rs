//! Whether the keys of a file mean something to this program.

use std::collections::HashSet;

use clap::{Arg, ArgAction, Command};

use super::parse::Wrong;
use super::{Key, fit};

/// Commands that are not configured: what they do is asked for once.
const UNCONFIGURED: [&str; 4] = ["completions", "config", "help", "man"];

/// The flags that a file may set.
pub(crate) fn settable(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        let asks = matches!(
            arg.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        );
        // A file names no other file.
        arg.get_long().is_some() && !asks && arg.get_id() != "config"
    })
}

/// Whether a file says something to the command of these words.
pub(crate) fn is_configured(path: &[String]) -> bool {
    let first = path.first().map_or("", |word| word);
    !path.is_empty() && !UNCONFIGURED.contains(&first)
}

/// Whether the file is looked at: not for those that print what depends on nothing.
pub(crate) fn is_read_for(path: &[String]) -> bool {
    is_configured(path) || path.first().is_some_and(|word| word == "config")
}

/// The command of these words.
pub(crate) fn find<'a>(program: &'a Command, path: &[String]) -> Option<&'a Command> {
    path.iter()
        .try_fold(program, |command, word| command.find_subcommand(word))
}

/// All commands that can be run, each with its words.
fn commands(program: &Command) -> Vec<(Vec<String>, &Command)> {
    let mut found = Vec::new();
    let mut open = vec![(Vec::new(), program)];
    while let Some((path, command)) = open.pop() {
        for inner in command.get_subcommands() {
            let mut path: Vec<String> = path.clone();
            path.push(inner.get_name().to_owned());
            if !is_configured(&path) {
                continue;
            }
            if inner.has_subcommands() {
                open.push((path, inner));
            } else {
                found.push((path, inner));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Refuses the first key that no command, or not that of its table, would take.
pub(super) fn check(keys: &[Key], program: &Command) -> Result<(), Wrong> {
    let commands = commands(program);
    let mut seen = HashSet::new();
    for key in keys {
        let wrong = |why: String| (key.line, format!("{}: {why}", key.name));
        if !seen.insert((&key.table, &key.name)) {
            return Err(wrong("it stands in the file twice: keep one".to_owned()));
        }
        if key.name == "config" {
            return Err(wrong(
                "a file names no other file: take the key out".to_owned(),
            ));
        }
        if key.table.is_empty() {
            for_some(key, &commands).map_err(wrong)?;
        } else {
            for_one(key, &commands).map_err(wrong)?;
        }
    }
    Ok(())
}

/// On the top level one command has to take it.
fn for_some(key: &Key, commands: &[(Vec<String>, &Command)]) -> Result<(), String> {
    let mut refused = None;
    for (_, command) in commands {
        if let Some(arg) = named(command, &key.name) {
            match fit::check(arg, &key.value) {
                Ok(()) => return Ok(()),
                Err(why) => refused = refused.or(Some(why)),
            }
        }
    }
    Err(refused.unwrap_or_else(|| {
        let all = commands.iter().flat_map(|(_, command)| settable(command));
        let all = all.filter_map(Arg::get_long);
        format!("no command has this setting{}", meant(&key.name, all))
    }))
}

/// In a table its command has to.
fn for_one(key: &Key, commands: &[(Vec<String>, &Command)]) -> Result<(), String> {
    let table = key.table.join(" ");
    let found = commands.iter().find(|(path, _)| *path == key.table);
    let Some((_, command)) = found else {
        let all: Vec<String> = commands.iter().map(|(path, _)| path.join(" ")).collect();
        let inner = all.iter().find(|one| one.starts_with(&format!("{table} ")));
        return Err(match inner {
            Some(one) => {
                let dotted = one.replace(' ', ".");
                format!("the command `{table}` has parts: write [{dotted}] or [\"{one}\"]")
            }
            None => format!(
                "it stands in the table of {table:?}, which is no command{}",
                meant(&table, all.iter().map(String::as_str))
            ),
        });
    };
    if let Some(arg) = named(command, &key.name) {
        return fit::check(arg, &key.value);
    }
    let all = settable(command).filter_map(Arg::get_long);
    let hint = meant(&key.name, all);
    Err(format!("the command `{table}` has no such setting{hint}"))
}

fn named<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    settable(command).find(|arg| arg.get_long() == Some(name))
}

/// `: did you mean …?`, where something is near enough; else where all of them can be read.
fn meant<'a>(typed: &str, all: impl Iterator<Item = &'a str>) -> String {
    let near = all
        .map(|name| (distance(typed, name), name))
        .filter(|(steps, name)| *steps <= 1 + name.len() / 4)
        .min();
    match near {
        Some((_, name)) => format!(": did you mean `{name}`?"),
        None => ": `sns-server config show` lists all settings".to_owned(),
    }
}

/// How many letters have to be put in, taken out or replaced.
fn distance(a: &str, b: &str) -> usize {
    // A name of ours has some twenty letters: what is far longer is not worth the work.
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
