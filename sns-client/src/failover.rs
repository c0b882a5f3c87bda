//! A failover in one quiet line. Plain rules over values: whoever uses them has the clock.

use std::time::{Duration, Instant};

use crate::render::escape;

/// A server that is replaced within this time is worth one line; later, the person is told that
/// they wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of the server that a timeline hangs on.
#[derive(Debug, Default)]
pub(crate) struct Failover {
    lost: Option<Lost>,
}

#[derive(Debug)]
struct Lost {
    server: String,
    at: Instant,
    told: bool,
}

impl Failover {
    /// The server is gone; the empty name: there was none.
    pub(crate) fn lost(&mut self, server: &str, now: Instant) {
        self.lost.get_or_insert_with(|| Lost {
            server: escape(server),
            at: now,
            told: false,
        });
    }

    /// It goes on at this server; what there is to say of it.
    pub(crate) fn resumed(&mut self, server: &str, now: Instant) -> Option<String> {
        let lost = self.lost.take()?;
        let after = span(now.saturating_duration_since(lost.at));
        let server = escape(server);
        Some(if lost.told || lost.server.is_empty() {
            format!("~ now at {server} ({after})")
        } else if lost.server == server {
            format!("~ {server} was gone; now there again ({after})")
        } else {
            format!("~ {} is gone; now at {server} ({after})", lost.server)
        })
    }

    /// When there is something to say, should no event come before.
    pub(crate) fn due(&self) -> Option<Instant> {
        let lost = self.lost.as_ref().filter(|lost| !lost.told);
        lost.map(|lost| lost.at + PATIENCE)
    }

    /// What there is to say then; once.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<String> {
        self.due().filter(|due| *due <= now)?;
        let lost = self.lost.as_mut()?;
        lost.told = true;
        Some(if lost.server.is_empty() {
            "~ no server answers; still trying".to_owned()
        } else {
            format!("~ {} is gone; no server answers; still trying", lost.server)
        })
    }
}

/// A time as short as it is of use.
fn span(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_quick_failover_is_one_line() {
        let (mut failover, start) = (Failover::default(), Instant::now());
        failover.lost("h:1", start);
        assert_eq!(failover.due(), Some(start + PATIENCE));
        assert_eq!(failover.overdue(start + 999 * MS), None);
        // Told twice by the stream, it is still one.
        failover.lost("h:2", start + 20 * MS);
        let said = failover.resumed("h:4", start + 38 * MS);
        assert_eq!(said.as_deref(), Some("~ h:1 is gone; now at h:4 (38 ms)"));
        assert_eq!(
            (failover.due(), failover.resumed("h:4", start)),
            (None, None)
        );
    }

    #[test]
    fn a_long_one_is_told_once_while_it_lasts() {
        let (mut failover, start) = (Failover::default(), Instant::now());
        failover.lost("h:1\x1b[2J", start);
        let said = failover.overdue(start + 1_000 * MS).expect("due");
        assert_eq!(
            said,
            "~ h:1\\u{1b}[2J is gone; no server answers; still trying"
        );
        assert_eq!(failover.due(), None);
        assert_eq!(failover.overdue(start + 9_000 * MS), None);
        let said = failover.resumed("h:1", start + 4_240 * MS);
        assert_eq!(said.as_deref(), Some("~ now at h:1 (4.2 s)"));
    }

    #[test]
    fn a_server_that_comes_back_is_named_once() {
        let (mut failover, start) = (Failover::default(), Instant::now());
        failover.lost("h:1", start);
        let said = failover.resumed("h:1", start + 5 * MS);
        assert_eq!(
            said.as_deref(),
            Some("~ h:1 was gone; now there again (5 ms)")
        );
        failover.lost("", start);
        let said = failover.resumed("h:1", start);
        assert_eq!(said.as_deref(), Some("~ now at h:1 (0 ms)"));
    }
}
