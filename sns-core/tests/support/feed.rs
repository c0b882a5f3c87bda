//! Real processes that use one data directory: the test binary starts itself again.
//!
//! With `SNS_CHILD_DIR` set, the test `child` of the binary is the program of such a process:
//! it reads commands from its standard input, one a line, and answers each on its standard output.
//!
//! ```text
//! post USER TEXT          ok SEQ
//! load USER COUNT         ack SEQ TEXT, so often; TEXT is NODE.N
//! follow A B              ok SEQ
//! retry UUID USER TEXT    ok SEQ
//! watch READER AFTER      (a thread) event SEQ KIND TEXT
//! home READER SEQ         ok POSTS, of a state that includes SEQ
//! digest INDEX            ok DIGEST at INDEX or later, with the index
//! snapshot                ok INDEX
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    reason = "this is test code"
)]

#[path = "draw.rs"]
pub(crate) mod draw;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use sns_core::{EventKind, RequestId, Seq, Sns, Username};

const DIR: &str = "SNS_CHILD_DIR";
const NODE: &str = "SNS_CHILD_NODE";

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn name(name: &str) -> Username {
    Username::parse(name).unwrap()
}

/// Waits for something, with a deadline.
pub(crate) fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// The program of a child; returns at once in the test binary itself.
pub(crate) fn child_program() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let node = std::env::var(NODE).unwrap();
    let sns = Sns::builder(&dir).node(&node).open().unwrap();
    say("ready");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["post", user, text] => {
                let author = sns.user(user).unwrap();
                say(&format!(
                    "ok {}",
                    sns.post(&author, text).wait().unwrap().id
                ));
            }
            ["load", user, count] => load(&sns, &node, user, count.parse().unwrap()),
            ["follow", a, b] => {
                let (a, b) = (sns.user(a).unwrap(), sns.user(b).unwrap());
                say(&format!("ok {}", sns.follow(&a, &b).wait().unwrap()));
            }
            ["retry", id, user, text] => {
                let author = sns.user(user).unwrap();
                let write = sns.write().request_id(RequestId::parse(id).unwrap());
                say(&format!(
                    "ok {}",
                    write.post(&author, text).wait().unwrap().id
                ));
            }
            ["watch", reader, after] => watch(&sns, &name(reader), seq(after)),
            ["home", reader, at_least] => {
                let home = sns.home(&name(reader)).limit(200).at_least(seq(at_least));
                let page = home.page().unwrap();
                let texts: Vec<&str> = page.items.iter().map(|post| post.text.as_str()).collect();
                say(&format!("ok {}", texts.join(",")));
            }
            ["digest", index] => {
                let index: u64 = index.parse().unwrap();
                wait_until("the index", || sns.status().applied >= index);
                let status = sns.status();
                say(&format!("ok {} {}", status.digest, status.applied));
            }
            ["snapshot"] => say(&format!("ok {}", sns.create_snapshot().unwrap().index)),
            other => panic!("{other:?}"),
        }
    }
}

fn seq(text: &str) -> Seq {
    Seq::from_u64(text.parse().unwrap())
}

/// Whole lines, whoever else writes.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("> {line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Posts with many under way at once, so that a kill finds some at every stage.
fn load(sns: &Sns, node: &str, user: &str, count: u64) {
    let author = sns.user(user).unwrap();
    let mut waiting = std::collections::VecDeque::new();
    let mut tell = |(text, pending): (String, sns_core::Pending<sns_core::Post>)| {
        say(&format!("ack {} {text}", pending.wait().unwrap().id));
    };
    for number in 0..count {
        let text = format!("{node}.{number}");
        let pending = sns.post(&author, &text);
        waiting.push_back((text, pending));
        if waiting.len() > 20 {
            tell(waiting.pop_front().unwrap());
        }
    }
    waiting.into_iter().for_each(&mut tell);
    say("ok loaded");
}

fn watch(sns: &Sns, reader: &Username, after: Seq) {
    let mut stream = sns.subscribe(reader, Some(after)).unwrap();
    std::thread::spawn(move || {
        while let Ok(event) = stream.next_blocking() {
            let seq = event.seq;
            match event.kind {
                EventKind::Post(post) => say(&format!("event {seq} post {}", post.text)),
                EventKind::Deleted(post) => say(&format!("event {seq} deleted {post}")),
                EventKind::CaughtUp => say(&format!("event {seq} live -")),
                _ => {}
            }
        }
    });
}

/// One process. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    said: Receiver<String>,
    /// Events of its streams that came while something else was awaited.
    pub(crate) events: Vec<String>,
}

impl Process {
    /// Starts one and waits until it serves.
    pub(crate) fn start(dir: &Path, node: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(DIR, dir)
            .env(NODE, node)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (to, said) = sync_channel(100_000);
        std::thread::spawn(move || {
            // A line that a kill cut short has no end: it says nothing.
            for line in out.split(b'\n') {
                let Ok(line) = line else { return };
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some((_, line)) = line.split_once("> ") {
                    let _ = to.send(line.to_owned());
                }
            }
        });
        let input = child.stdin.take();
        let mut process = Self {
            child,
            input,
            said,
            events: Vec::new(),
        };
        assert_eq!(process.answer(), "ready");
        process
    }

    pub(crate) fn tell(&mut self, command: &str) {
        writeln!(self.input.as_mut().unwrap(), "{command}").unwrap();
    }

    /// The next line; `None` when it is dead.
    pub(crate) fn line(&mut self) -> Option<String> {
        match self.said.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the process says nothing"),
        }
    }

    /// The next answer; events are put aside.
    pub(crate) fn answer(&mut self) -> String {
        loop {
            let line = self.line().expect("the process is dead");
            match line.strip_prefix("event ") {
                Some(event) => self.events.push(event.to_owned()),
                None => return line,
            }
        }
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        let answer = self.answer();
        let answer = answer.strip_prefix("ok ").expect(&answer);
        answer.to_owned()
    }

    /// Waits until so many events have come.
    pub(crate) fn await_events(&mut self, count: usize) {
        while self.events.len() < count {
            let line = self.line().expect("the process is dead");
            let event = line.strip_prefix("event ").expect("an event");
            self.events.push(event.to_owned());
        }
    }

    /// kill -9. What it said before is still to be read.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it end in good order.
    pub(crate) fn stop(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `ack SEQ TEXT`.
pub(crate) fn acknowledged(line: &str) -> Option<(Seq, String)> {
    let (id, text) = line.strip_prefix("ack ")?.split_once(' ')?;
    Some((seq(id), text.to_owned()))
}

/// All posts of a user, oldest first.
pub(crate) fn all_posts(sns: &Sns, user: &Username) -> Vec<sns_core::Post> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = sns
            .posts_of(user)
            .limit(200)
            .cursor(&cursor)
            .page()
            .unwrap();
        all.extend(page.items);
        match page.next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    all.reverse();
    all
}
