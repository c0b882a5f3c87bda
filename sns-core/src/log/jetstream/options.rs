//! What a caller sets when it opens the log.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The stream when nobody names one.
pub const STREAM: &str = "SNS";

/// How to reach a [`JetStreamLog`](super::JetStreamLog), and how to make its stream.
#[derive(Clone, Debug)]
pub struct JetStreamOptions {
    pub(super) servers: Vec<String>,
    pub(super) stream: String,
    pub(super) replicas: Option<usize>,
    pub(super) accept_weaker: bool,
    pub(super) create: bool,
    pub(super) first: Option<First>,
    pub(super) name: String,
    pub(super) login: Login,
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
    pub(super) patience: Duration,
    pub(super) snapshots: Option<PathBuf>,
}

/// What a log begins as that is the copy of another one.
#[derive(Clone, Debug)]
pub(super) struct First {
    pub(super) index: u64,
    pub(super) data_id: String,
    pub(super) secret: [u8; 32],
}

/// Who this program is to the NATS servers.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Login {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A user with a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token(String),
    /// A credentials file (JWT and key).
    Credentials(PathBuf),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Password { user, .. } => write!(f, "Password({user})"),
            Self::Token(_) => f.write_str("Token"),
            Self::Credentials(path) => write!(f, "Credentials({})", path.display()),
        }
    }
}

impl JetStreamOptions {
    /// The servers of one cluster: `nats://host:port`, `tls://host:port` or `host:port`; any of them
    /// tells of the others.
    #[must_use]
    pub fn new<S: Into<String>>(servers: impl IntoIterator<Item = S>) -> Self {
        Self {
            servers: servers.into_iter().map(Into::into).collect(),
            stream: STREAM.into(),
            replicas: None,
            accept_weaker: false,
            create: true,
            first: None,
            name: "sns".into(),
            login: Login::default(),
            ca: None,
            certificate: None,
            patience: Duration::from_secs(10),
            snapshots: None,
        }
    }

    /// The stream: 1 to 32 of A-Z, a-z, 0-9, `-` and `_`. Default: [`STREAM`].
    #[must_use]
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.stream = stream.into();
        self
    }

    /// Copies of the stream, each on another server, when it is made: 1, 3 or 5. Default: 3 in a
    /// cluster, 1 with a single server. A stream that is there must have as many.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// Opens the log also where the servers could lose entries that they acknowledged. Default: no.
    #[must_use]
    pub fn accept_weaker_durability(mut self, accept: bool) -> Self {
        self.accept_weaker = accept;
        self
    }

    /// Whether the stream is made when it is missing. Default: yes.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// The stream that is made continues another log from entry `index` on: its users' tokens stay
    /// good.
    #[must_use]
    pub fn continues(mut self, index: u64, data_id: impl Into<String>, secret: [u8; 32]) -> Self {
        self.first = Some(First {
            index,
            data_id: data_id.into(),
            secret,
        });
        self
    }

    /// How the servers name this connection. Default: `sns`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Who this program is. Default: nobody in particular.
    #[must_use]
    pub fn login(mut self, login: Login) -> Self {
        self.login = login;
        self
    }

    /// A PEM file with the certificates that sign those of the servers, beside those of the system.
    #[must_use]
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca = Some(file.into());
        self
    }

    /// PEM files with a certificate and its key, for servers that ask for one.
    #[must_use]
    pub fn certificate(mut self, file: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate = Some((file.into(), key.into()));
        self
    }

    /// How long [`open`](super::JetStreamLog::open) waits for a server, and for a stream that has a
    /// leader. Default: 10 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Keeps snapshots in this directory rather than in the object store of the cluster: every
    /// machine must see it.
    #[must_use]
    pub fn snapshots(mut self, dir: impl Into<PathBuf>) -> Self {
        self.snapshots = Some(dir.into());
        self
    }

    /// Checks what can be checked without a server.
    ///
    /// # Errors
    /// What is wrong, for a human.
    pub fn validate(&self) -> Result<(), String> {
        if self.servers.is_empty() {
            return Err("no NATS server is given".into());
        }
        for server in &self.servers {
            let address = server.split_once("://").map_or(server.as_str(), |it| it.1);
            if address.contains('@') {
                // Everybody on the machine sees a command line.
                return Err(format!(
                    "the address of a NATS server ({}) must not hold a password: give it in a file",
                    address.rsplit('@').next().unwrap_or_default()
                ));
            }
            let scheme = server.split_once("://").map_or("nats", |it| it.0);
            let known = scheme == "nats" || scheme == "tls";
            let parsed = server.parse::<async_nats::ServerAddr>();
            if !known || address.is_empty() || parsed.is_err() {
                return Err(format!(
                    "{server:?} is no address of a NATS server: give nats://host:port"
                ));
            }
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=32).contains(&self.stream.len()) || !self.stream.bytes().all(allowed) {
            return Err(format!(
                "{:?} is no name of a stream: 1 to 32 of A-Z, a-z, 0-9, - and _ make one",
                self.stream
            ));
        }
        if self.replicas.is_some_and(|it| ![1, 3, 5].contains(&it)) {
            return Err("a stream has 1, 3 or 5 replicas".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_asked() {
        let good = JetStreamOptions::new(["nats://a:4222", "b:4223", "tls://c"]);
        assert_eq!(good.validate(), Ok(()));
        let none = JetStreamOptions::new(Vec::<String>::new());
        none.validate().expect_err("no server");
        let secret = JetStreamOptions::new(["nats://me:hunter2@a:4222"]);
        let why = secret.validate().expect_err("a password");
        assert!(!why.contains("hunter2"), "{why}");
        for bad in ["", "nats://", "http://a", "a b"] {
            let options = JetStreamOptions::new([bad]);
            options.validate().expect_err(bad);
        }
        for bad in ["", "a.b", "a b", "*", &"x".repeat(33)] {
            let options = JetStreamOptions::new(["a"]).stream(bad);
            options.validate().expect_err(bad);
        }
        let two = JetStreamOptions::new(["a"]).replicas(2);
        two.validate().expect_err("2 replicas");
    }

    #[test]
    fn secrets_are_not_printed() {
        let login = Login::Password {
            user: "sns".into(),
            password: "hunter2".into(),
        };
        let options = JetStreamOptions::new(["a"]).login(login);
        assert!(!format!("{options:?}").contains("hunter2"));
        let options = options.login(Login::Token("hunter2".into()));
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
