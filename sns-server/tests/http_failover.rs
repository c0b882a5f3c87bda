//! What a page lives through: its server is killed, it goes on with another one; and what the
//! survivors tell of the death.
#![allow(clippy::unwrap_used, reason = "a test")]

use rustix::process::Signal;
use serde_json::{Value, json};
use sns_server::run_file::NodeFile;
use support::cluster::{Cluster, signal};
use support::server::until;
use support::web::Web;

#[path = "support"]
mod support {
    pub(crate) mod cluster;
    pub(crate) mod server;
    pub(crate) mod web;
}

/// Where the page of a node is, and its process.
fn node(cluster: &Cluster, name: &str) -> (String, u32) {
    let file = NodeFile::read(&cluster.data().join("nodes").join(name)).unwrap();
    (file.http_address, file.process.unwrap().pid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_on_at_another_server_after_the_last_one_without_gap_or_double() {
    let cluster = Cluster::start(2);
    let (master, _) = node(&cluster, "a-master");
    let (other, _) = node(&cluster, "b-slave");
    let alice = Web::login(&master, "alice").await;
    let bob = Web::login(&other, "bob").await;
    let follow = json!({ "username": "bob" });
    alice.post("/api/v1/follow", &follow).await.good();
    let mut sent = Vec::new();
    let mut told = Vec::new();
    let mut last = 0;
    let mut events = alice.events("?backlog=0", None).await;
    for round in 0..3 {
        let at = if round % 2 == 0 { &master } else { &other };
        let writer = if round % 2 == 0 { &other } else { &master };
        for number in 0..10 {
            let text = json!({ "text": format!("{round} {number}") });
            let made = bob.on(writer).post("/api/v1/posts", &text).await.good();
            sent.push(made["post"]["id"].as_str().unwrap().to_owned());
            // Half of them are read before the kill.
            while told.len() < sent.len() && number < 5 {
                let event = events.next().await.unwrap();
                last = event.id.unwrap();
                if event.name == "post" {
                    told.push(event.data["id"].as_str().unwrap().to_owned());
                }
            }
        }
        let name = if round % 2 == 0 {
            "a-master"
        } else {
            "b-slave"
        };
        signal(node(&cluster, name).1, Signal::KILL);
        // What had come before the end is read; then the stream ends without an error of ours.
        while let Some(event) = events.next().await {
            last = event.id.unwrap();
            if event.name == "post" {
                told.push(event.data["id"].as_str().unwrap().to_owned());
            }
        }
        let next = if at == &master { &other } else { &master };
        events = alice.on(next).events("", Some(last)).await;
        while told.len() < sent.len() {
            let event = events.next().await.unwrap();
            last = event.id.unwrap();
            if event.name == "post" {
                told.push(event.data["id"].as_str().unwrap().to_owned());
            }
        }
        assert_eq!(told, sent);
        // Whoever died is back before it is needed again.
        until("the killed one serves again", async || {
            let ready = Web::new(&node(&cluster, name).0);
            let ready = ready.try_get("/readyz").await?;
            (ready.status == http::StatusCode::OK).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_survivor_tells_a_death_from_its_last_answer_to_having_caught_up() {
    let cluster = Cluster::start(1);
    let (master, pid) = node(&cluster, "a-master");
    let (slave, slave_pid) = node(&cluster, "a-slave");
    let web = Web::new(&slave);
    // A node that never served long is not restarted at once.
    until("the pair has heard of each other", async || {
        let ops = web.get("/api/v1/ops").await.good();
        (ops["partner"]["state"] == "serving").then_some(())
    })
    .await;
    signal(pid, Signal::KILL);
    let death = told(&web, 1).await;
    assert_eq!(death["node"], "a-master");
    assert_eq!(death["told_by"], "a-slave");
    assert_eq!(
        (&death["old_pid"], &death["hung"]),
        (&json!(pid), &json!(false))
    );
    assert!(
        death["why"].as_str().unwrap().contains("signal 9"),
        "{death}"
    );
    assert_eq!(death["new_pid"], node(&cluster, "a-master").1);
    in_order(&death);
    let text = web.get("/metrics").await.text;
    assert!(
        text.contains("sns_partner_deaths_total{kind=\"died\"} 1"),
        "{text}"
    );
    assert!(text.contains("sns_partner_back_seconds_count 1"), "{text}");
    // The teller dies, too: its successor still knows, and the master tells of the teller.
    let new_master = Web::new(&master);
    until("the new master has heard of its slave", async || {
        let ops = new_master.get("/api/v1/ops").await.good();
        (ops["partner"]["state"] == "serving").then_some(())
    })
    .await;
    signal(slave_pid, Signal::KILL);
    let death = told(&new_master, 1).await;
    assert_eq!(
        (&death["node"], &death["told_by"]),
        (&json!("a-slave"), &json!("a-master"))
    );
    in_order(&death);
    until("the new slave knows of the first death", async || {
        let (at, pid) = node(&cluster, "a-slave");
        if pid == slave_pid {
            return None;
        }
        let ops = Web::new(&at).try_get("/api/v1/ops").await?.good();
        (ops["deaths"].as_array()?.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_is_told_as_such() {
    let cluster = Cluster::start(1);
    let (_, pid) = node(&cluster, "a-master");
    let web = Web::new(&node(&cluster, "a-slave").0);
    until("the pair has heard of each other", async || {
        let ops = web.get("/api/v1/ops").await.good();
        (ops["partner"]["state"] == "serving").then_some(())
    })
    .await;
    signal(pid, Signal::STOP);
    let death = told(&web, 1).await;
    assert_eq!(death["hung"], true, "{death}");
    in_order(&death);
    let text = web.get("/metrics").await.text;
    assert!(
        text.contains("sns_partner_deaths_total{kind=\"hung\"} 1"),
        "{text}"
    );
}

/// The last death, once so many are over.
async fn told(web: &Web, count: usize) -> Value {
    until("the death is told to its end", async || {
        let ops = web.get("/api/v1/ops").await.good();
        let deaths = ops["deaths"].as_array()?;
        let last = deaths.last()?;
        let over = deaths.len() == count && !last["marks"]["caught_up"].is_null();
        over.then(|| last.clone())
    })
    .await
}

#[track_caller]
fn in_order(death: &Value) {
    let marks = &death["marks"];
    let at = |name: &str| {
        marks[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {marks}"))
    };
    let order = ["died", "noticed", "restarted", "serving", "caught_up"].map(at);
    assert!(order.is_sorted(), "{marks}");
    assert_eq!(order[0].to_string(), "0");
    assert!(at("last_heard") <= 0.0, "{marks}");
}
