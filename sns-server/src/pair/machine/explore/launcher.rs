//! The launcher of the exploration: as `up` keeps a pair, see `up/pairs.rs`.

use super::super::{Action, Event, Exit, Last, Machine, Report, Rules, Without};
use super::pair::Pair;
use super::words::{Mail, Stage, Wrong};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Up {
    pub(super) machine: Machine,
    /// The process that was started here and has not ended.
    pub(super) child: Option<(usize, u32)>,
    /// Whether it ended cleanly.
    ended: Option<bool>,
    /// Whom it killed, until they are gone.
    pub(super) killed: Option<Vec<(usize, u32)>>,
    /// Counts what the machine takes for processes.
    pub(super) generation: u32,
    running: Option<u32>,
}

impl Up {
    pub(super) fn new(without: Without) -> Self {
        let rules = Rules {
            silent_ticks: 8,
            drain_ticks: 8,
            ..Pair::rules(without)
        };
        Self {
            machine: Machine::new(rules, true, 0),
            child: None,
            ended: None,
            killed: None,
            generation: 0,
            running: None,
        }
    }

    /// What the machine knows of as a process changes with each event.
    pub(super) fn forget_running(&mut self) {
        self.running = None;
    }
}

fn lives(seen: &Event) -> bool {
    !matches!(seen, Event::Free(_))
}

fn died(seen: &Event) -> bool {
    matches!(seen, Event::Free(Last::Died(_)))
}

fn asked(seen: &Event) -> bool {
    matches!(seen, Event::Free(Last::Asked(_)))
}

impl Pair {
    /// A tick of the launcher.
    pub(super) fn launcher(&mut self) -> Result<(), Wrong> {
        let Some(mut up) = self.up.take() else {
            return Ok(());
        };
        let event = self.poll(&mut up);
        let mut outcome = Ok(());
        if let Some(event) = event {
            outcome = self.tell(&mut up, event);
        }
        outcome = outcome.and_then(|()| self.tell(&mut up, Event::Tick(Report::default())));
        up.forget_running();
        self.up = Some(up);
        outcome
    }

    fn tell(&mut self, up: &mut Up, event: Event) -> Result<(), Wrong> {
        for action in up.machine.step(self.time(), 0, event) {
            match action {
                Action::Look => {
                    let seen = self.look_at_both(up);
                    self.tell(up, seen)?;
                }
                Action::Start { restarts } => {
                    let event = self.start_one(up, restarts)?;
                    self.tell(up, event)?;
                }
                Action::Probe => self.tell(up, Event::Probed)?,
                Action::Kill { why, .. } => self.kill_both(up, &why)?,
                Action::Say(_) => {}
            }
        }
        Ok(())
    }

    fn poll(&mut self, up: &mut Up) -> Option<Event> {
        if let Some((n, pid)) = up.child
            && self.nodes[n].process(pid).is_none()
        {
            let exit = self.exit(n, pid);
            up.ended = Some(exit.asked || exit.lock_held);
            up.child = None;
        }
        up.running = up.machine.pid();
        let pid = up.running?;
        let killed = up.killed.iter().flatten();
        let left = killed.filter(|(n, pid)| self.nodes[*n].process(*pid).is_some());
        if left.count() == 0 && up.killed.take().is_some() {
            let child = up.child.is_some();
            if child || lives(&self.look(1)) || lives(&self.look(0)) {
                let exit = Exit {
                    asked: false,
                    lock_held: true,
                    why: String::new(),
                };
                return Some(Event::Exited { pid, exit });
            }
        }
        let mut answers = false;
        let mut serving = false;
        for node in &self.nodes {
            if let Some(process) = &node.holder
                && process.fault.runs()
                && !process.killed
            {
                answers = true;
                serving |= process.stage == Stage::Serving;
            }
        }
        if answers {
            let report = Report {
                serving,
                ..Report::default()
            };
            return Some(Event::Answer { pid, report });
        }
        let (slave, master) = (self.look(1), self.look(0));
        if up.child.is_none() && !lives(&slave) && !lives(&master) {
            let by_files = asked(&slave) || asked(&master);
            let clean = up.ended.take().unwrap_or(by_files);
            let exit = Exit {
                asked: clean && !died(&slave) && !died(&master),
                lock_held: false,
                why: String::new(),
            };
            return Some(Event::Exited { pid, exit });
        }
        if up.child.is_none() {
            up.ended = None;
        }
        let drains = |seen: &Event| matches!(seen, Event::Found { draining: true, .. });
        let all = [&slave, &master]
            .iter()
            .all(|seen| drains(seen) || !lives(seen));
        (all && (drains(&slave) || drains(&master))).then_some(Event::Found {
            pid,
            old: false,
            draining: true,
        })
    }

    fn look_at_both(&self, up: &mut Up) -> Event {
        let (slave, master) = (self.look(1), self.look(0));
        if lives(&slave) || lives(&master) || up.child.is_some() {
            if up.running.is_none() {
                up.generation += 1;
            }
            return Event::Found {
                pid: up.generation,
                old: false,
                draining: false,
            };
        }
        if died(&slave) || died(&master) {
            return Event::Free(Last::Died(up.generation));
        }
        Event::Free(Last::Nobody)
    }

    fn start_one(&mut self, up: &mut Up, restarts: u64) -> Result<Event, Wrong> {
        let n = usize::from(!(asked(&self.look(1)) && died(&self.look(0))));
        let again = self.nodes[n].file.again || restarts > 0;
        match self.start(n, again)? {
            Mail::Started(pid) => {
                up.child = Some((n, pid));
                up.ended = None;
                up.generation += 1;
                Ok(Event::Started { pid: up.generation })
            }
            _ => Ok(self.look_at_both(up)),
        }
    }

    fn kill_both(&mut self, up: &mut Up, why: &str) -> Result<(), Wrong> {
        let mut hung: Vec<(usize, u32)> = up.child.into_iter().collect();
        for n in [0, 1] {
            if let Event::Found { pid, .. } | Event::Opens { pid } = self.look(n)
                && up.child != Some((n, pid))
            {
                hung.push((n, pid));
            }
        }
        for (n, pid) in &hung {
            self.kill(*n, *pid, why)?;
        }
        up.killed = Some(hung);
        Ok(())
    }
}
