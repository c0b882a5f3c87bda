//! [`Routers`]: what is known of the servers, asked without being anybody.

use std::sync::Arc;

use sns_proto::v1;
use sns_proto::v1::router_service_client::RouterServiceClient;

use crate::error::Result;
use crate::options::Options;
use crate::retry::Ended;
use crate::route::{Route, error_of};
use crate::types::Server;

/// The routers of a service: no login, one question at a time; cheap to clone.
///
/// For those who look at a service from outside. A [`Client`](crate::Client) asks by itself.
#[derive(Clone, Debug)]
pub struct Routers {
    route: Arc<Route>,
}

impl Routers {
    /// The routers that `options` names; its user is of no interest. Nothing is connected yet.
    ///
    /// # Errors
    /// `Invalid`: an address is none, or there are none, or more than 16.
    ///
    /// ```
    /// use sns_client::{Options, Routers};
    ///
    /// let routers = Routers::new(&Options::new("").routers(["127.0.0.1:7400"]))?;
    /// assert_eq!(routers.answered(), "127.0.0.1:7400");
    /// # Ok::<(), sns_client::Error>(())
    /// ```
    pub fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            route: Route::new(options)?,
        })
    }

    /// All servers that a router knows, by pair with the master first; dead ones too, as long as
    /// their partners report them. Asks once: the first router that answers counts.
    ///
    /// # Errors
    /// `Unavailable`: no router answered within the time that one try has.
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    ///
    /// ```no_run
    /// # async fn example(routers: sns_client::Routers) -> sns_client::Result<()> {
    /// for server in routers.servers().await? {
    ///     println!("{} {:?}", server.name, server.state);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn servers(&self) -> Result<Vec<Server>> {
        list(&self.route).await.map_err(error_of)
    }

    /// The router, as `host:port`, that answered last; before an answer, the first.
    pub fn answered(&self) -> &str {
        self.route.favourite()
    }
}

/// Asks the routers for all servers.
pub(crate) async fn list(route: &Route) -> Result<Vec<Server>, Ended> {
    let answer = route.ask(|channel| {
        Box::pin(async move {
            let mut router = RouterServiceClient::new(channel);
            let question = v1::ListServersRequest::default();
            Ok(router.list_servers(question).await?.into_inner())
        })
    });
    let servers = answer.await?.servers;
    Ok(servers.into_iter().map(Server::from).collect())
}
