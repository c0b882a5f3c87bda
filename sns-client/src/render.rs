//! Values as text: plain functions, no terminal.

use std::fmt::Write as _;
use std::time::SystemTime;

use serde::Serialize;
use sns_client::{Post, Seq, User};

use crate::output::Failure;

#[derive(Serialize)]
struct PostShape<'a> {
    id: u64,
    author: &'a str,
    text: &'a str,
    created_at: String,
}

/// A post: an object with `id, author, text, created_at`, or `id  time  author: text`.
pub(crate) fn post(post: &Post, json: bool) -> String {
    let time = time(post.created_at);
    if !json {
        let (author, text) = (escape(&post.author), escape(&post.text));
        return format!("{}  {time}  {author}: {text}", post.id);
    }
    object(&PostShape {
        id: post.id.get(),
        author: &post.author,
        text: &post.text,
        created_at: time,
    })
}

/// A post that is gone.
pub(crate) fn deleted(id: Seq, json: bool) -> String {
    if json {
        format!("{{\"deleted\":{id}}}")
    } else {
        format!("{id}  deleted")
    }
}

/// A change that was made.
pub(crate) fn change(seq: Seq, told: &str, json: bool) -> String {
    if json {
        format!("{{\"seq\":{seq}}}")
    } else {
        escape(told)
    }
}

#[derive(Serialize)]
struct UserShape<'a> {
    username: &'a str,
    created_at: String,
}

/// A user: an object with `username, created_at`, or the name.
pub(crate) fn user(user: &User, json: bool) -> String {
    if !json {
        return escape(&user.username);
    }
    object(&UserShape {
        username: &user.username,
        created_at: time(user.created_at),
    })
}

#[derive(Serialize)]
struct ErrorShape<'a> {
    kind: &'a str,
    reason: Option<&'a str>,
    message: &'a str,
}
#[derive(Serialize)]
struct FailureShape<'a> {
    error: ErrorShape<'a>,
}

/// A failure, for stderr.
pub(crate) fn failure(failure: &Failure, json: bool) -> String {
    if !json {
        // Lines of our own are kept: what clap says has several.
        let lines: Vec<_> = failure.message().lines().map(escape).collect();
        return format!("error: {}", lines.join("\n"));
    }
    object(&FailureShape {
        error: ErrorShape {
            kind: failure.kind(),
            reason: failure.reason(),
            message: failure.message(),
        },
    })
}

/// RFC 3339 in UTC, in milliseconds.
fn time(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(stamp) => format!("{stamp:.3}"),
        // Past the year 9999: some server's clock is of no use.
        Err(_) => "9999-12-31T23:59:59.999Z".to_owned(),
    }
}

/// One line of JSON.
pub(crate) fn object(value: &impl Serialize) -> String {
    // Strings and numbers always have a JSON form.
    let text = serde_json::to_string(value).unwrap_or_default();
    // JSON leaves C1 controls and bidi marks as they are; as escapes they mean the same.
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_treacherous(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// The text of others as one line that leaves a terminal alone: control characters, bidi overrides
/// and invisible marks show as escapes. The bytes as they are come with `--json`.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if is_treacherous(c) => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    safe
}

/// Whether a character acts on a terminal, or on how others are shown, instead of being shown.
fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Bidi: marks, embeddings, overrides, isolates.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // Invisible: zero width space, word joiner and its kin, byte order mark, deprecated
            // formats, interlinear notes, tags. Joiners stay: emoji and scripts need them.
            | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
