//! The server of SNS: everything that the `sns-server` binary does, callable from a test.

pub mod admin;
pub mod again;
pub mod announce;
pub mod args;
pub mod backup;
pub mod cert;
pub mod cli;
pub mod config;
pub mod config_cmd;
pub mod config_file;
mod copy;
pub mod doctor;
pub mod doors;
pub mod down;
pub mod export;
pub mod failure;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod gateway;
mod hex;
pub mod http;
pub mod import;
pub mod layers;
pub mod limits;
pub mod manual;
pub mod metrics;
pub mod net;
pub mod node;
pub mod notify;
pub mod output;
pub mod pair;
pub mod ports;
mod progress;
pub mod rates;
pub mod restart;
pub mod routing;
pub mod run_file;
pub mod serve;
pub mod service;
pub mod shutdown;
mod sockets;
mod stamp;
pub mod status_cmd;
pub mod storage;
pub mod telemetry;
pub mod token;
pub mod token_cmd;
pub mod up;

use tokio_util::sync::CancellationToken;

use crate::config::{Config, Task};
use crate::failure::{Failure, Result};

/// Does what `config` says. Servers return when `shutdown` is cancelled and they have drained.
///
/// # Errors
/// Of any kind; the message says in one line what to do.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<()> {
    let json = config.json;
    match config.task {
        Task::Node(node) => node::run(node, shutdown).await,
        Task::Import(import) => {
            blocking(move || import::run(&import, json, &shutdown).map(|_| ())).await
        }
        Task::Token(token) => blocking(move || token_cmd::run(&token, json)).await,
        Task::LogDump(data) => blocking(move || admin::log_dump(&data)).await,
        Task::LogVerify(data) => blocking(move || admin::log_verify(&data, json)).await,
        Task::LogCopy(config) => blocking(move || copy::run(&config, json)).await,
        Task::SnapshotCreate(data) => blocking(move || admin::snapshot_create(&data, json)).await,
        Task::SnapshotVerify(data) => blocking(move || admin::snapshot_verify(&data, json)).await,
        Task::SnapshotList(data) => blocking(move || admin::snapshot_list(&data, json)).await,
        Task::Backup(task) => blocking(move || backup::run(&task, json)).await,
        Task::Export(config) => blocking(move || export::run(&config, json)).await,
        Task::Router(router) => service::router::run(router, shutdown).await,
        Task::Gateway(gateway) => gateway::run(gateway, shutdown).await,
        Task::Up(up) => Box::pin(up::run(up, shutdown)).await,
        Task::Down(down) => down::run(down).await,
        Task::Restart(config) => Box::pin(restart::run(config, json)).await,
        Task::Cert(config) => blocking(move || cert::run(&config)).await,
        Task::Status(status) => status_cmd::run(status, json).await,
        Task::Config(config) => blocking(move || config_cmd::run(&config, json)).await,
        Task::Doctor(config) => blocking(move || doctor::run(&config, json)).await,
        Task::Manual(task) => blocking(move || manual::run(&task)).await,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let panicked = |e| Failure::new(sns_core::ErrorKind::Internal, format!("report this: {e}"));
    tokio::task::spawn_blocking(work).await.map_err(panicked)?
}
