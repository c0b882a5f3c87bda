//! TIMELINE mode over the wire, against a real process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/server.rs"]
mod support;

use sns_proto::v1::timeline_request::Request as Asked;
use sns_proto::v1::timeline_response::Response as Told;
use sns_proto::v1::{
    CreatePostRequest, DeletePostRequest, ErrorReason as R, FollowRequest, Post, TimelineOpen,
    TimelinePost, TimelineRequest, TimelineResponse, UnfollowRequest,
};
use support::{Caller, PATIENCE, Server, refused};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

async fn server() -> (Server, TempDir) {
    let data = TempDir::new().unwrap();
    (Server::start(data.path()).await, data)
}

/// One open stream, seen from the client.
struct Stream {
    /// `None`: half-closed.
    requests: Option<mpsc::Sender<TimelineRequest>>,
    responses: Streaming<TimelineResponse>,
    /// The highest seq that came down.
    seq: u64,
}

impl Stream {
    async fn raw(caller: &mut Caller, first: Option<Asked>) -> Self {
        let (requests, sent) = mpsc::channel(1_024);
        if let Some(first) = first {
            let first = TimelineRequest {
                request: Some(first),
            };
            requests.send(first).await.unwrap();
        }
        let request = caller.ask(ReceiverStream::new(sent));
        Self {
            requests: Some(requests),
            responses: caller.api.timeline(request).await.unwrap().into_inner(),
            seq: 0,
        }
    }

    async fn open(caller: &mut Caller, open: TimelineOpen) -> Self {
        Self::raw(caller, Some(Asked::Open(open))).await
    }

    /// Opened without a backlog, and caught up.
    async fn live(caller: &mut Caller) -> Self {
        let mut stream = Self::open(caller, backlog(0)).await;
        assert_eq!(stream.next().await, Seen::Heartbeat);
        stream
    }

    async fn send(&mut self, request: Option<Asked>) {
        let requests = self.requests.as_ref().unwrap();
        requests.send(TimelineRequest { request }).await.unwrap();
    }

    async fn post(&mut self, text: &str, request_id: &str) {
        let post = TimelinePost {
            text: text.into(),
            request_id: request_id.into(),
            seen: 0,
        };
        self.send(Some(Asked::Post(post))).await;
    }

    fn half_close(&mut self) {
        self.requests = None;
    }

    async fn message(&mut self) -> Result<Option<TimelineResponse>, Status> {
        let next = tokio::time::timeout(PATIENCE, self.responses.message());
        next.await.expect("nothing came down")
    }

    async fn next(&mut self) -> Seen {
        let response = self.message().await.unwrap().expect("the stream ended");
        let seq = response.seq;
        let seen = match response.response.unwrap() {
            Told::Posted(posted) => Seen::Posted(posted.request_id, posted.post.unwrap().id),
            Told::Refused(refused) => {
                assert_eq!(refused.code, sns_proto::reason::code_of(refused.reason()));
                assert!(!refused.message.is_empty());
                Seen::Refused(refused.request_id.clone(), refused.reason())
            }
            Told::Post(post) => {
                assert_eq!(seq, post.id);
                Seen::Post(post.id)
            }
            Told::Deleted(deleted) => Seen::Deleted(deleted.id),
            Told::Heartbeat(_) => Seen::Heartbeat,
        };
        if matches!(seen, Seen::Posted(..) | Seen::Refused(..)) {
            assert_eq!(seq, 0, "an answer does not move the stream");
        } else {
            assert!(seq >= self.seq, "{seq} after {}", self.seq);
            self.seq = seq;
        }
        seen
    }

    /// All posts until the next heartbeat.
    async fn posts(&mut self) -> Vec<u64> {
        let mut ids = Vec::new();
        loop {
            match self.next().await {
                Seen::Post(id) => ids.push(id),
                Seen::Heartbeat => return ids,
                other => panic!("{other:?}"),
            }
        }
    }

    /// How it ends.
    async fn end(&mut self) -> Result<(), Status> {
        self.message()
            .await
            .map(|message| assert_eq!(message, None))
    }
}

#[derive(Debug, PartialEq)]
enum Seen {
    Posted(String, u64),
    Refused(String, R),
    Post(u64),
    Deleted(u64),
    Heartbeat,
}

fn backlog(posts: u32) -> TimelineOpen {
    TimelineOpen {
        backlog: Some(posts),
        ..TimelineOpen::default()
    }
}

fn after(seq: u64) -> TimelineOpen {
    TimelineOpen {
        after_seq: Some(seq),
        ..TimelineOpen::default()
    }
}

fn uuid(number: u32) -> String {
    format!("00000000-0000-0000-0000-{number:012x}")
}

async fn post(caller: &Caller, text: &str) -> Post {
    let request = caller.ask(CreatePostRequest {
        text: text.into(),
        ..CreatePostRequest::default()
    });
    let answer = caller.api.clone().create_post(request).await.unwrap();
    answer.into_inner().post.unwrap()
}

async fn follow(caller: &Caller, name: &str) {
    let request = caller.ask(FollowRequest {
        username: name.into(),
        ..FollowRequest::default()
    });
    caller.api.clone().follow(request).await.unwrap();
}

async fn delete(caller: &Caller, id: u64) {
    let request = caller.ask(DeletePostRequest {
        id,
        ..DeletePostRequest::default()
    });
    caller.api.clone().delete_post(request).await.unwrap();
}

#[tokio::test]
async fn the_backlog_comes_first_then_a_heartbeat_then_what_happens() {
    let (server, _data) = server().await;
    let mut alice = server.login("alice").await;
    let bob = server.login("bob").await;
    let mut old = vec![post(&bob, "before the follow").await.id];
    follow(&alice, "bob").await;
    for n in 0..24 {
        let author = if n % 6 == 0 { &alice } else { &bob };
        old.push(post(author, &n.to_string()).await.id);
    }

    for (open, expected) in [
        (backlog(3), &old[22..]),
        (backlog(0), &[]),
        (TimelineOpen::default(), &old[5..]),
        (backlog(100_000), &old[..]),
        (after(0), &old[1..]),
        (after(old[20]), &old[21..]),
        (
            TimelineOpen {
                since_follow: true,
                ..backlog(200)
            },
            &old[1..],
        ),
    ] {
        let mut stream = Stream::open(&mut alice, open).await;
        assert_eq!(stream.posts().await, expected, "{open:?}");
    }
    let others = TimelineOpen {
        exclude_own: true,
        ..backlog(200)
    };
    let mut without_own = Stream::open(&mut alice, others).await;
    assert_eq!(without_own.posts().await.len(), old.len() - 4);

    let mut stream = Stream::live(&mut alice).await;
    let mine = post(&alice, "mine").await.id;
    let his = post(&bob, "his").await.id;
    assert_eq!(stream.next().await, Seen::Post(mine));
    assert_eq!(stream.next().await, Seen::Post(his));
    assert_eq!(without_own.next().await, Seen::Post(his));
    delete(&bob, his).await;
    assert_eq!(stream.next().await, Seen::Deleted(his));
    let request = alice.ask(UnfollowRequest {
        username: "bob".into(),
        ..UnfollowRequest::default()
    });
    alice.api.unfollow(request).await.unwrap();
    post(&bob, "not seen").await;
    let mine = post(&alice, "seen").await.id;
    assert_eq!(stream.next().await, Seen::Post(mine));
}

#[tokio::test]
async fn a_stream_resumes_by_seq_and_tells_of_deletions_too() {
    let (server, _data) = server().await;
    let mut alice = server.login("alice").await;
    let bob = server.login("bob").await;
    follow(&alice, "bob").await;
    let mut stream = Stream::live(&mut alice).await;
    let first = post(&bob, "1").await.id;
    assert_eq!(stream.next().await, Seen::Post(first));
    let resume = stream.seq;
    drop(stream);

    let second = post(&bob, "2").await.id;
    delete(&bob, first).await;
    let third = post(&bob, "3").await.id;
    let mut stream = Stream::open(&mut alice, after(resume)).await;
    assert_eq!(stream.next().await, Seen::Post(second));
    assert_eq!(stream.next().await, Seen::Deleted(first));
    assert_eq!(stream.next().await, Seen::Post(third));
    assert_eq!(stream.next().await, Seen::Heartbeat);

    let mut stream = Stream::open(&mut alice, after(u64::MAX)).await;
    refused(stream.end().await, R::SeqUnknown);
}

#[tokio::test]
async fn posts_are_answered_in_order_and_a_refusal_does_not_end_the_stream() {
    let (server, _data) = server().await;
    let mut alice = server.login("alice").await;
    let others = TimelineOpen {
        exclude_own: true,
        ..backlog(0)
    };
    let mut stream = Stream::open(&mut alice, others).await;
    assert_eq!(stream.next().await, Seen::Heartbeat);
    stream.post("x", &uuid(1)).await;
    stream.post("", &uuid(2)).await;
    stream.post("x", &uuid(1)).await;
    stream.post("y", &uuid(1)).await;
    stream.post("y", "odd").await;
    stream.post("y", "").await;
    let Seen::Posted(id, first) = stream.next().await else {
        panic!("not posted");
    };
    assert_eq!(id, uuid(1));
    assert_eq!(stream.next().await, Seen::Refused(uuid(2), R::TextInvalid));
    assert_eq!(stream.next().await, Seen::Posted(uuid(1), first));
    assert_eq!(
        stream.next().await,
        Seen::Refused(uuid(1), R::RequestIdReused)
    );
    assert_eq!(
        stream.next().await,
        Seen::Refused("odd".into(), R::RequestIdInvalid)
    );
    assert!(
        matches!(stream.next().await, Seen::Posted(id, second) if id.is_empty() && second > first)
    );

    // Far more than may be under way at a time, sent before anything is read.
    for n in 0..500 {
        stream.post("many", &uuid(1_000 + n)).await;
    }
    let mut last = 0;
    for n in 0..500 {
        let Seen::Posted(id, post) = stream.next().await else {
            panic!("not posted");
        };
        assert_eq!(id, uuid(1_000 + n));
        assert!(post > last);
        last = post;
    }

    // Half-closed it goes on reading.
    stream.half_close();
    let bob = server.login("bob").await;
    follow(&alice, "bob").await;
    let his = post(&bob, "his").await.id;
    assert_eq!(stream.next().await, Seen::Post(his));
}

#[tokio::test]
async fn own_posts_come_down_besides_their_answer() {
    let (server, _data) = server().await;
    let mut alice = server.login("alice").await;
    let mut stream = Stream::live(&mut alice).await;
    stream.post("mine", "").await;
    let mut both = [stream.next().await, stream.next().await];
    // The two ways down are independent; a post is the same on both.
    both.sort_by_key(|seen| matches!(seen, Seen::Post(_)));
    let [Seen::Posted(_, answered), Seen::Post(told)] = both else {
        panic!("{both:?}");
    };
    assert_eq!(answered, told);
}

#[tokio::test]
async fn what_is_not_the_protocol_ends_the_stream() {
    let (server, _data) = server().await;
    let mut alice = server.login("alice").await;
    let post = Asked::Post(TimelinePost::default());
    let mut stream = Stream::raw(&mut alice, Some(post)).await;
    refused(stream.end().await, R::StreamProtocol);

    let mut stream = Stream::raw(&mut alice, None).await;
    stream.send(None).await;
    refused(stream.end().await, R::StreamProtocol);

    let mut stream = Stream::raw(&mut alice, None).await;
    stream.half_close();
    refused(stream.end().await, R::StreamProtocol);

    for second in [None, Some(Asked::Open(backlog(0)))] {
        let mut stream = Stream::live(&mut alice).await;
        // What was asked before it is answered before the end.
        let others = stream.requests.as_ref().unwrap().clone();
        stream.post("before the end", &uuid(9)).await;
        others
            .send(TimelineRequest { request: second })
            .await
            .unwrap();
        let mut posted = 0;
        let end = loop {
            match stream.message().await {
                Ok(message) => match message.unwrap().response.unwrap() {
                    Told::Posted(_) => posted += 1,
                    Told::Post(_) => {}
                    other => panic!("{other:?}"),
                },
                Err(status) => break status,
            }
        };
        assert_eq!(posted, 1);
        refused::<()>(Err(end), R::StreamProtocol);
    }

    let mut stream = Stream::live(&mut alice).await;
    stream.post(&"x".repeat(65_536), "").await;
    let status = stream.end().await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
}

#[tokio::test]
async fn a_slow_reader_misses_nothing_and_holds_up_nobody() {
    const POSTS: usize = 3_000;
    let (server, _data) = server().await;
    let mut slow = server.login("slow").await;
    let bob = server.login("bob").await;
    follow(&slow, "bob").await;
    // Nothing is read of it until all is posted.
    let mut stream = Stream::live(&mut slow).await;
    let text = "x".repeat(1_000);
    let posts = (0..POSTS).map(|_| post(&bob, &text));
    let made = futures_util::future::join_all(posts).await;
    let mut made: Vec<u64> = made.into_iter().map(|post| post.id).collect();
    made.sort_unstable();
    for id in made {
        loop {
            match stream.next().await {
                Seen::Post(told) => {
                    assert_eq!(told, id);
                    break;
                }
                Seen::Heartbeat => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
