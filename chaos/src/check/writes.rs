//! Writes: what was acknowledged is in the log once, in real-time order; what was refused is not;
//! and nothing is there that nobody sent.

use std::collections::HashMap;

use super::facts::{Content, Facts, NOBODY};
use super::model::{Effect, Reason};
use super::report::{Kind, Place, Report, ms, seq};
use crate::history::{History, Op, Outcome};

pub(super) fn check(history: &History, facts: &Facts<'_>, report: &mut Report) {
    told_elsewhere(history, facts, report);
    untold(history, facts, report);
    real_time(history, facts, report);
    refusals(history, facts, report);
}

/// Acknowledged at a seq that is not it in the log.
fn told_elsewhere(history: &History, facts: &Facts<'_>, report: &mut Report) {
    for number in &facts.misplaced {
        let op = &history.ops[*number];
        let (Outcome::Ok { seq: told }, Some(content)) = (&op.outcome, Content::of_op(op)) else {
            continue;
        };
        let tally = facts.tallies.get(&content).copied().unwrap_or_default();
        let there = facts.place(*told).map(|place| &facts.log[place].act);
        let other_post = there.is_some_and(|act| {
            matches!(
                (Content::of_act(act), content),
                (Some(Content::Post { user, text }), Content::Post { user: author, text: sent })
                    if user != author || text != sent
            )
        });
        let kind = if tally.untold > 0 {
            Kind::Reordered
        } else if other_post {
            Kind::Invented
        } else {
            Kind::Lost
        };
        report.add(kind, Place::Op(*number), || {
            let place = facts.place(*told);
            let effect = place.map(|place| facts.model.effects[place]);
            let mut message = format!(
                "{} was acknowledged at seq {}, where the log has ",
                describe(op),
                seq(*told)
            );
            match there {
                None => message.push_str("nothing"),
                Some(act) => message.extend([format!("{act:?} ({effect:?})")]),
            }
            if tally.untold > 0 {
                let elsewhere = facts.log[tally.first_untold as usize].seq;
                message.extend([format!("; it stands at seq {}", seq(elsewhere))]);
            }
            message
        });
    }
}

/// Effects that no call was told of.
fn untold(history: &History, facts: &Facts<'_>, report: &mut Report) {
    let mut used: HashMap<Content<'_>, u32> = HashMap::new();
    let mut preloaded = 0;
    for (place, command) in facts.log.iter().enumerate() {
        if facts.told[place] != NOBODY || facts.model.effects[place] != Effect::Done {
            continue;
        }
        let Some(content) = Content::of_act(&command.act) else {
            continue;
        };
        let prepared = place < facts.prepared;
        let is_post = matches!(content, Content::Post { .. });
        let Some(tally) = facts.tallies.get(&content) else {
            let known = if is_post {
                preloaded += 1;
                prepared && preloaded <= history.run.preloaded
            } else {
                prepared
            };
            if !known {
                report.add(Kind::Invented, Place::Log(command.seq), || {
                    format!("nobody sent what stands in the log: {:?}", command.act)
                });
            }
            continue;
        };
        if prepared && !is_post {
            continue;
        }
        let used = used.entry(content).or_default();
        *used += 1;
        if *used <= tally.unknown + tally.misplaced {
            continue;
        }
        let kind = if tally.ok + tally.unknown > 0 {
            Kind::Duplicated
        } else {
            Kind::Invented
        };
        report.add(kind, Place::Log(command.seq), || {
            format!(
                "{:?} took effect at seq {} too: it was acknowledged {} times, refused {} times, \
                 and of {} nobody could tell",
                command.act,
                seq(command.seq),
                tally.ok,
                tally.refused,
                tally.unknown
            )
        });
    }
}

/// A write stands behind all that was known anywhere before it was called. Put the other way
/// round: up to its seq the log has nothing that was called only after it had ended.
fn real_time(history: &History, facts: &Facts<'_>, report: &mut Report) {
    for (place, number) in facts.told.iter().enumerate() {
        let at = facts.log[place].seq;
        let Some(op) = history.ops.get(*number as usize) else {
            continue;
        };
        if let Some((later, called)) = facts.asked_later(at, op.end) {
            report.add(Kind::Reordered, Place::Op(*number as usize), || {
                format!(
                    "{} ended at {} with seq {}, but seq {} before it was called only at {}",
                    describe(op),
                    ms(op.end),
                    seq(at),
                    seq(later),
                    ms(called)
                )
            });
        }
        let known = facts.known_before(op.start);
        if known >= at {
            report.add(Kind::Reordered, Place::Op(*number as usize), || {
                format!(
                    "{} got seq {}, but seq {} was known before it was called at {}",
                    describe(op),
                    seq(at),
                    seq(known),
                    ms(op.start)
                )
            });
        }
    }
}

/// A refusal that depends on the state is a command of the log as well, and stands in real time.
fn refusals(history: &History, facts: &Facts<'_>, report: &mut Report) {
    let mut wanted: HashMap<(Content<'_>, Reason), Vec<u64>> = HashMap::new();
    let of_state = |op: &Op| match &op.outcome {
        Outcome::Refused { reason } => {
            // That one follows oneself can be told without the log.
            Reason::of_state(reason).filter(|reason| *reason != Reason::SelfFollow)
        }
        _ => None,
    };
    for op in &history.ops {
        if let (Some(content), Some(reason)) = (Content::of_op(op), of_state(op)) {
            wanted.entry((content, reason)).or_default();
        }
    }
    for (command, effect) in facts.log.iter().zip(&facts.model.effects) {
        if let (Some(content), Effect::Refused(reason)) = (Content::of_act(&command.act), effect)
            && let Some(seqs) = wanted.get_mut(&(content, *reason))
        {
            seqs.push(command.seq);
        }
    }
    for (number, op) in history.ops.iter().enumerate() {
        let (Some(content), Some(reason)) = (Content::of_op(op), of_state(op)) else {
            continue;
        };
        let seqs = wanted
            .get(&(content, reason))
            .map_or(&[][..], Vec::as_slice);
        let known = facts.known_before(op.start);
        let first = seqs.get(seqs.partition_point(|seq| *seq <= known));
        let found = first.is_some_and(|first| facts.asked_later(*first, op.end).is_none());
        if !found {
            let kind = if seqs.is_empty() {
                Kind::Invented
            } else {
                Kind::Reordered
            };
            report.add(kind, Place::Op(number), || {
                format!(
                    "{} was refused with {reason:?}, but the log refuses it {}",
                    describe(op),
                    match seqs {
                        [] => "nowhere".into(),
                        seqs => format!("only at {seqs:?}; {} was known before", seq(known)),
                    }
                )
            });
        }
    }
}

/// Who asked for what, and when.
pub(super) fn describe(op: &Op) -> String {
    let what = match Content::of_op(op) {
        None => "a walk".into(),
        Some(Content::Post { text, .. }) => format!("the post \"{}\"", text.escape_debug()),
        Some(Content::Delete { id, .. }) => format!("the deletion of {}", seq(id)),
        Some(Content::Follow { followee, .. }) => format!("the follow of {followee:?}"),
        Some(Content::Unfollow { followee, .. }) => format!("the unfollow of {followee:?}"),
    };
    let (client, user) = (op.client, op.user.escape_debug());
    format!(
        "{what} by client {client} ({user}), {}..{},",
        ms(op.start),
        ms(op.end)
    )
}
