//! Who listens where on this machine, as `/proc` tells it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listening {
    address: SocketAddr,
    inode: u64,
}

impl Listening {
    /// All of this network namespace.
    pub(super) fn all() -> Vec<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let text = read("/proc/net/tcp") + &read("/proc/net/tcp6");
        text.lines().filter_map(parse).collect()
    }

    /// Whether it keeps others from listening on `address`.
    pub(super) fn holds(&self, address: SocketAddr) -> bool {
        let (own, other) = (self.address.ip(), address.ip());
        self.address.port() == address.port()
            && (own.is_unspecified()
                || other.is_unspecified()
                || own.to_canonical() == other.to_canonical())
    }

    /// The process that has it open, if this user may know: its number and its name.
    pub(super) fn holder(&self) -> Option<(u32, String)> {
        let target = format!("socket:[{}]", self.inode);
        let has = |pid: u32| {
            let open = fs::read_dir(format!("/proc/{pid}/fd")).ok();
            let mut open = open.into_iter().flatten().filter_map(Result::ok);
            open.any(|fd| fs::read_link(fd.path()).is_ok_and(|it| it.as_os_str() == &*target))
        };
        let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
        let mut numbers = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
        let pid = numbers.find(|pid| has(*pid))?;
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
