//! Attackers with bare connections, and honest users beside them: who floods is cut off, who is honest
//! notices nothing. The same at full scale: `cargo xtask attack`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sns_proto::v1::{CreatePostRequest, GetHomeTimelineRequest};
use support::raw::{self, Raw, frame};
use support::server::{Caller, Server, until};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

#[path = "support"]
mod support {
    pub(crate) mod raw;
    pub(crate) mod server;
}

/// How long an attack is waited for: far more than it takes.
const PATIENCE: Duration = Duration::from_secs(30);

async fn server(data: &Path, flags: &[&str]) -> Server {
    Server::start_with_flags(data, "warn", Stdio::inherit(), flags).await
}

async fn post(caller: &Caller, text: &str) {
    let post = CreatePostRequest {
        text: text.into(),
        ..Default::default()
    };
    caller
        .api
        .clone()
        .create_post(caller.ask(post))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_keep_nobody_out_and_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &["--max-connections", "100"]).await;
    let before = server.login("before").await;
    let mut silent = JoinSet::new();
    for _ in 0..300 {
        let raw = Raw::connect(&server.address).await.unwrap();
        silent.spawn(raw.closed(PATIENCE));
    }
    // Whoever is here stays, whoever comes is let in.
    post(&before, "I was here first").await;
    let after = server.login("after").await;
    post(&after, "I came in all the same").await;
    while let Some(closed) = silent.join_next().await {
        assert!(closed.unwrap().is_some(), "a silent connection stays open");
    }
    post(&before, "I am still here").await;
}

#[tokio::test]
async fn a_greeting_that_trickles_in_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]).await;
    let mut raw = Raw::connect(&server.address).await.unwrap();
    let mut bytes = raw::PREFACE.iter().cycle();
    until("the trickle is cut off", async || {
        tokio::time::sleep(Duration::from_millis(990)).await;
        raw.0.write_all(&[*bytes.next()?]).await.err()
    })
    .await;
}

#[tokio::test]
async fn frames_that_carry_nothing_end_their_connection() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]).await;
    let honest = server.login("honest").await;
    let open = frame(
        raw::HEADERS,
        raw::END_HEADERS,
        1,
        &raw::headers("/sns.v1.SnsService/Timeline", None),
    );
    let mut headless = frame(raw::HEADERS, 0, 1, &raw::headers("/x/Y", None));
    headless.extend(frame(raw::CONTINUATION, 0, 1, b""));
    for (name, first, flood) in [
        ("pings", vec![], frame(raw::PING, 0, 0, &[7; 8])),
        (
            "settings",
            vec![],
            frame(raw::SETTINGS, 0, 0, &raw::setting(4, 65_535)),
        ),
        ("priorities", vec![], frame(2, 0, 1, &[0, 0, 0, 3, 1])),
        (
            "window updates",
            vec![],
            frame(raw::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        ),
        ("unknown frames", vec![], frame(77, 0, 0, b"")),
        ("empty data", open, frame(raw::DATA, 0, 1, b"")),
        (
            "empty continuations",
            headless,
            frame(raw::CONTINUATION, 0, 1, b""),
        ),
    ] {
        let mut raw = Raw::greet(&server.address, b"").await.unwrap();
        raw.0.write_all(&first).await.unwrap();
        let flooded = raw.flood(&flood.repeat(64), 64, PATIENCE).await;
        assert!(flooded.cut, "{name} go on for ever: {flooded:?}");
        post(&honest, name).await;
    }
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_end_their_connection() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]).await;
    let honest = server.login("honest").await;
    let mut raw = Raw::greet(&server.address, b"").await.unwrap();
    let block = raw::headers("/sns.v1.SnsService/ListUsers", Some(&honest.token));
    let mut cut = false;
    for stream in (1..1_000_000_u32).step_by(2) {
        let mut bytes = frame(raw::HEADERS, raw::END_HEADERS, stream, &block);
        bytes.extend(frame(raw::RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        if raw.0.write_all(&bytes).await.is_err() {
            cut = true;
            break;
        }
    }
    assert!(cut, "rapid resets go on for ever");
    post(&honest, "nothing happened").await;
}

#[tokio::test]
async fn a_header_list_without_end_ends_its_connection() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]).await;
    let honest = server.login("honest").await;
    let mut raw = Raw::greet(&server.address, b"").await.unwrap();
    let begin = frame(raw::HEADERS, 0, 1, &raw::headers("/x/Y", None));
    raw.0.write_all(&begin).await.unwrap();
    let more = raw::header("x-more", &"m".repeat(10_000));
    let flood = frame(raw::CONTINUATION, 0, 1, &more);
    let flooded = raw.flood(&flood, 1, PATIENCE).await;
    assert!(flooded.cut, "{flooded:?}");
    post(&honest, "nothing happened").await;
}

#[tokio::test]
async fn messages_that_are_too_long_are_refused_and_cost_nobody_anything() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]).await;
    let honest = server.login("honest").await;
    let text = "x".repeat(1024 * 1024);
    for _ in 0..100 {
        let post = CreatePostRequest {
            text: text.clone(),
            ..Default::default()
        };
        let mut api = honest.api.clone();
        let refused = api.create_post(honest.ask(post)).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::OutOfRange, "{refused:?}");
    }
    post(&honest, "nothing happened").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_take_nothing_hold_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]).await;
    let honest = server.login("honest").await;
    for _ in 0..50 {
        post(&honest, &"long ".repeat(190)).await;
    }
    // Windows that stay shut: the answers wait at the server.
    let shut = raw::setting(4, 0);
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::greet(&server.address, &shut).await.unwrap();
        let method = "/sns.v1.SnsService/GetHomeTimeline";
        let block = raw::headers(method, Some(&honest.token));
        for stream in (1..400_u32).step_by(2) {
            let call = frame(raw::HEADERS, raw::END_HEADERS, stream, &block);
            raw.0.write_all(&call).await.unwrap();
            let asks = raw::message(&[8, 50]);
            let asks = frame(raw::DATA, raw::END_STREAM, stream, &asks);
            raw.0.write_all(&asks).await.unwrap();
        }
        open.push(raw);
    }
    for number in 0..20 {
        post(&honest, &format!("{number}")).await;
        let page = GetHomeTimelineRequest::default();
        let mut api = honest.api.clone();
        let page = api.get_home_timeline(honest.ask(page)).await.unwrap();
        assert_eq!(page.into_inner().posts[0].text, number.to_string());
    }
}
