//! The directory log on a simulated machine: processes that interleave at every call of the disk
//! and die at any of them, a disk that loses what was not synced, and says so as Linux does.
//!
//! A seed decides everything: the same seed runs the same way, call by call. The code that runs is
//! that of production; only the [`Disk`] is another.
//!
//! What the machine does: kills at any call, also in the middle of a write; power cuts with any
//! subset of unsynced sectors, lengths and names; failed syncs and failed write-backs, told once
//! per descriptor, after which the page cache shows the lost bytes until they are evicted, those of
//! `commit` too; syncs of the directory that fail; full disks, short writes, interrupted calls;
//! processes that sleep for long; and at the end, perhaps, a flipped bit.
//!
//! What must hold: nothing acknowledged or read is ever lost or changed; what was refused is never
//! there; nothing stands twice; a tail read later is never behind what anybody knew; sound data is
//! never reported as damage; a flipped bit is; and opening twice gives the same. One thing is not
//! promised: when a sync of `commit` failed and its page was evicted, it says what it said before,
//! and a process that had not read it since sees no more, until the next write or opening.
//!
//! Source: `FoundationDB`'s simulation; Rebello et al. (ATC 2020) for what a failed sync does.

#![allow(clippy::cast_possible_truncation, reason = "simulated files are small")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::disk::Disk;
use super::frame::{self, Parsed, Seal};
use super::options::Step;
use super::{DirLog, DirLogOptions, Error, Log, LogId, Record, commit, segment};

mod files;
mod inode;
mod machine;
mod model;
mod nth;
mod random;
mod world;

pub use files::Files;
pub use nth::{Aftermath, Struck, fail_nth};
pub use world::Fault;

use machine::{Killed, Machine};
use model::Model;
use random::Random;
use world::{Now, Rates, State, World};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Processes: 2 or 3 find most.
    pub processes: usize,
    /// Calls of the disk after which the processes stop.
    pub calls: u64,
    /// A step of the rules to leave out.
    pub without: Option<Step>,
}

/// What happened in one run that found nothing wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// A hash of all calls in their order.
    pub trace: u64,
    /// Calls of the disk.
    pub calls: u64,
    /// Appends that were acknowledged.
    pub acknowledged: u64,
    /// Lives that ended early.
    pub kills: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Syncs that said that they failed.
    pub failed_syncs: u64,
    /// Syncs of the directory that failed.
    pub failed_dir_syncs: u64,
    /// Segments that were begun, and trims that took something away.
    pub rolls: u64,
    /// See above.
    pub trims: u64,
    /// How often `commit` went back: a failed sync had lost what it said.
    pub falls: u64,
    /// Segments at the end.
    pub segments: u64,
    /// Runs in which an entry was damaged at the end, and reported.
    pub flips: u64,
}

impl Report {
    /// Adds what happened in another run; the trace stays.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.acknowledged += other.acknowledged;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.failed_syncs += other.failed_syncs;
        self.failed_dir_syncs += other.failed_dir_syncs;
        self.rolls += other.rolls;
        self.trims += other.trims;
        self.falls += other.falls;
        self.segments += other.segments;
        self.flips += other.flips;
    }
}

/// Runs one seed.
///
/// # Errors
/// What does not hold, in words.
pub fn run(seed: u64, plan: Plan) -> Result<Report, String> {
    let mut random = Random::new(seed);
    let world = Arc::new(World::new(
        random.next(),
        plan.processes,
        rates(&mut random),
        Model::new(plan.processes),
    ));
    let setup = Setup {
        plan,
        id: LogId(u128::from(random.next()) << 64 | u128::from(random.next())),
        segment_bytes: 300 + random.below(1500),
    };
    std::thread::scope(|scope| {
        for who in 0..plan.processes {
            let random = Random::new(random.next());
            let world = world.clone();
            scope.spawn(move || process(&world, who, random, setup));
        }
    });
    let violation = world.state().model.violation.take();
    if let Some(violation) = violation {
        return Err(violation);
    }
    let check = || last_check(&world, &mut random, setup);
    let flipped = catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|_| {
        let violation = world.state().model.violation.take();
        Err(violation.unwrap_or_else(|| "a panic in the last check".into()))
    })?;
    let state = world.state();
    Ok(Report {
        trace: state.trace,
        calls: state.calls,
        acknowledged: state.model.acknowledged,
        kills: state.kills,
        power_cuts: state.power_cuts,
        failed_syncs: state.failed_syncs,
        failed_dir_syncs: state.failed_dir_syncs,
        rolls: state.rolls,
        trims: state.trims,
        falls: state.falls,
        segments: state
            .names
            .keys()
            .filter(|name| segment::first_of(name).is_some())
            .count() as u64,
        flips: u64::from(flipped),
    })
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    plan: Plan,
    id: LogId,
    segment_bytes: u64,
}

/// Some runs are quiet, some are stormy; each fault is rare enough that others go on between.
fn rates(random: &mut Random) -> Rates {
    let mut rate = |often: u64| match random.below(3) {
        0 => 0,
        1 => often,
        _ => often * 4,
    };
    Rates {
        kill: rate(15),
        kill_after_rename: rate(1000),
        power_cut: rate(8),
        failed_sync: rate(150),
        failed_sync_dir: rate(300),
        failed_write_back: rate(10),
        evict: rate(100),
        write_error: rate(50),
        short_write: rate(200),
        interrupt: rate(50),
        freeze: rate(50),
        go_on: 40 + random.below(55),
    }
}

impl Setup {
    fn options(&self, who: usize, views: Vec<super::Witness>) -> DirLogOptions {
        DirLogOptions::default()
            .node(format!("p{who}"))
            .segment_bytes(self.segment_bytes)
            .lock_patience(Duration::from_secs(3600))
            .log_id(self.id)
            .witnesses(views)
            .without(self.plan.without)
    }

    fn open(&self, machine: &Machine) -> Result<DirLog, Error> {
        let views = {
            let state = machine.world.state();
            state.model.views.iter().flatten().cloned().collect()
        };
        open_on(machine, self.options(machine.who, views))
    }
}

/// Opens the log of a machine, with no thread and no clock of its own.
fn open_on(machine: &Machine, mut options: DirLogOptions) -> Result<DirLog, Error> {
    options.background = false;
    options.retry_after = Duration::ZERO;
    options.file_events = false;
    let disk: Arc<dyn Disk> = Arc::new(machine.clone());
    DirLog::open_on(disk, "".into(), None, options)
}

/// One process, over all its lives.
fn process(world: &Arc<World>, who: usize, mut random: Random, setup: Setup) {
    world.begin(who);
    let mut count = 0;
    loop {
        {
            let state = world.state();
            if state.calls >= setup.plan.calls || state.model.violation.is_some() {
                break;
            }
        }
        let machine = world.machine(who);
        let life = || live(&machine, &mut random, setup, &mut count);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(life))
            && !panic.is::<Killed>()
        {
            let text = panic
                .downcast_ref::<String>()
                .map_or("a panic", String::as_str);
            world.state().model.fail(format!("p{who} panicked: {text}"));
        }
    }
    world.end(who);
}

/// One life: opens the log and uses it, until it is over or something ends it.
fn live(machine: &Machine, random: &mut Random, setup: Setup, count: &mut u64) {
    let who = machine.who;
    let world = &machine.world;
    let log = match setup.open(machine) {
        Ok(log) => log,
        Err(error) => return judge(world, "opening", &error),
    };
    if random.chance(40) {
        check_all(world, &log);
    }
    // Mostly a process goes on for long; one that starts anew finds other things.
    let steps = 1 + random.below(60);
    let mut seen = 0;
    for _ in 0..steps {
        {
            let state = world.state();
            if state.calls >= setup.plan.calls || state.model.violation.is_some() {
                return;
            }
        }
        match random.below(100) {
            0..60 => {
                *count += 1;
                let filler = "x".repeat(random.below(70) as usize);
                // The model was told how it ended.
                let _ = append(world, &log, format!("p{who}.{count} {filler}").as_bytes());
            }
            60..80 => {
                let newest = world.state().now().newest;
                let from = 1 + random.below(newest + 2);
                let from = if random.chance(50) {
                    newest.max(1)
                } else {
                    from
                };
                read(machine, &log, from, random);
            }
            80..90 => {
                let then = world.state().now();
                match log.tail() {
                    Ok(tail) => {
                        if tail < seen {
                            let back = format!("p{who} saw the tail {seen}, and {tail} later");
                            world.state().model.fail(back);
                        }
                        seen = tail;
                        tail_is(world, then, tail);
                    }
                    Err(error) => judge(world, "the tail", &error),
                }
            }
            90..94 => {
                let then = world.state().now();
                // Mostly of the older half, or little would be left to look at.
                let bound = if random.chance(70) { 2 } else { 1 };
                let index = random.below(then.newest / bound + 1);
                if index > 0 {
                    world.state().model.ask_to_trim(index);
                    match log.trim_to(index) {
                        // To its knowledge it is not durable.
                        Err(Error::Invalid(_)) if world.state().may_be_behind(then) => {}
                        Err(error) => judge(world, "trimming", &error),
                        Ok(()) => {}
                    }
                }
            }
            94..98 => {
                if let Err(error) = log.close() {
                    judge(world, "closing", &error);
                }
            }
            _ => check_all(world, &log),
        }
    }
}

fn append(world: &World, log: &DirLog, payload: &[u8]) -> Result<(), Error> {
    let appended = log.append(payload);
    match &appended {
        Ok(index) => world.state().model.acknowledge(*index, payload),
        Err(Error::Unknown(_)) => {}
        Err(error) => {
            world.state().model.refuse(payload);
            judge(world, "appending", error);
        }
    }
    appended.map(|_| ())
}

fn read(machine: &Machine, log: &DirLog, from: u64, random: &mut Random) {
    let world = &machine.world;
    let then = world.state().now();
    match log.read(from, random.below(300) as usize) {
        Ok(records) => {
            let state = &mut *world.state();
            let behind = state.may_be_behind(then);
            let model = &mut state.model;
            model.read(from, if behind { 0 } else { then.newest }, &records);
            if let Some(last) = records.last()
                && random.chance(40)
            {
                model.view(machine.who, log.id(), last);
            }
        }
        Err(Error::Trimmed { head }) => world.state().model.head(head),
        Err(error) => judge(world, "reading", &error),
    }
}

/// A tail that was asked for `then`. Only where a failed sync has lost what `commit` said, and the
/// page cache has forgotten it, may it be behind, until the next write.
fn tail_is(world: &World, then: Now, tail: u64) {
    let state = &mut *world.state();
    if !state.may_be_behind(then) {
        state.model.tail(then.newest, tail);
    }
}

/// Only these may ever come: the disk is full, or does not work just now.
fn judge(world: &World, doing: &str, error: &Error) {
    match error {
        Error::Unavailable(_) | Error::Full(_) | Error::Io { .. } => {}
        other => world.state().model.fail(format!("{doing}: {other}")),
    }
}

/// Reads everything there is.
fn read_everything(log: &DirLog) -> Result<(u64, Vec<Record>), Error> {
    loop {
        let head = log.head()?;
        let mut all = Vec::new();
        let mut next = head;
        loop {
            match log.read(next, 500) {
                Ok(records) if records.is_empty() => return Ok((head, all)),
                Ok(records) => {
                    next += records.len() as u64;
                    all.extend(records);
                }
                // Others trim meanwhile.
                Err(Error::Trimmed { .. }) => break,
                Err(error) => return Err(error),
            }
        }
    }
}

fn check_all(world: &World, log: &DirLog) {
    let (then, known) = {
        let state = world.state();
        (state.now(), state.model.known(1))
    };
    match read_everything(log) {
        Ok((head, records)) => {
            {
                let state = &mut *world.state();
                state.model.read(head, 0, &records);
                if !state.may_be_behind(then) {
                    state.model.all(&known, head, &records);
                }
            }
            tail_is(world, then, head + records.len() as u64);
        }
        Err(error) => judge(world, "reading everything", &error),
    }
}

/// The machine is calm again, after a last power cut perhaps: all that must be there is there,
/// twice the same; or one entry is damaged, and that is reported.
fn last_check(world: &Arc<World>, random: &mut Random, setup: Setup) -> Result<bool, String> {
    let flipped = {
        let mut state = world.state();
        state.calm = true;
        let who = 0;
        state.only(who);
        if random.chance(70) {
            state.power_cut();
        }
        if random.chance(40) {
            flip(&mut state, random, setup.id)
        } else {
            None
        }
    };
    let mut before: Option<(u64, Vec<Record>)> = None;
    for _ in 0..2 {
        let machine = world.machine(0);
        let mut opened = setup.open(&machine);
        // A write-back that failed before is told now, once.
        if matches!(opened, Err(Error::Unavailable(_))) {
            opened = setup.open(&machine);
        }
        if let Some(index) = flipped {
            let said = match opened {
                Err(Error::Damaged { index: found, .. }) if found == index => return Ok(true),
                Err(error) => error.to_string(),
                Ok(_) => "nothing".into(),
            };
            return Err(format!(
                "entry {index} is damaged, and opening said: {said}"
            ));
        }
        let log = opened.map_err(|error| format!("the last opening: {error}"))?;
        check_all(world, &log);
        let all = read_everything(&log).map_err(|error| error.to_string())?;
        if before.as_ref().is_some_and(|before| *before != all) {
            return Err("opening again gives another log".into());
        }
        before = Some(all);
        if let Some(violation) = world.state().model.violation.take() {
            return Err(format!("at the last opening: {violation}"));
        }
    }
    Ok(false)
}

/// Damages an entry that a later one on the disk declares durable; which one. Often that is the
/// only witness left.
fn flip(state: &mut State, random: &mut Random, id: LogId) -> Option<u64> {
    let name = state
        .names
        .keys()
        .filter(|name| segment::first_of(name).is_some())
        .max()?;
    let inode = *state.names.get(name)?;
    let bytes = &state.inodes[inode].disk;
    let mut frames = Vec::new();
    let mut at = segment::HEADER as usize;
    while let Parsed::Frame(frame) = frame::parse(Seal::new(id), bytes.get(at..)?) {
        frames.push((frame.index, frame.durable, at, frame.size()));
        at += frame.size();
    }
    let witnessed = |index: u64| frames.iter().any(|(_, durable, ..)| *durable >= index);
    let victims: Vec<_> = frames
        .iter()
        .filter(|(index, ..)| witnessed(*index))
        .collect();
    let &&(index, _, at, size) = victims.get(random.below(victims.len() as u64) as usize)?;
    let byte = at + random.below(size as u64) as usize;
    let bit = 1 << random.below(8);
    let inode = &mut state.inodes[inode];
    inode.disk[byte] ^= bit;
    inode.cache.clone_from(&inode.disk);
    if random.chance(70) {
        state.names.remove(commit::NAME);
        state.model.views.fill(None);
    }
    Some(index)
}
