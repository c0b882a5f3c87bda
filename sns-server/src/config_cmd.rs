//! `config show`: every setting of a command, its value and where that comes from. `config check`:
//! whether a command could be run with them.

use std::ffi::OsString;

use clap::{Args as Group, Subcommand};
use serde_json::json;
use sns_proto::escape::escape_json;

use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::layers::{self, Needs, Origin, Resolved, Setting};
use crate::output;
use crate::telemetry::escaped;

/// What is shown when nobody names a command: those that run as a service.
const SERVERS: [&str; 4] = ["up", "router", "master", "slave"];

/// In the place of a value that is not set.
const UNSET: &str = "-";

/// `config`
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum ConfigArgs {
    /// Show every setting of a command and its value.
    Show(Show),
    /// Check the settings of a command without running it; without one, those of the file alone.
    Check(Check),
}

/// `config show`
#[derive(Debug, Group)]
pub struct Show {
    /// Say where each value comes from: a flag, a variable, a line of the file, or the default.
    #[arg(long)]
    pub origin: bool,
    /// The command, with flags if it is to have some [default: up, router, master and slave].
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub line: Vec<OsString>,
}

/// `config check`
#[derive(Debug, Group)]
pub struct Check {
    /// The command, with its flags.
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub line: Vec<OsString>,
}

/// What to do about settings.
#[derive(Clone, Debug)]
pub struct ConfigTask {
    what: What,
    line: Vec<OsString>,
    file: Option<OsString>,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Show { origin: bool },
    Check,
}

impl ConfigTask {
    /// What was typed, and the file that was named.
    pub fn new(typed: ConfigArgs, file: Option<OsString>) -> Self {
        let (what, line) = match typed {
            ConfigArgs::Show(Show { origin, mut line }) => {
                // Behind the command it is as good as before it: no command has a flag of that name.
                let words = line.len();
                line.retain(|word| word != "--origin");
                let origin = origin || line.len() < words;
                (What::Show { origin }, line)
            }
            ConfigArgs::Check(Check { line }) => (What::Check, line),
        };
        Self { what, line, file }
    }

    /// As if `line` had been typed.
    fn resolve(&self, line: &[OsString], needs: Needs) -> Result<Resolved> {
        let mut words = vec![OsString::from("sns-server")];
        let named = |word: &OsString| word.to_string_lossy().starts_with("--config");
        if let Some(file) = self.file.as_ref().filter(|_| !line.iter().any(named)) {
            words.extend(["--config".into(), file.clone()]);
        }
        words.extend_from_slice(line);
        layers::resolve(&words, &crate::cli::variable, needs).map_err(layers::Early::into_failure)
    }
}

/// Does it.
///
/// # Errors
/// `Invalid`: the command, its flags, or the file; `config check` also as the command itself.
pub fn run(task: &ConfigTask, json: bool) -> Result<()> {
    match task.what {
        What::Show { origin } if task.line.is_empty() => {
            for (at, command) in SERVERS.into_iter().enumerate() {
                if at > 0 && !json {
                    output::line("")?;
                }
                let resolved = task.resolve(&[command.into()], Needs::Nothing)?;
                show(&resolved, origin, json, true)?;
            }
            Ok(())
        }
        What::Show { origin } => {
            let resolved = task.resolve(&task.line, Needs::Nothing)?;
            let json = json || told_json(&resolved);
            show(&resolved, origin, json, false)
        }
        What::Check if task.line.is_empty() => {
            // That the file makes sense was found out when this command was read.
            let file = task.file.as_ref().filter(|file| !file.is_empty());
            let file = file.ok_or_else(|| {
                Failure::invalid(
                    "what is to be checked? Name a command, as in `config check up`, or a file \
                     with --config",
                )
            })?;
            let file = file.to_string_lossy();
            say(
                json,
                &json!({"file": file, "fine": true}),
                &format!("{file}: every key is fine"),
            )
        }
        What::Check => check(task, json),
    }
}

fn check(task: &ConfigTask, json: bool) -> Result<()> {
    let resolved = task.resolve(&task.line, Needs::All)?;
    let args = resolved.args().map_err(layers::Early::into_failure)?;
    let json = json || args.json;
    let text = |name: &str| crate::cli::variable(name).and_then(|it| it.into_string().ok());
    Config::check(args, text).map_err(|failure| resolved.blame(failure))?;
    let command = resolved.command.join(" ");
    let given = resolved.settings.iter();
    let given = given.filter(|it| it.origin != Origin::Default).count();
    say(
        json,
        &json!({"command": command, "fine": true, "given": given}),
        &format!("{command}: fine; {given} settings are not the default"),
    )
}

fn told_json(resolved: &Resolved) -> bool {
    let said = |it: &&Setting| it.name == "json" && it.value.as_deref() == Some("true");
    resolved.settings.iter().any(|it| said(&it))
}

fn say(json: bool, object: &serde_json::Value, text: &str) -> Result<()> {
    if json {
        output::line(&escape_json(&object.to_string()))
    } else {
        output::line(&escaped(text))
    }
}

fn show(resolved: &Resolved, origin: bool, json: bool, titled: bool) -> Result<()> {
    let command = resolved.command.join(" ");
    if resolved.command.is_empty() {
        return Err(Failure::invalid(
            "settings of which command? Name one, as in `config show up`",
        ));
    }
    if json {
        for setting in &resolved.settings {
            let line = object(&command, setting, resolved).to_string();
            output::line(&escape_json(&line))?;
        }
        return Ok(());
    }
    if titled {
        output::line(&format!("[{command}]"))?;
    }
    for line in table(resolved, origin) {
        output::line(&line)?;
    }
    Ok(())
}

fn object(command: &str, setting: &Setting, resolved: &Resolved) -> serde_json::Value {
    let (origin, line, variable) = match &setting.origin {
        Origin::Flag => ("flag", None, None),
        Origin::Variable(name) => ("variable", None, Some(name)),
        Origin::File(line) => ("file", Some(*line), None),
        Origin::Default => ("default", None, None),
    };
    let file = resolved.file.as_ref().filter(|_| line.is_some());
    json!({
        "command": command,
        "setting": setting.name,
        "value": setting.value,
        "origin": origin,
        "file": file.map(|file| file.path().to_string_lossy()),
        "line": line,
        "variable": variable,
    })
}

/// Columns: the setting, its value, and where it comes from.
fn table(resolved: &Resolved, origin: bool) -> Vec<String> {
    let rows = resolved.settings.iter().map(|setting| {
        let value = setting.value.as_deref().map_or(UNSET.to_owned(), escaped);
        let place = match (&setting.origin, &resolved.file) {
            (Origin::Flag, _) => "flag".to_owned(),
            (Origin::Variable(name), _) => format!("{name} (environment)"),
            (Origin::File(line), Some(file)) => {
                escaped(&format!("{}:{line}", file.path().display()))
            }
            _ => "default".to_owned(),
        };
        [setting.name.clone(), value, place]
    });
    let rows: Vec<[String; 3]> = rows.collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (name, value) = (width(0), width(1).min(60));
    let line = |row: &[String; 3]| {
        if origin {
            format!("{:name$}  {:value$}  {}", row[0], row[1], row[2])
        } else {
            format!("{:name$}  {}", row[0], row[1])
        }
    };
    rows.iter().map(line).collect()
}
