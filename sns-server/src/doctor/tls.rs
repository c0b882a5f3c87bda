//! The files of TLS: whether a server could start with them, and for how long.

use sns_core::{Clock, ErrorKind};

use super::finding::Finding;
use crate::net::tls::{Tls, TlsFiles};

/// As long before its end servers begin to warn of it.
const SOON_DAYS: i64 = 14;

const DAY: i64 = 24 * 60 * 60;

#[derive(Debug)]
pub(super) struct Facts {
    /// Seconds since 1970 at which the certificate ends, or why it is no good.
    ends: Result<i64, String>,
    now: i64,
}

impl Facts {
    /// As a server reads them: that the key fits, and that the CA made it, is looked at too.
    pub(super) fn gather(files: &TlsFiles) -> Self {
        let opened = Tls::open(files.clone());
        Self {
            ends: opened
                .map(|tls| tls.ends())
                .map_err(|failure| failure.message),
            now: i64::try_from(Clock::system().now_ms() / 1_000).unwrap_or(i64::MAX),
        }
    }
}

pub(super) fn judge(facts: &Facts) -> Finding {
    let ends = match &facts.ends {
        Ok(ends) => *ends,
        Err(why) => {
            let advice =
                "put good files there; `sns-server cert` makes some, docs/tls.md says more";
            return Finding::fail(ErrorKind::Invalid, "tls", why.clone(), advice);
        }
    };
    let days = ends.saturating_sub(facts.now) / DAY;
    let found = format!("the certificate fits its key, and is good for {days} more days");
    if days < SOON_DAYS {
        let advice = "put a new one in its place; running servers take it up by themselves";
        return Finding::warn("tls", found, advice);
    }
    Finding::ok("tls", found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    #[test]
    fn a_certificate_that_ends_soon_is_a_warning_and_one_of_no_use_fails() {
        let verdict = |ends| judge(&Facts { ends, now: 1_000 }).verdict;
        assert_eq!(verdict(Ok(1_000 + 14 * DAY)), Verdict::Ok);
        assert_eq!(verdict(Ok(999 + 14 * DAY)), Verdict::Warn);
        let fail = Verdict::Fail(ErrorKind::Invalid);
        assert_eq!(verdict(Err("it has ended".to_owned())), fail);
    }
}
