//! Values as text: plain functions, no terminal.

use std::time::SystemTime;

use serde::Serialize;
use sns_client::{Post, Seq, User};
/// The text of others as one line that leaves a terminal alone. The bytes as they are come with
/// `--json`.
pub(crate) use sns_proto::escape::escape;
use sns_proto::escape::escape_json;

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
pub(crate) fn time(time: SystemTime) -> String {
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
    escape_json(&text)
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
