//! The words of the exploration: what a process does, what is wrong with it, what may befall it.

use super::super::{Event, Last, Without};

/// What is wrong with a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    None,
    /// SIGSTOP.
    Stopped,
    /// SIGSTOP while it holds the lock of the log.
    StoppedWithLock,
    /// Its appender hangs and holds the lock of the log; it answers.
    HoldsLock,
    /// Its applier hangs; it answers.
    Wedged,
    /// Uninterruptible: it neither answers nor dies.
    Asleep,
}

impl Fault {
    pub(super) fn runs(self) -> bool {
        matches!(self, Self::None | Self::HoldsLock | Self::Wedged)
    }

    pub(super) fn has_lock(self) -> bool {
        matches!(self, Self::HoldsLock | Self::StoppedWithLock)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// It runs and has not got to its node lock yet.
    Spawned,
    /// It holds it, and has not said who it is.
    Locked,
    /// Its file names it: from now on it watches.
    Opening,
    Serving,
    /// It ends by itself after so many ticks.
    Draining(u8),
}

/// How the starts of a node fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Broken {
    No,
    BeforeLock,
    BeforeService,
}

/// What a watcher will be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mail {
    /// What a look found, or a start instead of a free lock.
    Seen(Event),
    Instead(Event),
    Started(u32),
    Ended(u32),
    Probed,
}

/// `node.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct File {
    /// 0: nobody yet.
    pub(super) pid: u32,
    pub(super) stopping: bool,
    pub(super) again: bool,
    pub(super) starting: bool,
}

impl File {
    pub(super) fn last(self) -> Last {
        match self {
            Self {
                pid: 0,
                starting: false,
                ..
            } => Last::Nobody,
            Self {
                pid,
                stopping: true,
                ..
            } => Last::Asked(pid),
            Self { pid, .. } => Last::Died(pid),
        }
    }
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Deaths, stops, hangs.
    pub(super) faults: u8,
    /// Hindrances of everybody: a third party that holds the lock of the log, a slow disk.
    pub(super) blocks: u8,
    /// Requests of an operator: stop this node, start that one.
    pub(super) requests: u8,
    /// Nodes whose starts fail.
    pub(super) broken: u8,
}

/// What stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mode {
    /// Clients write.
    pub(super) busy: bool,
    /// What is found by looking, starting or trying the disk is told a tick later, and what is
    /// started comes a tick after the look that allowed it.
    pub(super) slow: bool,
    /// Of [`SMALL`], or with one taken away.
    pub(super) without: Without,
}

/// What befalls them before a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Blow {
    Nothing,
    Kill(usize),
    Fault(usize, Fault),
    /// SIGCONT, or the end of an uninterruptible sleep.
    GoesOn(usize),
    Break(usize, Broken),
    Repair(usize),
    /// Somebody else holds the lock of the log, or no more.
    ThirdParty(bool),
    SlowDisk(bool),
    /// SIGTERM.
    AskToStop(usize),
    StartByHand(usize),
}

/// What must never be, and was.
pub(super) type Wrong = String;
