//! [`MemoryLog`]: the reference implementation, for tests and examples. It lives as long as its
//! last handle; clones are handles of one log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{AppendPhase, AppendProgress, Error, Log, LogId, Record};
use crate::limits::ENTRY_BYTES;

/// A log in memory: nothing is durable, all else is as the trait says.
#[derive(Clone, Debug)]
pub struct MemoryLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: LogId,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Index of `records[0]`.
    head: u64,
    records: Vec<Record>,
    wakes: u64,
    phase_since: Instant,
}

impl State {
    fn tail(&self) -> u64 {
        self.head + self.records.len() as u64
    }
}

impl MemoryLog {
    /// An empty log with a random id.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            id: LogId(rand::random()),
            state: Mutex::new(State {
                head: 1,
                records: Vec::new(),
                wakes: 0,
                phase_since: Instant::now(),
            }),
            changed: Condvar::new(),
        }))
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Log for MemoryLog {
    fn id(&self) -> LogId {
        self.0.id
    }

    fn append(&self, payload: &[u8]) -> Result<u64, Error> {
        if payload.is_empty() || payload.len() > ENTRY_BYTES {
            return Err(Error::Invalid(format!(
                "an entry has 1 to {ENTRY_BYTES} bytes, this one {}",
                payload.len()
            )));
        }
        let mut state = self.0.state.lock();
        let index = state.tail();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&index.to_le_bytes()), payload);
        state.records.push(Record {
            index,
            crc,
            payload: payload.to_vec(),
        });
        self.0.changed.notify_all();
        Ok(index)
    }

    fn read(&self, from: u64, max_bytes: usize) -> Result<Vec<Record>, Error> {
        let state = self.0.state.lock();
        if from < state.head {
            return Err(Error::Trimmed { head: state.head });
        }
        let mut bytes = 0;
        let start = usize::try_from(from - state.head).unwrap_or(usize::MAX);
        Ok(state
            .records
            .iter()
            .skip(start)
            .take_while(|record| {
                let first = bytes == 0;
                bytes += record.payload.len();
                first || bytes <= max_bytes
            })
            .cloned()
            .collect())
    }

    fn tail(&self) -> Result<u64, Error> {
        Ok(self.0.state.lock().tail())
    }

    fn head(&self) -> Result<u64, Error> {
        Ok(self.0.state.lock().head)
    }

    fn wait(&self, index: u64, timeout: Duration) -> Result<u64, Error> {
        let deadline = Instant::now() + timeout;
        let mut state = self.0.state.lock();
        let wakes = state.wakes;
        while state.tail() <= index && state.wakes == wakes {
            if self.0.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        Ok(state.tail())
    }

    fn wake(&self) {
        self.0.state.lock().wakes += 1;
        self.0.changed.notify_all();
    }

    fn trim_to(&self, index: u64) -> Result<(), Error> {
        let mut state = self.0.state.lock();
        if index >= state.tail() {
            return Err(Error::Invalid(format!("entry {index} is not durable yet")));
        }
        if index >= state.head {
            let gone = usize::try_from(index - state.head + 1).unwrap_or(usize::MAX);
            state.records.drain(..gone);
            state.head = index + 1;
        }
        Ok(())
    }

    fn size_bytes(&self) -> Result<u64, Error> {
        Ok(self
            .0
            .state
            .lock()
            .records
            .iter()
            .map(|record| record.payload.len() as u64)
            .sum())
    }

    fn progress(&self) -> AppendProgress {
        let state = self.0.state.lock();
        AppendProgress {
            phase: AppendPhase::Idle,
            since: state.phase_since,
            finished: state.tail() - 1,
            last_sync: None,
        }
    }

    fn weakness(&self) -> Option<String> {
        Some("the log is in memory: it ends with the process".into())
    }

    fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}
