//! Ways to spoil a good history: each breaks one promise, and names the violation that must be
//! found. One that does not fit a history leaves it as it is and gives `None`.

#[path = "spoil/replicas.rs"]
mod replicas;
#[path = "spoil/streams.rs"]
mod streams;
#[path = "spoil/walks.rs"]
mod walks;
#[path = "spoil/writes.rs"]
mod writes;

use sns_chaos::check::Kind;
use sns_chaos::history::{Act, Call, Command, History, Op, Outcome};

use super::service::Rng;

/// Spoils a history, if it fits.
pub(crate) type Spoil = fn(&mut History, &mut Rng) -> Option<()>;

/// A name, what must be found, and what is done.
pub(crate) type Spoiling = (&'static str, Kind, Spoil);

pub(crate) fn all() -> Vec<Spoiling> {
    let parts = [
        writes::SPOILINGS,
        walks::SPOILINGS,
        streams::SPOILINGS,
        replicas::SPOILINGS,
    ];
    parts.concat()
}

/// The seq that the call was told.
fn told(op: &Op) -> Option<u64> {
    match op.outcome {
        Outcome::Ok { seq } if seq > 0 => Some(seq),
        _ => None,
    }
}

/// Numbers of the calls that are so.
fn ops(history: &History, is: impl Fn(&Op) -> bool) -> Vec<usize> {
    (0..history.ops.len())
        .filter(|number| is(&history.ops[*number]))
        .collect()
}

/// An acknowledged post.
fn a_post(history: &History, rng: &mut Rng) -> Option<usize> {
    rng.pick(&ops(history, |op| {
        matches!(op.call, Call::Post { .. }) && told(op).is_some()
    }))
}

fn text(op: &Op) -> String {
    match &op.call {
        Call::Post { text } => text.clone(),
        _ => String::new(),
    }
}

fn place(history: &History, seq: u64) -> Option<usize> {
    history.log.iter().position(|command| command.seq == seq)
}

/// Appends an entry that nobody applied.
fn append(history: &mut History, act: Act) -> Option<()> {
    let seq = ((history.log.last()?.seq >> 16) + 1) << 16;
    let request_id = Some(format!("{seq:032x}"));
    let seen = seq - 1;
    history.log.push(Command {
        seq,
        request_id,
        seen,
        act,
    });
    for replica in &mut history.replicas {
        replica.applied = seq >> 16;
    }
    Some(())
}

/// Whether somebody asked for it.
fn asked(history: &History, user: &str, call: &Call) -> bool {
    history
        .ops
        .iter()
        .any(|op| op.user == user && op.call == *call)
}
