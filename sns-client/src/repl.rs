//! The interactive mode: commands, and TIMELINE, where typing and reading go on together.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sns_client::{Client, Event, Post, Poster, Result as Answer, Timeline};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

use crate::command::{HELP, Line, Whom, line};
use crate::complete::Names;
use crate::failover::Failover;
use crate::lines::{Ask, Lines, Typed};
use crate::output::Failure;
use crate::screen::Screen;
use crate::show::Shown;
use crate::terminal::{self, Terminal};
use crate::{history, render, run, show};

/// Typed posts that wait for the ones before them.
const TYPED_AHEAD: usize = 64;
/// After the end of a pipe: how long what was posted may take to come down the stream.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// Names of a kind fetched at the start, for completion. Those that are seen come on top.
const NAMES_AHEAD: usize = 500;

/// Reads commands until EXIT or the end.
///
/// # Errors
/// Only what leaves nothing to go on with: the terminal or the pipe is gone, or a signal asks to
/// end. A command that fails is told, and the next one read.
pub(crate) async fn run(client: &Client, json: bool, history: bool) -> Result<(), Failure> {
    // Given back on every way out of here, also past the thread that edits lines.
    let _kept = terminal::is_there().then(Terminal::keep).transpose()?;
    let names = Names::default();
    let history = history::path().filter(|_| history);
    let (lines, screen) = Lines::start(names.clone(), history.as_deref())?;
    let mut session = Session {
        client,
        lines,
        screen,
        names,
        json,
    };
    if !session.lines.terminal {
        return session.commands().await;
    }
    let (mut terminate, mut hangup) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    );
    let ahead = tokio::spawn(look_ahead(client.clone(), session.names.clone()));
    let end = tokio::select! {
        end = session.commands() => end,
        _ = terminate.recv() => Err(Failure::Signal(SignalKind::terminate())),
        _ = hangup.recv() => Err(Failure::Signal(SignalKind::hangup())),
    };
    ahead.abort();
    session.lines.settle().await;
    end
}

/// Learns names while the person types their first command. Nobody waits for it, and nobody is
/// told when it fails.
async fn look_ahead(client: Client, names: Names) -> Answer<()> {
    let mut followed = Box::pin(run::users(&client, Whom::Following));
    for _ in 0..NAMES_AHEAD {
        let Some(user) = followed.try_next().await? else {
            break;
        };
        names.followed(&user.username);
    }
    let mut all = Box::pin(run::users(&client, Whom::All));
    for _ in 0..NAMES_AHEAD {
        let Some(user) = all.try_next().await? else {
            break;
        };
        if user.username != client.login().username {
            names.saw(&user.username);
        }
    }
    Ok(())
}

/// Who types, where, and what is known meanwhile.
struct Session<'a> {
    client: &'a Client,
    lines: Lines,
    screen: Screen,
    names: Names,
    json: bool,
}

impl Session<'_> {
    async fn commands(&mut self) -> Result<(), Failure> {
        if self.lines.terminal {
            let server = self.client.addresses().into_iter().next();
            let server = render::escape(&server.unwrap_or_default());
            let name = &self.client.login().username;
            let welcome = format!("{name} at {server}; HELP lists the commands");
            self.screen.message(&welcome)?;
        }
        loop {
            let outcome = match self.lines.next(Ask::Command).await {
                Typed::End => return Ok(()),
                Typed::Interrupt => Ok(()),
                Typed::Unfit(why) => Err(Failure::Usage(why.to_owned())),
                Typed::Line(typed) => match line(&typed) {
                    Ok(Line::Exit) => return Ok(()),
                    Ok(Line::Timeline) => match self.timeline().await {
                        Ok(After::Commands) => Ok(()),
                        Ok(After::Nothing) => return Ok(()),
                        Err(failure) => Err(failure),
                    },
                    Ok(command) => self.obey(command).await,
                    Err(failure) => Err(failure),
                },
            };
            match outcome {
                Ok(()) => {}
                Err(failure @ (Failure::Closed | Failure::Io(_))) => return Err(failure),
                Err(failure) => self.fail(&failure)?,
            }
        }
    }

    fn fail(&mut self, failure: &Failure) -> Result<(), Failure> {
        self.screen.message(&render::failure(failure, self.json))
    }

    async fn obey(&mut self, command: Line) -> Result<(), Failure> {
        match command {
            Line::Follow(name) => {
                let seq = self.client.follow(name.as_str()).await?;
                self.names.followed(&name);
                let told = format!("following {name}");
                self.screen.line(&render::change(seq, &told, self.json))
            }
            Line::Unfollow(name) => {
                let seq = self.client.unfollow(name.as_str()).await?;
                self.names.unfollowed(&name);
                let told = format!("no longer following {name}");
                self.screen.line(&render::change(seq, &told, self.json))
            }
            Line::List(whom) => {
                let mut users = Box::pin(run::users(self.client, whom));
                while let Some(user) = users.try_next().await? {
                    self.names.saw(&user.username);
                    self.screen.line(&render::user(&user, self.json))?;
                }
                Ok(())
            }
            Line::Help => self.screen.line(HELP),
            Line::Empty | Line::Timeline | Line::Exit => Ok(()),
        }
    }

    async fn timeline(&mut self) -> Result<After, Failure> {
        let mut timeline = self.client.timeline().open().await?;
        // One after the other, so that posts keep the order in which they were typed.
        let (type_post, typed) = mpsc::channel(TYPED_AHEAD);
        let (tell, mut answers) = mpsc::channel(TYPED_AHEAD);
        let poster = tokio::spawn(post_in_turn(timeline.poster(), typed, tell));
        let mut type_post = Some(type_post);
        let mut last = timeline.seq();
        let mut view = View::default();
        let after = loop {
            // A slow server holds up typing before it holds up reading; a slow terminal holds up
            // reading, and never typing.
            let room = type_post.as_ref().is_some_and(|queue| queue.capacity() > 0);
            let shown = self.screen.has_room();
            let due = view.failover.due();
            tokio::select! {
                event = timeline.next(), if shown => {
                    let Some(event) = event else { break After::Commands };
                    self.show(&event?, &mut view)?;
                }
                answer = answers.recv(), if shown => match answer {
                    Some(Ok(post)) => last = last.max(post.id),
                    Some(Err(error)) => self.fail(&Failure::Client(error))?,
                    // All that was typed is answered, and nothing more comes.
                    None => break After::Nothing,
                },
                typed = self.lines.next(Ask::Post), if room => match typed {
                    Typed::Line(text) if text.is_empty() => {}
                    Typed::Line(text) => {
                        if let Some(queue) = &type_post {
                            // There is room, and nobody else fills it.
                            drop(queue.try_send(text));
                        }
                    }
                    Typed::Unfit(why) => self.fail(&Failure::Usage(why.to_owned()))?,
                    Typed::Interrupt => break After::Commands,
                    Typed::End if self.lines.terminal => break After::Commands,
                    Typed::End => type_post = None,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                    if let Some(told) = view.failover.overdue(Instant::now()) {
                        self.screen.quiet(&told)?;
                    }
                }
                () = self.screen.room(), if !shown => {}
            }
        };
        if matches!(after, After::Nothing) {
            // Everything is posted: what does not come down in time can be read later.
            let rest = self.rest(&mut timeline, last, &mut view);
            return timeout(LAST_WAIT, rest)
                .await
                .unwrap_or(Ok(()))
                .map(|()| after);
        }
        // What was typed before Ctrl-C is posted all the same, as far as it is not refused.
        drop(type_post);
        while let Some(answer) = answers.recv().await {
            if let Err(error) = answer {
                self.fail(&Failure::Client(error))?;
            }
        }
        drop(poster.await);
        Ok(after)
    }

    /// Shows what is still to come down, up to `last`.
    async fn rest(
        &mut self,
        timeline: &mut Timeline,
        last: sns_client::Seq,
        view: &mut View,
    ) -> Result<(), Failure> {
        while !view.caught_up || timeline.seq() < last {
            let Some(event) = timeline.next().await else {
                break;
            };
            self.show(&event?, view)?;
        }
        Ok(())
    }

    fn show(&mut self, event: &Event, view: &mut View) -> Result<(), Failure> {
        view.caught_up |= *event == Event::CaughtUp;
        if let Event::Post(post) = event {
            self.names.saw(&post.author);
        }
        let paint = self.screen.paint();
        match (event, paint) {
            (Event::Lost { server, .. }, Some(_)) => {
                view.failover.lost(server, Instant::now());
                return Ok(());
            }
            (Event::Resumed { server, .. }, Some(_)) => {
                let told = view.failover.resumed(server, Instant::now());
                return told.map_or(Ok(()), |told| self.screen.quiet(&told));
            }
            (Event::Post(post), Some(paint)) if !self.json => {
                view.shown.add(post);
                let (width, _) = terminal::size();
                let rows = show::post(post, &show::now(), width, paint);
                return self.screen.line(&rows);
            }
            (Event::Deleted { id, .. }, Some(_)) if !self.json => {
                let told = view.shown.deleted(*id);
                return told.map_or(Ok(()), |told| self.screen.quiet(&told));
            }
            _ => {}
        }
        if let Some(notice) = run::notice(event) {
            self.screen.message(&notice)
        } else if let Some(line) = run::data(event, self.json) {
            self.screen.line(&line)
        } else {
            Ok(())
        }
    }
}

/// What is on the screen, and what is known of the stream under it.
#[derive(Debug, Default)]
struct View {
    caught_up: bool,
    failover: Failover,
    shown: Shown,
}

/// What follows on TIMELINE.
enum After {
    /// The next command.
    Commands,
    /// The pipe has ended.
    Nothing,
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
