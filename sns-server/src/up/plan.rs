//! [`Plan`]: names and ports of everything that `up` starts.

use std::net::SocketAddr;

use sns_proto::v1::ServerRole;

use crate::config::node_name;
use crate::failure::Result;
use crate::ports;
use crate::run_file::NodeFile;

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
    /// a-slave, b-master, …), then their peer listeners do; with port 0 all ports are drawn.
    pub(super) fn new(pairs: u32, listen: SocketAddr) -> Result<Self> {
        let ip = listen.ip();
        let pairs = pairs as usize;
        let (router, ports) = if listen.port() == 0 {
            let mut drawn = ports::draw(ip, 1 + pairs * 4)?;
            (drawn.remove(0), drawn)
        } else {
            let port = listen.port();
            (port, ports::after(ip, port, pairs * 4)?)
        };
        let at = |index: usize| SocketAddr::new(ip, ports[index]).to_string();
        let node = |pair: &str, role: ServerRole, index: usize| NodePlan {
            name: node_name(pair, role),
            file: NodeFile {
                address: at(index),
                peer_address: at(pairs * 2 + index),
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

    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodePlan> {
        self.pairs.iter().flat_map(|pair| &pair.nodes)
    }
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
        let plan = Plan::new(2, listen).unwrap();
        assert_eq!(plan.router, listen);
        let names: Vec<&str> = plan.nodes().map(|node| &*node.name).collect();
        assert_eq!(names, ["a-master", "a-slave", "b-master", "b-slave"]);
        let port = |address: &String| address.parse::<SocketAddr>().unwrap().port();
        let mut ports: Vec<u16> = plan.nodes().map(|node| port(&node.file.address)).collect();
        ports.extend(plan.nodes().map(|node| port(&node.file.peer_address)));
        assert!(ports.is_sorted() && ports[0] > drawn, "{ports:?}");
    }

    #[test]
    fn with_port_0_all_ports_are_drawn() {
        let plan = Plan::new(3, SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let mut all: HashSet<String> = HashSet::from([plan.router.to_string()]);
        for node in plan.nodes() {
            all.insert(node.file.address.clone());
            all.insert(node.file.peer_address.clone());
        }
        assert_eq!(all.len(), 13);
        assert!(!all.iter().any(|address| address.ends_with(":0")));
    }
}
