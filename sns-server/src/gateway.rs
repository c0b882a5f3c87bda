//! `gateway`: the client of the course, unmodified, on a service whose servers may die.
//!
//! That client has one fixed address, never comes back to a stream that broke, and knows a dozen
//! sentences. So the gateway holds its connection and its stream, speaks its words, and is itself a
//! client like any other: one handle of the client library a name, which goes on elsewhere when a
//! server dies. It keeps nothing: what it is told is in the log once a server has said so, and what
//! it tells comes from there.

mod api;
mod sessions;
mod stream;
mod words;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args as Group;
use sns_core::limits::MESSAGE_BYTES;
use sns_proto::csce438::sns_service_server::SnsServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::args::AuthMode;
use crate::config::{ROUTER_DEFAULT, address};
use crate::doors::Doors;
use crate::failure::{Failure, Result};
use crate::metrics::Connections;
use crate::net::{Door, Limits, Listener};
use crate::rates::Rates;
use crate::{output, serve};

use self::api::Gateway;

/// As health and reflection name it.
pub const SERVICE: &str = "csce438.SNSService";

/// `gateway`
#[derive(Debug, Group)]
pub struct GatewayArgs {
    /// Where the course's clients connect. Port 0 is drawn; the first line of stdout says it.
    #[arg(long, value_name = "ADDR")]
    pub listen: String,
    /// The routers that name the servers.
    #[arg(long, value_name = "URL", env = "SNS_ROUTER", value_delimiter = ',')]
    #[arg(default_value = ROUTER_DEFAULT)]
    pub router: Vec<String>,
    /// The CA of routers and servers that speak TLS (https://).
    #[arg(long, value_name = "FILE", env = "SNS_TLS_CA")]
    pub tls_ca: Option<PathBuf>,
    /// Listen where other machines can connect: whoever reaches it takes any name, and can listen in.
    #[arg(long, env = "SNS_INSECURE")]
    pub insecure: bool,
}

/// The same, checked.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Port 0 is drawn.
    pub listen: SocketAddr,
    /// At least one.
    pub routers: Vec<String>,
    /// By which their certificates are.
    pub tls_ca: Option<PathBuf>,
}

impl GatewayConfig {
    /// Checks what was typed.
    ///
    /// # Errors
    /// `Invalid`: an address or a URL that is none, or one that others can reach.
    pub fn check(typed: GatewayArgs) -> Result<Self> {
        let config = Self {
            listen: listen("--listen", &typed.listen, typed.insecure)?,
            routers: typed.router,
            tls_ca: typed.tls_ca.filter(|file| !file.as_os_str().is_empty()),
        };
        let options = config.options("");
        let trust = options.trust();
        trust.map_err(|e| Failure::invalid(format!("--router: {}", e.message())))?;
        Ok(config)
    }

    /// How one name reaches the service.
    fn options(&self, name: &str) -> sns_client::Options {
        let options = sns_client::Options::new(name).routers(self.routers.clone());
        match &self.tls_ca {
            Some(ca) => options.tls_ca(ca),
            None => options,
        }
    }
}

/// Where the course's clients may connect: its words have no password, and there is no TLS under them.
///
/// # Errors
/// `Invalid`: no address, or one that other machines can reach without `insecure`.
pub fn listen(flag: &str, text: &str, insecure: bool) -> Result<SocketAddr> {
    let found = address(flag, text)?;
    if found.ip().is_loopback() || insecure {
        return Ok(found);
    }
    Err(Failure::invalid(format!(
        "{flag} {found} can be reached from other machines, and the course's client shows no password \
         and speaks no TLS: stay on loopback, as in 127.0.0.1:{}, or say --insecure if any name may \
         be anybody's there",
        found.port()
    )))
}

/// Where `up` puts one.
///
/// # Errors
/// As [`listen`]; or names have passwords, which the course's client cannot show.
pub fn place(text: &str, doors: &Doors, auth: AuthMode) -> Result<SocketAddr> {
    let found = listen("--course", text, doors.insecure)?;
    if auth == AuthMode::Accounts {
        return Err(Failure::invalid(
            "--course with --auth accounts: the course's client shows no password, so nobody could log \
             in; use --auth open, or do without --course",
        ));
    }
    Ok(found)
}

/// Runs a gateway until `shutdown`. The first line of stdout says where: `gateway H:P`.
///
/// # Errors
/// `Unavailable`: the port is in use. `Denied`: it may not be taken.
pub async fn run(config: GatewayConfig, shutdown: CancellationToken) -> Result<()> {
    let listener = serve::bind("--listen", config.listen).await?;
    let address = serve::address_of(&listener)?;
    output::line(&format!("gateway {address}"))?;
    tracing::info!(%address, pid = std::process::id(), "the course's clients may come");
    serve_on(listener, config, shutdown).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Serves a gateway on `listener` until `shutdown`.
///
/// # Errors
/// As [`serve::serve`].
pub async fn serve_on(
    listener: TcpListener,
    config: GatewayConfig,
    shutdown: CancellationToken,
) -> Result<()> {
    let mut routes = Routes::builder();
    let health = serve::common(&mut routes, SERVICE).await?;
    let gateway = Gateway::new(config, shutdown.clone());
    routes.add_service(SnsServiceServer::new(gateway).max_decoding_message_size(MESSAGE_BYTES));
    health.set(true).await;
    let (limits, counts) = (Limits::default(), Connections::default());
    let door = Door::new(Listener::Course, limits, None, Rates::off(), counts);
    let ended = serve::serve(listener, routes.routes(), door, shutdown).await;
    health.set(false).await;
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_others_can_reach_is_asked_for_by_name() {
        let refused = listen("--course", "192.0.2.1:3010", false).unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        for word in ["--course", "password", "127.0.0.1:3010", "--insecure"] {
            assert!(refused.message.contains(word), "{refused}");
        }
        assert!(listen("--course", "192.0.2.1:3010", true).is_ok());
        assert!(listen("--course", "127.0.0.1:3010", false).is_ok());
    }

    #[test]
    fn names_with_passwords_are_nothing_for_the_client_of_the_course() {
        let doors = Doors::default();
        let refused = place("127.0.0.1:3010", &doors, AuthMode::Accounts).unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        assert!(refused.message.contains("--auth open"), "{refused}");
        assert!(place("127.0.0.1:3010", &doors, AuthMode::Open).is_ok());
    }

    #[test]
    fn a_router_that_is_none_is_refused_before_anything_starts() {
        let typed = |router: &str| GatewayArgs {
            listen: "127.0.0.1:0".to_owned(),
            router: vec![router.to_owned()],
            tls_ca: None,
            insecure: false,
        };
        let refused = GatewayConfig::check(typed("ftp://x")).unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        assert!(refused.message.contains("--router"), "{refused}");
        GatewayConfig::check(typed(ROUTER_DEFAULT)).unwrap();
    }
}
