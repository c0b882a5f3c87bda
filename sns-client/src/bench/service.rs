//! Making ready: who serves, whether the graph is there, logins, posts to read.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use http::HeaderValue;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use sns_client::{Client, ErrorKind, Options, ServerState, Trust};
use sns_load::{CallError, Graph, PAGE};
use sns_proto::v1;
use sns_proto::v1::sns_service_client::SnsServiceClient;
use tonic::transport::Channel;

use super::bar::Bar;
use super::flags::Bench;
use super::target::{Servers, Users, open, told};
use crate::output::{Failure, say};

/// Calls under way while things are made ready: enough to keep the servers busy.
const AT_ONCE: usize = 256;
/// Connections that carry them.
const LINES: usize = 8;
/// Users that are looked at, to see what is there.
const SAMPLE: usize = 20;
/// Posts of a user that are there without a word about it: a full page.
const POSTS_EACH: u64 = 20;
/// Posts that are made without a word about it, at most.
const POSTS: u64 = 100_000;

/// A service that answers.
#[derive(Debug)]
pub(super) struct Service {
    client: Client,
    addresses: Vec<String>,
    trust: Option<Trust>,
}

/// A service with a graph and posts in it, and a token for each user.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) graph: Graph,
    servers: Arc<Servers>,
    lines: Vec<SnsServiceClient<Channel>>,
}

impl Ready {
    /// Where the load goes.
    pub(super) fn target(&self) -> Arc<Servers> {
        Arc::clone(&self.servers)
    }

    /// Whom each of `users` follows now, among the users of the graph: it may be more than the
    /// graph says.
    pub(super) async fn following(&self, users: &[u32]) -> Result<Vec<Vec<u32>>, Failure> {
        let names = self.graph.names.iter().map(String::as_str);
        let numbers: HashMap<&str, u32> = names.zip(0..).collect();
        let (numbers, names) = (&numbers, &self.servers.users);
        let listing = |nth: usize| {
            let user = users[nth];
            let mut line = self.lines[nth % self.lines.len()].clone();
            async move {
                let mut followees = Vec::new();
                let mut request = v1::ListUsersRequest {
                    filter: v1::UserFilter::Following.into(),
                    page_size: 200,
                    ..v1::ListUsersRequest::default()
                };
                loop {
                    let page = line.list_users(names.request(user, request.clone())).await;
                    let page = page.map_err(told)?.into_inner();
                    let listed = page.users.iter().map(|user| user.username.as_str());
                    followees.extend(listed.filter_map(|name| numbers.get(name).copied()));
                    if page.next_page_token.is_empty() {
                        return Ok((nth, followees));
                    }
                    request.page_token = page.next_page_token;
                }
            }
        };
        let mut listed = each("asking who follows whom", users.len(), listing).await?;
        listed.sort_unstable_by_key(|(nth, _)| *nth);
        Ok(listed.into_iter().map(|(_, followees)| followees).collect())
    }

    /// How many servers there are.
    pub(super) fn servers(&self) -> usize {
        self.servers.addresses.len()
    }
}

impl Service {
    /// Asks the router who serves.
    pub(super) async fn connect(options: Options) -> Result<Self, Failure> {
        let trust = options.trust()?;
        let client = options.connect().await?;
        let servers = client.servers().await?;
        let serving = servers
            .into_iter()
            .filter(|server| server.state == ServerState::Serving && !server.address.is_empty());
        let addresses: Vec<_> = serving.map(|server| server.address).collect();
        if addresses.is_empty() {
            let why = "the router names no server that serves";
            return Err(Failure::Unavailable(why.to_owned()));
        }
        Ok(Self {
            client,
            addresses,
            trust,
        })
    }

    /// Sees to it that the graph and posts are there.
    pub(super) async fn make_ready(self, what: &Bench, graph: Graph) -> Result<Ready, Failure> {
        // Before anybody logs in: that would make users who are not there.
        let stranger = self.stranger(&graph).await?;
        if let (Some(stranger), Some(path)) = (&stranger, &what.graph) {
            return Err(Failure::Missing(advice(stranger, path, what.undirected)));
        }
        let lines = self.lines().await?;
        let users = Arc::new(log_in(&lines, &graph).await?);
        let servers = Arc::new(Servers::new(
            self.addresses.clone(),
            Arc::clone(&users),
            self.trust.clone(),
        ));
        if stranger.is_some() {
            let follow = |nth: usize| {
                let (user, followee) = graph.follows[nth];
                let request = v1::FollowRequest {
                    username: users.names[followee as usize].clone(),
                    request_id: uuid::Uuid::new_v4().to_string(),
                    seen: 0,
                };
                let request = users.request(user, request);
                let mut line = lines[nth % lines.len()].clone();
                async move {
                    match line.follow(request).await {
                        Err(status) if status.code() != tonic::Code::AlreadyExists => {
                            Err(told(status))
                        }
                        _ => Ok(()),
                    }
                }
            };
            let follows = graph.follows.len();
            each("making follows", follows, follow).await?;
            say(&format!("made {} users and {follows} follows", graph.users));
        }
        self.preload(what, &lines, &users).await?;
        self.settle(&lines, &users).await?;
        Ok(Ready {
            graph,
            servers,
            lines,
        })
    }

    async fn lines(&self) -> Result<Vec<SnsServiceClient<Channel>>, Failure> {
        let mut lines = Vec::new();
        for address in self.addresses.iter().cycle().take(LINES) {
            lines.push(
                open(address, self.trust.as_ref())
                    .await
                    .map_err(not_ready)?,
            );
        }
        Ok(lines)
    }

    /// Looks whether some users follow whom they should; what is not so, if anything.
    async fn stranger(&self, graph: &Graph) -> Result<Option<String>, Failure> {
        let mut rng = SmallRng::seed_from_u64(0);
        for _ in 0..SAMPLE {
            // Somebody who follows: their names are drawn by the follows.
            let (user, _) = graph.follows[rng.random_range(0..graph.follows.len())];
            let name = &graph.names[user as usize];
            let mut missing: Vec<&str> = graph
                .followees(user)
                .map(|followee| graph.names[followee as usize].as_str())
                .collect();
            missing.sort_unstable();
            let mut following = Box::pin(self.client.following(name.as_str()).limit(200).stream());
            loop {
                match following.try_next().await {
                    Ok(Some(followed)) => {
                        let place = missing.binary_search(&followed.username.as_str());
                        if let Ok(place) = place {
                            missing.remove(place);
                        }
                    }
                    Ok(None) => break,
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        return Ok(Some(format!("there is no user {name}")));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(other) = missing.first() {
                return Ok(Some(format!("{name} does not follow {other}")));
            }
        }
        Ok(None)
    }

    /// Makes posts, unless a sample shows that there are as many.
    async fn preload(
        &self,
        what: &Bench,
        lines: &[SnsServiceClient<Channel>],
        users: &Arc<Users>,
    ) -> Result<(), Failure> {
        let count = users.names.len() as u64;
        let posts = what.preload.unwrap_or((POSTS_EACH * count).min(POSTS));
        // In rounds, so that the newest posts of a page are of many authors.
        let (authors, each_has) = (posts.min(count), (posts / count).clamp(1, PAGE as u64));
        if posts == 0 {
            return Ok(());
        }
        let each_has = usize::try_from(each_has).unwrap_or(PAGE);
        let mut rng = SmallRng::seed_from_u64(1);
        let mut there = true;
        for _ in 0..SAMPLE {
            let author = usize::try_from(rng.random_range(0..authors)).unwrap_or(0);
            let name = users.names[author].as_str();
            let page = self.client.posts_of(name).limit(each_has).page().await?;
            there &= page.items.len() >= each_has;
        }
        if there {
            return Ok(());
        }
        let post = |nth: usize| {
            let author = u32::try_from(nth as u64 % count).unwrap_or(0);
            let request = v1::CreatePostRequest {
                text: sns_load::text(what.seed, nth as u64),
                request_id: uuid::Uuid::new_v4().to_string(),
                seen: 0,
            };
            let request = users.request(author, request);
            let mut line = lines[nth % lines.len()].clone();
            async move { line.create_post(request).await.map(drop).map_err(told) }
        };
        let steps = usize::try_from(posts).unwrap_or(usize::MAX);
        each("making posts", steps, post).await?;
        say(&format!("made {posts} posts, so that pages are full"));
        Ok(())
    }

    /// Waits until every server has seen all of that.
    async fn settle(
        &self,
        lines: &[SnsServiceClient<Channel>],
        users: &Arc<Users>,
    ) -> Result<(), Failure> {
        for line in lines.iter().take(self.addresses.len()) {
            let request = v1::GetHomeTimelineRequest {
                linearizable: true,
                ..v1::GetHomeTimelineRequest::default()
            };
            let mut line = line.clone();
            let answer = line.get_home_timeline(users.request(0, request)).await;
            answer.map_err(|status| not_ready(told(status)))?;
        }
        Ok(())
    }
}

/// Logs everybody in.
async fn log_in(lines: &[SnsServiceClient<Channel>], graph: &Graph) -> Result<Users, Failure> {
    let login = |nth: usize| {
        let request = v1::LoginRequest {
            username: graph.names[nth].clone(),
            password: String::new(),
        };
        let mut line = lines[nth % lines.len()].clone();
        async move {
            let answer = line.login(request).await.map_err(told)?.into_inner();
            let bearer = HeaderValue::try_from(format!("Bearer {}", answer.token));
            let odd = |_| CallError("the server gave a token of odd bytes".to_owned());
            let mut bearer = bearer.map_err(odd)?;
            bearer.set_sensitive(true);
            Ok((nth, bearer))
        }
    };
    let mut tokens = each("logging in", graph.names.len(), login).await?;
    tokens.sort_unstable_by_key(|(nth, _)| *nth);
    Ok(Users {
        names: graph.names.clone(),
        tokens: tokens.into_iter().map(|(_, token)| token).collect(),
    })
}

/// Calls for each number below `steps`, many at once.
async fn each<T, F>(
    what: &'static str,
    steps: usize,
    call: impl Fn(usize) -> F,
) -> Result<Vec<T>, Failure>
where
    F: Future<Output = Result<T, CallError>>,
{
    let bar = Bar::of(what, steps);
    let calls = futures_util::stream::iter((0..steps).map(call));
    // On the heap: the futures of calls are large.
    let mut answers = Box::pin(calls.map(Box::pin).buffer_unordered(AT_ONCE));
    let mut all = Vec::new();
    while let Some(answer) = answers.next().await {
        let failed = |CallError(why)| Failure::Unavailable(format!("{what}: {why}"));
        all.push(answer.map_err(failed)?);
        bar.step();
    }
    Ok(all)
}

fn not_ready(CallError(why): CallError) -> Failure {
    Failure::Unavailable(format!(
        "a server that the router named does not answer: {why}"
    ))
}

/// How to bring a graph into the service.
fn advice(stranger: &str, path: &Path, undirected: bool) -> String {
    let mut advice = format!(
        "the graph {} is not in this service ({stranger}). Import it, with the servers' directory \
         for DIR:\n  sns-server import --data DIR --follows {}",
        path.display(),
        path.display()
    );
    if undirected {
        advice.push_str(" --undirected");
    } else {
        let _ = write!(
            advice,
            "\nIf it was imported with --undirected, say so to bench too."
        );
    }
    advice
}
