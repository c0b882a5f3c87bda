//! What every gRPC server of ours has in common: the listener, health, reflection and the stop.

use std::net::SocketAddr;
use std::time::Duration;

use sns_core::ErrorKind;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::again;
use crate::failure::{Failure, Result};
use crate::net::{self, Door};

/// How long a stop waits for calls and streams: of the 5 s that a stop may take in all, the rest is
/// for closing the replica.
pub const DRAIN: Duration = Duration::from_millis(3_500);

/// Listens on `address`; port 0 is drawn.
///
/// # Errors
/// `Unavailable`: the port is in use, or not ours to take; the message names `flag`.
pub async fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener> {
    use std::io::ErrorKind as Io;
    let bound = match again::place_of(flag, address) {
        // Taken meanwhile: then another one, as at any start.
        Some(before) => match TcpListener::bind(before).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind(address).await,
        },
        None => TcpListener::bind(address).await,
    };
    if let Ok(Ok(place)) = bound.as_ref().map(TcpListener::local_addr) {
        again::note_place(flag, place);
    }
    bound.map_err(|e| match e.kind() {
        Io::AddrInUse => Failure::unavailable(format!(
            "{flag} {address} is in use: another program listens there; stop it (`sns-server \
             down` stops one of ours) or choose another port"
        )),
        Io::AddrNotAvailable => {
            Failure::invalid(format!("{flag} {address} is no address of this machine"))
        }
        Io::PermissionDenied => Failure::new(
            ErrorKind::Denied,
            format!("{flag} {address} may not be used by this user: choose a port above 1023"),
        ),
        _ => Failure::unavailable(format!("cannot listen on {flag} {address}: {e}")),
    })
}

/// The address that a listener has, with the port that was drawn.
///
/// # Errors
/// `Unavailable`: the operating system does not say.
pub fn address_of(listener: &TcpListener) -> Result<SocketAddr> {
    let unknown = |e| Failure::io("cannot tell where this server listens", &e);
    listener.local_addr().map_err(unknown)
}

/// Tells `grpc.health.v1` about `service` and the server as a whole.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    service: &'static str,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Health({})", self.service)
    }
}

impl Health {
    /// Says whether calls are served.
    pub async fn set(&self, serves: bool) {
        let status = if serves {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in ["", self.service] {
            self.reporter.set_service_status(name, status).await;
        }
    }
}

/// `grpc.health.v1` and `grpc.reflection` v1 and v1alpha for a server of `service`, which does not
/// serve yet as far as health says.
///
/// # Errors
/// `Internal`: the descriptors in this program are broken.
pub async fn common(routes: &mut RoutesBuilder, service: &'static str) -> Result<Health> {
    let (reporter, server) = tonic_health::server::health_reporter();
    routes.add_service(server);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(sns_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name(service)
            .with_service_name("grpc.health.v1.Health")
    };
    let broken = |e| Failure::new(ErrorKind::Internal, format!("broken descriptors: {e}"));
    let v1 = reflection().with_service_name("grpc.reflection.v1.ServerReflection");
    routes.add_service(v1.build_v1().map_err(broken)?);
    let v1alpha = reflection().with_service_name("grpc.reflection.v1alpha.ServerReflection");
    routes.add_service(v1alpha.build_v1alpha().map_err(broken)?);
    let health = Health { reporter, service };
    health.set(false).await;
    Ok(health)
}

/// Serves `routes` behind `door` until `stop` is cancelled, then at most [`DRAIN`] more for what is
/// open.
///
/// # Errors
/// None yet.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    door: Door,
    stop: CancellationToken,
) -> Result<()> {
    if !net::serve_grpc(listener, routes, &door, &stop, DRAIN).await {
        tracing::warn!("calls were still open {DRAIN:?} after the stop: cut off");
    }
    Ok(())
}
