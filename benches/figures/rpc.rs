//! [`Caller`]: one user's calls to one named server, without the client library: nothing is retried
//! and nothing waits for what was seen.

use std::time::Duration;

use sns_proto::v1::sns_service_client::SnsServiceClient;
use sns_proto::v1::{
    CreatePostRequest, GetHomeTimelineRequest, ListUsersRequest, LoginRequest, Post, UserFilter,
};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::run::Result;

/// A call that takes longer failed.
const LIMIT: Duration = Duration::from_secs(30);

/// One user at one server.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) api: SnsServiceClient<Channel>,
    token: MetadataValue<Ascii>,
}

/// A connection to `host:port`.
pub(crate) async fn connect(address: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(endpoint.tcp_nodelay(true).connect().await?)
}

impl Caller {
    /// Connects and logs in; makes the user the first time.
    pub(crate) async fn login(address: &str, user: &str) -> Result<Self> {
        Self::login_over(connect(address).await?, user).await
    }

    /// Logs in over a connection that is there.
    pub(crate) async fn login_over(channel: Channel, user: &str) -> Result<Self> {
        let mut api = SnsServiceClient::new(channel);
        let request = LoginRequest {
            username: user.to_owned(),
            ..LoginRequest::default()
        };
        let answer = api.login(request).await?.into_inner();
        let token = format!("Bearer {}", answer.token).parse()?;
        Ok(Self { api, token })
    }

    /// The same user at another server of the same data.
    pub(crate) async fn at(&self, address: &str) -> Result<Self> {
        Ok(Self {
            api: SnsServiceClient::new(connect(address).await?),
            token: self.token.clone(),
        })
    }

    /// `message` with the token.
    pub(crate) fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", self.token.clone());
        request
    }

    fn ask_briefly<T>(&self, message: T) -> Request<T> {
        let mut request = self.ask(message);
        request.set_timeout(LIMIT);
        request
    }

    /// The seq that this server has applied.
    pub(crate) async fn applied(&mut self) -> Result<u64> {
        let question = ListUsersRequest {
            filter: UserFilter::All as i32,
            page_size: 1,
            ..ListUsersRequest::default()
        };
        let request = self.ask_briefly(question);
        Ok(self.api.list_users(request).await?.into_inner().seq)
    }

    /// A post; returns when it is acknowledged.
    pub(crate) async fn post(&mut self, text: &str) -> Result<Post> {
        let message = CreatePostRequest {
            text: text.to_owned(),
            ..CreatePostRequest::default()
        };
        let request = self.ask_briefly(message);
        let answer = self.api.create_post(request).await?.into_inner();
        Ok(answer.post.ok_or("the server named no post")?)
    }

    /// The newest posts of one's home page, as this server has it now.
    pub(crate) async fn home(&mut self, posts: i32) -> Result<Vec<Post>> {
        let question = GetHomeTimelineRequest {
            page_size: posts,
            ..GetHomeTimelineRequest::default()
        };
        let request = self.ask_briefly(question);
        Ok(self
            .api
            .get_home_timeline(request)
            .await?
            .into_inner()
            .posts)
    }
}
