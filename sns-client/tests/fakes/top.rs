//! `sns top`: on a terminal at two widths, and for programs.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use sns_proto::v1::{Server, ServerRole, ServerState};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use unicode_width::UnicodeWidthStr as _;

use crate::fake::Setup;
use crate::term::Sitting;

/// Two pairs; the pids and figures are those of no process.
fn servers() -> Vec<Server> {
    let server = |pair: &str, role: ServerRole, nth: u32| Server {
        name: format!(
            "{pair}-{}",
            if role == ServerRole::Master {
                "master"
            } else {
                "slave"
            }
        ),
        pair: pair.to_owned(),
        role: role.into(),
        address: format!("127.0.0.1:740{nth}"),
        pid: 4_190_000 + nth,
        state: ServerState::Serving.into(),
        applied: 123_456_789,
        tail: 123_456_790,
        streams: 1_000,
        restarts: 0,
        digest: "0".repeat(32),
        ..Server::default()
    };
    vec![
        server("a", ServerRole::Master, 1),
        server("a", ServerRole::Slave, 2),
        server("b", ServerRole::Master, 3),
        server("b", ServerRole::Slave, 4),
    ]
}

async fn listing(servers: Vec<Server>) -> (Setup, tempfile::TempDir) {
    let setup = Setup::of(1).await;
    setup.router.list(servers);
    (setup, tempfile::tempdir().expect("a directory"))
}

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_are_there_at_60_and_at_120_columns() {
    let mut all = servers();
    all[2].state = ServerState::Restarting.into();
    all[2].pid = 0;
    all[2].reason =
        "died 3 times in a row: \x1b[2Jexit code 9 and a long story about it".to_owned();
    let (setup, home) = listing(all).await;
    for columns in [60, 120] {
        let mut top = Sitting::at(&setup, &home, &["top", "--every", "100ms"], (columns, 20));
        top.sees("q quits").await;
        let text = top.text();
        let rows: Vec<&str> = text.trim().lines().collect();
        assert!(rows[0].contains("3 of 4 serving"), "{text}");
        assert!(rows[0].contains(&setup.router.address()), "{text}");
        for (name, mark) in [
            ("a-master", ' '),
            ("a-slave", ' '),
            ("b-master", '!'),
            ("b-slave", ' '),
        ] {
            let begin = format!("{mark} {name} ");
            assert!(text.contains(&format!("\n{begin}")), "{begin:?} in {text}");
        }
        assert!(
            rows.iter().all(|row| row.width() < columns.into()),
            "{text}"
        );
        assert!(text.contains("died 3 times in a row: \\u{1b}"), "{text}");
        assert_eq!(text.contains("4190001"), columns == 120, "{text}");
        assert!(top.is_raw() && top.is_on_a_screen_of_its_own());
        let (key, wide) = if columns == 60 {
            ("q", 120)
        } else {
            ("\x1b", 60)
        };
        top.resize((wide, 20));
        top.sees_that("as many columns as there are now", |text| {
            text.contains("4190001") == (wide == 120) && text.contains("b-slave")
        })
        .await;
        top.types(key).await;
        assert_eq!(top.ends().await, 0);
        top.is_as_found();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_as_far_as_looks_can_tell() {
    let (setup, home) = listing(servers()).await;
    let mut top = Sitting::at(&setup, &home, &["top", "--every", "50ms"], (60, 20));
    top.sees("4 of 4 serving").await;
    let mut hurt = servers();
    hurt[0].state = ServerState::Restarting.into();
    hurt[0].pid = 0;
    setup.router.list(hurt.clone());
    top.sees("3 of 4 serving").await;
    top.sees(" a-master restarting\n").await;
    hurt[0].state = ServerState::Starting.into();
    setup.router.list(hurt);
    top.sees(" a-master restarting → starting\n").await;
    let mut well = servers();
    well[0].restarts = 1;
    setup.router.list(well);
    top.sees(" a-master restarting → starting → serving after ")
        .await;
    top.sees("4 of 4 serving").await;
    top.types("\x03").await;
    assert_eq!(top.ends().await, 0);
    top.is_as_found();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_gone_leaves_the_last_table() {
    let (mut setup, home) = listing(servers()).await;
    let mut top = Sitting::at(&setup, &home, &["top", "--every", "50ms"], (60, 20));
    top.sees("4 of 4 serving").await;
    setup.router.wire.cut().await;
    top.sees("\n! no router answers since ").await;
    assert!(top.text().contains("\n  b-slave "), "{}", top.text());
    assert!(top.is_dim("  b-slave "));
    setup.router.wire.mend().await;
    top.sees("4 of 4 serving").await;
    top.types("q").await;
    assert_eq!(top.ends().await, 0);
    top.is_as_found();
}

fn top(setup: &Setup, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sns"));
    for name in ["SNS_USER", "SNS_JSON"] {
        command.env_remove(name);
    }
    command
        .env("SNS_ROUTER", setup.router.address())
        .arg("top")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn programs_get_a_plain_table_or_objects() {
    let mut all = servers();
    all[3].name = "b-\x1b[31mslave".to_owned();
    all[3].applied -= 7;
    let (mut setup, _home) = listing(all).await;
    let output = top(&setup, &["--once"]).output().await.expect("runs");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!text.contains('\x1b'), "{text:?}");
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(text.contains("\n  b-\\u{1b}[31mslave  slave "), "{text}");

    let mut child = top(&setup, &["--json", "--every", "50ms"])
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut objects = Vec::new();
    while objects.len() < 8 {
        let line = timeout(Duration::from_secs(30), lines.next_line()).await;
        let line = line.expect("in time").expect("UTF-8").expect("a line");
        objects.push(serde_json::from_str::<Value>(&line).expect("JSON"));
    }
    let (first, second) = (&objects[3], &objects[7]);
    assert_eq!(first["name"], "b-\x1b[31mslave");
    assert_eq!(
        (&first["role"], &first["state"]),
        (&"slave".into(), &"serving".into())
    );
    assert_eq!(first["lag"], 7);
    assert_eq!(first["entries_per_s"], Value::Null);
    assert_eq!(second["entries_per_s"], 0.0);
    assert_eq!(first["reason"], Value::Null);
    child.kill().await.expect("killed");

    setup.router.wire.cut().await;
    let output = top(&setup, &["--once"]).output().await.expect("runs");
    assert_eq!(output.status.code(), Some(7));
}
