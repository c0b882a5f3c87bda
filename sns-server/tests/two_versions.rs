//! Servers of two versions share one log: the older one stops before what it does not know, says so,
//! and serves nothing from behind it; the newer one reads what the older one wrote.

#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

#[path = "support/cluster.rs"]
mod cluster;

use std::path::Path;
use std::time::Duration;

use cluster::{Cluster, pause, rows, run, signal, stderr, until};
use prost::Message as _;
use rustix::process::Signal;
use sns_client::{Client, ErrorKind, Options};
use sns_core::log::Log as _;
use sns_core::log::dir::{DirLog, DirLogOptions};
use sns_core::{LOG_VERSION, Sns};
use sns_proto::log::v1::command::Kind;
use sns_proto::log::v1::{Command, CreatePost, Entry};

const NODES: [&str; 2] = ["a-master", "a-slave"];

/// What a newer program would write: `version`, and a command of which this one knows nothing, in a
/// field that has no meaning yet.
fn of_a_newer_program(version: u32) -> Vec<u8> {
    let mut entry = entry(version, Vec::new()).encode_to_vec();
    // Field 1000 of a command, bytes; as field 5 of the entry.
    let command = [0xC2, 0x3E, 3, b'n', b'e', b'w'];
    let field = Entry {
        commands: vec![Command::default()],
        ..Entry::default()
    };
    let tag = field.encode_to_vec()[0];
    entry.extend([tag, u8::try_from(command.len()).unwrap()]);
    entry.extend(command);
    entry
}

fn entry(min_version: u32, commands: Vec<Command>) -> Entry {
    Entry {
        min_version,
        writer: "c-master".into(),
        batch: vec![7; 16],
        clock_ms: 1,
        commands,
    }
}

fn append(data: &Path, bytes: &[u8]) -> u64 {
    let log = DirLog::open(&data.join("log"), DirLogOptions::default()).unwrap();
    log.append(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_version_wrote_stops_the_older_one_and_is_never_skipped() {
    // By its number, and where somebody forgot to give it one.
    for version in [LOG_VERSION + 1, 1] {
        let cluster = tokio::task::block_in_place(|| Cluster::start(1));
        let options = Options::new("alice").routers([cluster.url.clone()]);
        let client = Client::connect(options).await.unwrap();
        let old = client.post("by the older one").await.unwrap();
        let (data, newer) = (cluster.data(), of_a_newer_program(version));
        let index = append(&data, &newer);
        let post = Kind::CreatePost(CreatePost {
            user: "alice".into(),
            text: "from behind it".into(),
        });
        let behind = Command {
            kind: Some(post),
            ..Command::default()
        };
        append(&data, &entry(1, vec![behind]).encode_to_vec());

        tokio::task::block_in_place(|| {
            let pids = NODES.map(|node| cluster.pid(node));
            for node in NODES {
                let row = until(&format!("{node} halts"), || {
                    cluster.row(node).filter(|row| row["state"] == "failed")
                });
                let reason = row["reason"].as_str().unwrap();
                assert!(reason.contains("written by a newer version"), "{row}");
                assert!(reason.contains(&format!("entry {index}")), "{row}");
                assert_eq!(row["applied"], index - 1, "{row}");
            }
            // It holds: nobody is restarted over and over.
            pause(Duration::from_secs(3));
            assert_eq!(NODES.map(|node| cluster.pid(node)), pids);
            // One that is started anew comes to the same end, and stays.
            signal(pids[0], Signal::KILL);
            let row = until("another a-master halts", || {
                let row = cluster.row("a-master")?;
                (row["state"] == "failed" && row["pid"] != pids[0]).then_some(row)
            });
            assert_eq!(
                (&row["applied"], &row["restarts"]),
                (&(index - 1).into(), &1.into())
            );
        });
        // The same program does not help: it says so at the first one, and leaves the other alone.
        tokio::task::block_in_place(|| {
            let pids = NODES.map(|node| cluster.pid(node));
            let refused = run(&["restart", "--rolling", "--data", &cluster.data_arg()]);
            assert_eq!(refused.status.code(), Some(7));
            assert!(
                stderr(&refused).contains("nothing was replaced"),
                "{}",
                stderr(&refused)
            );
            let args = [
                "restart",
                "--rolling",
                "--force",
                "--data",
                &cluster.data_arg(),
            ];
            let refused = run(&args);
            let why = stderr(&refused);
            assert_eq!(refused.status.code(), Some(7), "{why}");
            for part in [
                "a-slave did not come back",
                "written by a newer version",
                "new: none",
                "untouched: a-master",
            ] {
                assert!(why.contains(part), "{part}: {why}");
            }
            assert_eq!(NODES.map(|node| cluster.pid(node)), pids);
        });
        // Nothing is served from behind it, nor as if it were not there.
        let late = Options::new("bob").routers([cluster.url.clone()]);
        let late = late.deadline(Duration::from_secs(2));
        let error = match Client::connect(late).await {
            Ok(bob) => bob.posts_of("alice").page().await.map(|_| ()).unwrap_err(),
            Err(error) => error,
        };
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Unavailable | ErrorKind::Damaged | ErrorKind::Unknown
            ),
            "{error:?}"
        );

        tokio::task::block_in_place(|| {
            let dump = run(&["log", "dump", "--data", &cluster.data_arg()]);
            assert!(dump.status.success(), "{}", stderr(&dump));
            let entries = rows(&dump);
            let shown = entries.iter().find(|row| row["index"] == index).unwrap();
            assert_eq!(shown["min_version"], version, "{shown}");
            assert_eq!(shown["commands"][0]["kind"], "unknown", "{shown}");
            let text = String::from_utf8_lossy(&dump.stdout).into_owned();
            assert!(
                text.contains("by the older one") && text.contains("from behind it"),
                "{text}"
            );
            // The log as such is sound: a program that knows the command reads it.
            let log = DirLog::open(&data.join("log"), DirLogOptions::default()).unwrap();
            let records = log.read(index, 1 << 20).unwrap();
            assert_eq!(records[0].payload.as_slice(), newer);
        });
        assert!(old.id.get() > 0);
    }
}

/// The directory was made by version 0.1.0 at log version 2; see its README. A change that cannot read
/// it any more cannot be rolled out.
#[test]
fn this_program_reads_what_former_versions_wrote() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for version in ["0.1.0"] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        copy(&fixtures.join(version), &data);
        let arg = data.to_str().unwrap();
        for what in ["log", "snapshot"] {
            let verified = run(&[what, "verify", "--data", arg]);
            assert!(verified.status.success(), "{what}: {}", stderr(&verified));
        }
        let expected = std::fs::read_to_string(fixtures.join(format!("{version}.json"))).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
        // From the snapshot and the rest of the log, and from the log alone.
        for with_snapshot in [true, false] {
            if !with_snapshot {
                for snapshot in std::fs::read_dir(data.join("snapshots")).unwrap() {
                    std::fs::remove_file(snapshot.unwrap().path()).unwrap();
                }
                std::fs::remove_dir_all(data.join("nodes")).unwrap();
            }
            let sns = Sns::open(&data).unwrap();
            let status = sns.status();
            assert_eq!(
                status.applied, expected["applied"],
                "snapshot: {with_snapshot}"
            );
            assert_eq!(
                status.digest, expected["digest"],
                "snapshot: {with_snapshot}"
            );
            let alice = sns.user("alice").unwrap();
            let page = sns.home(&alice).limit(50).page().unwrap();
            let texts: Vec<String> = page
                .items
                .iter()
                .map(|post| post.text.to_string())
                .collect();
            assert_eq!(serde_json::json!(texts), expected["home"]);
            sns.close();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    std::fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
            // As it was made: a checkout does not keep who may read a file.
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}
