//! The queue between callers and the appender: bounded in commands and in bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::Replica;
use crate::command::Command;
use crate::error::{Error, Reason, Result};
use crate::hub::shutting_down;
use crate::limits;
use crate::pending::Reply;

/// One command that waits.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Reply>,
    /// Past this it is dropped: its `seen` was stamped here, so a retry elsewhere could overtake it.
    pub(super) expires: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    len: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Queued>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    /// Adds a command.
    ///
    /// # Errors
    /// `Exhausted` (`OVERLOADED`): the queue is full. `Unavailable` (`SHUTTING_DOWN`).
    fn push(&self, queued: Queued) -> Result<()> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(shutting_down());
        }
        let bytes = queued.command.encoded_bound();
        if state.waiting.len() >= limits::QUEUE_COMMANDS
            || state.bytes + bytes > limits::QUEUE_BYTES
        {
            return Err(Error::new(
                Reason::Overloaded,
                format!("{} writes wait already; slow down", state.waiting.len()),
            ));
        }
        state.bytes += bytes;
        state.waiting.push_back(queued);
        self.len.store(state.waiting.len(), Ordering::Relaxed);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for commands and takes as many as one entry holds; `None` once it is closed and empty.
    pub(super) fn take(&self) -> Option<Vec<Queued>> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            self.filled.wait(&mut state);
        }
        let (mut bytes, mut count) = (1_024, 0);
        for queued in state.waiting.iter().take(limits::ENTRY_COMMANDS) {
            bytes += queued.command.encoded_bound();
            if bytes > limits::ENTRY_BYTES {
                break;
            }
            count += 1;
        }
        let taken: Vec<Queued> = state.waiting.drain(..count).collect();
        state.bytes -= taken
            .iter()
            .map(|queued| queued.command.encoded_bound())
            .sum::<usize>();
        self.len.store(state.waiting.len(), Ordering::Relaxed);
        Some(taken)
    }

    /// Takes no more commands; those that wait are still appended.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_all();
    }

    /// Takes no more commands, and refuses those that wait: nothing was written of them.
    pub(super) fn fail(&self, error: &Error) {
        let waiting = {
            let mut state = self.state.lock();
            state.closed = true;
            state.bytes = 0;
            std::mem::take(&mut state.waiting)
        };
        self.len.store(0, Ordering::Relaxed);
        self.filled.notify_all();
        for queued in waiting {
            let _ = queued.reply.send(Err(error.clone()));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }
}

impl Replica {
    /// Queues a command; the reply comes when it is durable and applied.
    ///
    /// `stamped`: its `seen` was not the caller's, so it must not wait for long.
    pub(crate) fn submit(
        &self,
        command: Command,
        stamped: bool,
    ) -> Result<oneshot::AsyncReceiver<Reply>> {
        if let super::Health::Halted(error) = &*self.health.lock() {
            return Err(error.clone());
        }
        let (reply, receiver) = oneshot::async_channel();
        let expires = stamped.then(|| Instant::now() + limits::QUEUE_WAIT);
        self.queue.push(Queued {
            command,
            reply,
            expires,
        })?;
        Ok(receiver)
    }
}
