//! What routers are told of the partner, and when it is worth telling at once. Pure.

use sns_proto::v1::{AnnounceRequest, Server, ServerRole, ServerState};

use crate::config::NodeConfig;
use crate::pair::machine::{Condition, Machine};
use crate::run_file::NodeFile;

/// The watcher's word about its partner; `None` when there never was one.
pub(super) fn partner(
    node: &NodeConfig,
    machine: &Machine,
    heard: Option<&Server>,
    file: Option<NodeFile>,
) -> Option<Server> {
    let condition = machine.condition();
    let file = file?;
    if condition == Condition::Absent {
        return None;
    }
    let role = match node.role {
        ServerRole::Master => ServerRole::Slave,
        _ => ServerRole::Master,
    };
    let mut server = heard.cloned().unwrap_or_else(|| Server {
        name: node.partner(),
        pair: node.pair.clone(),
        role: role.into(),
        address: file.address,
        ..Server::default()
    });
    let of_this_process = machine.pid() == Some(server.pid);
    let own_state = server.state();
    server.pid = machine.pid().unwrap_or(0);
    server.restarts = machine.restarts();
    let state = match condition {
        Condition::Failed => ServerState::Failed,
        Condition::Hung => ServerState::Hung,
        Condition::Restarting => ServerState::Restarting,
        Condition::Stopped => ServerState::Stopped,
        Condition::Draining => ServerState::Draining,
        // It knows best: it may have halted.
        _ if of_this_process => own_state,
        _ => ServerState::Starting,
    };
    server.set_state(state);
    if !of_this_process {
        server.streams = 0;
    }
    if !machine.reason().is_empty() {
        machine.reason().clone_into(&mut server.reason);
    } else if !of_this_process {
        server.reason.clear();
    }
    Some(server)
}

/// Whether clients or operators would do something else for it; mere progress can wait.
pub(super) fn is_news(old: &AnnounceRequest, new: &AnnounceRequest) -> bool {
    let gist = |server: &Option<Server>| {
        server.as_ref().map(|it| {
            (
                it.state,
                it.pid,
                it.restarts,
                it.address.clone(),
                it.reason.clone(),
            )
        })
    };
    gist(&old.server) != gist(&new.server) || gist(&old.partner) != gist(&new.partner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{DataConfig, LogPlace, PageConfig};
    use crate::pair::machine::{Event, Exit, Last, Report, Rules, TICK};

    fn node() -> NodeConfig {
        NodeConfig {
            role: ServerRole::Slave,
            pair: "a".to_owned(),
            data: DataConfig {
                path: "data".into(),
                log: LogPlace::Dir,
                force_network_fs: false,
                segment_bytes: 65_536,
            },
            listen: "127.0.0.1:1".parse().unwrap(),
            peer_listen: "127.0.0.1:2".parse().unwrap(),
            routers: Vec::new(),
            partner_by: crate::args::PartnerBy::Start,
            page: PageConfig {
                http: None,
                slow_call_ms: 250,
                auth: crate::service::accounts::Policy::open(),
            },
            limits: crate::limits::LimitsConfig::default(),
            doors: crate::doors::Doors::default(),
        }
    }

    fn file() -> NodeFile {
        NodeFile {
            address: "127.0.0.1:3".to_owned(),
            ..NodeFile::default()
        }
    }

    fn heard(state: ServerState) -> Server {
        Server {
            name: "a-master".to_owned(),
            pid: 7,
            state: state.into(),
            streams: 5,
            applied: 9,
            ..Server::default()
        }
    }

    /// A machine whose process 7 serves.
    fn serving() -> Machine {
        let mut machine = Machine::new(Rules::PAIR, true, 0);
        machine.step(Duration::ZERO, 0, Event::Free(Last::Nobody));
        machine.step(Duration::ZERO, 0, Event::Started { pid: 7 });
        let report = Report {
            serving: true,
            ..Report::default()
        };
        machine.step(TICK, 0, Event::Answer { pid: 7, report });
        machine
    }

    #[test]
    fn a_partner_that_never_was_is_not_spoken_of() {
        let machine = Machine::new(Rules::PAIR, false, 0);
        assert_eq!(partner(&node(), &machine, None, Some(file())), None);
    }

    #[test]
    fn a_living_partner_is_told_as_it_told_itself() {
        let server = heard(ServerState::Serving);
        let word = partner(&node(), &serving(), Some(&server), Some(file())).unwrap();
        assert_eq!(
            (word.state(), word.pid, word.streams),
            (ServerState::Serving, 7, 5)
        );
        // It may know better: halted, and yet alive.
        let server = heard(ServerState::Failed);
        let word = partner(&node(), &serving(), Some(&server), Some(file())).unwrap();
        assert_eq!(word.state(), ServerState::Failed);
    }

    #[test]
    fn a_dead_partner_has_no_pid_and_no_streams_and_a_reason() {
        let mut machine = serving();
        let exit = Exit {
            asked: false,
            lock_held: false,
            why: "ended by signal 9".to_owned(),
        };
        machine.step(TICK, 0, Event::Exited { pid: 7, exit });
        let server = heard(ServerState::Serving);
        let word = partner(&node(), &machine, Some(&server), Some(file())).unwrap();
        assert_eq!(word.state(), ServerState::Restarting);
        assert_eq!((word.pid, word.streams), (0, 0));
        assert_eq!(word.reason, "ended by signal 9");
    }

    #[test]
    fn one_that_was_never_heard_is_told_by_its_file() {
        let mut machine = Machine::new(Rules::PAIR, true, 2);
        machine.step(Duration::ZERO, 0, Event::Free(Last::Nobody));
        let word = partner(&node(), &machine, None, Some(file())).unwrap();
        assert_eq!((&*word.name, &*word.address), ("a-master", "127.0.0.1:3"));
        assert_eq!((word.state(), word.restarts), (ServerState::Starting, 2));
        assert_eq!(word.role(), ServerRole::Master);
    }

    #[test]
    fn progress_is_no_news_and_a_state_is() {
        let word = |server: Server| AnnounceRequest {
            server: Some(server),
            partner: None,
        };
        let old = word(heard(ServerState::Serving));
        let mut further = heard(ServerState::Serving);
        further.applied += 1;
        assert!(!is_news(&old, &word(further)));
        assert!(is_news(&old, &word(heard(ServerState::Draining))));
    }
}
