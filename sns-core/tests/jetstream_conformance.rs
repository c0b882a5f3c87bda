//! The log on NATS JetStream passes the suite that every log passes, on real servers.
#![cfg(feature = "nats")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sns_core::log::jetstream::{JetStreamLog, JetStreamOptions};
use sns_core::log::{Log, conformance};
use sns_natsd::{Servers, Settings};

/// Handles of new streams of these servers.
fn logs(servers: &Servers, replicas: usize) -> impl FnMut() -> Box<dyn Fn() -> Arc<dyn Log>> {
    let urls = servers.urls();
    let number = AtomicU32::new(0);
    move || {
        let stream = format!("LOG{}", number.fetch_add(1, Ordering::Relaxed));
        let options = JetStreamOptions::new(urls.clone())
            .stream(stream)
            .replicas(replicas)
            .accept_weaker_durability(replicas == 1);
        Box::new(move || {
            let log = JetStreamLog::open(&options).expect("open");
            Arc::new(log) as Arc<dyn Log>
        })
    }
}

#[test]
fn the_log_on_one_server_keeps_the_contract() {
    if !sns_natsd::is_here() {
        return;
    }
    let servers = Servers::start(&Settings::default()).expect("a server");
    conformance::run(logs(&servers, 1));
}

#[test]
fn the_log_on_three_servers_keeps_the_contract() {
    if !sns_natsd::is_here() {
        return;
    }
    let settings = Settings {
        servers: 3,
        ..Settings::default()
    };
    let servers = Servers::start(&settings).expect("three servers");
    conformance::run(logs(&servers, 3));
}
