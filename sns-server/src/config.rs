//! What was typed, checked: addresses parsed, names valid, nothing left to doubt.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use http::Uri;
use sns_core::Username;
use sns_proto::v1::ServerRole;

use crate::args::{
    self, Args, AuthMode, Command, LogCommand, PartnerBy, Policy, ScopeArg, SnapshotCommand,
};
use crate::doors::{Doors, auth_mode, believes_servers, exposed};
use crate::failure::{Failure, Result};
use crate::gateway::{self, GatewayConfig};
use crate::limits::LimitsConfig;
use crate::net::tls::Dial;
use crate::service::accounts::Policy as AuthPolicy;
pub use crate::storage::{CopyConfig, DataConfig, LogPlace, NatsConfig};
use crate::token::Scopes;

/// Where clients look for a router when nobody says otherwise.
pub const ROUTER_DEFAULT: &str = "http://127.0.0.1:7400";

/// One run of the program.
#[derive(Clone, Debug)]
pub struct Config {
    /// Print JSON, errors too.
    pub json: bool,
    /// What to do.
    pub task: Task,
}

/// What to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Task {
    /// A router and pairs, one command.
    Up(UpConfig),
    /// Stop all of it.
    Down(DownConfig),
    /// Replace all of it by the program on disk.
    Restart(crate::restart::RestartArgs),
    /// Show all of it.
    Status(StatusConfig),
    /// A router.
    Router(RouterConfig),
    /// For the client of the course.
    Gateway(GatewayConfig),
    /// A master or a slave.
    Node(NodeConfig),
    /// Make a token, or an invitation.
    Token(TokenConfig),
    /// Make certificates.
    Cert(CertConfig),
    /// Bulk load.
    Import(ImportConfig),
    /// Print the log.
    LogDump(DataConfig),
    /// Check the log.
    LogVerify(DataConfig),
    /// Copy the log.
    LogCopy(CopyConfig),
    /// Make a snapshot.
    SnapshotCreate(DataConfig),
    /// Check snapshots.
    SnapshotVerify(DataConfig),
    /// List snapshots.
    SnapshotList(DataConfig),
    /// Back up, and restore.
    Backup(crate::backup::BackupTask),
    /// Write everything as JSON lines.
    Export(crate::export::ExportConfig),
    /// Show or check settings.
    Config(crate::config_cmd::ConfigTask),
    /// Look at this machine.
    Doctor(crate::doctor::DoctorConfig),
    /// Print completions or manual pages.
    Manual(crate::manual::ManualTask),
}

impl Task {
    /// Whether it runs until it is told to stop.
    pub fn is_server(&self) -> bool {
        matches!(
            self,
            Self::Up(_) | Self::Router(_) | Self::Gateway(_) | Self::Node(_)
        )
    }
}

/// `up`
#[derive(Clone, Debug)]
pub struct UpConfig {
    /// How many pairs; 1 to 512.
    pub servers: u32,
    /// The data directory; made when it is missing.
    pub data: DataConfig,
    /// Of the router. Port 0: all ports are drawn.
    pub listen: SocketAddr,
    /// Of the router.
    pub policy: Policy,
    /// Where the pages of the nodes begin.
    pub http: UpHttp,
    /// Where the course's clients connect.
    pub course: Option<SocketAddr>,
    /// Calls that take longer are logged.
    pub slow_call_ms: u64,
    /// Who gets in.
    pub auth: AuthPolicy,
    /// What one client may take.
    pub limits: LimitsConfig,
    /// Who may get in.
    pub doors: Doors,
}

/// Where `up` puts the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpHttp {
    /// There are none.
    Off,
    /// On the next free ports above all others.
    Next,
    /// On this address and the next free ports above it.
    From(SocketAddr),
}

/// `down`
#[derive(Clone, Debug)]
pub struct DownConfig {
    /// The data directory.
    pub data: PathBuf,
}

/// `status`: whom to ask.
#[derive(Clone, Debug)]
pub enum StatusConfig {
    /// These routers, in order, until one answers.
    Routers(Vec<Uri>, Dial),
    /// The servers of this data directory.
    Data(PathBuf),
}

/// `router`
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// Port 0 is drawn.
    pub listen: SocketAddr,
    /// How to draw servers.
    pub policy: Policy,
    /// The file with the key that announcements must show; `None`: all are taken.
    pub announce_key: Option<PathBuf>,
    /// With accounts, who does not hold that key is not told all.
    pub auth: AuthMode,
    /// What one client may take.
    pub limits: LimitsConfig,
    /// Who may get in.
    pub doors: Doors,
}

/// `master`, `slave`
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Which of the two.
    pub role: ServerRole,
    /// Of the pair: `[a-z0-9_]{1,32}`.
    pub pair: String,
    /// The data directory; made when it is missing.
    pub data: DataConfig,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where the partner asks.
    pub peer_listen: SocketAddr,
    /// Whom to announce to; at least one.
    pub routers: Vec<Uri>,
    /// Who starts the partner.
    pub partner_by: PartnerBy,
    /// The page.
    pub page: PageConfig,
    /// What one client may take.
    pub limits: LimitsConfig,
    /// Who may get in.
    pub doors: Doors,
}

/// What a node shows besides its calls.
#[derive(Clone, Copy, Debug)]
pub struct PageConfig {
    /// Where browsers connect. `None`: no page, no metrics.
    pub http: Option<SocketAddr>,
    /// Calls that take longer are logged.
    pub slow_call_ms: u64,
    /// Who gets in.
    pub auth: AuthPolicy,
}

/// The page, the doors and the limits of a node, as whoever starts it gives them.
#[derive(Clone, Copy, Debug)]
pub struct PageFlags {
    /// Where, if its file does not say; `None`: no page.
    pub http: Option<IpAddr>,
    /// As in [`PageConfig`].
    pub slow_call_ms: u64,
    /// As in [`PageConfig`].
    pub auth: AuthPolicy,
    /// What one client may take.
    pub limits: LimitsConfig,
}

/// The address of no page.
pub const OFF: &str = "off";

impl NodeConfig {
    /// What its partner is started with.
    pub fn page_flags(&self) -> PageFlags {
        PageFlags {
            http: self.page.http.map(|address| address.ip()),
            slow_call_ms: self.page.slow_call_ms,
            auth: self.page.auth,
            limits: self.limits,
        }
    }

    /// `a-master`, `a-slave`: unique in the data directory.
    pub fn node(&self) -> String {
        node_name(&self.pair, self.role)
    }

    /// Name of the other one.
    pub fn partner(&self) -> String {
        let role = match self.role {
            ServerRole::Master => ServerRole::Slave,
            _ => ServerRole::Master,
        };
        node_name(&self.pair, role)
    }
}

/// Name of the node that plays `role` in `pair`.
pub fn node_name(pair: &str, role: ServerRole) -> String {
    match role {
        ServerRole::Slave => format!("{pair}-slave"),
        _ => format!("{pair}-master"),
    }
}

/// `token`, `invite`
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// The data directory, which is there.
    pub data: DataConfig,
    /// Whose it is.
    pub user: Username,
    /// What it is good for.
    pub scopes: Scopes,
    /// For how long.
    pub hours: u32,
}

/// `cert`
#[derive(Clone, Debug)]
pub struct CertConfig {
    /// Where the files go; made when it is missing.
    pub out: PathBuf,
    /// Names and addresses besides those of this machine itself.
    pub hosts: Vec<String>,
    /// How long the certificate is good for; at least 1.
    pub days: u64,
    /// Replace the one that is there.
    pub renew: bool,
}

/// `import`
#[derive(Clone, Debug)]
pub struct ImportConfig {
    /// The data directory; made when it is missing.
    pub data: DataConfig,
    /// A name a line.
    pub users: Option<PathBuf>,
    /// Two names a line.
    pub follows: Option<PathBuf>,
    /// Each line both ways.
    pub undirected: bool,
    /// A JSON object a line.
    pub posts: Option<PathBuf>,
    /// An export, alone; `-`: stdin.
    pub all: Option<PathBuf>,
}

impl Config {
    /// Checks what was typed. `variable` gives the value of an environment variable.
    ///
    /// # Errors
    /// `Invalid`: an address, a name or a URL that is none, or one that is not allowed.
    pub fn check(args: Args, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let task = match args.command {
            Command::Up(typed) => Task::Up(up(typed)?),
            Command::Cert(typed) => Task::Cert(CertConfig {
                out: typed.out,
                hosts: typed.host,
                days: typed.days,
                renew: typed.renew,
            }),
            Command::Down(down) => Task::Down(DownConfig { data: down.data }),
            Command::Restart(typed) => Task::Restart(typed),
            Command::Status(typed) => Task::Status(status(typed, variable)?),
            Command::Router(router) => {
                let doors = Doors::check(&router.doors)?;
                let listen = exposed("--listen", address("--listen", &router.listen)?, &doors)?;
                believes_servers(listen, router.announce_key.is_some(), &doors)?;
                Task::Router(RouterConfig {
                    listen,
                    policy: router.policy,
                    announce_key: router.announce_key,
                    auth: auth_mode(router.auth, &[listen], &doors)?,
                    limits: router.limits.into(),
                    doors,
                })
            }
            Command::Gateway(typed) => Task::Gateway(GatewayConfig::check(typed)?),
            Command::Master(typed) => Task::Node(node(ServerRole::Master, typed)?),
            Command::Slave(typed) => Task::Node(node(ServerRole::Slave, typed)?),
            Command::Invite(typed) => Task::Token(TokenConfig {
                data: named(typed.data)?,
                user: user(&typed.user)?,
                scopes: Scopes::CLAIM,
                hours: typed.hours,
            }),
            Command::Token(typed) => Task::Token(TokenConfig {
                data: named(typed.data)?,
                user: user(&typed.user)?,
                scopes: typed.scope.iter().fold(Scopes::ANY, |all, one| {
                    all | match one {
                        ScopeArg::Read => Scopes::READ,
                        ScopeArg::Post => Scopes::POST,
                        ScopeArg::Admin => Scopes::ADMIN,
                    }
                }),
                hours: typed.hours,
            }),
            Command::Import(typed) => Task::Import(ImportConfig {
                data: named(typed.data)?,
                users: typed.users,
                follows: typed.follows,
                undirected: typed.undirected,
                posts: typed.posts,
                all: typed.all,
            }),
            Command::Log(LogCommand::Dump(typed)) => Task::LogDump(any(typed)?),
            Command::Log(LogCommand::Verify(typed)) => Task::LogVerify(any(typed)?),
            Command::Log(LogCommand::Copy(typed)) => Task::LogCopy(CopyConfig::check(typed)?),
            Command::Snapshot(SnapshotCommand::Create(typed)) => {
                Task::SnapshotCreate(named(typed)?)
            }
            Command::Snapshot(SnapshotCommand::Verify(typed)) => Task::SnapshotVerify(any(typed)?),
            Command::Snapshot(SnapshotCommand::List(typed)) => Task::SnapshotList(any(typed)?),
            Command::Backup(typed) => Task::Backup(crate::backup::BackupTask::check(typed)?),
            Command::Export(typed) => Task::Export(crate::export::ExportConfig::check(typed)?),
            Command::Config(typed) => {
                Task::Config(crate::config_cmd::ConfigTask::new(typed, args.config))
            }
            Command::Doctor(typed) => Task::Doctor(typed.try_into()?),
            Command::Completions(typed) => Task::Manual(typed.into()),
            Command::Man(typed) => Task::Manual(typed.into()),
        };
        Ok(Self {
            json: args.json,
            task,
        })
    }
}

fn user(name: &str) -> Result<Username> {
    Ok(Username::parse(name)?)
}

fn auth(typed: args::Auth, listen: &[SocketAddr], doors: &Doors) -> Result<AuthPolicy> {
    Ok(AuthPolicy {
        auth: auth_mode(typed.auth, listen, doors)?,
        signup: typed.signup,
        token_ttl_ms: u64::from(typed.token_hours) * 3_600_000,
    })
}

fn named(typed: args::Data) -> Result<DataConfig> {
    DataConfig::check(typed.data, typed.storage)
}

/// A log that may lie elsewhere: then no directory is needed.
fn any(typed: args::AnyLog) -> Result<DataConfig> {
    let path = typed.data.clone().unwrap_or_default();
    let config = DataConfig::check(path, typed.storage)?;
    if typed.data.is_none() && config.log == LogPlace::Dir {
        return Err(Failure::invalid(
            "which log? Give --data DIR, or --log nats://HOST",
        ));
    }
    Ok(config)
}

fn node(role: ServerRole, typed: args::Node) -> Result<NodeConfig> {
    let fits = (1..=32).contains(&typed.name.len());
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if !fits || !typed.name.bytes().all(allowed) {
        return Err(Failure::invalid(format!(
            "--name {:?} names no pair: 1 to 32 of a-z, 0-9 and _ make a name",
            typed.name
        )));
    }
    let doors = Doors::check_mutual(&typed.doors)?;
    let routers = routers(&typed.router)?;
    for router in &routers {
        if router.scheme_str() != Some(doors.scheme()) {
            return Err(Failure::invalid(match doors.tls {
                Some(_) => format!(
                    "--router {router} would tell clients to come without TLS: with --tls-cert a \
                     router is https:// and has a certificate too"
                ),
                None => format!(
                    "--router {router} speaks TLS: give --tls-cert, --tls-key and --tls-ca too"
                ),
            }));
        }
    }
    let listen = exposed("--listen", reachable("--listen", &typed.listen)?, &doors)?;
    let http = match &*typed.http {
        OFF => None,
        typed => Some(exposed("--http", address("--http", typed)?, &doors)?),
    };
    let addresses: Vec<SocketAddr> = http.into_iter().chain([listen]).collect();
    Ok(NodeConfig {
        role,
        pair: typed.name,
        data: named(typed.data)?,
        listen,
        peer_listen: exposed(
            "--peer-listen",
            reachable("--peer-listen", &typed.peer_listen)?,
            &doors,
        )?,
        routers,
        partner_by: typed.partner,
        page: PageConfig {
            http,
            slow_call_ms: typed.slow.call_ms,
            auth: auth(typed.auth, &addresses, &doors)?,
        },
        limits: typed.limits.into(),
        doors,
    })
}

fn up(typed: args::Up) -> Result<UpConfig> {
    let doors = Doors::check_mutual(&typed.doors)?;
    // Its nodes listen there too.
    let listen = exposed("--listen", reachable("--listen", &typed.listen)?, &doors)?;
    let http = match typed.http.as_deref() {
        None => UpHttp::Next,
        Some(OFF) => UpHttp::Off,
        Some(typed) => UpHttp::From(exposed("--http", address("--http", typed)?, &doors)?),
    };
    let mut addresses = vec![listen];
    if let UpHttp::From(first) = http {
        addresses.push(first);
    }
    let auth = auth(typed.auth, &addresses, &doors)?;
    let course = typed.course.filter(|typed| !typed.is_empty());
    let course = course.map(|typed| gateway::place(&typed, &doors, auth.auth));
    Ok(UpConfig {
        course: course.transpose()?,
        servers: typed.servers,
        data: DataConfig::check(typed.data, typed.storage)?,
        listen,
        policy: typed.policy,
        http,
        slow_call_ms: typed.slow.call_ms,
        auth,
        limits: typed.limits.into(),
        doors,
    })
}

fn status(
    typed: args::StatusArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<StatusConfig> {
    if let Some(data) = typed.data {
        return Ok(StatusConfig::Data(data));
    }
    let urls = if !typed.router.is_empty() {
        typed.router
    } else if let Some(urls) = variable("SNS_ROUTER") {
        urls.split(',').map(str::to_owned).collect()
    } else if let Some(data) = variable("SNS_DATA") {
        return Ok(StatusConfig::Data(data.into()));
    } else {
        vec![ROUTER_DEFAULT.to_owned()]
    };
    let routers = routers(&urls)?;
    let tls = |uri: &Uri| uri.scheme_str() == Some("https");
    let dial = match typed.tls_ca.filter(|file| !file.is_empty()) {
        _ if !routers.iter().any(tls) => Dial::Plain,
        _ if !routers.iter().all(tls) => {
            return Err(Failure::invalid(
                "--router: either all routers speak TLS (https://) or none does",
            ));
        }
        Some(ca) => Dial::trusting(ca.as_ref())?,
        None => {
            return Err(Failure::invalid(format!(
                "--router {} speaks TLS: give --tls-ca FILE, the CA of its certificate",
                urls.join(",")
            )));
        }
    };
    Ok(StatusConfig::Routers(routers, dial))
}

/// `host:port`, the first address it resolves to.
pub(crate) fn address(flag: &str, text: &str) -> Result<SocketAddr> {
    let text = text.strip_prefix("http://").unwrap_or(text);
    let text = text.strip_prefix("https://").unwrap_or(text);
    text.to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| {
            Failure::invalid(format!(
                "{flag} {text:?} is no address: give host:port, as in 127.0.0.1:7400"
            ))
        })
}

/// An address that others are told, so it has to name a machine.
fn reachable(flag: &str, text: &str) -> Result<SocketAddr> {
    let found = address(flag, text)?;
    if !found.ip().is_unspecified() {
        return Ok(found);
    }
    Err(Failure::invalid(format!(
        "{flag} {found} is told to others, who cannot connect to it: name one address of this \
         machine, as in 127.0.0.1:{}",
        found.port()
    )))
}

/// `http://host:port`, `https://host:port`; `http://` may be left out.
fn routers(texts: &[String]) -> Result<Vec<Uri>> {
    let parse = |text: &String| -> Option<Uri> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let uri = format!("{scheme}://{}", rest.trim_end_matches('/'));
        let known = matches!(scheme, "http" | "https");
        let uri: Uri = known.then(|| uri.parse().ok()).flatten()?;
        uri.port_u16()?;
        (uri.path() == "/" && uri.query().is_none()).then_some(uri)
    };
    let refused = |text: &String| {
        Failure::invalid(format!(
            "--router {text:?} is no URL of a router: give http://host:port or https://host:port"
        ))
    };
    texts
        .iter()
        .map(|text| parse(text).ok_or_else(|| refused(text)))
        .collect()
}

#[cfg(test)]
mod tests;
