//! [`Peers`]: the servers of this data directory that have a page, as their files say: where a page
//! may go on when the server it came from is gone.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;

use super::guard::is_loopback_name;
use crate::net::tls::Tls;
use crate::run_file::{self, NodeFile};

/// One server with a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) pair: String,
    pub(super) role: &'static str,
    /// `http://host:port`, or `https://host:port`.
    pub(super) http: String,
}

#[derive(Debug)]
pub(super) struct Peers {
    data: PathBuf,
    me: Peer,
    /// What stands for "all addresses of this machine" in a file.
    host: IpAddr,
    tls: Option<Tls>,
    known: RwLock<Arc<[Peer]>>,
}

impl Peers {
    /// Reads the files once.
    pub(super) fn new(
        data: &Path,
        (node, address): (&str, SocketAddr),
        host: IpAddr,
        tls: Option<Tls>,
    ) -> Self {
        let peers = Self {
            data: data.to_owned(),
            me: peer(node, named(address, host), tls.is_some()),
            host,
            tls,
            known: RwLock::new(Arc::default()),
        };
        peers.look();
        peers
    }

    /// Reads the files again. May wait for the disk.
    pub(super) fn look(&self) {
        let nodes: Vec<(Peer, bool)> = run_file::nodes(&self.data)
            .into_iter()
            .filter(|node| *node != self.me.name)
            .filter_map(|node| {
                let file = NodeFile::read(&self.data.join("nodes").join(&node))?;
                let page: SocketAddr = file.http_address.parse().ok()?;
                let lives = lives(&file);
                let page = named(page, self.host);
                let listed = lives || !file.stopping;
                listed.then(|| (peer(&node, page, file.tls.is_some()), lives))
            })
            .collect();
        // Who died comes back as long as somebody of its pair lives. What else is left of earlier
        // runs is nobody's port any more: it must be trusted with nothing.
        let pairs: Vec<&str> = nodes
            .iter()
            .filter(|(_, lives)| *lives)
            .map(|(peer, _)| &*peer.pair)
            .chain([&*self.me.pair])
            .collect();
        let kept = nodes
            .iter()
            .filter(|(peer, _)| pairs.contains(&&*peer.pair));
        let mut found: Vec<Peer> = kept.map(|(peer, _)| peer.clone()).collect();
        // Its own file may not be written yet.
        found.push(self.me.clone());
        found.sort_unstable_by(|a, b| (&a.pair, a.role).cmp(&(&b.pair, b.role)));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = found.into();
    }

    pub(super) fn me(&self) -> &Peer {
        &self.me
    }

    /// By pair, the master first; this server among them.
    pub(super) fn all(&self) -> Arc<[Peer]> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn origins(&self) -> Vec<String> {
        self.all().iter().map(|peer| peer.http.clone()).collect()
    }

    /// Whether a page of one of them has this origin. A browser may know this machine by name.
    pub(super) fn has_origin(&self, origin: &str) -> bool {
        let known = self.all();
        // By whatever name of the certificate: only our own servers can show one.
        if let (Some(tls), Some(at)) = (&self.tls, origin.strip_prefix("https://")) {
            let (host, port) = at.rsplit_once(':').unwrap_or((at, "443"));
            let port = |peer: &Peer| peer.http.rsplit_once(':').is_some_and(|it| it.1 == port);
            return (is_loopback_name(host) || tls.is_for(host))
                && known
                    .iter()
                    .any(|peer| peer.http.starts_with("https:") && port(peer));
        }
        let names = ["//127.0.0.1:", "//[::1]:"];
        let same = names.map(|name| origin.replacen("//localhost:", name, 1));
        known.iter().any(|peer| same.contains(&peer.http))
    }
}

/// It runs, or is about to: planned, and not started yet.
fn lives(file: &NodeFile) -> bool {
    match &file.process {
        Some(process) => file.starting || process.is_alive(),
        None => true,
    }
}

/// A page on all addresses is told by the one that others are told.
fn named(page: SocketAddr, host: IpAddr) -> SocketAddr {
    if page.ip().is_unspecified() {
        SocketAddr::new(host, page.port())
    } else {
        page
    }
}

fn peer(node: &str, address: SocketAddr, tls: bool) -> Peer {
    // Nodes are named `PAIR-ROLE`.
    let (pair, role) = node.rsplit_once('-').unwrap_or((node, "master"));
    Peer {
        name: node.to_owned(),
        pair: pair.to_owned(),
        role: if role == "slave" { "slave" } else { "master" },
        http: format!("{}://{address}", if tls { "https" } else { "http" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::process::ProcessId;

    #[test]
    fn the_servers_of_the_directory_are_known_by_their_files() {
        let dir = tempfile::tempdir().unwrap();
        for (node, page) in [
            ("b-master", "127.0.0.1:9"),
            ("a-slave", "127.0.0.1:8"),
            ("a-master", ""),
            ("c-master", "nonsense"),
        ] {
            let file = NodeFile {
                http_address: page.to_owned(),
                ..NodeFile::default()
            };
            file.write(&dir.path().join("nodes").join(node)).unwrap();
        }
        let me: SocketAddr = "127.0.0.1:7".parse().unwrap();
        let peers = Peers::new(dir.path(), ("a-master", me), me.ip(), None);
        let names = || -> Vec<String> { peers.all().iter().map(|it| it.name.clone()).collect() };
        assert_eq!(names(), ["a-master", "a-slave", "b-master"]);
        for (origin, ours) in [
            ("http://127.0.0.1:7", true),
            ("http://localhost:9", true),
            ("http://127.0.0.1:10", false),
            ("https://127.0.0.1:9", false),
            ("null", false),
        ] {
            assert_eq!(peers.has_origin(origin), ours, "{origin}");
        }
        // Of a pair of which nobody lives nothing is left but files.
        let mut gone = ProcessId::own().unwrap();
        gone.start_time += 1;
        for node in ["b-master", "a-slave"] {
            let dir = dir.path().join("nodes").join(node);
            let mut file = NodeFile::read(&dir).unwrap();
            file.process = Some(gone.clone());
            file.write(&dir).unwrap();
        }
        peers.look();
        assert_eq!(names(), ["a-master", "a-slave"]);
    }
}
