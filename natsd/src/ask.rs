//! One question to one server, in the protocol of its clients.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Asks whoever listens to `subject` and gives the first answer back; each step may take `limit`.
pub(crate) fn ask(address: SocketAddr, subject: &str, limit: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    // Nobody else has this port of this server.
    let inbox = format!("_INBOX.sns-natsd.{}", stream.local_addr()?.port());
    let question = format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB {inbox} 1\r\n\
         PUB {subject} {inbox} 0\r\n\r\n"
    );
    stream.write_all(question.as_bytes())?;
    let mut lines = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.starts_with("PING") {
            stream.write_all(b"PONG\r\n")?;
        } else if line.starts_with("-ERR") {
            return Err(io::Error::other(line.trim_end().to_owned()));
        } else if line.starts_with("MSG ") {
            return payload(&line, &mut lines);
        }
    }
}

/// What follows `MSG subject sid bytes`.
fn payload(line: &str, lines: &mut impl io::Read) -> io::Result<String> {
    let bytes = line.split_whitespace().next_back();
    let bytes = bytes.and_then(|it| it.parse().ok());
    let bytes: u64 = bytes.ok_or(io::ErrorKind::InvalidData)?;
    let mut payload = String::new();
    lines.take(bytes).read_to_string(&mut payload)?;
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_its_line_says() {
        let came = payload("MSG a 1 4\r\n", &mut &b"{\"\"}\r\nPING\r\n"[..]);
        assert_eq!(came.expect("an answer"), "{\"\"}");
        payload("MSG\r\n", &mut &b""[..]).expect_err("no length");
    }

    #[test]
    fn a_server_is_asked_and_tells_clients_where_to_go() {
        if !crate::is_here() {
            return;
        }
        let elsewhere = SocketAddr::from(([127, 0, 0, 1], 4_321));
        let settings = crate::Settings {
            advertise: vec![elsewhere],
            ..crate::Settings::default()
        };
        let servers = crate::Servers::start(&settings).expect("a server");
        let limit = Duration::from_secs(5);
        let answer = servers.ask(0, "$JS.API.INFO", limit).expect("an answer");
        assert!(answer.contains("\"streams\":0"), "{answer}");
        let config = servers.dir().join("n1.conf");
        let config = std::fs::read_to_string(config).expect("its configuration");
        assert!(config.contains(&elsewhere.to_string()), "{config}");
    }
}
