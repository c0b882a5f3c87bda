//! What the log on NATS JetStream promises when servers die, stand still, lose their data or are
//! set carelessly; on real servers.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use sns_core::log::jetstream::{JetStreamLog, JetStreamOptions, Login};
use sns_core::log::{Error, Log, conformance};
use sns_core::{ErrorKind, Sns, State};
use sns_natsd::{Servers, Settings};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

macro_rules! skip_without_nats {
    () => {
        if !sns_natsd::is_here() {
            return;
        }
    };
}

fn one() -> Servers {
    Servers::start(&Settings::default()).unwrap()
}

fn three() -> Servers {
    let settings = Settings {
        servers: 3,
        ..Settings::default()
    };
    Servers::start(&settings).unwrap()
}

/// Good enough for one server, which is weak.
fn weak(servers: &Servers) -> JetStreamOptions {
    JetStreamOptions::new(servers.urls()).accept_weaker_durability(true)
}

fn strong(servers: &Servers) -> JetStreamOptions {
    JetStreamOptions::new(servers.urls()).patience(PATIENCE)
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// What an operator does with a client of their own.
fn by_hand<T>(servers: &Servers, work: impl AsyncFnOnce(jetstream::Context) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let urls: Vec<async_nats::ServerAddr> = servers
            .urls()
            .iter()
            .map(|it| it.parse().unwrap())
            .collect();
        let client = async_nats::connect(urls).await.unwrap();
        work(jetstream::new(client)).await
    })
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn is_damaged(error: &Error) -> bool {
    matches!(error, Error::Damaged { .. })
}

#[test]
fn weak_durability_is_refused_named_and_taken_only_when_accepted() {
    skip_without_nats!();
    let lazy = Settings {
        sync_always: false,
        ..Settings::default()
    };
    let silent = Settings {
        export_settings: false,
        ..Settings::default()
    };
    for (settings, why) in [
        (Settings::default(), "one replica"),
        (lazy, "sync_interval: always"),
        (silent, "cannot be told"),
    ] {
        let servers = Servers::start(&settings).unwrap();
        let options = JetStreamOptions::new(servers.urls());
        let refused = JetStreamLog::open(&options).unwrap_err();
        assert!(matches!(refused, Error::Refused(_)), "{refused}");
        let text = refused.to_string();
        assert!(
            text.contains(why) && text.contains("--accept-weaker"),
            "{text}"
        );
        let log = JetStreamLog::open(&weak(&servers)).unwrap();
        let weakness = log.weakness().unwrap();
        assert!(weakness.contains(why), "{weakness}");
    }
}

#[test]
fn three_replicas_that_sync_are_strong_and_the_default_of_a_cluster() {
    skip_without_nats!();
    let servers = three();
    let log = JetStreamLog::open(&strong(&servers)).unwrap();
    assert_eq!(log.weakness(), None);
    let refused = JetStreamLog::open(&weak(&servers).replicas(1)).unwrap_err();
    assert!(refused.to_string().contains("has 3 replicas"), "{refused}");
}

#[test]
fn a_login_is_needed_where_the_servers_ask_for_one() {
    skip_without_nats!();
    let settings = Settings {
        user: Some("user: sns, password: \"s3cret\"".into()),
        ..Settings::default()
    };
    let servers = Servers::start(&settings).unwrap();
    let login = |password: &str| Login::Password {
        user: "sns".into(),
        password: password.into(),
    };
    for bad in [Login::Anonymous, login("wrong"), Login::Token("x".into())] {
        let refused = JetStreamLog::open(&weak(&servers).login(bad)).unwrap_err();
        assert!(matches!(refused, Error::Refused(_)), "{refused}");
        assert!(refused.to_string().contains("--nats-user"), "{refused}");
    }
    let log = JetStreamLog::open(&weak(&servers).login(login("s3cret"))).unwrap();
    assert_eq!(log.append(b"in").unwrap(), 1);
}

#[test]
fn tls_is_spoken_with_certificates_on_both_sides() {
    skip_without_nats!();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::from_params(&params, &key);
    let signed = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let params = rcgen::CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let certificate = file(&format!("{name}.crt"), certificate.pem());
        (
            certificate,
            file(&format!("{name}.key"), key.serialize_pem()),
        )
    };
    let ca = file("ca.crt", ca.pem());
    let (server, client) = (signed("server"), signed("client"));
    let settings = Settings {
        extra: format!(
            "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {ca:?}, verify: true }}",
            server.0, server.1
        ),
        ..Settings::default()
    };
    let servers = Servers::start(&settings).unwrap();
    let refused = JetStreamLog::open(&weak(&servers)).unwrap_err();
    assert!(refused.to_string().contains("TLS"), "{refused}");
    let options = weak(&servers).ca(&ca).certificate(&client.0, &client.1);
    let log = JetStreamLog::open(&options).unwrap();
    assert_eq!(log.append(b"in").unwrap(), 1);
    let refused = JetStreamLog::open(&weak(&servers).ca(dir.path().join("none"))).unwrap_err();
    assert!(refused.to_string().contains("none"), "{refused}");
}

/// Greets as a server of that version does; a real one is not to be had everywhere.
fn greeter(version: &'static str) -> String {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let info = format!(
                "INFO {{\"server_id\":\"x\",\"server_name\":\"old\",\"version\":\"{version}\",\
                 \"proto\":1,\"headers\":true,\"max_payload\":1048576,\"jetstream\":true}}\r\nPONG\r\n"
            );
            stream.write_all(info.as_bytes()).unwrap();
            // Held open for as long as the test runs.
            std::mem::forget(stream);
        }
    });
    format!("nats://{address}")
}

#[test]
fn a_server_that_is_too_old_is_refused_and_none_at_all_is_unavailable() {
    let options = |url: String| JetStreamOptions::new([url]).patience(Duration::from_millis(300));
    for old in ["2.9.10", "2.12.2"] {
        let refused = JetStreamLog::open(&options(greeter(old))).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains(old) && text.contains("2.12.3"), "{text}");
    }
    let nobody = JetStreamLog::open(&options("nats://127.0.0.1:1".into())).unwrap_err();
    assert!(matches!(nobody, Error::Unavailable(_)), "{nobody}");
    assert!(nobody.to_string().contains("127.0.0.1:1"), "{nobody}");
}

#[test]
fn a_stream_that_is_not_a_log_or_could_lose_entries_is_refused() {
    skip_without_nats!();
    let servers = one();
    by_hand(&servers, async |context| {
        let foreign = Config {
            name: "OTHER".into(),
            ..Config::default()
        };
        context.create_stream(foreign).await.unwrap();
    });
    let refused = JetStreamLog::open(&weak(&servers).stream("OTHER")).unwrap_err();
    assert!(refused.to_string().contains("not made by SNS"), "{refused}");
    let refused = JetStreamLog::open(&weak(&servers).create(false)).unwrap_err();
    assert!(refused.to_string().contains("no stream SNS"), "{refused}");
    let log = JetStreamLog::open(&weak(&servers)).unwrap();
    log.append(b"one").unwrap();
    by_hand(&servers, async |context| {
        let stream = context.get_stream("SNS").await.unwrap();
        let mut config = stream.cached_info().config.clone();
        config.max_age = Duration::from_secs(3600);
        context.update_stream(config).await.unwrap();
    });
    let refused = JetStreamLog::open(&weak(&servers)).unwrap_err();
    assert!(refused.to_string().contains("max age"), "{refused}");
    until("the running one says so", || {
        log.weakness().filter(|it| it.contains("max age"))
    });
}

#[test]
fn a_full_stream_refuses_what_is_new_and_keeps_what_it_has() {
    skip_without_nats!();
    let servers = one();
    let log = JetStreamLog::open(&weak(&servers)).unwrap();
    log.append(&[1; 5_000]).unwrap();
    let limit = |bytes: i64| {
        by_hand(&servers, async |context| {
            let stream = context.get_stream("SNS").await.unwrap();
            let mut config = stream.cached_info().config.clone();
            config.max_bytes = bytes;
            context.update_stream(config).await.unwrap();
        });
    };
    limit(20_000);
    let full = (0..20).find_map(|_| log.append(&[2; 5_000]).err()).unwrap();
    assert!(matches!(full, Error::Full(_)), "{full}");
    let kept = conformance::read_all(&log).len();
    assert!((2..20).contains(&kept));
    limit(-1);
    log.append(b"there is room again").unwrap();
    assert_eq!(conformance::read_all(&log).len(), kept + 1);
}

#[test]
fn a_message_that_somebody_else_put_into_the_stream_is_damage() {
    skip_without_nats!();
    let servers = one();
    let log = JetStreamLog::open(&weak(&servers)).unwrap();
    log.append(b"one").unwrap();
    let subject = format!("sns.{}.log", log.id());
    by_hand(&servers, async |context| {
        let sent = context.publish(subject, "hello".into()).await.unwrap();
        sent.await.unwrap();
    });
    assert_eq!(log.tail().unwrap(), 3);
    assert_eq!(log.read(1, 10).unwrap().len(), 1);
    let error = log.read(2, 10).unwrap_err();
    assert!(is_damaged(&error), "{error}");
}

#[test]
fn a_stream_that_was_made_anew_is_reported_and_never_followed() {
    skip_without_nats!();
    let servers = one();
    let dir = tempfile::tempdir().unwrap();
    let open = || Sns::builder(dir.path()).jetstream(weak(&servers)).open();
    let sns = open().unwrap();
    let alice = sns.user("alice").unwrap();
    sns.post(&alice, "before").wait().unwrap();
    by_hand(&servers, async |context| {
        context.delete_stream("SNS").await.unwrap();
    });
    // Somebody makes another log under the same name.
    let other = JetStreamLog::open(&weak(&servers)).unwrap();
    other.append(b"other").unwrap();
    until("it halts", || {
        (sns.status().state == State::Halted).then_some(())
    });
    let status = sns.status();
    assert!(status.reason.contains("another log"), "{}", status.reason);
    let refused = sns.post(&alice, "after").wait().unwrap_err();
    assert!(matches!(
        refused.kind(),
        ErrorKind::Damaged | ErrorKind::Unavailable | ErrorKind::Unknown
    ));
    assert_eq!(other.tail().unwrap(), 2, "nothing of ours lands in it");
    drop(sns);
    let refused = open().unwrap_err();
    assert!(refused.message().contains("another log"), "{refused}");
}

/// Brings the data of a server back to what it was, as a restored backup or a disk that lied would.
fn with_lost_entries(
    lose: impl Fn(&JetStreamLog),
    go_on: impl Fn(&JetStreamLog),
) -> (Servers, JetStreamLog) {
    let mut servers = one();
    let log = JetStreamLog::open(&weak(&servers)).unwrap();
    log.append(b"kept").unwrap();
    servers.kill(0).unwrap();
    let store = servers.dir().join("n1");
    let backup = servers.dir().join("backup");
    copy_dir(&store, &backup);
    servers.start_again(0).unwrap();
    until("it is back", || log.append(b"lost").ok());
    lose(&log);
    servers.kill(0).unwrap();
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::rename(&backup, &store).unwrap();
    servers.start_again(0).unwrap();
    go_on(&JetStreamLog::open(&weak(&servers)).unwrap());
    (servers, log)
}

#[test]
fn a_stream_that_lost_entries_and_goes_on_with_others_is_never_followed() {
    skip_without_nats!();
    let read = |log: &JetStreamLog| drop(conformance::read_all(log));
    let refill = |log: &JetStreamLog| {
        for _ in 0..20 {
            log.append(b"another").unwrap();
        }
    };
    let (_servers, log) = with_lost_entries(read, refill);
    let error = until("it is reported", || log.tail().err().filter(is_damaged));
    assert!(error.to_string().contains("another one"), "{error}");
    assert!(is_damaged(&log.append(b"x").unwrap_err()));
    assert!(is_damaged(&log.read(1, 10).unwrap_err()));
    assert!(is_damaged(&log.wait(99, PATIENCE).unwrap_err()));
}

#[test]
fn a_stream_that_ends_before_what_was_durable_is_reported() {
    skip_without_nats!();
    let (_servers, log) = with_lost_entries(|_| {}, |_| {});
    // At first it may be a leader that has not heard of all; appends wait until that is clear.
    let error = until("it is reported", || log.tail().err().filter(is_damaged));
    assert!(error.to_string().contains("was durable"), "{error}");
    assert!(is_damaged(&log.append(b"x").unwrap_err()));
}

#[test]
fn a_view_that_knows_of_lost_entries_refuses_the_stream_at_its_start() {
    skip_without_nats!();
    let mut servers = one();
    let dir = tempfile::tempdir().unwrap();
    let open = |servers: &Servers| Sns::builder(dir.path()).jetstream(weak(servers)).open();
    let sns = open(&servers).unwrap();
    let alice = sns.user("alice").unwrap();
    sns.close();
    drop(sns);
    servers.kill(0).unwrap();
    let (store, backup) = (servers.dir().join("n1"), servers.dir().join("backup"));
    copy_dir(&store, &backup);
    servers.start_again(0).unwrap();
    let sns = open(&servers).unwrap();
    sns.post(&alice, "acknowledged").wait().unwrap();
    sns.close();
    drop(sns);
    servers.kill(0).unwrap();
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::rename(&backup, &store).unwrap();
    servers.start_again(0).unwrap();
    let refused = open(&servers).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged, "{refused}");
    // Another machine goes on with it, unknowing; this one still does not follow.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Sns::builder(elsewhere.path()).jetstream(weak(&servers));
    let other = other.open().unwrap();
    for _ in 0..3 {
        other.post(&alice, "in its place").wait().unwrap();
    }
    let refused = open(&servers).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged, "{refused}");
}

#[test]
fn an_append_without_an_answer_is_unknown_and_has_one_effect() {
    skip_without_nats!();
    let servers = one();
    let log = JetStreamLog::open(&weak(&servers)).unwrap();
    log.append(b"before").unwrap();
    servers.stop(0).unwrap();
    let begun = Instant::now();
    let error = log.append(b"unknown").unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(8), "by its deadline");
    // Without a connection it was never sent.
    assert!(
        matches!(error, Error::Unknown(_) | Error::Unavailable(_)),
        "{error}"
    );
    servers.go_on(0).unwrap();
    until("it takes entries again", || log.append(b"after").ok());
    // All copies that were on their way have arrived by now, or never will.
    let payloads: Vec<Vec<u8>> = conformance::read_all(&log)
        .into_iter()
        .map(|it| it.payload)
        .collect();
    let count = |text: &[u8]| payloads.iter().filter(|it| *it == text).count();
    assert!(count(b"unknown") <= 1, "{payloads:?}");
    assert_eq!((count(b"before"), count(b"after")), (1, 1));
}

#[test]
fn without_a_quorum_writes_end_and_reads_go_on_until_all_continues_by_itself() {
    skip_without_nats!();
    let mut servers = three();
    let dir = tempfile::tempdir().unwrap();
    let sns = Sns::builder(dir.path()).jetstream(strong(&servers));
    let sns = sns.open().unwrap();
    let alice = sns.user("alice").unwrap();
    let post = sns.post(&alice, "before").wait().unwrap();
    servers.kill(0).unwrap();
    servers.kill(1).unwrap();
    let begun = Instant::now();
    let error = sns.post(&alice, "without").wait().unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(
        matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Unknown),
        "{error}"
    );
    assert_eq!(sns.home(&alice).page().unwrap().items, [post]);
    assert_eq!(sns.status().state, State::Serving);
    servers.start_again(0).unwrap();
    servers.start_again(1).unwrap();
    until("posts are taken again", || {
        sns.post(&alice, "again").wait().ok()
    });
    let texts: Vec<String> = sns
        .home(&alice)
        .page()
        .unwrap()
        .items
        .iter()
        .map(|it| it.text.to_string())
        .collect();
    let count = |text: &str| texts.iter().filter(|it| *it == text).count();
    // Each attempt that was told `Unknown` may be there, the last one is; none twice by one call.
    assert_eq!(count("before"), 1, "{texts:?}");
    assert!(count("again") >= 1 && count("without") <= 1, "{texts:?}");
}

#[test]
fn appends_go_on_over_the_death_of_any_one_server() {
    skip_without_nats!();
    let mut servers = three();
    let log = JetStreamLog::open(&strong(&servers)).unwrap();
    let mut acknowledged = Vec::new();
    for dies in 0..3 {
        for round in 0..20 {
            if round == 5 {
                servers.kill(dies).unwrap();
            }
            let text = format!("{dies} {round}");
            let index = until("it is taken", || log.append(text.as_bytes()).ok());
            acknowledged.push((index, text));
        }
        servers.start_again(dies).unwrap();
        until("all three are current", || {
            by_hand(&servers, async |context| {
                let mut stream = context.get_stream("SNS").await.ok()?;
                let cluster = stream.info().await.ok()?.cluster.clone()?;
                let current = cluster.replicas.iter().all(|it| it.current);
                (cluster.leader.is_some() && current).then_some(())
            })
        });
    }
    let all = conformance::read_all(&log);
    for (index, text) in acknowledged {
        let at = usize::try_from(index).unwrap() - 1;
        assert_eq!(all[at].payload, text.as_bytes());
    }
}

#[test]
fn a_new_machine_joins_from_a_snapshot_and_one_that_was_away_catches_up() {
    skip_without_nats!();
    let servers = one();
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let open = |number: usize| {
        let builder = Sns::builder(dirs[number].path()).jetstream(weak(&servers));
        builder.open().unwrap()
    };
    let (here, away) = (open(0), open(1));
    let alice = here.user("alice").unwrap();
    here.post(&alice, "one").wait().unwrap();
    away.close();
    drop(away);
    let post = |from: u32| {
        for number in from..from + 300 {
            here.post(&alice, &format!("post {number}")).wait().unwrap();
        }
    };
    post(0);
    let first = here.create_snapshot().unwrap();
    post(300);
    let second = here.create_snapshot().unwrap();
    assert!(second.index > first.index);
    post(600);
    let log = JetStreamLog::open(&weak(&servers)).unwrap();
    assert_eq!(log.head().unwrap(), first.index + 1, "trimmed by purging");
    let (new, back) = (open(2), open(1));
    let digest = |sns: &Sns| {
        let status = sns.status();
        (status.applied, status.digest, status.posts)
    };
    assert_eq!(digest(&new), digest(&here));
    assert_eq!(digest(&back), digest(&here));
    assert_eq!(digest(&new).2, 901);
    // The newest snapshot is damaged: the older one will do.
    let newest = format!("{:020}.snap", second.index);
    by_hand(&servers, async |context| {
        let store = context.get_object_store("SNS_snapshots").await.unwrap();
        let info = store.info(&newest).await.unwrap();
        let about = jetstream::object_store::ObjectMetadata {
            name: newest.clone(),
            metadata: info.metadata,
            ..Default::default()
        };
        store.put(about, &mut &b"nonsense"[..]).await.unwrap();
    });
    let last = tempfile::tempdir().unwrap();
    let last = Sns::builder(last.path()).jetstream(weak(&servers)).open();
    assert_eq!(digest(&last.unwrap()), digest(&here));
}

#[test]
fn what_was_read_lies_below_the_tail_that_is_known() {
    skip_without_nats!();
    let servers = one();
    let open = || JetStreamLog::open(&weak(&servers)).unwrap();
    let (writer, reader) = (open(), open());
    for round in 1..=200 {
        writer.append(b"x").unwrap();
        // Before anybody told of it, as often as not.
        if let Some(last) = reader.read(round, 1_000).unwrap().last() {
            assert!(reader.known_tail().unwrap() > last.index);
            assert!(reader.wait(last.index, Duration::ZERO).unwrap() > last.index);
        }
    }
}

#[test]
fn one_stopped_server_that_does_not_lead_holds_up_no_reader() {
    skip_without_nats!();
    let servers = three();
    let log = JetStreamLog::open(&strong(&servers)).unwrap();
    for _ in 0..50 {
        log.append(b"x").unwrap();
    }
    let leader = by_hand(&servers, async |context| {
        let stream = context.get_stream("SNS").await.unwrap();
        stream
            .cached_info()
            .cluster
            .clone()
            .unwrap()
            .leader
            .unwrap()
    });
    let other = (0..3).find(|it| servers.name(*it) != leader).unwrap();
    servers.stop(other).unwrap();
    // Whichever server this handle is connected to: it goes to another one.
    let reader = until("a handle opens", || {
        JetStreamLog::open(&strong(&servers)).ok()
    });
    let begun = Instant::now();
    for index in 1..=20 {
        until("it is read", || reader.read(index, 1).ok());
    }
    // Each may have asked the stopped one in vain, for a quarter of a second.
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    servers.go_on(other).unwrap();
}

#[test]
fn a_read_on_another_machine_that_is_linearizable_sees_what_was_acknowledged() {
    skip_without_nats!();
    let servers = three();
    let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let open = |number: usize| {
        let builder = Sns::builder(dirs[number].path()).jetstream(strong(&servers));
        builder.open().unwrap()
    };
    let (one, two) = (open(0), open(1));
    let alice = one.user("alice").unwrap();
    for number in 0..100 {
        let post = one.post(&alice, &format!("{number}")).wait().unwrap();
        let page = two.home(&alice).linearizable(true).limit(1).page().unwrap();
        assert_eq!(page.items, [post]);
    }
}
