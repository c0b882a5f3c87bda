//! A short workload in which the n-th call of the disk fails, for every n.
//!
//! Two processes open a log, append, roll, trim, close, open it anew and read; the model of the
//! simulation says what must hold. What fails may be refused, or end as unknown where it was a
//! sync; nothing that was acknowledged may be missing afterwards, nothing that was refused be
//! there, sound data never be called damaged, and once nothing fails any more all must write again.

use std::time::Duration;

use super::files::Files;
use super::world::Fault;
use super::{DirLog, DirLogOptions, Error, Log, LogId, append, check_all, judge, read_everything};

/// What comes after the workload, before the log is opened for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aftermath {
    /// Nothing: the handles that were open append once more.
    GoOn,
    /// Every process is killed at once.
    Kill,
    /// They are killed, and what the page cache shows in vain is evicted.
    Evict,
    /// The power is cut; the seed says what was on the disk.
    PowerCut(u64),
}

/// What one run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struck {
    /// The kinds of calls that failed; none: the workload made fewer calls, or the fault does not
    /// apply to that one.
    pub struck: Vec<u8>,
    /// Calls of the workload.
    pub calls: u64,
    /// Appends that were acknowledged, refused, and neither.
    pub acknowledged: u64,
    /// See above.
    pub refused: u64,
    /// See above.
    pub unknown: u64,
}

fn options(node: &str) -> DirLogOptions {
    DirLogOptions::default()
        .node(node)
        .segment_bytes(280)
        .lock_patience(Duration::ZERO)
        .log_id(LogId(0x0123_4567_89ab_cdef))
}

/// Attempts that a handle has to write again once nothing fails any more.
const TRIES: u32 = 3;

struct Run {
    files: Files,
    count: u64,
    unknown: u64,
    refused: u64,
}

impl Run {
    fn open(&self, node: &str) -> Option<DirLog> {
        match self.files.open(options(node)) {
            Ok(log) => Some(log),
            Err(error) => {
                judge(self.files.world(), "opening", &error);
                None
            }
        }
    }

    /// Appends; a handle that could not be opened is opened now.
    fn append(&mut self, handle: &mut Option<DirLog>, node: &str) -> bool {
        if handle.is_none() {
            *handle = self.open(node);
        }
        let Some(log) = handle else {
            return false;
        };
        self.count += 1;
        let filler = "x".repeat(20 + usize::try_from(self.count % 5).unwrap_or(0) * 7);
        let payload = format!("{node}.{} {filler}", self.count);
        match append(self.files.world(), log, payload.as_bytes()) {
            Ok(()) => return true,
            Err(Error::Unknown(_)) => self.unknown += 1,
            Err(_) => self.refused += 1,
        }
        false
    }

    fn with(
        &self,
        handle: Option<&DirLog>,
        doing: &str,
        what: impl Fn(&DirLog) -> Result<(), Error>,
    ) {
        if let Some(Err(error)) = handle.map(what) {
            judge(self.files.world(), doing, &error);
        }
    }

    fn trim(&self, handle: Option<&DirLog>) {
        let world = self.files.world();
        let newest = world.state().model.newest();
        if newest > 4 {
            world.state().model.ask_to_trim(newest - 3);
            self.with(handle, "trimming", |log| log.trim_to(newest - 3));
        }
    }

    fn check(&self, handle: Option<&DirLog>) {
        if let Some(log) = handle {
            check_all(self.files.world(), log);
        }
    }

    fn workload(&mut self) -> (Option<DirLog>, Option<DirLog>) {
        let mut a = self.open("a");
        for _ in 0..3 {
            self.append(&mut a, "a");
        }
        let mut b = self.open("b");
        for _ in 0..3 {
            self.append(&mut b, "b");
            self.append(&mut a, "a");
        }
        self.check(b.as_ref());
        self.trim(a.as_ref());
        self.append(&mut b, "b");
        self.with(b.as_ref(), "closing", DirLog::close);
        self.append(&mut a, "a");
        self.check(a.as_ref());
        drop(b);
        let mut b = self.open("b");
        self.append(&mut b, "b");
        self.trim(b.as_ref());
        self.append(&mut a, "a");
        self.check(a.as_ref());
        self.with(a.as_ref(), "closing", DirLog::close);
        (a, b)
    }

    /// Nothing fails any more: both must write, after a few attempts at most.
    fn go_on(&mut self, mut handles: [(Option<DirLog>, &str); 2]) -> Result<(), String> {
        for (handle, node) in &mut handles {
            if !(0..TRIES).any(|_| self.append(handle, node)) {
                return Err(format!("{node} does not write again"));
            }
        }
        for (handle, _) in &handles {
            self.check(handle.as_ref());
        }
        Ok(())
    }
}

/// Runs the workload, with some calls failing; then the aftermath; and opens the log twice. Of each
/// fault: how many calls come before it, and how many it hits.
///
/// # Errors
/// What does not hold, in words.
pub fn fail_nth(faults: &[(u64, u64, Fault)], aftermath: Aftermath) -> Result<Struck, String> {
    let mut run = Run {
        files: Files::default(),
        count: 0,
        unknown: 0,
        refused: 0,
    };
    for &(calls, times, fault) in faults {
        run.files.world().state().order(calls, times, fault);
    }
    let (a, b) = run.workload();
    let made = {
        let mut state = run.files.world().state();
        state.obey_no_more();
        state.calls
    };
    match aftermath {
        Aftermath::GoOn => run.go_on([(a, "a"), (b, "b")])?,
        Aftermath::Kill => run.files.kill(),
        Aftermath::Evict => {
            run.files.kill();
            run.files.evict();
        }
        Aftermath::PowerCut(seed) => run.files.cut_power(seed),
    }
    let mut before = None;
    for _ in 0..2 {
        let mut opened = run.files.open(options("last"));
        // A write-back that failed before is told now, once a file.
        for _ in 0..TRIES {
            if matches!(opened, Err(Error::Unavailable(_))) {
                opened = run.files.open(options("last"));
            }
        }
        let log = opened.map_err(|error| format!("the last opening: {error}"))?;
        check_all(run.files.world(), &log);
        let all = read_everything(&log).map_err(|error| error.to_string())?;
        if before.as_ref().is_some_and(|before| *before != all) {
            return Err("opening again gives another log".into());
        }
        before = Some(all);
        if let Some(violation) = run.files.world().state().model.violation.take() {
            return Err(violation);
        }
    }
    let world = run.files.world();
    let state = world.state();
    Ok(Struck {
        struck: state.struck.clone(),
        calls: made,
        acknowledged: state.model.acknowledged,
        refused: run.refused,
        unknown: run.unknown,
    })
}
