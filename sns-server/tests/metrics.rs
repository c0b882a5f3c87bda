//! Metrics, probes and logs: what whoever runs the servers goes by.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::process::Stdio;

use http::StatusCode;
use serde_json::{Value, json};
use support::server::{Server, until};
use support::web::Web;

#[path = "support"]
mod support {
    pub(crate) mod server;
    pub(crate) mod web;
}

/// The value of one series, by its whole name with labels.
#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {series} in {text}"));
    line.parse().unwrap()
}

#[tokio::test]
async fn metrics_count_what_was_done_over_either_face() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let web = Web::login(&server.page, "alice").await;
    let alice = server.login("alice").await;
    for number in 0..3 {
        let text = json!({ "text": format!("over HTTP {number}") });
        web.post("/api/v1/posts", &text).await.good();
    }
    let post = sns_proto::v1::CreatePostRequest {
        text: "over gRPC".into(),
        ..Default::default()
    };
    alice
        .api
        .clone()
        .create_post(alice.ask(post))
        .await
        .unwrap();
    web.get("/api/v1/users/nobody/posts").await;
    let events = web.events("", None).await;
    let text = until("the open stream is counted", async || {
        let text = web.get("/metrics").await.text;
        text.contains("\nsns_streams_open 1\n").then_some(text)
    })
    .await;
    let is = |series: &str, wanted: f64| {
        let found = value(&text, series);
        assert!(
            (found - wanted).abs() < f64::EPSILON,
            "{series} {found}, not {wanted}"
        );
    };
    is("sns_calls_total{method=\"CreatePost\",code=\"OK\"}", 4.0);
    is(
        "sns_calls_total{method=\"GetUserTimeline\",code=\"NOT_FOUND\"}",
        1.0,
    );
    is("sns_call_seconds_count{method=\"CreatePost\"}", 4.0);
    is("sns_posts", 4.0);
    is("sns_users", 1.0);
    is("sns_lag_entries", 0.0);
    // The router of this test is not there.
    is("sns_router_connected{router=\"http://127.0.0.1:9\"}", 0.0);
    is("sns_server_state{server=\"self\",state=\"serving\"}", 1.0);
    // Each of the five was appended, synced, applied and seen; nothing else wrote.
    for stage in ["append", "sync", "apply", "visible"] {
        is(&format!("sns_{stage}_seconds_count"), 5.0);
    }
    assert!(value(&text, "sns_sync_seconds_sum") > 0.0);
    assert!(value(&text, "process_resident_memory_bytes") > 1e6);
    assert!(text.ends_with("# EOF\n"), "{text}");
    drop(events);
    // The same second by second.
    until("samples tell of the posts", async || {
        let ops = web.get("/api/v1/ops").await.good();
        let samples = ops["samples"].as_array()?.iter();
        let posts: f64 = samples
            .map(|sample| sample["posts"].as_f64().unwrap())
            .sum();
        (posts > 3.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_metric_that_dashboard_and_alerts_name_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let web = Web::login(&server.page, "alice").await;
    let text = web.get("/metrics").await.text;
    let series = text.lines().filter(|line| !line.starts_with('#'));
    let there: BTreeSet<&str> = series
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let deploy = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana");
    for file in ["dashboard.json", "alerts.yml"] {
        let text = std::fs::read_to_string(deploy.join(file)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let ours = ["sns_", "process_"];
        let named: BTreeSet<&str> = words
            .filter(|word| ours.iter().any(|prefix| word.starts_with(prefix)))
            .collect();
        assert!(named.len() > 5, "{file} names {named:?}");
        let missing: Vec<_> = named.difference(&there).collect();
        assert!(
            missing.is_empty(),
            "{file} names {missing:?}, which no server tells"
        );
    }
}

#[tokio::test]
async fn probes_say_whether_it_lives_and_serves() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path()).await;
    let web = Web::new(&server.page);
    for probe in ["/livez", "/readyz"] {
        let answer = web.get(probe).await;
        assert_eq!(
            (answer.status, &*answer.text),
            (StatusCode::OK, "ok\n"),
            "{probe}"
        );
    }
    server.signal(rustix::process::Signal::TERM);
    // While it drains it says so, as long as it answers at all.
    while let Some(answer) = web.try_get("/readyz").await {
        if answer.status != StatusCode::OK {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.text, "draining\n");
        }
    }
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn logs_are_json_and_hold_no_text_and_no_token() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("stderr");
    let file = std::fs::File::create(&log).unwrap();
    let data = dir.path().join("data");
    let trace = "debug,h2=info,hyper=info,sns_server=trace,sns_core=trace";
    let server = Server::start_with(&data, trace, Stdio::from(file)).await;
    let web = Web::login(&server.page, "alice").await;
    let secret = "a secret that nobody else shall read";
    let text = json!({ "text": secret });
    let made = web.post("/api/v1/posts", &text).await.good();
    let mut alice = server.login("alice").await;
    let post = sns_proto::v1::CreatePostRequest {
        text: format!("{secret}{}", "!".repeat(1_000)),
        ..Default::default()
    };
    // Refused: the refusal must not quote it.
    alice.api.create_post(alice.ask(post)).await.unwrap_err();
    let mut events = web.events("", None).await;
    events.next().await.unwrap();
    let id = made["post"]["id"].as_str().unwrap();
    web.delete(&format!("/api/v1/posts/{id}")).await.good();
    server.kill();
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.lines().count() > 5, "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
    let mac = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    for hidden in [secret.to_owned(), mac(&web.token), mac(&alice.token)] {
        assert!(!log.contains(&hidden), "the log holds {hidden:?}");
    }
}

#[tokio::test]
async fn a_slow_call_is_logged_with_what_the_server_was_doing() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("stderr");
    let file = std::fs::File::create(&log).unwrap();
    let data = dir.path().join("data");
    // With no time allowed every call is slow.
    let server =
        Server::start_with_flags(&data, "warn", Stdio::from(file), &["--slow-call-ms", "0"]).await;
    Web::login(&server.page, "alice").await;
    let line = until("the call is in the log", async || {
        let log = std::fs::read_to_string(&log).ok()?;
        let line = log.lines().find(|line| line.contains("a slow call"))?;
        serde_json::from_str::<Value>(line).ok()
    })
    .await;
    assert_eq!(
        (&line["method"], &line["code"]),
        (&json!("Login"), &json!("Ok"))
    );
    for field in ["ms", "queued"] {
        assert!(line[field].is_u64(), "{line}");
    }
    for field in ["appender", "applier"] {
        assert!(line[field].is_string(), "{line}");
    }
}
