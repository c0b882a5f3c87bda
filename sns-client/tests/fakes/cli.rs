//! The `sns` program: what it prints, how it ends, and that it goes on when servers die.

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use sns_client::Reason;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::fake::{Fault, Setup, wait_until};

fn sns(setup: &Setup, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sns"));
    command
        .env_remove("SNS_USER")
        .env_remove("SNS_JSON")
        .env("SNS_ROUTER", setup.router.address())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn run(setup: &Setup, args: &[&str]) -> Output {
    let output = timeout(Duration::from_secs(30), sns(setup, args).output()).await;
    output.expect("ends in time").expect("runs")
}

/// Runs to a good end; the lines of stdout.
async fn lines(setup: &Setup, args: &[&str]) -> Vec<String> {
    let output = run(setup, args).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    assert_eq!(stderr, "", "{args:?}");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    stdout.lines().map(ToOwned::to_owned).collect()
}

async fn objects(setup: &Setup, args: &[&str]) -> Vec<Value> {
    let lines = lines(setup, args).await;
    let objects = lines.iter().map(|line| serde_json::from_str(line));
    objects.map(|object| object.expect("JSON")).collect()
}

fn keys(object: &Value) -> Vec<&str> {
    let object = object.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

/// Starts it; its stdout line by line.
fn start(mut command: Command) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = command.spawn().expect("starts");
    let stdout = child.stdout.take().expect("piped");
    (child, BufReader::new(stdout).lines())
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = timeout(Duration::from_secs(15), lines.next_line()).await;
    line.expect("in time").expect("UTF-8").expect("a line")
}

fn interrupt(child: &Child) {
    let pid = i32::try_from(child.id().expect("runs")).expect("a pid");
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signalled");
}

#[tokio::test]
async fn json_has_the_shapes_of_the_contract() {
    let setup = Setup::of(2).await;
    let user = ["--json", "-u", "alice"];
    let with = |args: &[&'static str]| [&user[..], args].concat();
    let post = objects(&setup, &with(&["post", "hello"])).await.remove(0);
    assert_eq!(keys(&post), ["author", "created_at", "id", "text"]);
    assert_eq!(post["author"], "alice");
    assert_eq!(post["text"], "hello");
    assert_eq!(post["created_at"], "2023-11-14T22:13:20.000Z");
    let id = post["id"].as_u64().expect("a number").to_string();
    assert_eq!(
        objects(&setup, &with(&["timeline"])).await,
        std::slice::from_ref(&post)
    );
    assert_eq!(objects(&setup, &with(&["profile", "alice"])).await, [post]);
    for args in [["follow", "bob"], ["unfollow", "bob"]] {
        let change = objects(&setup, &with(&args)).await.remove(0);
        assert_eq!(keys(&change), ["seq"]);
        assert!(change["seq"].is_u64());
    }
    let args = [&user[..], &["delete", &id]].concat();
    let change = objects(&setup, &args).await.remove(0);
    assert_eq!(keys(&change), ["seq"]);
    let listed = objects(&setup, &with(&["list"])).await.remove(0);
    assert_eq!(keys(&listed), ["created_at", "username"]);
}

#[tokio::test]
async fn limits_hold_beyond_a_page() {
    let setup = Setup::of(1).await;
    for n in 0..450 {
        setup.world.post("", "bob", &n.to_string());
    }
    for (limit, expected) in [("0", 0), ("1", 1), ("199", 199), ("430", 430), ("999", 450)] {
        let args = ["-u", "alice", "timeline", "--limit", limit];
        assert_eq!(lines(&setup, &args).await.len(), expected, "{limit}");
    }
    let newest = lines(&setup, &["-u", "alice", "profile", "bob"]).await;
    assert_eq!(newest.len(), 20);
    assert!(newest[0].ends_with("bob: 449"), "{}", newest[0]);
}

#[tokio::test]
async fn failures_have_the_exit_code_of_their_kind() {
    let mut setup = Setup::of(1).await;
    for (why, kind, code) in [
        (Reason::SelfFollow, "invalid", 2),
        (Reason::UserNotFound, "not_found", 3),
        (Reason::AlreadyFollowing, "conflict", 4),
        (Reason::TooManyFollowees, "exhausted", 6),
    ] {
        setup.nodes[0].fail(&[Fault::Refuse(why)]);
        let output = run(&setup, &["--json", "-u", "alice", "follow", "bob"]).await;
        assert_eq!(output.status.code(), Some(code), "{kind}");
        assert_eq!(output.stdout, b"");
        let error: Value = serde_json::from_slice(&output.stderr).expect("one object");
        let reason = sns_proto::reason::name(why);
        assert_eq!(error["error"]["kind"], kind);
        assert_eq!(error["error"]["reason"], reason);
        assert!(error["error"]["message"].is_string());
    }
    for args in [
        &["-u", "alice", "fly"][..],
        &["-u", "alice", "delete", "x"],
        &["list"],
        &["-u", "alice", "--router", "ftp://x", "list"],
    ] {
        let output = run(&setup, args).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.starts_with("error: "), "{text}");
        let output = run(&setup, &[&["--json"], args].concat()).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let error: Value = serde_json::from_slice(&output.stderr).expect("one object");
        assert_eq!(error["error"]["kind"], "invalid", "{args:?}");
        assert_eq!(keys(&error["error"]), ["kind", "message", "reason"]);
    }
    setup.nodes[0].wire.cut().await;
    let output = run(&setup, &["-u", "alice", "list"]).await;
    assert_eq!(output.status.code(), Some(7));
}

#[tokio::test]
async fn a_post_comes_from_stdin_as_it_is() {
    let setup = Setup::of(1).await;
    let post = async |bytes: &[u8]| {
        let mut command = sns(&setup, &["--json", "-u", "alice", "post", "-"]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("piped");
        // It may stop reading before the end.
        drop(stdin.write_all(bytes).await);
        drop(stdin);
        child.wait_with_output().await.expect("ends")
    };
    let text = "two\nlines \u{1b}[1m and \u{1F600}\n";
    assert!(post(text.as_bytes()).await.status.success());
    assert_eq!(setup.world.texts(), [text]);
    for bad in [b"\xff\xfe".to_vec(), vec![b'x'; 100_000]] {
        let output = post(&bad).await;
        assert_eq!(output.status.code(), Some(2));
        let error: Value = serde_json::from_slice(&output.stderr).expect("one object");
        assert_eq!(error["error"]["reason"], "TEXT_INVALID");
    }
}

#[tokio::test]
async fn a_closed_pipe_ends_it_without_a_word() {
    let setup = Setup::of(1).await;
    let names = (0..20_000).map(|n| format!("user{n:05}"));
    setup.world.history().users.extend(names);
    let (mut child, mut lines) = start(sns(&setup, &["-u", "alice", "list"]));
    next(&mut lines).await;
    drop(lines);
    let output = timeout(Duration::from_secs(15), child.wait()).await;
    assert!(output.expect("ends").expect("ends").success());
    let output = child.wait_with_output().await.expect("read");
    assert_eq!(output.stderr, b"");
}

#[tokio::test]
async fn watch_goes_on_when_its_server_dies_and_ends_well_on_ctrl_c() {
    let mut setup = Setup::of(2).await;
    for n in 0..3 {
        setup.world.post("", "bob", &n.to_string());
    }
    let args = [
        "-u", "alice", "timeline", "--watch", "--limit", "2", "--json",
    ];
    let (child, mut lines) = start(sns(&setup, &args));
    let mut text = async || {
        let post: Value = serde_json::from_str(&next(&mut lines).await).expect("JSON");
        post["text"].as_str().expect("a post").to_owned()
    };
    assert_eq!(text().await, "1");
    assert_eq!(text().await, "2");
    for n in 3..9 {
        let turn = n % 2;
        setup.nodes[turn].wire.cut().await;
        let post = setup.world.post("", "bob", &n.to_string());
        assert_eq!(text().await, n.to_string());
        setup.nodes[turn].wire.mend().await;
        if n == 8 {
            setup
                .world
                .write("", |_| crate::fake::Fact::Deleted(post.id));
        }
    }
    let deleted: Value = serde_json::from_str(&next(&mut lines).await).expect("JSON");
    assert_eq!(keys(&deleted), ["deleted"]);
    assert!(deleted["deleted"].is_u64());
    interrupt(&child);
    let output = timeout(Duration::from_secs(15), child.wait_with_output()).await;
    let output = output.expect("ends").expect("ends");
    assert_eq!(output.status.code(), Some(0));
    let notices = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(notices.lines().count() <= 12, "{notices}");
}

#[tokio::test]
async fn commands_come_through_a_pipe() {
    let setup = Setup::of(2).await;
    setup.world.history().users.push("bob".to_owned());
    let mut command = sns(&setup, &["-u", "alice"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    let typed = b"FOLLOW bob\nunfollow bob\nlist\nwhat\n\nHELP\nexit\nLIST\n";
    stdin.write_all(typed).await.expect("read");
    let output = timeout(Duration::from_secs(15), child.wait_with_output()).await;
    let output = output.expect("ends").expect("ends");
    assert!(output.status.success());
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = "following bob\nno longer following bob\nalice\nbob\nFOLLOW name";
    assert!(stdout.starts_with(expected), "{stdout}");
    assert!(!stdout.ends_with("bob\n"), "nothing after EXIT: {stdout}");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(stderr, "error: no such command; HELP lists them\n");
}

#[tokio::test]
async fn timeline_mode_reads_and_posts_at_once_while_the_master_dies() {
    let mut setup = Setup::of(2).await;
    let mut command = sns(&setup, &["-u", "alice"]);
    command.stdin(Stdio::piped());
    let (mut child, mut lines) = start(command);
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"Timeline\n0\n").await.expect("read");
    assert!(next(&mut lines).await.ends_with("alice: 0"));
    setup.world.post("", "bob", "meanwhile");
    assert!(next(&mut lines).await.ends_with("bob: meanwhile"));
    setup.nodes[0].wire.cut().await;
    // Typed into a stream that is broken or not yet mended.
    stdin.write_all(b"1\n2\n").await.expect("read");
    assert!(next(&mut lines).await.ends_with("alice: 1"));
    assert!(next(&mut lines).await.ends_with("alice: 2"));
    stdin.write_all(b"3\nEXIT").await.expect("read");
    drop(stdin);
    assert!(next(&mut lines).await.ends_with("alice: 3"));
    // Here every line is a post.
    assert!(next(&mut lines).await.ends_with("alice: EXIT"));
    let ended = timeout(Duration::from_secs(15), child.wait()).await;
    assert!(ended.expect("ends").expect("ends").success());
    wait_until("nothing is posted twice", || {
        setup.world.texts() == ["0", "meanwhile", "1", "2", "3", "EXIT"]
    })
    .await;
}

#[tokio::test]
async fn a_flag_goes_before_a_variable_and_a_variable_before_the_default() {
    let setup = Setup::of(1).await;
    let mut command = sns(&setup, &["list"]);
    command.env("SNS_USER", "carol").env("SNS_JSON", "1");
    let output = command.output().await.expect("runs");
    assert!(output.status.success());
    assert!(output.stdout.starts_with(b"{\"username\":\"carol\""));
    let mut command = sns(&setup, &["list", "-u", "dave"]);
    command.env("SNS_USER", "carol").env("SNS_JSON", "0");
    let output = command.output().await.expect("runs");
    assert_eq!(output.stdout, b"carol\ndave\n");
    let mut command = sns(&setup, &["-u", "dave", "list", "--router"]);
    command.arg(format!("http://{}", setup.router.address()));
    command.env("SNS_ROUTER", "127.0.0.1:1");
    let output = command.output().await.expect("runs");
    assert!(output.status.success());
    // Help goes to stdout.
    let output = sns(&setup, &["--help"]).output().await.expect("runs");
    assert!(output.status.success() && !output.stdout.is_empty());
    assert_eq!(output.stderr, b"");
}
