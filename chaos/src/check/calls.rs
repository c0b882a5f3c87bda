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

/// What is said by a server that lives and finds nobody to write to: it cannot tell, it knows that
/// nothing was written, or so many wait already.
const NO_WRITES: [&str; 3] = ["LOG_UNAVAILABLE", "OUTCOME_UNKNOWN", "OVERLOADED"];

/// The fault under which nobody can read the log either: a server that lacks what another one
/// acknowledged a moment before cannot come by it.
const UNREADABLE: &str = crate::faults::Kind::NatsAll.as_str();

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
            .filter(|fault| excuses(fault, op, reason))
            .any(|fault| op.start <= over(fault).saturating_add(GRACE));
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

/// Whether a call like this may fail like that while the fault lasts.
fn excuses(fault: &Fault, op: &Op, reason: &str) -> bool {
    match fault.excuses {
        Excuse::Nothing => false,
        Excuse::Full => reason == "DISK_FULL",
        Excuse::Writes => {
            let unwritten = waits_for_the_log(&op.call) && NO_WRITES.contains(&reason);
            let waited = reason == "LAGGING"
                && (is_linearizable(&op.call)
                    || fault.kind == UNREADABLE && wants_a_state(&op.call));
            unwritten || waited
        }
        Excuse::Everything => true,
    }
}

/// Whether it is answered only by a server that has seen what its client saw.
fn wants_a_state(call: &Call) -> bool {
    matches!(call, Call::Walk { at_least: 1.., .. })
}

/// Whether it is answered only once the log has said how far it is. Where nobody can write, nobody can
/// say so either, and a server waits for it as for any state.
fn is_linearizable(call: &Call) -> bool {
    matches!(
        call,
        Call::Walk {
            linearizable: true,
            ..
        }
    )
}

/// When no call is excused any more that begins a little later.
fn over(fault: &Fault) -> Micros {
    match (fault.excuses, fault.back) {
        (Excuse::Writes, Some(back)) => fault.at.saturating_add(back),
        _ => fault.end,
    }
}

/// Whether it is answered only by those who take writes.
pub(super) fn waits_for_the_log(call: &Call) -> bool {
    !matches!(call, Call::Walk { .. }) || is_linearizable(call)
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

#[cfg(test)]
mod tests {
    use super::*;

    const BACK: Micros = 5_000_000;

    fn failed(call: Call, start: Micros, reason: &str) -> Op {
        Op {
            client: 1,
            user: "a".into(),
            call,
            start,
            end: start + 1_000,
            server: "s".into(),
            outcome: Outcome::Refused {
                reason: reason.into(),
            },
        }
    }

    fn walk(linearizable: bool) -> Call {
        walk_at(0, linearizable)
    }

    fn walk_at(at_least: u64, linearizable: bool) -> Call {
        Call::Walk {
            of: None,
            at_least,
            limit: 0,
            linearizable,
            pages: Vec::new(),
            complete: false,
        }
    }

    /// Whether a call may have failed like that while nobody could write.
    fn excused(op: Op) -> bool {
        excused_by("nats-kill-two", op)
    }

    fn excused_by(kind: &str, op: Op) -> bool {
        let history = History {
            ops: vec![op],
            faults: vec![Fault {
                kind: kind.into(),
                at: 1_000_000,
                end: 60_000_000,
                excuses: Excuse::Writes,
                back: Some(BACK),
                ..Fault::default()
            }],
            ..History::default()
        };
        let mut report = Report::default();
        check(&history, &mut report);
        report.passed()
    }

    #[test]
    fn while_nobody_can_write_writes_and_linearizable_reads_are_excused_and_nothing_else() {
        let post = || Call::Post { text: "x".into() };
        for reason in NO_WRITES {
            assert!(excused(failed(post(), 1_000_000, reason)), "{reason}");
            assert!(excused(failed(walk(true), 1_000_000, reason)), "{reason}");
            assert!(!excused(failed(walk(false), 1_000_000, reason)), "{reason}");
        }
        assert!(!excused(failed(post(), 1_000_000, "NO_SERVER")));
        assert!(!excused(failed(post(), 1_000_000, "DAMAGED")));
    }

    #[test]
    fn a_read_may_lag_only_where_nobody_can_read_the_log_and_it_wants_a_state() {
        let lags = |at_least| failed(walk_at(at_least, false), 1_000_000, "LAGGING");
        assert!(excused_by("nats-all", lags(7)));
        assert!(!excused_by("nats-all", lags(0)));
        assert!(!excused_by("nats-kill-two", lags(7)));
        // Here it waited for the word of a leader.
        assert!(excused(failed(walk(true), 1_000_000, "LAGGING")));
    }

    #[test]
    fn a_write_that_begins_when_others_go_on_is_not_excused_though_the_fault_lasts() {
        let post = |start| failed(Call::Post { text: "x".into() }, start, "LOG_UNAVAILABLE");
        let over = 1_000_000 + BACK + GRACE;
        assert!(excused(post(over)));
        assert!(!excused(post(over + 1)));
        assert!(!excused(post(0)), "it ended before");
    }
}
