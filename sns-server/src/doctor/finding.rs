//! [`Finding`]: what one check found, and what to do about it.

use serde_json::{Value, json};
use sns_core::ErrorKind;

/// Whether it can stay as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It can.
    Ok,
    /// It works, for now or with less.
    Warn,
    /// It will not work; the kind is that with which a server would end.
    Fail(ErrorKind),
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail(_) => "fail",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// A word for the check: findings of one check have the same.
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// What is there.
    pub(super) found: String,
    /// What to do; `None` where nothing is to be done.
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found: found.into(),
            advice: None,
        }
    }

    pub(super) fn warn(
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            check,
            verdict: Verdict::Warn,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    pub(super) fn fail(
        kind: ErrorKind,
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Fail(kind),
            ..Self::warn(check, found, advice)
        }
    }

    pub(super) fn fails(&self) -> bool {
        matches!(self.verdict, Verdict::Fail(_))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "check": self.check,
            "verdict": self.verdict.name(),
            "found": self.found,
            "advice": self.advice,
        })
    }

    /// For people: what was found, and under it what to do.
    pub(super) fn lines(&self) -> Vec<String> {
        let first = format!(
            "{:<4}  {:<11}  {}",
            self.verdict.name(),
            self.check,
            self.found
        );
        let second = self
            .advice
            .iter()
            .map(|advice| format!("{:19}-> {advice}", ""));
        std::iter::once(first).chain(second).collect()
    }
}

/// The kind of failure that matters most: what is damaged, then what has to be corrected, then what
/// is full.
pub(super) fn worst(findings: &[Finding]) -> Option<ErrorKind> {
    const ORDER: [ErrorKind; 4] = [
        ErrorKind::Damaged,
        ErrorKind::Invalid,
        ErrorKind::Exhausted,
        ErrorKind::Unavailable,
    ];
    let fails = |kind: &ErrorKind| {
        let mut verdicts = findings.iter().map(|it| it.verdict);
        verdicts.any(|verdict| verdict == Verdict::Fail(*kind))
    };
    ORDER.into_iter().find(fails)
}

/// `1.5 GiB`
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} bytes");
    }
    let mut unit = 0;
    let mut tenths = u128::from(count) * 10 / 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_weighs_more_than_what_can_be_corrected_and_warnings_weigh_nothing() {
        let fail = |kind| Finding::fail(kind, "x", "y", "z");
        assert_eq!(worst(&[Finding::warn("x", "y", "z")]), None);
        let both = [fail(ErrorKind::Unavailable), fail(ErrorKind::Invalid)];
        assert_eq!(worst(&both), Some(ErrorKind::Invalid));
        let all = [fail(ErrorKind::Invalid), fail(ErrorKind::Damaged)];
        assert_eq!(worst(&all), Some(ErrorKind::Damaged));
    }

    #[test]
    fn bytes_are_told_in_units() {
        let told = [0, 1023, 1024, 1536, 64 << 20, 3 << 40].map(bytes);
        let expected = [
            "0 bytes",
            "1023 bytes",
            "1.0 KiB",
            "1.5 KiB",
            "64.0 MiB",
            "3.0 TiB",
        ];
        assert_eq!(told, expected);
        assert_eq!(bytes(u64::MAX), "16383.9 PiB");
    }
}
