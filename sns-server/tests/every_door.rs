//! Every door of `docs/doors.md` is knocked at with everything that must not open it.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use http::Method;
use http::uri::PathAndQuery;
use prost::Message as _;
use sns_core::{Seq, Username};
use sns_proto::csce438::sns_service_client::SnsServiceClient;
use sns_proto::v1::router_service_client::RouterServiceClient;
use sns_proto::v1::{AnnounceRequest, ErrorReason, Server as Node};
use sns_server::announce;
use sns_server::args::AuthMode;
use sns_server::gateway::{self, GatewayConfig};
use sns_server::net::{Door, Listener};
use sns_server::service::router::{Rules, serve_on};
use sns_server::service::status::reason_name;
use sns_server::token::{Caller, InternalKey, Origin, Purpose, Scopes, TokenKey};
use support::server::{PATIENCE, PROGRAM, Server};
use support::web::Web;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

#[path = "support"]
mod support {
    pub(crate) mod server;
    pub(crate) mod web;
}

const TABLE: &str = include_str!("../../docs/doors.md");

/// The rows of a section: door and what it needs.
fn doors(section: &str) -> BTreeMap<&'static str, &'static str> {
    let (_, rest) = TABLE.split_once(&format!("\n## {section}\n")).unwrap();
    let part = rest.split("\n## ").next().unwrap();
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (door, rest) = row.split_once('`').unwrap();
        (door, rest.trim_matches([' ', '|']))
    })
    .collect()
}

/// Tokens, and why they must not open a door that needs `needed`.
struct Keys {
    key: TokenKey,
    /// Of other data with the same secret.
    elsewhere: TokenKey,
    good: Caller,
}

impl Keys {
    fn of(data: &Path, user: &str) -> Self {
        let secret = std::fs::read(data.join("secret")).unwrap();
        let format = std::fs::read(data.join("format.json")).unwrap();
        let format: serde_json::Value = serde_json::from_slice(&format).unwrap();
        let data_id = format["data_id"].as_str().unwrap();
        let secret: [u8; 32] = secret.try_into().unwrap();
        Self {
            key: TokenKey::new(secret, data_id),
            elsewhere: TokenKey::new(secret, "other"),
            good: Caller {
                user: Username::parse(user).unwrap(),
                since: Seq::ZERO,
                scopes: Scopes::ANY,
                origin: Origin::Operator,
                issued_ms: now_ms(),
                expires_ms: now_ms() + 3_600_000,
            },
        }
    }

    fn good(&self, scopes: Scopes) -> String {
        let caller = Caller {
            scopes,
            // A door before may have made all tokens void.
            issued_ms: now_ms() + 1_000,
            ..self.good
        };
        self.key.sign(&caller)
    }

    /// What opens no door that needs `needed`, by name.
    fn bad(&self, needed: Scopes, revoked: &str) -> Vec<(&'static str, String)> {
        let all = Scopes::READ | Scopes::POST | Scopes::ADMIN;
        let with = |change: fn(&mut Caller)| {
            let mut caller = Caller {
                scopes: all,
                ..self.good
            };
            change(&mut caller);
            self.key.sign(&caller)
        };
        let good = self.good(all);
        let mut bad = vec![
            ("nothing", String::new()),
            ("garbage", "Bearer ../../etc/passwd".to_owned()),
            (
                "one byte less",
                format!("Bearer {}", &good[..good.len() - 1]),
            ),
            (
                "expired",
                format!("Bearer {}", with(|c| c.expires_ms = c.issued_ms)),
            ),
            (
                "without a password",
                format!("Bearer {}", with(|c| c.origin = Origin::Open)),
            ),
            ("revoked", format!("Bearer {revoked}")),
            ("of other data", {
                format!("Bearer {}", self.elsewhere.sign(&self.good))
            }),
        ];
        for (name, scopes) in [
            ("only read", Scopes::READ),
            ("only post", Scopes::POST),
            ("only admin", Scopes::ADMIN),
            ("an invitation", Scopes::CLAIM),
        ] {
            if !scopes.hold(needed) {
                bad.push((name, format!("Bearer {}", self.good(scopes))));
            }
        }
        bad
    }
}

fn now_ms() -> u64 {
    sns_core::Clock::system().now_ms()
}

fn scopes_of(needs: &str) -> Option<Scopes> {
    Some(match needs {
        "any" => Scopes::ANY,
        "read" => Scopes::READ,
        "post" => Scopes::POST,
        "admin" => Scopes::ADMIN,
        _ => return None,
    })
}

/// Calls any method with an empty message; `authorization` may be empty.
async fn knock(channel: Channel, door: &str, authorization: &str) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    // One message, and then silence: a stream that may stay open does so.
    let messages = tokio_stream::once(()).chain(tokio_stream::pending());
    let mut request = Request::new(messages);
    if !authorization.is_empty() {
        let value = authorization.parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request.set_timeout(PATIENCE);
    let path: PathAndQuery = format!("/{door}").parse().unwrap();
    let streams = door.ends_with("/Timeline")
        || door.ends_with("/Announce")
        || door.ends_with("/ServerReflectionInfo");
    if streams {
        let mut answers = grpc.streaming(request, path, codec).await?.into_inner();
        return answers.message().await.map(drop);
    }
    let (metadata, extensions, _) = request.into_parts();
    let request = Request::from_parts(metadata, extensions, ());
    if door.ends_with("/Watch") {
        let mut answers = grpc
            .server_streaming(request, path, codec)
            .await?
            .into_inner();
        return answers.message().await.map(drop);
    }
    grpc.unary(request, path, codec).await.map(drop)
}

fn opened(outcome: &Result<(), Status>) -> bool {
    let code = outcome.as_ref().map_or_else(Status::code, |()| Code::Ok);
    !matches!(
        code,
        Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented
    )
}

fn token(data: &Path, args: &[&str]) -> String {
    let made = Command::new(PROGRAM)
        .args(args)
        .args(["--data", data.to_str().unwrap()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(made.status.success());
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// A master with accounts, whose user `eve` has revoked the token that is given.
async fn house(data: &Path) -> (Server, Keys, String) {
    let flags = ["--auth", "accounts"];
    let server = Server::start_with_flags(data, "off", Stdio::inherit(), &flags).await;
    let mut web = Web::new(&server.page);
    let eve = serde_json::json!({ "username": "eve", "password": "correct horse" });
    web.post("/api/v1/signup", &eve).await.good();
    // All scopes, so that nothing but the revocation makes it void.
    web.token = token(
        data,
        &["token", "--user", "eve", "--scope", "read,post,admin"],
    );
    web.post("/api/v1/logout_all", &serde_json::json!({}))
        .await
        .good();
    let alice = serde_json::json!({ "username": "alice", "password": "correct horse" });
    Web::new(&server.page)
        .post("/api/v1/signup", &alice)
        .await
        .good();
    let keys = Keys::of(data, "alice");
    (server, keys, web.token)
}

#[test]
fn the_table_names_every_call_and_every_route() {
    let mut calls = BTreeSet::new();
    for bytes in [
        sns_proto::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
    ] {
        let set = prost_types::FileDescriptorSet::decode(bytes).unwrap();
        for file in &set.file {
            for service in &file.service {
                let methods = service.method.iter().map(|method| {
                    format!("{}.{}/{}", file.package(), service.name(), method.name())
                });
                calls.extend(methods);
            }
        }
    }
    for version in ["v1", "v1alpha"] {
        calls.insert(format!(
            "grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        ));
    }
    let named: BTreeSet<String> = doors("gRPC").into_keys().map(str::to_owned).collect();
    assert_eq!(named, calls);

    let source = include_str!("../src/http.rs");
    let routes = source.split(".route(\"").skip(1).map(|rest| {
        let (path, rest) = rest.split_once("\", ").unwrap();
        let method = rest.split('(').next().unwrap().to_uppercase();
        format!("{method} {path}")
    });
    let named: BTreeSet<String> = doors("HTTP").into_keys().map(str::to_owned).collect();
    assert_eq!(named, routes.collect());
}

#[tokio::test]
async fn no_call_of_a_server_opens_to_what_is_not_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let (server, keys, revoked) = house(dir.path()).await;
    let channel = server.channel().await;
    for (door, needs) in doors("gRPC") {
        // Of other listeners, with tests of their own.
        let elsewhere = ["sns.v1.RouterService", "sns.pair", "csce438."];
        if elsewhere.iter().any(|other| door.starts_with(other)) {
            // Reached without a key it is not there at all.
            let came = knock(channel.clone(), door, "").await.unwrap_err();
            assert_eq!(came.code(), Code::Unimplemented, "{door}");
            continue;
        }
        let Some(needed) = scopes_of(needs) else {
            assert_eq!(needs, "nobody", "{door}");
            // Login and its like want more than an empty message; they say so, in other words.
            let came = knock(channel.clone(), door, "").await;
            assert!(opened(&came), "{door}: {came:?}");
            continue;
        };
        for (what, shown) in keys.bad(needed, &revoked) {
            let came = knock(channel.clone(), door, &shown).await;
            assert!(!opened(&came), "{door} opened to {what}: {came:?}");
            let reason = reason_name(&came.unwrap_err());
            let known = ["TOKEN_MISSING", "TOKEN_INVALID", "SCOPE_MISSING"];
            let known = reason.is_some_and(|reason| known.contains(&&*reason));
            assert!(known, "{door}, {what}: no reason of ours");
        }
        // Last, as it may make the token void.
        let shown = format!("Bearer {}", keys.good(needed));
        let came = knock(channel.clone(), door, &shown).await;
        assert!(opened(&came), "{door} stayed shut to {needs}: {came:?}");
    }
}

#[tokio::test]
async fn no_route_opens_to_what_is_not_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let (server, keys, revoked) = house(dir.path()).await;
    let web = Web::new(&server.page);
    for (door, needs) in doors("HTTP") {
        let (method, path) = door.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let path = path
            .replace("{name}", "alice")
            .replace("{id}", "1")
            .replace("{file}", "app.js");
        let body = match &*path {
            "/api/v1/posts" => r#"{"text":"x"}"#,
            "/api/v1/password" => r#"{"new_password":"x"}"#,
            "/api/v1/follow" | "/api/v1/unfollow" => r#"{"username":"alice"}"#,
            _ => "{}",
        };
        let knock = async |shown: &str| {
            let mut headers = vec![("content-type", "application/json")];
            if !shown.is_empty() {
                headers.push(("authorization", shown));
            }
            web.status(method.clone(), &path, &headers, body)
                .await
                .as_u16()
        };
        let Some(needed) = scopes_of(needs) else {
            assert_eq!(needs, "nobody", "{door}");
            let status = knock("").await;
            assert!(![401, 403, 404].contains(&status), "{door}: {status}");
            continue;
        };
        for (what, shown) in keys.bad(needed, &revoked) {
            let status = knock(&shown).await;
            assert!(
                [401, 403].contains(&status),
                "{door} opened to {what}: {status}"
            );
        }
        let shown = format!("Bearer {}", keys.good(needed));
        let status = knock(&shown).await;
        assert!(
            ![401, 403].contains(&status),
            "{door} stayed shut: {status}"
        );
    }
}

#[tokio::test]
async fn a_heartbeat_is_answered_to_the_partner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, keys, _) = house(dir.path()).await;
    let file = dir.path().join("nodes/a-master/node.json");
    let node: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let peer = node["peer_address"].as_str().unwrap();
    let channel = Channel::from_shared(format!("http://{peer}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let door = "sns.pair.v1.PairService/Heartbeat";
    let key = InternalKey::of_data(dir.path(), Purpose::Pair).unwrap();
    let wrong = InternalKey::of_data(dir.path(), Purpose::Announce).unwrap();
    let old = key.sign("", now_ms() - 120_000);
    let other = key.sign("b-slave", now_ms());
    let wrong = wrong.sign("", now_ms());
    let admin = format!("Bearer {}", keys.good(Scopes::ADMIN));
    for shown in [
        "",
        &admin,
        old.to_str().unwrap(),
        other.to_str().unwrap(),
        wrong.to_str().unwrap(),
    ] {
        let came = knock(channel.clone(), door, shown).await;
        assert!(!opened(&came), "{shown}: {came:?}");
    }
    // The empty message is from nobody.
    let shown = key.sign("", now_ms());
    let came = knock(channel, door, shown.to_str().unwrap()).await;
    assert!(opened(&came), "{came:?}");
}

#[tokio::test]
async fn the_gateway_of_the_course_opens_to_a_name_that_logged_in_over_the_same_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let config = GatewayConfig {
        listen: address,
        routers: vec!["127.0.0.1:9".to_owned()],
        tls_ca: None,
    };
    tokio::spawn(gateway::serve_on(listener, config, stop.clone()));
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let channel = channel.connect().await.unwrap();
    for (door, needs) in doors("gRPC") {
        let came = knock(channel.clone(), door, "").await;
        if !door.starts_with("csce438.") {
            let common = door.starts_with("grpc.");
            assert_eq!(opened(&came), common, "{door}: {came:?}");
            continue;
        }
        // The empty message is from nobody.
        let came = came.unwrap_err();
        assert_eq!(came.code(), Code::InvalidArgument, "{door}: {came:?}");
        if needs == "nobody" || door.ends_with("/Timeline") {
            continue;
        }
        assert_eq!(needs, "login", "{door}");
        let mut course = SnsServiceClient::new(channel.clone());
        let asked = sns_proto::csce438::Request {
            username: "alice".to_owned(),
            arguments: vec!["bob".to_owned()],
        };
        let came = match door.rsplit_once('/').unwrap().1 {
            "List" => course.list(asked).await.unwrap_err(),
            "Follow" => course.follow(asked).await.unwrap_err(),
            _ => course.un_follow(asked).await.unwrap_err(),
        };
        assert_eq!(came.code(), Code::Unauthenticated, "{door}: {came:?}");
    }
    let set = sns_proto::csce438::Message {
        username: "alice".to_owned(),
        msg: "Set Stream".to_owned(),
        timestamp: None,
    };
    let up = tokio_stream::once(set).chain(tokio_stream::pending());
    let mut course = SnsServiceClient::new(channel);
    let mut down = course.timeline(up).await.unwrap().into_inner();
    let came = down.message().await.unwrap_err();
    assert_eq!(came.code(), Code::Unauthenticated, "{came:?}");
    stop.cancel();
}

#[tokio::test]
async fn a_router_with_a_key_believes_no_server_that_does_not_hold_it() {
    let key = InternalKey::derive([1; 32], Purpose::Announce);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let rules = Rules {
        announce_key: Some(key.clone()),
        auth: AuthMode::Accounts,
        ..Rules::default()
    };
    let door = Door::plain(Listener::Router);
    tokio::spawn(serve_on(listener, rules, door, stop.clone()));
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let channel = channel.connect().await.unwrap();
    let router = RouterServiceClient::new(channel);
    let node = Node {
        name: "a-master".into(),
        pair: "a".into(),
        role: 1,
        address: "127.0.0.1:1".into(),
        pid: 7,
        state: 2,
        data_id: "d".into(),
        reason: "a secret".into(),
        digest: "0".repeat(32),
        ..Node::default()
    };
    let announce = async |shown: &InternalKey, identity: &str, node: &Node| {
        let word = AnnounceRequest {
            server: Some(node.clone()),
            partner: None,
        };
        let words = tokio_stream::once(word).chain(tokio_stream::pending());
        let mut request = Request::new(words);
        let value = shown.sign(identity, now_ms());
        request.metadata_mut().insert("authorization", value);
        let mut answers = router.clone().announce(request).await?.into_inner();
        answers
            .message()
            .await?
            .ok_or_else(|| Status::unavailable("ended"))?;
        Ok::<_, Status>(answers)
    };
    let own = announce::identity(&node);
    let false_key = InternalKey::derive([2; 32], Purpose::Announce);
    let elsewhere = Node {
        address: "192.0.2.1:1".into(),
        ..node.clone()
    };
    for (key, identity, node) in [(&false_key, &own, &node), (&key, &own, &elsewhere)] {
        let refused = announce(key, identity, node).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
        let invalid = sns_proto::reason::name(ErrorReason::TokenInvalid);
        assert_eq!(reason_name(&refused).as_deref(), Some(invalid));
    }
    let came = knock_router(&router).await;
    assert_eq!(came, Err(Code::Unavailable), "nobody is there");

    let _open = announce(&key, &own, &node).await.unwrap();
    let shown = knock_router(&router).await.unwrap();
    assert_eq!((&*shown.reason, &*shown.digest), ("", ""));
    assert_eq!(shown.address, "127.0.0.1:1");
    stop.cancel();
}

async fn knock_router(router: &RouterServiceClient<Channel>) -> Result<Node, Code> {
    let listed = router
        .clone()
        .list_servers(sns_proto::v1::ListServersRequest {})
        .await;
    let listed = listed.map_err(|status| status.code())?.into_inner().servers;
    let assigned = router
        .clone()
        .assign(sns_proto::v1::AssignRequest::default())
        .await;
    let master = assigned
        .map_err(|status| status.code())?
        .into_inner()
        .master
        .unwrap();
    assert_eq!(listed, std::slice::from_ref(&master));
    Ok(master)
}
