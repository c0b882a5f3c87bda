//! The same state by another name is the same state: times become ages, counters stop where no rule
//! looks any further, numbers of processes and of progress become ranks, words are dropped. Each of
//! these is exact: the rules only compare.

use std::time::Duration;

use super::super::Event;
use super::super::{Machine, Report, Rules, State, TICK, Without};
use super::pair::{Pair, Process};
use super::words::Mail;

/// The time at which every state is kept.
const NOW: u32 = 100;

impl Pair {
    pub(super) fn normalise(&mut self) {
        let now = self.time();
        self.now = NOW;
        for node in &mut self.nodes {
            for process in node.holder.iter_mut().chain(&mut node.spawned) {
                process.machine.normalise(now);
                for mail in &mut process.mail {
                    if let Mail::Seen(Event::Held { by }) = mail {
                        by.clear();
                    }
                }
            }
        }
        let mut next = 0;
        for n in [0, 1] {
            let ranks = ranked(self, |pair, see| pair.pids(n, see));
            self.pids(n, &mut |pid| *pid = rank(&ranks, *pid));
            next = next.max(ranks.len());
            let ranks = ranked(self, |pair, see| pair.progress(n, see));
            self.progress(n, &mut |count| *count = rank(&ranks, *count));
        }
        self.next_pid = u32::try_from(next).expect("a few processes");
        if let Some(up) = &mut self.up {
            up.machine.normalise(now);
            let ranks = ranked(up, |up, see| {
                see(&mut up.generation);
                up.machine.pids(see);
            });
            up.generation = rank(&ranks, up.generation);
            up.machine.pids(&mut |pid| *pid = rank(&ranks, *pid));
        }
    }

    /// Everything that names a process of node `n`.
    fn pids(&mut self, n: usize, see: &mut dyn FnMut(&mut u32)) {
        let node = &mut self.nodes[n];
        for process in node.holder.iter_mut().chain(&mut node.spawned) {
            see(&mut process.pid);
        }
        see(&mut node.file.pid);
        let other = &mut self.nodes[1 - n];
        for watcher in other.holder.iter_mut().chain(&mut other.spawned) {
            watcher.names(see);
        }
        if let Some(up) = &mut self.up {
            let killed = up.killed.iter_mut().flatten();
            for (of, pid) in up.child.iter_mut().chain(killed) {
                if *of == n {
                    see(pid);
                }
            }
        }
    }

    /// Everything that counts the progress of node `n`.
    fn progress(&mut self, n: usize, see: &mut dyn FnMut(&mut u64)) {
        let report = |report: &mut Report, see: &mut dyn FnMut(&mut u64)| {
            see(&mut report.appends);
            see(&mut report.applies);
        };
        let node = &mut self.nodes[n];
        for process in node.holder.iter_mut().chain(&mut node.spawned) {
            see(&mut process.appends);
            see(&mut process.applies);
            if let Some(own) = &mut process.machine.own.last {
                report(own, see);
            }
        }
        let other = &mut self.nodes[1 - n];
        for watcher in other.holder.iter_mut().chain(&mut other.spawned) {
            if let Some((_, answer)) = &mut watcher.answer {
                report(answer, see);
            }
            if let State::Running(running) = &mut watcher.machine.state
                && let Some(last) = &mut running.last
            {
                report(last, see);
            }
        }
    }
}

impl Process {
    /// Everything by which it names processes of the other node.
    fn names(&mut self, see: &mut dyn FnMut(&mut u32)) {
        self.machine.pids(see);
        if let Some(pid) = &mut self.watched {
            see(pid);
        }
        if let Some((pid, _)) = &mut self.answer {
            see(pid);
        }
        for mail in &mut self.mail {
            match mail {
                Mail::Started(pid) | Mail::Ended(pid) => see(pid),
                Mail::Seen(event) | Mail::Instead(event) => event_pids(event, see),
                Mail::Probed => {}
            }
        }
    }
}

fn event_pids(event: &mut Event, see: &mut dyn FnMut(&mut u32)) {
    use super::super::Last;
    match event {
        Event::Found { pid, .. }
        | Event::Opens { pid }
        | Event::Free(Last::Died(pid) | Last::Asked(pid)) => see(pid),
        _ => {}
    }
}

impl Machine {
    fn pids(&mut self, see: &mut dyn FnMut(&mut u32)) {
        see(&mut self.last_pid);
        if let Some(pid) = &mut self.undoes {
            see(pid);
        }
        match &mut self.state {
            State::Running(running) => see(&mut running.pid),
            State::Killing { pid, .. } | State::Stopped { pid } => see(pid),
            _ => {}
        }
    }

    fn normalise(&mut self, now: Duration) {
        let rules: Rules = self.rules;
        let since = |at: Duration, most: Duration| {
            (TICK * NOW).saturating_sub(now.saturating_sub(at).min(most))
        };
        self.reason.clear();
        self.restarts = self.restarts.min(1);
        self.deaths = self.deaths.min(rules.deaths + 1);
        // An age past that is a sleep, however long.
        let slept = TICK * (rules.own_ticks + 1);
        let slept = match rules.without {
            Without::OwnTicks => slept.max(TICK * rules.silent_ticks),
            _ => slept,
        };
        self.last_tick = self.last_tick.map(|at| since(at, slept));
        self.own.appender = self.own.appender.min(rules.own_ticks);
        self.own.applier = self.own.applier.min(rules.own_ticks);
        match &mut self.state {
            State::Running(running) => {
                let at = &mut running.serving_since;
                *at = at.map(|at| since(at, rules.served));
                let most = rules.silent_ticks.max(rules.first_answer_ticks);
                running.silent = running.silent.min(most);
                running.lock_held = running.lock_held.min(rules.lock_ticks);
                running.idle = running.idle.min(rules.idle_ticks);
                running.drains = running.drains.min(rules.drain_ticks);
            }
            State::Killing { since: at, why, .. } => {
                *at = since(*at, rules.kill_patience);
                why.clear();
            }
            State::Waiting { until } => *until = TICK * NOW + until.saturating_sub(now),
            State::Starting { restarts } => *restarts = (*restarts).min(1),
            _ => {}
        }
    }
}

/// Every value that `visit` shows, and 0, in order.
fn ranked<S, T: Ord + Copy + Default>(
    of: &mut S,
    mut visit: impl FnMut(&mut S, &mut dyn FnMut(&mut T)),
) -> Vec<T> {
    let mut all = vec![T::default()];
    visit(of, &mut |value| all.push(*value));
    all.sort_unstable();
    all.dedup();
    all
}

fn rank<T: Ord + Copy + TryFrom<usize>>(ranks: &[T], value: T) -> T {
    let at = ranks.binary_search(&value).unwrap_or_default();
    T::try_from(at).unwrap_or_else(|_| unreachable!("a small rank"))
}
