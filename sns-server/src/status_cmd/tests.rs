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
        r#"{"name":"a-master","pair":"a","role":"master","address":"127.0.0.1:7401","pid":4711,"state":"serving","applied":41,"tail":45,"lag":3,"streams":2,"restarts":1,"digest":"0123456789abcdef0123456789abcdef","reason":null}"#
    );
    assert_eq!(
        json(&Row::of(dead())),
        r#"{"name":"a-slave","pair":"a","role":"slave","address":"127.0.0.1:7401","pid":null,"state":"restarting","applied":null,"tail":null,"lag":null,"streams":null,"restarts":1,"digest":null,"reason":"signal 9\u001b[2J"}"#
    );
    assert_eq!(
        json(&router()),
        r#"{"name":"router","pair":null,"role":"router","address":"127.0.0.1:7400","pid":null,"state":"serving","applied":null,"tail":null,"lag":null,"streams":null,"restarts":null,"digest":null,"reason":null}"#
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
