//! The interactive mode: commands, and TIMELINE, where typing and reading go on together.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use sns_client::{Client, Event, Post, Poster, Result as Answer};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::command::{HELP, Line, line};
use crate::lines::{Lines, Screen, Typed};
use crate::output::Failure;
use crate::{render, run};

/// Typed posts that wait for the ones before them.
const TYPED_AHEAD: usize = 64;
/// After the end of a pipe: how long what was posted may take to come down the stream.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Reads commands until EXIT or the end.
///
/// # Errors
/// Only what leaves nothing to go on with: the terminal or the pipe is gone. A command that fails
/// is told, and the next one read.
pub(crate) async fn run(client: &Client, json: bool) -> Result<(), Failure> {
    let (mut lines, mut screen) = Lines::start()?;
    if lines.terminal {
        let server = client.addresses().into_iter().next().unwrap_or_default();
        let name = &client.login().username;
        screen.message(&format!(
            "{name} at {}; HELP lists the commands",
            render::escape(&server)
        ))?;
    }
    loop {
        let outcome = match lines.next("> ").await {
            Typed::End => return Ok(()),
            Typed::Interrupt => Ok(()),
            Typed::Unfit(why) => Err(Failure::Usage(why.to_owned())),
            Typed::Line(typed) => match line(&typed) {
                Ok(Line::Exit) => return Ok(()),
                Ok(Line::Timeline) => match timeline(client, &mut lines, &mut screen, json).await {
                    Ok(After::Commands) => Ok(()),
                    Ok(After::Nothing) => return Ok(()),
                    Err(failure) => Err(failure),
                },
                Ok(command) => obey(client, command, &mut screen, json).await,
                Err(failure) => Err(failure),
            },
        };
        match outcome {
            Ok(()) => {}
            Err(failure @ (Failure::Closed | Failure::Io(_))) => return Err(failure),
            Err(failure) => screen.message(&render::failure(&failure, json))?,
        }
    }
}

async fn obey(
    client: &Client,
    command: Line,
    screen: &mut Screen,
    json: bool,
) -> Result<(), Failure> {
    match command {
        Line::Follow(name) => {
            let seq = client.follow(name.as_str()).await?;
            screen.line(&render::change(seq, &format!("following {name}"), json))
        }
        Line::Unfollow(name) => {
            let seq = client.unfollow(name.as_str()).await?;
            let told = format!("no longer following {name}");
            screen.line(&render::change(seq, &told, json))
        }
        Line::List(whom) => {
            let mut users = Box::pin(run::users(client, whom));
            while let Some(user) = users.try_next().await? {
                screen.line(&render::user(&user, json))?;
            }
            Ok(())
        }
        Line::Help => screen.line(HELP),
        Line::Empty | Line::Timeline | Line::Exit => Ok(()),
    }
}

/// What follows on TIMELINE.
enum After {
    /// The next command.
    Commands,
    /// The pipe has ended.
    Nothing,
}

async fn timeline(
    client: &Client,
    lines: &mut Lines,
    screen: &mut Screen,
    json: bool,
) -> Result<After, Failure> {
    let mut timeline = client.timeline().open().await?;
    // One after the other, so that posts keep the order in which they were typed.
    let (type_post, typed) = mpsc::channel(TYPED_AHEAD);
    let (tell, mut answers) = mpsc::channel(TYPED_AHEAD);
    let poster = tokio::spawn(post_in_turn(timeline.poster(), typed, tell));
    let mut type_post = Some(type_post);
    let mut last = timeline.seq();
    let mut caught_up = false;
    let after = loop {
        // A slow server holds up typing before it holds up reading.
        let room = type_post.as_ref().is_some_and(|queue| queue.capacity() > 0);
        tokio::select! {
            event = timeline.next() => {
                let Some(event) = event else { break After::Commands };
                let event = event?;
                caught_up |= event == Event::CaughtUp;
                show(&event, screen, json)?;
            }
            answer = answers.recv() => match answer {
                Some(Ok(post)) => last = last.max(post.id),
                Some(Err(error)) => {
                    screen.message(&render::failure(&Failure::Client(error), json))?;
                }
                // All that was typed is answered, and nothing more comes.
                None => break After::Nothing,
            },
            typed = lines.next(""), if room => match typed {
                Typed::Line(text) if text.is_empty() => {}
                Typed::Line(text) => {
                    if let Some(queue) = &type_post {
                        // There is room, and nobody else fills it.
                        drop(queue.try_send(text));
                    }
                }
                Typed::Unfit(why) => {
                    let failure = Failure::Usage(why.to_owned());
                    screen.message(&render::failure(&failure, json))?;
                }
                Typed::Interrupt => break After::Commands,
                Typed::End if lines.terminal => break After::Commands,
                Typed::End => type_post = None,
            },
        }
    };
    if matches!(after, After::Nothing) {
        let rest = async {
            while !caught_up || timeline.seq() < last {
                let Some(event) = timeline.next().await else {
                    break;
                };
                let event = event?;
                caught_up |= event == Event::CaughtUp;
                show(&event, screen, json)?;
            }
            Ok(())
        };
        // Everything is posted: what does not come down in time can be read later.
        return timeout(LAST_WAIT, rest)
            .await
            .unwrap_or(Ok(()))
            .map(|()| after);
    }
    // What was typed before Ctrl-C is posted all the same, as far as it is not refused.
    drop(type_post);
    while let Some(answer) = answers.recv().await {
        if let Err(error) = answer {
            screen.message(&render::failure(&Failure::Client(error), json))?;
        }
    }
    drop(poster.await);
    Ok(after)
}

async fn post_in_turn(
    poster: Poster,
    mut typed: mpsc::Receiver<String>,
    tell: mpsc::Sender<Answer<Post>>,
) {
    while let Some(text) = typed.recv().await {
        if tell.send(poster.post(text).await).await.is_err() {
            return;
        }
    }
}

fn show(event: &Event, screen: &mut Screen, json: bool) -> Result<(), Failure> {
    if let Some(notice) = run::notice(event) {
        screen.message(&notice)
    } else if let Some(line) = run::data(event, json) {
        screen.line(&line)
    } else {
        Ok(())
    }
}
