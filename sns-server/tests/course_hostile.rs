//! What no client of the course would send, or should not: the gateway refuses it in good order and
//! goes on for everybody else.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support"]
mod support {
    pub(crate) mod cluster;
    pub(crate) mod server;
}

use std::process::Stdio;
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message as _;
use sns_proto::csce438::sns_service_client::SnsServiceClient;
use sns_proto::csce438::{Message, Reply, Request};
use sns_server::gateway::{self, GatewayConfig};
use sns_server::service::router::{Rules, serve_on};
use support::cluster::Cluster;
use support::server::{PATIENCE, Server};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

type Course = SnsServiceClient<Channel>;

fn school() -> (Cluster, String) {
    let cluster = Cluster::start_with(1, &["--course", "127.0.0.1:0"]);
    let address = cluster.course();
    (cluster, address)
}

/// A connection of its own.
async fn connect(address: &str) -> Course {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    SnsServiceClient::new(endpoint.connect().await.unwrap())
}

async fn student(address: &str, name: &str) -> Course {
    let mut course = connect(address).await;
    course.login(request(name, &[])).await.unwrap();
    course
}

fn request(name: &str, arguments: &[&str]) -> Request {
    Request {
        username: name.to_owned(),
        arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
    }
}

fn message(name: &str, msg: &str) -> Message {
    Message {
        username: name.to_owned(),
        msg: msg.to_owned(),
        timestamp: None,
    }
}

/// One side of a stream each.
async fn open(course: &mut Course, first: Message) -> (mpsc::Sender<Message>, Streaming<Message>) {
    let (up, messages) = mpsc::channel(64);
    up.send(first).await.unwrap();
    let down = course.timeline(ReceiverStream::new(messages)).await;
    (up, down.unwrap().into_inner())
}

async fn next(down: &mut Streaming<Message>) -> Result<Option<Message>, Status> {
    timeout(PATIENCE, down.message())
        .await
        .expect("a message, or an end")
}

/// How a stream that begins with `first` ends.
async fn end(course: &mut Course, first: Message) -> Code {
    let (_up, mut down) = open(course, first).await;
    next(&mut down).await.unwrap_err().code()
}

#[tokio::test]
async fn calls_that_make_no_sense_are_refused_and_hurt_nobody() {
    let (_cluster, address) = school();
    let mut alice = student(&address, "alice").await;
    let mut other = connect(&address).await;
    let long = "x".repeat(10 * 1024 * 1024);
    for (name, code) in [
        ("../x", Code::InvalidArgument),
        ("", Code::InvalidArgument),
        ("a b", Code::InvalidArgument),
        ("\u{202e}alice", Code::InvalidArgument),
        ("(sns)", Code::InvalidArgument),
        (&*"x".repeat(33), Code::InvalidArgument),
        (&*long, Code::OutOfRange),
        ("alice", Code::AlreadyExists),
        ("ALICE", Code::AlreadyExists),
    ] {
        let refused = other.login(request(name, &[])).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
    }
    // Unknown, not logged in, or logged in elsewhere.
    for (name, code) in [
        ("../x", Code::InvalidArgument),
        ("nobody", Code::Unauthenticated),
        ("alice", Code::PermissionDenied),
    ] {
        let asked = || request(name, &["bob"]);
        for refused in [
            other.follow(asked()).await.unwrap_err(),
            other.un_follow(asked()).await.unwrap_err(),
            other.list(asked()).await.unwrap_err(),
        ] {
            assert_eq!(refused.code(), code, "{name}: {refused:?}");
        }
        let came = end(&mut other, message(name, "Set Stream")).await;
        assert_eq!(came, code, "{name}");
    }
    // Without anybody to follow, and with somebody who cannot be.
    let refused = alice.follow(request("alice", &[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = alice.un_follow(request("alice", &[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    for target in ["../x", "", "no such", &"y".repeat(40_000)] {
        let asked = request("alice", &[target]);
        let reply = alice.follow(asked.clone()).await.unwrap().into_inner();
        assert_eq!(reply.msg, "unknown follower username");
        let reply = alice.un_follow(asked).await.unwrap().into_inner();
        assert_eq!(reply.msg, "unknown follower username");
    }
    let listed = alice
        .list(request("alice", &[]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.all_users, ["alice"]);
}

/// A request whose name is no UTF-8.
#[derive(Clone, PartialEq, prost::Message)]
struct Bytes {
    #[prost(bytes = "vec", tag = "1")]
    username: Vec<u8>,
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused() {
    let (_cluster, address) = school();
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    let mut grpc = tonic::client::Grpc::new(endpoint.connect().await.unwrap());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Bytes, Reply>::default();
    let path = PathAndQuery::from_static("/csce438.SNSService/Login");
    let asked = Bytes {
        username: vec![0xff, 0xfe, b'a'],
    };
    assert!(Request::decode(&*asked.encode_to_vec()).is_err());
    let refused = grpc.unary(tonic::Request::new(asked), path, codec).await;
    assert_eq!(refused.unwrap_err().code(), Code::Internal);
    student(&address, "alice").await;
}

#[tokio::test]
async fn a_stream_is_opened_once_by_its_own_name_and_with_the_words_for_it() {
    let (_cluster, address) = school();
    let mut alice = student(&address, "alice").await;
    let mut bob = student(&address, "bob").await;
    for (first, code) in [
        (message("alice", "hello\n"), Code::InvalidArgument),
        (message("alice", ""), Code::InvalidArgument),
        (message("bob", "Set Stream"), Code::PermissionDenied),
        (message("../x", "Set Stream"), Code::InvalidArgument),
        (message("alice", &"x".repeat(1 << 20)), Code::OutOfRange),
    ] {
        assert_eq!(end(&mut alice, first.clone()).await, code, "{first:.50?}");
    }
    let (up, mut down) = open(&mut alice, message("Alice", "Set Stream")).await;
    // The first stream is open once something comes down it.
    bob.login(request("bob2", &[])).await.unwrap();
    bob.follow(request("bob", &["alice"])).await.unwrap();
    let (_bob_up, mut bob_down) = open(&mut bob, message("bob", "Set Stream")).await;
    up.send(message("alice", "one\n")).await.unwrap();
    assert_eq!(next(&mut bob_down).await.unwrap().unwrap().msg, "one\n");
    let second = end(&mut alice, message("alice", "Set Stream")).await;
    assert_eq!(second, Code::AlreadyExists);
    // Somebody else's post ends the stream that it came on, and is posted by nobody.
    up.send(message("bob", "false\n")).await.unwrap();
    let ended = next(&mut down).await.unwrap_err();
    assert_eq!(ended.code(), Code::PermissionDenied);
    // Free again at once: the stream before has ended.
    let (up, _down) = open(&mut alice, message("alice", "Set Stream")).await;
    up.send(message("alice", "two\n")).await.unwrap();
    let came = next(&mut bob_down).await.unwrap().unwrap();
    assert_eq!((&*came.username, &*came.msg), ("alice", "two\n"));
    drop(up);
}

#[tokio::test]
async fn a_post_that_cannot_be_is_answered_and_the_stream_goes_on() {
    let (_cluster, address) = school();
    let mut alice = student(&address, "alice").await;
    let mut bob = student(&address, "bob").await;
    bob.follow(request("bob", &["alice"])).await.unwrap();
    let (_bob_up, mut bob_down) = open(&mut bob, message("bob", "Set Stream")).await;
    let (up, mut down) = open(&mut alice, message("alice", "Set Stream")).await;
    let most = "é".repeat(1_000) + "\n";
    for text in [
        "\n",
        "",
        &("x".repeat(1_001) + "\n"),
        &("x".repeat(60_000) + "\n"),
        "a\0b\n",
        &most,
        "two\nlines\n\n",
        "no newline",
        "\u{1b}]0;title\u{7}\n",
        "last\n",
    ] {
        up.send(message("alice", text)).await.unwrap();
    }
    let expected = [
        &*most,
        "two\n    lines\n\n",
        "no newline\n",
        "\\u{1b}]0;title\\u{7}\n",
        "last\n",
    ];
    for text in expected {
        assert_eq!(next(&mut bob_down).await.unwrap().unwrap().msg, text);
    }
    for _ in 0..3 {
        let told = next(&mut down).await.unwrap().unwrap();
        assert_eq!(told.username, "(sns)");
        assert!(told.msg.starts_with("not posted: "), "{told:?}");
        assert!(told.msg.ends_with('\n') && !told.msg.contains('\0'));
    }
    // Too large for a message: that ends the stream, and what came before it is there.
    up.send(message("alice", "before\n")).await.unwrap();
    let huge = "x".repeat(10 * 1024 * 1024);
    up.send(message("alice", &huge)).await.unwrap();
    assert_eq!(next(&mut bob_down).await.unwrap().unwrap().msg, "before\n");
    assert_eq!(next(&mut down).await.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_list_ends_after_ten_thousand_names_and_says_so() {
    let (cluster, address) = school();
    let mut alice = student(&address, "alice").await;
    let names: Vec<String> = (0..10_100).map(|number| format!("u{number:05}")).collect();
    let users = cluster.data().join("users.txt");
    std::fs::write(&users, names.join("\n")).unwrap();
    let follows: Vec<String> = names.iter().map(|name| format!("{name} alice")).collect();
    let edges = cluster.data().join("follows.txt");
    std::fs::write(&edges, follows.join("\n")).unwrap();
    let imported = support::cluster::run(&[
        "import",
        "--data",
        &cluster.data_arg(),
        "--users",
        users.to_str().unwrap(),
        "--follows",
        edges.to_str().unwrap(),
    ]);
    assert!(imported.status.success(), "{imported:?}");
    let listed = alice
        .list(request("alice", &[]))
        .await
        .unwrap()
        .into_inner();
    for (mut list, first) in [(listed.all_users, "alice"), (listed.followers, "u00000")] {
        assert_eq!(list.pop().unwrap(), "(and more: the first 10000 are shown)");
        assert_eq!((list.len(), &*list[0]), (10_000, first));
        assert!(list.is_sorted());
    }
}

#[tokio::test]
async fn with_accounts_nobody_gets_in_and_is_told_why() {
    let data = tempfile::tempdir().unwrap();
    // A router, and a server that announces itself there and wants passwords.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let router = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let door = sns_server::net::Door::plain(sns_server::net::Listener::Router);
    tokio::spawn(serve_on(listener, Rules::default(), door, stop.clone()));
    let flags = [
        "--auth",
        "accounts",
        "--router",
        &format!("http://{router}"),
    ];
    let _server = Server::start_with_flags(data.path(), "off", Stdio::inherit(), &flags).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = GatewayConfig {
        listen: address,
        routers: vec![router],
        tls_ca: None,
    };
    tokio::spawn(gateway::serve_on(listener, config, stop.clone()));
    let mut course = connect(&address.to_string()).await;
    let refused = timeout(PATIENCE, course.login(request("alice", &[])));
    let refused = refused.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    assert!(refused.message().contains("--auth open"), "{refused:?}");
    stop.cancel();
}

#[tokio::test]
async fn a_login_while_nothing_serves_waits_and_is_answered_in_the_end() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let config = GatewayConfig {
        listen: address,
        routers: vec!["127.0.0.1:9".to_owned()],
        tls_ca: None,
    };
    tokio::spawn(gateway::serve_on(listener, config, stop.clone()));
    let mut course = connect(&address.to_string()).await;
    let mut asked = tonic::Request::new(request("alice", &[]));
    asked.set_timeout(Duration::from_secs(1));
    let waited = course.login(asked).await.unwrap_err();
    assert!(
        [Code::Cancelled, Code::DeadlineExceeded].contains(&waited.code()),
        "{waited:?}"
    );
    // Nobody came in, and the name is not taken by who gave up.
    let came = end(&mut course, message("alice", "Set Stream")).await;
    assert_eq!(came, Code::Unauthenticated);
    stop.cancel();
}
