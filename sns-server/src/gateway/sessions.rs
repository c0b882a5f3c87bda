//! Who is logged in, over which connection. A name is free again when its connection has gone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sns_client::{Client, Reason};
use sns_core::Username;
use tokio::time::timeout;
use tonic::Status;

use crate::net::Connection;
use crate::service::status::status;

/// Names that are logged in at a time. Each has three connections of its own to the service.
const SESSIONS: usize = 1_024;

/// Who starts a client anew the moment it died is not refused because its end is noticed a moment
/// later.
const GRACE: Duration = Duration::from_millis(250);

/// A name that is logged in.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) name: Username,
    pub(super) client: Client,
    in_timeline: AtomicBool,
}

/// Its one stream is open until this is dropped.
#[derive(Debug)]
pub(super) struct Mode(Arc<Session>);

impl Session {
    /// Opens its stream.
    ///
    /// # Errors
    /// `ALREADY_EXISTS`: it is open. One that broke is open for a moment still.
    pub(super) fn enter_timeline(self: &Arc<Self>) -> Result<Mode, Status> {
        if self.in_timeline.swap(true, Ordering::AcqRel) {
            let name = self.name;
            return Err(Status::already_exists(format!(
                "{name} is in TIMELINE already"
            )));
        }
        Ok(Mode(self.clone()))
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        self.0.in_timeline.store(false, Ordering::Release);
    }
}

/// All that are logged in here; a cheap clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<Username, Slot>>>);

#[derive(Debug)]
struct Slot {
    connection: Connection,
    /// `None` while it is on its way in.
    session: Option<Arc<Session>>,
}

impl Sessions {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Username, Slot>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a name for `connection`.
    ///
    /// # Errors
    /// `ALREADY_EXISTS`: its owner lives. `RESOURCE_EXHAUSTED`: too many are logged in.
    pub(super) async fn claim(
        &self,
        name: Username,
        connection: &Connection,
    ) -> Result<Claim, Status> {
        loop {
            let owner = self.with(|table| match table.get(&name) {
                Some(slot) if !slot.connection.is_gone() => Ok(Some(slot.connection.clone())),
                None if table.len() >= SESSIONS => Err(status(
                    Reason::Overloaded,
                    format!("{SESSIONS} names are logged in here already"),
                )),
                _ => {
                    let slot = Slot {
                        connection: connection.clone(),
                        session: None,
                    };
                    table.insert(name, slot);
                    Ok(None)
                }
            })?;
            let Some(owner) = owner else {
                return Ok(Claim {
                    sessions: self.clone(),
                    name,
                    connection: connection.clone(),
                });
            };
            if owner == *connection || timeout(GRACE, owner.gone()).await.is_err() {
                return Err(Status::already_exists(format!("{name} is logged in")));
            }
        }
    }

    /// Who `name` is over `connection`.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`: nobody yet. `PERMISSION_DENIED`: somebody else.
    pub(super) fn find(
        &self,
        name: Username,
        connection: &Connection,
    ) -> Result<Arc<Session>, Status> {
        let unknown = || {
            let why = format!("{name} is not logged in over this connection: call Login first");
            Status::unauthenticated(why)
        };
        self.with(|table| {
            let slot = table.get(&name).ok_or_else(unknown)?;
            if slot.connection != *connection {
                let why = format!("{name} is logged in over another connection");
                return Err(Status::permission_denied(why));
            }
            slot.session.clone().ok_or_else(unknown)
        })
    }

    /// Frees a name, if it still belongs to `connection`.
    fn forget(&self, name: Username, connection: &Connection) {
        self.with(|table| {
            if table
                .get(&name)
                .is_some_and(|slot| slot.connection == *connection)
            {
                table.remove(&name);
            }
        });
    }
}

/// A name that is being logged in; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    sessions: Sessions,
    name: Username,
    connection: Connection,
}

impl Claim {
    /// It is logged in until its connection has gone.
    pub(super) fn keep(self, client: Client) {
        let session = Arc::new(Session {
            name: self.name,
            client,
            in_timeline: AtomicBool::new(false),
        });
        self.sessions.with(|table| {
            if let Some(slot) = table.get_mut(&self.name)
                && slot.connection == self.connection
            {
                slot.session = Some(session);
            }
        });
        tokio::spawn(self.until_gone());
    }
}

impl Claim {
    /// Dropped at the end of its connection, and the name with it.
    async fn until_gone(self) {
        self.connection.gone().await;
        tracing::info!(name = %self.name, "gone; the name is free");
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.sessions.forget(self.name, &self.connection);
    }
}
