//! Files of users, follows and posts: plain or gzip, read line by line with bounded memory.
//!
//! An import writes such a file into a service, a benchmark draws its load from one; both read it
//! here, so that they agree on what a line says.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

/// Bytes of one line: a post of 4,000 bytes, each written as a JSON escape, fits four times over.
const LINE_BYTES: u64 = 128 * 1024;

/// What a gzip file begins with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// One line of a file.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// From 1.
    pub number: u64,
    /// As it stands, with its line end; a byte order mark is left out.
    pub text: &'a str,
    /// Bytes of the file (compressed ones) that were read so far, for a progress bar.
    pub read: u64,
}

/// Why a file cannot be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct Unreadable {
    /// Of the file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// A pipe, a directory, a device.
    #[error("it is no regular file")]
    NotRegular,
    /// The system says so.
    #[error("it cannot be read: {0}")]
    Io(std::io::Error),
    /// A line is wrong.
    #[error("line {0}: {1}")]
    Line(u64, String),
}

/// Hands every line of a file to `take`, until it fails. Gzip is known by its magic bytes.
///
/// # Errors
/// [`Unreadable`], as the caller's own error. What `take` returns.
pub fn read_lines<E: From<Unreadable>>(
    path: &Path,
    mut take: impl FnMut(Line<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let unreadable = |why| Unreadable {
        path: path.to_owned(),
        why,
    };
    let bad = |number, why: String| unreadable(Why::Line(number, why));
    let (mut reader, read) = open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    for number in 1_u64.. {
        bytes.clear();
        let limit = LINE_BYTES + 1;
        (&mut reader)
            .take(limit)
            .read_until(b'\n', &mut bytes)
            .map_err(|error| unreadable(failed(number, error)))?;
        if bytes.is_empty() {
            break;
        }
        if bytes.len() as u64 == limit && !bytes.ends_with(b"\n") {
            return Err(bad(number, "it is longer than 128 KiB".to_owned()).into());
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| bad(number, "no UTF-8".to_owned()))?;
        let text = match number {
            1 => text.strip_prefix('\u{feff}').unwrap_or(text),
            _ => text,
        };
        let read = read.get();
        take(Line { number, text, read })?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<(Box<dyn BufRead>, ReadSoFar), Why> {
    let mut file = File::open(path).map_err(Why::Io)?;
    if !file.metadata().map_err(Why::Io)?.file_type().is_file() {
        return Err(Why::NotRegular);
    }
    let mut magic = Vec::new();
    (&mut file)
        .take(GZIP_MAGIC.len() as u64)
        .read_to_end(&mut magic)
        .map_err(Why::Io)?;
    file.rewind().map_err(Why::Io)?;
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

fn failed(number: u64, error: std::io::Error) -> Why {
    use std::io::ErrorKind as Io;
    match error.kind() {
        // A gzip stream that ends early or is no gzip after its magic bytes.
        Io::UnexpectedEof | Io::InvalidInput | Io::InvalidData => {
            Why::Line(number, format!("the compressed data is damaged ({error})"))
        }
        _ => Why::Io(error),
    }
}

/// Bytes that were read of a file, shared between its reader and who asks for them.
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

/// What stands in a line of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Blanks at most.
    Empty,
    /// From `#` or `%` on.
    Comment,
    /// All else, without the blanks around it and the line end.
    Data(&'a str),
}

impl<'a> Content<'a> {
    /// Looks at a line, with or without its line end.
    pub fn of(line: &'a str) -> Self {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let data = line.trim_matches([' ', '\t']);
        if data.is_empty() {
            Self::Empty
        } else if data.starts_with(['#', '%']) {
            Self::Comment
        } else {
            Self::Data(data)
        }
    }
}

/// The two names of a follow, as written: the first follows the second.
///
/// # Errors
/// What a line of follows has to look like.
pub fn pair(data: &str) -> Result<(&str, &str), &'static str> {
    let mut names = data
        .split([' ', '\t', ','])
        .filter(|between| !between.is_empty());
    match (names.next(), names.next(), names.next()) {
        (Some(a), Some(b), None) => Ok((a, b)),
        _ => Err("a line of follows has two names, split by blanks, tab or comma"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn read(bytes: &[u8]) -> Result<Vec<(u64, String)>, Unreadable> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut lines = Vec::new();
        read_lines::<Unreadable>(file.path(), |line| {
            lines.push((line.number, line.text.to_owned()));
            assert!(line.read <= bytes.len() as u64);
            Ok(())
        })?;
        Ok(lines)
    }

    #[test]
    fn lines_are_numbered_and_a_byte_order_mark_is_left_out() {
        let lines = read(b"\xef\xbb\xbfa b\r\n\nc d").unwrap();
        let texts = [(1, "a b\r\n"), (2, "\n"), (3, "c d")];
        assert_eq!(lines, texts.map(|(number, text)| (number, text.to_owned())));
        assert_eq!(read(b"").unwrap(), []);
    }

    #[test]
    fn what_is_no_file_of_lines_is_refused() {
        let long = vec![b'a'; 200_000];
        for (bytes, at) in [(&b"a\n\xff\n"[..], 2), (&long, 1), (b"\x1f\x8bxyz", 1)] {
            let refused = read(bytes).unwrap_err();
            assert!(
                matches!(refused.why, Why::Line(line, _) if line == at),
                "{refused}"
            );
        }
        let directory = tempfile::tempdir().unwrap();
        let refused = read_lines::<Unreadable>(directory.path(), |_| Ok(())).unwrap_err();
        assert!(matches!(refused.why, Why::NotRegular), "{refused}");
    }

    #[test]
    fn a_line_end_is_no_part_of_a_name() {
        for line in ["a b\n", "a\tb\r\n", " a,b ", "a , b"] {
            let Content::Data(data) = Content::of(line) else {
                panic!("{line:?}");
            };
            assert_eq!(pair(data), Ok(("a", "b")), "{line:?}");
        }
        assert_eq!(Content::of(" \t\r\n"), Content::Empty);
        assert_eq!(Content::of(" % x"), Content::Comment);
        pair("a").unwrap_err();
        pair("a b c").unwrap_err();
    }

    proptest! {
        #[test]
        fn any_line_is_something_and_never_a_panic(line in any::<String>()) {
            if let Content::Data(data) = Content::of(&line) {
                let _ = pair(data);
            }
        }
    }
}
