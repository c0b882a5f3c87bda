use super::*;

use sns_proto::v1;

const MS: Duration = Duration::from_millis(1);

fn server(name: &str, state: ServerState, pid: u32, applied: u64) -> Server {
    let (pair, role) = name.split_once('-').expect("PAIR-ROLE");
    let role = if role == "master" {
        ServerRole::Master
    } else {
        ServerRole::Slave
    };
    Server::from(v1::Server {
        name: name.to_owned(),
        pair: pair.to_owned(),
        role: role.into(),
        pid,
        state: state.into(),
        applied,
        tail: applied + 3,
        ..v1::Server::default()
    })
}

struct Fixture {
    watch: Watch,
    start: Instant,
}

impl Fixture {
    fn new() -> Self {
        Self {
            watch: Watch::new(1_000 * MS),
            start: Instant::now(),
        }
    }

    /// A look, so long after the start.
    fn look(&mut self, after: u32, servers: &[Server]) {
        let clock = "2026-01-02T12:03:04[UTC]".parse().expect("a time");
        let now = self.start + after * MS;
        self.watch.look(servers.to_vec(), now, &clock);
    }

    fn changes(&self) -> Vec<String> {
        self.watch.changes().collect()
    }
}

use ServerState::{Restarting, Serving, Starting};

#[test]
fn servers_stand_by_pair_with_the_master_first() {
    let mut fixture = Fixture::new();
    let names = ["b-slave", "a-slave", "b-master", "a-master", "a-master"];
    fixture.look(0, &names.map(|name| server(name, Serving, 7, 1)));
    let rows = fixture.watch.rows();
    let names: Vec<&str> = rows.iter().map(|row| row.server.name.as_str()).collect();
    assert_eq!(names, ["a-master", "a-slave", "b-master", "b-slave"]);
    assert_eq!((rows[0].lag(), fixture.watch.serving()), (2, 4));
    assert_eq!(fixture.changes(), [""; 0]);
}

#[test]
fn a_change_is_told_between_what_looks_can_tell() {
    let mut fixture = Fixture::new();
    fixture.look(0, &[server("a-master", Serving, 7, 1)]);
    fixture.look(1_000, &[server("a-master", Restarting, 0, 0)]);
    assert_eq!(fixture.changes(), ["12:03:04 a-master restarting"]);
    // Quick looks now, and not for ever.
    let pause = |fixture: &Fixture, after: u32| fixture.watch.pause(fixture.start + after * MS);
    assert_eq!(pause(&fixture, 1_000), QUICK);
    assert_eq!(pause(&fixture, 11_000), 1_000 * MS);
    fixture.look(1_100, &[server("a-master", Starting, 8, 0)]);
    fixture.look(1_200, &[server("a-master", Starting, 8, 0)]);
    fixture.look(1_300, &[server("a-master", Serving, 8, 1)]);
    let told = "12:03:04 a-master restarting → starting → serving after 0.2-1.3 s";
    assert_eq!(fixture.changes(), [told]);
    assert_eq!(pause(&fixture, 1_300), 1_000 * MS);
    fixture.look(1_400, &[server("a-master", Restarting, 0, 0)]);
    fixture.look(1_500, &[server("a-master", Serving, 9, 1)]);
    let told = "12:03:04 a-master restarting → serving after 0-200 ms";
    assert_eq!(fixture.changes()[0], told);
}

#[test]
fn what_happened_between_two_looks_is_told_as_that() {
    let mut fixture = Fixture::new();
    fixture.look(0, &[server("a-master", Serving, 7, 1)]);
    fixture.look(
        1_040,
        &[
            server("a-master", Serving, 8, 1),
            server("b-slave", Serving, 9, 1),
        ],
    );
    fixture.look(2_000, &[server("a-master", Serving, 8, 1)]);
    let both = ["a-master", "b-slave"].map(|name| server(name, Serving, 8, 1));
    fixture.look(3_000, &both);
    assert_eq!(
        fixture.changes(),
        [
            "12:03:04 b-slave is listed again",
            "12:03:04 b-slave is listed no longer",
            "12:03:04 b-slave is new",
            "12:03:04 a-master was restarted, within 1.0 s",
        ]
    );
}

#[test]
fn what_began_before_the_first_look_has_no_upper_bound() {
    let mut fixture = Fixture::new();
    fixture.look(0, &[server("a-master", Restarting, 0, 0)]);
    fixture.look(400, &[server("a-master", Restarting, 0, 0)]);
    fixture.look(500, &[server("a-master", Serving, 8, 1)]);
    let told = "12:03:04 a-master restarting → serving after 400 ms or more";
    assert_eq!(fixture.changes(), [told]);
}

#[test]
fn rates_are_differences_over_a_second_and_of_one_process() {
    let mut fixture = Fixture::new();
    let rate = |fixture: &Fixture| fixture.watch.rows()[0].rate;
    fixture.look(0, &[server("a-master", Serving, 7, 100)]);
    assert_eq!(rate(&fixture), None);
    fixture.look(1_000, &[server("a-master", Serving, 7, 300)]);
    assert_eq!(rate(&fixture), Some(200.0));
    // Quick looks do not make it jump.
    fixture.look(1_100, &[server("a-master", Serving, 7, 300)]);
    fixture.look(2_000, &[server("a-master", Serving, 7, 400)]);
    assert_eq!(rate(&fixture), Some(100.0 / 0.9));
    assert_eq!(fixture.watch.total(), Some(100.0 / 0.9));
    fixture.look(3_000, &[server("a-master", Serving, 8, 5)]);
    assert_eq!(rate(&fixture), None);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut fixture = Fixture::new();
    for nth in 0..500 {
        let state = if nth % 2 == 0 { Serving } else { Restarting };
        let many: Vec<Server> = (0..2_000)
            .map(|nth| server(&format!("p{nth}-master"), state, 7, 1))
            .collect();
        fixture.look(nth * 10, &many[..if nth < 2 { 2_000 } else { 3 }]);
    }
    assert!(fixture.watch.rows().len() <= SERVERS_MAX);
    assert_eq!(fixture.changes().len(), CHANGES_MAX);
    assert!(fixture.watch.samples.len() <= SERVERS_MAX);
}
