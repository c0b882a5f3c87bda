//! A client of the interface that the pages use, for what a test does beside them.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::{LOOK, PATIENCE};

/// One try: a server may be stopped.
const TRY: Duration = Duration::from_secs(2);

/// A user, over HTTP; clones are the same user.
#[derive(Clone, Debug)]
pub struct Web {
    client: Client<HttpConnector, Full<Bytes>>,
    origins: Vec<String>,
    token: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body; null when it is no JSON.
    pub json: Value,
}

impl Web {
    /// Nobody yet; the servers are asked in this order.
    pub fn new(origins: Vec<String>) -> Self {
        // A connection that is kept may be one to a process that was killed.
        let mut builder = Client::builder(TokioExecutor::new());
        Self {
            client: builder.pool_max_idle_per_host(0).build_http(),
            origins,
            token: String::new(),
        }
    }

    /// Logs in; makes the user when there is none of this name.
    pub async fn login(origins: Vec<String>, name: &str) -> Self {
        let mut web = Self::new(origins);
        let answer = web.write("/login", json!({ "username": name })).await;
        answer["token"]
            .as_str()
            .expect("a token")
            .clone_into(&mut web.token);
        web
    }

    /// One try at one server; `None` when no answer came.
    pub async fn ask(
        &self,
        origin: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Option<Answer> {
        let mut request = Request::builder()
            .method(&method)
            .uri(format!("{origin}{path}"))
            .header("content-type", "application/json");
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        let body = if method == Method::POST {
            body.to_string()
        } else {
            String::new()
        };
        let request = request.body(Full::from(body)).expect("a request");
        let asked = async {
            let response = self.client.request(request).await.ok()?;
            let status = response.status();
            let bytes = response.into_body().collect().await.ok()?.to_bytes();
            let json = serde_json::from_slice(&bytes).unwrap_or_default();
            Some(Answer { status, json })
        };
        timeout(TRY, asked).await.ok().flatten()
    }

    /// Asks one server after the other until one answers well, or refuses.
    async fn settle(&self, method: Method, path: &str, body: &Value) -> Value {
        let path = format!("/api/v1{path}");
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        for origin in self.origins.iter().cycle() {
            let answer = self.ask(origin, method.clone(), &path, body).await;
            match answer {
                Some(answer) if answer.status == StatusCode::OK => return answer.json,
                Some(answer)
                    if answer.status.is_client_error()
                        && answer.status != StatusCode::TOO_MANY_REQUESTS =>
                {
                    panic!("{method} {path}: {answer:?}")
                }
                other => last = other.or(last),
            }
            assert!(
                Instant::now() < deadline,
                "no answer to {method} {path}: {last:?}"
            );
            sleep(LOOK).await;
        }
        panic!("no servers to ask")
    }

    /// Reads, from whichever server answers.
    pub async fn read(&self, path: &str) -> Value {
        self.settle(Method::GET, path, &Value::Null).await
    }

    /// Writes once, however often it has to be sent.
    pub async fn write(&self, path: &str, mut body: Value) -> Value {
        if path != "/login" {
            body["request_id"] = Uuid::new_v4().to_string().into();
        }
        self.settle(Method::POST, path, &body).await
    }

    /// Posts; the id.
    pub async fn post(&self, text: &str) -> String {
        let answer = self.write("/posts", json!({ "text": text })).await;
        answer["post"]["id"].as_str().expect("an id").to_owned()
    }

    /// Follows.
    pub async fn follow(&self, name: &str) {
        self.write("/follow", json!({ "username": name })).await;
    }

    /// The whole home timeline, or so many posts of it, newest first.
    pub async fn home(&self, most: usize) -> Vec<Value> {
        let mut posts: Vec<Value> = Vec::new();
        let mut token = String::new();
        loop {
            let path = format!("/home?limit=200&page_token={token}");
            let page = self.read(&path).await;
            posts.extend(page["posts"].as_array().expect("posts").iter().cloned());
            page["next_page_token"]
                .as_str()
                .expect("a token")
                .clone_into(&mut token);
            if token.is_empty() || posts.len() >= most {
                return posts;
            }
        }
    }
}
