//! [`Engine`]: what the clones of a handle share, and the one loop that carries a call through.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use sns_proto::v1;
use tokio::time::{sleep, timeout};
use tonic::metadata::AsciiMetadataValue;

use crate::call::Call;
use crate::error::{Error, ErrorKind, Reason, Result};
use crate::options::Options;
use crate::retry::{Ended, Next, Tries};
use crate::route::{Peer, Route};
use crate::ticket::Ticket;
use crate::wire;

/// Shared by the clones of a handle and its streams.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) options: Options,
    pub(crate) route: Arc<Route>,
    token: Mutex<Option<AsciiMetadataValue>>,
    // The highest seq that any answer or stream of this handle has shown.
    seen: AtomicU64,
}

impl Engine {
    pub(crate) fn new(options: Options) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            route: Route::new(&options)?,
            options,
            token: Mutex::new(None),
            seen: AtomicU64::new(0),
        }))
    }

    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// An answer or a stream showed the state at `seq`.
    pub(crate) fn saw(&self, seq: u64) {
        self.seen.fetch_max(seq, Ordering::Relaxed);
    }

    pub(crate) fn token(&self) -> Option<AsciiMetadataValue> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.clone()
    }

    /// Keeps a token, which is good on every server.
    pub(crate) fn keep(&self, token: &str) -> Result<()> {
        let odd = |_| Error::new(Reason::TokenInvalid, "this is no token: it has odd bytes");
        let mut bearer = AsciiMetadataValue::try_from(format!("Bearer {token}")).map_err(odd)?;
        bearer.set_sensitive(true);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(bearer);
        Ok(())
    }

    /// Logs in and keeps the token.
    pub(crate) async fn log_in(&self, deadline: Instant) -> Result<v1::LoginResponse> {
        if self.options.token.is_some() {
            return Err(Error::new(
                Reason::TokenInvalid,
                "the token has expired or was revoked: log in again",
            ));
        }
        let call = v1::LoginRequest {
            username: self.options.user.clone(),
            password: self.options.password.clone().unwrap_or_default(),
        };
        let answer = Box::pin(self.run(call, None, deadline)).await?;
        self.keep(&answer.token)?;
        Ok(answer)
    }

    /// A read within the time that the options give.
    pub(crate) async fn read<C: Call>(&self, mut call: C) -> Result<C::Answer> {
        call.at_least(self.seen());
        self.run(call, None, self.deadline()).await
    }

    /// A write within the time that the options give.
    pub(crate) async fn write<C: Call>(
        &self,
        call: C,
        ticket: Option<Ticket>,
    ) -> Result<C::Answer> {
        let ticket = ticket.unwrap_or_else(|| Ticket::draw(self.seen()));
        self.run(call, Some(ticket), self.deadline()).await
    }

    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.options.deadline
    }

    /// A call that may be repeated freely, within the time that the options give.
    pub(crate) async fn ask<C: Call>(&self, call: C) -> Result<C::Answer> {
        self.run(call, None, self.deadline()).await
    }

    /// Tries until there is an answer, a refusal that stays, or the deadline.
    async fn run<C: Call>(
        &self,
        mut call: C,
        mut ticket: Option<Ticket>,
        deadline: Instant,
    ) -> Result<C::Answer> {
        let mut tries = match &ticket {
            Some(ticket) => Tries::of_write(!ticket.is_fresh()),
            None if C::TOKEN => Tries::of_read(),
            None => Tries::of_read().without_login(),
        };
        loop {
            if let Some(ticket) = &ticket {
                call.stamp(ticket);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(told(tries.out_of_time(self.options.deadline), ticket));
            }
            let limit = tries.limit(self.options.try_limit).min(left);
            let (peer, ended) = match timeout(left, self.route.server()).await {
                Err(_) => continue,
                // What the caller has to correct: no router will be found until then.
                Ok(Err(error)) if error.kind() == ErrorKind::Invalid => {
                    return Err(told(tries.settle(error), ticket));
                }
                Ok(Err(error)) => (None, Ended::NotSent(error.message().to_owned())),
                Ok(Ok(peer)) => match self.attempt(&peer, &call, limit).await {
                    Ok((answer, from)) => {
                        self.saw(C::seq(&answer));
                        self.route.answered(&from);
                        return Ok(answer);
                    }
                    Err(ended) => (Some(peer), ended),
                },
            };
            tracing::debug!(?peer, ?ended, "a try failed");
            let spare = peer.as_ref().and_then(|peer| self.route.spare(peer));
            match tries.next(ended, spare.is_some(), rand::random()) {
                Next::Fail(error) => return Err(told(error, ticket)),
                Next::Login => {
                    if let Err(error) = self.log_in(deadline).await {
                        return Err(told(tries.settle(error), ticket));
                    }
                }
                Next::Anew { wait } => {
                    sleep(wait).await;
                    self.look(deadline).await?;
                    ticket = Some(Ticket::draw(self.seen()));
                    tries.drew_anew();
                }
                Next::Again { wait, leave } => {
                    if let (true, Some(peer)) = (leave, peer) {
                        self.route.failed(&peer);
                    }
                    let left = deadline.saturating_duration_since(Instant::now());
                    sleep(wait.min(left)).await;
                }
            }
        }
    }

    /// One try: a write at one server, a read at two when the first is slow.
    async fn attempt<C: Call>(
        &self,
        peer: &Arc<Peer>,
        call: &C,
        limit: Duration,
    ) -> Result<(C::Answer, Arc<Peer>), Ended> {
        let first = pin!(self.send(Arc::clone(peer), call.clone(), limit));
        if !C::HEDGE {
            return first.await;
        }
        let hedge = pin!(sleep(self.options.hedge_after));
        let first = match select(first, hedge).await {
            Either::Left((answer, _)) => return answer,
            Either::Right(((), first)) => first,
        };
        let Some(spare) = self.route.spare(peer) else {
            return first.await;
        };
        let second = pin!(self.send(spare, call.clone(), limit));
        match select(first, second).await {
            Either::Left((Ok(answer), _)) | Either::Right((Ok(answer), _)) => Ok(answer),
            Either::Left((Err(_), other)) | Either::Right((Err(_), other)) => other.await,
        }
    }

    async fn send<C: Call>(
        &self,
        peer: Arc<Peer>,
        call: C,
        limit: Duration,
    ) -> Result<(C::Answer, Arc<Peer>), Ended> {
        let started = Instant::now();
        let Ok(channel) = timeout(limit, peer.channel()).await else {
            let silent = format!("{} cannot be reached", peer.address);
            return Err(Ended::NotSent(silent));
        };
        let channel = channel?;
        let limit = limit.saturating_sub(started.elapsed());
        let token = if C::TOKEN { self.token() } else { None };
        match timeout(limit, call.send(channel, token, limit)).await {
            Ok(Ok(answer)) => Ok((answer, peer)),
            Ok(Err(status)) => Err(wire::ended(&status)),
            Err(_) => Err(Ended::Lost(format!(
                "{} gave no answer within {limit:.1?}",
                peer.address
            ))),
        }
    }

    /// Learns a newer seq by a small read: a write whose `seen` is too old is refused for ever.
    pub(crate) async fn look(&self, deadline: Instant) -> Result<()> {
        let call = v1::GetUserTimelineRequest {
            page_size: 1,
            at_least: self.seen(),
            ..v1::GetUserTimelineRequest::default()
        };
        Box::pin(self.run(call, None, deadline)).await.map(drop)
    }
}

/// Who is told that a write may have happened is given what repeats it.
pub(crate) fn told(error: Error, ticket: Option<Ticket>) -> Error {
    match ticket {
        Some(ticket) if error.kind() == ErrorKind::Unknown => error.with_ticket(ticket.given()),
        _ => error,
    }
}
