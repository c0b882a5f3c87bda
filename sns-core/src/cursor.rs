//! Page tokens: opaque to callers, good on any replica for the life of the data.
//!
//! A token holds where the page ended, and a hash of what was asked for: continued with other
//! fields it is refused, not misread.

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Reason, Result};

/// The version of the form below.
const VERSION: char = '1';

/// A token: the place `at` in the answer to `query`.
pub(crate) fn encode(query: &str, at: &str) -> String {
    let bound = xxh3_64(format!("{query}\0{at}").as_bytes());
    let mut token = format!("{VERSION}{bound:016x}");
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    for byte in at.bytes() {
        token.push(digit(byte >> 4));
        token.push(digit(byte & 15));
    }
    token
}

/// The place that a token holds.
///
/// # Errors
/// `Invalid` (`PAGE_TOKEN_INVALID`): no token of ours, or of another query.
pub(crate) fn decode(query: &str, token: &str) -> Result<String> {
    parse(query, token).ok_or_else(|| {
        Error::new(
            Reason::PageTokenInvalid,
            "this page token is not of this query: pass on what the last page gave, and keep all \
             other fields as they were",
        )
    })
}

fn parse(query: &str, token: &str) -> Option<String> {
    let token = token.strip_prefix(VERSION)?;
    let (bound, at) = token
        .is_ascii()
        .then(|| token.split_at_checked(16))
        .flatten()?;
    let bytes: Option<Vec<u8>> = (0..at.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(at.get(i..i + 2)?, 16).ok())
        .collect();
    let at = String::from_utf8(bytes?).ok()?;
    (encode(query, &at).get(1..17)? == bound).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_fits_its_query_alone(query: String, other: String, at in "[a-z0-9_]{0,32}") {
            let token = encode(&query, &at);
            prop_assert_eq!(decode(&query, &token).unwrap(), at);
            if query != other {
                prop_assert!(decode(&other, &token).is_err());
            }
        }

        #[test]
        fn nonsense_is_refused_and_never_a_panic(token: String) {
            prop_assert!(decode("home alice", &token).is_err());
        }
    }
}
