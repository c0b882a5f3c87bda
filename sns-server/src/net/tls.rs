//! The certificate of this process, as the accept layer needs it.

use std::sync::Arc;

use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

/// What is spoken inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// gRPC: `h2`.
    Grpc,
    /// Pages: `http/1.1`.
    Http,
}

/// TLS for the listeners of this process. A cheap clone.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
}

impl Tls {
    /// With this configuration; its ALPN names are replaced.
    pub fn new(config: ServerConfig) -> Self {
        Self {
            config: Arc::new(config),
        }
    }

    /// Takes connections that speak `alpn`.
    pub fn acceptor(&self, alpn: Alpn) -> TlsAcceptor {
        let mut config = (*self.config).clone();
        let name: &[u8] = match alpn {
            Alpn::Grpc => b"h2",
            Alpn::Http => b"http/1.1",
        };
        config.alpn_protocols = vec![name.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}
