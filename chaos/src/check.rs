//! The checker: judges a history against the promises of the service.
//!
//! Pure: no clock, no network, no file. It folds the log by rules of its own (`check/model.rs`) and then
//! asks of everything that anybody was told whether the log agrees:
//!
//! - *writes*: what was acknowledged is in the log, at its seq, once; what was refused is not; what
//!   nobody can tell is there at most once; nothing is there that nobody sent;
//! - *real time*: a write stands behind everything that was known anywhere before it was called;
//! - *walks*: each page is exactly what the state that answered it has in that range, and no state
//!   is older than promised;
//! - *streams*: everything that must come came, once, in order;
//! - *replicas*: all at the end of the log, with one digest, and listing what the log says;
//! - *calls*: none failed, unless no server could have answered.
//!
//! What stands in the log before the first write that a client was acknowledged is taken as
//! prepared: users, follows, and as many posts as `Run::preloaded` says. Behind it, everything must
//! have been asked for by a call of the history.
//!
//! Source: the client-centric checks of Jepsen (Kingsbury, `elle` and its set and queue checkers),
//! and Herlihy and Wing, "Linearizability" (TOPLAS 1990). With the order known, checking takes time
//! in n log n, and no search.

mod calls;
mod facts;
mod log;
mod model;
mod outage;
mod replicas;
mod report;
mod streams;
mod walks;
mod writes;

pub use self::calls::{GRACE, failure};
pub use self::outage::{Figures, Outages};
pub use self::report::{Counts, KEPT_OF_A_KIND, Kind, Place, Report, Violation};

use self::facts::Facts;
use self::model::Effect;
use crate::history::{Call, Event, History, Outcome};

/// Judges a history. The same history gives the same report.
pub fn check(history: &History) -> Report {
    let mut report = Report::default();
    let log = log::check(history, &mut report);
    let facts = Facts::new(history, &log);
    writes::check(history, &facts, &mut report);
    walks::check(history, &facts, &mut report);
    streams::check(history, &facts, &mut report);
    replicas::check(history, &facts, &mut report);
    calls::check(history, &mut report);
    report.counts = count(history, &facts);
    if report.counts.acknowledged == 0 {
        report.add(Kind::Incomplete, Place::Run, || {
            "no write was acknowledged".into()
        });
    }
    report.outages = outage::measure(history);
    report
}

fn count(history: &History, facts: &Facts<'_>) -> Counts {
    let mut counts = Counts {
        ops: history.ops.len() as u64,
        streams: history.streams.len() as u64,
        commands: facts.log.len() as u64,
        users: facts.model.users() as u64,
        replicas: history.replicas.len() as u64,
        listings: history.listings.len() as u64,
        ..Counts::default()
    };
    for op in &history.ops {
        let ok = matches!(op.outcome, Outcome::Ok { .. });
        if let Call::Walk { pages, .. } = &op.call {
            counts.walks += 1;
            counts.pages += pages.len() as u64;
            counts.seen += pages
                .iter()
                .map(|page| page.posts.len() as u64)
                .sum::<u64>();
        } else if ok {
            counts.acknowledged += 1;
            counts.posts += u64::from(matches!(op.call, Call::Post { .. }));
        }
    }
    for event in history.streams.iter().flat_map(|stream| &stream.events) {
        match event {
            Event::Post { .. } | Event::Deleted { .. } => counts.events += 1,
            Event::Resumed { .. } => counts.resumed += 1,
            Event::Lost { .. } => {}
        }
    }
    for fault in &history.faults {
        *counts.faults.entry(fault.kind.clone()).or_default() += 1;
    }
    let repeated = facts.model.effects.iter();
    counts.repeated = repeated
        .filter(|effect| **effect == Effect::Repeated)
        .count() as u64;
    calls::count(history, &mut counts);
    counts
}

#[cfg(test)]
mod tests;
