//! The calls of the course's client: decode, ask the client library, answer in its words.

use std::time::Duration;

use futures_util::stream::{Stream, TryStreamExt as _};
use sns_client::{Client, Reason, User};
use sns_core::Username;
use sns_proto::csce438::sns_service_server::SnsService;
use sns_proto::csce438::{ListReply, Message, Reply, Request as Asked};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::GatewayConfig;
use super::sessions::{Session, Sessions};
use super::stream::{self, Opening};
use super::words;
use crate::net::Connection;
use crate::service::status::status;

/// How long a call may take: the client waits for ever, and a service of which everything was killed
/// is back before that. Less than the 60 s that a listener gives any call.
const DEADLINE: Duration = Duration::from_secs(30);

/// Names in each of the two lists: 350 KB of the 4 MB that a gRPC client takes.
const NAMES: usize = 10_000;

/// Messages that wait for a client; then the service is not read on for it.
const MESSAGES: usize = 16;

/// The service. A cheap clone.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    config: GatewayConfig,
    sessions: Sessions,
    shutdown: CancellationToken,
}

impl Gateway {
    /// Nobody is logged in. Its streams end with `shutdown`.
    pub(super) fn new(config: GatewayConfig, shutdown: CancellationToken) -> Self {
        Self {
            config,
            sessions: Sessions::default(),
            shutdown,
        }
    }

    fn session(&self, request: &Request<Asked>) -> Result<std::sync::Arc<Session>, Status> {
        let name = words::name(&request.get_ref().username)?;
        self.sessions.find(name, &connection(request)?)
    }
}

/// The connection that a call came over.
fn connection<T>(request: &Request<T>) -> Result<Connection, Status> {
    let found = request.extensions().get::<Connection>().cloned();
    found.ok_or_else(|| status(Reason::Internal, "a call came over no connection"))
}

/// Whom a call is about; `None` for what nobody can be called.
fn target(request: &Asked) -> Result<Option<Username>, Status> {
    match request.arguments.first() {
        Some(name) => Ok(Username::parse(name).ok()),
        None => Err(Status::invalid_argument(
            "whom? The first of `arguments` is missing",
        )),
    }
}

/// The first names of a list; where it goes on, the last says so.
async fn names(
    all: impl Stream<Item = sns_client::Result<User>> + Send,
) -> Result<Vec<String>, Status> {
    let names = all.map_ok(|user| user.username).take(NAMES + 1);
    let mut names: Vec<String> = names.try_collect().await.map_err(words::refused)?;
    if names.len() > NAMES {
        names.truncate(NAMES);
        names.push(format!("(and more: the first {NAMES} are shown)"));
    }
    Ok(names)
}

#[tonic::async_trait]
impl SnsService for Gateway {
    type TimelineStream = ReceiverStream<Result<Message, Status>>;

    async fn login(&self, request: Request<Asked>) -> Result<Response<Reply>, Status> {
        let connection = connection(&request)?;
        let name = words::name(&request.get_ref().username)?;
        let claim = self.sessions.claim(name, &connection).await?;
        let options = self.config.options(name.as_str()).deadline(DEADLINE);
        let connected = tokio::select! {
            () = connection.gone() => return Err(Status::cancelled("the client has gone")),
            () = self.shutdown.cancelled() => return Err(words::stopping()),
            connected = Client::connect(options) => connected,
        };
        let client = connected.map_err(words::refused)?;
        let server = client.addresses().into_iter().next().unwrap_or_default();
        tracing::info!(%name, server, "logged in");
        claim.keep(client);
        let msg = format!("Login Successful: served by {server}");
        Ok(Response::new(words::reply(msg)))
    }

    async fn list(&self, request: Request<Asked>) -> Result<Response<ListReply>, Status> {
        let session = self.session(&request)?;
        // What others were told is done counts: somebody who has just logged in is in the list.
        let all_users = session.client.users().linearizable(true).stream();
        let followers = session.client.followers("").linearizable(true).stream();
        Ok(Response::new(ListReply {
            all_users: names(all_users).await?,
            followers: names(followers).await?,
        }))
    }

    async fn follow(&self, request: Request<Asked>) -> Result<Response<Reply>, Status> {
        let session = self.session(&request)?;
        let msg = match target(request.get_ref())? {
            None => words::UNKNOWN,
            Some(target) if target == session.name => words::FOLLOWS_ALREADY,
            Some(target) => match session.client.follow(target.as_str()).await {
                Ok(_) => words::FOLLOWED,
                Err(error) => match error.reason() {
                    Reason::AlreadyFollowing => words::FOLLOWS_ALREADY,
                    Reason::UserNotFound => words::UNKNOWN,
                    _ => return Err(words::refused(error)),
                },
            },
        };
        Ok(Response::new(words::reply(msg)))
    }

    async fn un_follow(&self, request: Request<Asked>) -> Result<Response<Reply>, Status> {
        let session = self.session(&request)?;
        let msg = match target(request.get_ref())? {
            None => words::UNKNOWN,
            Some(target) if target == session.name => words::FOLLOWS_NOT,
            Some(target) => match session.client.unfollow(target.as_str()).await {
                Ok(_) => words::UNFOLLOWED,
                Err(error) => match error.reason() {
                    Reason::NotFollowing => words::FOLLOWS_NOT,
                    Reason::UserNotFound => words::UNKNOWN,
                    _ => return Err(words::refused(error)),
                },
            },
        };
        Ok(Response::new(words::reply(msg)))
    }

    async fn timeline(
        &self,
        request: Request<Streaming<Message>>,
    ) -> Result<Response<Self::TimelineStream>, Status> {
        let connection = connection(&request)?;
        let (out, messages) = mpsc::channel(MESSAGES);
        let opening = Opening {
            sessions: self.sessions.clone(),
            connection,
            inbound: request.into_inner(),
            out,
            shutdown: self.shutdown.clone(),
        };
        // On its own: what it has taken from a client that dies is posted all the same.
        tokio::spawn(stream::run(opening));
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}
