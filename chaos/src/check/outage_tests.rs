//! Outages, each by a small history.

use super::*;
use crate::history::Call;

fn op(client: u32, server: &str, start: Micros, end: Micros, ok: bool) -> Op {
    let call = Call::Post { text: "x".into() };
    let outcome = if ok {
        Outcome::Ok { seq: 1 }
    } else {
        Outcome::Refused {
            reason: "NO_SERVER".into(),
        }
    };
    let (user, server) = ("a".into(), server.into());
    Op {
        client,
        user,
        call,
        start,
        end,
        server,
        outcome,
    }
}

fn fault(kind: &str, target: &str, server: &str, at: Micros) -> Fault {
    Fault {
        kind: kind.into(),
        target: target.into(),
        servers: vec![server.into()],
        at,
        end: at + 1_000,
        everybody: target == "router",
        ..Fault::default()
    }
}

#[test]
fn an_outage_is_from_the_last_good_answer_to_the_next() {
    let history = History {
        ops: vec![
            op(1, "s", 0, 10_000, true),
            op(1, "s", 19_000, 30_000, false),
            op(1, "t", 30_000, 60_000, true),
            op(2, "t", 0, 5_000, true),
            op(2, "t", 6_000, 900_000, true),
            op(3, "s", 0, 15_000, true),
        ],
        faults: vec![fault("kill", "a-master", "s", 20_000)],
        ..History::default()
    };
    let outages = measure(&history);
    assert_eq!(outages.calls["kill"].count, 1);
    assert!((outages.calls["kill"].max_ms - 50.0).abs() < f64::EPSILON);
    assert_eq!(outages.open, 1);
}

#[test]
fn the_death_of_a_router_is_measured_over_all_clients() {
    let history = History {
        ops: vec![
            op(1, "s", 0, 10_000, true),
            op(1, "s", 30_000, 40_000, true),
            op(2, "t", 0, 10_000, true),
            op(2, "t", 10_000, 20_000, true),
        ],
        faults: vec![fault("kill", "router", "", 15_000)],
        ..History::default()
    };
    let outages = measure(&history);
    assert_eq!(outages.calls["kill (router)"].count, 2);
    assert!((outages.calls["kill (router)"].max_ms - 30.0).abs() < f64::EPSILON);
}

#[test]
fn where_nobody_could_write_an_outage_is_from_write_to_write() {
    let mut history = History {
        ops: vec![
            op(1, "s", 0, 10_000, true),
            op(1, "s", 20_000, 25_000, true),
            op(1, "s", 30_000, 70_000, true),
        ],
        faults: vec![Fault {
            excuses: Excuse::Writes,
            everybody: true,
            back: Some(45_000),
            ..fault("nats-kill", "n1 (leader)", "", 15_000)
        }],
        ..History::default()
    };
    // A read that was answered meanwhile.
    history.ops[1].call = Call::Walk {
        of: None,
        at_least: 0,
        limit: 0,
        linearizable: false,
        pages: Vec::new(),
        complete: true,
    };
    let outages = measure(&history);
    let of = |figures: &BTreeMap<String, Figures>| figures["nats-kill (writes)"].max_ms;
    assert!((of(&outages.calls) - 60.0).abs() < f64::EPSILON);
    assert!((of(&outages.back) - 45.0).abs() < f64::EPSILON);
}

#[test]
fn a_timeline_counts_the_faults_that_hit_the_server_it_was_at() {
    let stream = Stream {
        client: 1,
        user: "a".into(),
        after: 0,
        until: None,
        start: 0,
        end: 100_000,
        events: vec![
            Event::Lost {
                at: 21_000,
                server: "s".into(),
            },
            Event::Lost {
                at: 22_000,
                server: "u".into(),
            },
            Event::Resumed {
                at: 26_000,
                server: "t".into(),
            },
        ],
        failed: None,
        server: String::new(),
    };
    let history = History {
        streams: vec![stream],
        faults: vec![
            fault("kill", "a-master", "s", 20_000),
            fault("stop", "a-master", "s", 50_000),
            fault("stop", "b-master", "t", 60_000),
        ],
        ..History::default()
    };
    let outages = measure(&history);
    assert_eq!(outages.stream_faults, [2]);
    assert_eq!(outages.streams["kill"].count, 1);
    assert!((outages.streams["kill"].max_ms - 5.0).abs() < f64::EPSILON);
}
