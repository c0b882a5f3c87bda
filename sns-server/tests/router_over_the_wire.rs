//! A router over real sockets: announcements in, servers out, and what clients are told.

#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Uri;
use sns_proto::v1::router_service_client::RouterServiceClient;
use sns_proto::v1::{
    AnnounceRequest, AssignRequest, ErrorReason, ListServersRequest, Server, ServerRole,
    ServerState,
};
use sns_server::announce;
use sns_server::net::tls::Dial;
use sns_server::net::{Door, Listener};
use sns_server::pair::told::Router;
use sns_server::service::router::{Rules, serve_on};
use sns_server::service::status::reason_of;
use sns_server::token::{InternalKey, Purpose};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

type Client = RouterServiceClient<Channel>;

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move {
            let door = Door::plain(Listener::Router);
            serve_on(listener, Rules::default(), door, token)
                .await
                .unwrap();
        });
        Self {
            address,
            stop,
            task,
        }
    }

    fn uri(&self) -> Uri {
        format!("http://{}/", self.address).parse().unwrap()
    }

    async fn client(&self) -> Client {
        let uri = self.uri().to_string();
        eventually("a connection", async || {
            Client::connect(uri.clone()).await.ok()
        })
        .await
    }

    async fn stopped(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

struct Node {
    word: watch::Sender<AnnounceRequest>,
    end: CancellationToken,
}

fn word(pair: &str, data: &str) -> AnnounceRequest {
    AnnounceRequest {
        server: Some(Server {
            name: format!("{pair}-master"),
            pair: pair.to_owned(),
            role: ServerRole::Master.into(),
            address: "127.0.0.1:1".to_owned(),
            state: ServerState::Serving.into(),
            data_id: data.to_owned(),
            ..Server::default()
        }),
        partner: None,
    }
}

fn node(routers: Vec<Uri>, pair: &str) -> Node {
    let (word, words) = watch::channel(word(pair, "d"));
    let end = CancellationToken::new();
    tokio::spawn(announce::run(
        routers.into_iter().map(Router::new).collect(),
        InternalKey::derive([1; 32], Purpose::Announce),
        words,
        Dial::Plain,
        end.clone(),
    ));
    Node { word, end }
}

/// Asks until the answer is there, for 10 s at most.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn names(client: &mut Client) -> Vec<String> {
    let list = client.list_servers(ListServersRequest {}).await.unwrap();
    let servers = list.into_inner().servers;
    servers.into_iter().map(|server| server.name).collect()
}

async fn until_listed(client: &mut Client, expected: &[&str]) -> Duration {
    let start = Instant::now();
    eventually(&format!("{expected:?}"), async || {
        (names(client).await == expected).then_some(())
    })
    .await;
    start.elapsed()
}

#[tokio::test]
async fn nodes_come_and_go_with_their_streams() {
    let router = Running::start("127.0.0.1:0").await;
    let mut client = router.client().await;
    let none = client.assign(AssignRequest::default()).await.unwrap_err();
    assert_eq!(none.code(), Code::Unavailable);
    assert_eq!(reason_of(&none), Some(ErrorReason::NoServer));
    assert!(none.get_details_retry_info().is_some());

    let a = node(vec![router.uri()], "a");
    let _b = node(vec![router.uri()], "b");
    until_listed(&mut client, &["a-master", "b-master"]).await;
    let drawn = client.assign(AssignRequest::default()).await.unwrap();
    let drawn = drawn.into_inner();
    assert_ne!(drawn.master.unwrap().name, drawn.slave.unwrap().name);

    // A change is told at once, not with the next heartbeat.
    let start = Instant::now();
    a.word.send_modify(|word| {
        let server = word.server.as_mut().unwrap();
        server.set_state(ServerState::Draining);
    });
    eventually("the change", async || {
        let drawn = client.assign(AssignRequest::default()).await.unwrap();
        let drawn = drawn.into_inner();
        (drawn.master.unwrap().name == "b-master" && drawn.slave.is_none()).then_some(())
    })
    .await;
    assert!(start.elapsed() < Duration::from_millis(200));
    a.end.cancel();
    until_listed(&mut client, &["b-master"]).await;
    router.stopped().await;
}

#[tokio::test]
async fn a_router_that_restarts_has_its_table_back_within_a_second() {
    let first = Running::start("127.0.0.1:0").await;
    let second = Running::start("127.0.0.1:0").await;
    let routers = vec![first.uri(), second.uri()];
    let _a = node(routers.clone(), "a");
    let _b = node(routers, "b");
    let mut client = first.client().await;
    until_listed(&mut client, &["a-master", "b-master"]).await;
    let address = first.address.to_string();
    drop(client);
    first.stopped().await;
    // The other one has not noticed.
    until_listed(&mut second.client().await, &["a-master", "b-master"]).await;
    let again = Running::start(&address).await;
    let mut client = again.client().await;
    let took = until_listed(&mut client, &["a-master", "b-master"]).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    again.stopped().await;
    second.stopped().await;
}

#[tokio::test]
async fn a_node_of_other_data_is_refused() {
    let router = Running::start("127.0.0.1:0").await;
    let mut client = router.client().await;
    let _a = node(vec![router.uri()], "a");
    until_listed(&mut client, &["a-master"]).await;
    let other = tokio_stream::iter([word("b", "e")]);
    let mut answers = client.announce(other).await.unwrap().into_inner();
    let refused = answers.message().await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(reason_of(&refused), Some(ErrorReason::DataMismatch));
    assert_eq!(names(&mut client).await, ["a-master"]);
    router.stopped().await;
}

#[tokio::test]
async fn health_knows_the_router_and_a_stop_is_not_held_up_by_open_streams() {
    let router = Running::start("127.0.0.1:0").await;
    let _a = node(vec![router.uri()], "a");
    let mut client = router.client().await;
    until_listed(&mut client, &["a-master"]).await;
    let channel = Channel::builder(router.uri()).connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    for service in ["", "sns.v1.RouterService"] {
        let service = service.to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status, 1);
    }
    let start = Instant::now();
    router.stopped().await;
    assert!(start.elapsed() < Duration::from_secs(2));
}
