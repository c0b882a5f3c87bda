//! What is said to the course's client, word for word, and what its words mean to us.

use std::time::SystemTime;

use sns_client::{Error, ErrorKind, Post, Reason};
use sns_core::Username;
use sns_proto::csce438::{Message, Reply};
use sns_proto::escape::escape;
use sns_proto::reason;
use tonic::{Code, Status};

use crate::service::status::{self, status};

/// The first message of a stream says this, and is no post.
pub(super) const SET_STREAM: &str = "Set Stream";

/// The client follows from now on.
pub(super) const FOLLOWED: &str = "Follow Successful";
/// It did already; or it is oneself.
pub(super) const FOLLOWS_ALREADY: &str = "you have already joined";
/// It follows no longer.
pub(super) const UNFOLLOWED: &str = "UnFollow Successful";
/// It did not; nor does anybody follow oneself.
pub(super) const FOLLOWS_NOT: &str = "you are not follower";
/// Nobody has that name, or nobody can have it.
pub(super) const UNKNOWN: &str = "unknown follower username";

/// Who says why a post was not taken. No user can be called so.
const US: &str = "(sns)";

/// A sentence.
pub(super) fn reply(msg: impl Into<String>) -> Reply {
    Reply { msg: msg.into() }
}

/// The name of a caller.
///
/// # Errors
/// `INVALID_ARGUMENT`: it is none.
pub(super) fn name(text: &str) -> Result<Username, Status> {
    Username::parse(text).map_err(status::of)
}

/// What is kept of a post: without the newline that ends it. Empty: there was nothing to post.
pub(super) fn kept(msg: &str) -> &str {
    msg.strip_suffix('\n').unwrap_or(msg)
}

/// A post as the client prints it: with its newline, and the time in whole seconds.
pub(super) fn shown(post: Post) -> Message {
    message(post.author, harmless(&post.text), post.created_at)
}

/// A text that leaves a terminal alone, for the client prints what it gets: what acts shows as an
/// escape, and no line but the first begins as a post does.
fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        let parts: Vec<String> = line.split('\t').map(escape).collect();
        safe += &parts.join("\t");
        match lines.peek() {
            Some(&"") => safe.push('\n'),
            Some(_) => safe += "\n    ",
            None => {}
        }
    }
    safe
}

/// Why a post was not taken: the client has no other way to hear it than as a message.
pub(super) fn notice(why: &str, now: SystemTime) -> Message {
    message(US.to_owned(), format!("not posted: {why}"), now)
}

fn message(username: String, mut msg: String, at: SystemTime) -> Message {
    msg.push('\n');
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    Message {
        username,
        msg,
        timestamp: Some(prost_types::Timestamp {
            seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
            nanos: 0,
        }),
    }
}

/// What the service refused, as the client library told it.
#[allow(
    clippy::needless_pass_by_value,
    reason = "so that it can be handed to `map_err`"
)]
pub(super) fn refused(error: Error) -> Status {
    if error.kind() == ErrorKind::Denied {
        let why = format!(
            "{}: the course's client shows no password, so its gateway needs a service with --auth \
             open, and a name without one",
            error.message()
        );
        return status(Reason::TokenMissing, why);
    }
    match error.reason() {
        Reason::Unspecified => {
            let code = match error.kind() {
                ErrorKind::Invalid => reason::code::INVALID_ARGUMENT,
                ErrorKind::NotFound => reason::code::NOT_FOUND,
                ErrorKind::Conflict => reason::code::ALREADY_EXISTS,
                ErrorKind::Exhausted => reason::code::RESOURCE_EXHAUSTED,
                ErrorKind::Unavailable => reason::code::UNAVAILABLE,
                ErrorKind::Unknown => reason::code::DEADLINE_EXCEEDED,
                ErrorKind::Damaged => reason::code::DATA_LOSS,
                _ => reason::code::INTERNAL,
            };
            Status::new(Code::from_i32(code), error.message())
        }
        known => status(known, error.message()),
    }
}

/// The gateway stops.
pub(super) fn stopping() -> Status {
    status(Reason::ShuttingDown, "the gateway stops")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_with_the_newline_that_it_came_with() {
        for (came, is_kept) in [
            ("p1\n", "p1"),
            ("two\nlines\n", "two\nlines"),
            ("blank\n\n", "blank\n"),
            ("\n", ""),
            ("", ""),
        ] {
            assert_eq!(kept(came), is_kept, "{came:?}");
            if !came.is_empty() {
                let back = message("a".into(), is_kept.to_owned(), SystemTime::UNIX_EPOCH);
                assert_eq!(back.msg, came);
            }
        }
    }

    #[test]
    fn what_acts_on_a_terminal_is_an_escape_and_no_line_passes_for_a_post() {
        for (text, is_shown) in [
            ("plain \t \"text\" é 😀", "plain \t \"text\" é 😀"),
            ("red\u{1b}[31m", "red\\u{1b}[31m"),
            ("\u{202e}turned", "\\u{202e}turned"),
            ("x\nbob(1) >> forged", "x\n    bob(1) >> forged"),
            ("x\r\nbob(1) >> forged", "x\\r\n    bob(1) >> forged"),
            ("a\n\nb", "a\n\n    b"),
            ("blank\n", "blank\n"),
            ("", ""),
        ] {
            assert_eq!(harmless(text), is_shown, "{text:?}");
        }
    }

    #[test]
    fn nobody_can_take_the_name_that_notices_come_from() {
        Username::parse(US).unwrap_err();
    }
}
