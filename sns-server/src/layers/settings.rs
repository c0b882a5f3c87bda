//! Every setting of a command, its value and where that comes from.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::choice::Chosen;
use super::variable_of;
use crate::config_file;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was typed.
    Flag,
    /// This variable is set.
    Variable(String),
    /// This line of the file.
    File(usize),
    /// Nobody said anything.
    Default,
}

/// One setting of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its flag, without dashes.
    pub name: String,
    /// As it would be typed, several with commas between them; `None`: it is not set, and what then
    /// happens is up to the command.
    pub value: Option<String>,
    /// Where that comes from.
    pub origin: Origin,
}

/// The settings of the command of these words.
pub(super) fn list(
    program: &Command,
    path: &[String],
    given: &ArgMatches,
    chosen: &[Chosen<'_>],
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Vec<Setting> {
    let Some(command) = config_file::find(program, path).filter(|_| !path.is_empty()) else {
        return Vec::new();
    };
    let setting = |arg: &Arg| {
        let name = arg.get_long().unwrap_or_default();
        let set = variable_of(path, arg).and_then(|name| Some((name, variable(name)?)));
        let from_file = chosen.iter().find(|it| it.name() == name);
        let source = given.value_source(arg.get_id().as_str());
        let by_hand = set.as_ref().filter(|_| arg.get_env().is_none());
        let origin = match (from_file, source, &set) {
            (Some(chosen), ..) => Origin::File(chosen.key.line),
            (None, Some(ValueSource::CommandLine), _) => Origin::Flag,
            (None, _, Some((name, _))) => Origin::Variable((*name).to_owned()),
            _ => Origin::Default,
        };
        let value = match (&origin, by_hand) {
            (Origin::Variable(_), Some((_, value))) => Some(shown(value)),
            _ => value(given, arg),
        };
        Setting {
            name: name.to_owned(),
            value,
            origin,
        }
    };
    config_file::settable(command).map(setting).collect()
}

fn value(given: &ArgMatches, arg: &Arg) -> Option<String> {
    let id = arg.get_id().as_str();
    if config_file::is_switch(arg) {
        return Some(given.get_flag(id).to_string());
    }
    let all: Vec<String> = given
        .try_get_raw(id)
        .ok()??
        .map(|value| value.to_string_lossy().into_owned())
        .collect();
    (!all.is_empty()).then(|| all.join(","))
}

fn shown(value: &OsString) -> String {
    value.to_string_lossy().into_owned()
}
