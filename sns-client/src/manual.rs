//! Completions and manual pages of a program, from the same definitions that read its command line.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

/// The section that begins with the variables of the flags.
pub const ENVIRONMENT: &str = "ENVIRONMENT";

/// A section that clap knows nothing of.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// `EXIT STATUS`
    pub title: &'static str,
    /// A word and what it means.
    pub entries: &'static [(&'static str, &'static str)],
    /// The words of the commands on whose pages it stands; empty: on all of them.
    pub commands: &'static [&'static str],
}

impl Section {
    fn is_for(&self, words: &[&str]) -> bool {
        let path = words.join(" ");
        self.commands.is_empty() || self.commands.contains(&&*path)
    }

    /// `first` stand before its own entries.
    fn write(&self, first: &[(String, String)], to: &mut dyn Write) -> io::Result<()> {
        let mut roff = Roff::new();
        roff.control("SH", [self.title]);
        let first = first.iter().map(|(word, meaning)| (&**word, &**meaning));
        for (word, meaning) in first.chain(self.entries.iter().copied()) {
            roff.control("TP", []);
            roff.text([bold(word)]);
            roff.text([roman(meaning)]);
        }
        roff.to_writer(to)
    }
}

/// The variables of its flags.
fn variables(command: &Command) -> Vec<(String, String)> {
    let named = command.get_arguments().filter_map(|arg| {
        let variable = arg.get_env()?.to_str()?.to_owned();
        Some((variable, format!("As --{}.", arg.get_long()?)))
    });
    named.collect()
}

/// One page: the name of its file, and its text.
pub type Page = (String, Vec<u8>);

/// Prints what completes the words of `program` in `shell`.
///
/// # Errors
/// As stdout refuses.
pub fn completions(shell: Shell, mut program: Command, to: &mut dyn Write) -> io::Result<()> {
    let name = program.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut program, &*name, &mut text);
    if shell == Shell::Bash {
        text = mended(&name, &String::from_utf8_lossy(&text)).into_bytes();
    }
    to.write_all(&text)?;
    to.flush()
}

/// With `clap_complete` 4.6, bash completes no flags of the commands of a program with a hyphen in its
/// name: a command is called `sns__server__subcmd__up` where it is found, and
/// `sns__subcmd__server__subcmd__up` where it is said what it takes.
fn mended(program: &str, text: &str) -> String {
    let looked_for = program.replace('-', "__subcmd__");
    let found = program.replace('-', "__");
    text.replace(&format!("{looked_for}__"), &format!("{found}__"))
}

/// The pages of `program` and of each of its commands, its own first.
///
/// # Errors
/// None that can be seen: they are written to memory.
pub fn pages(program: Command, sections: &[Section]) -> io::Result<Vec<Page>> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    let version = program.get_version().unwrap_or_default();
    let source = format!("{} {version}", program.get_name());
    collect(&program, &source, &[], sections, &mut pages)?;
    Ok(pages)
}

fn collect(
    command: &Command,
    source: &str,
    words: &[&str],
    sections: &[Section],
    pages: &mut Vec<Page>,
) -> io::Result<()> {
    let man = Man::new(command.clone()).source(source);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.get_subcommands().any(|inner| !inner.is_hide_set()) {
        man.render_subcommands_section(&mut text)?;
    }
    for section in sections.iter().filter(|section| section.is_for(words)) {
        let first = match section.title {
            ENVIRONMENT => variables(command),
            _ => Vec::new(),
        };
        section.write(&first, &mut text)?;
    }
    see_also(command, &mut text)?;
    pages.push((man.get_filename(), text));
    for inner in command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
    {
        let mut words = words.to_vec();
        words.push(inner.get_name());
        collect(inner, source, &words, sections, pages)?;
    }
    Ok(())
}

/// The page of the program as a whole, on each of the others.
fn see_also(command: &Command, to: &mut dyn Write) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let others: &[&str] = if name.starts_with("sns-server") {
        &["sns-server", "sns"]
    } else {
        &["sns", "sns-server"]
    };
    let mut line: Vec<Inline> = Vec::new();
    for other in others.iter().filter(|other| **other != name) {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(*other), roman("(1)")]);
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text(line);
    roff.to_writer(to)
}

/// Writes all pages into the directory `out`, which is made when it is missing, or the first one to
/// `to`. How many pages there are in the directory.
///
/// # Errors
/// As the file system, or `to`, refuses; the message names the file.
pub fn write(
    program: Command,
    sections: &[Section],
    out: Option<&Path>,
    to: &mut dyn Write,
) -> io::Result<usize> {
    let pages = pages(program, sections)?;
    let Some(out) = out else {
        if let Some((_, text)) = pages.first() {
            to.write_all(text)?;
        }
        to.flush()?;
        return Ok(0);
    };
    let named = |path: PathBuf| {
        move |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    std::fs::create_dir_all(out).map_err(named(out.to_owned()))?;
    for (name, text) in &pages {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(named(path.clone()))?;
    }
    Ok(pages.len())
}
