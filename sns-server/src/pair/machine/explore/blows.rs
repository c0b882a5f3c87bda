//! What can befall a pair, as far as its budget reaches.

use super::pair::{Pair, Process};
use super::words::{Blow, Broken, Fault, File, Stage};

impl Pair {
    /// What can befall them now.
    pub(super) fn blows(&self) -> Vec<Blow> {
        let mut blows = vec![Blow::Nothing];
        let lock_is_free = !self.third_party && !self.log_is_held_by_any();
        for (n, node) in self.nodes.iter().enumerate() {
            if let Some(process) = node.holder.as_ref().or_else(|| node.spawned.first()) {
                let drains = matches!(process.stage, Stage::Draining(_));
                if process.fault == Fault::None && !process.killed && self.left.faults > 0 {
                    blows.push(Blow::Kill(n));
                    blows.push(Blow::Fault(n, Fault::Stopped));
                    blows.push(Blow::Fault(n, Fault::Asleep));
                    if process.stage == Stage::Serving {
                        blows.push(Blow::Fault(n, Fault::Wedged));
                        if lock_is_free {
                            blows.push(Blow::Fault(n, Fault::HoldsLock));
                            if self.mode.busy {
                                blows.push(Blow::Fault(n, Fault::StoppedWithLock));
                            }
                        }
                    }
                }
                if !process.fault.runs() {
                    blows.push(Blow::GoesOn(n));
                }
                let asks = matches!(process.stage, Stage::Opening | Stage::Serving);
                if self.left.requests > 0 && asks && process.fault.runs() && !drains {
                    blows.push(Blow::AskToStop(n));
                }
            } else if self.left.requests > 0 {
                blows.push(Blow::StartByHand(n));
            }
            match node.broken {
                Broken::No if self.left.broken > 0 => {
                    blows.push(Blow::Break(n, Broken::BeforeLock));
                    blows.push(Blow::Break(n, Broken::BeforeService));
                }
                Broken::No => {}
                _ => blows.push(Blow::Repair(n)),
            }
        }
        if self.third_party {
            blows.push(Blow::ThirdParty(false));
        } else if self.left.blocks > 0 && lock_is_free {
            blows.push(Blow::ThirdParty(true));
        }
        if self.slow_disk {
            blows.push(Blow::SlowDisk(false));
        } else if self.left.blocks > 0 {
            blows.push(Blow::SlowDisk(true));
        }
        blows
    }

    pub(super) fn befall(&mut self, blow: Blow) {
        match blow {
            Blow::Nothing => {}
            Blow::Kill(n) => {
                self.left.faults -= 1;
                if let Some(process) = self.any(n) {
                    process.killed = true;
                }
            }
            Blow::Fault(n, fault) => {
                self.left.faults -= 1;
                if let Some(process) = self.any(n) {
                    process.fault = fault;
                }
            }
            Blow::GoesOn(n) => {
                if let Some(process) = self.any(n) {
                    process.fault = Fault::None;
                }
            }
            Blow::Break(n, how) => {
                self.left.broken -= 1;
                self.nodes[n].broken = how;
            }
            Blow::Repair(n) => self.nodes[n].broken = Broken::No,
            Blow::ThirdParty(on) => {
                self.third_party = on;
                self.left.blocks -= u8::from(on);
            }
            Blow::SlowDisk(on) => {
                self.slow_disk = on;
                self.left.blocks -= u8::from(on);
            }
            Blow::AskToStop(n) => {
                self.left.requests -= 1;
                if let Some(process) = &mut self.nodes[n].holder {
                    process.stage = Stage::Draining(2);
                    self.nodes[n].file.stopping = true;
                }
            }
            Blow::StartByHand(n) => {
                self.left.requests -= 1;
                self.nodes[n].stopped = false;
                if n == 1 {
                    // A slave starts its master whatever was before.
                    self.nodes[0].stopped = false;
                }
                let file = &mut self.nodes[n].file;
                *file = File {
                    again: false,
                    ..*file
                };
                self.spawn(n, false);
            }
        }
    }

    fn any(&mut self, n: usize) -> Option<&mut Process> {
        let node = &mut self.nodes[n];
        node.holder.as_mut().or_else(|| node.spawned.first_mut())
    }
}
