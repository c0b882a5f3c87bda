//! Posts for a person at a terminal: the author stands out, times are local and short, text is
//! wrapped to the width. Programs get [`render`](crate::render).

use std::collections::VecDeque;

use jiff::Zoned;
use jiff::tz::TimeZone;
use sns_client::{Post, Seq};
use unicode_width::UnicodeWidthStr as _;

use crate::paint::Paint;
use crate::render::escape;
use crate::wrap::wrap;

/// Rows that one post may take: a thousand line breaks are no reason to lose all else.
const ROWS_MAX: usize = 24;
/// Posts remembered, to say which one was deleted.
const KNOWN_MAX: usize = 256;
/// Letters by which a deleted post is told.
const START: usize = 24;

/// A post as rows of at most `width` columns, the last one left free. Every row but the first is
/// indented, so that no text can pass for a post of its own.
pub(crate) fn post(post: &Post, now: &Zoned, width: usize, paint: Paint) -> String {
    let time = when(post, now);
    let author = escape(&post.author);
    let indent = if width >= 40 { time.width() + 2 } else { 2 };
    let room = width.saturating_sub(indent + 1).max(8);
    // Where the text of the first row begins, seen from the indent.
    let begin = time.width() + 2 + author.width() + 2 - indent;
    let mut rows = wrap(&post.text, room, begin);
    if rows.len() > ROWS_MAX {
        rows.truncate(ROWS_MAX);
        rows.push("...".to_owned());
    }
    let text = rows.join(&format!("\n{:indent$}", ""));
    format!("{}  {}: {text}", paint.dim(&time), paint.bold(&author))
}

/// Local time: of today the hour, of this year the day too, else the date.
fn when(post: &Post, now: &Zoned) -> String {
    let Ok(stamp) = jiff::Timestamp::try_from(post.created_at) else {
        return "?".to_owned();
    };
    let then = stamp.to_zoned(now.time_zone().clone());
    let format = if then.date() == now.date() {
        "%H:%M"
    } else if then.year() == now.year() {
        "%b %d %H:%M"
    } else {
        "%Y-%m-%d"
    };
    then.strftime(format).to_string()
}

/// Now, where the person is.
pub(crate) fn now() -> Zoned {
    jiff::Timestamp::now().to_zoned(TimeZone::system())
}

/// The posts shown lately.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    posts: VecDeque<(Seq, String)>,
}

impl Shown {
    pub(crate) fn add(&mut self, post: &Post) {
        if self.posts.len() == KNOWN_MAX {
            self.posts.pop_front();
        }
        let mut start: String = post.text.chars().take(START).collect();
        if start.len() < post.text.len() {
            start.push_str("...");
        }
        let told = format!("{}: {}", escape(&post.author), escape(&start));
        self.posts.push_back((post.id, told));
    }

    /// What to say of a post that is gone; nothing of one that was not shown.
    pub(crate) fn deleted(&self, id: Seq) -> Option<String> {
        let known = self.posts.iter().find(|(known, _)| *known == id);
        known.map(|(_, told)| format!("~ deleted: {told}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, room: usize, used: usize) -> Vec<String> {
        let rows = wrap(text, room, used);
        for (nth, row) in rows.iter().enumerate() {
            let used = if nth == 0 { used } else { 0 };
            assert!(row.width() + used <= room.max(used + 2), "{row:?}");
        }
        rows
    }

    #[test]
    fn words_stay_whole_where_they_fit() {
        assert_eq!(rows("one two three", 9, 0), ["one two", "three"]);
        assert_eq!(rows("one two", 9, 7), ["", "one two"]);
        assert_eq!(rows("abcdefghijkl", 5, 0), ["abcde", "fghij", "kl"]);
        assert_eq!(rows("日本語日本語", 5, 0), ["日本", "語日", "本語"]);
        assert_eq!(rows("", 5, 0), [""]);
    }

    fn of(author: &str, text: &str, seconds: i64) -> Post {
        Post::from(sns_proto::v1::Post {
            id: 7 << 16,
            author: author.to_owned(),
            text: text.to_owned(),
            created_at: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        })
    }

    fn shown(text: &str, seconds: i64, width: usize, paint: Paint) -> String {
        let now: Zoned = "2026-01-02T05:00:00+02:00[+02:00]".parse().expect("a time");
        post(&of("bob", text, seconds), &now, width, paint)
    }

    #[test]
    fn times_are_local_and_as_long_as_they_must_be() {
        for (seconds, time) in [
            (1_767_322_800, "05:00"),
            (1_767_304_801, "00:00"),
            (1_767_304_799, "Jan 01 23:59"),
            (1_700_000_000, "2023-11-15"),
        ] {
            let text = shown("hi", seconds, 60, Paint::PLAIN);
            assert_eq!(text, format!("{time}  bob: hi"));
        }
        let text = shown("hi", 1_767_322_800, 60, Paint::COLOUR);
        assert_eq!(text, "\x1b[2m05:00\x1b[0m  \x1b[1mbob\x1b[0m: hi");
    }

    #[test]
    fn rows_keep_within_the_width_and_are_not_too_many() {
        let text = "日本語 and words, ".repeat(20);
        for width in [1, 10, 39, 40, 60, 120] {
            for row in shown(&text, 1_767_322_800, width, Paint::PLAIN).lines() {
                assert!(row.width() < width.max(20), "{width}: {row:?}");
            }
        }
        let lines = shown(&"a\nb".repeat(300), 1_767_322_800, 60, Paint::PLAIN);
        assert_eq!(lines.lines().count(), ROWS_MAX + 1);
    }

    #[test]
    fn a_deleted_post_is_told_by_its_beginning() {
        let mut shown = Shown::default();
        shown.add(&of("bob", "\x1bhello", 0));
        let told = shown.deleted(Seq::from(7 << 16));
        assert_eq!(told.as_deref(), Some("~ deleted: bob: \\u{1b}hello"));
        assert_eq!(shown.deleted(Seq::from(1)), None);
        for nth in 0..2 * KNOWN_MAX {
            shown.add(&of("bob", &nth.to_string(), 0));
        }
        assert_eq!(shown.posts.len(), KNOWN_MAX);
    }

    #[test]
    fn lines_stay_lines_and_nothing_acts_on_the_terminal() {
        assert_eq!(rows("a\n\n\n\nb\r\nc", 20, 0), ["a", "", "b", "c"]);
        assert_eq!(rows("\x1b[2J\u{202e}x", 40, 0), ["\\u{1b}[2J\\u{202e}x"]);
    }
}
