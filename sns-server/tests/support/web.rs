//! A client of the pages' own interface.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every test takes what it needs"
)]

use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

type Body = Full<axum::body::Bytes>;

/// How long a test waits for an answer or an event.
const PATIENCE: Duration = Duration::from_secs(20);

/// One user of one server, over HTTP.
#[derive(Clone)]
pub struct Web {
    client: Client<HttpConnector, Body>,
    /// `127.0.0.1:port`.
    pub at: String,
    pub token: String,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// The value of a call that must have gone well.
    #[track_caller]
    pub fn good(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }
}

impl Web {
    /// Nobody yet.
    pub fn new(at: &str) -> Self {
        Self {
            // A connection that is kept may be one to a process that was killed.
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build_http(),
            at: at.to_owned(),
            token: String::new(),
        }
    }

    pub async fn login(at: &str, name: &str) -> Self {
        let mut web = Self::new(at);
        let asked = serde_json::json!({ "username": name });
        let answer = web.post("/api/v1/login", &asked).await.good();
        answer["token"].as_str().unwrap().clone_into(&mut web.token);
        web
    }

    /// The same user on another server.
    pub fn on(&self, at: &str) -> Self {
        Self {
            at: at.to_owned(),
            ..self.clone()
        }
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let uri = format!("http://{}{path}", self.at);
        let request = Request::builder().method(method).uri(uri);
        if self.token.is_empty() {
            return request;
        }
        request.header("authorization", format!("Bearer {}", self.token))
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        self.try_send(request).await.expect("an answer")
    }

    /// `None` when the connection breaks: the server may be gone.
    async fn try_send(&self, request: Request<Body>) -> Option<Answer> {
        let answer = async {
            let response = self.client.request(request).await.ok()?;
            let (head, body) = response.into_parts();
            let bytes = body.collect().await.ok()?.to_bytes();
            Some(Answer {
                status: head.status,
                headers: head.headers,
                text: String::from_utf8(bytes.to_vec()).unwrap(),
            })
        };
        timeout(PATIENCE, answer).await.expect("an answer in time")
    }

    /// As [`Web::get`], of a server that may be gone.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        let request = self.request(Method::GET, path);
        self.try_send(request.body(Body::default()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], "").await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, &[], "").await
    }

    pub async fn post(&self, path: &str, value: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.call(Method::POST, path, &json, &value.to_string())
            .await
    }

    /// Any request at all.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Body::from(body.to_owned());
        self.send(request.body(body).unwrap()).await
    }

    /// How any request at all is answered; what a stream says is not waited for.
    pub async fn status(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> StatusCode {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let answer = timeout(PATIENCE, self.client.request(request)).await;
        answer.expect("an answer in time").unwrap().status()
    }

    /// Opens the stream of events; `after` is the last event that came.
    pub async fn events(&self, query: &str, after: Option<u64>) -> Events {
        let path = format!("/api/v1/timeline{query}");
        let mut request = self.request(Method::GET, &path);
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let request = request.body(Body::default()).unwrap();
        let response = self.client.request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events {
            body: response.into_body(),
            read: String::new(),
        }
    }
}

/// A stream of events.
pub struct Events {
    body: hyper::body::Incoming,
    read: String,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: Option<u64>,
    pub name: String,
    pub data: Value,
}

impl Events {
    /// The next event; `None` when the stream has ended or broken.
    pub async fn next(&mut self) -> Option<Event> {
        timeout(PATIENCE, self.read_on()).await.expect("an event")
    }

    async fn read_on(&mut self) -> Option<Event> {
        while !self.read.contains("\n\n") {
            let frame = self.body.frame().await?.ok()?;
            if let Ok(bytes) = frame.into_data() {
                self.read += std::str::from_utf8(&bytes).unwrap();
            }
        }
        let (event, rest) = self.read.split_once("\n\n").unwrap();
        let rest = rest.to_owned();
        let field = |name: &str| {
            let lines = event.lines();
            lines.filter_map(|line| line.strip_prefix(name)).next_back()
        };
        let event = Event {
            id: field("id: ").map(|id| id.parse().unwrap()),
            name: field("event: ").unwrap().to_owned(),
            data: serde_json::from_str(field("data: ").unwrap()).unwrap(),
        };
        self.read = rest;
        Some(event)
    }
}
