//! The log itself: seqs ascend, entries follow one another, and it is all there.

use std::borrow::Cow;

use super::report::{Kind, Place, Report, seq};
use crate::history::{Command, History};

/// Checks the order; gives the log in the order of seqs, each once, so that the rest can go on.
pub(super) fn check<'a>(history: &'a History, report: &mut Report) -> Cow<'a, [Command]> {
    let log = history.log.as_slice();
    let Some(first) = log.first() else {
        report.add(Kind::Incomplete, Place::Run, || {
            "the history has no log: nothing can be judged by it".into()
        });
        return Cow::Borrowed(log);
    };
    let lowest = log.iter().map(|command| command.seq).min().unwrap_or(0);
    if lowest >> 16 != 1 {
        report.add(Kind::Incomplete, Place::Log(first.seq), || {
            let index = lowest >> 16;
            format!("the log starts at entry {index}, not at 1: what stood before is not known")
        });
    }
    let mut ascends = true;
    for pair in log.windows(2) {
        let (one, next) = (pair[0].seq, pair[1].seq);
        if next <= one {
            ascends = false;
            report.add(Kind::Reordered, Place::Log(next), || {
                format!("the log has seq {} behind seq {}", seq(next), seq(one))
            });
        } else if next >> 16 > (one >> 16) + 1 {
            report.add(Kind::Gap, Place::Log(next), || {
                format!(
                    "the log goes from entry {} to entry {}: an entry has at least one command",
                    one >> 16,
                    next >> 16
                )
            });
        }
    }
    if ascends {
        return Cow::Borrowed(log);
    }
    let mut sorted = log.to_vec();
    sorted.sort_by_key(|command| command.seq);
    sorted.dedup_by_key(|command| command.seq);
    Cow::Owned(sorted)
}
