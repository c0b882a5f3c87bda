//! The lines of an export: written, and read back.

use std::io::{BufRead, Read as _, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sns_core::facts::Fact;
use sns_core::{PasswordHash, Seq, Text, Username};
use sns_proto::escape::escape_json;

use crate::failure::{Failure, Result};
use crate::{hex, stamp};

/// The version of the format.
const VERSION: u32 = 1;
/// Bytes of the longest line: a text of 1,000 characters, each as two escapes, takes a fifth of it.
const LINE_BYTES: u64 = 64 * 1024;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    sns_export: u32,
    /// Whether the hashes of passwords are in it.
    #[serde(default)]
    accounts: bool,
    /// Log time: what comes after it in an imported feed is not earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_time: Option<String>,
}

/// All other lines.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Line<'a> {
    User {
        username: &'a str,
        created_at: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        password: Option<&'a str>,
    },
    Follow {
        seq: u64,
        username: &'a str,
        follows: &'a str,
    },
    Post {
        id: u64,
        author: &'a str,
        text: &'a str,
        created_at: String,
    },
    End {
        users: u64,
        follows: u64,
        posts: u64,
        sha256: String,
    },
}

/// [`Line`] as it is read: with what other programs may leave out.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Read {
    User {
        username: String,
        created_at: String,
        password: Option<String>,
    },
    Follow {
        seq: Option<u64>,
        username: String,
        follows: String,
    },
    Post {
        id: Option<u64>,
        author: String,
        text: String,
        created_at: String,
    },
    End {
        users: Option<u64>,
        follows: Option<u64>,
        posts: Option<u64>,
        sha256: Option<String>,
    },
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) users: u64,
    pub(crate) accounts: u64,
    pub(crate) follows: u64,
    pub(crate) posts: u64,
    pub(crate) bytes: u64,
}

impl Header {
    pub(crate) fn new(accounts: bool, log_time_ms: u64) -> Self {
        Self {
            sns_export: VERSION,
            accounts,
            log_time: Some(stamp::show(log_time_ms)),
        }
    }

    /// Milliseconds since 1970; 0 when it does not say.
    fn log_time_ms(&self) -> Result<u64, String> {
        self.log_time.as_deref().map_or(Ok(0), time)
    }
}

/// Writes lines.
pub(crate) struct Writer<'a> {
    to: &'a mut dyn Write,
    sum: Sha256,
    written: Written,
}

impl<'a> Writer<'a> {
    pub(crate) fn begin(to: &'a mut dyn Write, header: &Header) -> Result<Self> {
        let mut writer = Self {
            to,
            sum: Sha256::new(),
            written: Written::default(),
        };
        writer.line(header)?;
        Ok(writer)
    }

    pub(crate) fn fact(&mut self, fact: &Fact) -> Result<()> {
        match fact {
            Fact::User {
                username,
                created_at_ms,
                password,
            } => {
                self.written.users += 1;
                self.written.accounts += u64::from(password.is_some());
                self.line(&Line::User {
                    username: username.as_str(),
                    created_at: stamp::show(*created_at_ms),
                    password: password.as_ref().map(PasswordHash::as_str),
                })
            }
            Fact::Follow {
                seq,
                user,
                followee,
            } => {
                self.written.follows += 1;
                self.line(&Line::Follow {
                    seq: seq.as_u64(),
                    username: user.as_str(),
                    follows: followee.as_str(),
                })
            }
            Fact::Post {
                id,
                author,
                text,
                created_at_ms,
            } => {
                self.written.posts += 1;
                self.line(&Line::Post {
                    id: id.as_u64(),
                    author: author.as_str(),
                    text: text.as_str(),
                    created_at: stamp::show(*created_at_ms),
                })
            }
        }
    }

    /// Writes the last line.
    pub(crate) fn end(mut self) -> Result<Written> {
        let sum = self.sum.clone().finalize();
        self.line(&Line::End {
            users: self.written.users,
            follows: self.written.follows,
            posts: self.written.posts,
            sha256: hex::encode(&sum),
        })?;
        Ok(self.written)
    }

    fn line(&mut self, line: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(line).map_err(|e| {
            Failure::new(
                sns_core::ErrorKind::Internal,
                format!("no line of JSON: {e}"),
            )
        })?;
        // As escapes, what troubles a terminal means the same.
        let mut text = escape_json(&text);
        text.push('\n');
        self.sum.update(&text);
        self.written.bytes += text.len() as u64;
        self.to
            .write_all(text.as_bytes())
            .map_err(|e| Failure::io("cannot write the export", &e))
    }
}

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// With this line.
    Line(String),
    /// It is not whole.
    Cut(String),
}

/// Reads lines, one at a time.
pub(crate) struct Reader<R> {
    from: R,
    sum: Sha256,
    /// The line that was read last, from 1.
    pub(crate) number: u64,
    /// Bytes read so far.
    pub(crate) bytes: u64,
    counts: [u64; 3],
    /// Milliseconds since 1970, as the header says.
    pub(crate) log_time_ms: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub(crate) fn begin(from: R) -> Result<Self, Wrong> {
        let mut reader = Self {
            from,
            sum: Sha256::new(),
            number: 0,
            bytes: 0,
            counts: [0; 3],
            log_time_ms: 0,
        };
        let line = reader.line()?;
        let version: Result<serde_json::Value, _> = serde_json::from_str(&line);
        let version = version.map(|it| it["sns_export"].as_u64());
        match version {
            Ok(Some(version)) if version == u64::from(VERSION) => {}
            Ok(Some(other)) => {
                return Err(Wrong::Line(format!(
                    "it is of version {other} of the format, this program knows {VERSION}: use the \
                     program that fits"
                )));
            }
            _ => {
                return Err(Wrong::Line(
                    "this is no export: its first line is {\"sns_export\":1,...}".into(),
                ));
            }
        }
        if line.contains("\"account\":") {
            return Err(Wrong::Line(
                "this is what `sns export` wrote of one account: only a whole feed can be brought back \
                 (`sns-server export`)"
                    .into(),
            ));
        }
        let header: Header = serde_json::from_str(&line).map_err(|e| brief(&e))?;
        reader.log_time_ms = header.log_time_ms().map_err(Wrong::Line)?;
        reader.sum.update(&line);
        Ok(reader)
    }

    /// The next fact; `None` = the file ended well.
    pub(crate) fn fact(&mut self) -> Result<Option<Fact>, Wrong> {
        let line = self.line()?;
        let read: Read = serde_json::from_str(&line).map_err(|e| brief(&e))?;
        let (kind, fact) = match read {
            Read::End {
                users,
                follows,
                posts,
                sha256,
            } => {
                self.ended([users, follows, posts], sha256)?;
                return Ok(None);
            }
            Read::User {
                username,
                created_at,
                password,
            } => {
                let password = password.as_deref().map(PasswordHash::new);
                let fact = Fact::User {
                    username: name(&username)?,
                    created_at_ms: time(&created_at).map_err(Wrong::Line)?,
                    password: password.transpose().map_err(|e| said(&e))?,
                };
                (0, fact)
            }
            Read::Follow {
                seq,
                username,
                follows,
            } => {
                let fact = Fact::Follow {
                    seq: given(seq, "seq")?,
                    user: name(&username)?,
                    followee: name(&follows)?,
                };
                (1, fact)
            }
            Read::Post {
                id,
                author,
                text,
                created_at,
            } => {
                let fact = Fact::Post {
                    id: given(id, "id")?,
                    author: name(&author)?,
                    text: Text::parse(&text).map_err(|e| said(&e))?,
                    created_at_ms: time(&created_at).map_err(Wrong::Line)?,
                };
                (2, fact)
            }
        };
        self.counts[kind] += 1;
        self.sum.update(&line);
        Ok(Some(fact))
    }

    fn ended(&mut self, counts: [Option<u64>; 3], sum: Option<String>) -> Result<(), Wrong> {
        let ours = hex::encode(&self.sum.clone().finalize());
        let counted = counts.iter().zip(self.counts);
        if counted
            .clone()
            .any(|(said, found)| said.is_some_and(|said| said != found))
        {
            return Err(Wrong::Cut("lines are missing, or doubled".into()));
        }
        if sum.is_some_and(|sum| sum != ours) {
            return Err(Wrong::Cut(
                "the checksum does not fit: something was changed on the way".into(),
            ));
        }
        let mut more = [0];
        match self.from.read(&mut more) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Wrong::Cut("something follows the last line".into())),
            Err(e) => Err(Wrong::Cut(format!("it cannot be read: {e}"))),
        }
    }

    /// One line with its end.
    fn line(&mut self) -> Result<String, Wrong> {
        let mut line = Vec::new();
        let mut from = self.from.by_ref().take(LINE_BYTES);
        from.read_until(b'\n', &mut line)
            .map_err(|e| Wrong::Cut(format!("it cannot be read: {e}")))?;
        self.number += 1;
        self.bytes += line.len() as u64;
        if line.len() as u64 == LINE_BYTES && !line.ends_with(b"\n") {
            return Err(Wrong::Line(format!("it is longer than {LINE_BYTES} bytes")));
        }
        if !line.ends_with(b"\n") {
            return Err(Wrong::Cut(
                "it is cut short: the last line is no {\"kind\":\"end\",...}".into(),
            ));
        }
        String::from_utf8(line).map_err(|_| Wrong::Line("it is not UTF-8".into()))
    }
}

fn name(text: &str) -> Result<Username, Wrong> {
    Username::parse(text).map_err(|e| said(&e))
}

fn time(text: &str) -> Result<u64, String> {
    stamp::read(text).ok_or_else(|| {
        "a time is written as 2026-11-23T13:05:00.000Z, from 1970 on, in milliseconds".into()
    })
}

/// A seq; none = to be given out.
fn given(seq: Option<u64>, what: &str) -> Result<Seq, Wrong> {
    match seq {
        None => Ok(Seq::ZERO),
        Some(0) => Err(Wrong::Line(format!("{what} 0 is none: leave it out"))),
        Some(seq) => Ok(Seq::from_u64(seq)),
    }
}

fn said(error: &sns_core::Error) -> Wrong {
    Wrong::Line(error.message().to_owned())
}

/// What the parser says, which may quote the whole line.
fn brief(error: &serde_json::Error) -> Wrong {
    const CHARS: usize = 200;
    let words = error.to_string();
    Wrong::Line(match words.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use proptest::prelude::*;

    fn facts() -> impl Strategy<Value = Vec<Fact>> {
        let name = || "[a-z0-9_]{1,32}".prop_map(|n| Username::parse(&n).unwrap());
        let time = 0..=sns_core::limits::CLOCK_MS_MAX;
        let text = prop::collection::vec(any::<char>(), 1..200)
            .prop_map(|chars| chars.into_iter().collect::<String>())
            .prop_filter_map("a text", |text| Text::parse(&text).ok());
        let hash = || prop::option::of("[!-~]{1,256}".prop_map(|h| PasswordHash::new(&h).unwrap()));
        let fact = prop_oneof![
            (name(), time.clone(), hash()).prop_map(|(username, created_at_ms, password)| {
                Fact::User {
                    username,
                    created_at_ms,
                    password,
                }
            }),
            (1_u64.., name(), name()).prop_map(|(seq, user, followee)| Fact::Follow {
                seq: Seq::from_u64(seq),
                user,
                followee,
            }),
            (1_u64.., name(), text, time).prop_map(|(id, author, text, created_at_ms)| {
                Fact::Post {
                    id: Seq::from_u64(id),
                    author,
                    text,
                    created_at_ms,
                }
            }),
        ];
        prop::collection::vec(fact, 0..20)
    }

    fn written(facts: &[Fact]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::begin(&mut bytes, &Header::new(true, 1_234)).unwrap();
        for fact in facts {
            writer.fact(fact).unwrap();
        }
        let written = writer.end().unwrap();
        assert_eq!(written.bytes, bytes.len() as u64);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Fact>, (u64, Wrong)> {
        let mut reader = Reader::begin(bytes).map_err(|wrong| (1, wrong))?;
        let mut facts = Vec::new();
        loop {
            match reader.fact() {
                Ok(Some(fact)) => facts.push(fact),
                Ok(None) => return Ok(facts),
                Err(wrong) => return Err((reader.number, wrong)),
            }
        }
    }

    proptest! {
        #[test]
        fn facts_come_back_and_no_line_troubles_a_terminal(facts in facts()) {
            let bytes = written(&facts);
            prop_assert_eq!(read(&bytes).unwrap(), facts);
            let text = String::from_utf8(bytes).unwrap();
            let risky = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
            prop_assert!(!text.contains(risky));
        }

        #[test]
        fn any_line_is_read_or_refused_and_never_a_panic(line: String, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(format!("{{\"sns_export\":1}}\n{line}\n").as_bytes());
            let _ = read(&bytes);
        }
    }

    fn sample() -> Vec<u8> {
        let user = Username::parse("alice").unwrap();
        let user_made = Fact::User {
            username: user,
            created_at_ms: 7,
            password: None,
        };
        let post = |n: u64| Fact::Post {
            id: Seq::new(n, 0),
            author: user,
            text: Text::parse(&format!("post {n}")).unwrap(),
            created_at_ms: 7 + n,
        };
        written(&[user_made, post(1), post(2), post(3)])
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_found() {
        let whole = sample();
        assert_eq!(read(&whole).unwrap().len(), 4);
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "cut to {cut}");
        }
        for at in 0..whole.len() {
            for bit in [0, 3, 5] {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                // The case of a letter of the last line may mean the same; nothing else does.
                if let Ok(facts) = read(&bytes) {
                    assert_eq!(facts, read(&whole).unwrap(), "byte {at}");
                }
            }
        }
        let text = String::from_utf8(whole.clone()).unwrap();
        for gone in 1..5 {
            let left: Vec<&str> = text
                .lines()
                .enumerate()
                .filter(|(n, _)| *n != gone)
                .map(|it| it.1)
                .collect();
            let refused = read(format!("{}\n", left.join("\n")).as_bytes())
                .unwrap_err()
                .1;
            assert!(matches!(refused, Wrong::Cut(_)), "{gone}: {refused:?}");
        }
        assert!(read(&[whole.clone(), whole].concat()).is_err());
    }

    #[test]
    fn a_bad_line_is_known_by_its_number_and_what_is_newer_is_not_guessed_at() {
        let good = r#"{"kind":"user","username":"a","created_at":"2026-01-01T00:00:00Z"}"#;
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"kind":"group","name":"a"}"#,
            r#"{"kind":"user","username":"a b","created_at":"2026-01-01T00:00:00Z"}"#,
            r#"{"kind":"user","username":"a","created_at":"soon"}"#,
            r#"{"kind":"user","username":"a","created_at":"2026-01-01T00:00:00Z","bio":"x"}"#,
            r#"{"kind":"user","username":"a","created_at":"2026-01-01T00:00:00Z","password":"a b"}"#,
            r#"{"kind":"post","id":0,"author":"a","text":"x","created_at":"2026-01-01T00:00:00Z"}"#,
            r#"{"kind":"post","id":-1,"author":"a","text":"x","created_at":"2026-01-01T00:00:00Z"}"#,
            r#"{"kind":"post","author":"a","text":"","created_at":"2026-01-01T00:00:00Z"}"#,
            r#"{"kind":"follow","username":"a"}"#,
            r#"{"kind":"user","username":"a","username":"b","created_at":"2026-01-01T00:00:00Z"}"#,
        ] {
            let file = format!("{{\"sns_export\":1}}\n{good}\n{bad}\n{{\"kind\":\"end\"}}\n");
            let (number, wrong) = read(file.as_bytes()).unwrap_err();
            assert!(
                number == 3 && matches!(wrong, Wrong::Line(_)),
                "{bad}: {number} {wrong:?}"
            );
        }
        for first in [
            "x",
            "{}",
            r#"{"sns_export":2}"#,
            r#"{"sns_export":1,"more":1}"#,
            "{\"sns_export\":1",
        ] {
            assert!(
                read(format!("{first}\n{{\"kind\":\"end\"}}\n").as_bytes()).is_err(),
                "{first}"
            );
        }
        let long = format!("{{\"sns_export\":1}}\n{}", " ".repeat(200_000));
        assert!(matches!(read(long.as_bytes()), Err((2, Wrong::Line(_)))));
    }

    #[test]
    fn other_programs_may_leave_out_ids_counts_and_the_checksum() {
        let file = concat!(
            "{\"sns_export\":1}\n",
            "{\"kind\":\"user\",\"username\":\"A\",\"created_at\":\"2026-01-01T01:00:00+01:00\"}\n",
            "{\"kind\":\"post\",\"author\":\"a\",\"text\":\"x\",\"created_at\":\"2026-01-01T00:00:00.5Z\"}\n",
            "{\"kind\":\"end\"}\n",
        );
        let facts = read(file.as_bytes()).unwrap();
        assert!(matches!(facts[1], Fact::Post { id: Seq::ZERO, .. }));
    }
}
