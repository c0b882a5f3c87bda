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
