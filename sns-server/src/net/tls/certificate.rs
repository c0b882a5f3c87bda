//! What a certificate says: for whom it is, and for how long.

use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Names in one certificate that count; further ones are left out.
const NAMES: usize = 256;

/// One certificate, as far as it is of interest.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The serial number in hex.
    pub(super) serial: String,
    /// Seconds since 1970.
    pub(super) not_before: i64,
    /// Seconds since 1970.
    pub(super) not_after: i64,
    pub(super) is_ca: bool,
    pub(super) names: Names,
}

/// The machines that a certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// In lower case.
    dns: Vec<String>,
    ips: Vec<IpAddr>,
}

impl Names {
    /// Whether the certificate is for `host`, a name or an address without port.
    pub fn contains(&self, host: &str) -> bool {
        let bare = host
            .strip_prefix('[')
            .map_or(host, |it| it.trim_end_matches(']'));
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return self.ips.contains(&ip);
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.dns.iter().any(|name| match name.strip_prefix("*.") {
            // A star stands for one label, as browsers have it.
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => *name == host,
        })
    }
}

/// Looks into a certificate.
///
/// # Errors
/// It is none, in words.
pub(super) fn inspect(der: &CertificateDer<'_>) -> Result<Seen, String> {
    let (_, found) = X509Certificate::from_der(der).map_err(|e| format!("is damaged: {e}"))?;
    let mut names = Names::default();
    let extension = found.subject_alternative_name();
    let extension = extension.map_err(|e| format!("has names that make no sense: {e}"))?;
    let listed = extension.iter().flat_map(|it| &it.value.general_names);
    for name in listed.take(NAMES) {
        match name {
            GeneralName::DNSName(name) => names.dns.push(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => names.ips.extend(ip(bytes)),
            _ => {}
        }
    }
    Ok(Seen {
        serial: crate::hex::encode(found.raw_serial()),
        not_before: found.validity().not_before.timestamp(),
        not_after: found.validity().not_after.timestamp(),
        is_ca: found.is_ca(),
        names,
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_its_names_and_addresses_only() {
        let names = Names {
            dns: vec!["feed.example".to_owned(), "*.nodes.example".to_owned()],
            ips: vec!["10.0.0.5".parse().unwrap(), "::1".parse().unwrap()],
        };
        for (host, ours) in [
            ("feed.example", true),
            ("FEED.example.", true),
            ("a.nodes.example", true),
            ("10.0.0.5", true),
            ("[::1]", true),
            ("nodes.example", false),
            ("a.b.nodes.example", false),
            ("x.feed.example", false),
            ("10.0.0.6", false),
            ("", false),
        ] {
            assert_eq!(names.contains(host), ours, "{host}");
        }
    }
}
