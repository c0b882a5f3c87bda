//! A TCP proxy in front of each server: connections that are cut, delayed, stalled or closed on one
//! side while calls are under way.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// What happens on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Bytes pass.
    Clear,
    /// Bytes pass, so much later.
    Slow(Duration),
    /// Nothing passes, and nobody is told.
    Silent,
    /// What the server says is at its end; what the client says goes on.
    HalfClosed,
    /// Both sides are cut off.
    Cut,
}

/// The connections that are open, each with its weather.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wires(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    /// Address of the proxy by address of the server.
    fronts: HashMap<String, String>,
    open: Vec<watch::Sender<Weather>>,
    /// Of connections that are made from now on.
    coming: Weather,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            fronts: HashMap::new(),
            open: Vec::new(),
            coming: Weather::Clear,
        }
    }
}

impl Wires {
    /// The address of the proxy in front of a server; made the first time.
    pub(crate) async fn front(&self, server: &str) -> io::Result<String> {
        if let Some(front) = self.inner(|inner| inner.fronts.get(server).cloned()) {
            return Ok(front);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let front = listener.local_addr()?.to_string();
        let taken = self.inner(|inner| {
            let known = inner.fronts.entry(server.to_owned());
            known.or_insert_with(|| front.clone()).clone()
        });
        if taken == front {
            tokio::spawn(self.clone().accept(listener, server.to_owned()));
        }
        Ok(taken)
    }

    /// Makes the proxy at this listener, in front of a server that is told where it is.
    pub(crate) fn stand_before(&self, listener: TcpListener, server: String) {
        tokio::spawn(self.clone().accept(listener, server));
    }

    /// The server behind a proxy; the address itself when it is none.
    pub(crate) fn behind(&self, front: &str) -> String {
        self.inner(|inner| {
            let known = inner.fronts.iter().find(|(_, it)| *it == front);
            known.map_or(front, |(server, _)| server).to_owned()
        })
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.inner(|inner| {
            inner.open.retain(|wire| !wire.is_closed());
            inner.open.len()
        })
    }

    /// Sets the weather on those open connections that `which` names by their number.
    pub(crate) fn set(&self, weather: Weather, mut which: impl FnMut(usize) -> bool) -> usize {
        self.inner(|inner| {
            inner.open.retain(|wire| !wire.is_closed());
            let chosen = inner.open.iter().enumerate();
            let chosen = chosen.filter(|(number, _)| which(*number));
            chosen
                .filter(|(_, wire)| wire.send(weather).is_ok())
                .count()
        })
    }

    /// Sets the weather on every connection, those that are made from now on among them.
    pub(crate) fn set_all(&self, weather: Weather) {
        self.inner(|inner| inner.coming = weather);
        self.set(weather, |_| true);
    }

    fn inner<T>(&self, with: impl FnOnce(&mut Inner) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn accept(self, listener: TcpListener, server: String) {
        while let Ok((client, _)) = listener.accept().await {
            let (up, down) = self.inner(|inner| {
                let (weather, up) = watch::channel(inner.coming);
                let down = weather.subscribe();
                inner.open.push(weather);
                (up, down)
            });
            let server = server.clone();
            tokio::spawn(async move {
                // A server that is down: the client sees its connection end at once.
                let Ok(server) = TcpStream::connect(server).await else {
                    return;
                };
                drop((client.set_nodelay(true), server.set_nodelay(true)));
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::join!(
                    pump(from_client, to_server, up, false),
                    pump(from_server, to_client, down, true),
                );
            });
        }
    }
}

/// Carries bytes one way until that way is at its end.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    downwards: bool,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let now = *weather.borrow_and_update();
        match now {
            Weather::Cut => return,
            Weather::HalfClosed if downwards => break,
            Weather::Silent => {
                if weather.changed().await.is_err() {
                    return;
                }
                continue;
            }
            _ => {}
        }
        let read = tokio::select! {
            changed = weather.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            read = from.read(&mut bytes) => read,
        };
        let Ok(read @ 1..) = read else { break };
        if let Weather::Slow(by) = now {
            sleep(by).await;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
    drop(to.shutdown().await);
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(100);
    const PATIENCE: Duration = Duration::from_secs(10);

    /// A client and a server with a proxy between them.
    async fn wired(wires: &Wires) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let server = listener.local_addr().expect("address").to_string();
        let front = wires.front(&server).await.expect("a proxy");
        assert_eq!(wires.front(&server).await.expect("the same"), front);
        assert_eq!(wires.behind(&front), server);
        let client = TcpStream::connect(front).await.expect("connect");
        let (stream, _) = listener.accept().await.expect("accept");
        (client, stream)
    }

    async fn passes(from: &mut TcpStream, to: &mut TcpStream) -> bool {
        if from.write_all(b"x").await.is_err() {
            return false;
        }
        let mut byte = [0];
        matches!(timeout(MOMENT, to.read(&mut byte)).await, Ok(Ok(1)))
    }

    /// Waits for the end of what comes; whether it came.
    async fn ends(stream: &mut TcpStream) -> bool {
        let mut rest = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut rest))
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn what_is_silent_speaks_again_and_nothing_is_lost() {
        let wires = Wires::default();
        let (mut client, mut server) = wired(&wires).await;
        assert!(passes(&mut client, &mut server).await);
        assert!(passes(&mut server, &mut client).await);
        assert_eq!(wires.set(Weather::Silent, |_| true), 1);
        assert!(!passes(&mut client, &mut server).await);
        wires.set(Weather::Clear, |_| true);
        let mut byte = [0];
        let came = timeout(PATIENCE, server.read(&mut byte)).await;
        assert_eq!(came.expect("in time").expect("read"), 1);
    }

    #[tokio::test]
    async fn what_is_cut_ends_on_both_sides() {
        let wires = Wires::default();
        let (mut client, mut server) = wired(&wires).await;
        wires.set(Weather::Cut, |_| true);
        assert!(ends(&mut client).await && ends(&mut server).await);
        let (mut client, mut server) = wired(&wires).await;
        assert!(
            passes(&mut client, &mut server).await,
            "the next one is good"
        );
        assert_eq!(wires.open(), 1);
    }

    #[tokio::test]
    async fn whoever_comes_while_all_is_cut_is_cut_off_too() {
        let wires = Wires::default();
        let (mut client, _server) = wired(&wires).await;
        wires.set_all(Weather::Cut);
        assert!(ends(&mut client).await);
        let (mut client, _server) = wired(&wires).await;
        assert!(ends(&mut client).await);
        wires.set_all(Weather::Clear);
        let (mut client, mut server) = wired(&wires).await;
        assert!(passes(&mut client, &mut server).await);
    }

    #[tokio::test]
    async fn what_is_closed_on_one_side_still_carries_the_other() {
        let wires = Wires::default();
        let (mut client, mut server) = wired(&wires).await;
        wires.set(Weather::HalfClosed, |_| true);
        assert!(
            ends(&mut client).await,
            "the server has nothing more to say"
        );
        assert!(passes(&mut client, &mut server).await);
    }
}
