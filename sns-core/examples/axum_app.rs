//! A feed inside a web application: routes of axum over one `Sns`, with live updates.
//!
//! ```text
//! cargo run -p sns-core --example axum_app -- DIR [PORT]        # prints: listening on http://127.0.0.1:PORT
//!
//! curl -X PUT  localhost:PORT/users/alice                       # make a user
//! curl -X PUT  localhost:PORT/users/alice/following/bob         # follow; DELETE: no longer
//! curl -d '{"text": "hello"}' -H 'content-type: application/json' localhost:PORT/users/bob/posts
//! curl 'localhost:PORT/users/alice/home?limit=20'               # and &cursor=NEXT for the next page
//! curl -N localhost:PORT/users/alice/live                       # server-sent events, until Ctrl-C
//! ```
//!
//! What to learn from: which calls block and which do not ([`home`], [`blocking`]), a read of one's own
//! writes without a thread that waits ([`home`]: `at_least`), a retry that has one effect ([`post`]:
//! `Idempotency-Key`), errors by kind ([`Refused`]), a stream that resumes ([`live`]: `Last-Event-ID`),
//! an end that loses nothing ([`serve`]).
//!
//! It asks nobody who they are, so it listens on loopback alone: put your own log-in in front.
//!
//! Try to break it: start it twice on one directory, and post at one what you watch at the other; kill
//! one of them; send a cursor to another user's page; send the same `Idempotency-Key` with another text.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post as on_post, put};
use axum::{Json, Router};
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use sns_core::{
    Error, ErrorKind, Event, EventKind, Page, Post, Reason, RequestId, Seq, Sns, Username, limits,
};
use tokio::net::TcpListener;

/// How long clients have to go once the program is asked to stop.
const DRAIN: Duration = Duration::from_secs(5);

type Answer = Result<Json<Value>, Refused>;

#[allow(clippy::print_stderr, reason = "an example says what went wrong")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let port = args.get(1).map_or(Ok(0), |port| port.parse());
    let (Some(dir), Ok(port), 1..=2) = (args.first(), port, args.len()) else {
        eprintln!("usage: axum_app DIR [PORT]; port 0, or none: any that is free");
        return ExitCode::from(2);
    };
    // Before the runtime: opening reads the log, and blocks until all of it is applied.
    let opened = Sns::open(dir).map_err(|error| error.to_string());
    let served = opened.and_then(|sns| {
        let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
        let served = runtime.block_on(serve(&sns, port));
        // Outside of the runtime too: it waits for the disk.
        sns.close();
        served.map_err(|error| format!("port {port}: {error}"))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("axum_app: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C or SIGTERM, then for as long as clients need, within bounds.
#[allow(clippy::print_stdout, reason = "an example shows what it does")]
async fn serve(sns: &Sns, port: u16) -> std::io::Result<()> {
    let app = Router::new()
        .route("/users/{user}", put(make_user))
        .route("/users/{user}/posts", on_post(post))
        .route(
            "/users/{user}/following/{other}",
            put(follow).delete(unfollow),
        )
        .route("/users/{user}/home", get(home))
        .route("/users/{user}/live", get(live))
        // A post of 4,000 bytes, each of them escaped, fits.
        .layer(DefaultBodyLimit::max(32 * 1024))
        .with_state(sns.clone());
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let feed = sns.clone();
    let draining = async move {
        asked_to_stop().await;
        // Streams end, writes that are under way finish, new ones are refused: then axum can end.
        feed.drain();
    };
    let overdue = async {
        asked_to_stop().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = axum::serve(listener, app).with_graceful_shutdown(draining) => served,
        () = overdue => Ok(()),
    }
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Runs what may wait for the disk on a thread that may wait.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> sns_core::Result<T> + Send + 'static,
) -> Result<T, Refused> {
    let called = tokio::task::spawn_blocking(call).await;
    called
        .unwrap_or_else(|_| Err(Error::new(Reason::Internal, "the call panicked")))
        .map_err(Refused::from)
}

async fn make_user(State(sns): State<Sns>, Path(user): Path<String>) -> Answer {
    // Not `sns.user(…)`, which waits: a write is a future, and this thread serves others meanwhile.
    let made = sns.create_user(&Username::parse(&user)?).await?;
    Ok(Json(
        json!({"created": made.created, "seq": made.seq.to_string()}),
    ))
}

async fn follow(State(sns): State<Sns>, Path((user, other)): Path<(String, String)>) -> Answer {
    let (user, other) = (Username::parse(&user)?, Username::parse(&other)?);
    let seq = sns.follow(&user, &other).await?;
    Ok(Json(json!({"seq": seq.to_string()})))
}

async fn unfollow(State(sns): State<Sns>, Path((user, other)): Path<(String, String)>) -> Answer {
    let (user, other) = (Username::parse(&user)?, Username::parse(&other)?);
    let seq = sns.unfollow(&user, &other).await?;
    Ok(Json(json!({"seq": seq.to_string()})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPost {
    text: String,
}

/// A new post. With `Idempotency-Key: <UUID>` a client may send it again, here or to another process
/// on the same directory: it takes effect once, and the answer is the first one.
async fn post(
    State(sns): State<Sns>,
    Path(user): Path<String>,
    headers: HeaderMap,
    body: Result<Json<NewPost>, JsonRejection>,
) -> Result<Response, Refused> {
    let (user, Json(new)) = (Username::parse(&user)?, body?);
    let mut write = sns.write();
    if let Some(key) = headers.get("idempotency-key") {
        write = write.request_id(RequestId::parse(key.to_str().unwrap_or_default())?);
    }
    let post = write.post(&user, &new.text).await?;
    Ok((StatusCode::CREATED, Json(json_of(&post))).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    limit: usize,
    #[serde(default)]
    cursor: String,
    /// The `seq` or `id` of an earlier answer: nothing older is shown.
    #[serde(default)]
    at_least: u64,
}

async fn home(
    State(sns): State<Sns>,
    Path(user): Path<String>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Answer {
    let (user, Query(asked)) = (Username::parse(&user)?, query?);
    // Another process may have written it: wait for this one to catch up, as a task, not as a thread.
    let state = sns.reach(Seq::from_u64(asked.at_least), false);
    match tokio::time::timeout(limits::WAIT, state).await {
        Ok(reached) => reached?,
        Err(_) => return Err(sns.too_late().into()),
    }
    let home = sns.home(&user).limit(asked.limit).cursor(&asked.cursor);
    // Mostly all of it is in memory, and a thread would cost more than the page.
    let page = match home.page_now()? {
        Some(page) => page,
        None => blocking(move || home.page()).await?,
    };
    Ok(Json(json_of_page(&page)))
}

/// What happens, as it happens. A browser that reconnects sends the id of the last event that it saw,
/// to any process on the directory, and misses nothing.
async fn live(
    State(sns): State<Sns>,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Refused> {
    let user = Username::parse(&user)?;
    let after = match headers.get("last-event-id") {
        None => sns.applied(),
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            Seq::from_u64(id.ok_or_else(|| Error::invalid("Last-Event-ID is a number"))?)
        }
    };
    // Opening looks the reader up, perhaps on the disk. What follows is a future.
    let opened = blocking(move || sns.subscribe(&user, Some(after))).await?;
    let events = futures_util::stream::unfold(Some(opened), |open| async {
        let mut timeline = open?;
        match timeline.next().await {
            Ok(event) => Some((Ok(sse_of(&event)), Some(timeline))),
            // The program stops, or rebuilds its view: the browser comes back with its last id.
            Err(error) => {
                let bye = sse::Event::default()
                    .event("bye")
                    .data(error.reason().as_str_name());
                Some((Ok(bye), None))
            }
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn sse_of(event: &Event) -> sse::Event {
    let (name, data) = match &event.kind {
        EventKind::Post(post) => ("post", json_of(post)),
        EventKind::Deleted(id) => ("deleted", json!({"id": id.to_string()})),
        _ => ("caught_up", json!({})),
    };
    let told = sse::Event::default().event(name).data(data.to_string());
    told.id(event.seq.to_string())
}

/// Ids as text: JavaScript's numbers end at 2^53.
fn json_of(post: &Post) -> Value {
    json!({
        "id": post.id.to_string(),
        "author": post.author.as_str(),
        "text": post.text.as_str(),
        "created_at_ms": post.created_at_ms,
    })
}

fn json_of_page(page: &Page<Post>) -> Value {
    let posts: Vec<Value> = page.items.iter().map(json_of).collect();
    json!({"posts": posts, "next": page.next, "seq": page.seq.to_string()})
}

/// A refusal: the status says what to do, as the kind does; the rest is for people and logs.
struct Refused {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Denied => StatusCode::FORBIDDEN,
            // Both: the same again, a little later.
            ErrorKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            // It may have happened: again with the same Idempotency-Key only.
            ErrorKind::Unknown => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            status,
            kind: error.kind().as_str(),
            message: error.message().to_owned(),
        }
    }
}

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Self {
        Self {
            status: rejection.status(),
            kind: "invalid",
            message: rejection.body_text(),
        }
    }
}

impl From<QueryRejection> for Refused {
    fn from(rejection: QueryRejection) -> Self {
        Self {
            status: rejection.status(),
            kind: "invalid",
            message: rejection.body_text(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({"error": {"kind": self.kind, "message": self.message}});
        let mut response = (self.status, Json(body)).into_response();
        if matches!(self.kind, "exhausted" | "unavailable") {
            let soon = header::HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, soon);
        }
        response
    }
}
