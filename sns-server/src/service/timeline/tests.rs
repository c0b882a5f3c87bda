//! What a stream does when nothing happens, on a clock that jumps ahead. What it does otherwise is
//! tested over the wire.

use super::*;
use std::sync::Arc;

use crate::metrics::Metrics;
use crate::service::accounts::{Accounts, Policy};
use crate::token::TokenKey;
use crate::token::tests::token_of;
use sns_core::Username;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;

struct Scene {
    sns: Sns,
    user: Username,
    shared: Shared,
    shutdown: CancellationToken,
    _open: watch::Sender<Option<Sns>>,
}

impl Scene {
    fn new() -> Self {
        let sns = Sns::in_memory().unwrap();
        let user = sns.user("alice").unwrap();
        let shutdown = CancellationToken::new();
        let (open, opened) = watch::channel(Some(sns.clone()));
        let metrics = Arc::new(Metrics::new("a-master", "a", Duration::from_secs(1)));
        let accounts = Accounts::new(Policy::open(), TokenKey::new([1; 32], "d"));
        let shared = Shared::new(opened, accounts, shutdown.clone(), metrics);
        Self {
            sns,
            user,
            shared,
            shutdown,
            _open: open,
        }
    }

    fn stream(&self, first: Option<Asked>) -> Responses {
        let key = &self.shared.accounts().key;
        let token = token_of(key, self.user, self.sns.applied());
        let caller = key.check(&token, 1).unwrap();
        let first = first.map(|first| {
            Ok(TimelineRequest {
                request: Some(first),
            })
        });
        let requests = stream::iter(first).chain(stream::pending());
        let deadline = Deadline::of(&MetadataMap::new());
        Timeline::new(self.shared.clone(), caller, deadline, requests).into_responses()
    }

    fn open(&self) -> Responses {
        self.stream(Some(Asked::Open(TimelineOpen::default())))
    }
}

#[track_caller]
fn ends_with(next: Option<Result<TimelineResponse, Status>>, reason: ErrorReason) {
    let status = next.unwrap().unwrap_err();
    assert_eq!(status::reason_of(&status), Some(reason));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_open_is_cut_off_after_10_s() {
    let scene = Scene::new();
    let began = Instant::now();
    let mut stream = scene.stream(None);
    ends_with(stream.next().await, ErrorReason::StreamProtocol);
    assert_eq!(began.elapsed().as_secs(), 10);
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_follows_15_s_of_silence_and_says_how_far_the_stream_is() {
    let scene = Scene::new();
    let mut stream = scene.open();
    let caught_up = stream.next().await.unwrap().unwrap();
    assert_eq!(caught_up, heartbeat(scene.sns.applied()));
    // Something that does not concern the reader moves the stream all the same.
    let bob = scene.sns.user("bob").unwrap();
    scene.sns.post(&bob, "x").wait().unwrap();
    let began = Instant::now();
    for round in 1..=3 {
        let next = stream.next().await.unwrap().unwrap();
        assert_eq!(next, heartbeat(scene.sns.applied()));
        assert_eq!(began.elapsed().as_secs(), 15 * round);
    }
}

#[tokio::test]
async fn a_dropped_stream_gives_its_place_back_and_a_stop_ends_it() {
    let scene = Scene::new();
    let mut stream = scene.open();
    stream.next().await.unwrap().unwrap();
    assert_eq!(scene.sns.status().streams, 1);
    drop(stream);
    assert_eq!(scene.sns.status().streams, 0);

    let mut stream = scene.open();
    stream.next().await.unwrap().unwrap();
    scene.shutdown.cancel();
    ends_with(stream.next().await, ErrorReason::ShuttingDown);
    ends_with(scene.open().next().await, ErrorReason::ShuttingDown);

    // As when the replica drains before the transport is told.
    let scene = Scene::new();
    let mut stream = scene.open();
    stream.next().await.unwrap().unwrap();
    scene.sns.drain();
    ends_with(stream.next().await, ErrorReason::ShuttingDown);
}

#[tokio::test]
async fn a_stream_ends_within_a_second_of_the_end_of_its_token() {
    let scene = Scene::new();
    let mut stream = scene.open();
    stream.next().await.unwrap().unwrap();
    let revoked = scene.sns.write().revoke_tokens(&scene.user);
    revoked.wait().unwrap();
    ends_with(stream.next().await, ErrorReason::TokenInvalid);
    ends_with(scene.open().next().await, ErrorReason::TokenInvalid);
}
