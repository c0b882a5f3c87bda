//! `cert`: a CA for development and small installations, and certificates by it.
//!
//! The key of the CA lies beside the certificates: whoever has it can make a server that all others
//! trust. Larger installations have a CA of their own, and give its files to the same flags.

use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use sns_core::{Clock, ErrorKind};

use crate::config::CertConfig;
use crate::failure::{Failure, Result};
use crate::output;
use crate::telemetry::escaped;

/// A day.
const DAY: u64 = 24 * 60 * 60;

/// How long a CA is good for: certificates by it end earlier.
const CA_DAYS: u64 = 3_650;

/// Clocks that are a little behind shall trust it too.
const BEFORE: u64 = 60 * 60;

/// Where every machine finds itself.
const ALWAYS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Makes what is missing; with `renew` also a new certificate in the place of the old one.
///
/// # Errors
/// `Conflict`: there is a certificate already, and nobody asked for a new one. `Invalid`: a name is
/// none, or the CA there is damaged. Else as the file system refuses.
pub fn run(config: &CertConfig) -> Result<()> {
    let files = Files::within(&config.out)?;
    make_dir(&files.dir)?;
    let there = files.cert.exists() || files.key.exists();
    if there && !config.renew {
        return Err(Failure::new(
            ErrorKind::Conflict,
            format!(
                "{} is there already: --renew puts a new certificate by the same CA in its place, \
                 also under running servers",
                files.cert.display()
            ),
        ));
    }
    let (ca, made) = authority(&files)?;
    let (cert, key) = server(&ca, config)?;
    replace(&files.key, key.serialize_pem().as_bytes(), 0o600)?;
    replace(&files.cert, cert.pem().as_bytes(), 0o644)?;
    tell(&files, config, made);
    Ok(())
}

struct Files {
    dir: PathBuf,
    ca: PathBuf,
    ca_key: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn within(dir: &Path) -> Result<Self> {
        let dir = std::path::absolute(dir)
            .map_err(|e| Failure::invalid(format!("--out {}: {e}", dir.display())))?;
        Ok(Self {
            ca: dir.join("ca.pem"),
            ca_key: dir.join("ca.key"),
            cert: dir.join("server.pem"),
            key: dir.join("server.key"),
            dir,
        })
    }
}

fn make_dir(dir: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| Failure::io(format!("cannot make {}", dir.display()), &e))
}

/// The CA that is there, or a new one; whether it is new.
fn authority(files: &Files) -> Result<(Issuer<'static, KeyPair>, bool)> {
    match (files.ca.exists(), files.ca_key.exists()) {
        (true, true) => {
            let damaged = |what: &Path, e: rcgen::Error| {
                Failure::invalid(format!("{} holds no CA of this kind: {e}", what.display()))
            };
            let key = KeyPair::from_pem(&read(&files.ca_key)?);
            let key = key.map_err(|e| damaged(&files.ca_key, e))?;
            let issuer = Issuer::from_ca_cert_pem(&read(&files.ca)?, key);
            Ok((issuer.map_err(|e| damaged(&files.ca, e))?, false))
        }
        (false, false) => {
            let key = key()?;
            let params = authority_params()?;
            let cert = params.self_signed(&key).map_err(|e| broken(&e))?;
            replace(&files.ca_key, key.serialize_pem().as_bytes(), 0o600)?;
            replace(&files.ca, cert.pem().as_bytes(), 0o644)?;
            Ok((Issuer::new(params, key), true))
        }
        (here, _) => {
            let (here, missing) = if here {
                (&files.ca, &files.ca_key)
            } else {
                (&files.ca_key, &files.ca)
            };
            Err(Failure::invalid(format!(
                "{} is there without {}: bring it back, or begin anew in an empty directory",
                here.display(),
                missing.display()
            )))
        }
    }
}

fn authority_params() -> Result<CertificateParams> {
    let mut params = params(Vec::new(), "SNS development CA", CA_DAYS)?;
    // It signs certificates of servers, and no further CA does.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn server(ca: &Issuer<'_, KeyPair>, config: &CertConfig) -> Result<(Certificate, KeyPair)> {
    let mut names: Vec<SanType> = Vec::new();
    for host in ALWAYS
        .into_iter()
        .chain(config.hosts.iter().map(String::as_str))
    {
        let name = name(host)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut params = params(names, "SNS server", config.days)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // To clients it is a server, to routers and partners also a client.
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    let key = key()?;
    let cert = params.signed_by(&key, ca).map_err(|e| broken(&e))?;
    Ok((cert, key))
}

fn name(host: &str) -> Result<SanType> {
    let bare = host
        .strip_prefix('[')
        .map_or(host, |it| it.trim_end_matches(']'));
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    let label = |label: &str| {
        let fits = (1..=63).contains(&label.len());
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        fits && label.bytes().all(allowed) && !label.starts_with('-') && !label.ends_with('-')
    };
    let plain = host.strip_prefix("*.").unwrap_or(host);
    let fine = host.len() <= 253 && plain.split('.').all(label);
    let parsed = fine
        .then(|| host.to_ascii_lowercase().try_into().ok())
        .flatten();
    parsed.map(SanType::DnsName).ok_or_else(|| {
        Failure::invalid(format!(
            "--host {host:?} is neither a name nor an address of a machine: give it without scheme \
             and port, as in feed.example or 192.0.2.1"
        ))
    })
}

fn params(names: Vec<SanType>, title: &str, days: u64) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).map_err(|e| broken(&e))?;
    params.subject_alt_names = names;
    params.distinguished_name.push(DnType::CommonName, title);
    let now = Clock::system().now_ms() / 1_000;
    let at = |seconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params.not_before = at(now.saturating_sub(BEFORE));
    params.not_after = at(now.saturating_add(days.saturating_mul(DAY)));
    Ok(params)
}

fn key() -> Result<KeyPair> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|e| broken(&e))
}

fn broken(error: &rcgen::Error) -> Failure {
    Failure::new(
        ErrorKind::Internal,
        format!("cannot make a certificate: {error}"),
    )
}

fn read(path: &Path) -> Result<String> {
    let read = std::fs::read_to_string(path);
    read.map_err(|e| Failure::io(format!("cannot read {}", path.display()), &e))
}

/// Whole or not at all: a server may read it at this moment. Others never see a key that is not
/// private yet.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let refused = |e: std::io::Error| Failure::io(format!("cannot write {}", path.display()), &e);
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(std::fs::Permissions::from_mode(mode))
        .tempfile_in(dir)
        .map_err(refused)?;
    file.write_all(bytes).map_err(refused)?;
    file.as_file().sync_all().map_err(refused)?;
    file.persist(path).map_err(|e| refused(e.error))?;
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(refused)
}

fn tell(files: &Files, config: &CertConfig, made: bool) {
    let path = |path: &Path| escaped(&path.display().to_string());
    let mut names: Vec<&str> = ALWAYS.to_vec();
    for host in &config.hosts {
        if !names.contains(&host.as_str()) {
            names.push(host);
        }
    }
    let kept = if made {
        "a new CA"
    } else {
        "the CA that was there"
    };
    let flags = format!(
        "--tls-cert {} --tls-key {} --tls-ca {}",
        path(&files.cert),
        path(&files.key),
        path(&files.ca)
    );
    let mut lines = vec![format!(
        "a certificate by {kept}, for {}, good for {} days: {}",
        escaped(&names.join(", ")),
        config.days,
        path(&files.cert)
    )];
    if config.renew {
        lines.push("running servers take it within seconds, or at once on SIGHUP".to_owned());
    } else {
        lines.push(format!("next, servers: sns-server up {flags}"));
        lines.push(format!(
            "clients:       sns -u alice --router https://127.0.0.1:7400 --tls-ca {}",
            path(&files.ca)
        ));
        lines.push(format!(
            "browsers:      import {} as an authority",
            path(&files.ca)
        ));
    }
    lines.push(format!(
        "keep {} to yourself: who has it can make servers that all others trust",
        path(&files.ca_key)
    ));
    for line in lines {
        output::message(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::{Tls, TlsFiles};

    fn config(out: &Path) -> CertConfig {
        CertConfig {
            out: out.to_owned(),
            hosts: vec!["feed.example".to_owned(), "192.0.2.7".to_owned()],
            days: 30,
            renew: false,
        }
    }

    #[test]
    fn the_files_are_as_the_servers_want_them_and_nothing_is_overwritten_silently() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("certs");
        let config = config(&out);
        run(&config).unwrap();
        let at = |name: &str| out.join(name);
        for (name, mode) in [
            ("ca.pem", 0o644),
            ("ca.key", 0o600),
            ("server.pem", 0o644),
            ("server.key", 0o600),
        ] {
            let meta = std::fs::metadata(at(name)).unwrap();
            assert_eq!(meta.permissions().mode() & 0o777, mode, "{name}");
        }
        let files = TlsFiles {
            cert: at("server.pem"),
            key: at("server.key"),
            ca: Some(at("ca.pem")),
        };
        let tls = Tls::open(files.clone()).unwrap();
        for host in ["localhost", "127.0.0.1", "::1", "feed.example", "192.0.2.7"] {
            assert!(tls.is_for(host), "{host}");
        }
        assert!(!tls.is_for("other.example"));

        let ca = std::fs::read(at("ca.pem")).unwrap();
        assert_eq!(run(&config).unwrap_err().kind, ErrorKind::Conflict);
        let again = CertConfig {
            renew: true,
            ..config
        };
        run(&again).unwrap();
        assert_eq!(std::fs::read(at("ca.pem")).unwrap(), ca);
        assert_ne!(Tls::open(files).unwrap().serial(), tls.serial());
        std::fs::remove_file(at("ca.key")).unwrap();
        assert_eq!(run(&again).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn only_names_and_addresses_of_machines_are_taken() {
        for (host, fine) in [
            ("feed.example", true),
            ("*.feed.example", true),
            ("10.0.0.1", true),
            ("[::1]", true),
            ("", false),
            ("https://feed.example", false),
            ("feed.example:7400", false),
            ("a b", false),
            ("-a.example", false),
            ("a..b", false),
        ] {
            assert_eq!(name(host).is_ok(), fine, "{host}");
        }
    }
}
