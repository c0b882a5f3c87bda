//! What must never be, and for how long what must end may last. The promises about a start and a
//! kill are checked where they happen, see `Pair::start` and `Pair::kill`.

use super::super::State;
use super::pair::{Node, Pair, Process, name};
use super::words::{Fault, Stage, Wrong};

/// So many ticks a dead node may be left alone by a watcher that runs.
const NEGLECT: u8 = 7;
/// So many ticks a hung node may be left alone by a watcher that runs and gets through.
const HANG: u8 = 14;
/// So many ticks the launcher may take to see to a pair of which neither node can.
const ORPHAN: u8 = 20;
/// So many ticks two processes of one node may run: until the second one finds the lock held.
const CROWD: u8 = 1;
/// A window in ticks, and the starts of one node in it that are too many.
pub(super) const WINDOW: u32 = 12;
pub(super) const STORM: u32 = 6;

impl Pair {
    pub(super) fn monitor(&mut self) -> Result<(), Wrong> {
        let able = [self.is_able(0), self.is_able(1)];
        let hindered = self.third_party || self.slow_disk;
        for n in [0, 1] {
            let watcher_said = {
                let watcher = self.nodes[1 - n].holder.as_ref();
                watcher
                    .is_some_and(|it| matches!(it.machine.state, State::Killing { said: true, .. }))
            };
            let node = &mut self.nodes[n];
            let all = node.holder.iter().chain(&node.spawned);
            let running = all.filter(|it| it.fault.runs() && !it.killed).count();
            node.crowded = count(node.crowded, running > 1, CROWD);
            if node.crowded > CROWD {
                return Err(format!("two processes of {} run side by side", name(n)));
            }
            let dead = node.is_empty() && !node.stopped;
            node.neglected = count(node.neglected, dead && able[1 - n], NEGLECT);
            if node.neglected > NEGLECT {
                return Err(format!("{} is dead and nobody starts it", name(n)));
            }
            // One that was killed ends, or sleeps uninterruptibly and is named.
            let hangs = node
                .holder
                .as_ref()
                .is_some_and(|it| it.fault != Fault::None && !watcher_said);
            node.hung = count(node.hung, hangs && able[1 - n] && !hindered, HANG);
            if node.hung > HANG {
                return Err(format!("{} hangs and nobody kills or names it", name(n)));
            }
        }
        // Neither can see to the other: the launcher does, unless all were asked to stop, or one of
        // them cannot die.
        let gone = |node: &Node| node.is_empty();
        let hopeless = |node: &Node| {
            let answers = |it: &Process| it.fault.runs() && !it.killed;
            let asleep = |it: &Process| it.fault == Fault::Asleep;
            let all = || node.holder.iter().chain(&node.spawned);
            !all().any(answers) && !all().any(asleep)
        };
        let all_stopped = self.nodes.iter().all(|node| gone(node) && node.stopped);
        let some_due = self.nodes.iter().any(|node| !node.stopped);
        let orphaned =
            self.up.is_some() && self.nodes.iter().all(hopeless) && !all_stopped && some_due;
        self.orphaned = count(self.orphaned, orphaned, ORPHAN);
        if self.orphaned > ORPHAN {
            return Err("neither node lives, and the launcher starts none".to_owned());
        }
        Ok(())
    }

    /// The process of node `n` is well, and watches.
    fn is_able(&self, n: usize) -> bool {
        self.nodes[n].holder.as_ref().is_some_and(|it| {
            it.fault == Fault::None
                && !it.killed
                && matches!(it.stage, Stage::Opening | Stage::Serving)
        })
    }
}

fn count(so_far: u8, on: bool, most: u8) -> u8 {
    if on { (so_far + 1).min(most + 1) } else { 0 }
}
