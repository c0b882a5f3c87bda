//! What went wrong with a certificate or a handshake, in words that say what to do.

use rustls::{CertificateError, Error, InvalidMessage};

/// For a log, or for whoever typed the command.
pub(super) fn of(error: &Error) -> String {
    use CertificateError as Bad;
    match error {
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "the certificate is not by this CA".to_owned()
        }
        Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "the certificate has ended: put a new one in its place".to_owned()
        }
        Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "the certificate is not valid yet: look at the clocks".to_owned()
        }
        Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "the certificate is for another host: make one with its name or address \
             (`sns-server cert --host`)"
                .to_owned()
        }
        Error::InvalidCertificate(Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. }) => {
            "the certificate must be for servers and for clients (extended key usage serverAuth and \
             clientAuth)"
                .to_owned()
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "no TLS is spoken there: is it an http:// address?".to_owned()
        }
        Error::AlertReceived(alert) => {
            format!("the other side refused our certificate or our TLS ({alert:?})")
        }
        other => other.to_string(),
    }
}
