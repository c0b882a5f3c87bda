//! [`Dial`]: connections to others of ours, with TLS or without.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Error};
use tower_service::Service;

use super::{Tls, client_builder, h2, roots, words};
use crate::failure::Result;

/// How this process connects to others of ours. A cheap clone.
#[derive(Clone, Debug, Default)]
pub enum Dial {
    /// Without TLS.
    #[default]
    Plain,
    /// Whoever has a certificate by this CA is trusted; we show none.
    Trusting(Arc<ClientConfig>),
    /// Both sides show one.
    Mutual(Tls),
}

impl Dial {
    /// As a server does: with TLS both sides show a certificate.
    pub fn mutual(tls: Option<&Tls>) -> Self {
        match tls {
            Some(tls) if tls.is_mutual() => Self::Mutual(tls.clone()),
            _ => Self::Plain,
        }
    }

    /// As one that only looks does: it trusts the CA in `path`.
    ///
    /// # Errors
    /// As [`roots`].
    pub fn trusting(path: &Path) -> Result<Self> {
        let builder = client_builder(Arc::new(roots(path)?))?;
        Ok(Self::Trusting(h2(builder.with_no_client_auth())))
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Plain => "http",
            _ => "https",
        }
    }

    /// What leads to `address`, a `host:port`.
    ///
    /// # Errors
    /// It is no address.
    pub fn endpoint(&self, address: &str) -> std::result::Result<Endpoint, Error> {
        // TLS is ours, below what tonic knows of: to it all connections are plain.
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        let origin = format!("{}://{address}", self.scheme()).parse();
        Ok(match origin {
            Ok(origin) => endpoint.origin(origin),
            Err(_) => endpoint,
        })
    }

    /// Connects now.
    ///
    /// # Errors
    /// As the transport has it; [`deepest`] has the words.
    pub async fn connect(&self, endpoint: &Endpoint) -> std::result::Result<Channel, Error> {
        match self {
            Self::Plain => endpoint.connect().await,
            _ => {
                endpoint
                    .connect_with_connector(Connector(self.clone()))
                    .await
            }
        }
    }

    /// Connects with the first call, and again whenever the connection was lost.
    pub fn connect_lazy(&self, endpoint: &Endpoint) -> Channel {
        match self {
            Self::Plain => endpoint.connect_lazy(),
            _ => endpoint.connect_with_connector_lazy(Connector(self.clone())),
        }
    }

    /// Today's configuration.
    fn config(&self) -> Option<Arc<ClientConfig>> {
        match self {
            Self::Plain => None,
            Self::Trusting(config) => Some(config.clone()),
            Self::Mutual(tls) => tls.client(),
        }
    }
}

/// Opens a connection with the newest files.
struct Connector(Dial);

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Self::Response>> + Send + 'static>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let config = self.0.config();
        Box::pin(async move {
            let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
            let config = config.ok_or_else(invalid)?;
            let host = uri.host().ok_or_else(invalid)?;
            let port = uri.port_u16().unwrap_or(443);
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(bare.to_owned()).map_err(|_| invalid())?;
            let tcp = TcpStream::connect((bare, port)).await?;
            tcp.set_nodelay(true)?;
            let connected = TlsConnector::from(config).connect(name, tcp).await;
            Ok(TokioIo::new(connected.map_err(in_words)?))
        })
    }
}

/// The same error, as a person needs it.
fn in_words(error: std::io::Error) -> std::io::Error {
    let tls = error
        .get_ref()
        .and_then(|it| it.downcast_ref::<rustls::Error>());
    match tls {
        Some(tls) => std::io::Error::other(words::of(tls)),
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            std::io::Error::other("the connection was closed during the TLS handshake")
        }
        None => error,
    }
}

/// The shortest true word for a failed connection: the last of the chain names the cause.
pub fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
