//! SNS under load: a connection, its calls, and who makes them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use prost::Message;
use sns_client::Trust;
use sns_load::{CallError, Connection, Op, PAGE, Reply, Target};
use sns_proto::v1;
use sns_proto::v1::sns_service_client::SnsServiceClient;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Extensions, Request, Status};
use uuid::Uuid;

use super::grpc::{Fault, Grpc};

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(5);
/// A server that is silent for so long while a call waits is pinged, and given up after as long
/// again: longer than any call under load takes, so that slow is told from gone.
const SILENCE: Duration = Duration::from_secs(5);

/// The users of a graph and the tokens they were given.
pub(super) struct Users {
    pub(super) names: Vec<String>,
    pub(super) tokens: Vec<HeaderValue>,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tokens are nobody's business.
        write!(f, "Users({})", self.names.len())
    }
}

impl Users {
    /// A request of a user.
    pub(super) fn request<T>(&self, user: u32, message: T) -> Request<T> {
        let mut headers = HeaderMap::with_capacity(1);
        headers.insert(AUTHORIZATION, self.tokens[user as usize].clone());
        let metadata = MetadataMap::from_headers(headers);
        Request::from_parts(metadata, Extensions::default(), message)
    }
}

/// The servers under load.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) addresses: Vec<String>,
    pub(super) users: Arc<Users>,
    pub(super) trust: Option<Trust>,
    next: AtomicUsize,
}

impl Servers {
    pub(super) fn new(addresses: Vec<String>, users: Arc<Users>, trust: Option<Trust>) -> Self {
        Self {
            addresses,
            users,
            trust,
            next: AtomicUsize::new(0),
        }
    }

    /// A connection to the next server, in turn.
    pub(super) async fn open(&self) -> Result<Line, CallError> {
        let nth = self.next.fetch_add(1, Ordering::Relaxed);
        let address = &self.addresses[nth % self.addresses.len()];
        Ok(Line {
            grpc: Grpc::open(address, self.trust.as_ref()).await?,
            users: Arc::clone(&self.users),
            seen: 0,
            broken: false,
        })
    }
}

/// Opens a channel that many calls share: to make ready, and for streams.
pub(super) async fn open(
    address: &str,
    trust: Option<&Trust>,
) -> Result<SnsServiceClient<Channel>, CallError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| CallError(format!("{address}: {error}")))?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(SILENCE)
        .keep_alive_timeout(SILENCE);
    let channel = match trust {
        Some(trust) => trust.channel(endpoint).await,
        None => endpoint.connect().await,
    };
    let channel = channel.map_err(|error| CallError(format!("{address}: {}", deepest(&error))))?;
    Ok(SnsServiceClient::new(channel))
}

impl Target for Servers {
    type Connection = Line;

    async fn connect(&self) -> Result<Line, CallError> {
        self.open().await
    }
}

/// One connection, used by one user after the other.
#[derive(Debug)]
pub(super) struct Line {
    grpc: Grpc,
    users: Arc<Users>,
    /// The highest seq that came over it: what was read is never missing from what is read next.
    seen: u64,
    broken: bool,
}

impl Line {
    /// Posts.
    pub(super) async fn post(&mut self, user: u32, text: String) -> Result<(), CallError> {
        let request = v1::CreatePostRequest {
            text,
            request_id: Uuid::new_v4().to_string(),
            seen: self.seen,
        };
        let answer: v1::CreatePostResponse = self
            .ask("/sns.v1.SnsService/CreatePost", user, &request)
            .await?;
        self.saw(answer.post.unwrap_or_default().id);
        Ok(())
    }

    /// Follows; following already is as good.
    async fn follow(&mut self, user: u32, followee: u32) -> Result<(), CallError> {
        let request = v1::FollowRequest {
            username: self.users.names[followee as usize].clone(),
            request_id: Uuid::new_v4().to_string(),
            seen: self.seen,
        };
        match self
            .ask::<_, v1::FollowResponse>("/sns.v1.SnsService/Follow", user, &request)
            .await
        {
            Ok(answer) => self.saw(answer.seq),
            Err(Fault::Refused(Code::AlreadyExists, _)) => {}
            Err(fault) => return Err(fault.into()),
        }
        Ok(())
    }

    async fn home(&mut self, user: u32) -> Result<usize, CallError> {
        let request = v1::GetHomeTimelineRequest {
            page_size: PAGE_SIZE,
            at_least: self.seen,
            ..v1::GetHomeTimelineRequest::default()
        };
        let page: v1::GetHomeTimelineResponse = self
            .ask("/sns.v1.SnsService/GetHomeTimeline", user, &request)
            .await?;
        self.saw(page.seq);
        Ok(page.posts.len())
    }

    async fn user_page(&mut self, user: u32) -> Result<usize, CallError> {
        let request = v1::GetUserTimelineRequest {
            username: self.users.names[user as usize].clone(),
            page_size: PAGE_SIZE,
            at_least: self.seen,
            ..v1::GetUserTimelineRequest::default()
        };
        let page: v1::GetUserTimelineResponse = self
            .ask("/sns.v1.SnsService/GetUserTimeline", user, &request)
            .await?;
        self.saw(page.seq);
        Ok(page.posts.len())
    }

    async fn ask<Q: Message, A: Message + Default>(
        &mut self,
        path: &'static str,
        user: u32,
        question: &Q,
    ) -> Result<A, Fault> {
        let token = &self.users.tokens[user as usize];
        let answer = self.grpc.call(path, token, question).await;
        self.broken |= matches!(answer, Err(Fault::Broken(_)));
        answer
    }

    fn saw(&mut self, seq: u64) {
        self.seen = self.seen.max(seq);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "20"
)]
const PAGE_SIZE: i32 = PAGE as i32;

impl Connection for Line {
    async fn call(&mut self, op: &Op) -> Result<Reply, CallError> {
        let posts = match op {
            Op::Home { user } => self.home(*user).await?,
            Op::UserPage { user } => self.user_page(*user).await?,
            Op::Post { user, text } => {
                self.post(*user, text.clone()).await?;
                0
            }
            Op::Follow { user, followee } => {
                self.follow(*user, *followee).await?;
                0
            }
        };
        Ok(Reply { posts })
    }

    fn broken(&self) -> bool {
        self.broken
    }
}

/// Why a call failed: the code and the server's words, or what the transport met.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn told(status: Status) -> CallError {
    let code = status.code();
    match std::error::Error::source(&status) {
        Some(source) => CallError(format!("{code:?}: {}", deepest(source))),
        None => CallError(format!("{code:?}: {}", status.message())),
    }
}

/// The last of the chain names the cause.
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
