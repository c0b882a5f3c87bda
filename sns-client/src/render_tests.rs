use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;
use proptest::prelude::*;
use sns_proto::escape::is_treacherous;

/// Texts as others may send them.
const TEXTS: &[&str] = &[
    "hello",
    "two\nlines\r\n\tand a tab",
    "\u{1b}[2J\u{1b}]0;owned\u{7} clears your screen",
    "\u{9b}31mC1 too",
    "innocent\u{202e}txt.exe",
    "a\u{2066}b\u{2069}c\u{200f}d\u{feff}e\u{2028}f",
    "emoji 👩\u{200d}👩\u{200d}👧 and e\u{301} stay",
    "quotes \" and \\ and ' and </script>",
    "281474976710656  2026-01-01T00:00:00.000Z  bob: forged",
    "tags \u{e0001}\u{e0041}",
];

fn sample(nth: usize, text: &str) -> sns_proto::v1::Post {
    let nth = u64::try_from(nth).expect("small");
    sns_proto::v1::Post {
        id: (nth + 1) << 48,
        author: "bob".to_owned(),
        text: text.to_owned(),
        created_at: Some(prost_types::Timestamp {
            seconds: 1_767_323_045,
            nanos: i32::try_from(nth).expect("small") * 100_000_000,
        }),
    }
}

fn posts() -> impl Iterator<Item = Post> {
    let all = TEXTS.iter().enumerate();
    all.map(|(nth, text)| Post::from(sample(nth, text)))
}

/// Compares with the file; `SNS_BLESS=1` writes it anew.
fn golden(name: &str, lines: impl Iterator<Item = String>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    let text: String = lines.map(|line| line + "\n").collect();
    if std::env::var_os("SNS_BLESS").is_some() {
        std::fs::write(&file, &text).expect("written");
    }
    let expected = std::fs::read_to_string(&file).expect(name);
    assert_eq!(text, expected, "{name}: SNS_BLESS=1 takes the new text");
}

#[test]
fn posts_look_as_agreed() {
    golden("posts.txt", posts().map(|p| post(&p, false)));
    golden("posts.jsonl", posts().map(|p| post(&p, true)));
}

#[test]
fn small_things_look_as_agreed() {
    let seq = Seq::from(u64::MAX);
    let bob = User::from(sns_proto::v1::User {
        username: "bob".to_owned(),
        created_at: Some(prost_types::Timestamp {
            seconds: 0,
            nanos: 0,
        }),
    });
    let both = |json| {
        [
            user(&bob, json),
            change(seq, "following bob", json),
            deleted(seq, json),
        ]
    };
    golden("small.txt", both(false).into_iter());
    golden("small.jsonl", both(true).into_iter());
}

#[test]
fn failures_look_as_agreed() {
    let all = [
        Failure::Usage("no such command\n\nUsage: sns".to_owned()),
        Failure::Io("disk \u{1b}[31mon fire".to_owned()),
    ];
    golden("failures.txt", all.iter().map(|f| failure(f, false)));
    golden("failures.jsonl", all.iter().map(|f| failure(f, true)));
}

#[test]
fn times_are_utc_in_milliseconds_and_absurd_ones_do_not_panic() {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_millis(seconds);
    assert_eq!(time(at(0)), "1970-01-01T00:00:00.000Z");
    assert_eq!(time(at(1_767_323_045_678)), "2026-01-02T03:04:05.678Z");
    let absurd = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
    assert_eq!(time(absurd), "9999-12-31T23:59:59.999Z");
}

proptest! {
    #[test]
    fn a_post_is_one_line_that_a_terminal_shows_and_nothing_else(text in "\\PC*|.*|[\u{0}-\u{300}]*") {
        let mut raw = sample(0, &text);
        raw.author = text.clone();
        let shown = post(&Post::from(raw), false);
        prop_assert!(!shown.contains(is_treacherous), "{shown:?}");
    }

    #[test]
    fn json_gives_the_text_byte_for_byte(text in ".*|[\u{0}-\u{300}]*|[\u{2000}-\u{2100}]*") {
        let line = post(&Post::from(sample(0, &text)), true);
        prop_assert!(!line.contains(is_treacherous), "{line:?}");
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        prop_assert_eq!(read["text"].as_str(), Some(text.as_str()));
        prop_assert_eq!(read["id"].as_u64(), Some(1 << 48));
    }
}

#[path = "../../sns-core/tests/support/hostile.rs"]
mod hostile;

/// All that people with no good in mind write, as texts and as names: a server may be hostile, too.
fn hostile_texts() -> Vec<String> {
    let fixed = [hostile::SCRIPTS, hostile::BAD_NAMES, hostile::ODD_NAMES].concat();
    let fixed = fixed.into_iter().map(str::to_owned);
    hostile::texts().into_iter().chain(fixed).collect()
}

#[test]
fn nothing_hostile_acts_on_a_terminal_whatever_is_shown_of_it() {
    for text in hostile_texts() {
        let mut raw = sample(0, &text);
        raw.author.clone_from(&text);
        let shown = Post::from(raw);
        let person = User::from(sns_proto::v1::User {
            username: text.clone(),
            created_at: None,
        });
        let lines = [
            post(&shown, false),
            post(&shown, true),
            user(&person, false),
            user(&person, true),
            change(Seq::from(1), &text, false),
            failure(&Failure::Io(text.clone()), true),
        ];
        for line in &lines {
            assert!(!line.contains(is_treacherous), "{line:?}");
        }
        let json: serde_json::Value = serde_json::from_str(&lines[1]).expect("JSON");
        assert_eq!(
            (&json["author"], &json["text"]),
            (&json["text"], &text.as_str().into())
        );
        // Lines of our own are kept in a message, and each of them is calm.
        let message = failure(&Failure::Usage(text.clone()), false);
        for line in message.lines() {
            assert!(!line.contains(is_treacherous), "{line:?}");
        }
        // Above the line that is being typed: rows within the width, none passes for another post.
        let now = "2026-01-02T05:00:00+00:00[UTC]".parse().expect("a time");
        for width in [20, 80] {
            let rows = crate::show::post(&shown, &now, width, crate::paint::Paint::PLAIN);
            assert!(rows.lines().count() <= 30, "{rows:?}");
            for row in rows.lines().skip(1) {
                assert!(row.starts_with("  "), "{row:?}");
            }
            assert!(!rows.replace('\n', "").contains(is_treacherous), "{rows:?}");
        }
    }
}
