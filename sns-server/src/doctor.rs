//! `doctor`: looks at this machine and a data directory as a command would use them, and says what to
//! do before something fails.
//!
//! Each check has two halves: one gathers facts and decides nothing, the other makes findings of the
//! facts and looks at nothing. A service that runs is not disturbed: no lock is taken, no view opened,
//! and what is written is one unnamed file of some KiB.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use clap::{Args as Group, ValueEnum};
use serde_json::json;
use sns_core::{ErrorKind, limits};
use sns_proto::escape::escape_json;

use crate::config::OFF;
use crate::doors::{DoorArgs, Doors};
use crate::failure::{Failure, Result};
use crate::limits::{LimitArgs, LimitsConfig};
use crate::output;
use crate::telemetry::escaped;

mod clock;
mod data;
mod descriptors;
mod disk;
mod finding;
mod kernel;
mod mounts;
mod ports;
mod rights;
mod space;
mod tls;

use finding::{Finding, Verdict};

/// What is to run here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum Role {
    /// A router and pairs.
    #[default]
    Up,
    /// A router alone.
    Router,
    /// A master.
    Master,
    /// A slave, and the master that it starts.
    Slave,
}

/// `doctor`
#[derive(Debug, Group)]
pub struct DoctorArgs {
    /// What is to run here. Its table of a file with settings counts, behind that of `doctor`.
    #[arg(long, value_name = "COMMAND", default_value = "up")]
    pub role: Role,
    /// The data directory; a router has none.
    #[arg(
        long,
        value_name = "DIR",
        env = "SNS_DATA",
        default_value = "./sns-data"
    )]
    pub data: PathBuf,
    /// Where clients connect [default: 127.0.0.1:7400, for `up` and `router`].
    #[arg(long, value_name = "ADDR", env = "SNS_LISTEN")]
    pub listen: Option<String>,
    /// Where the partner asks, for `master` and `slave`.
    #[arg(long, value_name = "ADDR", env = "SNS_PEER_LISTEN")]
    pub peer_listen: Option<String>,
    /// Where browsers connect, or `off`.
    #[arg(long, value_name = "ADDR", env = "SNS_HTTP")]
    pub http: Option<String>,
    /// How many pairs `up` starts.
    #[arg(long, value_name = "N", env = "SNS_SERVERS", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=512))]
    pub servers: u32,
    /// Bytes of one segment of the log.
    #[arg(long, value_name = "BYTES", env = "SNS_SEGMENT_BYTES")]
    #[arg(default_value_t = limits::SEGMENT_BYTES)]
    #[arg(value_parser = clap::value_parser!(u64).range(65_536..))]
    pub segment_bytes: u64,
    /// A network file system will do.
    #[arg(long, env = "SNS_FORCE_NETWORK_FS")]
    pub force_network_fs: bool,
    /// How many connections are to fit.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// The files that TLS is to be made from.
    #[command(flatten)]
    pub doors: DoorArgs,
}

/// `doctor`, checked.
#[derive(Clone, Debug)]
pub struct DoctorConfig {
    role: Role,
    data: PathBuf,
    listen: Option<SocketAddr>,
    peer_listen: Option<SocketAddr>,
    http: Http,
    servers: u32,
    segment_bytes: u64,
    force_network_fs: bool,
    limits: LimitsConfig,
    doors: Doors,
}

/// Where pages are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Http {
    Off,
    Default,
    At(SocketAddr),
}

impl TryFrom<DoctorArgs> for DoctorConfig {
    type Error = Failure;

    fn try_from(typed: DoctorArgs) -> Result<Self> {
        let listen = match (typed.listen.as_deref(), typed.role) {
            (Some(text), _) => Some(address("--listen", text)?),
            (None, Role::Up | Role::Router) => Some(address("--listen", "127.0.0.1:7400")?),
            (None, Role::Master | Role::Slave) => None,
        };
        let peer = typed.peer_listen.as_deref();
        Ok(Self {
            role: typed.role,
            data: typed.data,
            listen,
            peer_listen: peer
                .map(|text| address("--peer-listen", text))
                .transpose()?,
            http: match typed.http.as_deref() {
                None => Http::Default,
                Some(OFF) => Http::Off,
                Some(text) => Http::At(address("--http", text)?),
            },
            servers: typed.servers,
            segment_bytes: typed.segment_bytes,
            force_network_fs: typed.force_network_fs,
            limits: typed.limits.into(),
            doors: Doors::check(&typed.doors)?,
        })
    }
}

fn address(flag: &str, text: &str) -> Result<SocketAddr> {
    let found = text.to_socket_addrs().ok().and_then(|mut all| all.next());
    found.ok_or_else(|| {
        Failure::invalid(format!(
            "{flag} {text:?} is no address: give host:port, as in 127.0.0.1:7400"
        ))
    })
}

/// Looks at everything, and prints a line for each finding.
///
/// # Errors
/// Of the worst kind among the findings that fail: `Damaged`, then `Invalid`, `Exhausted` and
/// `Unavailable`. Warnings are none.
pub fn run(config: &DoctorConfig, json: bool) -> Result<()> {
    let findings = examine(config);
    for finding in &findings {
        if json {
            output::line(&escape_json(&finding.to_json().to_string()))?;
        } else {
            for line in finding.lines() {
                output::line(&escaped(&line))?;
            }
        }
    }
    let count = |test: fn(&Verdict) -> bool| findings.iter().filter(|it| test(&it.verdict)).count();
    let failed = count(|it| matches!(it, Verdict::Fail(_)));
    let warned = count(|it| *it == Verdict::Warn);
    let fine = findings.len() - failed - warned;
    if json {
        let summary = json!({"ok": fine, "warn": warned, "fail": failed});
        output::line(&summary.to_string())?;
    } else {
        output::line(&format!("{fine} ok, {warned} warnings, {failed} failed"))?;
    }
    let Some(worst) = finding::worst(&findings) else {
        return Ok(());
    };
    let names: Vec<&str> = findings
        .iter()
        .filter(|it| it.fails())
        .map(|it| it.check)
        .collect();
    Err(Failure::new(
        worst,
        format!(
            "{} of {} checks failed ({}): what to do stands beside each",
            failed,
            findings.len(),
            names.join(", ")
        ),
    ))
}

fn examine(config: &DoctorConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    let data = (config.role != Role::Router).then_some(&*config.data);
    let facts = data.map(data::Facts::gather);
    let newest = facts.as_ref().and_then(data::Facts::newest_ms);
    findings.extend(clock::judge(&clock::Facts::gather(newest)));
    let pages = config.http != Http::Off && config.role != Role::Router;
    let most = config.limits.net.connections;
    findings.push(descriptors::judge(&descriptors::Facts::gather(most, pages)));
    findings.extend(kernel::judge(&kernel::Facts::gather(watchers(config))));
    if let (Some(data), Some(facts)) = (data, facts) {
        findings.extend(rights::judge(&rights::Facts::gather(data)));
        let place = existing(data);
        let disk = disk::Facts::gather(&place, config.force_network_fs);
        findings.extend(disk::judge(&disk));
        let needed = config.segment_bytes.saturating_add(facts.snapshot_bytes());
        findings.extend(space::judge(&space::Facts::gather(&place, needed)));
        findings.extend(data::judge(&facts));
    }
    findings.extend(ports::judge(&ports::Facts::gather(config, data)));
    if let Some(files) = &config.doors.tls {
        findings.push(tls::judge(&tls::Facts::gather(files)));
    }
    findings
}

/// How many processes will follow a log here.
fn watchers(config: &DoctorConfig) -> u64 {
    match config.role {
        Role::Up => u64::from(config.servers) * 2,
        Role::Router => 0,
        Role::Master | Role::Slave => 2,
    }
}

/// The directory itself, or where it would be made.
fn existing(data: &Path) -> PathBuf {
    let full = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let found = full.ancestors().find(|path| path.exists());
    found.unwrap_or(Path::new("/")).to_owned()
}

/// Of what the operating system refuses.
fn unavailable() -> Verdict {
    Verdict::Fail(ErrorKind::Unavailable)
}
