//! The files that TLS is made from, read and checked: every mistake in them is told with what to do.

use std::ffi::OsString;
use std::fmt::Display;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use sns_core::ErrorKind;

use super::certificate;
use crate::failure::{Failure, Result};

/// No PEM file of a certificate is longer.
const FILE_BYTES: u64 = 1024 * 1024;

/// Where the certificate of a process is, and the CA by which servers and routers know each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFiles {
    /// The certificate, followed by what links it to its CA, if that is not there itself.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Certificates of the CA.
    pub ca: Option<PathBuf>,
}

impl TlsFiles {
    /// The files with absolute names: children may run elsewhere.
    ///
    /// # Errors
    /// `Invalid`: a name is empty.
    pub fn absolute(cert: &Path, key: &Path, ca: Option<&Path>) -> Result<Self> {
        let full = |path: &Path| {
            std::path::absolute(path)
                .map_err(|e| Failure::invalid(format!("{}: {e}", path.display())))
        };
        Ok(Self {
            cert: full(cert)?,
            key: full(key)?,
            ca: ca.map(full).transpose()?,
        })
    }

    /// As flags of a child.
    pub fn args(&self) -> Vec<OsString> {
        let mut args = vec![
            "--tls-cert".into(),
            self.cert.clone().into(),
            "--tls-key".into(),
            self.key.clone().into(),
        ];
        if let Some(ca) = &self.ca {
            args.extend(["--tls-ca".into(), ca.clone().into()]);
        }
        args
    }

    /// What changes when one of the files does.
    pub(super) fn stamp(&self) -> Stamp {
        let files = [Some(&self.cert), Some(&self.key), self.ca.as_ref()];
        files.map(|path| {
            // Following links: certificates are often exchanged by turning one.
            let meta = std::fs::metadata(path?).ok()?;
            Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
        })
    }

    /// Reads the certificates of this process.
    pub(super) fn chain(&self) -> Result<Vec<CertificateDer<'static>>> {
        certificates("--tls-cert", &self.cert)
    }

    /// Reads the key, which nobody else may be able to read.
    pub(super) fn read_key(&self) -> Result<PrivateKeyDer<'static>> {
        let (flag, path) = ("--tls-key", &self.key);
        let bytes = read(flag, path)?;
        let meta = std::fs::metadata(path).map_err(|e| cannot_read(flag, path, &e))?;
        if meta.mode() & 0o077 != 0 {
            return Err(Failure::new(
                ErrorKind::Denied,
                format!(
                    "{flag} {} may be used by others than its owner (mode {:o}): make it private \
                     with chmod 600",
                    path.display(),
                    meta.mode() & 0o777
                ),
            ));
        }
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| {
            wrong(
                flag,
                path,
                format_args!(
                    "holds no key in PEM ({e}): it begins with -----BEGIN PRIVATE KEY-----"
                ),
            )
        })
    }

    /// Reads the CA; `None`: there is none.
    pub(super) fn roots(&self) -> Result<Option<RootCertStore>> {
        self.ca.as_deref().map(roots).transpose()
    }
}

/// Inode, length and time of each file; `None` where there is none.
pub(super) type Stamp = [Option<(u64, u64, i64, i64)>; 3];

/// Reads the certificates of a CA.
///
/// # Errors
/// `NotFound`, `Denied`: the file cannot be read. `Invalid`: it holds no certificate of a CA.
pub fn roots(path: &Path) -> Result<RootCertStore> {
    let flag = "--tls-ca";
    let mut roots = RootCertStore::empty();
    for der in certificates(flag, path)? {
        let seen = certificate::inspect(&der).map_err(|why| wrong(flag, path, why))?;
        if !seen.is_ca {
            let why = format_args!(
                "is no certificate of a CA: give the CA's own certificate, by which the others were \
                 signed (`sns-server cert` calls it ca.pem)"
            );
            return Err(wrong(flag, path, why));
        }
        roots.add(der).map_err(|e| wrong(flag, path, e))?;
    }
    Ok(roots)
}

fn certificates(flag: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(flag, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|e| wrong(flag, path, format_args!("is damaged PEM: {e}")))?;
    if found.is_empty() {
        let why = "holds no certificate in PEM: it begins with -----BEGIN CERTIFICATE-----";
        return Err(wrong(flag, path, why));
    }
    Ok(found)
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>> {
    let cannot = |e| cannot_read(flag, path, &e);
    let meta = std::fs::metadata(path).map_err(cannot)?;
    if !meta.is_file() || meta.len() > FILE_BYTES {
        return Err(wrong(flag, path, "is no PEM file"));
    }
    std::fs::read(path).map_err(cannot)
}

fn cannot_read(flag: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(format!("cannot read {flag} {}", path.display()), error)
}

pub(super) fn wrong(flag: &str, path: &Path, why: impl Display) -> Failure {
    Failure::invalid(format!("{flag} {} {why}", path.display()))
}
