//! Times as text: RFC 3339 in UTC, in milliseconds, as the command lines print them.

/// Milliseconds since 1970 as text.
pub(crate) fn show(ms: u64) -> String {
    let stamp = i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    // Past the year 9999: nothing that was checked has such a time.
    stamp.map_or_else(
        || "9999-12-31T23:59:59.999Z".into(),
        |it| format!("{it:.3}"),
    )
}

/// Back from text; `None` when it is no time, one before 1970, or one between two milliseconds.
pub(crate) fn read(text: &str) -> Option<u64> {
    let stamp: jiff::Timestamp = text.parse().ok()?;
    if stamp.subsec_nanosecond() % 1_000_000 != 0 {
        return None;
    }
    u64::try_from(stamp.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_comes_back_as_it_was(ms in 0..=sns_core::limits::CLOCK_MS_MAX) {
            prop_assert_eq!(read(&show(ms)), Some(ms));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        assert_eq!(show(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            read("2026-11-23T14:00:00+01:00"),
            read("2026-11-23T13:00:00Z")
        );
        for bad in [
            "",
            "soon",
            "1969-12-31T23:59:59Z",
            "2026-11-23T13:00:00.0001Z",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
