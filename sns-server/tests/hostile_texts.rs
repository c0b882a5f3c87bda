//! Texts and names that were written to do harm, through every output of a server: they come back
//! byte for byte where programs read, and act on nothing where people do.
#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

#[path = "../../sns-core/tests/support/hostile.rs"]
mod hostile;
#[path = "support/server.rs"]
mod server;
#[path = "support/web.rs"]
mod web;

use std::process::{Command, Stdio};

use prost::Message as _;
use rustix::process::Signal;
use serde_json::{Value, json};
use server::{PROGRAM, Server, refused};
use sns_proto::escape::is_treacherous;
use sns_proto::v1::{CreatePostRequest, ErrorReason, LoginRequest, LoginResponse};
use tonic::codegen::http::uri::PathAndQuery;
use web::Web;

fn all() -> Vec<String> {
    let scripts = hostile::SCRIPTS.iter().map(|text| (*text).to_owned());
    hostile::texts().into_iter().chain(scripts).collect()
}

/// A line that somebody may look at on a terminal.
#[track_caller]
fn is_calm(text: &str) {
    for line in text.lines() {
        assert!(!line.contains(is_treacherous), "{line:?}");
    }
}

#[tokio::test]
async fn texts_come_back_byte_for_byte_and_nothing_that_people_read_acts() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = dir.path().join("log");
    let stderr = Stdio::from(std::fs::File::create(&log).unwrap());
    let mut server = Server::start_with(&data, "debug", stderr).await;
    let reader = Web::login(&server.page, "wolpertinger").await;
    let mut writer = server.login("tatzelwurm").await;
    let follow = json!({ "username": "tatzelwurm" });
    reader.post("/api/v1/follow", &follow).await.good();
    let mut events = reader.events("", None).await;

    let texts = all();
    for text in &texts {
        let request = writer.ask(CreatePostRequest {
            text: text.clone(),
            ..CreatePostRequest::default()
        });
        writer.api.create_post(request).await.unwrap();
        // Live, as server-sent events: a line break in a text begins no field and no event.
        let event = loop {
            let event = events.next().await.unwrap();
            if event.name == "post" {
                break event;
            }
        };
        assert_eq!(event.data["text"], **text, "{event:?}");
    }
    let page = reader.get("/api/v1/home?limit=200").await;
    assert_eq!(page.headers["content-type"], "application/json");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    let page = page.good();
    let posts: Vec<&Value> = page["posts"].as_array().unwrap().iter().rev().collect();
    assert_eq!(posts.len(), texts.len());
    for (post, text) in posts.iter().zip(&texts) {
        assert_eq!(post["text"], **text);
    }
    // Neither names nor texts are labels, or anything else, of a metric.
    let metrics = reader.get("/metrics").await.text;
    is_calm(&metrics);
    for word in ["tatzelwurm", "wolpertinger", "evil", "<script"] {
        assert!(!metrics.contains(word), "{word}");
    }

    server.signal(Signal::TERM);
    server.ended().await;
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.lines().count() > 3, "something was logged");
    is_calm(&log);
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["level"].is_string(), "{line}");
    }
    assert!(!log.contains("window.broken"), "texts are not logged");

    let data = data.to_str().unwrap();
    let dump = Command::new(PROGRAM)
        .args(["log", "dump", "--data", data])
        .output()
        .unwrap();
    let dump = String::from_utf8(dump.stdout).unwrap();
    is_calm(&dump);
    let mut dumped = Vec::new();
    for line in dump.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        for command in entry["commands"].as_array().unwrap() {
            if command["kind"] == "create_post" {
                dumped.push(command["text"].as_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(dumped, texts);
}

#[tokio::test]
async fn bad_names_are_refused_everywhere_in_words_that_act_on_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let alice = server.login("alice").await;
    let web = Web::login(&server.page, "alice").await;
    for name in hostile::BAD_NAMES {
        let mut api = alice.api.clone();
        let outcome = api
            .login(LoginRequest {
                username: (*name).to_owned(),
                password: String::new(),
            })
            .await;
        is_calm(outcome.as_ref().unwrap_err().message());
        refused(outcome, ErrorReason::UsernameInvalid);
        for path in ["/api/v1/login", "/api/v1/follow"] {
            let answer = web.post(path, &json!({ "username": name })).await;
            assert_eq!(answer.status, 400, "{name:?} {}", answer.text);
            let error = answer.json()["error"].clone();
            assert_eq!(error["reason"], "USERNAME_INVALID", "{name:?}");
            is_calm(error["message"].as_str().unwrap());
        }
    }
    for name in hostile::ODD_NAMES {
        let odd = Web::login(&server.page, name).await;
        let text = json!({ "text": "here" });
        let post = odd.post("/api/v1/posts", &text).await.good();
        assert_eq!(post["post"]["author"], *name);
    }
}

/// As a login, and its name need not be text.
#[derive(Clone, PartialEq, prost::Message)]
struct RawLogin {
    #[prost(bytes = "vec", tag = "1")]
    username: Vec<u8>,
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused_by_the_decoder() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut grpc = tonic::client::Grpc::new(server.channel().await);
    for bad in [
        // Overlong, a surrogate, past the end, a lone continuation, cut short.
        &b"\xc0\xaf"[..],
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\x80",
        b"alice\xc3",
        b"\xff\xfe",
    ] {
        grpc.ready().await.unwrap();
        let request = RawLogin {
            username: bad.to_vec(),
        };
        assert!(LoginRequest::decode(&*request.encode_to_vec()).is_err());
        let codec = tonic_prost::ProstCodec::<RawLogin, LoginResponse>::default();
        let path = PathAndQuery::from_static("/sns.v1.SnsService/Login");
        let outcome = grpc.unary(tonic::Request::new(request), path, codec).await;
        let status = outcome.unwrap_err();
        assert!(
            matches!(
                status.code(),
                tonic::Code::Internal | tonic::Code::InvalidArgument
            ),
            "{status:?}"
        );
        is_calm(status.message());
    }
    // It serves on.
    server.login("alice").await;
}
