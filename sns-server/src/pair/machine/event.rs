//! The words of the machine: what it is told, what it asks for, what it says of the process.

/// What a process says of its stages; the watcher also asks itself.
#[allow(
    clippy::struct_excessive_bools,
    reason = "as it is said, field by field"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Report {
    /// It serves; else it starts, drains or has halted.
    pub serving: bool,
    /// It has not served yet.
    pub starting: bool,
    /// It was asked to stop.
    pub draining: bool,
    /// What its appender does.
    pub append: Append,
    /// Appends finished.
    pub appends: u64,
    /// Its applier is at work.
    pub applies_now: bool,
    /// Entries applied since its start.
    pub applies: u64,
    /// Commands that wait in its queue.
    pub queued: u64,
    /// Entries it knows of and has not applied.
    pub lag: u64,
}

/// What an appender does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Append {
    /// Nothing.
    #[default]
    Idle,
    /// Another process holds the lock.
    WaitsForLock,
    /// It holds the lock.
    HoldsLock,
    /// It waits for the disk.
    Syncs,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exit {
    /// It had been asked to stop, by someone else.
    pub asked: bool,
    /// It ended because another process holds the node lock: not a death.
    pub lock_held: bool,
    /// For a human: the signal, the exit code, its last line.
    pub why: String,
}

/// Who ran last, as it wrote down itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Last {
    /// Nobody, since the machine booted or the pair was set up.
    Nobody,
    /// It ended without having been asked to.
    Died(u32),
    /// It was asked to stop.
    Asked(u32),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A tick is over; the watcher's own report.
    Tick(Report),
    /// A process now runs because of [`Action::Start`].
    Started {
        /// Its pid.
        pid: u32,
    },
    /// It could not be started.
    NotStarted {
        /// For a human.
        why: String,
    },
    /// Someone else's living process was found and verified.
    Found {
        /// Its pid.
        pid: u32,
        /// It has run for longer than `Rules::served`.
        old: bool,
        /// It is about to stop because it was asked to.
        draining: bool,
    },
    /// Someone else's living process was found and verified, which holds the lock and has not said
    /// so yet: it opens its data.
    Opens {
        /// Its pid.
        pid: u32,
    },
    /// The node lock is held by a process that is none of ours: nobody to signal.
    Held {
        /// For a human.
        by: String,
    },
    /// A start found a living one instead, and that one is gone by now.
    Vanished,
    /// No process holds the node lock.
    Free(Last),
    /// A heartbeat was answered.
    Answer {
        /// By whom.
        pid: u32,
        /// What it said.
        report: Report,
    },
    /// The way to the disk was tried and is free (see [`Action::Probe`]).
    Probed,
    /// The process ended.
    Exited {
        /// Which.
        pid: u32,
        /// How.
        exit: Exit,
    },
    /// The watcher itself was asked to stop: no more starts, no more kills.
    Stop,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// See who holds the node lock; answer with `Found`, `Opens`, `Held` or `Free`.
    Look,
    /// Start the process, unless the lock is held; answer with `Started`, `NotStarted`, `Found`,
    /// `Opens`, `Held` or `Vanished`: without an answer nothing goes on.
    Start {
        /// How often it will have been started again, this time included.
        restarts: u64,
    },
    /// Write and sync a few bytes beside the log; answer with `Probed` once that came back.
    Probe,
    /// Send SIGKILL.
    Kill {
        /// To whom.
        pid: u32,
        /// For a human.
        why: String,
    },
    /// Tell the operator, once.
    Say(String),
}

/// What the watched process is, as others are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It was never there.
    Absent,
    /// It runs and has not served yet.
    Starting,
    /// It serves.
    Serving,
    /// It was asked to stop and has not ended yet.
    Draining,
    /// It is being killed.
    Hung,
    /// It died and comes back.
    Restarting,
    /// It died too often.
    Failed,
    /// It was asked to stop, and did.
    Stopped,
}
