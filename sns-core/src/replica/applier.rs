//! The applier: follows the log and applies it, whoever wrote it.

use std::sync::Once;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{ApplyPhase, Health, Replica};
use crate::command::Entry;
use crate::error::{Error, Reason};
use crate::log::{self, Record};
use crate::pending;
use crate::view;

/// Bytes that are read from the log in one go.
const READ_BYTES: usize = 1024 * 1024;
/// A wait for the log is cut into pieces of this length, to look whether to stop.
const WAIT: Duration = Duration::from_millis(500);
/// Entries that may wait while the applier still counts as being at the tail.
const BEHIND: u64 = 1;
/// Between two attempts when the log cannot be read.
const RETRY: Duration = Duration::from_millis(200);
/// A clock that is so far ahead of ours is wrong, or ours is.
const CLOCK_AHEAD_MS: u64 = 60 * 60 * 1_000;

/// Why one round ended.
enum Trouble {
    /// The log cannot be read now.
    Passing(Error),
    /// The view is of no use.
    View(view::Error),
    /// Nothing can be served any more.
    Fatal(Error),
}

/// Runs until the replica stops.
pub(super) fn run(replica: &Replica) {
    // The checkpoint for which the view was rebuilt last.
    let mut diverged = None;
    while !replica.stopping.load(Ordering::Acquire) {
        match round(replica) {
            Ok(()) => {}
            Err(Trouble::Passing(error)) => {
                tracing::warn!(%error, "the log cannot be read now; trying again");
                if !matches!(*replica.health.lock(), Health::Starting) {
                    replica.set_health(Health::Troubled(error.to_string()));
                }
                pause(replica);
            }
            Err(Trouble::View(error)) => {
                if let view::Error::Diverged { index, .. } = error
                    && diverged.replace(index) == Some(index)
                {
                    // Rebuilding it does not help: somebody else is wrong, or this program is.
                    return halt(replica, error.into());
                }
                rebuild(replica, &error);
            }
            Err(Trouble::Fatal(error)) => return halt(replica, error),
        }
    }
    fail_waiting(replica);
}

/// Waits for entries and applies what there is.
fn round(replica: &Replica) -> Result<(), Trouble> {
    let view = replica.view();
    view.check().map_err(Trouble::View)?;
    let standing = view.standing();
    let next = standing.index + 1;
    if standing.index >= replica.goal.load(Ordering::Relaxed) {
        replica.recover(&view, |health| matches!(health, Health::Starting));
    }
    set_phase(replica, ApplyPhase::Idle);
    // Until there is more than what is applied: an idle replica sleeps.
    let tail = replica.log.wait(next, WAIT).map_err(of_log)?;
    view.behind(tail > next + BEHIND);
    if tail <= next {
        if tail < next {
            return Err(Trouble::Fatal(ran_ahead(standing.index, tail)));
        }
        replica.recover(&view, |health| matches!(health, Health::Troubled(_)));
        replica.files.note_applied(&standing, replica.log.id());
        return Ok(());
    }
    set_phase(replica, ApplyPhase::Applies);
    let records = replica.log.read(next, READ_BYTES).map_err(of_log)?;
    replica.recover(&view, |health| matches!(health, Health::Troubled(_)));
    for record in records {
        apply(replica, &view, &record)?;
        if replica.stopping.load(Ordering::Acquire) {
            break;
        }
    }
    replica
        .files
        .note_applied(&view.standing(), replica.log.id());
    Ok(())
}

fn apply(replica: &Replica, view: &view::View, record: &Record) -> Result<(), Trouble> {
    let began = replica.observer.is_some().then(Instant::now);
    let entry = Entry::decode(record.index, &record.payload).map_err(Trouble::Fatal)?;
    let (outcomes, changes) = view
        .apply(record.index, record.crc, &entry)
        .map_err(Trouble::View)?;
    look_at_clock(replica, record.index, &entry);
    let applied = view.standing().applied;
    // While a rebuilt view catches up, it stays where it was: nothing is read from it meanwhile.
    replica
        .applied
        .fetch_max(applied.as_u64(), Ordering::AcqRel);
    replica.applied_entries.fetch_add(1, Ordering::Relaxed);
    replica.hub.publish(changes, applied);
    replica.moved.notify(usize::MAX);
    if let (Some(observer), Some(began)) = (&replica.observer, began) {
        observer.applied(began.elapsed(), entry.commands.len());
        // What it catches up with became visible elsewhere, long ago.
        if replica.serving.load(Ordering::Relaxed) {
            let ms = replica.clock.now_ms().saturating_sub(entry.clock_ms);
            observer.visible(Duration::from_millis(ms));
        }
    }
    let mut waiting = replica
        .replies
        .lock()
        .remove(&entry.batch)
        .unwrap_or_default();
    // A view that was opened anew within this entry yields the outcomes of its end alone.
    let applied_before = waiting.len().saturating_sub(outcomes.len());
    for reply in waiting.drain(..applied_before) {
        let _ = reply.send(Err(pending::unknown()));
    }
    for (reply, outcome) in waiting.into_iter().zip(outcomes) {
        let _ = reply.send(Ok(outcome));
    }
    Ok(())
}

/// Log time never goes back, so that one wrong clock shows in the times of posts until the others have
/// caught up with it: somebody has to set it right, and is told once.
fn look_at_clock(replica: &Replica, index: u64, entry: &Entry) {
    static TOLD: Once = Once::new();
    let ahead_ms = entry.clock_ms.saturating_sub(replica.clock.now_ms());
    if ahead_ms > CLOCK_AHEAD_MS {
        TOLD.call_once(|| {
            tracing::warn!(
                index,
                // A name as the log has it: whoever can write there chose it.
                writer = ?entry.writer,
                ahead_ms,
                "a writer's clock is far ahead of this one, and times of posts follow the fastest: \
                 set the clocks of all machines by NTP"
            );
        });
    }
}

fn of_log(error: log::Error) -> Trouble {
    match error {
        log::Error::Trimmed { head } => Trouble::View(view::Error::Mismatch(format!(
            "the log begins at entry {head}"
        ))),
        log::Error::Damaged { .. } => Trouble::Fatal(error.into()),
        other => Trouble::Passing(other.into()),
    }
}

fn ran_ahead(index: u64, tail: u64) -> Error {
    Error::new(
        Reason::Damaged,
        format!(
            "the view holds entry {index}, the log ends before entry {tail}: the log lost entries \
             that were durable"
        ),
    )
}

/// Puts a new view in the place of one that is of no use. Nothing is read from it until it has
/// caught up with all that was read from the old one.
fn rebuild(replica: &Replica, why: &view::Error) {
    tracing::warn!(%why, node = replica.node, "the view is rebuilt from a snapshot and the log");
    let tail = replica.log.tail().map_or(0, |tail| tail - 1);
    let goal = tail.max(replica.applied().index());
    replica.goal.fetch_max(goal, Ordering::Relaxed);
    replica.set_health(Health::Starting);
    replica.hub.reset();
    let old = replica.view();
    let stood = old.standing().index;
    old.close();
    let released = old.release();
    drop(old);
    // Where only the disk failed, what is stored is sound.
    let mut keep = released && matches!(why, view::Error::Io(_) | view::Error::Full(_));
    while !replica.stopping.load(Ordering::Acquire) {
        let made = if keep {
            replica.files.open_again(&*replica.log)
        } else {
            replica.files.rebuild(&*replica.log)
        };
        keep = false;
        match made {
            Ok(view) => {
                // Whoever waits gets an answer once their entry is applied to the new view. If that
                // was loaded from a snapshot, the entry may be in it already: nobody would answer.
                if view.standing().index > stood {
                    fail_waiting(replica);
                }
                *replica.view.write() = view.into();
                return;
            }
            Err(error) if error.reason() == Reason::Damaged => return halt(replica, error),
            Err(error) => {
                tracing::warn!(%error, "the view cannot be rebuilt now; trying again");
                fail_waiting(replica);
                pause(replica);
            }
        }
    }
}

fn halt(replica: &Replica, error: Error) {
    tracing::error!(%error, node = replica.node, "this replica stops serving");
    replica.set_health(Health::Halted(error));
    replica.hub.reset();
    fail_waiting(replica);
    // The queue goes on being emptied by the appender; nobody may wait for outcomes any more.
    while !replica.stopping.load(Ordering::Acquire) {
        pause(replica);
        fail_waiting(replica);
    }
}

/// Whoever waits for an outcome will not get one here.
pub(super) fn fail_waiting(replica: &Replica) {
    let waiting = std::mem::take(&mut *replica.replies.lock());
    for reply in waiting.into_values().flatten() {
        let _ = reply.send(Err(pending::unknown()));
    }
}

/// Waits a little, less when the replica stops.
fn pause(replica: &Replica) {
    use event_listener::Listener as _;
    let listener = replica.moved.listen();
    if !replica.stopping.load(Ordering::Acquire) {
        let _ = listener.wait_timeout(RETRY);
    }
}

fn set_phase(replica: &Replica, phase: ApplyPhase) {
    let mut apply = replica.apply.lock();
    if apply.0 != phase {
        *apply = (phase, Instant::now());
    }
}
