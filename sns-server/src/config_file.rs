//! [`ConfigFile`]: settings in a file, `--config FILE`. A key is a long flag without its dashes; on
//! the top level it is for every command that knows the flag, in a table named after a command for
//! that one alone. Which of flag, variable and file counts is decided in [`layers`](crate::layers).

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sns_core::own_file;

use crate::failure::{Failure, Result};

mod check;
mod fit;
mod parse;

pub(crate) use check::{find, is_configured, is_read_for, settable};
pub(crate) use fit::{check as fits, first_paragraph, is_path, is_switch, words};

/// Bytes of a file with settings: all settings there are take some KiB.
const BYTES: u64 = 1024 * 1024;

/// What one key was set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true`, `false`
    Switch(bool),
    /// A whole number, in decimal digits.
    Number(String),
    /// A text in quotes.
    Text(String),
    /// An array of the others.
    Many(Vec<Value>),
}

/// One key of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The words of the command that it is for; empty: of all that know it.
    pub table: Vec<String>,
    /// A long flag without its dashes.
    pub name: String,
    /// What it was set to.
    pub value: Value,
    /// Where it stands; the first line is 1.
    pub line: usize,
}

/// A file with settings, all of which make sense to some command of this program.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    keys: Vec<Key>,
}

impl ConfigFile {
    /// Reads `path` and checks it against `program`, the commands that there are.
    ///
    /// # Errors
    /// `Invalid`: the file is missing, cannot be read, is too long, is no text, may be written by
    /// others; or a key is unknown, stands there twice, or has a value that its flag would not take.
    pub fn read(path: &Path, program: &clap::Command) -> Result<Self> {
        let path = std::path::absolute(path)
            .map_err(|e| Failure::invalid(format!("--config {}: {e}", path.display())))?;
        let text = text_of(&path)
            .map_err(|why| Failure::invalid(format!("--config {}: {why}", path.display())))?;
        Self::of_text(path, &text, program)
    }

    /// As [`ConfigFile::read`], of a file whose text is known.
    ///
    /// # Errors
    /// As [`ConfigFile::read`].
    pub fn of_text(path: PathBuf, text: &str, program: &clap::Command) -> Result<Self> {
        let wrong = |(line, why): (usize, String)| Failure::invalid(at(&path, line, &why));
        let keys = parse::keys(text).map_err(wrong)?;
        check::check(&keys, program).map_err(wrong)?;
        Ok(Self { path, keys })
    }

    /// Where it is; absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What counts for a setting of the command whose tables these are, the nearest first.
    pub fn key(&self, name: &str, tables: &[Vec<String>]) -> Option<&Key> {
        let none = Vec::new();
        let mut places = tables.iter().chain([&none]);
        places.find_map(|table| {
            let mut keys = self.keys.iter();
            keys.find(|key| key.name == name && key.table == *table)
        })
    }

    /// `file:line: what is wrong there`
    pub fn at(&self, line: usize, why: &str) -> String {
        at(&self.path, line, why)
    }

    /// A path as the file means it: relative to the directory of the file, wherever the program
    /// was started.
    pub fn resolve(&self, path: &str) -> PathBuf {
        match self.path.parent() {
            Some(dir) if !path.is_empty() => dir.join(path),
            _ => path.into(),
        }
    }
}

fn at(path: &Path, line: usize, why: &str) -> String {
    format!("{}:{line}: {why}", path.display())
}

/// All of the file. A link is followed, as configuration is often put in place with links; what is
/// behind it is looked at: it may name keys and data, so nobody else may write it.
fn text_of(path: &Path) -> Result<String, String> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags).open(path);
    let file = file.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => "there is no such file: give the right path".to_owned(),
        io::ErrorKind::PermissionDenied => {
            format!("{e}: check the owner and the mode of the file and of the directories above it")
        }
        _ => e.to_string(),
    })?;
    let found = file.metadata().map_err(|e| e.to_string())?;
    if !found.is_file() {
        return Err("it is no regular file: give a file with TOML".to_owned());
    }
    if let Some(why) = own_file::open_to_others(path, &found, false) {
        return Err(format!("it names keys and data, but {why}"));
    }
    let mut bytes = Vec::new();
    file.take(BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| e.to_string())?;
    if bytes.len() as u64 > BYTES {
        return Err("it is longer than 1 MiB: it holds more than settings".to_owned());
    }
    String::from_utf8(bytes).map_err(|e| {
        let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = good.split(|byte| *byte == b'\n').count();
        format!("line {line} is not UTF-8: save the file as UTF-8")
    })
}

#[cfg(test)]
mod tests;
