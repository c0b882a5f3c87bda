//! Who listens where on this machine, as `/proc` tells it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::pair::process;

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    address: SocketAddr,
    inode: u64,
}

impl Listening {
    /// All of this network namespace.
    pub(crate) fn all() -> Vec<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let text = read("/proc/self/net/tcp") + &read("/proc/self/net/tcp6");
        text.lines().filter_map(parse).collect()
    }

    /// Whether it keeps others from listening on `address`.
    pub(crate) fn holds(&self, address: SocketAddr) -> bool {
        let (own, other) = (self.address.ip(), address.ip());
        self.address.port() == address.port()
            && (own.is_unspecified()
                || other.is_unspecified()
                || own.to_canonical() == other.to_canonical())
    }

    /// Those on `port`, of whatever address.
    pub(crate) fn on(port: u16) -> Vec<Self> {
        let mut all = Self::all();
        all.retain(|it| it.address.port() == port);
        all
    }

    /// Whether the process `pid` has it open; false also when this user may not know.
    pub(crate) fn is_open_in(&self, pid: u32) -> bool {
        let target = format!("socket:[{}]", self.inode);
        let open = fs::read_dir(format!("/proc/{pid}/fd")).ok();
        let mut open = open.into_iter().flatten().filter_map(Result::ok);
        open.any(|fd| fs::read_link(fd.path()).is_ok_and(|it| it.as_os_str() == &*target))
    }

    /// The process that has it open, if this user may know: its number and its name.
    pub(crate) fn holder(&self) -> Option<(u32, String)> {
        let pid = process::all()
            .into_iter()
            .find(|pid| self.is_open_in(*pid))?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Some((pid, name.trim().to_owned()))
    }
}

/// `0: 0100007F:1CE8 00000000:0000 0A … inode …`: addresses in the order of this machine's bytes,
/// state 0A listens.
fn parse(line: &str) -> Option<Listening> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != "0A" {
        return None;
    }
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let word = |at: usize| {
        let text = ip.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(Listening {
        address: SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?),
        inode: fields.get(9)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_listens_is_found_with_its_process() {
        for place in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(place) else {
                // A machine without IPv6.
                assert_eq!(place, "[::1]:0");
                continue;
            };
            let address = listener.local_addr().unwrap();
            let all = Listening::all();
            let found = all.iter().find(|it| it.address == address).unwrap();
            assert_eq!(found.holder().unwrap().0, std::process::id());
            drop(listener);
            assert!(!Listening::all().iter().any(|it| it.address == address));
        }
    }

    #[test]
    fn one_that_listens_everywhere_holds_every_address() {
        let of = |text: &str| Listening {
            address: text.parse().unwrap(),
            inode: 1,
        };
        let holds = |one: &str, other: &str| of(one).holds(other.parse().unwrap());
        assert!(holds("0.0.0.0:1", "127.0.0.1:1") && holds("127.0.0.1:1", "0.0.0.0:1"));
        assert!(holds("[::]:1", "127.0.0.1:1") && holds("[::ffff:127.0.0.1]:1", "127.0.0.1:1"));
        assert!(!holds("127.0.0.2:1", "127.0.0.1:1") && !holds("0.0.0.0:2", "127.0.0.1:1"));
    }
}
