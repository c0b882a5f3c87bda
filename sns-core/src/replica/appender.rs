//! The appender: writes whatever has queued up as one entry. It never waits for company.

use std::time::{Duration, Instant};

use super::Replica;
use super::queue::Queued;
use crate::command::Entry;
use crate::error::{Error, Reason};
use crate::limits;

/// Between two looks at what waits for the applier.
const LOOK: Duration = Duration::from_millis(200);

/// Runs until the queue is closed and empty.
pub(super) fn run(replica: &Replica) {
    let mut failing = None;
    while let Some(taken) = replica.queue.take() {
        wait_for_applier(replica);
        let batch = still_wanted(taken);
        if !batch.is_empty() {
            let failed = append(replica, batch).err();
            tell(failed.as_ref(), failing);
            failing = failed.map(|error| error.reason());
        }
    }
}

/// Says when appends begin to fail for another reason, and when they work again: with a full disk
/// thousands fail in a second.
fn tell(failed: Option<&Error>, before: Option<Reason>) {
    match (failed, before) {
        (Some(error), before) if before != Some(error.reason()) => {
            tracing::warn!(%error, "appends fail");
        }
        (None, Some(_)) => tracing::info!("appends work again"),
        _ => {}
    }
}

/// Bounds what is appended and not applied yet: while the applier is stuck, the queue fills up and
/// refuses.
fn wait_for_applier(replica: &Replica) {
    use event_listener::Listener as _;
    loop {
        let listener = replica.moved.listen();
        let waiting = replica.replies.lock().values().map(Vec::len).sum::<usize>();
        if waiting <= limits::QUEUE_COMMANDS || replica.is_draining() {
            return;
        }
        let _ = listener.wait_timeout(LOOK);
    }
}

/// Without those that waited too long: nothing was written of them.
fn still_wanted(taken: Vec<Queued>) -> Vec<Queued> {
    let now = Instant::now();
    let (wanted, late): (Vec<_>, Vec<_>) = taken
        .into_iter()
        .partition(|queued| queued.expires.is_none_or(|expires| now < expires));
    for queued in late {
        let error = Error::new(
            Reason::Overloaded,
            "this write waited too long and was dropped",
        );
        let _ = queued.reply.send(Err(error));
    }
    wanted
}

fn append(replica: &Replica, batch: Vec<Queued>) -> Result<(), Error> {
    let id: [u8; 16] = rand::random();
    let (commands, replies): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|queued| (queued.command, queued.reply))
        .unzip();
    let entry = Entry {
        writer: replica.node.clone(),
        batch: id,
        clock_ms: replica.clock.now_ms(),
        commands,
    };
    // Known before it can be applied: the applier may see the entry before `append` returns.
    replica.replies.lock().insert(id, replies);
    let began = Instant::now();
    let Err(error) = replica.log.append(&entry.encode()) else {
        if let Some(observer) = &replica.observer {
            observer.appended(began.elapsed(), entry.commands.len());
            // Nobody else appends by this handle: it is this entry's.
            if let Some(sync) = replica.log.progress().last_sync {
                observer.synced(sync);
            }
        }
        return Ok(());
    };
    // If the entry is in the log all the same, the applier finds nobody who waits for it.
    let waiting = replica.replies.lock().remove(&id);
    let error = Error::from(error);
    for reply in waiting.into_iter().flatten() {
        let _ = reply.send(Err(error.clone()));
    }
    Err(error)
}
