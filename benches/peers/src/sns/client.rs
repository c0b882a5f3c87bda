//! Posts and pages on SNS.

use std::collections::HashMap;
use std::sync::Arc;

use sns_load::Graph;
use sns_proto::v1::router_service_client::RouterServiceClient;
use sns_proto::v1::sns_service_client::SnsServiceClient;
use sns_proto::v1::{
    AssignRequest, CreatePostRequest, FollowRequest, GetHomeTimelineRequest,
    GetUserTimelineRequest, LoginRequest, Post as WirePost,
};
use tokio::task::JoinSet;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::failure::{Doing as _, Failure, Result};
use crate::feed::{Feed, Post};

/// Logins under way at a time.
const LOGINS: usize = 64;

/// A client of SNS for all users of a graph: one HTTP/2 connection.
#[derive(Clone, Debug)]
pub struct SnsFeed {
    calls: SnsServiceClient<Channel>,
    users: Arc<Users>,
}

#[derive(Debug)]
struct Users {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    /// What each says to prove who it is.
    tokens: Vec<AsciiMetadataValue>,
}

impl SnsFeed {
    /// Clients over so many connections to the server that the router names; logs every user in.
    ///
    /// # Errors
    /// The router or the server does not answer.
    pub async fn connect(router: &str, graph: &Graph, sockets: usize) -> Result<Vec<Self>> {
        let mut asked = RouterServiceClient::connect(router.to_owned())
            .await
            .doing(format_args!("reach the router at {router}"))?;
        let assigned = asked.assign(AssignRequest::default()).await;
        let master = assigned.doing("get a server")?.into_inner().master;
        let master = master.ok_or_else(|| Failure("the router names no server".to_owned()))?;
        let address = format!("http://{}", master.address);
        let mut channels = Vec::new();
        for _ in 0..sockets.max(1) {
            let endpoint = Endpoint::try_from(address.clone()).doing("name the server")?;
            let endpoint = endpoint.tcp_nodelay(true);
            let channel = endpoint.connect().await.doing("reach the server")?;
            channels.push(SnsServiceClient::new(channel));
        }
        let calls = channels.first().cloned();
        let calls = calls.ok_or_else(|| Failure("no connection".to_owned()))?;
        let numbers = graph.names.iter().cloned().zip(0..).collect();
        let users = Arc::new(Users {
            tokens: log_in(&calls, &graph.names).await?,
            names: graph.names.clone(),
            numbers,
        });
        let client = |calls| Self {
            calls,
            users: Arc::clone(&users),
        };
        Ok(channels.into_iter().map(client).collect())
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
        let request = self.request(user, GetHomeTimelineRequest::default())?;
        let answer = self.calls.clone().get_home_timeline(request).await;
        self.posts(answer.doing("read a home page")?.into_inner().posts)
    }

    async fn user_page(&self, user: u32) -> Result<Vec<Post>> {
        let username = self.users.names.get(user as usize).cloned();
        let message = GetUserTimelineRequest {
            username: username.unwrap_or_default(),
            ..GetUserTimelineRequest::default()
        };
        let request = self.request(user, message)?;
        let answer = self.calls.clone().get_user_timeline(request).await;
        self.posts(answer.doing("read a user page")?.into_inner().posts)
    }

    async fn post(&self, user: u32, text: &str) -> Result<()> {
        let message = CreatePostRequest {
            text: text.to_owned(),
            request_id: request_id(),
            ..CreatePostRequest::default()
        };
        let request = self.request(user, message)?;
        let answer = self.calls.clone().create_post(request).await;
        answer.doing("post").map(drop)
    }

    async fn follow(&self, user: u32, followee: u32) -> Result<()> {
        let username = self.users.names.get(followee as usize).cloned();
        let message = FollowRequest {
            username: username.unwrap_or_default(),
            request_id: request_id(),
            ..FollowRequest::default()
        };
        let request = self.request(user, message)?;
        match self.calls.clone().follow(request).await {
            Err(status) if followed_already(&status) => Ok(()),
            answer => answer.doing("follow").map(drop),
        }
    }
}

fn followed_already(status: &Status) -> bool {
    status.code() == Code::AlreadyExists
}
