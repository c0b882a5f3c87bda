use super::*;

fn serving() -> Server {
    Server {
        name: "a-master".to_owned(),
        pair: "a".to_owned(),
        role: ServerRole::Master.into(),
        address: "127.0.0.1:7401".to_owned(),
        pid: 4_711,
        state: ServerState::Serving.into(),
        applied: 41,
        tail: 45,
        streams: 2,
        restarts: 1,
        digest: "0123456789abcdef0123456789abcdef".to_owned(),
        reason: String::new(),
        data_id: "d".to_owned(),
    }
}

fn dead() -> Server {
    Server {
        name: "a-slave".to_owned(),
        role: ServerRole::Slave.into(),
        pid: 0,
        state: ServerState::Restarting.into(),
        reason: "signal 9\u{1b}[2J".to_owned(),
        ..serving()
    }
}

fn router() -> Row {
    Row::router(&"http://127.0.0.1:7400/".parse().unwrap(), &Ok(()))
}

#[test]
fn a_line_of_json_has_exactly_the_fields_of_the_contract() {
    let json = |row: &Row| serde_json::to_string(row).unwrap();
    assert_eq!(
        json(&Row::of(serving())),
        r#"{"name":"a-master","pair":"a","role":"master","address":"127.0.0.1:7401","pid":4711,"state":"serving","applied":41,"tail":45,"lag":3,"streams":2,"restarts":1,"digest":"0123456789abcdef0123456789abcdef","reason":null,"version":null}"#
    );
    assert_eq!(
        json(&Row::of(dead())),
        r#"{"name":"a-slave","pair":"a","role":"slave","address":"127.0.0.1:7401","pid":null,"state":"restarting","applied":null,"tail":null,"lag":null,"streams":null,"restarts":1,"digest":null,"reason":"signal 9\u001b[2J","version":null}"#
    );
    assert_eq!(
        json(&router()),
        r#"{"name":"router","pair":null,"role":"router","address":"127.0.0.1:7400","pid":null,"state":"serving","applied":null,"tail":null,"lag":null,"streams":null,"restarts":null,"digest":null,"reason":null,"version":null}"#
    );
}

#[test]
fn the_table_is_aligned_and_foreign_text_escaped() {
    let rows = [Row::of(serving()), Row::of(dead()), router()];
    let lines = table(&rows);
    assert_eq!(
        lines,
        [
            "NAME      STATE       ADDRESS          PID  APPLIED  LAG  STREAMS  RESTARTS  DIGEST    REASON",
            "a-master  serving     127.0.0.1:7401  4711       41    3        2         1  01234567",
            "a-slave   restarting  127.0.0.1:7401     -        -    -        -         1  -         signal 9\\u{1b}[2J",
            "router    serving     127.0.0.1:7400     -        -    -        -         -  -",
        ]
    );
}

#[test]
fn views_that_differ_at_one_entry_are_named() {
    let other = Server {
        name: "b-master".to_owned(),
        digest: "f".repeat(32),
        ..serving()
    };
    let later = Server {
        applied: 42,
        ..other.clone()
    };
    let rows = |servers: [Server; 2]| servers.map(Row::of);
    assert_eq!(disagreements(&rows([serving(), later])).len(), 0);
    let lines = disagreements(&rows([serving(), other]));
    assert!(lines[0].contains("a-master and b-master"), "{lines:?}");
}

/// What is said of a node of which there is only `file`, and perhaps a log that ends with `words`.
async fn dead_with(file: NodeFile, words: Option<&str>) -> Row {
    let data = tempfile::tempdir().unwrap();
    let dir = data.path().join("nodes/a-master");
    file.write(&dir).unwrap();
    if let Some(words) = words {
        std::fs::write(process::log_path(&dir), words).unwrap();
    }
    ask(data.path(), "a-master", None, &HashMap::new()).await
}

#[tokio::test]
async fn a_node_that_is_being_started_starts_and_no_process_is_named_as_dead() {
    let own = process::ProcessId::own().unwrap();
    let before = [None, Some(own.clone())];
    for process in before {
        let starting = NodeFile {
            process,
            starting: true,
            restarts: 3,
            ..NodeFile::default()
        };
        let row = dead_with(starting.clone(), None).await;
        assert_eq!((row.state, row.pid, row.reason), ("starting", None, None));
        assert_eq!(row.restarts, Some(3));
        // Between two tries: what the last one said.
        let words = "info\nerror: no space\n";
        let row = dead_with(starting.clone(), Some(words)).await;
        assert_eq!((row.state, row.pid), ("starting", None));
        assert_eq!(row.reason.as_deref(), Some("its start failed: no space"));
    }
    // Nobody starts it: then the one that died is named.
    let died = NodeFile {
        process: Some(own.clone()),
        ..NodeFile::default()
    };
    let row = dead_with(died, None).await;
    assert_eq!(row.state, "failed");
    let named = format!("process {} died", own.pid);
    assert!(row.reason.unwrap().starts_with(&named));
}

#[test]
fn what_was_said_before_a_start_is_not_why_it_failed() {
    let dir = tempfile::tempdir().unwrap();
    let log = process::log_path(dir.path());
    std::fs::write(&log, "error: long ago\n").unwrap();
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1);
    let file = std::fs::File::options().write(true).open(&log).unwrap();
    file.set_modified(long_ago).unwrap();
    NodeFile::default().write(dir.path()).unwrap();
    assert_eq!(start_failure(dir.path()), None);
}
