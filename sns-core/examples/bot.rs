//! A bot that answers each post exactly once, although it may be killed at any moment.
//!
//! ```text
//! cargo run -p sns-core --example bot -- DIR CURSOR_FILE NAME...
//! ```
//!
//! As the user `echo` it follows each NAME and answers every post of theirs, from the follow on, until
//! it is killed. Others post from their own processes, embedded or through servers on `DIR`. It
//! prints `following N users` first, then a line for each answer.
//!
//! # Why exactly once
//!
//! 1. *At least once.* The cursor is the seq of the last post that was answered. It is written only
//!    when the answer is durable, and a stream that begins at a cursor tells everything behind it. So
//!    whatever moment the bot is killed in, the next one is told of each post without an answer.
//! 2. *At most once.* A kill between the answer and the cursor makes the next bot answer the same post
//!    again, with a request id that follows from the post ([`RequestId::derived`]) and with the same
//!    `seen`: the feed knows the request and gives its first outcome. So it does if the cursor file is
//!    lost, or an old one is brought back: the file saves work, the log decides.
//! 3. *Where that ends, it says so.* The last 1,000,000 requests of all users are remembered. A bot
//!    that comes later is refused with `REQUEST_EXPIRED` and never believed blindly, because `seen`
//!    tells how old its knowledge is. Expiry is monotonic along the log: once one attempt has expired
//!    at some place, an earlier attempt with that `seen` has either taken effect before that place,
//!    where a linearizable read shows it, or never will. So the bot looks among its own posts, and
//!    answers with a fresh `seen` only if there is nothing.
//!
//! What it does not survive: answers deleted by hand while it is a million requests late (it cannot
//! know that they were there), a text that changes with its release (the same id with another text is
//! refused: change the purpose `"echo 1"` too), and two bots of one name on two clusters.
//!
//! Try to break it: `kill -9` in a loop; delete the cursor file, or bring back an old one; start it
//! twice (the node name is a lock that the kernel gives back with the process).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use sns_core::{
    Error, ErrorKind, EventKind, Post, Reason, RequestId, Result, Seq, Sns, Subscribe, Username,
};

/// What the request ids are of: another text needs another purpose.
const PURPOSE: &str = "echo 1";

#[allow(clippy::print_stderr, reason = "an example says what went wrong")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.as_slice() {
        [dir, file, names @ ..] if !names.is_empty() => run(dir, Path::new(file), names),
        _ => Err(Error::invalid("usage: bot DIR CURSOR_FILE NAME...")),
    };
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    eprintln!("bot: {error}");
    ExitCode::from(2)
}

#[allow(clippy::print_stdout, reason = "an example shows what it does")]
fn run(dir: &str, file: &Path, names: &[String]) -> Result<()> {
    // The name of a node is a lock: a second bot on this directory is refused.
    let sns = Sns::builder(dir).node("bot-echo").open()?;
    let echo = sns.user("echo")?;
    for name in names {
        match sns.follow(&echo, &sns.user(name)?).wait() {
            Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
            _ => {}
        }
    }
    let cursor = Cursor::open(file, &sns)?;
    let options = Subscribe {
        after: Some(cursor.at),
        exclude_own: true,
        ..Subscribe::default()
    };
    let mut timeline = sns.subscribe_with(&echo, options)?;
    println!("following {} users", names.len());
    let mut cursor = cursor;
    loop {
        let event = timeline.next_blocking()?;
        if let EventKind::Post(post) = event.kind {
            let answer = answer(&sns, &echo, &post)?;
            println!("answered {} with {}", post.id, answer.id);
        }
        cursor.move_to(event.seq)?;
    }
}

/// The answer follows from the post alone, so that a retry says the same.
fn text(post: &Post) -> String {
    let said: String = post.text.as_str().chars().take(200).collect();
    format!("re {}: {} said {said}", post.id, post.author)
}

/// Answers `post` once, however often it is called.
fn answer(sns: &Sns, echo: &Username, post: &Post) -> Result<Post> {
    let (id, text) = (RequestId::derived(PURPOSE, post.id), text(post));
    // What every attempt knew, in this process and in those before it.
    let mut seen = post.id;
    let mut wait = Duration::from_millis(10);
    loop {
        let write = sns.write().request_id(id).seen(seen);
        let error = match write.post(echo, &text).wait() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match (error.reason(), error.kind()) {
            (Reason::RequestExpired, _) => {
                if let Some(answer) = answered_before(sns, echo, post)? {
                    return Ok(answer);
                }
                seen = sns.applied();
            }
            // Nothing was written, or it cannot be told: the same again, a little later.
            (_, ErrorKind::Unavailable | ErrorKind::Exhausted | ErrorKind::Unknown) => {
                thread::park_timeout(wait);
                wait = (wait * 2).min(Duration::from_secs(1));
            }
            _ => return Err(error),
        }
    }
}

/// The answer to `post` among the bot's own posts, down to the post itself.
fn answered_before(sns: &Sns, echo: &Username, post: &Post) -> Result<Option<Post>> {
    let mark = format!("re {}: ", post.id);
    let mut cursor = String::new();
    loop {
        let page = sns.posts_of(echo).limit(200).cursor(&cursor);
        let page = page.linearizable(true).page()?;
        for answer in page.items {
            if answer.id < post.id {
                return Ok(None);
            }
            if answer.text.as_str().starts_with(&mark) {
                return Ok(Some(answer));
            }
        }
        match page.next {
            Some(next) => cursor = next,
            None => return Ok(None),
        }
    }
}

/// A file with the log's id and the seq up to which all is answered.
struct Cursor {
    file: PathBuf,
    log: String,
    at: Seq,
}

impl Cursor {
    fn open(file: &Path, sns: &Sns) -> Result<Self> {
        let log = sns.log_id().to_string();
        let place = file.display();
        let at = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Seq::ZERO,
            Err(error) => return Err(Error::invalid(format!("reading {place}: {error}"))),
            Ok(text) => {
                let words = text.trim_end().split_once(' ');
                let number = words.and_then(|(of, at)| Some((of == log, at.parse().ok()?)));
                let (ours, at) = number.ok_or_else(|| {
                    Error::invalid(format!("{place} holds no cursor: give another file"))
                })?;
                if !ours || Seq::from_u64(at) > sns.applied() {
                    return Err(Error::invalid(format!(
                        "{place} is of another feed, or of a later state than this copy of it: \
                         remove it to answer all that has no answer yet"
                    )));
                }
                Seq::from_u64(at)
            }
        };
        let file = file.to_owned();
        Ok(Self { file, log, at })
    }

    /// Replaces the file in one step: a kill, or a power cut, leaves the old cursor or the new one.
    fn move_to(&mut self, at: Seq) -> Result<()> {
        let replace = || {
            let temporary = self.file.with_extension("tmp");
            let mut file = File::create(&temporary)?;
            writeln!(file, "{} {at}", self.log)?;
            file.sync_all()?;
            fs::rename(&temporary, &self.file)?;
            // The name, too, must be on the disk.
            let dir = self.file.parent().filter(|dir| !dir.as_os_str().is_empty());
            File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
        };
        self.at = at;
        let place = self.file.display();
        replace().map_err(|e| Error::invalid(format!("writing {place}: {e}")).with_source(e))
    }
}
