//! The web application of the examples, driven over HTTP as a browser or a script would.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/example.rs"]
mod example;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use example::{PATIENCE, Running, run};
use serde_json::{Value, json};

struct App {
    process: Running,
    address: String,
}

impl App {
    fn start(dir: &str) -> Self {
        let process = Running::start("axum_app", &[dir, "0"]);
        let line = process.line().unwrap();
        let address = line
            .strip_prefix("listening on http://")
            .unwrap()
            .to_owned();
        Self { process, address }
    }

    /// Sends a request; what comes back begins with the status line.
    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> BufReader<TcpStream> {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            socket,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}\
             content-length: {length}\r\n\r\n{body}",
            self.address
        )
        .unwrap();
        BufReader::new(socket)
    }

    fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, Value) {
        let mut answer = String::new();
        let mut from = self.send(method, path, headers, body);
        from.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, "", "")
    }

    fn put(&self, path: &str) -> (u16, Value) {
        self.call("PUT", path, "", "")
    }

    fn post(&self, user: &str, text: &str) -> Value {
        let (status, post) = self.send_post(user, text, "");
        assert_eq!(status, 201, "{post}");
        post
    }

    fn send_post(&self, user: &str, text: &str, more: &str) -> (u16, Value) {
        let headers = format!("content-type: application/json\r\n{more}");
        let body = json!({"text": text}).to_string();
        self.call("POST", &format!("/users/{user}/posts"), &headers, &body)
    }

    /// Opens the stream of events.
    fn live(&self, user: &str, headers: &str) -> Live {
        let from = self.send("GET", &format!("/users/{user}/live"), headers, "");
        let mut live = Live(from);
        assert!(live.line().unwrap().contains(" 200 "));
        live
    }
}

/// Server-sent events.
struct Live(BufReader<TcpStream>);

/// Name, id and data.
type Told = (String, String, Value);

impl Live {
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).unwrap();
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event; `None` = the stream is over. Sizes of chunks and comments are passed over.
    fn next(&mut self) -> Option<Told> {
        let (mut name, mut id, mut data) = (String::new(), String::new(), Value::Null);
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                Some(("event", value)) => value.clone_into(&mut name),
                Some(("id", value)) => value.clone_into(&mut id),
                Some(("data", value)) => data = serde_json::from_str(value).unwrap_or_default(),
                _ if line.is_empty() && !name.is_empty() => return Some((name, id, data)),
                _ => {}
            }
        }
    }

    fn post(&mut self) -> (String, Value) {
        loop {
            let (name, id, data) = self.next().expect("a post");
            if name == "post" {
                return (id, data);
            }
        }
    }
}

fn text_of(post: &Value) -> &str {
    post["text"].as_str().unwrap()
}

#[test]
fn it_serves_pages_with_cursors_and_refuses_by_kind() {
    let dir = tempfile::tempdir().unwrap();
    let app = App::start(dir.path().to_str().unwrap());
    assert_eq!(app.put("/users/alice").1["created"], true);
    assert_eq!(app.put("/users/ALICE").1["created"], false);
    assert_eq!(app.put("/users/bob").0, 200);
    assert_eq!(app.put("/users/alice/following/bob").0, 200);
    for n in 0..5 {
        let post = app.post("bob", &format!("post {n} \u{1F600} \"quoted\"\n"));
        assert_eq!(post["author"], "bob");
    }
    let (mut texts, mut path) = (Vec::new(), "/users/alice/home?limit=2".to_owned());
    loop {
        let (status, page) = app.get(&path);
        assert_eq!(status, 200, "{page}");
        texts.extend(
            page["posts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|p| text_of(p).to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/users/alice/home?limit=2&cursor={next}");
        // A cursor is of its query: another user's page refuses it.
        let (status, refused) = app.get(&format!("/users/bob/home?limit=2&cursor={next}"));
        assert_eq!(
            (status, &refused["error"]["kind"]),
            (400, &json!("invalid"))
        );
    }
    let expected: Vec<String> = (0..5)
        .rev()
        .map(|n| format!("post {n} \u{1F600} \"quoted\"\n"))
        .collect();
    assert_eq!(texts, expected);

    for (method, path, status, kind) in [
        ("GET", "/users/nobody/home", 404, "not_found"),
        ("PUT", "/users/no%20name", 400, "invalid"),
        ("PUT", "/users/alice/following/bob", 409, "conflict"),
        ("PUT", "/users/alice/following/alice", 400, "invalid"),
        ("DELETE", "/users/bob/following/alice", 404, "not_found"),
        ("GET", "/users/alice/home?limit=x", 400, "invalid"),
        ("GET", "/users/alice/home?limits=1", 400, "invalid"),
        (
            "GET",
            "/users/alice/home?at_least=99999999999999",
            400,
            "invalid",
        ),
        ("GET", "/users/nobody/live", 404, "not_found"),
    ] {
        let (got, body) = app.call(method, path, "", "");
        assert_eq!(
            (got, &body["error"]["kind"]),
            (status, &json!(kind)),
            "{method} {path}: {body}"
        );
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
    }
    let json = "content-type: application/json\r\n";
    let posts = "/users/bob/posts";
    assert_eq!(app.call("POST", posts, "", "{\"text\":\"x\"}").0, 415);
    assert_eq!(app.call("POST", posts, json, "{\"text\":").0, 400);
    assert_eq!(app.call("POST", posts, json, "{\"txt\":\"x\"}").0, 422);
    assert_eq!(app.send_post("bob", "", "").0, 400);
    assert_eq!(app.send_post("bob", &"x".repeat(40_000), "").0, 413);
    assert_eq!(app.send_post("nobody", "x", "").0, 404);
    assert_eq!(app.send_post("bob", "x", "idempotency-key: 7\r\n").0, 400);
    assert_eq!(
        app.call("GET", "/users/alice/live", "last-event-id: x\r\n", "")
            .0,
        400
    );
    // After all of that it serves as before.
    assert_eq!(
        app.get("/users/alice/home").1["posts"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
}

#[test]
fn a_post_that_is_sent_again_with_its_key_is_there_once() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    // Two processes on one directory: the retry goes to the other.
    let (one, two) = (App::start(dir), App::start(dir));
    one.put("/users/bob");
    let key = "idempotency-key: 6f1c8a58-31a5-4a5e-9f0b-2f6f2f0a9d11\r\n";
    let (status, first) = one.send_post("bob", "once", key);
    assert_eq!(status, 201);
    let (status, again) = two.send_post("bob", "once", key);
    assert_eq!((status, &again["id"]), (201, &first["id"]));
    assert_eq!(two.send_post("bob", "another text", key).0, 400);
    // What one was told, the other shows: no older state answers.
    let id = first["id"].as_str().unwrap();
    let (_, page) = two.get(&format!("/users/bob/home?at_least={id}"));
    assert_eq!(page["posts"].as_array().unwrap().len(), 1);
}

#[test]
fn the_stream_resumes_at_another_process_after_a_kill_and_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let (mut one, two) = (App::start(dir), App::start(dir));
    one.put("/users/alice");
    one.put("/users/bob");
    one.put("/users/alice/following/bob");
    let mut live = one.live("alice", "");
    assert_eq!(live.next().unwrap().0, "caught_up");
    // Posted at the other process, told at this one, with its id.
    let posted = two.post("bob", "first");
    let (id, post) = live.post();
    assert_eq!(
        (id.as_str(), &post),
        (posted["id"].as_str().unwrap(), &posted)
    );
    one.process.kill();
    two.post("bob", "while nobody listened");
    let mut live = two.live("alice", &format!("last-event-id: {id}\r\n"));
    assert_eq!(text_of(&live.post().1), "while nobody listened");
    two.post("bob", "live again");
    assert_eq!(text_of(&live.post().1), "live again");
}

#[test]
fn asked_to_stop_it_ends_its_streams_and_itself_and_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let mut app = App::start(dir);
    app.put("/users/alice");
    let mut live = app.live("alice", "");
    let post = app.post("alice", "the last one");
    assert_eq!(live.post().1, post);
    assert_eq!(app.process.terminate(), Some(0));
    let mut last = live.next().unwrap();
    while let Some(told) = live.next() {
        last = told;
    }
    assert_eq!(last.0, "bye", "the stream says that it ends");
    let app = App::start(dir);
    assert_eq!(app.get("/users/alice/home").1["posts"][0], post);
}

#[test]
fn bad_arguments_and_a_port_that_is_taken_are_said() {
    for arguments in [&[][..], &["x", "y"], &["x", "70000"], &["x", "0", "z"]] {
        let ended = run("axum_app", arguments);
        assert_eq!(ended.code, Some(2));
        assert!(
            ended.stderr.starts_with("usage: axum_app DIR [PORT]"),
            "{}",
            ended.stderr
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = run("axum_app", &[dir.path().to_str().unwrap(), &port]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains(&format!("port {port}: ")),
        "{}",
        ended.stderr
    );
}
