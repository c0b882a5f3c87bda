//! `sns export`: what is one's own, as JSON lines in the words of `docs/export-format.md`.
//!
//! It comes by the ordinary calls, page by page, so it asks nobody for more than reading does; where a
//! server asks to slow down it waits.

use std::fs::File;
use std::future::Future;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use sns_client::{Client, ErrorKind, Page};

use crate::output::{Failure, say};
use crate::render;

/// The version of the format.
const VERSION: u32 = 1;
/// The most that a page holds.
const PAGE: usize = 200;
/// Names that are looked through for one's own, which stands in the list of all users alone.
const NAMES: usize = 20_000;
/// How often a page is asked for again when servers say that it is too much, and how long after.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// Where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Export {
    /// `None`: stdout.
    pub(crate) out: Option<PathBuf>,
    /// Replace the file that is there.
    pub(crate) force: bool,
}

#[derive(Serialize)]
struct Header<'a> {
    sns_export: u32,
    account: &'a str,
    seq: u64,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line<'a> {
    User {
        username: &'a str,
        created_at: Option<String>,
    },
    Follow {
        username: &'a str,
        follows: &'a str,
    },
    Post {
        id: u64,
        author: &'a str,
        text: &'a str,
        created_at: String,
    },
    End {
        users: u64,
        follows: u64,
        posts: u64,
    },
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    following: u64,
    followers: u64,
    posts: u64,
}

#[derive(Serialize)]
struct Summary<'a> {
    file: &'a str,
    account: &'a str,
    following: u64,
    followers: u64,
    posts: u64,
}

/// Writes it, and says what it wrote: to stdout, or to stderr where stdout has the data.
pub(crate) async fn run(client: &Client, how: &Export, json: bool) -> Result<(), Failure> {
    let (counts, shown) = match &how.out {
        None => {
            let mut out = BufWriter::new(io::stdout());
            let counts = write(client, &mut out).await?;
            out.flush()?;
            (counts, "-".to_owned())
        }
        Some(path) => (
            to_file(client, path, how.force).await?,
            path.display().to_string(),
        ),
    };
    let account = client.login().username.as_str();
    let told = if json {
        render::object(&Summary {
            file: &shown,
            account,
            following: counts.following,
            followers: counts.followers,
            posts: counts.posts,
        })
    } else {
        render::escape(&format!(
            "exported {account} to {shown}: {} posts, {} followed, {} followers",
            counts.posts, counts.following, counts.followers
        ))
    };
    if how.out.is_some() {
        writeln!(io::stdout(), "{told}")?;
    } else {
        say(&told);
    }
    Ok(())
}

/// The file appears as a whole, or not at all; nobody else may read it.
async fn to_file(client: &Client, path: &Path, force: bool) -> Result<Counts, Failure> {
    let taken = || {
        Failure::Usage(format!(
            "{} is there already: give another name, or --force to replace it",
            path.display()
        ))
    };
    if !force && path.symlink_metadata().is_ok() {
        return Err(taken());
    }
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let cannot = |e: io::Error| Failure::Io(format!("cannot write {}: {e}", path.display()));
    let mut file = tempfile::Builder::new()
        .prefix(".sns-")
        .tempfile_in(dir)
        .map_err(cannot)?;
    let mut out = BufWriter::new(file.as_file_mut());
    let counts = write(client, &mut out).await?;
    out.flush().map_err(cannot)?;
    drop(out);
    file.as_file().sync_all().map_err(cannot)?;
    if force {
        file.persist(path).map_err(|e| cannot(e.error))?;
    } else {
        file.persist_noclobber(path)
            .map_err(|e| match e.error.kind() {
                io::ErrorKind::AlreadyExists => taken(),
                _ => cannot(e.error),
            })?;
    }
    // Its name is there after a power cut, too.
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(cannot)?;
    Ok(counts)
}

async fn write(client: &Client, out: &mut (impl Write + Send)) -> Result<Counts, Failure> {
    let me = client.login().username.clone();
    // One page first: its seq is a state that all that follows includes.
    let first = client.posts_of(&me).limit(1).linearizable(true);
    let seq = patient(|| first.clone().page()).await?.seq;
    line(
        out,
        &Header {
            sns_export: VERSION,
            account: &me,
            seq: seq.get(),
        },
    )?;
    let created_at = created_at(client, &me).await?;
    line(
        out,
        &Line::User {
            username: &me,
            created_at,
        },
    )?;
    let mut counts = Counts::default();
    let mut next = Some(client.following("").limit(PAGE));
    while let Some(list) = next {
        let page = patient(|| list.clone().page()).await?;
        for user in &page.items {
            counts.following += 1;
            line(
                out,
                &Line::Follow {
                    username: &me,
                    follows: &user.username,
                },
            )?;
        }
        next = page.next.map(|cursor| list.cursor(cursor));
    }
    let mut next = Some(client.followers("").limit(PAGE));
    while let Some(list) = next {
        let page = patient(|| list.clone().page()).await?;
        for user in &page.items {
            counts.followers += 1;
            line(
                out,
                &Line::Follow {
                    username: &user.username,
                    follows: &me,
                },
            )?;
        }
        next = page.next.map(|cursor| list.cursor(cursor));
    }
    let mut next = Some(client.posts_of(&me).limit(PAGE));
    while let Some(list) = next {
        let page = patient(|| list.clone().page()).await?;
        for post in &page.items {
            counts.posts += 1;
            line(
                out,
                &Line::Post {
                    id: post.id.get(),
                    author: &post.author,
                    text: &post.text,
                    created_at: render::time(post.created_at),
                },
            )?;
        }
        next = page.next.map(|cursor| list.cursor(cursor));
    }
    let follows = counts.following + counts.followers;
    let posts = counts.posts;
    line(
        out,
        &Line::End {
            users: 1,
            follows,
            posts,
        },
    )?;
    Ok(counts)
}

/// When the user was made: only the list of all users tells, and it is looked through in part.
async fn created_at(client: &Client, me: &str) -> Result<Option<String>, Failure> {
    let mut next = Some(client.users().limit(PAGE));
    let mut seen = 0;
    while let Some(list) = next.filter(|_| seen < NAMES) {
        let page = patient(|| list.clone().page()).await?;
        seen += page.items.len();
        for user in &page.items {
            if user.username == me {
                return Ok(Some(render::time(user.created_at)));
            }
            if user.username.as_str() > me {
                return Ok(None);
            }
        }
        next = page.next.map(|cursor| list.cursor(cursor));
    }
    Ok(None)
}

/// A page, also from servers that ask to slow down for longer than a call may take.
async fn patient<T, F>(ask: impl Fn() -> F) -> Result<Page<T>, Failure>
where
    F: Future<Output = sns_client::Result<Page<T>>>,
{
    let mut tries = 0;
    loop {
        match ask().await {
            Err(error) if error.kind() == ErrorKind::Exhausted && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            answer => return Ok(answer?),
        }
    }
}

fn line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    writeln!(out, "{}", render::object(line))
}
