//! The log, writes, and calls that fail.

#![allow(
    clippy::unnecessary_wraps,
    reason = "all of them have one type, and most do not fit every history"
)]

use sns_chaos::check::Kind;
use sns_chaos::history::{Act, Call, Excuse, History, List, Outcome};

use super::{Spoiling, a_post, append, asked, ops, place, text, told};
use crate::rng::Rng;

pub(super) const SPOILINGS: &[Spoiling] = &[
    ("a post is not in the log", Kind::Lost, lost_post),
    ("a deletion is not in the log", Kind::Lost, lost_delete),
    ("a follow is not in the log", Kind::Lost, lost_follow),
    ("an unfollow is not in the log", Kind::Lost, lost_unfollow),
    ("the end of the log is lost", Kind::Lost, lost_tail),
    ("the log refuses a deletion", Kind::Lost, refused_in_log),
    (
        "a post is sent again with another id",
        Kind::Duplicated,
        post_with_other_id,
    ),
    (
        "a retry is not recognised",
        Kind::Duplicated,
        retry_without_id,
    ),
    (
        "an unknown post stands twice",
        Kind::Duplicated,
        unknown_twice,
    ),
    ("a refused post is there", Kind::Invented, refused_post),
    ("the text is another", Kind::Invented, other_text),
    ("the author is another", Kind::Invented, other_author),
    ("a post that nobody sent", Kind::Invented, post_of_nobody),
    (
        "an unfollow that nobody sent",
        Kind::Invented,
        unfollow_of_nobody,
    ),
    (
        "a deletion that nobody sent",
        Kind::Invented,
        deletion_of_nobody,
    ),
    (
        "a refusal that the log does not know",
        Kind::Invented,
        refusal_of_nobody,
    ),
    (
        "a refusal out of its time",
        Kind::Reordered,
        refusal_too_early,
    ),
    (
        "two posts with each other's ids",
        Kind::Reordered,
        swapped_ids,
    ),
    (
        "two posts against real time",
        Kind::Reordered,
        against_real_time,
    ),
    (
        "a post called after a later one ended",
        Kind::Reordered,
        called_late,
    ),
    ("two posts are told one id", Kind::Reordered, one_id),
    (
        "a follow is told another seq",
        Kind::Reordered,
        follow_elsewhere,
    ),
    (
        "the lines of the log are swapped",
        Kind::Reordered,
        swapped_lines,
    ),
    ("an entry is missing", Kind::Gap, missing_entry),
    ("the head of the log is missing", Kind::Incomplete, no_head),
    ("there is no log", Kind::Incomplete, no_log),
    (
        "a call is refused though servers live",
        Kind::Failed,
        refused_call,
    ),
    (
        "a write ends unknown though servers live",
        Kind::Failed,
        unknown_call,
    ),
    (
        "a walk is refused though servers live",
        Kind::Failed,
        refused_walk,
    ),
    (
        "a call fails and no fault excuses it",
        Kind::Failed,
        no_excuse,
    ),
    (
        "a call fails long after the fault",
        Kind::Failed,
        excuse_over,
    ),
];

/// Takes an acknowledged write out of the log, with its retries.
fn drop_one(history: &mut History, rng: &mut Rng, is: fn(&Call) -> bool) -> Option<()> {
    let number = rng.pick(&ops(history, |op| is(&op.call) && told(op).is_some()))?;
    let at = place(history, told(&history.ops[number])?)?;
    let (id, act) = (
        history.log[at].request_id.clone(),
        history.log[at].act.clone(),
    );
    history.log.retain(|command| command.request_id != id);
    // Another one that says the same, and was refused, would take its place.
    let alone = history.log.iter().all(|command| command.act != act);
    alone.then_some(())
}

fn lost_post(history: &mut History, rng: &mut Rng) -> Option<()> {
    drop_one(history, rng, |call| matches!(call, Call::Post { .. }))
}

fn lost_delete(history: &mut History, rng: &mut Rng) -> Option<()> {
    drop_one(history, rng, |call| matches!(call, Call::Delete { .. }))
}

fn lost_follow(history: &mut History, rng: &mut Rng) -> Option<()> {
    drop_one(history, rng, |call| matches!(call, Call::Follow { .. }))
}

fn lost_unfollow(history: &mut History, rng: &mut Rng) -> Option<()> {
    drop_one(history, rng, |call| matches!(call, Call::Unfollow { .. }))
}

fn lost_tail(history: &mut History, rng: &mut Rng) -> Option<()> {
    let seq = told(&history.ops[a_post(history, rng)?])?;
    history.log.retain(|command| command.seq < seq);
    (!history.log.is_empty()).then_some(())
}

fn refused_in_log(history: &mut History, rng: &mut Rng) -> Option<()> {
    let number = rng.pick(&ops(history, |op| {
        matches!(op.call, Call::Delete { .. }) && told(op).is_some()
    }))?;
    let at = place(history, told(&history.ops[number])?)?;
    let Act::DeletePost { user, .. } = &mut history.log[at].act else {
        return None;
    };
    *user = if user == "user1" { "user2" } else { "user1" }.into();
    Some(())
}

fn post_with_other_id(history: &mut History, rng: &mut Rng) -> Option<()> {
    let op = &history.ops[a_post(history, rng)?];
    let act = Act::CreatePost {
        user: op.user.clone(),
        text: text(op),
    };
    append(history, act)
}

fn retry_without_id(history: &mut History, rng: &mut Rng) -> Option<()> {
    let retries: Vec<usize> = (1..history.log.len())
        .filter(|at| {
            let command = &history.log[*at];
            let before = &history.log[at - 1].request_id;
            let is_post = matches!(command.act, Act::CreatePost { .. });
            is_post && command.request_id.is_some() && command.request_id == *before
        })
        .collect();
    history.log[rng.pick(&retries)?].request_id = None;
    Some(())
}

fn unknown_twice(history: &mut History, rng: &mut Rng) -> Option<()> {
    let number = a_post(history, rng)?;
    let reason = "OUTCOME_UNKNOWN".into();
    history.ops[number].outcome = Outcome::Unknown { reason };
    let op = &history.ops[number];
    let act = Act::CreatePost {
        user: op.user.clone(),
        text: text(op),
    };
    append(history, act)
}

fn refused_post(history: &mut History, rng: &mut Rng) -> Option<()> {
    let number = a_post(history, rng)?;
    let reason = "OVERLOADED".into();
    history.ops[number].outcome = Outcome::Refused { reason };
    Some(())
}

fn other_text(history: &mut History, rng: &mut Rng) -> Option<()> {
    let seq = told(&history.ops[a_post(history, rng)?])?;
    let at = place(history, seq)?;
    if let Act::CreatePost { text, .. } = &mut history.log[at].act {
        text.push('!');
    }
    Some(())
}

fn other_author(history: &mut History, rng: &mut Rng) -> Option<()> {
    let seq = told(&history.ops[a_post(history, rng)?])?;
    let at = place(history, seq)?;
    let next = history.log.get(at + 1);
    if next.is_some_and(|next| next.request_id == history.log[at].request_id) {
        return None;
    }
    if let Act::CreatePost { user, .. } = &mut history.log[at].act {
        *user = if user == "user1" { "user2" } else { "user1" }.into();
    }
    Some(())
}

fn post_of_nobody(history: &mut History, _: &mut Rng) -> Option<()> {
    append(
        history,
        Act::CreatePost {
            user: "user1".into(),
            text: "who?".into(),
        },
    )
}

fn unfollow_of_nobody(history: &mut History, rng: &mut Rng) -> Option<()> {
    let mut found = Vec::new();
    for listing in &history.listings {
        if let List::Following { names } = &listing.list {
            for followee in names {
                let followee = followee.clone();
                if !asked(
                    history,
                    &listing.user,
                    &Call::Unfollow {
                        followee: followee.clone(),
                    },
                ) {
                    found.push((listing.user.clone(), followee));
                }
            }
        }
    }
    let (user, followee) = rng.pick(&found)?;
    append(history, Act::Unfollow { user, followee })
}

fn deletion_of_nobody(history: &mut History, rng: &mut Rng) -> Option<()> {
    let op = &history.ops[a_post(history, rng)?];
    let (user, id) = (op.user.clone(), told(op)?);
    if asked(history, &user, &Call::Delete { id }) {
        return None;
    }
    append(history, Act::DeletePost { user, id })
}

/// A call that was refused by a rule of the state.
fn a_refusal(history: &History, rng: &mut Rng) -> Option<usize> {
    rng.pick(&ops(history, |op| {
        let Outcome::Refused { reason } = &op.outcome else {
            return false;
        };
        ["NOT_FOLLOWING", "ALREADY_FOLLOWING"].contains(&reason.as_str())
            && history
                .ops
                .iter()
                .filter(|other| other.call == op.call)
                .count()
                == 1
    }))
}

fn refusal_of_nobody(history: &mut History, rng: &mut Rng) -> Option<()> {
    let op = &history.ops[a_refusal(history, rng)?];
    let user = op.user.clone();
    let gone = match op.call.clone() {
        Call::Follow { followee } => Act::Follow { user, followee },
        Call::Unfollow { followee } => Act::Unfollow { user, followee },
        _ => return None,
    };
    let refused = |act: &Act| *act == gone;
    if history
        .log
        .iter()
        .filter(|command| refused(&command.act))
        .count()
        != 1
    {
        return None;
    }
    for command in &mut history.log {
        if command.act == gone {
            command.act = Act::Checkpoint;
        }
    }
    Some(())
}

fn refusal_too_early(history: &mut History, rng: &mut Rng) -> Option<()> {
    let number = a_refusal(history, rng)?;
    let op = &mut history.ops[number];
    let was = op.start;
    (op.start, op.end) = (0, 0);
    // Something has to have been called between.
    let between = history
        .ops
        .iter()
        .any(|op| told(op).is_some() && op.end < was);
    between.then_some(())
}

/// Two acknowledged posts, one wholly before the other.
fn two_posts(history: &History, rng: &mut Rng) -> Option<(usize, usize)> {
    let (one, other) = (a_post(history, rng)?, a_post(history, rng)?);
    let (first, second) = (&history.ops[one], &history.ops[other]);
    (first.end < second.start).then_some((one, other))
}

fn swapped_ids(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (one, other) = two_posts(history, rng)?;
    let outcome = history.ops[one].outcome.clone();
    history.ops[one].outcome = std::mem::replace(&mut history.ops[other].outcome, outcome);
    Some(())
}

fn against_real_time(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (one, other) = two_posts(history, rng)?;
    let (first, second) = (told(&history.ops[one])?, told(&history.ops[other])?);
    let (first, second) = (place(history, first)?, place(history, second)?);
    for at in [first, second] {
        // A retry of it in the log would be refused, and that is another matter.
        let id = &history.log[at].request_id;
        if history
            .log
            .get(at + 1)
            .is_some_and(|next| next.request_id == *id)
        {
            return None;
        }
    }
    let (one_seq, other_seq) = (history.log[first].seq, history.log[second].seq);
    history.log.swap(first, second);
    (history.log[first].seq, history.log[second].seq) = (one_seq, other_seq);
    swap_outcomes(history, one, other);
    Some(())
}

fn swap_outcomes(history: &mut History, one: usize, other: usize) {
    let outcome = history.ops[one].outcome.clone();
    history.ops[one].outcome = std::mem::replace(&mut history.ops[other].outcome, outcome);
}

fn called_late(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (one, other) = two_posts(history, rng)?;
    let late = history.ops[other].end + 1;
    (history.ops[one].start, history.ops[one].end) = (late, late);
    Some(())
}

fn one_id(history: &mut History, rng: &mut Rng) -> Option<()> {
    let (one, other) = two_posts(history, rng)?;
    history.ops[other].outcome = history.ops[one].outcome.clone();
    Some(())
}

fn follow_elsewhere(history: &mut History, rng: &mut Rng) -> Option<()> {
    let post = told(&history.ops[a_post(history, rng)?])?;
    let number = rng.pick(&ops(history, |op| {
        matches!(op.call, Call::Follow { .. }) && told(op).is_some()
    }))?;
    history.ops[number].outcome = Outcome::Ok { seq: post };
    Some(())
}

fn swapped_lines(history: &mut History, rng: &mut Rng) -> Option<()> {
    let at = rng.below(history.log.len() - 1);
    history.log.swap(at, at + 1);
    Some(())
}

fn missing_entry(history: &mut History, rng: &mut Rng) -> Option<()> {
    let last = history.log.last()?.seq >> 16;
    let index = 2 + rng.next() % (last - 3);
    history.log.retain(|command| command.seq >> 16 != index);
    Some(())
}

fn no_head(history: &mut History, _: &mut Rng) -> Option<()> {
    history.log.retain(|command| command.seq >> 16 > 2);
    Some(())
}

fn no_log(history: &mut History, _: &mut Rng) -> Option<()> {
    history.log.clear();
    Some(())
}

/// Whether all servers were gone at about this time.
fn dark(history: &History, from: u64, to: u64) -> bool {
    let excuses = history
        .faults
        .iter()
        .filter(|fault| fault.excuses == Excuse::Everything);
    excuses
        .into_iter()
        .any(|fault| fault.at <= to && from <= fault.end + 1_000_000)
}

fn refused_call(history: &mut History, rng: &mut Rng) -> Option<()> {
    refuse(history, rng, |call| {
        matches!(call, Call::Post { .. } | Call::Follow { .. })
    })
}

fn refused_walk(history: &mut History, rng: &mut Rng) -> Option<()> {
    refuse(history, rng, |call| matches!(call, Call::Walk { .. }))
}

fn refuse(history: &mut History, rng: &mut Rng, is: fn(&Call) -> bool) -> Option<()> {
    let lit = ops(history, |op| {
        is(&op.call) && !dark(history, op.start, op.end)
    });
    let reasons = [
        "NO_SERVER",
        "OVERLOADED",
        "STARTING",
        "LAGGING",
        "DAMAGED",
        "SEQ_UNKNOWN",
    ];
    let (number, reason) = (rng.pick(&lit)?, rng.pick(&reasons)?.into());
    history.ops[number].outcome = Outcome::Refused { reason };
    Some(())
}

fn unknown_call(history: &mut History, rng: &mut Rng) -> Option<()> {
    let number = a_post(history, rng)?;
    let op = &history.ops[number];
    if dark(history, op.start, op.end) {
        return None;
    }
    let reason = "OUTCOME_UNKNOWN".into();
    history.ops[number].outcome = Outcome::Unknown { reason };
    Some(())
}

/// Whether a call failed, excused.
fn failed(history: &History) -> bool {
    history.ops.iter().any(|op| match &op.outcome {
        Outcome::Ok { .. } => false,
        Outcome::Refused { reason } | Outcome::Unknown { reason } => {
            ["NO_SERVER", "OUTCOME_UNKNOWN"].contains(&reason.as_str())
        }
    })
}

fn no_excuse(history: &mut History, _: &mut Rng) -> Option<()> {
    for fault in &mut history.faults {
        fault.excuses = Excuse::Full;
    }
    failed(history).then_some(())
}

fn excuse_over(history: &mut History, _: &mut Rng) -> Option<()> {
    for fault in &mut history.faults {
        (fault.at, fault.end) = (0, 1_000_000);
    }
    failed(history).then_some(())
}
