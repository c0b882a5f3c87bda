//! Ports for processes that are about to be started: free now, and likely to stay so.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::ops::Range;

use rand::RngExt as _;

use crate::failure::{Failure, Result};

/// Where ports are drawn from if the kernel does not say which ones it hands out itself.
const DRAWN: Range<u16> = 20_000..32_768;

/// Draws before giving up.
const TRIES: usize = 1_000;

/// Whether nobody listens on `address` now.
pub fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

/// `count` free ports on `ip`, drawn at random.
///
/// They lie outside the range from which the kernel takes the ports of outgoing connections: else
/// one of those could take the port of a server in the moment in which that is restarted.
///
/// # Errors
/// `Unavailable`: too few are free.
pub fn draw(ip: IpAddr, count: usize) -> Result<Vec<u16>> {
    let range = drawn_from();
    let mut rng = rand::rng();
    let mut found: Vec<u16> = Vec::with_capacity(count);
    for _ in 0..TRIES + count * 4 {
        if found.len() == count {
            return Ok(found);
        }
        let port = rng.random_range(range.clone());
        if !found.contains(&port) && is_free(SocketAddr::new(ip, port)) {
            found.push(port);
        }
    }
    Err(none_left(ip, count))
}

/// The next `count` free ports on `ip` after `port`, ascending.
///
/// # Errors
/// `Unavailable`: too few are free.
pub fn after(ip: IpAddr, port: u16, count: usize) -> Result<Vec<u16>> {
    let free = |port: &u16| is_free(SocketAddr::new(ip, *port));
    let found: Vec<u16> = (port..=u16::MAX).skip(1).filter(free).take(count).collect();
    if found.len() == count {
        Ok(found)
    } else {
        Err(none_left(ip, count))
    }
}

fn none_left(ip: IpAddr, count: usize) -> Failure {
    Failure::unavailable(format!(
        "{ip} has not {count} free ports; stop something, or choose another --listen"
    ))
}

fn drawn_from() -> Range<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let ephemeral = text.ok().and_then(|text| {
        let mut numbers = text.split_whitespace().map(str::parse::<u16>);
        Some(numbers.next()?.ok()?..numbers.next()?.ok()?)
    });
    match ephemeral {
        Some(taken) if taken.start >= 12_000 => taken.start - 10_000..taken.start,
        Some(taken) if taken.end <= 50_000 => taken.end + 1..u16::MAX,
        // No room beside it: then in it.
        _ => DRAWN,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn drawn_ports_are_free_and_different() {
        let mut ports = draw(LOCAL, 20).unwrap();
        assert!(
            ports
                .iter()
                .all(|port| is_free(SocketAddr::new(LOCAL, *port)))
        );
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 20);
    }

    #[test]
    fn ports_in_use_are_stepped_over() {
        let taken = TcpListener::bind((LOCAL, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(!is_free(taken.local_addr().unwrap()));
        let ports = after(LOCAL, port - 1, 3).unwrap();
        assert!(!ports.contains(&port));
        assert!(ports.is_sorted());
    }

    #[test]
    fn running_out_of_ports_is_an_error() {
        assert_eq!(after(LOCAL, u16::MAX, 1).unwrap_err().exit_code(), 7);
        assert_eq!(after(LOCAL, u16::MAX - 2, 3).unwrap_err().exit_code(), 7);
    }
}
