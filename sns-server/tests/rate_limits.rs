//! How much one user may do in a time, over each face, and that our client waits as it is told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Stdio;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use sns_client::{Client, Event, Options};
use sns_proto::v1::timeline_request::Request as Asked;
use sns_proto::v1::timeline_response::Response as Told;
use sns_proto::v1::{
    CreatePostRequest, ErrorReason, FollowRequest, TimelineOpen, TimelinePost, TimelineRequest,
};
use support::server::{Server, refused};
use support::web::Web;
use tokio_stream::StreamExt as _;
use tonic_types::StatusExt as _;

#[path = "support"]
mod support {
    pub(crate) mod cluster;
    pub(crate) mod server;
    pub(crate) mod web;
}

const ON: &[&str] = &["--rate-limits", "on"];

async fn server(data: &std::path::Path, flags: &[&str]) -> Server {
    Server::start_with_flags(data, "warn", Stdio::inherit(), flags).await
}

#[tokio::test]
async fn too_many_posts_are_refused_with_a_true_wait_and_not_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), ON).await;
    let alice = server.login("alice").await;
    let mut api = alice.api.clone();
    let mut number = 0_u128;
    let (limited, post) = loop {
        number += 1;
        assert!(number < 1_000, "never limited");
        let post = CreatePostRequest {
            text: "x".into(),
            request_id: format!("00000000-0000-4000-8000-{number:012x}"),
            seen: alice.seq,
        };
        if let Err(limited) = api.create_post(alice.ask(post.clone())).await {
            break (limited, post);
        }
    };
    assert!(number > 50, "limited after {number}");
    let wait = limited.get_details_retry_info().unwrap().retry_delay;
    let wait = wait.unwrap();
    assert!(wait <= Duration::from_millis(100), "{wait:?}");
    refused::<()>(Err(limited), ErrorReason::RateLimited);
    // Others are not: each has a rate.
    let bob = server.login("bob").await;
    let other = CreatePostRequest {
        text: "y".into(),
        ..Default::default()
    };
    bob.api.clone().create_post(bob.ask(other)).await.unwrap();
    tokio::time::sleep(wait).await;
    let made = api.create_post(alice.ask(post.clone())).await.unwrap();
    let again = api.create_post(alice.ask(post)).await;
    // The same request is answered with the same post, if it is not too early for that.
    if let Ok(again) = again {
        assert_eq!(again.into_inner().post, made.into_inner().post);
    }
}

#[tokio::test]
async fn follows_streams_and_posts_on_a_stream_are_limited_too() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), ON).await;
    let alice = server.login("alice").await;
    let mut api = alice.api.clone();
    let mut outcomes = Vec::new();
    for _ in 0..101 {
        let follow = FollowRequest {
            username: "nobody".into(),
            ..Default::default()
        };
        outcomes.push(api.follow(alice.ask(follow)).await);
    }
    refused(outcomes.pop().unwrap(), ErrorReason::RateLimited);
    for outcome in outcomes {
        refused(outcome, ErrorReason::UserNotFound);
    }
    let asked = |asked| TimelineRequest {
        request: Some(asked),
    };
    let mut requests = vec![asked(Asked::Open(TimelineOpen::default()))];
    for _ in 0..60 {
        requests.push(asked(Asked::Post(TimelinePost {
            text: "x".into(),
            ..Default::default()
        })));
    }
    let requests = tokio_stream::iter(requests).chain(tokio_stream::pending());
    let mut answers = api
        .timeline(alice.ask(requests))
        .await
        .unwrap()
        .into_inner();
    let limited = loop {
        if let Some(Told::Refused(refused)) = answers.next().await.unwrap().unwrap().response {
            break refused;
        }
    };
    assert_eq!(limited.reason(), ErrorReason::RateLimited);
    assert!((1..=100).contains(&limited.retry_after_ms), "{limited:?}");
    let mut open = vec![answers];
    let refusal = loop {
        let requests = vec![asked(Asked::Open(TimelineOpen::default()))];
        let requests = tokio_stream::iter(requests).chain(tokio_stream::pending());
        match api.timeline(alice.ask(requests)).await {
            Ok(stream) => open.push(stream.into_inner()),
            Err(refusal) => break refusal,
        }
        assert!(open.len() <= 50, "{} streams", open.len());
    };
    assert_eq!(open.len(), 50);
    refused::<()>(Err(refusal), ErrorReason::RateLimited);
}

#[tokio::test]
async fn a_page_is_told_429_and_when_to_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), ON).await;
    let web = Web::login(&server.page, "alice").await;
    let text = json!({ "text": "x" });
    let mut limited = web.post("/api/v1/posts", &text).await;
    for _ in 0..200 {
        if limited.status != StatusCode::OK {
            break;
        }
        limited = web.post("/api/v1/posts", &text).await;
    }
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limited.headers["retry-after"], "1");
    let error = limited.json();
    assert_eq!(error["error"]["reason"], "RATE_LIMITED");
    assert!(error["error"]["retry_after_ms"].as_u64().unwrap() <= 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_waits_as_it_is_told_and_its_streams_outlive_their_connections() {
    let dir = tempfile::tempdir().unwrap();
    let flags = [
        "--rate-limits",
        "on",
        "--max-connection-age",
        "2",
        "--http",
        "off",
    ];
    let mut cluster = support::cluster::Cluster::spawn_with(dir, 1, "127.0.0.1:0", &flags);
    cluster.greeting();
    let routers = [cluster.url.clone()];
    let connect = async |name: &str| {
        let options = Options::new(name).routers(routers.clone());
        Client::connect(options).await.unwrap()
    };
    let (reader, client) = (connect("reader").await, connect("alice").await);
    reader.follow("alice").await.unwrap();
    let mut timeline = reader.timeline().open().await.unwrap();
    let began = std::time::Instant::now();
    let mut made = 0;
    while began.elapsed() < Duration::from_secs(8) {
        client.post(format!("{made}")).await.unwrap();
        made += 1;
    }
    assert!(made > 100, "{made} posts");
    let mut read = 0;
    while read < made {
        let next = tokio::time::timeout(Duration::from_secs(20), timeline.next());
        let event = next.await.unwrap().unwrap().unwrap();
        if let Event::Post(post) = event {
            assert_eq!(post.text, read.to_string());
            read += 1;
        }
    }
}
