//! TIMELINE mode: post and read at the same time.
//!
//! Nothing runs unless the client takes what comes: the transport asks for the next response when
//! it has room, and only then are events, requests and timers looked at. So a slow consumer holds
//! up itself alone: its subscription falls back to reading from the view, and its own posts wait
//! in the transport.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesOrdered, Stream, StreamExt as _};
use sns_core::{Event, EventKind, Seq, Sns, Subscribe, Subscription, limits};
use sns_proto::reason;
use sns_proto::v1::timeline_request::Request as Asked;
use sns_proto::v1::timeline_response::Response as Told;
use sns_proto::v1::{
    ErrorReason, TimelineDeleted, TimelineHeartbeat, TimelineOpen, TimelinePost, TimelinePosted,
    TimelineRequest, TimelineResponse,
};
use tokio::time::{
    Instant, Interval, MissedTickBehavior, Sleep, interval, sleep_until, timeout_at,
};
use tonic::{Code, Status};

use super::call::{Deadline, Shared, stopping};
use super::write::Identity;
use super::{accounts, encode, status};
use crate::metrics::Method;
use crate::rates;
use crate::token::{Caller, Scopes};

/// How long a client may take to send `open`.
const OPEN_WAIT: Duration = Duration::from_secs(10);

/// After so long without a message a heartbeat goes down.
const SILENCE: Duration = Duration::from_secs(15);

/// How often an open stream looks whether its token is good still.
const RECHECK: Duration = Duration::from_secs(1);

/// Posts of one stream that wait for their outcome; further ones wait in the transport.
const POSTS_IN_FLIGHT: usize = 64;

/// Events that are read in one go while a stream catches up.
const CATCH_UP: usize = 100;

/// How long a stream that ends waits for the outcomes of its posts.
const END_WAIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;

/// What a stream sends.
pub type Responses = Pin<Box<dyn Stream<Item = Result<TimelineResponse, Status>> + Send>>;

/// One open stream.
pub(crate) struct Timeline<R> {
    shared: Shared,
    caller: Caller,
    deadline: Deadline,
    requests: R,
    /// The client sends no more.
    half_closed: bool,
    /// From `open` on.
    live: Option<(Sns, Subscription)>,
    /// It has not told all there was when it began: what is missing may lie on the disk.
    catches_up: bool,
    /// Read and not told yet.
    ready: VecDeque<Event>,
    /// Outcomes of posts, in the order of the requests.
    answers: FuturesOrdered<BoxFuture<'static, TimelineResponse>>,
    silence: Pin<Box<Sleep>>,
    recheck: Interval,
    /// Why the stream ends, and until when it waits for answers.
    end: Option<(Status, Instant)>,
    over: bool,
    /// Its user may have so many.
    _permit: Option<rates::Stream>,
}

impl<R> fmt::Debug for Timeline<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline")
            .field("user", &self.caller.user)
            .field("answers", &self.answers.len())
            .finish_non_exhaustive()
    }
}

impl<R> Timeline<R>
where
    R: Stream<Item = Result<TimelineRequest, Status>> + Send + Unpin + 'static,
{
    pub(crate) fn new(shared: Shared, caller: Caller, deadline: Deadline, requests: R) -> Self {
        Self {
            shared,
            caller,
            deadline,
            requests,
            half_closed: false,
            live: None,
            catches_up: true,
            ready: VecDeque::new(),
            answers: FuturesOrdered::new(),
            silence: Box::pin(sleep_until(Instant::now() + SILENCE)),
            recheck: recheck(),
            end: None,
            over: false,
            _permit: None,
        }
    }

    /// The same, counted as one of its user's streams until it ends.
    pub(crate) fn counted(self, permit: Option<rates::Stream>) -> Self {
        Self {
            _permit: permit,
            ..self
        }
    }

    /// As the stream of a response: its last item is an error, unless the client goes first.
    pub(crate) fn into_responses(self) -> Responses {
        Box::pin(stream::unfold(Box::new(self), |mut timeline| async move {
            let next = timeline.next().await?;
            Some((next, timeline))
        }))
    }

    async fn next(&mut self) -> Option<Result<TimelineResponse, Status>> {
        if self.over {
            return None;
        }
        let next = self.advance().await;
        self.over = next.is_err();
        self.silence.as_mut().reset(Instant::now() + SILENCE);
        Some(next)
    }

    /// The next message; the error ends the stream.
    async fn advance(&mut self) -> Result<TimelineResponse, Status> {
        let shutdown = self.shared.shutdown().clone();
        if self.live.is_none() {
            let opened = tokio::select! {
                // First: a stream that opens fast must not slip past a stop.
                biased;
                () = shutdown.cancelled() => return Err(stopping()),
                opened = self.open() => opened?,
            };
            self.live = Some(opened);
            self.shared.metrics().stream_opened();
        }
        loop {
            if let Some((why, until)) = &self.end {
                // What was asked before the end is answered before it.
                return match timeout_at(*until, self.answers.next()).await {
                    Ok(Some(answer)) => Ok(answer),
                    Ok(None) | Err(_) => Err(why.clone()),
                };
            }
            if let Some(event) = self.ready.pop_front() {
                return Ok(told(event));
            }
            if self.catches_up {
                self.catch_up().await?;
                continue;
            }
            let Some((sns, subscription)) = &mut self.live else {
                return Err(stopping());
            };
            let takes_posts = !self.half_closed && self.answers.len() < POSTS_IN_FLIGHT;
            tokio::select! {
                () = shutdown.cancelled() => self.end(stopping()),
                Some(answer) = self.answers.next() => return Ok(answer),
                event = subscription.next() => match event {
                    Ok(event) => return Ok(told(event)),
                    Err(error) => self.end(status::of(error)),
                },
                request = self.requests.next(), if takes_posts => match request {
                    None => self.half_closed = true,
                    Some(Ok(TimelineRequest { request: Some(Asked::Post(post)) })) => {
                        match self.shared.still_good(sns, &self.caller).await {
                            Ok(()) => {
                                let answer = answer(&self.shared, sns, &self.caller, post);
                                self.answers.push_back(answer);
                            }
                            Err(why) => self.end(why),
                        }
                    }
                    Some(Ok(_)) => self.end(protocol("after `open` only `post` may follow")),
                    Some(Err(broken)) => self.end(broken),
                },
                _ = self.recheck.tick() => {
                    if let Err(why) = self.shared.still_good(sns, &self.caller).await {
                        self.end(why);
                    }
                }
                () = &mut self.silence => {
                    let seq = subscription.position();
                    return Ok(heartbeat(seq));
                }
            }
        }
    }

    /// Reads on, away from the threads that serve connections.
    async fn catch_up(&mut self) -> Result<(), Status> {
        let Some((sns, mut subscription)) = self.live.take() else {
            return Err(stopping());
        };
        self.shared.still_good(&sns, &self.caller).await?;
        let read = move || {
            let mut events = VecDeque::new();
            let mut trouble = None;
            // Until it has caught up it never waits for anything to happen.
            while events.len() < CATCH_UP {
                match subscription.next_blocking() {
                    Ok(event) => {
                        let last = event.kind == EventKind::CaughtUp;
                        events.push_back(event);
                        if last {
                            return Ok((subscription, events, false, None));
                        }
                    }
                    Err(error) => {
                        trouble = Some(error);
                        break;
                    }
                }
            }
            Ok((subscription, events, true, trouble))
        };
        let (subscription, events, more, trouble) = self.shared.read(read).await?;
        self.live = Some((sns, subscription));
        self.ready = events;
        self.catches_up = more;
        if let Some(error) = trouble {
            // What was read is told again after a resume.
            self.end(status::of(error));
        }
        Ok(())
    }

    fn end(&mut self, why: Status) {
        self.end = Some((why, Instant::now() + END_WAIT));
    }

    /// Takes `open` and subscribes.
    async fn open(&mut self) -> Result<(Sns, Subscription), Status> {
        let first = timeout_at(Instant::now() + OPEN_WAIT, self.requests.next()).await;
        let open = match first {
            Ok(Some(Ok(TimelineRequest {
                request: Some(Asked::Open(open)),
            }))) => open,
            Ok(Some(Err(broken))) => return Err(broken),
            Ok(Some(Ok(_))) => return Err(protocol("the first request must be `open`")),
            Ok(None) => return Err(protocol("the stream ended before `open`")),
            Err(_) => return Err(protocol("no `open` came within 10 s")),
        };
        // A resumed stream goes on from a state that this server may not have reached yet.
        let after = Seq::from_u64(open.after_seq.unwrap_or(0)).max(self.caller.since);
        let deadline = self.deadline.restarted();
        let reached = self.shared.reach_as(&self.caller, after, false, deadline);
        let sns = reached.await?;
        let user = self.caller.user;
        let subscription = {
            let sns = sns.clone();
            let options = options(&open);
            self.shared
                .read(move || sns.subscribe_with(&user, options))
                .await?
        };
        Ok((sns, subscription))
    }
}

fn recheck() -> Interval {
    let mut recheck = interval(RECHECK);
    recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
    recheck
}

fn options(open: &TimelineOpen) -> Subscribe {
    let backlog = open.backlog.map_or(limits::PAGE_DEFAULT, |wanted| {
        usize::try_from(wanted).map_or(limits::PAGE_MAX, |wanted| wanted.min(limits::PAGE_MAX))
    });
    Subscribe {
        after: open.after_seq.map(Seq::from_u64),
        backlog,
        since_follow: open.since_follow,
        exclude_own: open.exclude_own,
    }
}

fn protocol(why: &str) -> Status {
    status::status(ErrorReason::StreamProtocol, why)
}

/// What happened, as the stream tells it.
fn told(event: Event) -> TimelineResponse {
    let response = match event.kind {
        EventKind::Post(post) => Told::Post(encode::post(&post)),
        EventKind::Deleted(id) => Told::Deleted(TimelineDeleted { id: id.as_u64() }),
        // Caught up; or a kind that this contract has no word for, which moves the stream all the same.
        _ => return heartbeat(event.seq),
    };
    TimelineResponse {
        seq: event.seq.as_u64(),
        response: Some(response),
    }
}

fn heartbeat(seq: Seq) -> TimelineResponse {
    TimelineResponse {
        seq: seq.as_u64(),
        response: Some(Told::Heartbeat(TimelineHeartbeat {})),
    }
}

/// Hands a post to the core at once; the future is its answer.
fn answer(
    shared: &Shared,
    sns: &Sns,
    caller: &Caller,
    post: TimelinePost,
) -> BoxFuture<'static, TimelineResponse> {
    let TimelinePost {
        text,
        request_id,
        seen,
    } = post;
    let may = accounts::may(caller, Scopes::POST);
    let refused = may
        .map_err(|refused| status::refused_by(request_id.clone(), &refused))
        .and_then(|()| {
            let limited = shared.rates().post(&caller.user);
            limited.map_err(|limited| limited.refused(request_id.clone()))
        });
    if let Err(refused) = refused {
        return Box::pin(std::future::ready(TimelineResponse {
            seq: 0,
            response: Some(Told::Refused(refused)),
        }));
    }
    let pending = Identity::parse(&request_id, seen)
        .map(|identity| identity.write(sns).post(&caller.user, &text));
    let (shared, began) = (shared.clone(), std::time::Instant::now());
    // On its own: it is measured when it ends, not when a slow reader gets there.
    let outcome = tokio::spawn(async move {
        let outcome = match pending {
            Ok(pending) => pending.await,
            Err(refused) => Err(refused),
        };
        let refused = outcome.as_ref().err().map(sns_core::Error::reason);
        let code = refused.map_or(Code::Ok, |reason| Code::from_i32(reason::code_of(reason)));
        shared.note(Method::TimelinePost, code, began);
        outcome
    });
    Box::pin(async move {
        let outcome = outcome.await.unwrap_or_else(|panicked| {
            tracing::error!(%panicked, "a post panicked: report this");
            Err(sns_core::Error::new(
                ErrorReason::OutcomeUnknown,
                "the outcome of this post was lost",
            ))
        });
        let response = match outcome {
            Ok(post) => Told::Posted(TimelinePosted {
                request_id,
                post: Some(encode::post(&post)),
            }),
            Err(error) => Told::Refused(status::refused(request_id, &error)),
        };
        // 0: an answer does not move the stream.
        TimelineResponse {
            seq: 0,
            response: Some(response),
        }
    })
}
