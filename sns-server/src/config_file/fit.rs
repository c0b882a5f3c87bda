//! Whether a value of a file is one that a flag takes.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};

use super::Value;

/// It takes no value: it is on or off.
pub(crate) fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse)
}

/// Its value names a file or a directory.
pub(crate) fn is_path(arg: &Arg) -> bool {
    let names = arg.get_value_names().unwrap_or_default();
    arg.get_value_parser().type_id() == TypeId::of::<PathBuf>()
        || names.iter().any(|name| *name == "FILE" || *name == "DIR")
}

fn is_number(arg: &Arg) -> bool {
    let id = arg.get_value_parser().type_id();
    [
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<i32>(),
        TypeId::of::<i64>(),
    ]
    .iter()
    .any(|number| id == *number)
}

/// It may be given several times.
fn takes_many(arg: &Arg) -> bool {
    arg.get_value_delimiter().is_some() || matches!(arg.get_action(), ArgAction::Append)
}

/// Refuses what the flag would not take, and says what it takes.
pub(crate) fn check(arg: &Arg, value: &Value) -> Result<(), String> {
    match value {
        Value::Many(_) if !takes_many(arg) => {
            return Err("takes one value, and this is an array".to_owned());
        }
        Value::Many(all) => all.iter().try_for_each(|one| right_type(arg, one))?,
        one => right_type(arg, one)?,
    }
    trial(arg, value)
}

fn right_type(arg: &Arg, value: &Value) -> Result<(), String> {
    let expected = if is_switch(arg) {
        "is a switch: give true or false, without quotes"
    } else if is_number(arg) {
        "takes a whole number, without quotes"
    } else {
        "takes a text: put it in quotes"
    };
    let fits = match value {
        Value::Switch(_) => is_switch(arg),
        Value::Number(_) => is_number(arg),
        Value::Text(_) => !is_switch(arg) && !is_number(arg),
        Value::Many(_) => false,
    };
    fits.then_some(()).ok_or_else(|| expected.to_owned())
}

/// What stands for a flag on a trial: clap wants names that are known when the program is made.
const ALONE: &str = "the-value-on-trial";

/// The flag alone, on a command line of its own: what it refuses there it would refuse anywhere.
fn trial(arg: &Arg, value: &Value) -> Result<(), String> {
    if is_switch(arg) {
        return Ok(());
    }
    let mut alone = Arg::new(ALONE)
        .long(ALONE)
        .action(ArgAction::Append)
        .value_parser(arg.get_value_parser().clone());
    if let Some(names) = arg.get_value_names() {
        alone = alone.value_names(names.to_vec());
    }
    if let Some(delimiter) = arg.get_value_delimiter() {
        alone = alone.value_delimiter(delimiter);
    }
    let words = words(ALONE, value, |text| text.into());
    let trial = Command::new("trial").no_binary_name(true).arg(alone);
    match trial.try_get_matches_from(words) {
        Ok(_) => Ok(()),
        Err(refused) => {
            let name = arg.get_long().unwrap_or_default();
            let told = first_paragraph(&refused);
            Err(told.replace(&format!("--{ALONE} "), &format!("--{name} ")))
        }
    }
}

/// What a person would type for it; `resolved` is what becomes of each text.
pub(crate) fn words(
    name: &str,
    value: &Value,
    resolved: impl Fn(&str) -> OsString + Copy,
) -> Vec<OsString> {
    let given = |value: OsString| {
        let mut word = OsString::from(format!("--{name}="));
        word.push(value);
        word
    };
    match value {
        Value::Switch(true) => vec![format!("--{name}").into()],
        Value::Switch(false) => Vec::new(),
        Value::Number(number) => vec![given(number.into())],
        Value::Text(text) => vec![given(resolved(text))],
        Value::Many(all) => all
            .iter()
            .flat_map(|one| words(name, one, resolved))
            .collect(),
    }
}

/// What clap says is wrong, in one line; the rest is about how it is typed.
pub(crate) fn first_paragraph(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let line: Vec<&str> = first.split_whitespace().collect();
    let line = line.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}
