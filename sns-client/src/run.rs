//! Carries a checked command out.

use std::io::{self, Read as _};

use futures_util::{Stream, TryStreamExt as _};
use sns_client::{Client, Event, Options, Post, User};
use tokio::signal::unix::{SignalKind, signal};

use crate::auth::Place;
use crate::command::{Action, Checked, Part, Whom};
use crate::output::{Failure, Output, say};
use crate::{auth, bench, export, manual_cmd, render, repl, top};

/// The longest text in bytes; one byte more tells that it is too long.
const TEXT_BYTES: u64 = 4_000;

/// Runs the command to its end.
pub(crate) fn run(checked: Checked) -> Result<(), Failure> {
    if let Action::Manual(what) = &checked.action {
        return manual_cmd::run(what);
    }
    // Two workers: the connections are served while a slow reader holds up stdout.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let end = runtime.block_on(Box::pin(carry_out(checked)));
    // A thread may still wait for a line that nobody needs.
    runtime.shutdown_background();
    end
}

async fn carry_out(checked: Checked) -> Result<(), Failure> {
    let Checked {
        user,
        routers,
        tls_ca,
        json,
        action,
    } = checked;
    // Before anything is connected: a text that is none needs no server.
    let text = match &action {
        Action::Post(None) => Some(text_of_stdin()?),
        Action::Post(Some(text)) => Some(text.clone()),
        _ => None,
    };
    let mut options = Options::new(&user).routers(&routers);
    if let Some(ca) = tls_ca {
        options = options.tls_ca(ca);
    }
    if let Action::Auth(what) = action {
        let place = Place {
            routers: &auth::spelled(&routers),
            user: &user,
            json,
        };
        return Box::pin(auth::run(what, place, options)).await;
    }
    if !matches!(action, Action::Bench(_) | Action::Top(_)) {
        options = as_whom(options, &routers, &user)?;
    }
    if let Action::Bench(what) = action {
        return Box::pin(bench::run(&what, options, json)).await;
    }
    if let Action::Top(how) = action {
        return Box::pin(top::run(how, &options, json)).await;
    }
    let client = match options.connect().await {
        Ok(client) => client,
        Err(error) => {
            let failure = Failure::from(error);
            auth::advise(&failure, &user);
            return Err(failure);
        }
    };
    let mut out = Output::new(matches!(action, Action::Watch { .. }));
    match action {
        Action::Follow(name) => {
            let seq = client.follow(name.as_str()).await?;
            out.line(&render::change(seq, &format!("following {name}"), json))?;
        }
        Action::Unfollow(name) => {
            let seq = client.unfollow(name.as_str()).await?;
            let told = format!("no longer following {name}");
            out.line(&render::change(seq, &told, json))?;
        }
        Action::Post(_) => {
            let post = client.post(text.unwrap_or_default()).await?;
            let line = if json {
                render::post(&post, true)
            } else {
                format!("posted {}", post.id)
            };
            out.line(&line)?;
        }
        Action::Delete(id) => {
            let seq = client.delete(id).await?;
            out.line(&render::change(seq, &format!("deleted {id}"), json))?;
        }
        Action::Profile(name, part) => {
            let posts = client.posts_of(name).limit(page_size(part.limit));
            let posts = match part.before {
                Some(id) => posts.before(id),
                None => posts,
            };
            print_posts(posts.stream(), &part, json, &mut out).await?;
        }
        Action::Timeline(part) => {
            let posts = client.home().limit(page_size(part.limit));
            let posts = match part.before {
                Some(id) => posts.before(id),
                None => posts,
            };
            print_posts(posts.stream(), &part, json, &mut out).await?;
        }
        Action::List(whom) => {
            let mut users = Box::pin(users(&client, whom));
            while let Some(user) = users.try_next().await? {
                out.line(&render::user(&user, json))?;
            }
        }
        Action::Export(how) => return Box::pin(export::run(&client, &how, json)).await,
        Action::Watch { backlog } => watch(&client, backlog, json, &mut out).await?,
        // Went their own way above.
        Action::Bench(_) | Action::Top(_) | Action::Auth(_) | Action::Manual(_) => {}
        Action::Interactive { history } => {
            return Box::pin(repl::run(&client, json, history)).await;
        }
    }
    out.finish()
}

/// With the token of the environment, or the one that was kept for this name; else by the name
/// alone.
fn as_whom(options: Options, routers: &[String], user: &str) -> Result<Options, Failure> {
    if let Ok(token) = std::env::var("SNS_TOKEN")
        && !token.is_empty()
    {
        return Ok(options.token(token));
    }
    match auth::token(&auth::spelled(routers), user)? {
        Some(kept) => Ok(options.token(kept.token)),
        None if user.is_empty() => Err(Failure::Usage(
            "who are you? Say it with -u NAME or SNS_USER, or log in: sns -u NAME auth login"
                .to_owned(),
        )),
        None => Ok(options),
    }
}

/// Users of a kind, all pages of them.
pub(crate) fn users(
    client: &Client,
    whom: Whom,
) -> impl Stream<Item = sns_client::Result<User>> + Send + 'static {
    let users = match whom {
        Whom::All => client.users(),
        Whom::Followers => client.followers(""),
        Whom::Following => client.following(""),
    };
    users.stream()
}

/// Pages no larger than what is asked for. 0 would mean the default.
fn page_size(limit: usize) -> usize {
    limit.clamp(1, 200)
}

async fn print_posts(
    posts: impl Stream<Item = sns_client::Result<Post>>,
    part: &Part,
    json: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut posts = Box::pin(posts);
    for _ in 0..part.limit {
        let Some(post) = posts.try_next().await? else {
            break;
        };
        out.line(&render::post(&post, json))?;
    }
    Ok(())
}

async fn watch(
    client: &Client,
    backlog: usize,
    json: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut timeline = client.timeline().backlog(backlog).open().await?;
    loop {
        let event = tokio::select! {
            event = timeline.next() => event,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        match event {
            Some(event) => {
                let event = event?;
                if let Some(notice) = notice(&event) {
                    say(&notice);
                } else if let Some(line) = data(&event, json) {
                    out.line(&line)?;
                }
            }
            None => return Ok(()),
        }
    }
}

/// What of an event goes to stdout.
pub(crate) fn data(event: &Event, json: bool) -> Option<String> {
    match event {
        Event::Post(post) => Some(render::post(post, json)),
        Event::Deleted { id, .. } => Some(render::deleted(*id, json)),
        _ => None,
    }
}

/// What of an event is worth a short notice.
pub(crate) fn notice(event: &Event) -> Option<String> {
    match event {
        Event::Lost { server, .. } if server.is_empty() => {
            Some("no server answers; still trying".to_owned())
        }
        Event::Lost { server, .. } => Some(format!("lost {}", render::escape(server))),
        Event::Resumed { server, .. } => Some(format!("going on at {}", render::escape(server))),
        _ => None,
    }
}

fn text_of_stdin() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(TEXT_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TEXT_BYTES {
        return Err(Failure::Text(format!(
            "the text on stdin is too long: {TEXT_BYTES} bytes at most"
        )));
    }
    String::from_utf8(bytes).map_err(|_| Failure::Text("the text on stdin is not UTF-8".to_owned()))
}
