//! `openapi.json` describes what there is: every route, and the shape of what comes back.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use support::server::Server;
use support::web::Web;

#[path = "support"]
mod support {
    pub(crate) mod server;
    pub(crate) mod web;
}

/// Routes that are for people.
const PAGES: [&str; 4] = ["/", "/ops", "/web/{file}", "/favicon.ico"];

#[tokio::test]
async fn every_route_is_described_and_every_described_one_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let web = Web::login(&server.page, "alice").await;
    let document = web.get("/api/v1/openapi.json").await.good();
    let described: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(|key| &**key)
        .collect();
    let source = include_str!("../src/http.rs");
    let found = source.split(".route(\"").skip(1);
    let found = found.map(|rest| rest.split('"').next().unwrap());
    let linked: BTreeSet<&str> = found.filter(|route| !PAGES.contains(route)).collect();
    assert_eq!(described, linked);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let path = path.replace("{name}", "alice").replace("{id}", "1");
            // Each time anew: a call before may have made all tokens void.
            let web = Web::login(&server.page, "alice").await;
            if path == "/api/v1/timeline" {
                drop(web.events("", None).await);
                continue;
            }
            let json = [("content-type", "application/json")];
            let answer = web.call(method.clone(), &path, &json, "{}").await;
            let status = answer.status.as_u16();
            let there = status != 405 && !answer.text.contains("there is nothing at");
            assert!(there, "{method} {path}: {status} {}", answer.text);
        }
    }
}

#[tokio::test]
async fn answers_have_the_shape_that_is_described() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let web = Web::login(&server.page, "alice").await;
    Web::login(&server.page, "bob").await;
    let document = web.get("/api/v1/openapi.json").await.good();
    let post = json!({ "text": "hi" });
    let bob = json!({ "username": "bob" });
    let eve = json!({ "username": "eve", "password": "correct horse" });
    let made = web.post("/api/v1/posts", &post).await.good();
    let gone = format!("/api/v1/posts/{}", made["post"]["id"].as_str().unwrap());
    web.post("/api/v1/posts", &post).await.good();
    // Two seconds, so that there are samples with and without times.
    support::server::until("there are samples", async || {
        let ops = web.get("/api/v1/ops").await.good();
        (ops["samples"].as_array()?.len() >= 2).then_some(())
    })
    .await;
    for (method, path, at, body) in [
        (Method::POST, "/api/v1/login", "/api/v1/login", Some(&bob)),
        (Method::POST, "/api/v1/signup", "/api/v1/signup", Some(&eve)),
        (Method::GET, "/api/v1/whoami", "/api/v1/whoami", None),
        (Method::POST, "/api/v1/posts", "/api/v1/posts", Some(&post)),
        (Method::POST, "/api/v1/follow", "/api/v1/follow", Some(&bob)),
        (
            Method::POST,
            "/api/v1/unfollow",
            "/api/v1/unfollow",
            Some(&bob),
        ),
        (Method::DELETE, "/api/v1/posts/{id}", &*gone, None),
        (Method::GET, "/api/v1/home", "/api/v1/home", None),
        (Method::GET, "/api/v1/users", "/api/v1/users", None),
        (
            Method::GET,
            "/api/v1/users/{name}/posts",
            "/api/v1/users/alice/posts",
            None,
        ),
        (Method::GET, "/api/v1/servers", "/api/v1/servers", None),
        (Method::GET, "/api/v1/ops", "/api/v1/ops", None),
        (
            Method::POST,
            "/api/v1/logout_all",
            "/api/v1/logout_all",
            None,
        ),
    ] {
        let answer = if let Some(body) = body {
            web.post(at, body).await
        } else {
            web.call(method.clone(), at, &[], "").await
        };
        let answer = answer.good();
        let verb = method.as_str().to_lowercase();
        let described = &document["paths"][path][&verb]["responses"]["200"]["content"];
        let schema = &described["application/json"]["schema"];
        assert!(!schema.is_null(), "{verb} {path} has no schema");
        fits(&document, schema, &answer, path);
    }
    // Its token is void now.
    let web = Web::login(&server.page, "alice").await;
    let refused = web
        .post("/api/v1/posts", &json!({ "text": "" }))
        .await
        .json();
    fits(
        &document,
        &document["components"]["schemas"]["Error"],
        &refused,
        "an error",
    );
}

/// As far as our document goes: references, objects whose fields are all described, lists, types.
fn fits(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let found = document.pointer(name.trim_start_matches('#'));
        return fits(
            document,
            found.unwrap_or_else(|| panic!("{name}")),
            value,
            at,
        );
    }
    if let Some(either) = schema["oneOf"].as_array() {
        if !value.is_null() {
            fits(document, &either[0], value, at);
        }
        return;
    }
    if let Some(known) = schema["enum"].as_array() {
        assert!(
            known.contains(value),
            "{at}: {value} is not one of {known:?}"
        );
        return;
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    let own = match value {
        Value::Null => "null",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
    };
    let takes = |name: &str| types.iter().any(|known| known == name);
    let fitting = takes(own) || (own == "integer" && takes("number"));
    assert!(fitting, "{at}: {value} is no {types:?}");
    match value {
        Value::Array(items) => {
            for item in items {
                fits(document, &schema["items"], item, at);
            }
        }
        Value::Object(fields) => {
            let described = schema["properties"].as_object().unwrap();
            for (name, field) in fields {
                let at = format!("{at}.{name}");
                let schema = described.get(name);
                fits(
                    document,
                    schema.unwrap_or_else(|| panic!("{at} is not described")),
                    field,
                    &at,
                );
            }
            for name in schema["required"].as_array().unwrap() {
                let name = name.as_str().unwrap();
                assert!(fields.contains_key(name), "{at} lacks {name}");
            }
        }
        _ => {}
    }
}
