//! How long clients and timelines were without an answer, by what was done to the service.

use std::collections::{BTreeMap, HashMap};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::calls::waits_for_the_log;
use crate::history::{Event, Excuse, Fault, History, Micros, Op, Outcome, Stream};

/// A longer outage counts as this long.
const LONGEST: Micros = 3_600_000_000;

/// Times, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// How many were measured.
    pub count: u64,
    /// Half were shorter.
    pub p50_ms: f64,
    /// One in a hundred was longer.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// How long clients were without an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outages {
    /// By kind of fault: from the last good answer before it to the end of the next one after it,
    /// of each client that was at a server that was hit. Includes what a client waits between its
    /// calls. Of what was done to a router, under a name of its own: of all clients.
    pub calls: BTreeMap<String, Figures>,
    /// By kind of fault: from the moment at which a timeline noticed that its server was lost to
    /// that at which it went on. `other`: no fault of the history hit that server.
    pub streams: BTreeMap<String, Figures>,
    /// By kind of fault: until service was there again, as the harness saw it ([`Fault::back`]).
    pub back: BTreeMap<String, Figures>,
    /// Outages that no good answer ended.
    pub open: u64,
    /// Of each timeline, in the order of the history: faults that hit the server it was at.
    pub stream_faults: Vec<u64>,
}

/// Collects times by kind.
#[derive(Default)]
struct Times(BTreeMap<String, Vec<Micros>>);

impl Times {
    fn add(&mut self, kind: String, time: Micros) {
        self.0.entry(kind).or_default().push(time);
    }

    fn figures(self) -> BTreeMap<String, Figures> {
        let figures = |times: &[Micros]| {
            let mut histogram = Histogram::<u64>::new_with_bounds(1, LONGEST, 3).ok()?;
            for time in times {
                histogram.saturating_record((*time).max(1));
            }
            Some(Figures {
                count: histogram.len(),
                p50_ms: in_ms(histogram.value_at_quantile(0.5)),
                p99_ms: in_ms(histogram.value_at_quantile(0.99)),
                // The histogram rounds; the longest is known.
                max_ms: in_ms(times.iter().copied().max().unwrap_or(0)),
            })
        };
        let kinds = self.0.iter();
        kinds
            .filter_map(|(kind, times)| Some((kind.clone(), figures(times)?)))
            .collect()
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "microseconds of an hour fit into the 52 bits"
)]
fn in_ms(micros: Micros) -> f64 {
    micros.min(LONGEST) as f64 / 1_000.0
}

/// Under which name its outages are added up.
fn key(fault: &Fault) -> String {
    let whom = match (fault.everybody, fault.target.as_str()) {
        _ if fault.excuses == Excuse::Writes => " (writes)",
        (true, "router") => " (router)",
        (true, _) => " (lock)",
        (false, _) => "",
    };
    format!("{}{whom}", fault.kind)
}

fn hits(fault: &Fault, server: &str) -> bool {
    fault.servers.iter().any(|hit| hit == server)
}

pub(super) fn measure(history: &History) -> Outages {
    let mut outages = Outages::default();
    let mut clients: HashMap<u32, Vec<&Op>> = HashMap::new();
    for op in &history.ops {
        clients.entry(op.client).or_default().push(op);
    }
    let mut calls = Times::default();
    for ops in clients.values_mut() {
        ops.sort_by_key(|op| (op.start, op.end));
        for fault in &history.faults {
            match of_client(ops, fault) {
                Some(Ok(time)) => calls.add(key(fault), time),
                Some(Err(())) => outages.open += 1,
                None => {}
            }
        }
    }
    let mut streams = Times::default();
    for stream in &history.streams {
        outages.open += of_stream(history, stream, &mut streams);
        let hit = |fault: &&Fault| server_at(stream, fault.at).is_some_and(|at| hits(fault, at));
        outages
            .stream_faults
            .push(history.faults.iter().filter(hit).count() as u64);
    }
    let mut back = Times::default();
    for fault in &history.faults {
        if let Some(time) = fault.back {
            back.add(key(fault), time);
        }
    }
    outages.back = back.figures();
    outages.calls = calls.figures();
    outages.streams = streams.figures();
    outages
}

/// The outage of one client by one fault: `None` if it was elsewhere, or had no good answer before;
/// an error if it got none afterwards. Its calls do not overlap.
fn of_client(ops: &[&Op], fault: &Fault) -> Option<Result<Micros, ()>> {
    // Where only writes had to wait, a read says nothing.
    let counts = |op: &Op| fault.excuses != Excuse::Writes || waits_for_the_log(&op.call);
    let good = |op: &&&Op| matches!(op.outcome, Outcome::Ok { .. }) && counts(op);
    let next = ops.partition_point(|op| op.end < fault.at);
    let last = ops[..next].iter().rfind(good)?;
    let in_flight = ops.get(next).filter(|op| op.start <= fault.at);
    let concerned = fault.everybody
        || hits(fault, &last.server)
        || in_flight.is_some_and(|op| hits(fault, &op.server));
    // What the victim had answered before it was hit proves nothing, even if it came later.
    let proves = |op: &&&Op| op.start > fault.at || !hits(fault, &op.server);
    let after = ops[next..].iter().find(|op| good(op) && proves(op));
    concerned.then(|| after.map(|op| op.end - last.end).ok_or(()))
}

/// Adds the times in which a timeline had no server; gives how many did not end.
fn of_stream(history: &History, stream: &Stream, times: &mut Times) -> u64 {
    let mut lost: Option<(Micros, String)> = None;
    for event in &stream.events {
        match event {
            // A server that is lost again before the stream went on is the same outage.
            Event::Lost { at, server } if lost.is_none() => {
                let mut faults = history.faults.iter();
                let cause = faults.rfind(|fault| fault.at <= *at && hits(fault, server));
                lost = Some((*at, cause.map_or_else(|| "other".to_owned(), key)));
            }
            Event::Resumed { at, .. } => {
                if let Some((since, kind)) = lost.take() {
                    times.add(kind, at.saturating_sub(since));
                }
            }
            _ => {}
        }
    }
    u64::from(lost.is_some())
}

/// The server that a timeline was read from at a time.
fn server_at(stream: &Stream, at: Micros) -> Option<&str> {
    if at < stream.start || at > stream.end {
        return None;
    }
    let mut server = Some(stream.server.as_str()).filter(|server| !server.is_empty());
    for event in &stream.events {
        match event {
            Event::Resumed {
                at: since,
                server: to,
            } if *since <= at => server = Some(to),
            // What it was at before, if its first server was not written down.
            Event::Lost {
                at: until,
                server: from,
            } if *until > at && server.is_none() => {
                return Some(from);
            }
            _ => {}
        }
    }
    server
}

#[cfg(test)]
#[path = "outage_tests.rs"]
mod tests;
