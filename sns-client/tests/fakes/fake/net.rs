//! [`Wire`]: a stretch of network between clients and one server, which freezes and breaks.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Clients connect to its address; what they say goes to a server behind it.
pub(crate) struct Wire {
    address: SocketAddr,
    behind: SocketAddr,
    frozen: watch::Sender<bool>,
    running: Option<JoinHandle<()>>,
}

impl Wire {
    pub(crate) async fn to(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut wire = Self {
            address: listener.local_addr().expect("bound"),
            behind,
            frozen: watch::channel(false).0,
            running: None,
        };
        wire.run(listener);
        wire
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    fn run(&mut self, listener: TcpListener) {
        let (behind, frozen) = (self.behind, self.frozen.subscribe());
        self.running = Some(tokio::spawn(async move {
            // Dropped with this task, and every connection with it.
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(connect(near, behind, frozen.clone()));
            }
        }));
    }

    /// As a process that is killed: connections break, new ones are refused.
    pub(crate) async fn cut(&mut self) {
        if let Some(task) = self.running.take() {
            task.abort();
            drop(task.await);
        }
    }

    /// As a process that is started again at its old address.
    pub(crate) async fn mend(&mut self) {
        let listener = TcpListener::bind(self.address).await;
        self.run(listener.expect("the old port"));
    }

    /// As a process that is stopped (SIGSTOP): connections stand, new ones come about, and no byte
    /// moves.
    pub(crate) fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    pub(crate) fn thaw(&self) {
        self.frozen.send_replace(false);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(task) = self.running.take() {
            task.abort();
        }
    }
}

async fn connect(near: TcpStream, behind: SocketAddr, frozen: watch::Receiver<bool>) {
    let Ok(far) = TcpStream::connect(behind).await else {
        return;
    };
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        () = pump(near_in, far_out, frozen.clone()) => {}
        () = pump(far_in, near_out, frozen) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut frozen: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let Ok(read) = from.read(&mut bytes).await else {
            return;
        };
        if frozen.wait_for(|frozen| !frozen).await.is_err() || read == 0 {
            return;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
