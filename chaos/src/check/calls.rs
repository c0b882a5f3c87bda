//! Calls that failed. A refusal that says something about the state is an answer; all else is a
//! call that the library was to hide, unless no server could have answered.

use super::model::Reason;
use super::report::{Counts, Kind, Place, Report, ms};
use super::writes::describe;
use crate::history::{Call, Excuse, Fault, History, Micros, Op, Outcome};

/// After the end of a fault that excuses failed calls: the library shuns a failed address for 1 s,
/// so that a call that began meanwhile may still end without an answer. It gives up only after
/// 10 s, so that one that begins later has time enough.
pub const GRACE: Micros = 1_000_000;

pub(super) fn check(history: &History, report: &mut Report) {
    let mut dark: Vec<&Fault> = history
        .faults
        .iter()
        .filter(|fault| fault.excuses != Excuse::Nothing)
        .collect();
    dark.sort_by_key(|fault| fault.at);
    for fault in &history.faults {
        if let Some(complaint) = &fault.complaint {
            report.add(Kind::Failed, Place::Run, || {
                let (kind, target, at) = (&fault.kind, &fault.target, ms(fault.at));
                format!("{kind} of {target} at {at}: {}", complaint.escape_debug())
            });
        }
    }
    for (number, op) in history.ops.iter().enumerate() {
        if op.end < op.start {
            report.add(Kind::Incomplete, Place::Op(number), || {
                format!("{} ends before it starts", describe(op))
            });
        }
        let Some(reason) = failure(op) else {
            continue;
        };
        // There are few faults; they may overlap.
        let excused = dark
            .iter()
            .take_while(|fault| fault.at <= op.end)
            .filter(|fault| fault.excuses == Excuse::Everything || reason == "DISK_FULL")
            .any(|fault| op.start <= fault.end.saturating_add(GRACE));
        if !excused {
            report.add(Kind::Failed, Place::Op(number), || {
                let (first, took) = (&op.server, ms(op.end.saturating_sub(op.start)));
                let reason = reason.escape_debug();
                let what = describe(op);
                format!("{what} first asked {first}, ended with {reason} after {took}")
            });
        }
    }
}

/// The reason, if this is no answer to what was asked.
pub fn failure(op: &Op) -> Option<&str> {
    match &op.outcome {
        Outcome::Ok { .. } => None,
        Outcome::Unknown { reason } => Some(reason),
        Outcome::Refused { reason } => {
            let answer = match (Reason::of_state(reason), &op.call) {
                (Some(Reason::SelfFollow), Call::Follow { followee }) => *followee == op.user,
                (Some(Reason::SelfFollow) | None, _) => false,
                (Some(reason), Call::Walk { .. }) => reason == Reason::UserNotFound,
                (Some(_), _) => true,
            };
            (!answer).then_some(reason)
        }
    }
}

/// Adds up the outcomes.
pub(super) fn count(history: &History, counts: &mut Counts) {
    for op in &history.ops {
        match &op.outcome {
            Outcome::Ok { .. } => {}
            Outcome::Refused { .. } => counts.refused += 1,
            Outcome::Unknown { .. } => counts.unknown += 1,
        }
        counts.failed += u64::from(failure(op).is_some());
    }
}
