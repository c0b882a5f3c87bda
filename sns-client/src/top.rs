//! `sns top`: the servers as a router knows them, look by look.

mod live;
mod table;
mod watch;

use std::time::Instant;

use serde::Serialize;
use sns_client::{Options, Routers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use self::watch::{Row, Watch};
use crate::command::Top;
use crate::output::{Failure, Output, say};
use crate::paint::Paint;
use crate::{render, show, terminal};

/// What is printed for programs, or kept, is as wide as it needs to be.
const ANY_WIDTH: usize = 4_096;

/// Looks at the servers until it is told to end.
///
/// # Errors
/// `Unavailable`: no router answered at the start. Later it is waited for.
pub(crate) async fn run(how: Top, options: &Options, json: bool) -> Result<(), Failure> {
    let routers = Routers::new(options)?;
    let mut watch = Watch::new(how.every);
    let servers = routers.servers().await?;
    watch.look(servers, Instant::now(), &show::now());
    let to_person = terminal::is_there() && !json;
    if to_person && !how.once {
        return live::run(&routers, watch, how.every).await;
    }
    let mut out = Output::new(true);
    print(&watch, &routers, json, &mut out)?;
    if how.once {
        return out.finish();
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut tick = interval(how.every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first look is done.
    tick.tick().await;
    let mut answered = true;
    loop {
        let servers = tokio::select! {
            servers = async { tick.tick().await; routers.servers().await } => servers,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        match servers {
            Ok(servers) => {
                answered = true;
                watch.look(servers, Instant::now(), &show::now());
                if !json {
                    out.line("")?;
                }
                print(&watch, &routers, json, &mut out)?;
            }
            // Said once for each time that it is away.
            Err(error) if answered => {
                answered = false;
                say(&format!(
                    "{}; still trying",
                    render::escape(error.message())
                ));
            }
            Err(_) => {}
        }
    }
}

fn print(watch: &Watch, routers: &Routers, json: bool, out: &mut Output) -> Result<(), Failure> {
    if json {
        let looked_at = format!("{:.3}", jiff::Timestamp::now());
        for row in watch.rows() {
            out.line(&render::object(&Shape::of(row, &looked_at)))?;
        }
        return Ok(());
    }
    out.line(&table::header(watch, routers.answered()))?;
    let width = if terminal::is_there() {
        terminal::size().0
    } else {
        ANY_WIDTH
    };
    for line in table::rows(watch, width, usize::MAX, Paint::PLAIN) {
        out.line(&line)?;
    }
    Ok(())
}

/// A server as an object: what `sns-server status --json` has, when it was looked at, and how
/// fast it is; null where it does not apply or is not known yet.
#[derive(Serialize)]
struct Shape<'a> {
    looked_at: &'a str,
    name: &'a str,
    pair: &'a str,
    role: &'static str,
    address: &'a str,
    pid: Option<u32>,
    state: &'static str,
    applied: Option<u64>,
    tail: Option<u64>,
    lag: Option<u64>,
    entries_per_s: Option<f64>,
    streams: Option<u64>,
    restarts: u64,
    digest: Option<&'a str>,
    reason: Option<&'a str>,
}

impl<'a> Shape<'a> {
    fn of(row: &'a Row, looked_at: &'a str) -> Self {
        let server = &row.server;
        // What a dead process held says nothing about now.
        let runs = row.runs();
        let number = |number: u64| runs.then_some(number);
        let text = |text: &'a String| Some(text.as_str()).filter(|text| !text.is_empty());
        Self {
            looked_at,
            name: &server.name,
            pair: &server.pair,
            role: row.role(),
            address: &server.address,
            pid: runs.then_some(server.pid),
            state: row.state(),
            applied: number(server.applied),
            tail: number(server.tail),
            lag: number(row.lag()),
            entries_per_s: row.rate.map(|rate| (rate * 10.0).round() / 10.0),
            streams: number(server.streams),
            restarts: server.restarts,
            digest: text(&server.digest).filter(|_| runs),
            reason: text(&server.reason),
        }
    }
}
