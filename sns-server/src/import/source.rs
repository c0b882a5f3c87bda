//! The files of an import: what each line asks for, checked.

use std::path::PathBuf;

use serde::Deserialize;
use sns_core::{Text, Username};
use sns_graph::{Content, Unreadable, Why, pair};

use crate::failure::{Failure, Result};
use crate::telemetry::escaped;

/// One file and what its lines hold.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

/// What the lines of a file hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name.
    Users,
    /// Two names; the first follows the second.
    Follows,
    /// A JSON object with `author` and `text`.
    Posts,
}

/// What one line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    User(Username),
    Follow(Username, Username),
    Post(Username, Text),
    /// Nothing.
    Skipped(Skipped),
}

/// Why a line is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    Comment,
    Empty,
    SelfLoop,
}

#[derive(Deserialize)]
struct JsonPost {
    author: String,
    text: String,
}

impl Source {
    /// Hands every line to `take`, with the bytes read of the file so far, until it fails.
    ///
    /// # Errors
    /// `Invalid`: a bad line, named by file and number. As [`Failure::io`]: the file cannot be
    /// read. What `take` returns.
    pub(super) fn lines(&self, mut take: impl FnMut(Line, u64) -> Result<()>) -> Result<()> {
        sns_graph::read_lines(&self.path, |line| {
            let parsed = parse(self.kind, line.text).map_err(|why| Unreadable {
                path: self.path.clone(),
                why: Why::Line(line.number, why),
            })?;
            take(parsed, line.read)
        })
    }

    /// Bytes of the file, for a progress bar.
    pub(super) fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }
}

impl From<Unreadable> for Failure {
    fn from(unreadable: Unreadable) -> Self {
        let path = escaped(&unreadable.path.display().to_string());
        match unreadable.why {
            // Every line is checked before the first is written: the file is read twice.
            Why::NotRegular => Self::invalid(format!(
                "{path} is no regular file: an import reads its files twice"
            )),
            Why::Io(error) => Self::io(format!("cannot read {path}"), &error),
            Why::Line(number, why) => Self::invalid(format!("{path}:{number}: {why}")),
        }
    }
}

/// What the parser says, which may quote the whole line.
fn brief(error: &serde_json::Error) -> String {
    const CHARS: usize = 200;
    let words = error.to_string();
    match words.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

/// What a line asks for; the error says what is wrong with it.
fn parse(kind: Kind, line: &str) -> Result<Line, String> {
    let name = |text: &str| Username::parse(text).map_err(|e| e.message().to_owned());
    match (kind, Content::of(line)) {
        (_, Content::Empty) => Ok(Line::Skipped(Skipped::Empty)),
        (Kind::Posts, _) => {
            let post: JsonPost = serde_json::from_str(line)
                .map_err(|e| format!("no JSON object with `author` and `text` ({})", brief(&e)))?;
            let text = Text::parse(&post.text).map_err(|e| e.message().to_owned())?;
            Ok(Line::Post(name(&post.author)?, text))
        }
        (_, Content::Comment) => Ok(Line::Skipped(Skipped::Comment)),
        (Kind::Users, Content::Data(data)) => Ok(Line::User(name(data)?)),
        (Kind::Follows, Content::Data(data)) => {
            let (a, b) = pair(data)?;
            let (user, followee) = (name(a)?, name(b)?);
            Ok(if user == followee {
                Line::Skipped(Skipped::SelfLoop)
            } else {
                Line::Follow(user, followee)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn name(text: &str) -> Username {
        Username::parse(text).unwrap()
    }

    #[test]
    fn follows_are_split_by_blanks_tab_or_comma() {
        for line in ["a b\n", "a\tb", "a,b\r\n", " A ,\t b ", "a   B\n"] {
            let parsed = parse(Kind::Follows, line);
            assert_eq!(parsed, Ok(Line::Follow(name("a"), name("b"))), "{line:?}");
        }
        for line in ["a", "a b c", "a-b", "é b", "a b,c"] {
            assert!(parse(Kind::Follows, line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn comments_empty_lines_and_self_loops_are_skipped() {
        for (line, why) in [
            ("# a b\n", Skipped::Comment),
            ("%%MatrixMarket matrix\n", Skipped::Comment),
            ("  # x", Skipped::Comment),
            ("\n", Skipped::Empty),
            ("\r\n", Skipped::Empty),
            (" \t\n", Skipped::Empty),
            ("a A\n", Skipped::SelfLoop),
        ] {
            assert_eq!(
                parse(Kind::Follows, line),
                Ok(Line::Skipped(why)),
                "{line:?}"
            );
        }
        assert_eq!(
            parse(Kind::Users, "#x"),
            Ok(Line::Skipped(Skipped::Comment))
        );
        assert!(parse(Kind::Posts, "# x").is_err());
    }

    #[test]
    fn posts_are_json_objects_and_other_fields_do_not_matter() {
        let line = r#"{"author": "A", "text": "x\ny", "id": 7}"#;
        let text = Text::parse("x\ny").unwrap();
        assert_eq!(parse(Kind::Posts, line), Ok(Line::Post(name("a"), text)));
        for bad in [
            "{}",
            "[]",
            r#"{"author": "a", "text": ""}"#,
            r#"{"author": "a b", "text": "x"}"#,
            r#"{"author": "a", "text": "x"} y"#,
        ] {
            assert!(parse(Kind::Posts, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_does_not_quote_a_long_line() {
        for quote in [format!("\"{}\"", "é".repeat(50_000)), "7".repeat(100_000)] {
            let why = parse(Kind::Posts, &quote).unwrap_err();
            assert!(why.len() < 1_000, "{} bytes", why.len());
        }
    }

    #[test]
    fn a_bad_line_is_named_by_file_and_number() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"\xef\xbb\xbfa\nb\n\nnot a name\n").unwrap();
        let source = Source {
            path: file.path().to_owned(),
            kind: Kind::Users,
        };
        let mut taken = 0;
        let refused = source
            .lines(|_, _| {
                taken += 1;
                Ok(())
            })
            .unwrap_err();
        assert_eq!((taken, refused.exit_code()), (3, 2));
        let place = format!("{}:4: ", file.path().display());
        assert!(refused.message.starts_with(&place), "{refused}");
    }

    #[test]
    fn gzip_is_known_by_its_magic_bytes_also_in_several_members() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for part in ["a b\n", "b c\n"] {
            let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            member.write_all(part.as_bytes()).unwrap();
            file.write_all(&member.finish().unwrap()).unwrap();
        }
        let source = Source {
            path: file.path().to_owned(),
            kind: Kind::Follows,
        };
        let mut lines = Vec::new();
        let mut take = |line, _| {
            lines.push(line);
            Ok(())
        };
        source.lines(&mut take).unwrap();
        assert_eq!(
            lines,
            [
                Line::Follow(name("a"), name("b")),
                Line::Follow(name("b"), name("c"))
            ]
        );
        // The same cut short is a bad file, not a short one.
        let whole = std::fs::read(file.path()).unwrap();
        std::fs::write(file.path(), &whole[..whole.len() - 3]).unwrap();
        let refused = source.lines(|_, _| Ok(())).unwrap_err();
        assert_eq!(refused.exit_code(), 2, "{refused}");
    }

    #[test]
    fn a_line_without_an_end_is_refused_before_it_fills_the_memory() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![b'a'; 1_000_000]).unwrap();
        let source = Source {
            path: file.path().to_owned(),
            kind: Kind::Users,
        };
        let refused = source.lines(|_, _| Ok(())).unwrap_err();
        assert!(refused.message.contains("128 KiB"), "{refused}");
    }

    proptest! {
        #[test]
        fn any_line_is_parsed_or_refused_and_never_a_panic(line in any::<String>()) {
            for kind in [Kind::Users, Kind::Follows, Kind::Posts] {
                let _ = parse(kind, &line);
            }
        }
    }
}
