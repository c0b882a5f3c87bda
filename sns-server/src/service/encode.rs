//! From the words of the core to the messages of the wire.

use sns_core::{Post, User};
use sns_proto::v1;

/// A post as the wire has it.
pub(crate) fn post(post: &Post) -> v1::Post {
    v1::Post {
        id: post.id.as_u64(),
        author: post.author.to_string(),
        text: post.text.as_str().to_owned(),
        created_at: Some(timestamp(post.created_at_ms)),
    }
}

/// A user as the wire has it.
pub(crate) fn user(user: &User) -> v1::User {
    v1::User {
        username: user.username.to_string(),
        created_at: Some(timestamp(user.created_at_ms)),
    }
}

/// Milliseconds since 1970; what the message cannot hold becomes the latest that it can.
fn timestamp(ms: u64) -> prost_types::Timestamp {
    // 9999-12-31T23:59:59.999Z, the bound of google.protobuf.Timestamp.
    let ms = ms.min(253_402_300_799_999);
    prost_types::Timestamp {
        seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1_000 * 1_000_000).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_keeps_its_milliseconds_and_its_bound() {
        let at = timestamp(1_234_567);
        assert_eq!((at.seconds, at.nanos), (1_234, 567_000_000));
        assert_eq!(timestamp(u64::MAX).seconds, 253_402_300_799);
    }
}
