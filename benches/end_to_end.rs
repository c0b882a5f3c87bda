//! How long does a call take over gRPC, end to end, and how soon does a post reach a watcher on
//! another replica?
//!
//! Two replicas of one directory log in this process, one of them behind the gRPC service on
//! loopback; one client, one call at a time. The floor of a durable call is the bare `fdatasync`;
//! that of any call is an empty page.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use sns_benches::{TEXT, fdatasync_p50, note};
use sns_core::{EventKind, Settings, Sns};
use sns_proto::v1::sns_service_client::SnsServiceClient;
use sns_proto::v1::{CreatePostRequest, GetHomeTimelineRequest, LoginRequest};
use sns_server::serve;
use sns_server::service::call::Shared;
use sns_server::service::sns::SnsApi;
use sns_server::token::TokenKey;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::service::Routes;
use tonic::transport::Channel;

/// Serves `sns` on a free port of loopback; gives a client of it.
async fn serve(sns: Sns, stop: CancellationToken) -> SnsServiceClient<Channel> {
    let data = sns.data_dir().expect("a directory").clone();
    let key = TokenKey::new(data.secret().expect("a secret"), data.data_id());
    let (_publish, opened) = tokio::sync::watch::channel(Some(sns));
    let mut routes = Routes::builder();
    routes.add_service(SnsApi::new(Shared::new(opened, key, stop.clone())).into_service());
    let listen = "127.0.0.1:0".parse().expect("an address");
    let listener = serve::bind("--listen", listen).await.expect("a port");
    let address = serve::address_of(&listener).expect("an address");
    tokio::spawn(serve::serve(listener, routes.routes(), stop));
    SnsServiceClient::connect(format!("http://{address}"))
        .await
        .expect("a connection")
}

/// A request with the token.
fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {token}").parse().expect("a header");
    request.metadata_mut().insert("authorization", bearer);
    request
}

fn calls(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let p50 = fdatasync_p50(dir.path(), 256);
    note(&format!("bare fdatasync of 256 bytes, p50: {p50:?}"));
    let sns = Sns::builder(dir.path().join("data"))
        .node("one")
        .open()
        .expect("a replica");
    let runtime = Arc::new(tokio::runtime::Runtime::new().expect("a runtime"));
    let stop = CancellationToken::new();
    let mut client = runtime.block_on(serve(sns.clone(), stop.clone()));
    let login = |name: &str| LoginRequest {
        username: name.into(),
        ..LoginRequest::default()
    };
    let token = runtime
        .block_on(client.login(login("alice")))
        .expect("a login")
        .into_inner()
        .token;

    let mut group = c.benchmark_group("unary_call");
    group.bench_function("empty_home_page", |b| {
        b.iter(|| {
            let request = with(&token, GetHomeTimelineRequest::default());
            runtime
                .block_on(client.get_home_timeline(request))
                .expect("a page")
        });
    });
    group.bench_function("durable_post", |b| {
        b.iter(|| {
            let message = CreatePostRequest {
                text: TEXT.into(),
                ..CreatePostRequest::default()
            };
            runtime
                .block_on(client.create_post(with(&token, message)))
                .expect("a post")
        });
    });
    group.bench_function("home_page_of_20", |b| {
        b.iter(|| {
            let request = with(&token, GetHomeTimelineRequest::default());
            runtime
                .block_on(client.get_home_timeline(request))
                .expect("a page")
        });
    });
    group.finish();
    stop.cancel();
    for file_events in [true, false] {
        to_a_watcher(&dir.path().join("data"), &sns, file_events);
    }
}

/// From the call that posts on one replica to the event in a stream of another.
fn to_a_watcher(dir: &std::path::Path, writer: &Sns, file_events: bool) {
    let mut settings = Settings::default();
    settings.file_events = file_events;
    let other = Sns::builder(dir)
        .node("two")
        .settings(settings)
        .open()
        .expect("a replica");
    let alice = other.user("alice").expect("a user");
    let mut stream = other.subscribe(&alice, None).expect("a stream");
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let start = Instant::now();
            let post = writer.post(&alice, TEXT);
            loop {
                if let EventKind::Post(_) = stream.next_blocking().expect("an event").kind {
                    break;
                }
            }
            let took = start.elapsed();
            post.wait().expect("a post");
            took
        })
        .collect();
    times.sort_unstable();
    let (p50, p99) = (times[100], times[198]);
    let how = if file_events {
        "with file events"
    } else {
        "without file events"
    };
    note(&format!(
        "post on one replica to a watcher on another, {how}: p50 {p50:?}, p99 {p99:?}"
    ));
}

criterion_group!(benches, calls);
criterion_main!(benches);
