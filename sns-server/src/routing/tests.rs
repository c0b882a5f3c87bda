use std::collections::BTreeSet;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;

const T0: Duration = Duration::from_secs(100);

fn server(pair: &str, role: ServerRole, state: ServerState) -> Server {
    Server {
        name: node_name(pair, role),
        pair: pair.to_owned(),
        role: role.into(),
        address: "127.0.0.1:1".to_owned(),
        state: state.into(),
        data_id: "d".to_owned(),
        ..Server::default()
    }
}

fn master(pair: &str) -> Server {
    server(pair, ServerRole::Master, ServerState::Serving)
}

fn slave(pair: &str) -> Server {
    server(pair, ServerRole::Slave, ServerState::Serving)
}

fn says(server: Server, partner: Option<Server>) -> AnnounceRequest {
    AnnounceRequest {
        server: Some(server),
        partner,
    }
}

fn table(servers: &[Server]) -> (RouteTable, Vec<StreamId>) {
    let mut table = RouteTable::new();
    let mut streams = Vec::new();
    for server in servers {
        let stream = table.open();
        table
            .announce(stream, T0, says(server.clone(), None))
            .unwrap();
        streams.push(stream);
    }
    (table, streams)
}

fn names(servers: &[Server]) -> Vec<&str> {
    servers.iter().map(|server| &*server.name).collect()
}

/// Every (master, slave) that 200 draws gave.
fn draws(table: &mut RouteTable, policy: Policy) -> BTreeSet<(String, String)> {
    let mut rng = StdRng::seed_from_u64(7);
    let mut draw = || {
        let (master, slave) = table.assign(T0, policy, &mut rng)?;
        Some((master.name, slave.map_or(String::new(), |slave| slave.name)))
    };
    (0..200).filter_map(|_| draw()).collect()
}

fn set(pairs: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    pairs.iter().map(own).collect()
}

#[test]
fn the_list_is_by_pair_and_the_master_first() {
    let (mut table, _) = table(&[slave("b"), master("b"), slave("a"), master("a")]);
    let list = table.list(T0);
    assert_eq!(names(&list), ["a-master", "a-slave", "b-master", "b-slave"]);
}

#[test]
fn a_master_is_drawn_with_a_slave_of_another_pair() {
    let (mut table, _) = table(&[master("a"), slave("a"), master("b"), slave("b")]);
    for policy in [Policy::Random, Policy::P2c] {
        let expected = set(&[("a-master", "b-slave"), ("b-master", "a-slave")]);
        assert_eq!(draws(&mut table, policy), expected);
    }
}

#[test]
fn what_is_missing_is_replaced_as_the_contract_says() {
    for (servers, expected) in [
        // The slave of the same pair.
        (
            vec![master("a"), slave("a")],
            set(&[("a-master", "a-slave")]),
        ),
        // Any other.
        (
            vec![master("a"), master("b")],
            set(&[("a-master", "b-master"), ("b-master", "a-master")]),
        ),
        // A slave where no master serves.
        (
            vec![slave("a"), slave("b")],
            set(&[("a-slave", "b-slave"), ("b-slave", "a-slave")]),
        ),
        (vec![master("a")], set(&[("a-master", "")])),
        (vec![slave("a")], set(&[("a-slave", "")])),
        (vec![], set(&[])),
    ] {
        let (mut table, _) = table(&servers);
        assert_eq!(draws(&mut table, Policy::Random), expected);
    }
}

#[test]
fn only_serving_nodes_are_drawn() {
    let states = [
        ServerState::Unspecified,
        ServerState::Starting,
        ServerState::Draining,
        ServerState::Hung,
        ServerState::Restarting,
        ServerState::Failed,
        ServerState::Stopped,
    ];
    for state in states {
        let starting = server("a", ServerRole::Master, state);
        let (mut table, _) = table(&[starting, slave("a")]);
        assert_eq!(draws(&mut table, Policy::Random), set(&[("a-slave", "")]));
        assert_eq!(table.list(T0).len(), 2);
    }
}

#[test]
fn the_end_of_a_stream_and_a_second_of_silence_take_a_node_out() {
    let (mut table, streams) = table(&[master("a"), master("b")]);
    table.close(streams[0]);
    assert_eq!(names(&table.list(T0)), ["b-master"]);
    let late = T0 + SILENCE;
    assert_eq!(table.list(late).len(), 1);
    let later = late + Duration::from_millis(1);
    assert!(
        table
            .assign(later, Policy::Random, &mut StdRng::seed_from_u64(1))
            .is_none()
    );
    assert_eq!(table.list(later), []);
}

#[test]
fn a_node_speaks_for_itself_and_its_partner_only_once_it_is_silent() {
    let mut table = RouteTable::new();
    let (own, watcher) = (table.open(), table.open());
    let dead = server("a", ServerRole::Master, ServerState::Restarting);
    table.announce(own, T0, says(master("a"), None)).unwrap();
    table
        .announce(watcher, T0, says(slave("a"), Some(dead.clone())))
        .unwrap();
    assert_eq!(table.list(T0)[0].state(), ServerState::Serving);
    // Its stream ends: the partner's word is listed, and never given to clients.
    table.close(own);
    assert_eq!(table.list(T0)[0].state(), ServerState::Restarting);
    let praised = Some(master("a"));
    table
        .announce(watcher, T0, says(slave("a"), praised))
        .unwrap();
    assert_eq!(draws(&mut table, Policy::Random), set(&[("a-slave", "")]));
    // Its stream is open and silent: the same.
    let own = table.open();
    table.announce(own, T0, says(master("a"), None)).unwrap();
    let late = T0 + SILENCE * 2;
    table
        .announce(watcher, late, says(slave("a"), Some(dead)))
        .unwrap();
    assert_eq!(table.list(late)[0].state(), ServerState::Restarting);
}

#[test]
fn the_end_of_an_old_stream_does_not_remove_a_restarted_node() {
    let (mut table, streams) = table(&[master("a")]);
    let new = table.open();
    table.announce(new, T0, says(master("a"), None)).unwrap();
    table.close(streams[0]);
    assert_eq!(table.list(T0).len(), 1);
}

#[test]
fn a_table_takes_nodes_of_one_data_until_it_is_empty() {
    let (mut table, streams) = table(&[master("a")]);
    let mut other = master("b");
    other.data_id = "e".to_owned();
    let stream = table.open();
    let refused = table
        .announce(stream, T0, says(other.clone(), None))
        .unwrap_err();
    assert_eq!(refused.reason, ErrorReason::DataMismatch);
    table.close(streams[0]);
    table.announce(stream, T0, says(other, None)).unwrap();
    assert_eq!(names(&table.list(T0)), ["b-master"]);
}

#[test]
fn the_table_is_bounded_and_full_it_still_takes_those_it_knows() {
    let mut table = RouteTable::new();
    let stream = table.open();
    for n in 0..ROUTER_NODES / 2 {
        let pair = format!("p{n}");
        table
            .announce(stream, T0, says(master(&pair), Some(slave(&pair))))
            .unwrap();
    }
    let refused = table
        .announce(stream, T0, says(master("z"), None))
        .unwrap_err();
    assert_eq!(refused.reason, ErrorReason::Overloaded);
    table
        .announce(stream, T0, says(master("p0"), None))
        .unwrap();
    assert_eq!(table.list(T0).len(), ROUTER_NODES);
}

#[test]
fn announcements_that_make_no_sense_are_refused() {
    let long = Server {
        reason: "x".repeat(TEXT_BYTES + 1),
        ..master("a")
    };
    let unnamed = Server {
        name: "b-master".to_owned(),
        ..master("a")
    };
    let homeless = Server {
        address: String::new(),
        ..master("a")
    };
    let nowhere = Server {
        data_id: String::new(),
        ..master("a")
    };
    for request in [
        AnnounceRequest::default(),
        says(
            server("a", ServerRole::Unspecified, ServerState::Serving),
            None,
        ),
        says(long, None),
        says(unnamed, None),
        says(homeless, None),
        says(nowhere, None),
        says(master("a"), Some(master("a"))),
        says(master("a"), Some(slave("b"))),
    ] {
        let mut table = RouteTable::new();
        let stream = table.open();
        let refused = table.announce(stream, T0, request).unwrap_err();
        assert_eq!(refused.reason, ErrorReason::StreamProtocol);
        assert_eq!(table.list(T0), []);
    }
}

#[test]
fn of_two_the_one_with_fewer_streams_is_drawn_also_before_it_says_so() {
    let busy = Server {
        streams: 100,
        ..master("a")
    };
    let (mut table, _) = table(&[busy, master("b")]);
    let mut rng = StdRng::seed_from_u64(3);
    let mut to_b = 0;
    for _ in 0..120 {
        let (master, _) = table.assign(T0, Policy::P2c, &mut rng).unwrap();
        to_b += usize::from(master.name == "b-master");
    }
    // The first hundred even it out, then they take turns.
    assert!((105..=115).contains(&to_b), "{to_b}");
}
