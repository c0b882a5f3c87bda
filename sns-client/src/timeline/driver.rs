//! The task behind a [`Timeline`](super::Timeline): one stream after another, without a seam.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use sns_proto::v1;
use sns_proto::v1::sns_service_client::SnsServiceClient;
use sns_proto::v1::timeline_request::Request as Up;
use sns_proto::v1::timeline_response::Response as Down;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::Event;
use crate::engine::{Engine, told};
use crate::error::{Error, ErrorKind, Result};
use crate::retry::{Ended, Next, Refusal, Tries};
use crate::route::Peer;
use crate::ticket::Ticket;
use crate::types::Post;
use crate::wire;

/// A server speaks at least every 15 s; one that is silent for longer has lost the stream.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Posts sent and not yet answered. More wait in their queue.
const PENDING_MAX: usize = 64;
/// How often posts are looked after while some are under way.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A post to be made.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) text: String,
    pub(super) ticket: Ticket,
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Result<Post>>,
    /// Raised before the post is first put on a wire.
    pub(super) sent: Arc<AtomicBool>,
}

/// A post under way.
#[derive(Debug)]
struct Pending {
    order: Order,
    tries: Tries,
    state: Flight,
    /// Refused as too old and without an effect: needs a new ticket.
    stale: bool,
}

#[derive(Debug, Clone, Copy)]
enum Flight {
    /// To be sent at this time, or on the next stream.
    Waits(Instant),
    /// Sent on the present stream at this time.
    Sent(Instant),
}

/// Why a stream was left.
enum Left {
    /// Nobody reads any more.
    Dropped,
    /// As a call that failed.
    Failed(Ended),
    /// A post was refused by a server that another may replace.
    Elsewhere(String),
    /// A post needs a new token.
    Login,
    /// A post was refused as too old.
    Look,
}

type Replies = tonic::Streaming<v1::TimelineResponse>;

pub(super) struct Driver {
    engine: Arc<Engine>,
    position: u64,
    exclude_own: bool,
    events: mpsc::Sender<Result<Event>>,
    orders: mpsc::Receiver<Order>,
    pending: VecDeque<Pending>,
    caught_up: bool,
    /// The reader was told of a loss and not yet of the resumption.
    lost: bool,
}

impl Driver {
    pub(super) fn new(
        engine: Arc<Engine>,
        position: u64,
        exclude_own: bool,
        events: mpsc::Sender<Result<Event>>,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        Self {
            engine,
            position,
            exclude_own,
            events,
            orders,
            pending: VecDeque::new(),
            caught_up: false,
            lost: false,
        }
    }

    /// Runs until nobody reads, or an error stays.
    pub(super) async fn run(mut self) {
        let events = self.events.clone();
        tokio::select! {
            () = events.closed() => {}
            end = self.stay_connected() => {
                if let Err(error) = end {
                    drop(events.send(Err(error)).await);
                }
            }
        }
    }

    async fn stay_connected(&mut self) -> Result<()> {
        let mut tries = Tries::of_read();
        loop {
            let limit = tries.limit(self.engine.options.try_limit).min(SILENCE_MAX);
            let (peer, ended) = match self.engine.route.server().await {
                Err(error) => (None, Ended::NotSent(error.message().to_owned())),
                Ok(peer) => {
                    let left = self.one_stream(&peer, limit, &mut tries).await;
                    self.ground();
                    match left {
                        Left::Dropped => return Ok(()),
                        Left::Login => {
                            self.log_in().await?;
                            continue;
                        }
                        Left::Look => {
                            // Should it fail, the post is refused again and comes back here.
                            drop(self.engine.look(self.engine.deadline()).await);
                            self.draw_anew();
                            continue;
                        }
                        Left::Elsewhere(why) => (Some(peer), Ended::Lost(why)),
                        Left::Failed(ended) => (Some(peer), ended),
                    }
                }
            };
            self.notify_lost(peer.as_deref(), &ended);
            let spare = peer.as_ref().and_then(|peer| self.engine.route.spare(peer));
            match tries.next(ended, spare.is_some(), rand::random()) {
                Next::Fail(error) => return Err(error),
                Next::Login => self.log_in().await?,
                Next::Anew { .. } => {}
                Next::Again { wait, leave } => {
                    if let (true, Some(peer)) = (leave, peer) {
                        self.engine.route.failed(&peer);
                    }
                    sleep(wait).await;
                }
            }
        }
    }

    /// Renews the token; a time without servers is waited out.
    async fn log_in(&self) -> Result<()> {
        loop {
            match self.engine.log_in(self.engine.deadline()).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                end => return end.map(drop),
            }
        }
    }

    /// Opens a stream at `peer` and serves it until it ends. `tries` starts anew when it works.
    async fn one_stream(&mut self, peer: &Arc<Peer>, limit: Duration, tries: &mut Tries) -> Left {
        // What is under way plus `open` fits, so sending never waits.
        let (up, requests) = mpsc::channel(PENDING_MAX + 1);
        let open = v1::TimelineOpen {
            after_seq: Some(self.position),
            backlog: None,
            since_follow: false,
            exclude_own: self.exclude_own,
        };
        send(&up, Up::Open(open));
        let mut replies = match self.connect(peer, requests, limit).await {
            Ok(replies) => replies,
            Err(ended) => return Left::Failed(ended),
        };
        let mut heard = Instant::now();
        let mut first = true;
        let mut slot = None;
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // A stream that says nothing at all is given up as early as a call without an answer.
            let silence = if first { limit } else { SILENCE_MAX };
            tokio::select! {
                // Room for an event is taken before a message is read: posts go on meanwhile.
                room = self.events.clone().reserve_owned(), if slot.is_none() => match room {
                    Ok(room) => {
                        slot = Some(room);
                        // A reader that was behind for long is no fault of the server.
                        heard = Instant::now();
                    }
                    Err(_) => return Left::Dropped,
                },
                reply = replies.next(), if slot.is_some() => {
                    let message = match reply {
                        Some(Ok(message)) => message,
                        Some(Err(status)) => return Left::Failed(wire::ended(&status)),
                        None => return Left::Failed(Ended::Lost("the stream ended".to_owned())),
                    };
                    heard = Instant::now();
                    if first {
                        first = false;
                        *tries = Tries::of_read();
                        self.engine.route.answered(peer);
                        self.notify_resumed(peer);
                    }
                    match self.take(message) {
                        Taken::Nothing => {}
                        Taken::Event(event) => {
                            if let Some(room) = slot.take() {
                                room.send(Ok(event));
                            }
                        }
                        Taken::Leave(left) => return left,
                    }
                }
                order = self.orders.recv(), if self.pending.len() < PENDING_MAX => {
                    match order {
                        Some(order) => self.accept(order, &up),
                        None => return Left::Dropped,
                    }
                }
                _ = look.tick(), if !self.pending.is_empty() => {
                    // Nothing is read while the reader is behind, so nothing is overdue then.
                    let reading = slot.is_some();
                    if let Some(left) = self.look_after(&up, limit, reading, peer) {
                        return left;
                    }
                }
                () = sleep_until((heard + silence).into()), if slot.is_some() => {
                    let why = format!("{} has fallen silent", peer.address);
                    return Left::Failed(Ended::Lost(why));
                }
            }
        }
    }

    async fn connect(
        &self,
        peer: &Peer,
        requests: mpsc::Receiver<v1::TimelineRequest>,
        limit: Duration,
    ) -> Result<Replies, Ended> {
        let opening = async {
            let channel = peer.channel().await?;
            let mut request = tonic::Request::new(ReceiverStream::new(requests));
            if let Some(token) = self.engine.token() {
                request.metadata_mut().insert("authorization", token);
            }
            let mut client = SnsServiceClient::new(channel);
            let answer = Box::pin(client.timeline(request)).await;
            answer
                .map(tonic::Response::into_inner)
                .map_err(|status| wire::ended(&status))
        };
        timeout(limit, opening).await.unwrap_or_else(|_| {
            let why = format!("{} gave no answer within {limit:.1?}", peer.address);
            Err(Ended::Lost(why))
        })
    }

    /// Takes a message in; drops what came before.
    fn take(&mut self, message: v1::TimelineResponse) -> Taken {
        let v1::TimelineResponse { seq, response } = message;
        let new = seq > self.position;
        self.position = self.position.max(seq);
        self.engine.saw(seq);
        match response {
            Some(Down::Post(post)) if new => Taken::Event(Event::Post(post.into())),
            Some(Down::Deleted(deleted)) if new => Taken::Event(Event::Deleted {
                id: deleted.id.into(),
                seq: seq.into(),
            }),
            Some(Down::Heartbeat(_)) if !self.caught_up => {
                self.caught_up = true;
                Taken::Event(Event::CaughtUp)
            }
            Some(Down::Posted(posted)) => {
                self.posted(posted);
                Taken::Nothing
            }
            Some(Down::Refused(refused)) => {
                self.refused(&refused).map_or(Taken::Nothing, Taken::Leave)
            }
            // Repeated, or of a newer server.
            _ => Taken::Nothing,
        }
    }

    fn accept(&mut self, order: Order, up: &mpsc::Sender<v1::TimelineRequest>) {
        let mut pending = Pending {
            order,
            tries: Tries::of_write(false),
            state: Flight::Waits(Instant::now()),
            stale: false,
        };
        // Behind those that wait to be sent again: posts keep their order.
        if self.pending.iter().all(Pending::is_sent) {
            pending.send(up);
        }
        self.pending.push_back(pending);
    }

    fn find(&self, request_id: &str) -> Option<usize> {
        let mut all = self.pending.iter();
        all.position(|pending| {
            // Ids come back in any case.
            let own = pending.order.ticket.request_id();
            own.eq_ignore_ascii_case(request_id)
        })
    }

    fn posted(&mut self, posted: v1::TimelinePosted) {
        let at = self.find(&posted.request_id);
        let Some(pending) = at.and_then(|at| self.pending.remove(at)) else {
            return;
        };
        if let Some(post) = posted.post {
            self.engine.saw(post.id);
            drop(pending.order.answer.send(Ok(post.into())));
        }
    }

    fn refused(&mut self, refused: &v1::TimelineRefused) -> Option<Left> {
        let at = self.find(&refused.request_id)?;
        let name = sns_proto::reason::name(refused.reason());
        let retry_after = (refused.retry_after_ms > 0)
            .then(|| Duration::from_millis(refused.retry_after_ms.into()));
        let refusal = Refusal {
            code: refused.code,
            error: Error::from_wire(refused.code, name, &refused.message),
            retry_after,
        };
        let pending = &mut self.pending[at];
        let ended = Ended::Refused(refusal);
        match pending.tries.next(ended, true, rand::random()) {
            Next::Fail(error) => {
                let pending = self.pending.remove(at)?;
                let ticket = pending.order.ticket;
                drop(pending.order.answer.send(Err(told(error, Some(ticket)))));
                None
            }
            Next::Login => {
                pending.state = Flight::Waits(Instant::now());
                Some(Left::Login)
            }
            Next::Anew { wait } => {
                pending.state = Flight::Waits(Instant::now() + wait);
                pending.stale = true;
                Some(Left::Look)
            }
            Next::Again { wait, leave } => {
                pending.state = Flight::Waits(Instant::now() + wait);
                leave.then(|| Left::Elsewhere(refused.message.clone()))
            }
        }
    }

    /// Sends what waits, forgets what nobody waits for, and finds what is overdue.
    fn look_after(
        &mut self,
        up: &mpsc::Sender<v1::TimelineRequest>,
        limit: Duration,
        reading: bool,
        peer: &Peer,
    ) -> Option<Left> {
        let now = Instant::now();
        // Whoever ordered it was told by the deadline, or went away.
        let wanted = |p: &Pending| p.order.deadline > now && !p.order.answer.is_closed();
        self.pending.retain(wanted);
        let overdue =
            |pending: &Pending| matches!(pending.state, Flight::Sent(at) if at + limit <= now);
        if reading && self.pending.iter().any(overdue) {
            let why = format!("{} gave no answer within {limit:.1?}", peer.address);
            return Some(Left::Failed(Ended::Lost(why)));
        }
        for pending in &mut self.pending {
            match pending.state {
                Flight::Waits(at) if at <= now => pending.send(up),
                Flight::Waits(_) => {}
                Flight::Sent(_) => continue,
            }
            // What comes after one that has to wait waits too: posts keep their order.
            if !pending.is_sent() {
                break;
            }
        }
        None
    }

    /// The stream is gone: what was sent on it may have been done, and is sent again on the next.
    fn ground(&mut self) {
        let now = Instant::now();
        for pending in &mut self.pending {
            if matches!(pending.state, Flight::Sent(_)) {
                pending.tries.lose();
                pending.state = Flight::Waits(now);
            }
        }
    }

    /// Tickets refused as too old get the seq that is known now.
    fn draw_anew(&mut self) {
        let seen = self.engine.seen();
        for pending in self.pending.iter_mut().filter(|pending| pending.stale) {
            pending.order.ticket = Ticket::draw(seen);
            pending.tries.drew_anew();
            pending.stale = false;
        }
    }

    fn notify_lost(&mut self, peer: Option<&Peer>, ended: &Ended) {
        if self.lost {
            return;
        }
        let why = match ended {
            Ended::Refused(refusal) => refusal.error.message().to_owned(),
            Ended::NotSent(why) | Ended::Lost(why) => why.clone(),
        };
        tracing::debug!(?peer, why, "a timeline lost its server");
        let server = peer.map(|peer| peer.address.clone()).unwrap_or_default();
        self.lost = self
            .events
            .try_send(Ok(Event::Lost { server, why }))
            .is_ok();
    }

    fn notify_resumed(&mut self, peer: &Peer) {
        if self.lost {
            let server = peer.address.clone();
            // A notice is no event: a reader that is behind does without.
            drop(self.events.try_send(Ok(Event::Resumed { server })));
            self.lost = false;
        }
    }
}

enum Taken {
    Nothing,
    Event(Event),
    Leave(Left),
}

impl Pending {
    fn is_sent(&self) -> bool {
        matches!(self.state, Flight::Sent(_))
    }

    fn send(&mut self, up: &mpsc::Sender<v1::TimelineRequest>) {
        self.order.sent.store(true, Ordering::Release);
        let post = v1::TimelinePost {
            text: self.order.text.clone(),
            request_id: self.order.ticket.request_id(),
            seen: self.order.ticket.seen(),
        };
        if send(up, Up::Post(post)) {
            self.state = Flight::Sent(Instant::now());
        }
    }
}

/// Puts a message on the wire; false when there is no room just now, or the stream has ended.
fn send(up: &mpsc::Sender<v1::TimelineRequest>, request: Up) -> bool {
    let request = v1::TimelineRequest {
        request: Some(request),
    };
    up.try_send(request).is_ok()
}
