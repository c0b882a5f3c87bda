//! [`Trust`]: whose certificates are believed, and connections to those who have one.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, ClientConfig, InvalidMessage, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use crate::error::{Error, Reason, Result};

/// How long a stranger may take to say that it speaks TLS.
const TELL: Duration = Duration::from_millis(300);

/// Whose certificates are believed: those of one CA, or those of the system. A cheap clone.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

/// A certificate that is not believed: no other try will change that.
#[derive(Debug)]
struct Distrusted(String);

impl fmt::Display for Distrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Distrusted {}

impl Trust {
    /// Trusts the CA in the PEM file `ca`; without one whom the system trusts.
    ///
    /// # Errors
    /// `Invalid`: the file cannot be read or holds no certificate, or the system has none.
    pub(crate) fn new(ca: Option<&Path>) -> Result<Self> {
        let roots = match ca {
            Some(path) => of_file(path)?,
            None => of_system()?,
        };
        // Given: which provider would be the default depends on what else is linked.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|e| Error::new(Reason::Internal, format!("no TLS: {e}")))?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// A connection to `address`, a `host:port`, whose certificate is for that host; HTTP/2 is spoken
    /// over it.
    ///
    /// # Errors
    /// As the transport has it; the message says what to do about a certificate that is not believed.
    pub async fn connect(&self, address: &str) -> io::Result<TlsStream<TcpStream>> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let uri: Uri = format!("https://{address}")
            .parse()
            .map_err(|_| invalid())?;
        let host = uri.host().ok_or_else(invalid)?;
        let port = uri.port_u16().ok_or_else(invalid)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| invalid())?;
        let tcp = TcpStream::connect((bare, port)).await?;
        tcp.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        connector.connect(name, tcp).await.map_err(in_words)
    }

    /// A channel over such connections, the first of which is opened now.
    ///
    /// # Errors
    /// As the transport has it.
    pub async fn channel(&self, endpoint: Endpoint) -> Result<Channel, tonic::transport::Error> {
        // TLS is ours, below what tonic knows of: to it the connection is plain.
        let mut parts = endpoint.uri().clone().into_parts();
        parts.scheme = Some(http::uri::Scheme::HTTPS);
        let endpoint = match Uri::from_parts(parts) {
            Ok(origin) => endpoint.origin(origin),
            Err(_) => endpoint,
        };
        endpoint
            .connect_with_connector(Connector(self.clone()))
            .await
    }
}

struct Connector(Trust);

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send + 'static>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let trust = self.0.clone();
        Box::pin(async move {
            let address = uri.authority().map_or("", |it| it.as_str());
            Ok(TokioIo::new(trust.connect(address).await?))
        })
    }
}

fn of_file(path: &Path) -> Result<RootCertStore> {
    let wrong = |why: &dyn fmt::Display| {
        let why = format!("--tls-ca {}: {why}", path.display());
        Error::new(Reason::Unspecified, why).into_invalid()
    };
    let pem = std::fs::read(path).map_err(|e| wrong(&e))?;
    let mut roots = RootCertStore::empty();
    for found in CertificateDer::pem_slice_iter(&pem) {
        let found = found.map_err(|e| wrong(&format_args!("damaged PEM: {e}")))?;
        roots.add(found).map_err(|e| wrong(&e))?;
    }
    if roots.is_empty() {
        return Err(wrong(
            &"holds no certificate in PEM: it begins with -----BEGIN CERTIFICATE-----",
        ));
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let why = "the system trusts no CA: give the one of the service with --tls-ca FILE";
        return Err(Error::new(Reason::Unspecified, why).into_invalid());
    }
    Ok(roots)
}

/// The same error, as a person needs it.
fn in_words(error: io::Error) -> io::Error {
    let tls = error
        .get_ref()
        .and_then(|it| it.downcast_ref::<rustls::Error>());
    match tls.and_then(words) {
        Some(words) => io::Error::other(Distrusted(words)),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            io::Error::other("the connection was closed during the TLS handshake")
        }
        None => error,
    }
}

fn words(error: &rustls::Error) -> Option<String> {
    use CertificateError as Bad;
    use rustls::Error as Tls;
    Some(match error {
        Tls::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "the certificate is by nobody that is trusted here: give the CA of the service with \
             --tls-ca FILE (SNS_TLS_CA)"
                .to_owned()
        }
        Tls::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "the certificate has ended: tell the operator, or look at the clock here".to_owned()
        }
        Tls::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "the certificate is not valid yet: look at the clock here".to_owned()
        }
        Tls::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "the certificate is for another host: use the name that is in it".to_owned()
        }
        Tls::InvalidCertificate(other) => format!("the certificate is not believed: {other}"),
        Tls::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "no TLS is spoken there: use http:// if that is what you want".to_owned()
        }
        _ => return None,
    })
}

/// Whether a failed connection is one that no other try will mend.
pub(crate) fn is_final(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        let inner = io.and_then(io::Error::get_ref);
        if inner
            .and_then(|inner| inner.downcast_ref::<Distrusted>())
            .is_some()
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// Whether TLS is spoken at `address`, which does not answer to anything else. A greeting that makes
/// no sense is answered with an alert by those who speak it, and by nobody else.
pub(crate) async fn speaks_tls(address: &str) -> bool {
    const NONSENSE: [u8; 9] = [0x16, 3, 1, 0, 4, 1, 0, 0, 0];
    const ALERT: u8 = 0x15;
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(&NONSENSE).await.ok()?;
        stream.read_u8().await.ok()
    };
    let first = tokio::time::timeout(TELL, asked).await;
    matches!(first, Ok(Some(ALERT)))
}
