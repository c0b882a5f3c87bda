//! Which keys of a file count for one command, given what was typed and set.

use std::collections::HashSet;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::{variable_of, without_needs_here};
use crate::config_file::{self, ConfigFile, Key};
use crate::failure::{Failure, Result};

/// What goes before the file.
pub(super) struct Sources<'a> {
    /// The words of the command.
    pub(super) path: &'a [String],
    /// What was typed to it.
    pub(super) typed: &'a ArgMatches,
    /// The environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<OsString>,
}

impl Sources<'_> {
    /// Whether somebody said so who goes before the file.
    fn gives(&self, arg: &Arg) -> bool {
        let typed = self.typed.value_source(arg.get_id().as_str());
        let variable = variable_of(self.path, arg);
        typed == Some(ValueSource::CommandLine)
            || variable.is_some_and(|name| (self.variable)(name).is_some())
    }

    /// The tables that are for this command, the nearest first. `doctor` looks at what another
    /// command would be given.
    fn tables(&self, file: &ConfigFile) -> Vec<Vec<String>> {
        let own = self.path.to_vec();
        if self.path.first().is_none_or(|word| word != "doctor") {
            return vec![own];
        }
        let typed = self.typed.get_raw("role").and_then(|mut all| all.next());
        let typed = typed.and_then(|role| role.to_str());
        let told = self.typed.value_source("role") == Some(ValueSource::CommandLine);
        let role = match file.key("role", std::slice::from_ref(&own)) {
            Some(Key {
                value: config_file::Value::Text(role),
                ..
            }) if !told => Some(&**role),
            _ => typed,
        };
        let other = role.map(|role| vec![role.to_owned()]);
        std::iter::once(own).chain(other).collect()
    }
}

/// A key that counts.
#[derive(Clone, Debug)]
pub(super) struct Chosen<'a> {
    pub(super) key: &'a Key,
    arg: &'a Arg,
    file: &'a ConfigFile,
}

impl<'a> Chosen<'a> {
    /// The flag, without its dashes.
    pub(super) fn name(&self) -> &'a str {
        &self.key.name
    }

    /// What a person would have typed.
    pub(super) fn words(&self) -> Vec<OsString> {
        config_file::words(&self.key.name, &self.key.value, |text| {
            if names_path(self.arg, text) {
                self.file.resolve(text).into_os_string()
            } else {
                text.into()
            }
        })
    }

    /// One of the two goes without the other.
    fn excludes(&self, other: &Arg, command: &Command) -> bool {
        let says = |one: &Arg, other: &Arg| {
            let mut refused = command.get_arg_conflicts_with(one).into_iter();
            refused.any(|arg| arg.get_id() == other.get_id())
        };
        says(self.arg, other) || says(other, self.arg)
    }
}

/// The keys of `file` that count for `command`.
///
/// # Errors
/// `Invalid`: one of them has a value that another command takes, and this one does not.
pub(super) fn choose<'a>(
    command: &'a Command,
    sources: &Sources<'_>,
    file: &'a ConfigFile,
) -> Result<Vec<Chosen<'a>>> {
    let tables = sources.tables(file);
    let mut chosen = Vec::new();
    let (mut before, mut dropped) = (Vec::new(), HashSet::new());
    for arg in config_file::settable(command) {
        let name = arg.get_long().unwrap_or_default();
        if sources.gives(arg) {
            before.push(arg);
        } else if let Some(key) = file.key(name, &tables) {
            config_file::fits(arg, &key.value)
                .map_err(|why| Failure::invalid(file.at(key.line, &format!("{name}: {why}"))))?;
            chosen.push(Chosen { key, arg, file });
        }
    }
    // What was typed or set, and what stands in the command's own table, was meant: what excludes it
    // gives way.
    let near: Vec<Chosen<'_>> = chosen.iter().filter(|it| is_near(it)).cloned().collect();
    let is_status = sources.path.first().is_some_and(|word| word == "status");
    let router = chosen.iter().any(|it| it.name() == "router");
    chosen.retain(|it| {
        let by_others = before.iter().any(|arg| it.excludes(arg, command));
        let by_own = !is_near(it) && near.iter().any(|own| it.excludes(own.arg, command));
        // As of the variables, so of the keys that are for all commands: routers go first.
        let by_router = is_status && it.name() == "data" && router && !is_near(it);
        let goes = by_others || by_own || by_router;
        if goes {
            dropped.insert(it.name());
        }
        !goes
    });
    // And with them go those that make no sense without them.
    while !dropped.is_empty() {
        let lost = |it: &Chosen<'_>| {
            let mut needed = needs(command, it).into_iter();
            needed.any(|name| dropped.contains(&*name))
        };
        let gone: Vec<&str> = chosen
            .iter()
            .filter(|it| lost(it))
            .map(Chosen::name)
            .collect();
        if gone.is_empty() {
            break;
        }
        chosen.retain(|it| !gone.contains(&it.name()));
        dropped.extend(gone);
    }
    Ok(chosen)
}

/// Whether `text` names a file or a directory: `-` is stdin or stdout, and the logs of `log copy` may
/// lie on a cluster. `--log` takes no path at all.
fn names_path(arg: &Arg, text: &str) -> bool {
    let names = arg.get_value_names().unwrap_or_default();
    let is_log = arg.get_long() != Some("log") && names.iter().any(|name| *name == "LOG");
    let is_url = ["nats://", "tls://"].iter().any(|it| text.starts_with(it));
    text != "-" && (config_file::is_path(arg) || (is_log && !is_url))
}

fn is_near(chosen: &Chosen<'_>) -> bool {
    !chosen.key.table.is_empty()
}

/// The flags that clap asks for when this one stands alone.
fn needs(command: &Command, chosen: &Chosen<'_>) -> Vec<String> {
    let alone = without_needs_here(command.clone()).no_binary_name(true);
    let Err(error) = alone.try_get_matches_from(chosen.words()) else {
        return Vec::new();
    };
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return Vec::new();
    }
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else {
        return Vec::new();
    };
    // `--nats-user <NAME>`
    let names = missing.iter().filter_map(|usage| {
        let flag = usage.strip_prefix("--")?;
        Some(flag.split([' ', '=']).next()?.to_owned())
    });
    names.collect()
}
