//! How long does a call take over gRPC, end to end, and how soon does a post reach a watcher on
//! another replica?
//!
//! Two replicas of one directory log in this process, one of them behind the gRPC service on
//! loopback; one client, one call at a time. The floor of any call is an empty unary one (a health
//! check over the same connection); that of a durable one is that and a bare `fdatasync`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use sns_benches::{TEXT, beside, floor, load, note};
use sns_core::{EventKind, Settings, Sns};
use sns_proto::v1::sns_service_client::SnsServiceClient;
use sns_proto::v1::{CreatePostRequest, GetHomeTimelineRequest, LoginRequest};
use sns_server::metrics::Metrics;
use sns_server::net::{Door, Listener};
use sns_server::serve;
use sns_server::service::accounts::{Accounts, Policy};
use sns_server::service::call::Shared;
use sns_server::service::sns::SnsApi;
use sns_server::token::TokenKey;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Serves `sns` on a free port of loopback; gives a connection to it.
async fn serve(sns: Sns, stop: CancellationToken) -> Channel {
    let data = sns.data_dir().expect("a directory").clone();
    let key = TokenKey::new(data.secret().expect("a secret"), data.data_id());
    let (_publish, opened) = tokio::sync::watch::channel(Some(sns));
    let mut routes = Routes::builder();
    let metrics = Arc::new(Metrics::new("a-master", "a", Duration::from_secs(1)));
    let shared = Shared::new(
        opened,
        Accounts::new(Policy::open(), key),
        stop.clone(),
        metrics,
    );
    routes.add_service(SnsApi::new(shared).into_service());
    let health = serve::common(&mut routes, "sns.v1.SnsService").await;
    health.expect("a health service").set(true).await;
    let listen = "127.0.0.1:0".parse().expect("an address");
    let listener = serve::bind("--listen", listen).await.expect("a port");
    let address = serve::address_of(&listener).expect("an address");
    tokio::spawn(serve::serve(
        listener,
        routes.routes(),
        Door::plain(Listener::Calls),
        stop,
    ));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("a connection")
}

/// A request with the token.
fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {token}").parse().expect("a header");
    request.metadata_mut().insert("authorization", bearer);
    request
}

/// Calls again and again, and says what a call takes beside its floor.
fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    floor: Option<(&str, Duration)>,
    mut call: impl FnMut(),
) -> Duration {
    let mut times = Vec::new();
    group.bench_function(name, |b| {
        b.iter_custom(|iterations| {
            let begun = Instant::now();
            for _ in 0..iterations {
                let start = Instant::now();
                call();
                times.push(start.elapsed());
            }
            begun.elapsed()
        });
    });
    let p50 = floor::median(times);
    if let Some((floor, least)) = floor
        && p50 > Duration::ZERO
    {
        beside(&format!("{name}, p50"), p50, floor, least);
    }
    p50
}

fn calls(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let sync = floor::fdatasync_p50(dir.path(), 256);
    note(&format!("bare fdatasync of 256 bytes, p50: {sync:?}"));
    let sns = Sns::builder(dir.path().join("data"))
        .node("one")
        .open()
        .expect("a replica");
    let runtime = Arc::new(tokio::runtime::Runtime::new().expect("a runtime"));
    let stop = CancellationToken::new();
    let channel = runtime.block_on(serve(sns.clone(), stop.clone()));
    let mut health = HealthClient::new(channel.clone());
    let mut client = SnsServiceClient::new(channel);
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
    group.throughput(Throughput::Elements(1));
    let empty = bench(&mut group, "empty", None, || {
        let call = health.check(HealthCheckRequest::default());
        runtime.block_on(call).expect("an answer");
    });
    let floor = Some(("an empty unary call", empty));
    let mut page = |group: &mut _, name: &str, posts: usize| {
        bench(group, name, floor, || {
            let request = with(&token, GetHomeTimelineRequest::default());
            let call = client.get_home_timeline(request);
            let page = runtime.block_on(call).expect("a page").into_inner();
            assert_eq!(page.posts.len(), posts);
        });
    };
    page(&mut group, "empty_home_page", 0);
    let alice = sns.user("alice").expect("a user");
    load::posts_in_turns(&sns, &[alice], 40, TEXT, &mut |_| ());
    page(&mut group, "home_page_of_20", 20);
    let floor = Some(("an empty unary call and a bare fdatasync", empty + sync));
    bench(&mut group, "durable_post", floor, || {
        let message = CreatePostRequest {
            text: TEXT.into(),
            ..CreatePostRequest::default()
        };
        let call = client.create_post(with(&token, message));
        runtime.block_on(call).expect("a post");
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
