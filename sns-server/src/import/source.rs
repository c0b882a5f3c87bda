//! The files of an import: plain or gzip, read line by line with bounded memory, each line checked.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use sns_core::{Text, Username};

use crate::failure::{Failure, Result};
use crate::telemetry::escaped;

/// Bytes of one line: a post of 4,000 bytes, each written as a JSON escape, fits four times over.
const LINE_BYTES: u64 = 128 * 1024;

/// What a gzip file begins with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

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
        let (mut reader, read) = self.open()?;
        let mut bytes = Vec::new();
        for number in 1_u64.. {
            bytes.clear();
            let limit = LINE_BYTES + 1;
            (&mut reader)
                .take(limit)
                .read_until(b'\n', &mut bytes)
                .map_err(|e| self.unreadable(number, &e))?;
            if bytes.is_empty() {
                break;
            }
            if bytes.len() as u64 == limit && !bytes.ends_with(b"\n") {
                return Err(self.bad(number, "it is longer than 128 KiB"));
            }
            let line = std::str::from_utf8(&bytes).map_err(|_| self.bad(number, "no UTF-8"))?;
            let line = if number == 1 {
                line.strip_prefix('\u{feff}').unwrap_or(line)
            } else {
                line
            };
            let line = parse(self.kind, line).map_err(|why| self.bad(number, &why))?;
            take(line, read.get())?;
        }
        Ok(())
    }

    /// Bytes of the file, for a progress bar.
    pub(super) fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    fn open(&self) -> Result<(Box<dyn BufRead>, ReadSoFar)> {
        let refused = |e: std::io::Error| Failure::io(format!("cannot read {}", self.shown()), &e);
        let mut file = File::open(&self.path).map_err(refused)?;
        let kind = file.metadata().map_err(refused)?.file_type();
        if !kind.is_file() {
            // Every line is checked before the first is written: the file is read twice.
            return Err(Failure::invalid(format!(
                "{} is no regular file: an import reads its files twice",
                self.shown()
            )));
        }
        let mut magic = Vec::new();
        (&mut file)
            .take(GZIP_MAGIC.len() as u64)
            .read_to_end(&mut magic)
            .map_err(refused)?;
        file.rewind().map_err(refused)?;
        let read = ReadSoFar::default();
        let counted = Counted {
            file,
            read: read.clone(),
        };
        let reader: Box<dyn BufRead> = if magic == GZIP_MAGIC {
            Box::new(BufReader::with_capacity(
                256 * 1024,
                MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, counted)),
            ))
        } else {
            Box::new(BufReader::with_capacity(256 * 1024, counted))
        };
        Ok((reader, read))
    }

    fn shown(&self) -> String {
        escaped(&shown(&self.path))
    }

    fn bad(&self, number: u64, why: &str) -> Failure {
        Failure::invalid(format!("{}:{number}: {why}", self.shown()))
    }

    fn unreadable(&self, number: u64, error: &std::io::Error) -> Failure {
        use std::io::ErrorKind as Io;
        match error.kind() {
            // A gzip stream that ends early or is no gzip after its magic bytes.
            Io::UnexpectedEof | Io::InvalidInput | Io::InvalidData => {
                self.bad(number, &format!("the compressed data is damaged ({error})"))
            }
            _ => Failure::io(format!("cannot read {}", self.shown()), error),
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Bytes that were read of a file, shared between its reader and who draws the progress bar.
#[derive(Clone, Debug, Default)]
struct ReadSoFar(std::rc::Rc<std::cell::Cell<u64>>);

impl ReadSoFar {
    fn get(&self) -> u64 {
        self.0.get()
    }
}

struct Counted {
    file: File,
    read: ReadSoFar,
}

impl std::io::Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read(buf)?;
        self.read.0.set(self.read.0.get() + n as u64);
        Ok(n)
    }
}

/// What a line asks for; the error says what is wrong with it.
fn parse(kind: Kind, line: &str) -> Result<Line, String> {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let blank = |c: char| c == ' ' || c == '\t';
    let start = line.trim_start_matches(blank);
    if start.is_empty() {
        return Ok(Line::Skipped(Skipped::Empty));
    }
    if kind != Kind::Posts && start.starts_with(['#', '%']) {
        return Ok(Line::Skipped(Skipped::Comment));
    }
    let name = |text: &str| Username::parse(text).map_err(|e| e.message().to_owned());
    match kind {
        Kind::Users => Ok(Line::User(name(line.trim_matches(blank))?)),
        Kind::Follows => {
            let mut names = line
                .split([' ', '\t', ','])
                .filter(|between| !between.is_empty());
            let (Some(a), Some(b), None) = (names.next(), names.next(), names.next()) else {
                return Err(
                    "a line of follows has two names, split by blanks, tab or comma".into(),
                );
            };
            let (user, followee) = (name(a)?, name(b)?);
            Ok(if user == followee {
                Line::Skipped(Skipped::SelfLoop)
            } else {
                Line::Follow(user, followee)
            })
        }
        Kind::Posts => {
            let post: JsonPost = serde_json::from_str(line)
                .map_err(|e| format!("no JSON object with `author` and `text` ({e})"))?;
            let text = Text::parse(&post.text).map_err(|e| e.message().to_owned())?;
            Ok(Line::Post(name(&post.author)?, text))
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
