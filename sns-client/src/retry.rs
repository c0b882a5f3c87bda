//! What to do after a try: a plain function of how it ended. Knows no clock, socket or server.

use std::time::Duration;

use sns_proto::reason::code;

use crate::error::{Error, ErrorKind, Reason};

/// The first back-off; it doubles from try to try.
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
/// The longest back-off: a server is restarted within a second or so, so ask at least as often.
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// Servers in a row that may call themselves damaged or buggy before the caller is told so.
const FAULTS_MAX: u32 = 2;
/// Failed tries after which a new ticket is no longer sent at once.
const ANEW_AT_ONCE: u32 = 2;

/// How a try ended without an answer.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// The server said no, in its own words (`ErrorInfo` of our domain).
    Refused(Refusal),
    /// There was no connection: nothing left this process.
    NotSent(String),
    /// Anything else. A write may have been done.
    Lost(String),
}

/// A refusal in the words of the contract.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: i32,
    pub(crate) error: Error,
    /// `RetryInfo`: the same call may help after this.
    pub(crate) retry_after: Option<Duration>,
}

/// What comes next.
#[derive(Debug, Clone)]
pub(crate) enum Next {
    /// Tell the caller.
    Fail(Error),
    /// Log in again, then try.
    Login,
    /// After `wait` learn a newer seq, draw a new ticket, then try: the old one was refused unused.
    Anew { wait: Duration },
    /// Try again after `wait`; `leave` = first shun the server that was tried.
    Again { wait: Duration, leave: bool },
}

/// The history of one call, as far as it decides what comes next.
#[derive(Debug, Clone)]
pub(crate) struct Tries {
    write: bool,
    /// A write may have been done by an earlier try with the present ticket.
    unsure: bool,
    failed: u32,
    lost: u32,
    faults: u32,
    logged_in: bool,
    last: Option<Error>,
}

impl Tries {
    /// Of a read, or of a call that may be repeated freely.
    pub(crate) fn of_read() -> Self {
        Self {
            write: false,
            unsure: false,
            failed: 0,
            lost: 0,
            faults: 0,
            logged_in: false,
            last: None,
        }
    }

    /// Of a call that needs no login, so that another one is of no use.
    pub(crate) fn without_login(mut self) -> Self {
        self.logged_in = true;
        self
    }

    /// Of a write; `unsure` = its ticket may have been used before.
    pub(crate) fn of_write(unsure: bool) -> Self {
        Self {
            write: true,
            unsure,
            ..Self::of_read()
        }
    }

    /// How long the next try may take. The first of each of two servers has `base`; a call that was
    /// lost twice gets longer and longer, since then it is the work that is slow.
    pub(crate) fn limit(&self, base: Duration) -> Duration {
        base * (1 << self.lost.saturating_sub(1).min(4))
    }

    /// Decides. `spare` = another server stands ready; `roll` = a random number in 0..1 (jitter).
    pub(crate) fn next(&mut self, ended: Ended, spare: bool, roll: f64) -> Next {
        self.failed = self.failed.saturating_add(1);
        match ended {
            Ended::NotSent(message) => {
                self.last = Some(Error::new(Reason::NoServer, message));
                self.leave(spare, Duration::ZERO, roll)
            }
            Ended::Lost(message) => {
                self.lost = self.lost.saturating_add(1);
                self.unsure = self.write;
                self.last = Some(Error::new(Reason::NoServer, message));
                self.leave(spare, Duration::ZERO, roll)
            }
            Ended::Refused(refusal) => self.refused(refusal, spare, roll),
        }
    }

    fn refused(&mut self, refusal: Refusal, spare: bool, roll: f64) -> Next {
        let Refusal {
            code: number,
            error,
            retry_after,
        } = refusal;
        let reason = error.reason();
        let pause = retry_after.unwrap_or_default();
        self.last = Some(error.clone());
        match number {
            code::DEADLINE_EXCEEDED if !self.write => self.leave(spare, pause, roll),
            code::DEADLINE_EXCEEDED if reason == Reason::RequestExpired => {
                if self.unsure {
                    Next::Fail(unknown(&error))
                } else if self.failed <= ANEW_AT_ONCE {
                    Next::Anew {
                        wait: Duration::ZERO,
                    }
                } else {
                    Next::Anew {
                        wait: self.backoff(roll),
                    }
                }
            }
            // OUTCOME_UNKNOWN: the server lost sight of it too; its twin can tell.
            code::DEADLINE_EXCEEDED => {
                self.unsure = true;
                self.leave(spare, pause, roll)
            }
            code::UNAVAILABLE => self.leave(spare, pause, roll),
            code::RESOURCE_EXHAUSTED if retry_after.is_some() => Next::Again {
                wait: self.backoff(roll).max(pause),
                leave: false,
            },
            // Tokens are good on every server of the same data, so a new one may help, but once.
            code::UNAUTHENTICATED if !self.logged_in => {
                self.logged_in = true;
                Next::Login
            }
            // What one replica finds damaged may be sound in another.
            code::DATA_LOSS | code::INTERNAL if self.faults + 1 < FAULTS_MAX => {
                self.faults += 1;
                self.leave(spare, pause, roll)
            }
            // These are no outcomes of a write: an earlier try may still have been done.
            code::DATA_LOSS | code::INTERNAL | code::UNAUTHENTICATED | code::PERMISSION_DENIED
                if self.unsure =>
            {
                Next::Fail(unknown(&error))
            }
            _ => Next::Fail(error),
        }
    }

    /// On to another server: at once when one stands ready, else after a back-off.
    fn leave(&self, spare: bool, pause: Duration, roll: f64) -> Next {
        let wait = if spare {
            Duration::ZERO
        } else {
            self.backoff(roll).max(pause)
        };
        Next::Again { wait, leave: true }
    }

    /// Doubling, with jitter downwards by up to a half, so that clients do not come back in step.
    fn backoff(&self, roll: f64) -> Duration {
        let doubled = BACKOFF_FIRST * (1 << self.failed.saturating_sub(1).min(10));
        doubled.min(BACKOFF_MAX).mul_f64(0.5 + roll / 2.0)
    }

    /// The present try of a write will not be waited for: it may have been done.
    pub(crate) fn lose(&mut self) {
        self.unsure = self.write;
    }

    /// A new ticket was drawn: no try was made with it.
    pub(crate) fn drew_anew(&mut self) {
        self.unsure = false;
    }

    /// What the caller is told when something else than a try failed on the way.
    pub(crate) fn settle(&self, error: Error) -> Error {
        if self.unsure { unknown(&error) } else { error }
    }

    /// What the caller is told when the deadline has come.
    pub(crate) fn out_of_time(&self, deadline: Duration) -> Error {
        let last = self
            .last
            .clone()
            .unwrap_or_else(|| Error::new(Reason::NoServer, "no server was found"));
        if self.unsure {
            return unknown(&last);
        }
        match last.kind() {
            ErrorKind::Unavailable => Error::from_wire(
                code::UNAVAILABLE,
                last.reason_name(),
                &format!("no server could answer within {deadline:?}: {last}"),
            ),
            // A read has no effect that could be unknown.
            ErrorKind::Unknown => Error::new(Reason::NoServer, last.message()),
            _ => last,
        }
    }
}

/// The end of a write of which nobody can tell.
pub(crate) fn unknown(last: &Error) -> Error {
    let why = match last.reason() {
        Reason::RequestExpired => Reason::RequestExpired,
        _ => Reason::OutcomeUnknown,
    };
    Error::new(why, format!("the write may have happened: {last}"))
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
