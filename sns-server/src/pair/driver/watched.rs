//! What is watched of a living partner: its answers, and its end.

use std::sync::Arc;

use rustix::process::WaitIdOptions;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Driver, Note};
use crate::pair::child::reap;
use crate::pair::deaths::monotonic;
use crate::pair::heartbeat;
use crate::pair::machine::Event;
use crate::pair::process::Handle;

/// The process that is watched now.
pub(super) struct Watched {
    pub(super) handle: Arc<Handle>,
    asked: Option<Asked>,
    /// Ends with it.
    _end: JoinSet<()>,
}

/// Where it is asked; the asking ends with it.
struct Asked {
    address: String,
    _tasks: JoinSet<()>,
}

impl Driver {
    /// Asks it from now on, and waits for its end.
    pub(super) fn watch(&mut self, handle: Handle, child: Option<Child>) {
        let handle = Arc::new(handle);
        let mut end = JoinSet::new();
        let (held, partner, notes) = (handle.clone(), self.partner.clone(), self.notes.clone());
        end.spawn(async move {
            let status = if let Some(mut child) = child {
                child.wait().await.ok()
            } else {
                held.exited().await;
                // A child of the program that ran in this process before.
                reap(&held, WaitIdOptions::empty()).ok().flatten()
            };
            let at = monotonic();
            let pid = held.id().pid;
            let judged = tokio::task::spawn_blocking(move || partner.exit(pid, status)).await;
            if let Ok(exit) = judged {
                let event = Event::Exited { pid, exit };
                let _ = notes.send(Note::Ended { pid, event, at }).await;
            }
        });
        self.watched = Some(Watched {
            handle,
            asked: None,
            _end: end,
        });
        self.ask_where_it_is();
    }

    /// Asks it where its file says that it is. One that this node did not start may have written that
    /// only after it was found.
    pub(super) fn ask_where_it_is(&mut self) {
        let (Some(file), Some(watched)) = (self.partner.file(), &mut self.watched) else {
            return;
        };
        let address = file.peer_address;
        let known = watched.asked.as_ref();
        if address.is_empty() || known.is_some_and(|asked| asked.address == address) {
            return;
        }
        let mut tasks = JoinSet::new();
        let (answers, mut heard) = mpsc::channel(1);
        let (me, dial) = (self.me.asker.clone(), self.dial.clone());
        tasks.spawn(heartbeat::ask(me, address.clone(), dial, answers));
        let notes = self.notes.clone();
        tasks.spawn(async move {
            while let Some(heartbeat) = heard.recv().await {
                if notes.send(Note::Heartbeat(heartbeat)).await.is_err() {
                    return;
                }
            }
        });
        watched.asked = Some(Asked {
            address,
            _tasks: tasks,
        });
    }
}
