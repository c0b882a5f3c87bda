//! Posts and pages on SNS.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sns_load::Graph;
use sns_proto::v1::router_service_client::RouterServiceClient;
use sns_proto::v1::sns_service_client::SnsServiceClient;
use sns_proto::v1::{
    CreatePostRequest, FollowRequest, GetHomeTimelineRequest, GetUserTimelineRequest,
    ListServersRequest, LoginRequest, Post as WirePost, Server, ServerRole, ServerState,
};
use tokio::task::JoinSet;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::failure::{Doing as _, Failure, Result};
use crate::feed::{Feed, Post};

/// Logins under way at a time.
const LOGINS: usize = 64;

/// How a client talks to SNS.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// So many HTTP/2 connections are shared by all callers.
    pub sockets: usize,
    /// To masters and slaves in turn; else to masters only, as the router hands them out.
    pub slaves: bool,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            sockets: 4,
            slaves: false,
        }
    }
}

/// A client of SNS for all users of a graph: one HTTP/2 connection.
#[derive(Debug)]
pub struct SnsFeed {
    calls: SnsServiceClient<Channel>,
    users: Arc<Users>,
    /// The highest seq that came over this connection: what was written or read here is never
    /// missing from what is read next.
    seen: AtomicU64,
}

#[derive(Debug)]
struct Users {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    /// What each says to prove who it is.
    tokens: Vec<AsciiMetadataValue>,
}

impl SnsFeed {
    /// Clients over so many connections to the servers that the router names; logs every user in.
    ///
    /// # Errors
    /// The router or a server does not answer.
    pub async fn connect(router: &str, graph: &Graph, spread: Spread) -> Result<Vec<Self>> {
        let mut asked = RouterServiceClient::connect(router.to_owned())
            .await
            .doing(format_args!("reach the router at {router}"))?;
        let listed = asked.list_servers(ListServersRequest::default()).await;
        let listed = listed.doing("list the servers")?.into_inner().servers;
        let serves = |server: &&Server| {
            let role = spread.slaves || server.role() == ServerRole::Master;
            role && server.state() == ServerState::Serving
        };
        let addresses: Vec<&str> = listed
            .iter()
            .filter(serves)
            .map(|it| &*it.address)
            .collect();
        let mut channels = Vec::new();
        for address in addresses.iter().cycle().take(spread.sockets.max(1)) {
            let endpoint = Endpoint::try_from(format!("http://{address}"));
            let endpoint = endpoint.doing("name the server")?.tcp_nodelay(true);
            let channel = endpoint.connect().await.doing("reach the server")?;
            channels.push(SnsServiceClient::new(channel));
        }
        let none = || Failure("the router names no server that serves".to_owned());
        let calls = channels.first().cloned().ok_or_else(none)?;
        let users = Arc::new(Users {
            tokens: log_in(&calls, &graph.names).await?,
            names: graph.names.clone(),
            numbers: graph.names.iter().cloned().zip(0..).collect(),
        });
        let client = |calls| Self {
            calls,
            users: Arc::clone(&users),
            seen: AtomicU64::new(0),
        };
        Ok(channels.into_iter().map(client).collect())
    }

    fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    fn saw(&self, seq: u64) {
        self.seen.fetch_max(seq, Ordering::Relaxed);
    }

    fn request<T>(&self, user: u32, message: T) -> Result<Request<T>> {
        let token = self.users.tokens.get(user as usize);
        let token = token.ok_or_else(|| Failure("no such user".to_owned()))?;
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", token.clone());
        Ok(request)
    }

    fn posts(&self, posts: Vec<WirePost>) -> Result<Vec<Post>> {
        let post = |post: WirePost| {
            let author = self.users.numbers.get(&post.author);
            Some(Post {
                id: post.id,
                author: *author?,
                text: post.text,
            })
        };
        let posts: Option<Vec<Post>> = posts.into_iter().map(post).collect();
        posts.ok_or_else(|| Failure("a post of a user who is not in the graph".to_owned()))
    }
}

/// Logs all users in; tokens in the order of `names`.
async fn log_in(
    calls: &SnsServiceClient<Channel>,
    names: &[String],
) -> Result<Vec<AsciiMetadataValue>> {
    let mut tokens = HashMap::with_capacity(names.len());
    let mut waiting = JoinSet::new();
    let mut left = names.iter().enumerate();
    loop {
        while waiting.len() < LOGINS
            && let Some((number, name)) = left.next()
        {
            let mut calls = calls.clone();
            let username = name.clone();
            waiting.spawn(async move {
                let request = LoginRequest {
                    username,
                    ..LoginRequest::default()
                };
                let answer = calls.login(request).await.doing("log in")?.into_inner();
                let token = AsciiMetadataValue::try_from(format!("Bearer {}", answer.token));
                Ok::<_, Failure>((number, token.doing("use a token")?))
            });
        }
        match waiting.join_next().await {
            Some(done) => tokens.extend([done.doing("log in")??]),
            None => break,
        }
    }
    let tokens: Option<Vec<_>> = (0..names.len()).map(|at| tokens.remove(&at)).collect();
    tokens.ok_or_else(|| Failure("a user could not log in".to_owned()))
}

fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

impl Feed for SnsFeed {
    async fn home(&self, user: u32) -> Result<Vec<Post>> {
        let message = GetHomeTimelineRequest {
            at_least: self.seen(),
            ..GetHomeTimelineRequest::default()
        };
        let request = self.request(user, message)?;
        let answer = self.calls.clone().get_home_timeline(request).await;
        let page = answer.doing("read a home page")?.into_inner();
        self.saw(page.seq);
        self.posts(page.posts)
    }

    async fn user_page(&self, user: u32) -> Result<Vec<Post>> {
        let username = self.users.names.get(user as usize).cloned();
        let message = GetUserTimelineRequest {
            username: username.unwrap_or_default(),
            at_least: self.seen(),
            ..GetUserTimelineRequest::default()
        };
        let request = self.request(user, message)?;
        let answer = self.calls.clone().get_user_timeline(request).await;
        let page = answer.doing("read a user page")?.into_inner();
        self.saw(page.seq);
        self.posts(page.posts)
    }

    async fn post(&self, user: u32, text: &str) -> Result<()> {
        let message = CreatePostRequest {
            text: text.to_owned(),
            request_id: request_id(),
            seen: self.seen(),
        };
        let request = self.request(user, message)?;
        let answer = self.calls.clone().create_post(request).await;
        let post = answer.doing("post")?.into_inner().post;
        self.saw(post.unwrap_or_default().id);
        Ok(())
    }

    async fn follow(&self, user: u32, followee: u32) -> Result<()> {
        let username = self.users.names.get(followee as usize).cloned();
        let message = FollowRequest {
            username: username.unwrap_or_default(),
            request_id: request_id(),
            seen: self.seen(),
        };
        let request = self.request(user, message)?;
        match self.calls.clone().follow(request).await {
            Err(status) if followed_already(&status) => Ok(()),
            answer => {
                self.saw(answer.doing("follow")?.into_inner().seq);
                Ok(())
            }
        }
    }
}

fn followed_already(status: &Status) -> bool {
    status.code() == Code::AlreadyExists
}
