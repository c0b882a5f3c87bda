//! Every call of the service but the stream, over the wire, against a real process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/server.rs"]
mod support;

use sns_proto::v1::{
    CreatePostRequest, DeletePostRequest, ErrorReason as R, FollowRequest, GetHomeTimelineRequest,
    GetUserTimelineRequest, ListUsersRequest, LoginRequest, LoginResponse, Post, TimelineRequest,
    UnfollowRequest, UserFilter,
};
use support::{Caller, Server, refused};
use tempfile::TempDir;
use tonic::{Code, Request};

/// A server on new data; the directory goes last.
async fn server() -> (Server, TempDir) {
    let data = TempDir::new().unwrap();
    (Server::start(data.path()).await, data)
}

fn uuid(number: u32) -> String {
    format!("00000000-0000-0000-0000-{number:012x}")
}

fn follow(name: &str) -> FollowRequest {
    FollowRequest {
        username: name.into(),
        ..FollowRequest::default()
    }
}

fn unfollow(name: &str) -> UnfollowRequest {
    UnfollowRequest {
        username: name.into(),
        ..UnfollowRequest::default()
    }
}

impl Caller {
    async fn post(&mut self, text: &str) -> Post {
        let request = CreatePostRequest {
            text: text.into(),
            ..CreatePostRequest::default()
        };
        let request = self.ask(request);
        let answer = self.api.create_post(request).await.unwrap();
        answer.into_inner().post.unwrap()
    }

    async fn home(&mut self, request: GetHomeTimelineRequest) -> (Vec<u64>, String) {
        let request = self.ask(request);
        let page = self.api.get_home_timeline(request).await.unwrap();
        let page = page.into_inner();
        assert!(page.seq > 0);
        (
            page.posts.iter().map(|post| post.id).collect(),
            page.next_page_token,
        )
    }

    async fn users(&mut self, filter: UserFilter, username: &str) -> Vec<String> {
        let request = self.ask(ListUsersRequest {
            filter: filter.into(),
            username: username.into(),
            ..ListUsersRequest::default()
        });
        let page = self.api.list_users(request).await.unwrap().into_inner();
        assert_eq!(page.next_page_token, "");
        assert!(page.users.iter().all(|user| user.created_at.is_some()));
        page.users.into_iter().map(|user| user.username).collect()
    }
}

#[tokio::test]
async fn a_login_makes_the_user_once_and_keeps_the_name_in_lower_case() {
    let (server, _data) = server().await;
    let first = server.login("Alice_1").await;
    assert_eq!((&*first.name, first.created), ("alice_1", true));
    assert!(first.seq > 0);
    let again = server.login("ALICE_1").await;
    assert!(!again.created && again.seq >= first.seq);

    let mut api = first.api.clone();
    let login = |username: &str, password: &str| LoginRequest {
        username: username.into(),
        password: password.into(),
    };
    for name in ["", "a b", " a", "é", "a\0", "../x", &"a".repeat(33)] {
        refused(api.login(login(name, "")).await, R::UsernameInvalid);
    }
    refused(
        api.login(login("bob", "secret")).await,
        R::PasswordUnsupported,
    );
    let mut alice = again;
    assert_eq!(alice.users(UserFilter::All, "").await, ["alice_1"]);
}

#[tokio::test]
async fn every_call_but_login_needs_a_good_token() {
    let (server, _data) = server().await;
    let alice = server.login("alice").await;
    let other_data = TempDir::new().unwrap();
    let elsewhere = Server::start(other_data.path()).await.login("alice").await;

    for (token, reason) in [
        (None, R::TokenMissing),
        (Some(String::new()), R::TokenInvalid),
        (Some(alice.token.replace("alice", "bob")), R::TokenInvalid),
        (Some(elsewhere.token), R::TokenInvalid),
    ] {
        fn with<T>(message: T, token: Option<&String>) -> Request<T> {
            let mut request = Request::new(message);
            if let Some(token) = token {
                let value = format!("Bearer {token}").parse().unwrap();
                request.metadata_mut().insert("authorization", value);
            }
            request
        }
        let token = token.as_ref();
        let mut api = alice.api.clone();
        refused(api.follow(with(follow("x"), token)).await, reason);
        refused(api.unfollow(with(unfollow("x"), token)).await, reason);
        refused(
            api.list_users(with(ListUsersRequest::default(), token))
                .await,
            reason,
        );
        refused(
            api.create_post(with(CreatePostRequest::default(), token))
                .await,
            reason,
        );
        refused(
            api.delete_post(with(DeletePostRequest::default(), token))
                .await,
            reason,
        );
        let home = with(GetHomeTimelineRequest::default(), token);
        refused(api.get_home_timeline(home).await, reason);
        let posts = with(GetUserTimelineRequest::default(), token);
        refused(api.get_user_timeline(posts).await, reason);
        let requests = tokio_stream::iter(Vec::<TimelineRequest>::new());
        refused(api.timeline(with(requests, token)).await, reason);
    }
}

#[tokio::test]
async fn follows_are_taken_once_and_refusals_say_why() {
    let (server, _data) = server().await;
    let mut alice = server.login("alice").await;
    let mut bob = server.login("bob").await;

    let request = FollowRequest {
        username: "BOB".into(),
        request_id: uuid(1),
        seen: alice.seq,
    };
    let ask = |request: &FollowRequest| alice.ask(request.clone());
    let mut api = alice.api.clone();
    let seq = api.follow(ask(&request)).await.unwrap().into_inner().seq;
    // A retry gives the first outcome again, in any case of the id.
    let retry = FollowRequest {
        request_id: uuid(1).to_uppercase(),
        ..request.clone()
    };
    assert_eq!(api.follow(ask(&retry)).await.unwrap().into_inner().seq, seq);
    refused(api.follow(ask(&follow("bob"))).await, R::AlreadyFollowing);
    refused(api.follow(ask(&follow("alice"))).await, R::SelfFollow);
    refused(api.follow(ask(&follow("nobody"))).await, R::UserNotFound);
    refused(
        api.follow(ask(&follow("no body"))).await,
        R::UsernameInvalid,
    );
    let other = FollowRequest {
        username: "carol".into(),
        ..request.clone()
    };
    refused(api.follow(ask(&other)).await, R::RequestIdReused);
    let odd = FollowRequest {
        request_id: "1".into(),
        ..request.clone()
    };
    refused(api.follow(ask(&odd)).await, R::RequestIdInvalid);
    // A refusal is an outcome, too: remembered under its id.
    let early = FollowRequest {
        username: "dave".into(),
        request_id: uuid(2),
        seen: 0,
    };
    refused(api.follow(ask(&early)).await, R::UserNotFound);
    server.login("dave").await;
    refused(api.follow(ask(&early)).await, R::UserNotFound);
    // An id belongs to its user.
    let request = bob.ask(FollowRequest {
        username: "alice".into(),
        request_id: uuid(1),
        seen: 0,
    });
    bob.api.follow(request).await.unwrap();

    assert_eq!(alice.users(UserFilter::Following, "").await, ["bob"]);
    assert_eq!(alice.users(UserFilter::Followers, "").await, ["bob"]);
    assert_eq!(alice.users(UserFilter::Followers, "BOB").await, ["alice"]);

    let request = alice.ask(unfollow("bob"));
    let gone = alice.api.unfollow(request).await.unwrap().into_inner().seq;
    assert!(gone > seq);
    let request = alice.ask(unfollow("bob"));
    refused(alice.api.unfollow(request).await, R::NotFollowing);
    assert!(alice.users(UserFilter::Following, "").await.is_empty());
}

#[tokio::test]
async fn posts_come_back_byte_for_byte_and_only_their_author_deletes_them() {
    let (server, _data) = server().await;
    let mut alice = server.login("alice").await;
    let mut bob = server.login("bob").await;

    let texts = [
        "x",
        " \n\t",
        "é\u{301}\u{202e}\u{1b}[31m",
        &"😀".repeat(1_000),
    ];
    let mut made = Vec::new();
    for text in texts {
        let post = alice.post(text).await;
        assert_eq!((&*post.author, &*post.text), ("alice", text));
        assert!(post.created_at.is_some());
        made.push(post);
    }
    assert!(made.is_sorted_by_key(|post| post.id));
    let request = bob.ask(GetUserTimelineRequest {
        username: "Alice".into(),
        ..GetUserTimelineRequest::default()
    });
    let page = bob
        .api
        .get_user_timeline(request)
        .await
        .unwrap()
        .into_inner();
    made.reverse();
    assert_eq!(page.posts, made);
    assert_eq!(page.next_page_token, "");

    for text in ["", "\0", &"a".repeat(1_001)] {
        let request = alice.ask(CreatePostRequest {
            text: text.into(),
            ..CreatePostRequest::default()
        });
        refused(alice.api.create_post(request).await, R::TextInvalid);
    }
    let request = CreatePostRequest {
        text: "once".into(),
        request_id: uuid(1),
        seen: 0,
    };
    let once = alice.ask(request.clone());
    let once = alice.api.create_post(once).await.unwrap().into_inner();
    let twice = alice.ask(request);
    let twice = alice.api.create_post(twice).await.unwrap().into_inner();
    assert_eq!(once, twice);

    let delete = |id: u64, request_id: &str| DeletePostRequest {
        id,
        request_id: request_id.into(),
        seen: 0,
    };
    let id = made[0].id;
    let request = bob.ask(delete(id, ""));
    refused(bob.api.delete_post(request).await, R::PostNotFound);
    let request = alice.ask(delete(id, &uuid(2)));
    let seq = alice
        .api
        .delete_post(request)
        .await
        .unwrap()
        .into_inner()
        .seq;
    let request = alice.ask(delete(id, &uuid(2)));
    let again = alice
        .api
        .delete_post(request)
        .await
        .unwrap()
        .into_inner()
        .seq;
    assert_eq!(seq, again);
    for gone in [id, 0, u64::MAX] {
        let request = alice.ask(delete(gone, ""));
        refused(alice.api.delete_post(request).await, R::PostNotFound);
    }
}

/// Alice, who follows bob; bob; and 25 posts of theirs, newest first, one older than the follow.
async fn timeline(server: &Server) -> (Caller, Caller, Vec<u64>) {
    let mut alice = server.login("alice").await;
    let mut bob = server.login("bob").await;
    let early = bob.post("before the follow").await.id;
    let request = alice.ask(follow("bob"));
    alice.api.follow(request).await.unwrap();
    let mut made = vec![early];
    for number in 0..24 {
        let author = if number % 3 == 0 {
            &mut alice
        } else {
            &mut bob
        };
        made.push(author.post(&number.to_string()).await.id);
    }
    made.reverse();
    (alice, bob, made)
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_while_others_post() {
    let (server, _data) = server().await;
    let (mut alice, mut bob, made) = timeline(&server).await;
    let last = made[0];
    let first_page = GetHomeTimelineRequest {
        page_size: 7,
        at_least: last,
        ..GetHomeTimelineRequest::default()
    };

    let mut seen = Vec::new();
    let mut request = first_page;
    loop {
        let (ids, next) = alice.home(request.clone()).await;
        seen.extend(ids);
        if next.is_empty() {
            break;
        }
        // Later posts shift nothing, and these three fields may change.
        bob.post("later").await;
        request.page_token = next;
        request.page_size = 5;
        request.at_least = 0;
        request.linearizable = true;
    }
    assert_eq!(seen, made);

    let all = || GetHomeTimelineRequest {
        page_size: 1_000,
        before: last + 1,
        ..GetHomeTimelineRequest::default()
    };
    assert_eq!(alice.home(all()).await.0, made);
    let since = GetHomeTimelineRequest {
        since_follow: true,
        ..all()
    };
    assert_eq!(alice.home(since).await.0, made[..24]);
    let others = GetHomeTimelineRequest {
        exclude_own: true,
        ..all()
    };
    assert_eq!(alice.home(others).await.0.len(), 17);
    let default = GetHomeTimelineRequest {
        page_size: 0,
        ..all()
    };
    assert_eq!(alice.home(default).await.0, made[..20]);
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused() {
    let (server, _data) = server().await;
    let (mut alice, mut bob, _) = timeline(&server).await;
    let first_page = GetHomeTimelineRequest {
        page_size: 7,
        ..GetHomeTimelineRequest::default()
    };
    let (_, token) = alice.home(first_page.clone()).await;
    assert!(!token.is_empty());
    for bad in [
        GetHomeTimelineRequest {
            page_token: "nonsense".into(),
            ..first_page.clone()
        },
        GetHomeTimelineRequest {
            page_token: token.clone(),
            exclude_own: true,
            ..first_page.clone()
        },
        GetHomeTimelineRequest {
            page_token: token.clone(),
            before: 5,
            ..first_page.clone()
        },
    ] {
        let bad = alice.ask(bad);
        refused(alice.api.get_home_timeline(bad).await, R::PageTokenInvalid);
    }
    // Of another call, and of another caller.
    let request = alice.ask(GetUserTimelineRequest {
        page_token: token.clone(),
        ..GetUserTimelineRequest::default()
    });
    refused(
        alice.api.get_user_timeline(request).await,
        R::PageTokenInvalid,
    );
    let request = bob.ask(GetHomeTimelineRequest {
        page_token: token,
        ..first_page
    });
    refused(
        bob.api.get_home_timeline(request).await,
        R::PageTokenInvalid,
    );

    let negative = alice.ask(GetHomeTimelineRequest {
        page_size: -1,
        ..GetHomeTimelineRequest::default()
    });
    refused(
        alice.api.get_home_timeline(negative).await,
        R::PageSizeInvalid,
    );
    let negative = alice.ask(GetUserTimelineRequest {
        page_size: i32::MIN,
        ..GetUserTimelineRequest::default()
    });
    refused(
        alice.api.get_user_timeline(negative).await,
        R::PageSizeInvalid,
    );
    let negative = alice.ask(ListUsersRequest {
        page_size: -1,
        ..ListUsersRequest::default()
    });
    refused(alice.api.list_users(negative).await, R::PageSizeInvalid);
    let unknown = alice.ask(GetUserTimelineRequest {
        username: "nobody".into(),
        ..GetUserTimelineRequest::default()
    });
    refused(alice.api.get_user_timeline(unknown).await, R::UserNotFound);
}

#[tokio::test]
async fn users_are_listed_by_name_and_filters_are_checked() {
    let (server, _data) = server().await;
    let mut names: Vec<String> = (0..25).map(|n| format!("u{n:02}")).collect();
    names.extend(["_".to_owned(), "zed".to_owned(), "0".to_owned()]);
    for name in &names {
        server.login(name).await;
    }
    names.sort();
    let mut zed = server.login("zed").await;

    let mut listed = Vec::new();
    let mut request = ListUsersRequest {
        page_size: 10,
        ..ListUsersRequest::default()
    };
    loop {
        let page = zed.api.list_users(zed.ask(request.clone())).await.unwrap();
        let page = page.into_inner();
        listed.extend(page.users.into_iter().map(|user| user.username));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, names);

    for (filter, username, reason) in [
        (UserFilter::All as i32, "zed", R::FilterInvalid),
        (UserFilter::Unspecified as i32, "zed", R::FilterInvalid),
        (99, "", R::FilterInvalid),
        (-1, "", R::FilterInvalid),
        (UserFilter::Followers as i32, "nobody", R::UserNotFound),
        (UserFilter::Following as i32, "nobody", R::UserNotFound),
        (UserFilter::Following as i32, "no body", R::UsernameInvalid),
    ] {
        let request = zed.ask(ListUsersRequest {
            filter,
            username: username.into(),
            ..ListUsersRequest::default()
        });
        refused(zed.api.list_users(request).await, reason);
    }
}

#[tokio::test]
async fn a_read_includes_the_state_it_asks_for_and_an_unknown_one_is_refused() {
    let (server, _data) = server().await;
    let mut alice = server.login("alice").await;
    let post = alice.post("x").await.id;
    for linearizable in [false, true] {
        let request = GetHomeTimelineRequest {
            at_least: post,
            linearizable,
            ..GetHomeTimelineRequest::default()
        };
        assert_eq!(alice.home(request).await.0, [post]);
    }
    for past in [u64::MAX, post + (1 << 20)] {
        let request = alice.ask(GetHomeTimelineRequest {
            at_least: past,
            ..GetHomeTimelineRequest::default()
        });
        refused(alice.api.get_home_timeline(request).await, R::SeqUnknown);
        let request = alice.ask(ListUsersRequest {
            at_least: past,
            ..ListUsersRequest::default()
        });
        refused(alice.api.list_users(request).await, R::SeqUnknown);
    }
}

#[tokio::test]
async fn the_transport_refuses_what_is_too_large_or_no_message() {
    let (server, _data) = server().await;
    let mut alice = server.login("alice").await;
    let request = alice.ask(CreatePostRequest {
        text: "x".repeat(64 * 1024),
        ..CreatePostRequest::default()
    });
    let status = alice.api.create_post(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");

    // A number where Login has its name.
    let mut raw = tonic::client::Grpc::new(server.channel().await);
    raw.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/sns.v1.SnsService/Login");
    let codec = tonic_prost::ProstCodec::<ListUsersRequest, LoginResponse>::default();
    let request = Request::new(ListUsersRequest {
        filter: 7,
        ..ListUsersRequest::default()
    });
    let status = raw.unary(request, path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status:?}");
}
