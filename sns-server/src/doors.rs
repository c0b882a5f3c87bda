//! [`Doors`]: what stands between this process and strangers, and the rules of where it may listen
//! with that.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args as Group;

use crate::args::AuthMode;
use crate::failure::{Failure, Result};
use crate::net::tls::{Tls, TlsFiles};

/// TLS as it is typed.
#[derive(Clone, Debug, Default, Group)]
#[command(next_help_heading = "Who may get in")]
pub struct DoorArgs {
    /// The certificate of this process: a PEM file with the chain. Turns TLS on.
    #[arg(long, value_name = "FILE", env = "SNS_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The key of that certificate: a PEM file that only its owner can read.
    #[arg(long, value_name = "FILE", env = "SNS_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// The CA by which servers and routers know each other: whoever has a certificate by it counts
    /// as one of them.
    #[arg(long, value_name = "FILE", env = "SNS_TLS_CA", requires = "tls_cert")]
    pub tls_ca: Option<PathBuf>,
    /// Listen where other machines can connect although what is said can be read and changed on the
    /// way.
    #[arg(long, env = "SNS_INSECURE")]
    pub insecure: bool,
}

/// The same, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doors {
    /// Where the certificate is; `None`: no TLS.
    pub tls: Option<TlsFiles>,
    /// The operator knows that strangers can listen in.
    pub insecure: bool,
}

impl Doors {
    /// Checks what was typed; the files are read by [`Doors::open`].
    ///
    /// # Errors
    /// `Invalid`: a file has no name.
    pub fn check(typed: &DoorArgs) -> Result<Self> {
        let tls = match (&typed.tls_cert, &typed.tls_key) {
            (Some(cert), Some(key)) => {
                Some(TlsFiles::absolute(cert, key, typed.tls_ca.as_deref())?)
            }
            _ => None,
        };
        Ok(Self {
            tls,
            insecure: typed.insecure,
        })
    }

    /// The same for a process that speaks to others of ours: TLS is of no use to it without their CA.
    ///
    /// # Errors
    /// `Invalid`: it is missing, or as [`Doors::check`].
    pub fn check_mutual(typed: &DoorArgs) -> Result<Self> {
        let doors = Self::check(typed)?;
        match &doors.tls {
            Some(TlsFiles { ca: None, .. }) => Err(Failure::invalid(
                "--tls-cert needs --tls-ca here: the CA by which servers and routers know each other \
                 (`sns-server cert` makes one)",
            )),
            _ => Ok(doors),
        }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// As [`Tls::open`].
    pub fn open(&self) -> Result<Option<Tls>> {
        self.tls.clone().map(Tls::open).transpose()
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// As flags of a child.
    pub fn args(&self) -> Vec<OsString> {
        let mut args = self.tls.as_ref().map(TlsFiles::args).unwrap_or_default();
        if self.insecure {
            args.push("--insecure".into());
        }
        args
    }
}

/// The one rule: what other machines can reach is behind TLS, or the operator said that it need not be.
///
/// # Errors
/// `Invalid`: it is not.
pub fn exposed(flag: &str, address: SocketAddr, doors: &Doors) -> Result<SocketAddr> {
    if address.ip().is_loopback() || doors.tls.is_some() || doors.insecure {
        return Ok(address);
    }
    Err(Failure::invalid(format!(
        "{flag} {address} can be reached from other machines, and all of them could listen in: give \
         --tls-cert, --tls-key and --tls-ca (`sns-server cert` makes them), or stay on loopback, as in \
         127.0.0.1:{}; --insecure does without",
        address.port()
    )))
}

/// A false server would be given to clients, and collect what they say: a router that others can
/// reach has to know its own.
///
/// # Errors
/// `Invalid`: it has no way to.
pub fn believes_servers(listen: SocketAddr, key: bool, doors: &Doors) -> Result<()> {
    let mutual = doors.tls.as_ref().is_some_and(|tls| tls.ca.is_some());
    if listen.ip().is_loopback() || key || mutual || doors.insecure {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "--listen {listen} can be reached from other machines, and any of them could announce a false \
         server: give --announce-key, a copy of DATA/announce.key, or --tls-ca"
    )))
}

/// As typed; where all listen on loopback, names without passwords are the default, and where others
/// can reach them they are refused.
///
/// # Errors
/// `Invalid`: names without passwords where others can reach them.
pub fn auth_mode(
    typed: Option<AuthMode>,
    listen: &[SocketAddr],
    doors: &Doors,
) -> Result<AuthMode> {
    let exposed = listen.iter().find(|address| !address.ip().is_loopback());
    match (typed, exposed) {
        (None, None) => Ok(AuthMode::Open),
        (None, Some(_)) => Ok(AuthMode::Accounts),
        (Some(AuthMode::Open), Some(address)) if !doors.insecure => Err(Failure::invalid(format!(
            "--auth open on {address}: whoever reaches it could take any name; use --auth accounts, \
             or --insecure if that is what you want"
        ))),
        (Some(typed), _) => Ok(typed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_reach_is_behind_tls_or_said_to_be_insecure() {
        let open = Doors::default();
        let insecure = Doors {
            insecure: true,
            ..Doors::default()
        };
        let tls = Doors {
            tls: Some(TlsFiles {
                cert: "c".into(),
                key: "k".into(),
                ca: None,
            }),
            insecure: false,
        };
        for (address, doors, fine) in [
            ("127.0.0.1:1", &open, true),
            ("[::1]:1", &open, true),
            ("192.0.2.1:1", &open, false),
            ("0.0.0.0:1", &open, false),
            ("0.0.0.0:1", &insecure, true),
            ("192.0.2.1:1", &tls, true),
        ] {
            let allowed = exposed("--listen", address.parse().unwrap(), doors);
            assert_eq!(allowed.is_ok(), fine, "{address} {doors:?}");
            if let Err(refused) = allowed {
                assert_eq!(refused.exit_code(), 2);
                for word in ["--tls-cert", "--insecure", "loopback"] {
                    assert!(refused.message.contains(word), "{refused}");
                }
            }
        }
    }

    #[test]
    fn children_are_given_the_same() {
        let typed = DoorArgs {
            tls_cert: Some("/x/c.pem".into()),
            tls_key: Some("/x/k.pem".into()),
            tls_ca: Some("/x/ca.pem".into()),
            insecure: true,
        };
        let doors = Doors::check_mutual(&typed).unwrap();
        let args = doors.args();
        let expected = [
            "--tls-cert",
            "/x/c.pem",
            "--tls-key",
            "/x/k.pem",
            "--tls-ca",
            "/x/ca.pem",
            "--insecure",
        ];
        assert_eq!(args, expected.map(OsString::from));
        let lonely = DoorArgs {
            tls_ca: None,
            ..typed
        };
        assert_eq!(Doors::check_mutual(&lonely).unwrap_err().exit_code(), 2);
        assert!(Doors::check(&lonely).is_ok());
    }
}
