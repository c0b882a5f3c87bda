//! What the operations page reads: where this server and its partner stand, the last minutes by the
//! second, and the deaths that this server tells. Each server speaks for itself; the page puts
//! their words together.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::{Deserialize, Serialize};
use sns_proto::v1::Server;

use super::Site;
use super::answer::{Json, Refused, query};
use super::api::Id;
use super::peers::Peer;
use crate::args::AuthMode;
use crate::metrics::{ProcessUse, Sample};
use crate::pair::deaths::Death;
use crate::status_cmd;

#[derive(Serialize)]
#[allow(clippy::struct_field_names, reason = "as JSON has them")]
pub(super) struct Servers {
    #[serde(rename = "self")]
    me: String,
    /// `open`: a name is enough; `accounts`: a password too.
    auth: &'static str,
    servers: Vec<Peer>,
}

pub(super) async fn servers(State(site): State<Site>) -> Json<Servers> {
    Json(Servers {
        me: site.peers().me().name.clone(),
        auth: match site.api().policy().auth {
            AuthMode::Open => "open",
            AuthMode::Accounts => "accounts",
        },
        servers: site.peers().all().to_vec(),
    })
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    samples_after: u64,
}

#[derive(Serialize)]
pub(super) struct Ops {
    now_ms: u64,
    server: ServerShape,
    partner: Option<ServerShape>,
    routers: Vec<RouterShape>,
    log: LogShape,
    disk: DiskShape,
    process: ProcessUse,
    samples: Vec<Sample>,
    deaths: Vec<Death>,
}

#[derive(Serialize)]
struct ServerShape {
    name: String,
    pair: String,
    role: &'static str,
    address: String,
    http: Option<String>,
    pid: u32,
    state: &'static str,
    applied: Id,
    tail: Id,
    lag: u64,
    streams: u64,
    restarts: u64,
    digest: String,
    reason: String,
    /// Of this server only: nobody tells them of another.
    version: Option<&'static str>,
    started_at_ms: Option<u64>,
}

#[derive(Serialize)]
struct RouterShape {
    url: String,
    connected: bool,
}

#[derive(Serialize)]
struct LogShape {
    kind: &'static str,
    bytes: u64,
}

#[derive(Serialize)]
struct DiskShape {
    free_bytes: u64,
    total_bytes: u64,
}

impl ServerShape {
    fn of(server: Server, peers: &[Peer]) -> Self {
        let http = peers.iter().find(|peer| peer.name == server.name);
        Self {
            role: status_cmd::role(server.role()),
            state: status_cmd::state(server.state()),
            http: http.map(|peer| peer.http.clone()),
            name: server.name,
            pair: server.pair,
            address: server.address,
            pid: server.pid,
            applied: Id(server.applied),
            tail: Id(server.tail),
            lag: server.tail.saturating_sub(server.applied.saturating_add(1)),
            streams: server.streams,
            restarts: server.restarts,
            digest: server.digest,
            reason: server.reason,
            version: None,
            started_at_ms: None,
        }
    }
}

pub(super) async fn ops(
    State(site): State<Site>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<Ops>, Refused> {
    site.admit(&headers).await?;
    let Asked { samples_after } = query(&uri)?;
    let (peers, parts) = (site.peers().all(), &site.0.parts);
    let standing = site.standing();
    let mut server = ServerShape::of(standing.server, &peers);
    server.version = Some(env!("CARGO_PKG_VERSION"));
    server.started_at_ms = Some(site.0.started_at_ms);
    let router = |(url, connected)| RouterShape { url, connected };
    Ok(Json(Ops {
        now_ms: site.0.clock.now_ms(),
        partner: standing
            .partner
            .map(|partner| ServerShape::of(partner, &peers)),
        routers: standing.routers.into_iter().map(router).collect(),
        log: LogShape {
            kind: parts.log,
            bytes: standing.log_bytes,
        },
        disk: DiskShape {
            free_bytes: standing.disk_free_bytes,
            total_bytes: standing.disk_bytes,
        },
        process: standing.process,
        samples: parts.metrics.history.after(samples_after),
        deaths: parts.told.deaths(),
        server,
    }))
}
