//! [`Options`]: where the routers are, who the caller is, how long a call may take.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use crate::client::Client;
use crate::error::{Error, Reason, Result};
use crate::trust::Trust;

/// Where a router listens unless told otherwise.
pub const DEFAULT_ROUTER: &str = "127.0.0.1:7400";
/// The port of a router address that names none.
const DEFAULT_PORT: u16 = 7400;
/// Routers beyond these are a mistake: each is asked at each failover.
const ROUTERS_MAX: usize = 16;

/// How to connect: the user, the routers, the time a call may take.
///
/// ```no_run
/// # async fn example() -> sns_client::Result<()> {
/// use std::time::Duration;
/// use sns_client::Options;
///
/// let alice = Options::new("alice")
///     .routers(["127.0.0.1:7400", "http://127.0.0.1:7500"])
///     .deadline(Duration::from_secs(5))
///     .connect()
///     .await?;
/// # let _ = alice; Ok(()) }
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) token: Option<String>,
    routers: Vec<String>,
    tls_ca: Option<PathBuf>,
    pub(crate) deadline: Duration,
    pub(crate) try_limit: Duration,
    pub(crate) hedge_after: Duration,
}

impl Options {
    /// For this user, through the router at [`DEFAULT_ROUTER`].
    ///
    /// The name is checked by the server when [`connect`](Self::connect) logs in: ASCII letters,
    /// digits and `_`, at most 32; capitals count as small letters.
    pub fn new(user: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: None,
            token: None,
            routers: vec![DEFAULT_ROUTER.to_owned()],
            tls_ca: None,
            deadline: Duration::from_secs(10),
            try_limit: Duration::from_secs(1),
            hedge_after: Duration::from_millis(250),
        }
    }

    /// The same for another user.
    #[must_use]
    pub fn named(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// The password of the name, where names have one. It is kept in memory to log in again when a
    /// token ends; [`Options::token`] does without.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// A token instead of a login, as [`accounts::log_in`](crate::accounts::log_in) or the operator
    /// gave it. It goes to the servers that the routers name, and nowhere else.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The routers, as `host:port`, `http://host:port` or `https://host:port` (without a port: 7400);
    /// 1 to 16. All know the same servers, and any one of them will do: those that are dead are passed
    /// over. With `https` everything goes over TLS, the servers that they name too; either all routers
    /// are so or none is.
    #[must_use]
    pub fn routers<I>(mut self, routers: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.routers = routers.into_iter().map(Into::into).collect();
        self
    }

    /// The CA, in a PEM file, by which the certificates of routers and servers must be; without it
    /// those that the system trusts. Of use with `https` routers only.
    #[must_use]
    pub fn tls_ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.tls_ca = Some(file.into());
        self
    }

    /// How long a call may take in all, tries and waits included; 10 s unless set.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long one server may take before the call goes on to another; 1 s unless set. A call
    /// that got no answer from two servers gives the next ones longer.
    #[must_use]
    pub fn try_limit(mut self, limit: Duration) -> Self {
        self.try_limit = limit;
        self
    }

    /// How long a *read* waits for one server before a second one is asked too and the first
    /// answer taken; 250 ms unless set.
    #[must_use]
    pub fn hedge_after(mut self, wait: Duration) -> Self {
        self.hedge_after = wait;
        self
    }

    /// Asks a router for servers, logs in and returns the handle, as [`Client::connect`].
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect(self) -> Result<Client> {
        Client::connect(self).await
    }

    /// The routers as `host:port`, checked.
    pub(crate) fn checked_routers(&self) -> Result<Vec<String>> {
        if !(1..=ROUTERS_MAX).contains(&self.routers.len()) {
            return Err(Error::new(
                Reason::Unspecified,
                format!(
                    "{} routers given: 1 to {ROUTERS_MAX} will do",
                    self.routers.len()
                ),
            )
            .into_invalid());
        }
        let found = self.routers.iter().map(|text| Ok(router(text)?.1));
        found.collect()
    }

    /// Whose certificates are believed; `None`: TLS is not asked for. Reads the CA.
    ///
    /// # Errors
    /// `Invalid`: a router is none, some speak TLS and some do not, or there is no CA to trust.
    pub fn trust(&self) -> Result<Option<Trust>> {
        let mut tls = 0;
        for text in &self.routers {
            tls += usize::from(router(text)?.0);
        }
        if tls != 0 && tls < self.routers.len() {
            let why = "either all routers are https:// or none is: what one of them keeps secret the \
                       others would tell";
            return Err(Error::new(Reason::Unspecified, why).into_invalid());
        }
        if tls == 0 {
            return Ok(None);
        }
        Trust::new(self.tls_ca.as_deref()).map(Some)
    }
}

/// Whether a router speaks TLS, and its `host:port`; given with or without scheme and port.
fn router(text: &str) -> Result<(bool, String)> {
    let wrong = |why: &str| {
        Error::new(
            Reason::Unspecified,
            format!("{text:?} is no router address ({why}): write HOST:PORT, http://HOST:PORT or https://HOST:PORT"),
        )
        .into_invalid()
    };
    let text = text.trim();
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let uri: Uri = full.parse().map_err(|_| wrong("it does not parse"))?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong("unknown scheme")),
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("a path is of no use"));
    }
    let authority = uri.authority().ok_or_else(|| wrong("no host"))?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(wrong("no plain host"));
    }
    // `port_u16` has no word for a port that is none.
    let port = match authority.as_str().strip_prefix(authority.host()) {
        None | Some("") => DEFAULT_PORT,
        Some(rest) => {
            let port = rest.strip_prefix(':').and_then(|port| port.parse().ok());
            port.ok_or_else(|| wrong("no such port"))?
        }
    };
    Ok((tls, format!("{}:{port}", authority.host())))
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("user", &self.user)
            .field("routers", &self.routers)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn router_addresses_come_with_and_without_scheme_and_port() {
        for (text, address) in [
            ("127.0.0.1:7400", "127.0.0.1:7400"),
            ("http://127.0.0.1:7401", "127.0.0.1:7401"),
            ("http://127.0.0.1:7401/", "127.0.0.1:7401"),
            (" localhost ", "localhost:7400"),
            ("http://feed.example", "feed.example:7400"),
            ("https://feed.example", "feed.example:7400"),
            ("[::1]:7400", "[::1]:7400"),
            ("http://[::1]", "[::1]:7400"),
        ] {
            let tls = text.starts_with("https");
            assert_eq!(router(text).expect(text), (tls, address.to_owned()));
        }
    }

    #[test]
    fn what_is_no_router_address_is_refused() {
        for text in [
            "",
            "http://",
            "ftp://x:1",
            "127.0.0.1:99999",
            "a b:1",
            "http://x:1/path",
            "http://x:1?q",
            "user@x:1",
            ":7400",
        ] {
            let error = router(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        }
        let none: [&str; 0] = [];
        Options::new("a")
            .routers(none)
            .checked_routers()
            .expect_err("none");
        Options::new("a")
            .routers(vec!["x:1"; 17])
            .checked_routers()
            .expect_err("too many");
    }

    #[test]
    fn all_routers_speak_tls_or_none_does() {
        let trust = |routers: &[&str]| Options::new("a").routers(routers.to_vec()).trust();
        assert!(trust(&["x:1", "http://y:2"]).expect("plain").is_none());
        let mixed = trust(&["https://x:1", "y:2"]).expect_err("mixed");
        assert_eq!(mixed.kind(), ErrorKind::Invalid);
        let missing = Options::new("a")
            .routers(["https://x:1"])
            .tls_ca("/nowhere/ca.pem");
        let missing = missing.trust().expect_err("no file");
        assert_eq!(missing.kind(), ErrorKind::Invalid);
        assert!(missing.message().contains("--tls-ca"), "{missing}");
    }
}
