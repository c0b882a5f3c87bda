//! What is watched of a living partner: its answers, and its end.

use std::sync::Arc;

use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Driver, Note};
use crate::pair::deaths::monotonic;
use crate::pair::heartbeat;
use crate::pair::machine::Event;
use crate::pair::process::Handle;

/// The process that is watched now.
pub(super) struct Watched {
    pub(super) handle: Arc<Handle>,
    /// They end with it.
    _tasks: JoinSet<()>,
}

impl Driver {
    /// Asks it from now on, and waits for its end.
    pub(super) fn watch(&mut self, handle: Handle, child: Option<Child>) {
        let handle = Arc::new(handle);
        let mut tasks = JoinSet::new();
        if let Some(file) = self.partner.file() {
            let (answers, mut heard) = mpsc::channel(1);
            let (me, dial) = (self.me.asker.clone(), self.dial.clone());
            tasks.spawn(heartbeat::ask(me, file.peer_address, dial, answers));
            let notes = self.notes.clone();
            tasks.spawn(async move {
                while let Some(heartbeat) = heard.recv().await {
                    if notes.send(Note::Heartbeat(heartbeat)).await.is_err() {
                        return;
                    }
                }
            });
        }
        let (held, partner, notes) = (handle.clone(), self.partner.clone(), self.notes.clone());
        tasks.spawn(async move {
            let status = if let Some(mut child) = child {
                child.wait().await.ok()
            } else {
                held.exited().await;
                None
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
            _tasks: tasks,
        });
    }
}
