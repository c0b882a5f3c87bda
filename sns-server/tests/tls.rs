//! TLS: a whole cluster over it, who is let in, who is not, and new certificates under running servers.

#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

#[path = "support/cluster.rs"]
mod cluster;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use cluster::{Cluster, rows, run, signal, stderr, until};
use rustix::process::Signal;
use sns_client::{Client, ErrorKind, Options};
use sns_proto::pair::v1::HeartbeatRequest;
use sns_proto::pair::v1::pair_service_client::PairServiceClient;
use sns_proto::v1::router_service_client::RouterServiceClient;
use sns_proto::v1::{
    AnnounceRequest, AssignRequest, ListServersRequest, Server, ServerRole, ServerState,
};
use sns_server::net::tls::{Dial, Tls, TlsFiles};
use sns_server::run_file::NodeFile;
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Channel;

const WAIT: Duration = Duration::from_secs(30);

/// What `sns-server cert` makes.
struct Certs {
    dir: PathBuf,
}

impl Certs {
    fn make(dir: &Path) -> Self {
        let certs = Self {
            dir: dir.to_owned(),
        };
        certs.cert(&[]);
        certs
    }

    fn cert(&self, more: &[&str]) {
        let out = self.at("");
        let made = run(&[&["cert", "--out", &out], more].concat());
        assert!(made.status.success(), "{}", stderr(&made));
    }

    fn at(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    fn ca(&self) -> String {
        self.at("ca.pem")
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            cert: self.dir.join("server.pem"),
            key: self.dir.join("server.key"),
            ca: Some(self.dir.join("ca.pem")),
        }
    }

    fn flags(&self) -> Vec<String> {
        let args = self.files().args();
        args.into_iter()
            .map(|arg| arg.into_string().unwrap())
            .collect()
    }
}

/// A cluster of which all speaks TLS.
fn start(pairs: u32) -> (Cluster, Certs) {
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::make(&dir.path().join("certs"));
    let flags = certs.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut cluster = Cluster::spawn_with(dir, pairs, "127.0.0.1:0", &flags);
    cluster.greeting();
    assert!(cluster.url.starts_with("https://"), "{}", cluster.url);
    (cluster, certs)
}

fn user(name: &str, cluster: &Cluster, certs: &Certs) -> Options {
    let options = Options::new(name).routers([&*cluster.url]);
    options.tls_ca(certs.ca()).deadline(WAIT)
}

fn address(url: &str) -> &str {
    url.split("://").last().unwrap()
}

async fn channel(dial: &Dial, address: &str) -> Channel {
    let endpoint = dial.endpoint(address).unwrap().connect_timeout(WAIT);
    dial.connect(&endpoint).await.unwrap()
}

fn false_word() -> AnnounceRequest {
    AnnounceRequest {
        server: Some(Server {
            name: "z-master".to_owned(),
            pair: "z".to_owned(),
            role: ServerRole::Master.into(),
            address: "127.0.0.1:1".to_owned(),
            state: ServerState::Serving.into(),
            data_id: "d".to_owned(),
            ..Server::default()
        }),
        partner: None,
    }
}

async fn announce(channel: Channel) -> Result<(), tonic::Status> {
    let mut router = RouterServiceClient::new(channel);
    let answers = router.announce(tokio_stream::once(false_word())).await?;
    answers.into_inner().message().await.map(drop)
}

async fn names(channel: Channel) -> Vec<String> {
    let mut router = RouterServiceClient::new(channel);
    let listed = router.list_servers(ListServersRequest {}).await.unwrap();
    let servers = listed.into_inner().servers;
    servers.into_iter().map(|server| server.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_over_tls_hides_the_death_of_a_server() {
    let (cluster, certs) = start(2);
    let alice = user("alice", &cluster, &certs).connect().await.unwrap();
    let bob = user("bob", &cluster, &certs).connect().await.unwrap();
    alice.post("before").await.unwrap();
    bob.follow("alice").await.unwrap();
    let mut timeline = bob.timeline().backlog(10).open().await.unwrap();
    let mut next = async || {
        loop {
            if let sns_client::Event::Post(post) = timeline.next().await.unwrap().unwrap() {
                return post.text;
            }
        }
    };
    assert_eq!(next().await, "before");
    cluster.settled();
    for node in ["a-master", "b-master"] {
        let pid = cluster.pid(node);
        signal(pid, Signal::KILL);
        alice.post(node).await.unwrap();
        assert_eq!(next().await, node);
        // Its partner saw it over TLS, started it with the same flags, and routers took it back.
        until("it serves again", || {
            let args = [
                "status",
                "--json",
                "--tls-ca",
                &certs.ca(),
                "--router",
                &cluster.url,
            ];
            let rows = rows(&run(&args));
            let row = rows.into_iter().find(|row| row["name"] == node)?;
            (row["state"] == "serving" && row["pid"] != pid).then_some(())
        });
    }
    assert_eq!(next_page(&bob).await, ["b-master", "a-master", "before"]);
    // Without a router too, by the files of the data directory alone.
    let rows = rows(&run(&["status", "--json", "--data", &cluster.data_arg()]));
    assert_eq!(rows.len(), 5);
    for row in rows {
        assert_eq!(row["state"], "serving", "{row}");
    }
}

async fn next_page(client: &Client) -> Vec<String> {
    let page = client.home().page().await.unwrap();
    page.items.into_iter().map(|post| post.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_with_a_certificate_of_ours_are_servers() {
    let (cluster, certs) = start(1);
    let router = address(&cluster.url).to_owned();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Certs::make(elsewhere.path());
    let trusting = Dial::trusting(certs.ca().as_ref()).unwrap();
    let ours = Dial::mutual(Some(&Tls::open(certs.files()).unwrap()));

    // Clients need none to ask.
    let mut client = RouterServiceClient::new(channel(&trusting, &router).await);
    let assigned = client.assign(AssignRequest::default()).await.unwrap();
    assert!(assigned.into_inner().master.is_some());
    // To announce they do, and so a false server does not get into the table.
    let refused = announce(channel(&trusting, &router).await)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(names(channel(&trusting, &router).await).await.len(), 2);
    // One by another CA does not even get a connection: what is said over it comes back broken.
    let mut files = other.files();
    files.ca = Some(other.dir.join("both.pem"));
    let both = [other.ca(), certs.ca()].map(|path| std::fs::read(path).unwrap());
    std::fs::write(other.dir.join("both.pem"), both.concat()).unwrap();
    let stranger = Dial::mutual(Some(&Tls::open(files).unwrap()));
    let endpoint = stranger.endpoint(&router).unwrap();
    let broken = match stranger.connect(&endpoint).await {
        Ok(channel) => announce(channel).await.is_err(),
        Err(_) => true,
    };
    assert!(broken);
    assert_eq!(names(channel(&trusting, &router).await).await.len(), 2);

    // The heartbeat tells what a partner needs to know, and nobody else.
    let file = NodeFile::read(&cluster.node_dir("a-master")).unwrap();
    let ask = async |dial: &Dial| {
        let mut pair = PairServiceClient::new(channel(dial, &file.peer_address).await);
        let from = "a-slave".to_owned();
        pair.heartbeat(HeartbeatRequest { from }).await
    };
    assert_eq!(
        ask(&trusting).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    // With ours the connection counts, whatever else is asked for.
    if let Err(refused) = ask(&ours).await {
        assert!(!refused.message().contains("--tls-ca"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_what_to_do_about_a_router_it_cannot_trust() {
    let (cluster, _certs) = start(1);
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Certs::make(elsewhere.path());
    let alice = || Options::new("alice").deadline(WAIT);
    let refused = alice()
        .routers([&*cluster.url])
        .tls_ca(other.ca())
        .connect()
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.message().contains("--tls-ca"), "{refused}");

    let plain = address(&cluster.url);
    let refused = alice().routers([plain]).connect().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.message().contains("use https://"), "{refused}");

    let status = run(&["status", "--router", &cluster.url, "--tls-ca", &other.ca()]);
    assert_eq!(status.status.code(), Some(7));
    let none = run(&["status", "--router", &cluster.url]);
    assert_eq!(none.status.code(), Some(2));
    assert!(stderr(&none).contains("--tls-ca"), "{}", stderr(&none));
}

/// What a server answers to bytes that are no TLS, or TLS of an age that nobody should speak.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_old_tls_hurt_nobody() {
    let (cluster, certs) = start(1);
    let router = address(&cluster.url).to_owned();
    let old_hello = {
        let mut hello = vec![0x16, 3, 1, 0, 0x2d, 1, 0, 0, 0x29, 3, 2];
        hello.extend([1; 32]);
        hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
        hello
    };
    let garbage = [
        old_hello,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0; 70_000],
        vec![0x16, 3, 3, 0xff, 0xff, 1],
    ];
    for bytes in &garbage {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(&router).unwrap();
            let patience = Some(Duration::from_secs(20));
            stream.set_read_timeout(patience).unwrap();
            // It may be refused before all of it is sent.
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            // An alert, or nothing: never an answer in plain text.
            assert!(
                answer.first().is_none_or(|first| *first == 0x15),
                "{answer:?}"
            );
        }
    }
    let alice = user("alice", &cluster, &certs).connect().await.unwrap();
    alice.post("still here").await.unwrap();
}

/// The certificate that a new connection is shown.
async fn shown(address: &str, ca: &str) -> Vec<u8> {
    let dial = Dial::trusting(ca.as_ref()).unwrap();
    let Dial::Trusting(config) = dial else {
        panic!("no TLS");
    };
    // Calls and pages are asked alike.
    let mut config = (*config).clone();
    config.alpn_protocols.clear();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let name = "localhost".try_into().unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_count_without_a_restart_and_bad_ones_change_nothing() {
    let (cluster, certs) = start(1);
    let alice = user("alice", &cluster, &certs).connect().await.unwrap();
    let mut stream = alice.timeline().open().await.unwrap();
    let pids: Vec<u32> = ["a-master", "a-slave"]
        .map(|node| cluster.pid(node))
        .to_vec();
    let file = NodeFile::read(&cluster.node_dir("a-master")).unwrap();
    let all = [
        address(&cluster.url).to_owned(),
        file.address,
        file.peer_address,
        file.http_address,
    ];
    let mut before = Vec::new();
    for at in &all {
        before.push(shown(at, &certs.ca()).await);
    }
    certs.cert(&["--renew", "--host", "new.example"]);
    // At once on the signal; else within seconds.
    signal(pids[0], Signal::HUP);
    for (at, old) in all.iter().zip(&before) {
        let mut new = old.clone();
        for _ in 0..200 {
            new = shown(at, &certs.ca()).await;
            if new != *old {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_ne!(new, *old, "{at} has the old certificate");
    }
    let now = shown(&all[0], &certs.ca()).await;
    std::fs::write(certs.at("server.pem"), "-----BEGIN CERTIFICATE-----\nhalf").unwrap();
    until("the log says that it is no good", || {
        let log = std::fs::read_to_string(cluster.data().join("nodes/router/server.log")).ok()?;
        log.contains("no good").then_some(())
    });
    assert_eq!(shown(&all[0], &certs.ca()).await, now);
    // Nobody was restarted, and what was open goes on.
    let still: Vec<u32> = ["a-master", "a-slave"]
        .map(|node| cluster.pid(node))
        .to_vec();
    assert_eq!(still, pids);
    alice.post("over the old connection").await.unwrap();
    loop {
        if let sns_client::Event::Post(post) = stream.next().await.unwrap().unwrap() {
            assert_eq!(post.text, "over the old connection");
            break;
        }
    }
}

fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", stderr(output));
    stderr(output)
}

#[test]
fn off_loopback_nothing_starts_without_tls() {
    let dir: TempDir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    for args in [
        vec!["up", "--data", data, "--listen", "192.0.2.1:7400"],
        vec![
            "up",
            "--data",
            data,
            "--listen",
            "127.0.0.1:0",
            "--http",
            "0.0.0.0:8080",
        ],
        vec!["router", "--listen", "0.0.0.0:7400"],
    ] {
        let said = refusal(&run(&args));
        for word in ["--tls-cert", "--insecure"] {
            assert!(said.contains(word), "{said}");
        }
    }
}
