//! How a server starts and stops: what it promised is there, and it says why it cannot.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/server.rs"]
mod support;

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sns_proto::v1::timeline_request::Request as Asked;
use sns_proto::v1::{
    CreatePostRequest, ErrorReason as R, GetUserTimelineRequest, TimelineOpen, TimelineRequest,
    TimelineResponse,
};
use support::{Caller, PATIENCE, PROGRAM, Server, master_args, refused};
use tempfile::TempDir;
use tokio_stream::StreamExt as _;
use tonic::Streaming;

async fn post(caller: &Caller, text: &str) -> u64 {
    let request = caller.ask(CreatePostRequest {
        text: text.into(),
        ..CreatePostRequest::default()
    });
    let answer = caller.api.clone().create_post(request).await.unwrap();
    answer.into_inner().post.unwrap().id
}

async fn posts(caller: &Caller) -> Vec<u64> {
    let mut request = GetUserTimelineRequest {
        page_size: 200,
        ..GetUserTimelineRequest::default()
    };
    let mut ids = Vec::new();
    loop {
        let asked = caller.ask(request.clone());
        let page = caller.api.clone().get_user_timeline(asked).await.unwrap();
        let page = page.into_inner();
        ids.extend(page.posts.iter().map(|post| post.id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return ids;
        }
    }
}

/// A stream without a backlog, which the client never closes.
async fn stream(caller: &Caller) -> Streaming<TimelineResponse> {
    let open = TimelineOpen {
        backlog: Some(0),
        ..TimelineOpen::default()
    };
    let first = TimelineRequest {
        request: Some(Asked::Open(open)),
    };
    let requests = tokio_stream::once(first).chain(tokio_stream::pending());
    let answer = caller.api.clone().timeline(caller.ask(requests)).await;
    answer.unwrap().into_inner()
}

/// Runs the program to its end; one that does not come to an end is killed, and the test fails.
async fn run(arguments: &[String]) -> Output {
    let child = tokio::process::Command::new(PROGRAM)
        .args(arguments)
        .env("SNS_TRACE", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    ended.expect("it runs on").unwrap()
}

/// Checks the exit code, and that stderr is one object that holds `hint`.
#[track_caller]
fn complains(output: &Output, code: i32, hint: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let object: serde_json::Value = serde_json::from_str(stderr.trim()).unwrap();
    let message = object["error"]["message"].as_str().unwrap();
    assert!(message.contains(hint), "{message}");
    assert!(!message.contains('\n'), "{message}");
}

fn json(mut arguments: Vec<String>) -> Vec<String> {
    arguments.push("--json".to_owned());
    arguments
}

/// The master's arguments with one of them changed.
fn with(data: &Path, flag: &str, value: &str) -> Vec<String> {
    let mut arguments = master_args(data);
    let at = arguments.iter().position(|word| word == flag).unwrap();
    value.clone_into(&mut arguments[at + 1]);
    json(arguments)
}

#[tokio::test]
async fn a_stop_ends_streams_with_shutting_down_and_the_exit_code_is_0() {
    let data = TempDir::new().unwrap();
    let mut server = Server::start(data.path()).await;
    let alice = server.login("alice").await;
    let mut live = stream(&alice).await;
    live.message().await.unwrap().unwrap();
    // One that nobody reads must not hold up the stop.
    let unread = stream(&alice).await;
    let text = "x".repeat(1_000);
    let many = (0..2_000).map(|_| post(&alice, &text));
    let made = futures_util::future::join_all(many).await;

    let asked = Instant::now();
    // As from a terminal and a parent at once: still one wish, and no death.
    server.signal(Signal::TERM);
    server.signal(Signal::INT);
    let end = loop {
        match live.message().await {
            Ok(message) => drop(message.expect("the stream ended without a status")),
            Err(status) => break status,
        }
    };
    refused::<()>(Err(end), R::ShuttingDown);
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(
        asked.elapsed() < Duration::from_secs(6),
        "{:?}",
        asked.elapsed()
    );
    drop(unread);

    // All is there, and the token is still good.
    let server = Server::start(data.path()).await;
    let again = Caller {
        api: server.login("bob").await.api,
        ..alice
    };
    assert_eq!(posts(&again).await.len(), made.len());
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let data = TempDir::new().unwrap();
    let server = Server::start(data.path()).await;
    let alice = server.login("alice").await;
    // Killed in the middle of many writes.
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let alice = alice.clone();
            tokio::spawn(async move {
                let mut made = Vec::new();
                loop {
                    let request = alice.ask(CreatePostRequest {
                        text: "x".into(),
                        ..CreatePostRequest::default()
                    });
                    match alice.api.clone().create_post(request).await {
                        Ok(answer) => made.push(answer.into_inner().post.unwrap().id),
                        Err(_) => return made,
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.kill();
    let mut made = Vec::new();
    for writer in writers {
        made.extend(writer.await.unwrap());
    }
    assert!(!made.is_empty());

    let server = Server::start(data.path()).await;
    let alice = server.login("alice").await;
    assert!(!alice.created);
    let there = posts(&alice).await;
    assert!(there.is_sorted_by(|a, b| a > b), "newest first, each once");
    let missing: Vec<&u64> = made.iter().filter(|id| !there.contains(id)).collect();
    assert!(missing.is_empty(), "lost {missing:?}");
    // At most one write of each writer was under way when it was killed.
    assert!(
        there.len() <= made.len() + 8,
        "{} of {}",
        there.len(),
        made.len()
    );
}

#[tokio::test]
async fn a_start_that_cannot_be_says_why_in_one_line() {
    let data = TempDir::new().unwrap();
    let server = Server::start(data.path()).await;
    complains(
        &run(&json(master_args(data.path()))).await,
        7,
        "a-master runs",
    );

    let other = TempDir::new().unwrap();
    let taken = with(other.path(), "--listen", &server.address);
    complains(&run(&taken).await, 7, "in use");
    complains(
        &run(&with(other.path(), "--name", "../a")).await,
        2,
        "no pair",
    );
    complains(
        &run(&with(other.path(), "--router", "nowhere")).await,
        2,
        "http://host:port",
    );
    complains(&run(&json(vec!["fly".into()])).await, 2, "fly");

    // A file where the directory should be.
    let file = other.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let in_the_way = run(&json(master_args(&file))).await;
    assert!(!in_the_way.status.success());
    complains(&in_the_way, in_the_way.status.code().unwrap(), "file");
    // Somebody else's directory.
    let stranger = TempDir::new().unwrap();
    std::fs::write(stranger.path().join("thesis.tex"), "x").unwrap();
    complains(
        &run(&json(master_args(stranger.path()))).await,
        2,
        "thesis.tex",
    );
    assert_eq!(std::fs::read_dir(stranger.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_damaged_log_is_not_served() {
    let data = TempDir::new().unwrap();
    let mut server = Server::start(data.path()).await;
    let alice = server.login("alice").await;
    for n in 0..5 {
        post(&alice, &format!("post {n}")).await;
    }
    server.signal(Signal::TERM);
    server.ended().await;
    let log = data.path().join("log");
    let entries = std::fs::read_dir(log).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let segment = paths.find(|path| path.extension().is_some_and(|e| e == "seg"));
    let segment = segment.unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(6).position(|part| part == b"post 2").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    // A view that would have to be rebuilt meets the damage; an intact one need not.
    std::fs::remove_dir_all(data.path().join("nodes/a-master/view")).unwrap();
    complains(&run(&json(master_args(data.path()))).await, 9, "damaged");
}
