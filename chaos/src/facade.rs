//! A router that hands out the proxies' addresses instead of the servers': it asks the real router
//! and rewrites the answer.

use std::net::SocketAddr;
use std::pin::Pin;

use sns_proto::v1;
use sns_proto::v1::router_service_client::RouterServiceClient;
use sns_proto::v1::router_service_server::{RouterService, RouterServiceServer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use crate::failure::{Doing as _, Result};
use crate::wire::Wires;

struct Facade {
    router: RouterServiceClient<Channel>,
    wires: Wires,
}

/// Starts it on a free port; its address.
pub(crate) async fn start(router: &str, wires: Wires) -> Result<String> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let listener = listener.doing("listen")?;
    let address = listener.local_addr().doing("listen")?;
    let endpoint = Endpoint::from_shared(router.to_owned()).doing("use the router's address")?;
    let facade = Facade {
        router: RouterServiceClient::new(endpoint.connect_lazy()),
        wires,
    };
    let serve = Server::builder()
        .add_service(RouterServiceServer::new(facade))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serve);
    Ok(address.to_string())
}

impl Facade {
    async fn rewrite(&self, server: &mut v1::Server) -> Result<(), Status> {
        let front = self.wires.front(&server.address).await;
        server.address = front.map_err(|e| Status::unavailable(format!("no proxy: {e}")))?;
        Ok(())
    }
}

#[tonic::async_trait]
impl RouterService for Facade {
    async fn assign(
        &self,
        request: Request<v1::AssignRequest>,
    ) -> Result<Response<v1::AssignResponse>, Status> {
        let mut answer = self.router.clone().assign(request).await?;
        let drawn = answer.get_mut();
        for server in [&mut drawn.master, &mut drawn.slave].into_iter().flatten() {
            self.rewrite(server).await?;
        }
        Ok(answer)
    }

    async fn list_servers(
        &self,
        request: Request<v1::ListServersRequest>,
    ) -> Result<Response<v1::ListServersResponse>, Status> {
        let mut answer = self.router.clone().list_servers(request).await?;
        for server in &mut answer.get_mut().servers {
            self.rewrite(server).await?;
        }
        Ok(answer)
    }

    type AnnounceStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::AnnounceResponse, Status>> + Send>>;

    async fn announce(
        &self,
        _: Request<Streaming<v1::AnnounceRequest>>,
    ) -> Result<Response<Self::AnnounceStream>, Status> {
        Err(Status::unimplemented("servers announce to the real router"))
    }
}
