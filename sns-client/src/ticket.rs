//! [`Ticket`]: what makes a write repeatable.

use uuid::Uuid;

/// What makes a write repeatable: its request id, and the newest seq known before its first try.
///
/// However often a write is sent with one ticket, it takes effect at most once, on whatever
/// server, and the outcome told is that of the first time. The library draws a ticket for every
/// write and keeps it through its own retries; take one yourself ([`Client::ticket`]) to repeat a
/// write that ended as [`ErrorKind::Unknown`], or across a restart of your program.
///
/// ```no_run
/// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
/// let ticket = client.ticket();
/// let post = match client.post("hello").ticket(ticket).await {
///     Err(error) if error.kind() == sns_client::ErrorKind::Unknown => {
///         client.post("hello").ticket(ticket).await?
///     }
///     other => other?,
/// };
/// # let _ = post; Ok(()) }
/// ```
///
/// [`Client::ticket`]: crate::Client::ticket
/// [`ErrorKind::Unknown`]: crate::ErrorKind::Unknown
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    id: Uuid,
    seen: u64,
    // Drawn by the library for this call, so no earlier try can have had an effect.
    fresh: bool,
}

impl Ticket {
    /// A new one of the library's own.
    pub(crate) fn draw(seen: u64) -> Self {
        Self {
            id: Uuid::new_v4(),
            seen,
            fresh: true,
        }
    }

    /// A ticket from its parts, as [`request_id`](Self::request_id) and [`seen`](Self::seen) gave
    /// them earlier.
    ///
    /// # Errors
    /// `Invalid` (`REQUEST_ID_INVALID`): `request_id` is not a UUID in 8-4-4-4-12 form.
    pub fn from_parts(request_id: &str, seen: u64) -> crate::Result<Self> {
        // `parse_str` takes more forms than the wire does.
        let id = Uuid::parse_str(request_id)
            .ok()
            .filter(|_| request_id.len() == 36);
        let id = id.ok_or_else(|| {
            crate::Error::new(
                crate::Reason::RequestIdInvalid,
                "a request id is a UUID in 8-4-4-4-12 form",
            )
        })?;
        Ok(Self {
            id,
            seen,
            fresh: false,
        })
    }

    /// The request id, 36 characters.
    pub fn request_id(&self) -> String {
        self.id.to_string()
    }

    /// The newest seq known when the ticket was drawn; 0 = none.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// In the hands of a caller it may have been used before.
    pub(crate) fn given(mut self) -> Self {
        self.fresh = false;
        self
    }

    /// Whether the try to come is certainly the first.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_survives_being_written_down() {
        let drawn = Ticket::draw(7).given();
        let read = Ticket::from_parts(&drawn.request_id(), drawn.seen()).expect("own form");
        assert_eq!(drawn, read);
        for wrong in [
            "",
            "x",
            "550e8400e29b41d4a716446655440000",
            "{550e8400-e29b-41d4-a716-446655440000}",
        ] {
            Ticket::from_parts(wrong, 0).expect_err(wrong);
        }
    }
}
