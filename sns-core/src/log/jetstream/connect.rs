//! The connection to the servers.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Error;
use super::durability::{is_too_old, least};
use super::options::{JetStreamOptions, Login};
use crate::limits::ENTRY_BYTES;

/// A server that does not answer for two or three of these is given up for another one.
const PING: Duration = Duration::from_millis(400);
/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Between two attempts, at most; each pause is drawn, so that not all come back at once.
const PAUSE_MAX_MS: u64 = 1_000;
/// What a message takes beside its entry, headers too, rounded up.
const MESSAGE_EXTRA: usize = 4 * 1024;
/// How often somebody who waits is told.
const TELL: Duration = Duration::from_secs(5);

/// How the connection stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connection {
    pub(super) stands: bool,
    /// So that one that was lost and made again in one moment is seen to be another.
    changes: u64,
}

/// Connects, and goes on trying for as long as the caller has patience.
pub(super) async fn connect(
    options: &JetStreamOptions,
    connection: Arc<watch::Sender<Connection>>,
) -> Result<Client, Error> {
    let servers: Result<Vec<ServerAddr>, _> = options.servers.iter().map(|it| it.parse()).collect();
    let servers = servers.map_err(|e| Error::Refused(e.to_string()))?;
    let begun = Instant::now();
    let mut told = begun;
    let mut attempts = 0;
    loop {
        let connecting = settings(options, Arc::clone(&connection)).await?;
        let why = match connecting.connect(&servers[..]).await {
            Ok(client) => {
                check(&client)?;
                return Ok(client);
            }
            Err(error) => match error.kind() {
                ConnectErrorKind::Authentication
                | ConnectErrorKind::AuthorizationViolation
                | ConnectErrorKind::ServerParse => {
                    return Err(Error::Refused(format!(
                        "NATS at {} lets nobody in like this ({error}): see --nats-user, \
                         --nats-token-file and --nats-credentials",
                        shown(options)
                    )));
                }
                kind if kind == ConnectErrorKind::Tls || is_certificate(&error) => {
                    return Err(Error::Refused(format!(
                        "no TLS with NATS at {} ({error}): see --nats-ca and --nats-certificate",
                        shown(options)
                    )));
                }
                _ => error.to_string(),
            },
        };
        attempts += 1;
        let pause = pause(attempts);
        if begun.elapsed() + pause >= options.patience {
            return Err(Error::Unavailable(format!(
                "no NATS server answers at {}: {why}",
                shown(options)
            )));
        }
        if told.elapsed() >= TELL {
            told = Instant::now();
            tracing::warn!(servers = shown(options), why, "waiting for a NATS server");
        }
        sleep(pause).await;
    }
}

/// Whether a certificate was not accepted, on either side; the client of NATS calls that I/O.
fn is_certificate(error: &ConnectError) -> bool {
    error.to_string().contains("certificate")
}

/// The servers as they were given; they hold no password.
pub(super) fn shown(options: &JetStreamOptions) -> String {
    options.servers.join(",")
}

fn pause(attempts: usize) -> Duration {
    let most = (20 << attempts.min(6)).min(PAUSE_MAX_MS);
    Duration::from_millis(rand::rng().random_range(most / 2..=most))
}

async fn settings(
    options: &JetStreamOptions,
    connection: Arc<watch::Sender<Connection>>,
) -> Result<ConnectOptions, Error> {
    let mut settings = ConnectOptions::new()
        .name(&options.name)
        // What this handle tells others it knows.
        .no_echo()
        .ping_interval(PING)
        .connection_timeout(ATTEMPT)
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| match attempts {
            // The next server, at once.
            0 | 1 => Duration::from_millis(rand::rng().random_range(0..20)),
            more => pause(more),
        })
        .event_callback(move |event| {
            let connection = Arc::clone(&connection);
            let is = move |stands| {
                connection.send_modify(|it| {
                    it.changes += 1;
                    it.stands = stands;
                });
            };
            async move {
                match event {
                    Event::Connected => is(true),
                    Event::Disconnected | Event::Closed => is(false),
                    Event::ServerError(error) => tracing::warn!(%error, "NATS complains"),
                    Event::ClientError(error) => tracing::debug!(%error, "the client of NATS"),
                    Event::LameDuckMode | Event::Draining | Event::SlowConsumer(_) => {
                        tracing::info!(%event, "NATS");
                    }
                }
            }
        });
    settings = match &options.login {
        Login::Anonymous => settings,
        Login::Password { user, password } => {
            settings.user_and_password(user.clone(), password.clone())
        }
        Login::Token(token) => settings.token(token.clone()),
        Login::Credentials(path) => settings
            .credentials_file(path)
            .await
            .map_err(|e| Error::Refused(format!("the credentials file {}: {e}", path.display())))?,
    };
    for file in [
        options.ca.as_ref(),
        options.certificate.as_ref().map(|it| &it.0),
        options.certificate.as_ref().map(|it| &it.1),
    ] {
        if let Some(file) = file
            && let Err(e) = tokio::fs::metadata(file).await
        {
            return Err(Error::Refused(format!("{}: {e}", file.display())));
        }
    }
    if let Some(ca) = &options.ca {
        settings = settings.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let Some((certificate, key)) = &options.certificate {
        settings = settings
            .add_client_certificate(certificate.clone(), key.clone())
            .require_tls(true);
    }
    Ok(settings)
}

/// Whether the server will do.
fn check(client: &Client) -> Result<(), Error> {
    let info = client.server_info();
    let (name, version) = (&info.server_name, &info.version);
    if is_too_old(version) {
        return Err(Error::Refused(format!(
            "the NATS server {name} has version {version}, and {} is the oldest that keeps what it \
             acknowledged: upgrade it",
            least()
        )));
    }
    if !info.jetstream {
        return Err(Error::Refused(format!(
            "the NATS server {name} runs without JetStream: start it with a `jetstream` block, as \
             in deploy/nats/nats.conf"
        )));
    }
    let least = ENTRY_BYTES + MESSAGE_EXTRA;
    if info.max_payload < least {
        return Err(Error::Refused(format!(
            "the NATS server {name} takes messages of {} bytes at most: set its max_payload to \
             {least} or more (1MB is usual)",
            info.max_payload
        )));
    }
    Ok(())
}
