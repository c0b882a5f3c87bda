//! Attacks at full scale, and what they cost an honest user and the server: `cargo xtask attack`. As
//! part of `cargo test` it runs at a small scale, to see that it works; `SNS_ATTACK=full` gives
//! figures, `SNS_ATTACK_ONLY` names one attack, `SNS_ATTACK_SERVER` another build to compare with.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a table")]

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sns_proto::v1::{CreatePostRequest, GetHomeTimelineRequest};
use support::raw::{self, Raw, frame};
use support::server::{Caller, Server};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::sleep;

#[path = "support"]
mod support {
    pub(crate) mod raw;
    pub(crate) mod server;
}

/// How much of it.
#[derive(Clone, Copy)]
struct Scale {
    silent: usize,
    floods: usize,
    slow: usize,
    oversized: usize,
    abusers: usize,
    calm: Duration,
    attack: Duration,
}

const FULL: Scale = Scale {
    silent: 5_000,
    floods: 8,
    slow: 8,
    oversized: 10_000,
    abusers: 100,
    calm: Duration::from_secs(2),
    attack: Duration::from_secs(4),
};

const SMALL: Scale = Scale {
    silent: 100,
    floods: 1,
    slow: 1,
    oversized: 50,
    abusers: 5,
    calm: Duration::from_millis(300),
    attack: Duration::from_secs(1),
};

const ATTACKS: [&str; 8] = [
    "silent",
    "pings",
    "settings",
    "resets",
    "slow",
    "oversized",
    "abusers",
    "headers",
];

/// Ends with its owner.
#[derive(Clone)]
struct Target {
    address: String,
    token: String,
    scale: Scale,
    over: Arc<AtomicBool>,
    tried: Arc<AtomicU64>,
    cut: Arc<AtomicU64>,
}

impl Target {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    fn tried(&self, count: u64) {
        self.tried.fetch_add(count, Ordering::Relaxed);
    }

    fn cut(&self, count: u64) {
        self.cut.fetch_add(count, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_user_beside_each_attack() {
    let full = std::env::var_os("SNS_ATTACK").is_some();
    let scale = if full { FULL } else { SMALL };
    let only = std::env::var("SNS_ATTACK_ONLY").unwrap_or_default();
    println!(
        "attack | posts/s before, during | p99 ms before, during | RSS MiB before, peak, after | descriptors before, peak, after | tried | cut off"
    );
    for attack in ATTACKS {
        if only.is_empty() || only == attack {
            one(attack, scale).await;
        }
    }
}

async fn one(attack: &'static str, scale: Scale) {
    let dir = tempfile::tempdir().unwrap();
    let ours = std::env::var_os("SNS_ATTACK_SERVER").is_none();
    // Rates by address are off, as on loopback by default; those by user apply to the abusers.
    let flags: &[&str] = match (attack, ours) {
        ("abusers", true) => &["--rate-limits", "on"],
        _ => &[],
    };
    let server = Server::start_with_flags(dir.path(), "error", Stdio::null(), flags).await;
    let honest = server.login("honest").await;
    let filler = server.login("filler").await;
    for _ in 0..40 {
        let _ = post(&filler, &"long ".repeat(190)).await;
    }
    // At their own pace, as far as their rate allows: an abuser wants more than that.
    let pace = Duration::from_millis(if attack == "abusers" { 110 } else { 0 });
    let before = honest_user(&honest, scale.calm, pace).await;
    let (rss, fds) = (rss(server.pid()), descriptors(server.pid()));
    let target = Target {
        address: server.address.clone(),
        token: filler.token.clone(),
        scale,
        over: Arc::default(),
        tried: Arc::default(),
        cut: Arc::default(),
    };
    // On a thread of their own, so that they take no turns from the honest user.
    let attackers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    attackers.spawn(attacked(attack, target.clone()));
    sleep(scale.calm / 4).await;
    let mut peak = (rss, fds);
    let looks = async {
        loop {
            peak.0 = peak.0.max(self::rss(server.pid()));
            peak.1 = peak.1.max(descriptors(server.pid()));
            sleep(Duration::from_millis(50)).await;
        }
    };
    let during = tokio::select! {
        () = looks => unreachable!("it looks for ever"),
        during = honest_user(&honest, scale.attack, pace) => during,
    };
    target.over.store(true, Ordering::Relaxed);
    attackers.shutdown_background();
    sleep(scale.calm).await;
    let kept = 100.0 * during.0 / before.0;
    println!(
        "{attack} | {:.0}, {:.0} ({kept:.0}%) | {:.1}, {:.1} | {}, {}, {} | {fds}, {}, {} | {} | {}",
        before.0,
        during.0,
        before.1,
        during.1,
        rss,
        peak.0,
        self::rss(server.pid()),
        peak.1,
        descriptors(server.pid()),
        target.tried.load(Ordering::Relaxed),
        target.cut.load(Ordering::Relaxed),
    );
}

async fn post(caller: &Caller, text: &str) -> Result<(), tonic::Status> {
    let post = CreatePostRequest {
        text: text.into(),
        ..Default::default()
    };
    let mut api = caller.api.clone();
    api.create_post(caller.ask(post)).await.map(drop)
}

/// Posts one after the other; posts a second, and p99 in ms. A post that fails is an error.
async fn honest_user(honest: &Caller, time: Duration, pace: Duration) -> (f64, f64) {
    let began = Instant::now();
    let mut took = Vec::new();
    while began.elapsed() < time {
        let asked = Instant::now();
        post(honest, "an honest post").await.unwrap();
        took.push(asked.elapsed());
        sleep(pace.saturating_sub(asked.elapsed())).await;
    }
    took.sort_unstable();
    let p99 = took[(took.len() * 99 / 100).min(took.len() - 1)];
    let count = u32::try_from(took.len()).unwrap();
    (
        f64::from(count) / began.elapsed().as_secs_f64(),
        p99.as_secs_f64() * 1e3,
    )
}

async fn attacked(attack: &'static str, target: Target) {
    let mut tasks = JoinSet::new();
    let scale = target.scale;
    match attack {
        "silent" => {
            for _ in 0..scale.silent {
                let target = target.clone();
                target.tried(1);
                let Ok(raw) = Raw::connect(&target.address).await else {
                    target.cut(1);
                    continue;
                };
                tasks.spawn(async move {
                    if raw.closed(Duration::from_secs(3_600)).await.is_some() {
                        target.cut(1);
                    }
                });
            }
        }
        "pings" | "settings" => {
            let one = match attack {
                "pings" => frame(raw::PING, 0, 0, &[7; 8]),
                _ => frame(raw::SETTINGS, 0, 0, &raw::setting(4, 65_535)),
            };
            for _ in 0..scale.floods {
                let (target, bytes) = (target.clone(), one.repeat(256));
                tasks.spawn(async move {
                    while target.goes_on() {
                        let Ok(raw) = Raw::greet(&target.address, b"").await else {
                            continue;
                        };
                        let flooded = raw.flood(&bytes, 256, Duration::from_secs(1)).await;
                        target.tried(flooded.frames);
                        target.cut(flooded.cut.into());
                    }
                });
            }
        }
        "resets" => {
            for _ in 0..scale.floods {
                tasks.spawn(resets(target.clone()));
            }
        }
        "headers" => {
            for _ in 0..scale.floods {
                tasks.spawn(headers(target.clone()));
            }
        }
        "slow" => {
            for _ in 0..scale.slow {
                tasks.spawn(slow(target.clone()));
            }
        }
        "oversized" => {
            for _ in 0..8 {
                tasks.spawn(oversized(target.clone(), scale.oversized / 8));
            }
        }
        _ => {
            for number in 0..scale.abusers {
                tasks.spawn(abuser(target.clone(), number));
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn resets(target: Target) {
    let block = raw::headers("/sns.v1.SnsService/ListUsers", Some(&target.token));
    while target.goes_on() {
        let Ok(mut raw) = Raw::greet(&target.address, b"").await else {
            continue;
        };
        for stream in (1..2_000_000_u32).step_by(2) {
            let mut bytes = frame(raw::HEADERS, raw::END_HEADERS, stream, &block);
            bytes.extend(frame(raw::RST_STREAM, 0, stream, &[0, 0, 0, 8]));
            if raw.0.write_all(&bytes).await.is_err() {
                target.cut(1);
                break;
            }
            target.tried(1);
        }
    }
}

async fn headers(target: Target) {
    let begin = frame(raw::HEADERS, 0, 1, &raw::headers("/x/Y", None));
    let more = raw::header("x-more", &"m".repeat(10_000));
    let more = frame(raw::CONTINUATION, 0, 1, &more);
    while target.goes_on() {
        let Ok(mut raw) = Raw::greet(&target.address, b"").await else {
            continue;
        };
        if raw.0.write_all(&begin).await.is_ok() {
            let flooded = raw.flood(&more, 1, Duration::from_secs(1)).await;
            target.tried(flooded.frames);
            target.cut(flooded.cut.into());
        }
    }
}

/// A thousand pages asked for, and no window to send them in.
async fn slow(target: Target) {
    let Ok(mut raw) = Raw::greet(&target.address, &raw::setting(4, 1)).await else {
        return;
    };
    let block = raw::headers("/sns.v1.SnsService/GetHomeTimeline", Some(&target.token));
    for stream in (1..2_000_u32).step_by(2) {
        let mut call = frame(raw::HEADERS, raw::END_HEADERS, stream, &block);
        let asks = raw::message(&[8, 40]);
        call.extend(frame(raw::DATA, raw::END_STREAM, stream, &asks));
        if raw.0.write_all(&call).await.is_err() {
            target.cut(1);
            return;
        }
        target.tried(1);
    }
    let _ = raw.closed(Duration::from_secs(3_600)).await;
    target.cut(1);
}

async fn oversized(target: Target, count: usize) {
    let endpoint = tonic::transport::Channel::from_shared(format!("http://{}", target.address));
    let Ok(channel) = endpoint.unwrap().connect().await else {
        return;
    };
    let mut abuser = Caller::login(channel, "oversized").await;
    for _ in 0..count {
        let post = CreatePostRequest {
            text: "x".repeat(256 * 1024),
            ..Default::default()
        };
        let refused = abuser.api.create_post(abuser.ask(post)).await.is_err();
        target.tried(1);
        target.cut(refused.into());
    }
}

/// Posts and reads as fast as it is answered; waits when it is told to, as every client library does.
async fn abuser(target: Target, number: usize) {
    let endpoint = tonic::transport::Channel::from_shared(format!("http://{}", target.address));
    // Each from an address of its own: what holds an abuser back is then the rate of a user.
    let own = std::net::Ipv4Addr::new(127, 0, 1, u8::try_from(number + 1).unwrap());
    let endpoint = endpoint.unwrap().local_address(Some(own.into()));
    let Ok(channel) = endpoint.connect().await else {
        return;
    };
    let login = tokio::spawn(async move {
        let name = format!("abuser{number}");
        Caller::login(channel, &name).await
    });
    let Ok(abuser) = login.await else {
        target.cut(1);
        return;
    };
    while target.goes_on() {
        target.tried(1);
        if let Err(refused) = post(&abuser, "spam").await {
            target.cut(1);
            let told = tonic_types::StatusExt::get_details_retry_info(&refused);
            sleep(told.and_then(|told| told.retry_delay).unwrap_or_default()).await;
        } else {
            let mut api = abuser.api.clone();
            let page = GetHomeTimelineRequest::default();
            drop(api.get_home_timeline(abuser.ask(page)).await);
        }
    }
}

/// In MiB.
fn rss(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    kib / 1024
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count()
}
