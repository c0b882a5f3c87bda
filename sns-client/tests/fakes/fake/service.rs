//! [`Node`] and [`Router`]: the services of the contract, with faults on demand.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::Stream;
use prost::Message;
use sns_proto::reason;
use sns_proto::v1::router_service_server::{RouterService, RouterServiceServer};
use sns_proto::v1::sns_service_server::{SnsService, SnsServiceServer};
use sns_proto::v1::timeline_request::Request as Up;
use sns_proto::v1::timeline_response::Response as Down;
use sns_proto::v1::{self, ErrorReason as Reason};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::net::Wire;
use super::world::{Fact, World};

/// As often as a server says that its stream lives.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Refused in the words of the contract; nothing is done.
    Refuse(Reason),
    /// Done, but the answer is lost.
    LoseAnswer,
    /// Not done, and the failure does not say so.
    LoseCall,
    /// Never answered.
    Hang,
    /// A stream that starts with three facts the client has seen.
    Repeat,
    /// Works.
    None,
}

/// A call as a server saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Saw {
    pub(crate) method: &'static str,
    pub(crate) request_id: String,
    /// `seen` of a write, `at_least` of a read, `after_seq` of a stream.
    pub(crate) seq: u64,
}

#[derive(Default)]
struct Script {
    faults: VecDeque<Fault>,
    saw: Vec<Saw>,
}

struct Inner {
    world: Arc<World>,
    script: Mutex<Script>,
}

/// A fake server behind its own wire.
pub(crate) struct Node {
    inner: Arc<Inner>,
    pub(crate) wire: Wire,
    serving: JoinHandle<()>,
}

impl Node {
    pub(crate) async fn start(world: Arc<World>) -> Self {
        let inner = Arc::new(Inner {
            world,
            script: Mutex::default(),
        });
        let service = SnsServiceServer::new(Service(Arc::clone(&inner)));
        let (behind, listener) = listen().await;
        let serving = tokio::spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            drop(server.serve_with_incoming(listener).await);
        });
        Self {
            inner,
            wire: Wire::to(behind).await,
            serving,
        }
    }

    pub(crate) fn address(&self) -> String {
        self.wire.address()
    }

    /// What goes wrong with the next calls that carry a token, one each.
    pub(crate) fn fail(&self, faults: &[Fault]) {
        let mut script = self.inner.script.lock().expect("sound");
        script.faults.extend(faults);
    }

    /// The calls seen since last asked, logins aside.
    pub(crate) fn saw(&self) -> Vec<Saw> {
        let mut script = self.inner.script.lock().expect("sound");
        let mut saw = std::mem::take(&mut script.saw);
        saw.retain(|saw| saw.method != "login");
        saw
    }

    pub(crate) fn logins(&self) -> usize {
        let script = self.inner.script.lock().expect("sound");
        let logins = script.saw.iter().filter(|saw| saw.method == "login");
        logins.count()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn listen() -> (SocketAddr, TcpListenerStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (address, TcpListenerStream::new(listener))
}

/// A status as the contract has it.
pub(crate) fn refusal(why: Reason) -> Status {
    #[derive(Clone, PartialEq, Message)]
    struct RpcStatus {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(message, repeated, tag = "3")]
        details: Vec<prost_types::Any>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct ErrorInfo {
        #[prost(string, tag = "1")]
        reason: String,
        #[prost(string, tag = "2")]
        domain: String,
    }
    #[derive(Clone, PartialEq, Message)]
    struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        delay: Option<prost_types::Duration>,
    }
    let any = |name: &str, value: Vec<u8>| prost_types::Any {
        type_url: format!("type.googleapis.com/google.rpc.{name}"),
        value,
    };
    let info = ErrorInfo {
        reason: reason::name(why).to_owned(),
        domain: reason::DOMAIN.to_owned(),
    };
    let mut details = vec![any("ErrorInfo", info.encode_to_vec())];
    if let Some(ms) = reason::retry_after_ms(why) {
        let delay = Duration::from_millis(ms.into()).try_into().ok();
        details.push(any("RetryInfo", RetryInfo { delay }.encode_to_vec()));
    }
    let code = reason::code_of(why);
    let status = RpcStatus { code, details };
    Status::with_details(
        code.into(),
        format!("told to refuse: {}", reason::name(why)),
        status.encode_to_vec().into(),
    )
}

impl Inner {
    fn note(&self, method: &'static str, request_id: &str, seq: u64) -> Fault {
        let mut script = self.script.lock().expect("sound");
        script.saw.push(Saw {
            method,
            request_id: request_id.to_owned(),
            seq,
        });
        if method == "login" {
            return Fault::None;
        }
        script.faults.pop_front().unwrap_or(Fault::None)
    }

    /// Does the work, unless the script says otherwise.
    async fn call<T>(
        &self,
        (method, request_id, seq): (&'static str, &str, u64),
        work: impl FnOnce() -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        match self.note(method, request_id, seq) {
            Fault::None | Fault::Repeat => work().map(Response::new),
            Fault::Refuse(why) => Err(refusal(why)),
            Fault::LoseCall => Err(Status::unavailable("the call is lost")),
            Fault::LoseAnswer => {
                work()?;
                Err(Status::unavailable("the answer is lost"))
            }
            Fault::Hang => std::future::pending().await,
        }
    }
}

fn author<T>(request: &Request<T>) -> Result<String, Status> {
    let token = request.metadata().get("authorization");
    let token = token.and_then(|token| token.to_str().ok());
    let name = token.and_then(|token| token.strip_prefix("Bearer token-of-"));
    name.map(ToOwned::to_owned)
        .ok_or_else(|| refusal(Reason::TokenMissing))
}

/// A page of `all` and the token of the next.
fn page<T: Clone>(all: &[T], size: i32, token: &str) -> Result<(Vec<T>, String), Status> {
    let size = match size {
        0 => 20,
        size => usize::try_from(size).unwrap_or(0).min(200),
    };
    let start: usize = match token {
        "" => 0,
        token => token
            .parse()
            .map_err(|_| refusal(Reason::PageTokenInvalid))?,
    };
    let items: Vec<T> = all.iter().skip(start).take(size).cloned().collect();
    let end = start + items.len();
    let next = if end < all.len() {
        end.to_string()
    } else {
        String::new()
    };
    Ok((items, next))
}

struct Service(Arc<Inner>);

#[tonic::async_trait]
impl SnsService for Service {
    async fn login(
        &self,
        request: Request<v1::LoginRequest>,
    ) -> Result<Response<v1::LoginResponse>, Status> {
        let username = request.into_inner().username.to_ascii_lowercase();
        let call = self.0.call(("login", "", 0), || {
            let created = !self.0.world.history().users.contains(&username);
            if created {
                self.0.world.history().users.push(username.clone());
                self.0.world.write("", |_| Fact::Other);
            }
            Ok(v1::LoginResponse {
                token: format!("token-of-{username}"),
                created,
                seq: self.0.world.history().tail(),
                username,
            })
        });
        call.await
    }

    async fn follow(
        &self,
        request: Request<v1::FollowRequest>,
    ) -> Result<Response<v1::FollowResponse>, Status> {
        author(&request)?;
        let call = request.into_inner();
        let work = || {
            let seq = self.0.world.write(&call.request_id, |_| Fact::Other);
            Ok(v1::FollowResponse { seq })
        };
        let note = ("follow", call.request_id.as_str(), call.seen);
        self.0.call(note, work).await
    }

    async fn unfollow(
        &self,
        request: Request<v1::UnfollowRequest>,
    ) -> Result<Response<v1::UnfollowResponse>, Status> {
        author(&request)?;
        let call = request.into_inner();
        let work = || {
            let seq = self.0.world.write(&call.request_id, |_| Fact::Other);
            Ok(v1::UnfollowResponse { seq })
        };
        let note = ("unfollow", call.request_id.as_str(), call.seen);
        self.0.call(note, work).await
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        author(&request)?;
        let call = request.into_inner();
        let work = || {
            let history = self.0.world.history();
            let mut names = history.users.clone();
            names.sort();
            let (names, next_page_token) = page(&names, call.page_size, &call.page_token)?;
            let user = |username| v1::User {
                username,
                created_at: None,
            };
            Ok(v1::ListUsersResponse {
                users: names.into_iter().map(user).collect(),
                next_page_token,
                seq: history.tail(),
            })
        };
        self.0.call(("list_users", "", call.at_least), work).await
    }

    async fn create_post(
        &self,
        request: Request<v1::CreatePostRequest>,
    ) -> Result<Response<v1::CreatePostResponse>, Status> {
        let author = author(&request)?;
        let call = request.into_inner();
        let work = || {
            let post = self.0.world.post(&call.request_id, &author, &call.text);
            Ok(v1::CreatePostResponse { post: Some(post) })
        };
        let note = ("create_post", call.request_id.as_str(), call.seen);
        self.0.call(note, work).await
    }

    async fn delete_post(
        &self,
        request: Request<v1::DeletePostRequest>,
    ) -> Result<Response<v1::DeletePostResponse>, Status> {
        author(&request)?;
        let call = request.into_inner();
        let work = || {
            let id = call.id;
            let deleted = |_| Fact::Deleted(id);
            let seq = self.0.world.write(&call.request_id, deleted);
            Ok(v1::DeletePostResponse { seq })
        };
        let note = ("delete_post", call.request_id.as_str(), call.seen);
        self.0.call(note, work).await
    }

    async fn get_home_timeline(
        &self,
        request: Request<v1::GetHomeTimelineRequest>,
    ) -> Result<Response<v1::GetHomeTimelineResponse>, Status> {
        author(&request)?;
        let call = request.into_inner();
        let work = || {
            let history = self.0.world.history();
            let posts = history.posts();
            let (posts, next_page_token) = page(&posts, call.page_size, &call.page_token)?;
            Ok(v1::GetHomeTimelineResponse {
                posts,
                next_page_token,
                seq: history.tail(),
            })
        };
        self.0.call(("get_home", "", call.at_least), work).await
    }

    async fn get_user_timeline(
        &self,
        request: Request<v1::GetUserTimelineRequest>,
    ) -> Result<Response<v1::GetUserTimelineResponse>, Status> {
        author(&request)?;
        let call = request.into_inner();
        let work = || {
            let history = self.0.world.history();
            let mut posts = history.posts();
            posts.retain(|post| post.author == call.username);
            let (posts, next_page_token) = page(&posts, call.page_size, &call.page_token)?;
            Ok(v1::GetUserTimelineResponse {
                posts,
                next_page_token,
                seq: history.tail(),
            })
        };
        self.0.call(("get_user", "", call.at_least), work).await
    }

    type TimelineStream =
        Pin<Box<dyn Stream<Item = Result<v1::TimelineResponse, Status>> + Send + 'static>>;

    async fn timeline(
        &self,
        request: Request<Streaming<v1::TimelineRequest>>,
    ) -> Result<Response<Self::TimelineStream>, Status> {
        let author = author(&request)?;
        let mut up = request.into_inner();
        let Some(Up::Open(open)) = up.message().await?.and_then(|first| first.request) else {
            return Err(refusal(Reason::StreamProtocol));
        };
        let mut after = open.after_seq.unwrap_or(0);
        match self.0.note("timeline", "", after) {
            Fault::None => {}
            Fault::Repeat => after -= 3 << 16,
            Fault::Refuse(why) => return Err(refusal(why)),
            Fault::Hang => std::future::pending().await,
            Fault::LoseCall | Fault::LoseAnswer => return Err(Status::unavailable("lost")),
        }
        let (down, replies) = mpsc::channel(4);
        tokio::spawn(stream(Arc::clone(&self.0), author, after, up, down));
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }
}

/// Serves one stream. A fault of a post may end it.
async fn stream(
    node: Arc<Inner>,
    author: String,
    mut position: u64,
    mut up: Streaming<v1::TimelineRequest>,
    down: mpsc::Sender<Result<v1::TimelineResponse, Status>>,
) -> Option<()> {
    let mut tail = node.world.watch();
    let reply = |seq, response| {
        let response = Some(response);
        let message = v1::TimelineResponse { seq, response };
        let down = down.clone();
        async move { down.send(Ok(message)).await.ok() }
    };
    loop {
        let seen = *tail.borrow_and_update();
        let news: Vec<_> = {
            let history = node.world.history();
            let news = history.facts.range(position + 1..);
            news.map(|(seq, fact)| (*seq, fact.clone())).collect()
        };
        for (seq, fact) in news {
            position = seq;
            match fact {
                Fact::Posted(post) => reply(seq, Down::Post(post)).await?,
                Fact::Deleted(id) => {
                    reply(seq, Down::Deleted(v1::TimelineDeleted { id })).await?;
                }
                Fact::Other => {}
            }
        }
        let heartbeat = Down::Heartbeat(v1::TimelineHeartbeat {});
        reply(position.max(seen), heartbeat).await?;
        tokio::select! {
            changed = tail.changed() => changed.ok()?,
            // A sign of life: a client that sits still for long would go elsewhere.
            () = tokio::time::sleep(HEARTBEAT) => {}
            // A client that is gone.
            () = down.closed() => return None,
            message = up.message() => {
                let Some(Up::Post(post)) = message.ok()??.request else { return None };
                let id = post.request_id;
                match node.note("timeline_post", &id, post.seen) {
                    Fault::None | Fault::Repeat => {
                        let post = Some(node.world.post(&id, &author, &post.text));
                        let posted = v1::TimelinePosted { request_id: id, post };
                        reply(0, Down::Posted(posted)).await?;
                    }
                    Fault::Refuse(why) => {
                        let refused = v1::TimelineRefused {
                            request_id: id,
                            code: reason::code_of(why),
                            reason: why.into(),
                            message: "told to refuse".to_owned(),
                            retry_after_ms: reason::retry_after_ms(why).unwrap_or(0),
                        };
                        reply(0, Down::Refused(refused)).await?;
                    }
                    Fault::LoseAnswer => {
                        node.world.post(&id, &author, &post.text);
                        return None;
                    }
                    Fault::LoseCall => return None,
                    // Goes on, without an answer.
                    Fault::Hang => {}
                }
            }
        }
    }
}

/// A fake router behind its own wire.
pub(crate) struct Router {
    named: Arc<Mutex<Vec<v1::Server>>>,
    pub(crate) wire: Wire,
    serving: JoinHandle<()>,
}

impl Router {
    pub(crate) async fn start() -> Self {
        let named = Arc::new(Mutex::default());
        let service = RouterServiceServer::new(Routing(Arc::clone(&named)));
        let (behind, listener) = listen().await;
        let serving = tokio::spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            drop(server.serve_with_incoming(listener).await);
        });
        Self {
            named,
            wire: Wire::to(behind).await,
            serving,
        }
    }

    pub(crate) fn address(&self) -> String {
        self.wire.address()
    }

    /// Lists exactly these from now on.
    pub(crate) fn list(&self, servers: Vec<v1::Server>) {
        *self.named.lock().expect("sound") = servers;
    }

    /// Names these from now on, the first as master.
    pub(crate) fn name(&self, nodes: &[&Node]) {
        let server = |node: &&Node| v1::Server {
            name: "a-master".to_owned(),
            address: node.address(),
            ..v1::Server::default()
        };
        *self.named.lock().expect("sound") = nodes.iter().map(server).collect();
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Routing(Arc<Mutex<Vec<v1::Server>>>);

#[tonic::async_trait]
impl RouterService for Routing {
    async fn assign(
        &self,
        _: Request<v1::AssignRequest>,
    ) -> Result<Response<v1::AssignResponse>, Status> {
        let named = self.0.lock().expect("sound").clone();
        if named.is_empty() {
            return Err(refusal(Reason::NoServer));
        }
        let mut named = named.into_iter();
        Ok(Response::new(v1::AssignResponse {
            master: named.next(),
            slave: named.next(),
        }))
    }

    async fn list_servers(
        &self,
        _: Request<v1::ListServersRequest>,
    ) -> Result<Response<v1::ListServersResponse>, Status> {
        let servers = self.0.lock().expect("sound").clone();
        Ok(Response::new(v1::ListServersResponse { servers }))
    }

    type AnnounceStream =
        Pin<Box<dyn Stream<Item = Result<v1::AnnounceResponse, Status>> + Send + 'static>>;

    async fn announce(
        &self,
        _: Request<Streaming<v1::AnnounceRequest>>,
    ) -> Result<Response<Self::AnnounceStream>, Status> {
        Err(Status::unimplemented("a fake"))
    }
}
