//! The machine of a node in the exploration: what it hears, and what is done for it, as the driver
//! does it.

use super::super::{Action, Event};
use super::pair::{Pair, Process, name};
use super::words::{Mail, Stage, Wrong};

impl Pair {
    /// Node `n` answers the other one's heartbeat.
    pub(super) fn answer(&mut self, n: usize) {
        let Some(process) = &self.nodes[n].holder else {
            return;
        };
        if !process.fault.runs() || process.killed || process.stage == Stage::Spawned {
            return;
        }
        let said = (process.pid, self.report(n, process));
        if let Some(watcher) = &mut self.nodes[1 - n].holder
            && watcher.watched == Some(said.0)
        {
            watcher.answer = Some(said);
        }
    }

    /// A tick of the machine of node `n`.
    pub(super) fn watch(&mut self, n: usize, reverse: bool) -> Result<(), Wrong> {
        let Some(mut process) = self.nodes[n].holder.take() else {
            return Ok(());
        };
        let watches = matches!(process.stage, Stage::Opening | Stage::Serving);
        let runs = process.fault.runs() && !process.killed;
        let mut outcome = Ok(());
        if runs && let Some(again) = process.starting.take() {
            // Also while it drains: the start is on a thread of its own.
            process.mail.push(self.launch(1 - n, again)?);
        }
        if runs && watches {
            let own = self.report(n, &process);
            let late = reverse && process.slept;
            if !late {
                outcome = self.hear(n, &mut process);
            }
            outcome = outcome.and_then(|()| self.give(n, &mut process, Event::Tick(own)));
            if late {
                outcome = outcome.and_then(|()| self.hear(n, &mut process));
            }
        }
        process.slept = !runs;
        self.nodes[n].holder = Some(process);
        outcome
    }

    /// What came in since the last tick.
    fn hear(&mut self, n: usize, process: &mut Process) -> Result<(), Wrong> {
        if process.probing && !self.slow_disk {
            process.probing = false;
            process.mail.push(Mail::Probed);
        }
        for mail in std::mem::take(&mut process.mail) {
            self.deliver(n, process, mail)?;
        }
        if let Some((pid, report)) = process.answer.take() {
            self.give(n, process, Event::Answer { pid, report })?;
        }
        Ok(())
    }

    /// As `Driver::take` and `Driver::seen`.
    fn deliver(&mut self, n: usize, process: &mut Process, mail: Mail) -> Result<(), Wrong> {
        match mail {
            Mail::Probed => self.give(n, process, Event::Probed),
            Mail::Started(pid) => {
                self.give(n, process, Event::Started { pid })?;
                process.watched = Some(pid);
                if self.nodes[1 - n].process(pid).is_none() {
                    process.mail.push(Mail::Ended(pid));
                }
                Ok(())
            }
            Mail::Ended(pid) => {
                if process.watched != Some(pid) {
                    return Ok(());
                }
                if process.machine.pid() == Some(pid) {
                    process.watched = None;
                }
                let exit = self.exit(1 - n, pid);
                let (held, deaths) = (exit.lock_held, process.machine.deaths);
                self.give(n, process, Event::Exited { pid, exit })?;
                if held && process.machine.deaths > deaths {
                    return Err(format!(
                        "{}: a start that found the lock held was counted as a death",
                        name(1 - n)
                    ));
                }
                Ok(())
            }
            Mail::Instead(Event::Found { pid, .. } | Event::Opens { pid })
                if self.nodes[1 - n].process(pid).is_none() =>
            {
                self.give(n, process, Event::Vanished)
            }
            Mail::Seen(event @ (Event::Found { pid, .. } | Event::Opens { pid }))
            | Mail::Instead(event @ (Event::Found { pid, .. } | Event::Opens { pid })) => {
                if self.nodes[1 - n].process(pid).is_none() {
                    return Ok(());
                }
                let known = process.machine.pid() == Some(pid);
                self.give(n, process, event)?;
                if !known && process.machine.pid() == Some(pid) {
                    process.watched = Some(pid);
                }
                Ok(())
            }
            Mail::Seen(event) | Mail::Instead(event) => self.give(n, process, event),
        }
    }

    /// Hands an event to the machine of node `n` and carries out what follows, as the driver does.
    fn give(&mut self, n: usize, process: &mut Process, event: Event) -> Result<(), Wrong> {
        // The master's restarts take their whole time, the slave's the half of it.
        let random = if n == 0 { 0 } else { u32::MAX };
        let other = 1 - n;
        for action in process.machine.step(self.time(), random, event) {
            match action {
                Action::Look => {
                    let looks = |mail: &Mail| matches!(mail, Mail::Seen(_));
                    let seen = Mail::Seen(self.look(other));
                    if !self.mode.slow {
                        self.deliver(n, process, seen)?;
                    } else if !process.mail.iter().any(looks) {
                        process.mail.push(seen);
                    }
                }
                Action::Start { restarts } => {
                    let again = restarts > 0;
                    if !self.mode.slow {
                        let mail = self.start(other, again)?;
                        self.deliver(n, process, mail)?;
                    } else if let Some(mail) = self.instead(other) {
                        process.mail.push(mail);
                    } else {
                        process.starting = Some(again);
                    }
                }
                Action::Probe if self.slow_disk || self.mode.slow => process.probing = true,
                Action::Probe => self.give(n, process, Event::Probed)?,
                Action::Kill { pid, why } => {
                    if process.watched == Some(pid) {
                        self.kill(other, pid, &why)?;
                    }
                }
                Action::Say(_) => {}
            }
        }
        Ok(())
    }
}
