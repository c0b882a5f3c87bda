//! Ports: whether all can be taken that are going to be, and who has them otherwise.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use sns_core::ErrorKind;

use super::finding::Finding;
use super::{DoctorConfig, Http, Role, unavailable};
use crate::pair::process::{self, ProcessId};
use crate::ports;
use crate::run_file::{self, RunFile};
use crate::sockets::Listening;

/// Whether an address can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// By a process that runs on this data: it is in its place.
    Ours(String),
    Held(String),
    /// The system would not give it to anybody here.
    Refused(String, &'static str),
}

#[derive(Debug)]
pub(super) struct Facts {
    /// Flag, address, and who has it.
    addresses: Vec<(&'static str, SocketAddr, State)>,
    /// The ports that `up` would give to nodes; `None`: it gives none now.
    next: Option<Result<Vec<u16>, String>>,
}

impl Facts {
    pub(super) fn gather(config: &DoctorConfig, data: Option<&Path>) -> Self {
        let ours = data.map_or_else(routers, running);
        let http = match config.http {
            Http::At(address) if config.role != Role::Router => Some(address),
            _ => None,
        };
        let flags = [
            ("--listen", config.listen),
            ("--peer-listen", config.peer_listen),
            ("--http", http),
        ];
        // Port 0 is drawn.
        let asked = flags.into_iter().filter_map(|(flag, address)| {
            Some((flag, address.filter(|address| address.port() != 0)?))
        });
        let all = Listening::all();
        let addresses = asked.map(|(flag, address)| (flag, address, state(address, &all, &ours)));
        let next = (config.role == Role::Up && ours.is_empty())
            .then(|| next(config))
            .flatten();
        Self {
            addresses: addresses.collect(),
            next,
        }
    }
}

/// What runs on this data: numbers and names.
fn running(data: &Path) -> Vec<(u32, String)> {
    let living = run_file::living(data).unwrap_or_default();
    let mut found: Vec<(u32, String)> = living
        .into_iter()
        .map(|it| (it.pid, format!("{} of this data", it.node)))
        .collect();
    let router = RunFile::read(data).and_then(|run| run.router);
    if let Some(router) = router.filter(ProcessId::is_alive) {
        found.push((router.pid, "router of this data".to_owned()));
    }
    found
}

/// The routers of this machine: without data nothing else tells whose one is.
fn routers() -> Vec<(u32, String)> {
    let router = |pid: &u32| {
        let ours = ProcessId::of(*pid).is_some_and(|id| process::is_ours(&id));
        let line = process::command_line(*pid).filter(|_| ours);
        line.is_some_and(|(_, args)| args.iter().any(|word| word == "router"))
    };
    let found = process::all().into_iter().filter(router);
    found.map(|pid| (pid, "router".to_owned())).collect()
}

fn state(address: SocketAddr, all: &[Listening], ours: &[(u32, String)]) -> State {
    if let Some(held) = all.iter().find(|it| it.holds(address)) {
        return match held.holder() {
            Some((pid, name)) => match ours.iter().find(|(own, _)| *own == pid) {
                Some((_, node)) => State::Ours(format!("{node} (process {pid})")),
                None => State::Held(format!("process {pid} ({name})")),
            },
            None => State::Held("a process of another user".to_owned()),
        };
    }
    match TcpListener::bind(address) {
        Ok(_) => State::Free,
        Err(e) => match e.kind() {
            io::ErrorKind::AddrInUse => State::Held("somebody who just took it".to_owned()),
            io::ErrorKind::AddrNotAvailable => State::Refused(
                e.to_string(),
                "name an address that this machine has: `ip address` lists them",
            ),
            io::ErrorKind::PermissionDenied => State::Refused(
                e.to_string(),
                "take a port from 1024 on, or give the service CAP_NET_BIND_SERVICE",
            ),
            _ => State::Refused(e.to_string(), "choose another address"),
        },
    }
}

/// As `up` chooses them.
fn next(config: &DoctorConfig) -> Option<Result<Vec<u16>, String>> {
    let listen = config.listen.filter(|listen| listen.port() != 0)?;
    let each = if config.http == Http::Default { 6 } else { 4 };
    let count = usize::try_from(config.servers).ok()? * each;
    let found = ports::after(listen.ip(), listen.port(), count);
    Some(found.map_err(|failure| failure.message))
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = facts.addresses.iter().map(one).collect();
    match &facts.next {
        None => {}
        Some(Ok(ports)) => {
            let ends = (ports.first().copied(), ports.last().copied());
            let (first, last) = (ends.0.unwrap_or_default(), ends.1.unwrap_or_default());
            let count = ports.len();
            let found = format!("{count} ports for nodes and pages are free, {first} to {last}");
            findings.push(Finding::ok("ports", found));
        }
        Some(Err(why)) => {
            let advice = "stop something, or choose a lower port with --listen";
            findings.push(Finding {
                verdict: unavailable(),
                ..Finding::warn("ports", why.clone(), advice)
            });
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("ports", "all of them are drawn at the start"));
    }
    findings
}

fn one((flag, address, state): &(&'static str, SocketAddr, State)) -> Finding {
    match state {
        State::Free => Finding::ok("ports", format!("{flag} {address} is free")),
        State::Ours(who) => Finding::ok("ports", format!("{flag} {address} is held by {who}")),
        State::Held(who) => Finding {
            verdict: unavailable(),
            ..Finding::warn(
                "ports",
                format!("{flag} {address} is held by {who}"),
                "stop that, or choose another port",
            )
        },
        State::Refused(why, advice) => Finding::fail(
            ErrorKind::Invalid,
            "ports",
            format!("{flag} {address} cannot be had: {why}"),
            *advice,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    #[test]
    fn a_port_of_ones_own_service_is_fine_and_one_of_others_is_not() {
        let verdict = |state| one(&("--listen", ([127, 0, 0, 1], 1).into(), state)).verdict;
        assert_eq!(verdict(State::Free), Verdict::Ok);
        assert_eq!(verdict(State::Ours("router".into())), Verdict::Ok);
        assert_eq!(verdict(State::Held("x".into())), unavailable());
        let refused = State::Refused("x".into(), "y");
        assert_eq!(verdict(refused), Verdict::Fail(ErrorKind::Invalid));
    }

    #[test]
    fn too_few_ports_for_all_nodes_fail() {
        let facts = |next| Facts {
            addresses: Vec::new(),
            next,
        };
        let drawn = judge(&facts(None));
        assert_eq!(drawn[0].verdict, Verdict::Ok);
        let few = judge(&facts(Some(Err("too few".into()))));
        assert_eq!(few[0].verdict, unavailable());
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        // TEST-NET-1: nobody has it.
        let state = state(([192, 0, 2, 1], 7).into(), &[], &[]);
        assert!(matches!(state, State::Refused(..)), "{state:?}");
    }
}
