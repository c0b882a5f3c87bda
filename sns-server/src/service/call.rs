//! What every call goes through: its deadline, the node that may still be opening, the state it has
//! to include, and a bound on reads that go to the disk.

use std::sync::Arc;
use std::time::Duration;

use sns_core::{Seq, Sns, limits};
use sns_proto::v1::ErrorReason;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::accounts::Accounts;
use super::status;
use crate::metrics::{Method, Metrics};
use crate::rates::Rates;
use crate::token::{Caller, Scopes};

/// How long a write is waited for when the client names no deadline: well past every repair of the
/// log, so that a stuck call ends all the same.
const WRITE_WAIT: Duration = Duration::from_secs(30);

/// Reads that run at the same time. They mostly come from memory; a cold one waits for the disk.
const READS: usize = 64;

/// Reads that wait for one of these; more are refused (`OVERLOADED`).
const READS_WAITING: usize = 4_096;

/// What all services of a node share; a cheap clone.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Inner>, Rates);

#[derive(Debug)]
struct Inner {
    sns: watch::Receiver<Option<Sns>>,
    accounts: Accounts,
    shutdown: CancellationToken,
    reads: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Shared {
    /// `sns` holds the handle once it is open; `shutdown` ends every stream.
    pub fn new(
        sns: watch::Receiver<Option<Sns>>,
        accounts: Accounts,
        shutdown: CancellationToken,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self(
            Arc::new(Inner {
                metrics,
                sns,
                accounts,
                shutdown,
                reads: Arc::new(Semaphore::new(READS)),
                waiting: Arc::new(Semaphore::new(READS + READS_WAITING)),
            }),
            Rates::off(),
        )
    }

    /// The same with rates.
    #[must_use]
    pub fn limited(self, rates: Rates) -> Self {
        Self(self.0, rates)
    }

    /// How much each may do.
    pub(crate) fn rates(&self) -> &Rates {
        &self.1
    }

    /// Ends every stream when it is cancelled.
    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    /// Who gets in.
    pub(crate) fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// What is measured.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Runs a call, counts it and measures how long it takes; a slow one is logged.
    pub(crate) async fn measured<T>(
        &self,
        method: Method,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let mut noted = Noted {
            shared: self,
            method,
            // Until it has another: a caller that gives up drops the call.
            code: Code::Cancelled,
            began: std::time::Instant::now(),
        };
        let ended = call.await;
        noted.code = ended.as_ref().map_or_else(Status::code, |_| Code::Ok);
        ended
    }

    /// Counts a call that began at `began` and has just ended.
    pub(crate) fn note(&self, method: Method, code: Code, began: std::time::Instant) {
        let now = std::time::Instant::now();
        let took = now.saturating_duration_since(began);
        self.0.metrics.call(method, code, took);
        let Some(unsaid) = self.0.metrics.slow.worth_a_line(took, now) else {
            return;
        };
        let sns = self.0.sns.borrow().clone();
        let progress = sns.as_ref().map(Sns::progress);
        tracing::warn!(
            method = method.name(),
            ?code,
            ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            queued = progress.map_or(0, |progress| progress.queued),
            appender = progress.map(|progress| debug(progress.append.phase)),
            applier = progress.map(|progress| debug(progress.apply)),
            unsaid,
            "a slow call"
        );
    }

    /// Who calls, with a token that is good for `scopes` and was not revoked as far as can be told at
    /// once. [`Shared::reach_as`] tells for sure.
    pub(crate) fn caller(&self, metadata: &MetadataMap, scopes: Scopes) -> Result<Caller, Status> {
        let caller = self.0.accounts.caller(metadata, scopes)?;
        let open = self.0.sns.borrow().clone();
        if let Some(sns) = open {
            self.good_at_once(&sns, &caller)?;
        }
        Ok(caller)
    }

    /// As [`Shared::reach`], for a caller whose token was not revoked as far as that state knows.
    pub(crate) async fn reach_as(
        &self,
        caller: &Caller,
        at_least: Seq,
        linearizable: bool,
        deadline: Deadline,
    ) -> Result<Sns, Status> {
        let sns = self.reach(at_least, linearizable, deadline).await?;
        self.check_account(&sns, caller).await?;
        Ok(sns)
    }

    /// Whether the token of an open stream is good still.
    pub(crate) async fn still_good(&self, sns: &Sns, caller: &Caller) -> Result<(), Status> {
        self.0.accounts.still_good(caller)?;
        match self.check_account(sns, caller).await {
            // A replica that cannot tell now can tell a second later.
            Err(cannot) if cannot.code() != Code::Unauthenticated => Ok(()),
            told => told,
        }
    }

    async fn check_account(&self, sns: &Sns, caller: &Caller) -> Result<(), Status> {
        let known = sns.account_now(&caller.user).map_err(status::of)?;
        let account = if let Some(account) = known {
            account
        } else {
            let (sns, user) = (sns.clone(), caller.user);
            self.read(move || sns.account(&user)).await?
        };
        caller.check_against(&account).map_err(status::of)
    }

    /// Whether the token is good still, as far as can be told at once.
    fn good_at_once(&self, sns: &Sns, caller: &Caller) -> Result<(), Status> {
        self.0.accounts.still_good(caller)?;
        match sns.account_now(&caller.user) {
            Ok(Some(account)) => caller.check_against(&account).map_err(status::of),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// The handle, in a state that includes `at_least` (and, if `linearizable`, all that was
    /// acknowledged anywhere before now). Waits as the contract says: at most for 5 s, or until
    /// shortly before the deadline.
    pub(crate) async fn reach(
        &self,
        at_least: Seq,
        linearizable: bool,
        deadline: Deadline,
    ) -> Result<Sns, Status> {
        let until = deadline.within(limits::WAIT);
        let open = self.0.sns.borrow().clone();
        let sns = match open {
            Some(sns) => sns,
            None => self.opened(until).await?,
        };
        match timeout_at(until, sns.reach(at_least, linearizable)).await {
            Ok(reached) => reached.map_err(status::of)?,
            Err(_) if self.0.shutdown.is_cancelled() => return Err(stopping()),
            Err(_) => return Err(status::of(sns.too_late())),
        }
        Ok(sns)
    }

    /// The handle, once the node is open.
    async fn opened(&self, until: Instant) -> Result<Sns, Status> {
        let mut opened = self.0.sns.clone();
        match timeout_at(until, opened.wait_for(Option::is_some)).await {
            Ok(Ok(sns)) => sns.clone().ok_or_else(starting),
            // The sender is dropped when the node could not open: it is about to end.
            Ok(Err(_)) => Err(stopping()),
            Err(_) => Err(starting()),
        }
    }

    /// Runs a read that may wait for the disk, away from the threads that serve connections.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> sns_core::Result<T> + Send + 'static,
    ) -> Result<T, Status> {
        let overloaded = || status::status(ErrorReason::Overloaded, "too many reads wait here");
        let place = self.0.waiting.clone().try_acquire_owned();
        let place = place.map_err(|_| overloaded())?;
        // Never closed, so this waits for its turn and does not fail.
        let turn = self.0.reads.clone().acquire_owned().await;
        let turn = turn.map_err(|_| overloaded())?;
        let read = move || {
            // A read goes on when its call is given up, and so it keeps its turn.
            let _held = (place, turn);
            read()
        };
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|e| {
                tracing::error!(error = %e, "a read panicked: report this");
                status::status(ErrorReason::Internal, "this read failed")
            })?
            .map_err(status::of)
    }
}

/// A call that is counted when it ends, however it does.
struct Noted<'a> {
    shared: &'a Shared,
    method: Method,
    code: Code,
    began: std::time::Instant,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.shared.note(self.method, self.code, self.began);
    }
}

/// Waits for the outcome of a write. When the call is cancelled or its deadline comes first, the
/// write goes on: it is in the queue already.
pub(crate) async fn outcome<T>(
    pending: impl Future<Output = sns_core::Result<T>>,
    deadline: Deadline,
) -> Result<T, Status> {
    match timeout_at(deadline.within(WRITE_WAIT), pending).await {
        Ok(outcome) => outcome.map_err(status::of),
        Err(_) => Err(status::status(
            ErrorReason::OutcomeUnknown,
            "the deadline came before the outcome: retry with the same request id",
        )),
    }
}

fn starting() -> Status {
    status::status(
        ErrorReason::Starting,
        "this server is still catching up: try another one",
    )
}

pub(crate) fn stopping() -> Status {
    status::status(
        ErrorReason::ShuttingDown,
        "this server is stopping: go on with another one",
    )
}

/// When the client stops waiting, by its `grpc-timeout`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    now: Instant,
    timeout: Option<Duration>,
}

impl Deadline {
    /// Of a call that came in just now.
    pub(crate) fn of(metadata: &MetadataMap) -> Self {
        Self {
            now: Instant::now(),
            timeout: metadata
                .get("grpc-timeout")
                .and_then(|value| value.to_str().ok())
                .and_then(grpc_timeout),
        }
    }

    /// The same deadline for a wait that begins only now.
    pub(crate) fn restarted(self) -> Self {
        let passed = self.now.elapsed();
        Self {
            now: Instant::now(),
            timeout: self.timeout.map(|timeout| timeout.saturating_sub(passed)),
        }
    }

    /// When to answer: after `most`, or a little before the client gives up, so that it learns why.
    pub(crate) fn within(self, most: Duration) -> Instant {
        let margin = |timeout: Duration| (timeout / 10).min(Duration::from_millis(100));
        let timeout = self
            .timeout
            .map_or(most, |t| t.saturating_sub(margin(t)).min(most));
        self.now + timeout
    }
}

/// Reads the header of the gRPC protocol: at most 8 digits and a unit.
pub(crate) fn grpc_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(number * 3_600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::accounts::Policy;
    use crate::token::TokenKey;

    #[test]
    fn the_timeout_of_the_protocol_is_understood() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3_600))),
            ("7n", Some(Duration::from_nanos(7))),
            ("", None),
            ("S", None),
            ("1", None),
            ("123456789S", None),
            ("-1S", None),
            ("1é", None),
        ] {
            assert_eq!(grpc_timeout(text), expected, "{text}");
        }
    }

    #[test]
    fn an_answer_leaves_before_the_client_gives_up() {
        let mut metadata = MetadataMap::new();
        let wait = |metadata: &MetadataMap| {
            let deadline = Deadline::of(metadata);
            deadline.within(limits::WAIT) - deadline.now
        };
        assert_eq!(wait(&metadata), limits::WAIT);
        metadata.insert("grpc-timeout", "1S".parse().unwrap());
        assert_eq!(wait(&metadata), Duration::from_millis(900));
        metadata.insert("grpc-timeout", "60S".parse().unwrap());
        assert_eq!(wait(&metadata), limits::WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_has_not_reached_the_state_says_so_before_the_client_gives_up() {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "1S".parse().unwrap());
        let began = Instant::now();
        let (open, opened) = watch::channel(None);
        let accounts = Accounts::new(Policy::open(), TokenKey::new([1; 32], "d"));
        let metrics = Arc::new(Metrics::new("a-master", "a", Duration::from_secs(1)));
        let shared = Shared::new(opened, accounts, CancellationToken::new(), metrics);
        let deadline = Deadline::of(&metadata);
        let refused = shared.reach(Seq::ZERO, false, deadline).await.unwrap_err();
        assert_eq!(status::reason_of(&refused), Some(ErrorReason::Starting));
        assert_eq!(began.elapsed(), Duration::from_millis(900));

        // One that has stopped applying, on a log that goes on.
        let log = sns_core::log::memory::MemoryLog::new();
        let (stuck, ahead) = (Sns::over_memory(log.clone()), Sns::over_memory(log));
        let (stuck, ahead) = (stuck.open().unwrap(), ahead.open().unwrap());
        stuck.close();
        let alice = ahead.user("alice").unwrap();
        let post = ahead.post(&alice, "x").wait().unwrap();
        open.send_replace(Some(stuck));
        let began = Instant::now();
        let deadline = Deadline::of(&MetadataMap::new());
        for (at_least, linearizable) in [(post.id, false), (Seq::ZERO, true)] {
            let refused = shared.reach(at_least, linearizable, deadline).await;
            let reason = status::reason_of(&refused.unwrap_err());
            assert_eq!(reason, Some(ErrorReason::Lagging));
        }
        assert_eq!(began.elapsed(), limits::WAIT);
        let unknown = Seq::new(post.id.index() + 1, 0);
        let refused = shared.reach(unknown, false, deadline).await.unwrap_err();
        assert_eq!(status::reason_of(&refused), Some(ErrorReason::SeqUnknown));
    }
}
