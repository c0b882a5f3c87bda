//! What the flags of a NATS cluster mean to the core.

use std::path::Path;
use std::time::Duration;

use sns_core::log::jetstream::{JetStreamLog, JetStreamOptions, Login};

use super::NatsConfig;
use crate::failure::{Failure, Result};

/// How long a command waits for a cluster.
const PATIENCE: Duration = Duration::from_secs(10);

impl NatsConfig {
    /// Checks what can be checked before anything is read or asked.
    pub(super) fn validate(&self) -> Result<()> {
        let options = self.without_login();
        options
            .validate()
            .map_err(|why| Failure::invalid(format!("--log nats://: {why}")))
    }

    fn without_login(&self) -> JetStreamOptions {
        let mut options = JetStreamOptions::new(self.servers.clone())
            .stream(&self.stream)
            .accept_weaker_durability(self.accept_weaker_durability);
        if let Some(replicas) = self.replicas {
            options = options.replicas(replicas.into());
        }
        if let Some(ca) = &self.ca {
            options = options.ca(ca);
        }
        if let Some((certificate, key)) = &self.certificate {
            options = options.certificate(certificate, key);
        }
        if let Some(dir) = &self.snapshots {
            options = options.snapshots(dir);
        }
        options
    }

    /// As the core takes it; `name` is what the cluster calls the connection.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`: a file with a password or a token.
    pub fn options(&self, name: &str) -> Result<JetStreamOptions> {
        let login = if let Some((user, file)) = &self.user {
            Login::Password {
                user: user.clone(),
                password: secret(file)?,
            }
        } else if let Some(file) = &self.token {
            Login::Token(secret(file)?)
        } else if let Some(file) = &self.credentials {
            Login::Credentials(file.clone())
        } else {
            Login::Anonymous
        };
        Ok(self.without_login().login(login).name(name))
    }

    /// Connects; with `create` the stream is made when it is missing.
    ///
    /// # Errors
    /// As [`JetStreamLog::open`].
    pub fn connect(&self, name: &str, create: bool) -> Result<JetStreamLog> {
        let options = self.options(name)?.patience(PATIENCE).create(create);
        Ok(JetStreamLog::open(&options).map_err(sns_core::Error::from)?)
    }
}

/// The first line of a small file.
fn secret(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::io(format!("cannot read {}", file.display()), &e))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(Failure::invalid(format!("{} is empty", file.display())));
    }
    Ok(line.to_owned())
}
