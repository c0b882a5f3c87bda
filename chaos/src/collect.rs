//! What every replica holds in the end, asked of each of them in turn, page by page.

use std::time::{Duration, Instant};

use sns_client::{Client, ServerState};
use sns_proto::v1;
use sns_proto::v1::sns_service_client::SnsServiceClient;
use sns_server::status_cmd;
use tokio::task::block_in_place;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::cluster::LOOK;
use crate::failure::{Doing as _, Failure, Result};
use crate::history::{List, Listing, Replica, sum};
use crate::log::LogPlace;

/// For all replicas to come to the end of the log.
const SETTLE: Duration = Duration::from_secs(60);
/// The largest page there is.
const PAGE: i32 = 200;
/// Of a home timeline, which repeats the posts of many: the rest would take hours and tell nothing
/// new.
const HOME_PAGES: usize = 20;

/// Waits until every node serves and all have applied the whole log; what they say of themselves,
/// and where they are.
pub(crate) async fn settled(
    control: &Client,
    nodes: usize,
    log: &LogPlace,
) -> Result<Vec<(Replica, String)>> {
    let deadline = Instant::now() + SETTLE;
    let log = block_in_place(|| log.open())?;
    loop {
        // The log itself: what servers have told the router is up to a quarter of a second old.
        let tail = block_in_place(|| log.tail()).doing("read the end of the log")?;
        let servers = control.servers().await.doing("ask the router")?;
        let still = servers.len() == nodes
            && servers
                .iter()
                .all(|server| server.state == ServerState::Serving && server.applied + 1 == tail);
        // Out of time: they are taken as they are, and the checker says what is wrong.
        if still || Instant::now() > deadline {
            let all = servers.into_iter();
            return Ok(all
                .map(|server| {
                    let replica = Replica {
                        name: server.name,
                        state: status_cmd::state(server.state).to_owned(),
                        applied: server.applied,
                        digest: server.digest,
                    };
                    (replica, server.address)
                })
                .collect());
        }
        tokio::time::sleep(LOOK * 10).await;
    }
}

/// Everything that one replica lists about these users.
pub(crate) async fn listings(
    replica: &str,
    address: &str,
    users: &[String],
    mut each: impl FnMut(),
) -> Result<Vec<Listing>> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.doing("use the address of a server")?;
    let channel = endpoint.connect().await;
    let channel = channel.doing(format_args!("connect to {replica}"))?;
    let mut listings = Vec::new();
    for user in users {
        let mut reader = Reader::log_in(&channel, user).await;
        let reader = reader.as_mut();
        let reader = reader.map_err(|e| Failure(format!("{replica} lets nobody in: {e}")))?;
        let lists = reader.lists(user).await;
        let lists = lists.map_err(|e| Failure(format!("{replica} does not list {user}: {e}")))?;
        listings.extend(lists.into_iter().map(|list| Listing {
            replica: replica.to_owned(),
            user: user.clone(),
            list,
        }));
        each();
    }
    Ok(listings)
}

struct Reader {
    api: SnsServiceClient<Channel>,
    token: MetadataValue<Ascii>,
}

impl Reader {
    async fn log_in(channel: &Channel, user: &str) -> Result<Self, Status> {
        let mut api = SnsServiceClient::new(channel.clone());
        let login = v1::LoginRequest {
            username: user.to_owned(),
            ..v1::LoginRequest::default()
        };
        let token = api.login(login).await?.into_inner().token;
        let token = format!("Bearer {token}").parse();
        let token = token.map_err(|_| Status::internal("a token that is no text"))?;
        Ok(Self { api, token })
    }

    fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.token.clone());
        request
    }

    async fn lists(&mut self, user: &str) -> Result<Vec<List>, Status> {
        let (ids, sum) = self.posts(user).await?;
        let posts = List::Posts { ids, sum };
        let home = self.home().await?;
        let names = self.names(v1::UserFilter::Following).await?;
        let following = List::Following { names };
        let names = self.names(v1::UserFilter::Followers).await?;
        let followers = List::Followers { names };
        Ok(vec![posts, home, following, followers])
    }

    async fn posts(&mut self, user: &str) -> Result<(Vec<u64>, u64), Status> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let request = self.ask(v1::GetUserTimelineRequest {
                username: user.to_owned(),
                page_size: PAGE,
                page_token: token,
                ..v1::GetUserTimelineRequest::default()
            });
            let page = self.api.get_user_timeline(request).await?.into_inner();
            all.extend(page.posts);
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(summed(&all));
            }
        }
    }

    async fn home(&mut self) -> Result<List, Status> {
        let (mut all, mut token) = (Vec::new(), String::new());
        for _ in 0..HOME_PAGES {
            let request = self.ask(v1::GetHomeTimelineRequest {
                page_size: PAGE,
                page_token: token,
                ..v1::GetHomeTimelineRequest::default()
            });
            let page = self.api.get_home_timeline(request).await?.into_inner();
            all.extend(page.posts);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let (ids, sum) = summed(&all);
        let complete = token.is_empty();
        Ok(List::Home { ids, sum, complete })
    }

    async fn names(&mut self, filter: v1::UserFilter) -> Result<Vec<String>, Status> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let request = self.ask(v1::ListUsersRequest {
                filter: filter.into(),
                page_size: PAGE,
                page_token: token,
                ..v1::ListUsersRequest::default()
            });
            let page = self.api.list_users(request).await?.into_inner();
            all.extend(page.users.into_iter().map(|user| user.username));
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(all);
            }
        }
    }
}

fn summed(posts: &[v1::Post]) -> (Vec<u64>, u64) {
    let ids = posts.iter().map(|post| post.id).collect();
    let said = posts
        .iter()
        .map(|post| (post.author.as_str(), post.text.as_str()));
    (ids, sum(said))
}
