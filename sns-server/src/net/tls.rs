//! [`Tls`]: the certificate of this process and the CA by which servers and routers know each other,
//! always as the files have them now.
//!
//! Everything asks for the configuration anew at each connection: so whoever exchanges the files need
//! not restart anything, and connections that are open go on as they are.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, UnixTime};
use sns_core::Clock;
use tokio_rustls::TlsAcceptor;

use crate::failure::{Failure, Result};

mod certificate;
mod dial;
mod files;
mod watch;
mod words;

pub use certificate::Names;
pub use dial::{Dial, deepest};
pub use files::{TlsFiles, roots};

use certificate::Seen;
use files::{Stamp, wrong};

/// A certificate that ends within so many seconds is spoken of.
const ENDS_SOON: i64 = 14 * 24 * 60 * 60;

/// What is spoken inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// gRPC: `h2`.
    Grpc,
    /// Pages: `http/1.1`.
    Http,
}

impl Alpn {
    fn name(self) -> Vec<u8> {
        match self {
            Self::Grpc => b"h2".to_vec(),
            Self::Http => b"http/1.1".to_vec(),
        }
    }
}

/// TLS for the listeners and the outgoing connections of this process. A cheap clone.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: TlsFiles,
    now: RwLock<Arc<Material>>,
    /// As the files were when they were last looked at, good or bad.
    looked_at: Mutex<Stamp>,
}

/// What came of the files.
#[derive(Debug)]
struct Material {
    grpc: Arc<ServerConfig>,
    /// As `grpc`, where servers and routers meet.
    mutual: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    /// With the certificate as its own; `None` without a CA.
    client: Option<Arc<ClientConfig>>,
    seen: Seen,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// `NotFound`, `Denied`: a file cannot be read, or the key is not private. `Invalid`: one holds
    /// something else, they do not belong together, or the certificate has ended.
    pub fn open(files: TlsFiles) -> Result<Self> {
        let stamp = files.stamp();
        let material = Material::read(&files, now())?;
        Ok(Self(Arc::new(Inner {
            files,
            now: RwLock::new(Arc::new(material)),
            looked_at: Mutex::new(stamp),
        })))
    }

    fn material(&self) -> Arc<Material> {
        let now = self.0.now.read();
        now.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes connections that speak `alpn`, with today's certificate. Where it is `mutual` a client is
    /// asked for one: it need not have one, and one that has it must have it from our CA.
    pub fn acceptor(&self, alpn: Alpn, mutual: bool) -> TlsAcceptor {
        let material = self.material();
        TlsAcceptor::from(match alpn {
            Alpn::Grpc if mutual => material.mutual.clone(),
            Alpn::Grpc => material.grpc.clone(),
            Alpn::Http => material.http.clone(),
        })
    }

    /// Where it comes from.
    pub fn files(&self) -> &TlsFiles {
        &self.0.files
    }

    /// Whether servers and routers must show each other a certificate by our CA.
    pub fn is_mutual(&self) -> bool {
        self.0.files.ca.is_some()
    }

    /// Whether today's certificate is for `host`, a name or an address without port.
    pub fn is_for(&self, host: &str) -> bool {
        self.material().seen.names.contains(host)
    }

    /// The serial number of today's certificate in hex.
    pub fn serial(&self) -> String {
        self.material().seen.serial.clone()
    }

    /// When today's certificate ends, in seconds since 1970.
    pub fn ends(&self) -> i64 {
        self.material().seen.not_after
    }

    /// For connections to others of ours; `None` without a CA.
    fn client(&self) -> Option<Arc<ClientConfig>> {
        self.material().client.clone()
    }

    /// Looks at the files, and reads them if they changed. Good ones count from now on; bad ones
    /// change nothing, and the log says so once. May wait for the disk.
    pub fn look(&self) {
        self.look_at(now());
    }

    fn look_at(&self, now: i64) {
        let stamp = self.0.files.stamp();
        {
            let mut before = self
                .0
                .looked_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if std::mem::replace(&mut *before, stamp) == stamp {
                return;
            }
        }
        match Material::read(&self.0.files, now) {
            Ok(material) => {
                let (serial, until) = (material.seen.serial.clone(), date(material.seen.not_after));
                let mut current = self.0.now.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(material);
                drop(current);
                tracing::info!(
                    serial,
                    until,
                    "new TLS files: they count for new connections"
                );
            }
            Err(why) => tracing::error!(
                %why,
                serial = self.serial(),
                "the new TLS files are no good: the old certificate stays in use"
            ),
        }
    }
}

impl Material {
    fn read(files: &TlsFiles, now: i64) -> Result<Self> {
        let chain = files.chain()?;
        let key = files.read_key()?;
        let roots = files.roots()?.map(Arc::new);
        let refused = |why: String| wrong("--tls-cert", &files.cert, why);
        let seen = certificate::inspect(&chain[0]).map_err(refused)?;
        check_dates(files, &seen, now)?;
        let verifier = match &roots {
            Some(roots) => {
                let verifier = verifier(roots, files)?;
                check_issuer(&*verifier, &chain, &seen, files, now)?;
                verifier
            }
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let unfit = |e: rustls::Error| match e {
            rustls::Error::InconsistentKeys(_) => refused(format!(
                "and --tls-key {} do not belong together: give the key that the certificate was \
                 made for",
                files.key.display()
            )),
            e => refused(format!("cannot be used: {e}")),
        };
        let with = |alpn: Alpn, verifier: Arc<dyn ClientCertVerifier>| {
            let builder = ServerConfig::builder_with_provider(provider())
                .with_protocol_versions(VERSIONS)
                .map_err(unfit)?;
            let mut config = builder
                .with_client_cert_verifier(verifier)
                .with_single_cert(chain.clone(), key.clone_key())
                .map_err(unfit)?;
            config.alpn_protocols = vec![alpn.name()];
            Ok::<_, Failure>(Arc::new(config))
        };
        let nobody = WebPkiClientVerifier::no_client_auth;
        let (grpc, http) = (with(Alpn::Grpc, nobody())?, with(Alpn::Http, nobody())?);
        let mutual = with(Alpn::Grpc, verifier)?;
        let client = match roots {
            Some(roots) => {
                let builder = client_builder(roots)?;
                let config = builder.with_client_auth_cert(chain.clone(), key.clone_key());
                Some(h2(config.map_err(unfit)?))
            }
            None => None,
        };
        Ok(Self {
            grpc,
            mutual,
            http,
            client,
            seen,
        })
    }
}

/// Nothing older is spoken.
const VERSIONS: &[&rustls::SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

/// Given wherever it is needed: which one would be the default depends on what else is linked.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn client_builder(
    roots: Arc<RootCertStore>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(|e| Failure::new(sns_core::ErrorKind::Internal, format!("no TLS: {e}")))?;
    Ok(builder.with_root_certificates(roots))
}

fn h2(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![Alpn::Grpc.name()];
    Arc::new(config)
}

fn verifier(roots: &Arc<RootCertStore>, files: &TlsFiles) -> Result<Arc<dyn ClientCertVerifier>> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider());
    let ca = files.ca.as_deref().unwrap_or(&files.cert);
    // Who shows none is let in as a client; who shows one is looked at.
    let built = builder.allow_unauthenticated().build();
    built.map_err(|e| wrong("--tls-ca", ca, format_args!("cannot be used: {e}")))
}

fn check_dates(files: &TlsFiles, seen: &Seen, now: i64) -> Result<()> {
    let cert = files.cert.display();
    if seen.not_after < now {
        return Err(wrong(
            "--tls-cert",
            &files.cert,
            format_args!(
                "ended on {}: make a new one (`sns-server cert --renew` does)",
                date(seen.not_after)
            ),
        ));
    }
    if seen.not_before > now {
        let from = date(seen.not_before);
        tracing::warn!(%cert, from, "the certificate is not valid yet: nobody will trust it");
    } else if seen.not_after.saturating_sub(now) < ENDS_SOON {
        let until = date(seen.not_after);
        tracing::warn!(%cert, until, "the certificate ends soon: put a new one in its place");
    }
    Ok(())
}

/// Others of ours will ask for what is asked here: better to say so now than to be refused later.
fn check_issuer(
    verifier: &dyn ClientCertVerifier,
    chain: &[CertificateDer<'static>],
    seen: &Seen,
    files: &TlsFiles,
    now: i64,
) -> Result<()> {
    let at = u64::try_from(now.max(seen.not_before)).unwrap_or_default();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at));
    let judged = verifier.verify_client_cert(&chain[0], &chain[1..], at);
    judged.map(drop).map_err(|e| {
        let ca = files.ca.as_deref().unwrap_or(&files.cert).display();
        wrong(
            "--tls-cert",
            &files.cert,
            format_args!(
                "would not be trusted by others with --tls-ca {ca}: {}",
                words::of(&e)
            ),
        )
    })
}

fn now() -> i64 {
    i64::try_from(Clock::system().now_ms() / 1_000).unwrap_or(i64::MAX)
}

fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "?".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests;
