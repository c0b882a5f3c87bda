//! Completion: commands, and the names of others. What is a candidate is a plain function.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

/// Names remembered of those followed, and as many of others.
const NAMES_MAX: usize = 1_000;
/// The longest name.
const NAME_BYTES: usize = 32;

/// The words that begin a line, and whether more follows.
const COMMANDS: [(&str, bool); 6] = [
    ("FOLLOW", true),
    ("UNFOLLOW", true),
    ("LIST", true),
    ("TIMELINE", false),
    ("HELP", false),
    ("EXIT", false),
];

/// The names seen so far; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    followed: BTreeSet<String>,
    others: BTreeSet<String>,
}

impl Names {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name was seen. What is none is not kept: it would be typed in the person's stead.
    pub(crate) fn saw(&self, name: &str) {
        let mut known = self.known();
        if is_name(name) && !known.followed.contains(name) && known.others.len() < NAMES_MAX {
            known.others.insert(name.to_owned());
        }
    }

    /// This one is followed.
    pub(crate) fn followed(&self, name: &str) {
        let name = name.to_ascii_lowercase();
        let mut known = self.known();
        if is_name(&name) && known.followed.len() < NAMES_MAX {
            known.others.remove(&name);
            known.followed.insert(name);
        }
    }

    /// This one is followed no longer.
    pub(crate) fn unfollowed(&self, name: &str) {
        let name = name.to_ascii_lowercase();
        self.known().followed.remove(&name);
        self.saw(&name);
    }
}

fn is_name(name: &str) -> bool {
    let of_names = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(of_names)
}

impl Known {
    /// Where the word begins that `line` ends in, and what it could become.
    fn candidates(&self, line: &str) -> (usize, Vec<String>) {
        // Blanks may take several bytes.
        let start = line.trim_end_matches(|c: char| !c.is_whitespace()).len();
        let word = &line[start..];
        let mut before = line[..start].split_whitespace();
        let (verb, object) = (before.next(), before.next());
        let found = match (verb.map(str::to_ascii_uppercase).as_deref(), object) {
            (None, _) => COMMANDS
                .iter()
                .filter_map(|(command, more)| of_word(command, word, *more))
                .collect(),
            (Some("LIST"), None) => ["FOLLOWERS", "FOLLOWING"]
                .into_iter()
                .filter_map(|whom| of_word(whom, word, false))
                .collect(),
            (Some("FOLLOW"), None) => either(&self.others, &self.followed, word),
            (Some("UNFOLLOW"), None) => either(&self.followed, &self.others, word),
            _ => Vec::new(),
        };
        (start, found)
    }
}

/// A word of ours in the case in which its beginning is typed.
fn of_word(whole: &str, typed: &str, more: bool) -> Option<String> {
    let begins = whole.get(..typed.len())?.eq_ignore_ascii_case(typed);
    let small = typed.bytes().any(|byte| byte.is_ascii_lowercase());
    begins.then(|| {
        let word = if small {
            whole.to_ascii_lowercase()
        } else {
            whole.to_owned()
        };
        if more { word + " " } else { word }
    })
}

/// The names in `first` that begin so; if there are none, those in `then`.
fn either(first: &BTreeSet<String>, then: &BTreeSet<String>, typed: &str) -> Vec<String> {
    let typed = typed.to_ascii_lowercase();
    let of = |names: &BTreeSet<String>| -> Vec<String> {
        let from = names.range(typed.clone()..);
        let found = from.take_while(|name| name.starts_with(&typed));
        found.cloned().collect()
    };
    let found = of(first);
    if found.is_empty() { of(then) } else { found }
}

/// What the line editor asks while a line is typed.
#[derive(Debug)]
pub(crate) struct Help {
    pub(crate) names: Names,
    /// Off while a line is the text of a post: nobody may put words into it.
    pub(crate) completes: bool,
}

impl Completer for Help {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        if !self.completes {
            return Ok((0, Vec::new()));
        }
        let (start, found) = self.names.known().candidates(&line[..at]);
        let pair = |replacement: String| Pair {
            display: replacement.trim_end().to_owned(),
            replacement,
        };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

impl Hinter for Help {
    type Hint = String;
}
impl Highlighter for Help {}
impl Validator for Help {}
impl Helper for Help {}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let names = Names::default();
        for name in ["bob", "bobby", "carol"] {
            names.saw(name);
        }
        names.followed("dave");
        names
    }

    #[test]
    fn commands_complete_in_the_case_in_which_they_are_typed() {
        for (line, expected) in [
            ("F", (0, vec!["FOLLOW "])),
            ("un", (0, vec!["unfollow "])),
            ("  Time", (2, vec!["timeline"])),
            ("list f", (5, vec!["followers", "following"])),
            ("LIST FOLLOWI", (5, vec!["FOLLOWING"])),
            ("x", (0, vec![])),
            ("é", (0, vec![])),
            ("timeline f", (9, vec![])),
            ("follow bob c", (11, vec![])),
        ] {
            let (start, found) = names().known().candidates(line);
            assert_eq!(
                (start, found),
                (
                    expected.0,
                    expected.1.into_iter().map(str::to_owned).collect()
                ),
                "{line:?}"
            );
        }
        assert_eq!(names().known().candidates("").1.len(), COMMANDS.len());
    }

    #[test]
    fn names_are_offered_to_those_who_can_use_them() {
        let names = names();
        let found = |line: &str| names.known().candidates(line).1;
        assert_eq!(found("follow B"), ["bob", "bobby"]);
        assert_eq!(found("FOLLOW da"), ["dave"]);
        assert_eq!(found("unfollow "), ["dave"]);
        assert_eq!(found("unfollow c"), ["carol"]);
        names.unfollowed("dave");
        names.followed("Bob");
        assert_eq!(found("unfollow "), ["bob"]);
        assert_eq!(found("follow "), ["bobby", "carol", "dave"]);
    }

    #[test]
    fn names_are_names_and_bounded() {
        let names = Names::default();
        for bad in ["", "a b", "a\x1b[2J", "é", "B", &"x".repeat(33)] {
            names.saw(bad);
        }
        assert!(names.known().others.is_empty());
        for n in 0..3 * NAMES_MAX {
            names.saw(&format!("u{n}"));
        }
        assert_eq!(names.known().others.len(), NAMES_MAX);
    }
}
