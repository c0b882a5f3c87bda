//! [`Plan`]: names and ports of everything that `up` starts.

use std::net::SocketAddr;
use std::path::Path;

use sns_proto::v1::ServerRole;

use crate::config::{UpHttp, node_name};
use crate::failure::{Failure, Result};
use crate::ports;
use crate::run_file::{NodeFile, RunFile};

/// What is started, and where.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) router: SocketAddr,
    pub(super) pairs: Vec<PairPlan>,
}

#[derive(Debug)]
pub(super) struct PairPlan {
    pub(super) name: String,
    /// The master first.
    pub(super) nodes: [NodePlan; 2],
}

#[derive(Debug)]
pub(super) struct NodePlan {
    pub(super) name: String,
    /// As it stands before the first start.
    pub(super) file: NodeFile,
}

impl Plan {
    /// `pairs` pairs and a router on `listen`. The nodes take the next free ports (a-master,
    /// a-slave, b-master, …), then their peer listeners do, then their pages, unless `http` puts
    /// those elsewhere; with port 0 all ports are drawn.
    pub(super) fn new(pairs: u32, listen: SocketAddr, http: UpHttp) -> Result<Self> {
        let ip = listen.ip();
        let pairs = pairs as usize;
        let next = if http == UpHttp::Next { 6 } else { 4 };
        let (router, ports) = if listen.port() == 0 {
            let mut drawn = ports::draw(ip, 1 + pairs * next)?;
            (drawn.remove(0), drawn)
        } else {
            let port = listen.port();
            (port, ports::after(ip, port, pairs * next)?)
        };
        let at = |index: usize| SocketAddr::new(ip, ports[index]).to_string();
        let pages = match http {
            UpHttp::Off => vec![String::new(); pairs * 2],
            UpHttp::Next => (pairs * 4..pairs * 6).map(at).collect(),
            UpHttp::From(first) => {
                let taken: Vec<u16> = ports.iter().copied().chain([router]).collect();
                pages_from(first, pairs * 2, &taken)?
            }
        };
        let node = |pair: &str, role: ServerRole, index: usize| NodePlan {
            name: node_name(pair, role),
            file: NodeFile {
                address: at(index),
                peer_address: at(pairs * 2 + index),
                http_address: pages[index].clone(),
                ..NodeFile::default()
            },
        };
        let pair = |index: usize| {
            let name = pair_name(index);
            let nodes = [
                node(&name, ServerRole::Master, index * 2),
                node(&name, ServerRole::Slave, index * 2 + 1),
            ];
            PairPlan { name, nodes }
        };
        Ok(Self {
            router: SocketAddr::new(ip, router),
            pairs: (0..pairs).map(pair).collect(),
        })
    }

    /// That of the `up` that ran in this process before, as its files have it; `None` when they do
    /// not tell.
    pub(super) fn of_files(data: &Path, pairs: u32, run: &RunFile) -> Option<Self> {
        let url: http::Uri = run.router_url.parse().ok()?;
        let router = url.authority()?.as_str().parse().ok()?;
        let node = |name: String| {
            // One that cannot be read is written anew by its node.
            let file = NodeFile::read(&data.join("nodes").join(&name)).unwrap_or_default();
            NodePlan { name, file }
        };
        let pair = |index: usize| {
            let name = pair_name(index);
            let nodes = [
                node(node_name(&name, ServerRole::Master)),
                node(node_name(&name, ServerRole::Slave)),
            ];
            PairPlan { name, nodes }
        };
        Some(Self {
            router,
            pairs: (0..pairs as usize).map(pair).collect(),
        })
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodePlan> {
        self.pairs.iter().flat_map(|pair| &pair.nodes)
    }
}

/// `count` addresses from `first` on, none of them in `taken`; drawn if its port is 0.
fn pages_from(first: SocketAddr, count: usize, taken: &[u16]) -> Result<Vec<String>> {
    let ip = first.ip();
    let wanted = if first.port() == 0 {
        ports::draw(ip, count + taken.len())?
    } else {
        if taken.contains(&first.port()) || !ports::is_free(first) {
            return Err(Failure::unavailable(format!(
                "--http {first} is in use, or taken by the router or a node of --listen: choose \
                 another port, or `--http off`"
            )));
        }
        (first.port()..=u16::MAX).collect()
    };
    let free = |port: &u16| !taken.contains(port) && ports::is_free(SocketAddr::new(ip, *port));
    let found = wanted.into_iter().filter(free).take(count);
    let pages: Vec<String> = found
        .map(|port| SocketAddr::new(ip, port).to_string())
        .collect();
    if pages.len() < count {
        return Err(Failure::unavailable(format!(
            "--http {first}: there are not {count} free ports from there on; choose a lower one"
        )));
    }
    Ok(pages)
}

/// a to z, then aa, ab, …
fn pair_name(mut index: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(b'a' + u8::try_from(index % 26).unwrap_or_default());
        if index < 26 {
            break;
        }
        index = index / 26 - 1;
    }
    letters
        .iter()
        .rev()
        .map(|letter| char::from(*letter))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn pairs_are_named_like_columns() {
        let names = [0, 1, 25, 26, 27, 51, 52, 511].map(pair_name);
        assert_eq!(names, ["a", "b", "z", "aa", "ab", "az", "ba", "sr"]);
    }

    #[test]
    fn nodes_take_the_next_free_ports_in_order() {
        let drawn = ports::draw([127, 0, 0, 1].into(), 1).unwrap()[0];
        let listen = SocketAddr::from(([127, 0, 0, 1], drawn));
        let plan = Plan::new(2, listen, UpHttp::Next).unwrap();
        assert_eq!(plan.router, listen);
        let names: Vec<&str> = plan.nodes().map(|node| &*node.name).collect();
        assert_eq!(names, ["a-master", "a-slave", "b-master", "b-slave"]);
        let port = |address: &String| address.parse::<SocketAddr>().unwrap().port();
        let mut ports: Vec<u16> = plan.nodes().map(|node| port(&node.file.address)).collect();
        ports.extend(plan.nodes().map(|node| port(&node.file.peer_address)));
        ports.extend(plan.nodes().map(|node| port(&node.file.http_address)));
        assert!(ports.is_sorted() && ports[0] > drawn, "{ports:?}");
    }

    #[test]
    fn pages_begin_where_they_are_put_or_are_off() {
        let drawn = ports::draw([127, 0, 0, 1].into(), 1).unwrap()[0];
        let first = SocketAddr::from(([127, 0, 0, 1], drawn));
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let plan = Plan::new(1, listen, UpHttp::From(first)).unwrap();
        let pages: Vec<&str> = plan.nodes().map(|node| &*node.file.http_address).collect();
        assert_eq!(pages[0], first.to_string());
        assert_ne!(pages[0], pages[1]);
        // The router's port is nobody else's.
        assert!(Plan::new(1, first, UpHttp::From(first)).is_err());
        let below = SocketAddr::new(first.ip(), first.port() - 1);
        if let Ok(plan) = Plan::new(1, first, UpHttp::From(below)) {
            let mut pages = plan.nodes().map(|node| &*node.file.http_address);
            assert!(pages.all(|page| page != first.to_string()));
        }
        let plan = Plan::new(1, listen, UpHttp::Off).unwrap();
        assert!(plan.nodes().all(|node| node.file.http_address.is_empty()));
    }

    #[test]
    fn with_port_0_all_ports_are_drawn() {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let plan = Plan::new(3, listen, UpHttp::From(listen)).unwrap();
        let mut all: HashSet<String> = HashSet::from([plan.router.to_string()]);
        for node in plan.nodes() {
            all.insert(node.file.address.clone());
            all.insert(node.file.peer_address.clone());
            all.insert(node.file.http_address.clone());
        }
        assert_eq!(all.len(), 19);
        assert!(!all.iter().any(|address| address.ends_with(":0")));
    }
}
