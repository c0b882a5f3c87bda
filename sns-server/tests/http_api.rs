//! The JSON interface: the same service as gRPC, for programs and for our own pages alone.
#![allow(clippy::unwrap_used, reason = "a test")]

use http::{Method, StatusCode};
use serde_json::{Value, json};
use sns_proto::reason;
use sns_proto::v1::{
    CreatePostRequest, DeletePostRequest, FollowRequest, GetHomeTimelineRequest,
    GetUserTimelineRequest, UnfollowRequest,
};
use sns_server::service::status::reason_of;
use support::server::Server;
use support::web::Web;
use tonic::{Code, Status};

#[path = "support"]
mod support {
    pub(crate) mod server;
    pub(crate) mod web;
}

const ID: &str = "6f0f9f1e-6a8e-4d3a-9c53-0f5f2b7a1c11";

async fn scene() -> (tempfile::TempDir, Server, Web) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let alice = Web::login(&server.page, "alice").await;
    (dir, server, alice)
}

#[tokio::test]
async fn a_write_over_http_and_its_retry_over_grpc_have_one_effect() {
    let (_dir, server, web) = scene().await;
    let asked = json!({ "text": "once\nonly <b>", "request_id": ID });
    let made = web.post("/api/v1/posts", &asked).await.good();
    let mut alice = server.login("alice").await;
    let retry = CreatePostRequest {
        text: "once\nonly <b>".into(),
        request_id: ID.into(),
        seen: 0,
    };
    let retried = alice.api.create_post(alice.ask(retry)).await.unwrap();
    let retried = retried.into_inner().post.unwrap();
    assert_eq!(made["post"]["id"], retried.id.to_string());
    assert_eq!(made["post"]["text"], retried.text);
    // And the token of one face is good at the other.
    let mut same = server.login("alice").await;
    same.token.clone_from(&web.token);
    let request = same.ask(GetHomeTimelineRequest::default());
    let page = same.api.get_home_timeline(request).await.unwrap();
    assert_eq!(page.into_inner().posts.len(), 1);
    let page = web.get("/api/v1/home").await.good();
    assert_eq!(page["posts"][0], made["post"]);
    assert_eq!(page["next_page_token"], "");
}

#[tokio::test]
async fn pages_lists_and_changes_are_as_over_grpc() {
    let (_dir, server, alice) = scene().await;
    let bob = Web::login(&server.page, "bob").await;
    let carol = Web::login(&server.page, "Carol").await;
    for name in ["bob", "carol"] {
        let followed = alice
            .post("/api/v1/follow", &json!({ "username": name }))
            .await;
        assert!(followed.good()["seq"].is_string());
    }
    let mut ids = Vec::new();
    for number in 0..5 {
        let who = if number % 2 == 0 { &bob } else { &carol };
        let text = json!({ "text": format!("post {number}") });
        let made = who.post("/api/v1/posts", &text).await.good();
        ids.insert(0, made["post"]["id"].as_str().unwrap().to_owned());
    }
    // Pages of two, by token and by id.
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = alice
            .get(&format!("/api/v1/home?limit=2&page_token={token}"))
            .await;
        let page = page.good();
        let posts = page["posts"].as_array().unwrap();
        seen.extend(
            posts
                .iter()
                .map(|post| post["id"].as_str().unwrap().to_owned()),
        );
        token = page["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ids);
    let path = format!("/api/v1/users/bob/posts?before={}", ids[0]);
    let page = alice.get(&path).await.good();
    let authors: Vec<&Value> = page["posts"].as_array().unwrap().iter().collect();
    assert_eq!(authors.len(), 2);
    let names = |page: &Value| -> Vec<String> {
        let users = page["users"].as_array().unwrap().iter();
        users
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = alice.get("/api/v1/users").await.good();
    assert_eq!(names(&all), ["alice", "bob", "carol"]);
    let following = alice.get("/api/v1/users/alice/following").await.good();
    assert_eq!(names(&following), ["bob", "carol"]);
    let followers = alice.get("/api/v1/users/carol/followers").await.good();
    assert_eq!(names(&followers), ["alice"]);
    // A number is as good as a string where one is sent.
    let unfollow = json!({ "username": "carol", "seen": 0 });
    alice.post("/api/v1/unfollow", &unfollow).await.good();
    let gone = bob
        .delete(&format!("/api/v1/posts/{}", ids[0]))
        .await
        .good();
    let at_least = gone["seq"].as_str().unwrap();
    let page = alice
        .get(&format!("/api/v1/home?at_least={at_least}"))
        .await
        .good();
    assert_eq!(page["posts"].as_array().unwrap().len(), 2);
}

/// What gRPC and HTTP say of the same mistake.
fn same(over_http: &support::web::Answer, over_grpc: &Status) {
    let error = &over_http.json()["error"];
    let known = reason_of(over_grpc).unwrap();
    assert_eq!(error["reason"], reason::name(known), "{error}");
    assert_eq!(error["kind"], reason::kind_of(over_grpc.code().into()));
    assert_eq!(error["message"], over_grpc.message());
    let retry = error.get("retry_after_ms").and_then(Value::as_u64);
    assert_eq!(retry, reason::retry_after_ms(known).map(u64::from));
    let status = match over_grpc.code() {
        Code::InvalidArgument => 400,
        Code::Unauthenticated => 401,
        Code::NotFound => 404,
        Code::AlreadyExists => 409,
        other => panic!("{other:?} is not expected here"),
    };
    assert_eq!(over_http.status.as_u16(), status);
}

#[tokio::test]
async fn what_grpc_refuses_http_refuses_with_the_same_words() {
    let (_dir, server, web) = scene().await;
    let mut rpc = server.login("alice").await;
    server.login("bob").await;
    for name in ["alice", "nobody", "not a name", ""] {
        let over_http = web
            .post("/api/v1/follow", &json!({ "username": name }))
            .await;
        let asked = FollowRequest {
            username: name.into(),
            ..FollowRequest::default()
        };
        same(
            &over_http,
            &rpc.api.follow(rpc.ask(asked)).await.unwrap_err(),
        );
    }
    web.post("/api/v1/follow", &json!({ "username": "bob" }))
        .await
        .good();
    let again = web
        .post("/api/v1/follow", &json!({ "username": "bob" }))
        .await;
    let asked = FollowRequest {
        username: "bob".into(),
        ..FollowRequest::default()
    };
    same(&again, &rpc.api.follow(rpc.ask(asked)).await.unwrap_err());
    let not = web
        .post("/api/v1/unfollow", &json!({ "username": "alice" }))
        .await;
    let asked = UnfollowRequest {
        username: "alice".into(),
        ..UnfollowRequest::default()
    };
    same(&not, &rpc.api.unfollow(rpc.ask(asked)).await.unwrap_err());
    for text in [String::new(), "x".repeat(1_001), "\0".to_owned()] {
        let over_http = web.post("/api/v1/posts", &json!({ "text": text })).await;
        let asked = CreatePostRequest {
            text,
            ..CreatePostRequest::default()
        };
        same(
            &over_http,
            &rpc.api.create_post(rpc.ask(asked)).await.unwrap_err(),
        );
    }
    let over_http = web.delete("/api/v1/posts/12345").await;
    let asked = DeletePostRequest {
        id: 12_345,
        ..DeletePostRequest::default()
    };
    same(
        &over_http,
        &rpc.api.delete_post(rpc.ask(asked)).await.unwrap_err(),
    );
    let over_http = web.get("/api/v1/users/nobody/posts?limit=-1").await;
    let asked = GetUserTimelineRequest {
        username: "nobody".into(),
        page_size: -1,
        ..GetUserTimelineRequest::default()
    };
    let over_grpc = rpc.api.get_user_timeline(rpc.ask(asked)).await.unwrap_err();
    same(&over_http, &over_grpc);
    let stranger = Web::new(&server.page);
    let over_http = stranger.get("/api/v1/home").await;
    let bare = tonic::Request::new(GetHomeTimelineRequest::default());
    same(
        &over_http,
        &rpc.api.get_home_timeline(bare).await.unwrap_err(),
    );
    let mut forger = stranger.clone();
    forger.token = "v1.alice.1.00".into();
    let over_http = forger.get("/api/v1/timeline").await;
    assert_eq!(over_http.json()["error"]["reason"], "TOKEN_INVALID");
}

#[tokio::test]
async fn a_request_that_makes_no_sense_gets_a_clear_answer() {
    let (_dir, server, web) = scene().await;
    let huge = format!("{{\"text\": \"{}\"}}", "x".repeat(10 << 20));
    let json = [("content-type", "application/json")];
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    for (method, path, headers, body, status) in [
        (&post, "/api/v1/posts", &json[..], "{", 400),
        (&post, "/api/v1/posts", &json[..], "{}", 400),
        (&post, "/api/v1/posts", &json[..], "{\"text\":1}", 400),
        (
            &post,
            "/api/v1/posts",
            &json[..],
            "{\"text\":\"x\",\"txet\":1}",
            400,
        ),
        (
            &post,
            "/api/v1/posts",
            &json[..],
            "{\"text\":\"x\",\"seen\":\"-1\"}",
            400,
        ),
        (&post, "/api/v1/posts", &[][..], "{\"text\":\"x\"}", 415),
        (&post, "/api/v1/posts", &json[..], &huge, 413),
        (&get, "/api/v1/home?limt=3", &[][..], "", 400),
        (&get, "/api/v1/home?limit=x", &[][..], "", 400),
        (&get, "/api/v1/timeline?backlog=-1", &[][..], "", 400),
        (
            &get,
            "/api/v1/timeline",
            &[("last-event-id", "x")][..],
            "",
            400,
        ),
        (&get, "/api/v1/users/%FF/posts", &[][..], "", 400),
        (&get, "/web/%FF", &[][..], "", 404),
        (&get, "/api/v1/nothing", &[][..], "", 404),
        (&get, "/web/..%2fCargo.toml", &[][..], "", 404),
        (&get, "/web/index.html", &[][..], "", 404),
        (&put, "/api/v1/home", &[][..], "", 405),
        (&Method::DELETE, "/api/v1/posts/x", &[][..], "", 400),
    ] {
        let answer = web.call(method.clone(), path, headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text);
        let error = &answer.json()["error"];
        assert!(error["kind"].is_string(), "{path}: {error}");
        assert!(
            error["message"].as_str().unwrap().len() > 10,
            "{path}: {error}"
        );
    }
    // Nothing of it came through.
    let page = web.get("/api/v1/home").await.good();
    assert_eq!(page["posts"], json!([]));
    drop(server);
}

#[tokio::test]
async fn only_this_machines_names_and_our_own_pages_are_let_in() {
    let (dir, server, web) = scene().await;
    // Another server with a page, as its file says.
    let other = dir.path().join("nodes/b-master");
    std::fs::create_dir_all(&other).unwrap();
    let file = json!({ "address": "", "peer_address": "", "http_address": "127.0.0.1:9",
        "restarts": 0, "stopping": false });
    std::fs::write(other.join("node.json"), file.to_string()).unwrap();
    support::server::until("it is known", async || {
        let known = web.get("/api/v1/servers").await.good();
        (known["servers"].as_array()?.len() == 2).then_some(())
    })
    .await;
    let ask = async |headers: &[(&str, &str)]| {
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/json"));
        let body = "{\"username\":\"mallory\"}";
        web.call(Method::POST, "/api/v1/login", &headers, body)
            .await
    };
    for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1"] {
        let answer = ask(&[("host", host)]).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
    for origin in [
        "http://evil.example",
        "null",
        "http://127.0.0.1:10",
        "https://127.0.0.1:9",
    ] {
        let answer = ask(&[("origin", origin)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin}");
        assert!(answer.headers.get("access-control-allow-origin").is_none());
    }
    let users = web.get("/api/v1/users").await.good();
    assert_eq!(
        users["users"].as_array().unwrap().len(),
        1,
        "mallory came in"
    );
    for origin in ["http://127.0.0.1:9", "http://localhost:9"] {
        let answer = ask(&[("origin", origin)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(answer.headers["access-control-allow-origin"], origin);
    }
    let own = format!("http://{}", server.page);
    let answer = ask(&[("origin", &own)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let asks_first = [("origin", "http://127.0.0.1:9")];
    let answer = web
        .call(Method::OPTIONS, "/api/v1/home", &asks_first, "")
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let allowed = answer.headers["access-control-allow-headers"]
        .to_str()
        .unwrap();
    assert!(allowed.contains("last-event-id") && allowed.contains("authorization"));
}

#[tokio::test]
async fn the_pages_come_with_a_policy_that_lets_nothing_else_in() {
    let (_dir, server, web) = scene().await;
    for path in ["/", "/ops"] {
        let page = web.get(path).await;
        assert_eq!(page.status, StatusCode::OK);
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(policy.contains(&server.page), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
        // What the policy forbids is not there in the first place.
        for inline in [
            "<style",
            " style=",
            "javascript:",
            " onclick=",
            "http://",
            "https://",
        ] {
            assert!(!page.text.contains(inline), "{path} holds {inline}");
        }
        let mut files = 0;
        for part in page
            .text
            .split(['"', '\''])
            .filter(|part| part.starts_with("/web/"))
        {
            let file = web.get(part).await;
            assert_eq!(file.status, StatusCode::OK, "{part}");
            files += 1;
        }
        assert!(files >= 2, "{path} names {files} files");
    }
}
