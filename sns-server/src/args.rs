//! What was typed: the command line as clap reads it. What it means stands in
//! [`config`](crate::config).

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};

use crate::config_cmd::ConfigArgs;
use crate::doctor::DoctorArgs;
use crate::doors::DoorArgs;
use crate::gateway::GatewayArgs;
use crate::limits::LimitArgs;
use crate::manual::{CompletionArgs, ManArgs};

/// The server of SNS: a social feed that you can replicate and kill.
#[derive(Debug, Parser)]
#[command(name = "sns-server", version, about, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    /// Print one JSON object a line, errors too.
    #[arg(long, global = true)]
    pub json: bool,
    /// A file with settings (TOML): a key is a long flag, a table a command. Flags and variables go
    /// before it.
    // Empty counts as not given.
    #[arg(long, value_name = "FILE", env = "SNS_CONFIG", global = true)]
    pub config: Option<std::ffi::OsString>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum Command {
    /// Start a router and pairs of servers on this machine; Ctrl-C stops them all.
    Up(Up),
    /// Stop everything that runs on a data directory.
    Down(Down),
    /// Replace running processes by the program as it is on disk now, one after the other.
    Restart(crate::restart::RestartArgs),
    /// Show every server: state, lag, restarts.
    Status(StatusArgs),
    /// Run a router: it hands servers to clients.
    Router(RouterArgs),
    /// Serve the client of a course, CSCE 438: see docs/course.md.
    Gateway(GatewayArgs),
    /// Run the master of a pair.
    Master(Node),
    /// Run the slave of a pair; it starts and watches its master.
    Slave(Node),
    /// Load users, follows and posts in bulk, beside running servers.
    Import(Import),
    /// Make an invitation: with it somebody may make a name, or claim one without a password.
    Invite(Invite),
    /// Make a token, as for who collects metrics or forgot a password.
    Token(TokenArgs),
    /// Make certificates for TLS: a CA, and one for servers.
    Cert(Cert),
    /// Look into the log.
    #[command(subcommand)]
    Log(LogCommand),
    /// Make, check and list snapshots.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Back a feed up, and bring it back.
    #[command(subcommand)]
    Backup(crate::backup::BackupCommand),
    /// Write everything as JSON lines, beside running servers.
    Export(crate::export::ExportArgs),
    /// Show or check what counts: flags, variables, a file, defaults.
    #[command(subcommand)]
    Config(ConfigArgs),
    /// Look at this machine and its data, and say what to do before it fails.
    Doctor(DoctorArgs),
    /// Print what completes this program's words in a shell.
    Completions(CompletionArgs),
    /// Write manual pages: one for each command into a directory, or the first to stdout.
    Man(ManArgs),
}

/// How a router draws servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum Policy {
    /// At random.
    #[default]
    Random,
    /// The one of two random ones that has fewer open streams.
    P2c,
}

/// Whether names need passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum AuthMode {
    /// A name without a password is anybody's: for one machine, or a class.
    Open,
    /// A name belongs to who made it.
    Accounts,
}

/// Who may make a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum Signup {
    /// Anybody who chooses a password.
    #[default]
    Open,
    /// Who was invited: `sns-server invite`.
    Invited,
}

/// Who gets in.
#[derive(Clone, Copy, Debug, Group)]
pub struct Auth {
    /// Whether names need passwords [default: `open` where all listen on loopback, else `accounts`].
    #[arg(long, value_name = "MODE", env = "SNS_AUTH")]
    pub auth: Option<AuthMode>,
    /// Who may make a name with a password.
    #[arg(long, value_name = "WHO", env = "SNS_SIGNUP", default_value = "open")]
    pub signup: Signup,
    /// Hours for which a token is good.
    #[arg(
        long,
        value_name = "HOURS",
        env = "SNS_TOKEN_HOURS",
        default_value_t = 720
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=8_760))]
    pub token_hours: u32,
}

/// How the data is kept.
#[derive(Debug, Group)]
pub struct Storage {
    /// Where the log is: `dir`, in the data directory, or `nats://HOST[:PORT],...`, a cluster of
    /// NATS JetStream; then the data directory holds the views of this machine alone.
    #[arg(
        long = "log",
        value_name = "LOG",
        env = "SNS_LOG",
        default_value = "dir"
    )]
    pub log: String,
    /// How the cluster is reached.
    #[command(flatten)]
    pub nats: Nats,
    /// Use a network file system all the same. Several machines on one directory lose data.
    #[arg(long, env = "SNS_FORCE_NETWORK_FS")]
    pub force_network_fs: bool,
    /// Bytes after which a segment of the log is full; whole segments are trimmed. 65536 at least.
    #[arg(long, value_name = "BYTES", env = "SNS_SEGMENT_BYTES")]
    #[arg(default_value_t = sns_core::limits::SEGMENT_BYTES)]
    #[arg(value_parser = clap::value_parser!(u64).range(65_536..))]
    pub segment_bytes: u64,
}

/// How a NATS cluster is reached, and how the stream is made in it.
#[derive(Debug, Group)]
#[command(next_help_heading = "With --log nats://")]
pub struct Nats {
    /// The stream that holds the log.
    #[arg(
        long,
        value_name = "NAME",
        env = "SNS_NATS_STREAM",
        default_value = "SNS"
    )]
    pub nats_stream: String,
    /// Copies of the stream when it is made; by default 3 in a cluster, else 1.
    #[arg(long, value_name = "N", env = "SNS_NATS_REPLICAS")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=5))]
    pub nats_replicas: Option<u8>,
    /// User of the cluster.
    #[arg(long, value_name = "NAME", env = "SNS_NATS_USER")]
    #[arg(requires = "nats_password_file")]
    pub nats_user: Option<String>,
    /// A file with the user's password.
    #[arg(long, value_name = "FILE", env = "SNS_NATS_PASSWORD_FILE")]
    #[arg(requires = "nats_user")]
    pub nats_password_file: Option<PathBuf>,
    /// A file with a token.
    #[arg(long, value_name = "FILE", env = "SNS_NATS_TOKEN_FILE")]
    #[arg(conflicts_with_all = ["nats_user", "nats_credentials"])]
    pub nats_token_file: Option<PathBuf>,
    /// A credentials file (JWT and key).
    #[arg(long, value_name = "FILE", env = "SNS_NATS_CREDENTIALS")]
    #[arg(conflicts_with = "nats_user")]
    pub nats_credentials: Option<PathBuf>,
    /// A PEM file with the CA that signed the servers' certificates; turns TLS on.
    #[arg(long, value_name = "FILE", env = "SNS_NATS_CA")]
    pub nats_ca: Option<PathBuf>,
    /// A PEM file with a certificate for servers that ask for one; turns TLS on.
    #[arg(long, value_name = "FILE", env = "SNS_NATS_CERTIFICATE")]
    #[arg(requires = "nats_key")]
    pub nats_certificate: Option<PathBuf>,
    /// A PEM file with the key of that certificate.
    #[arg(long, value_name = "FILE", env = "SNS_NATS_KEY")]
    #[arg(requires = "nats_certificate")]
    pub nats_key: Option<PathBuf>,
    /// Run also where the cluster could lose what it acknowledged: with one replica, or servers
    /// without `sync_interval: always`.
    #[arg(long, env = "SNS_ACCEPT_WEAKER_DURABILITY")]
    pub accept_weaker_durability: bool,
    /// Keep snapshots in this directory, which every machine must see, not in the cluster.
    #[arg(long, value_name = "DIR", env = "SNS_SNAPSHOTS")]
    pub snapshots: Option<PathBuf>,
}

/// A data directory that must be named.
#[derive(Debug, Group)]
pub struct Data {
    /// The data directory.
    #[arg(long, value_name = "DIR", env = "SNS_DATA")]
    pub data: PathBuf,
    /// How it is kept.
    #[command(flatten)]
    pub storage: Storage,
}

/// A log, whether or not this machine has views of it.
#[derive(Debug, Group)]
pub struct AnyLog {
    /// The data directory; not needed with --log nats://.
    #[arg(long, value_name = "DIR", env = "SNS_DATA")]
    pub data: Option<PathBuf>,
    /// How it is kept.
    #[command(flatten)]
    pub storage: Storage,
}

/// `log copy`
#[derive(Debug, Group)]
pub struct Copy {
    /// The log to copy: a data directory on which nothing runs, or `nats://HOST[:PORT],...`.
    #[arg(long, value_name = "LOG")]
    pub from: String,
    /// Where it goes, a log that is new or an earlier copy of the same: a data directory, or
    /// `nats://HOST[:PORT],...`.
    #[arg(long, value_name = "LOG")]
    pub to: String,
    /// How the cluster is reached.
    #[command(flatten)]
    pub nats: Nats,
}

/// `up`
#[derive(Debug, Group)]
pub struct Up {
    /// How many pairs of a master and a slave.
    #[arg(long, value_name = "N", env = "SNS_SERVERS", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=512))]
    pub servers: u32,
    /// The data directory; made when it is missing.
    #[arg(
        long,
        value_name = "DIR",
        env = "SNS_DATA",
        default_value = "./sns-data"
    )]
    pub data: PathBuf,
    /// Address of the router; the nodes take the next free ports above it. Port 0: all are drawn.
    #[arg(
        long,
        value_name = "ADDR",
        env = "SNS_LISTEN",
        default_value = "127.0.0.1:7400"
    )]
    pub listen: String,
    /// How the router draws servers.
    #[arg(long, env = "SNS_POLICY", default_value = "random")]
    pub policy: Policy,
    /// Where the pages begin: the first node takes this address, the others the next free ports above
    /// it [default: the next free ports above all others]. `off`: no pages, no metrics.
    #[arg(long, value_name = "ADDR", env = "SNS_HTTP")]
    pub http: Option<String>,
    /// Serve the client of a course there too, CSCE 438: see docs/course.md. Port 0 is drawn.
    #[arg(long, value_name = "ADDR", env = "SNS_COURSE")]
    pub course: Option<String>,
    /// Log calls that take longer.
    #[command(flatten)]
    pub slow: Slow,
    /// Who gets in.
    #[command(flatten)]
    pub auth: Auth,
    /// What one client may take.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// How the data is kept.
    #[command(flatten)]
    pub storage: Storage,
    /// Who may get in.
    #[command(flatten)]
    pub doors: DoorArgs,
}

/// `down`
#[derive(Debug, Group)]
pub struct Down {
    /// The data directory.
    #[arg(
        long,
        value_name = "DIR",
        env = "SNS_DATA",
        default_value = "./sns-data"
    )]
    pub data: PathBuf,
}

/// `status`
#[derive(Debug, Group)]
pub struct StatusArgs {
    /// The routers to ask; by default the one on 127.0.0.1:7400.
    // The variables are read in `config`: they must not count as a conflict.
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        conflicts_with = "data"
    )]
    pub router: Vec<String>,
    /// Ask the servers that run on this data directory instead.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The CA of routers that speak TLS (https://).
    // Empty counts as not given, as with the other variables that are read here.
    #[arg(long, value_name = "FILE", env = "SNS_TLS_CA")]
    pub tls_ca: Option<std::ffi::OsString>,
}

/// `router`
#[derive(Debug, Group)]
pub struct RouterArgs {
    /// Where to listen; off loopback only with TLS.
    #[arg(long, value_name = "ADDR", env = "SNS_LISTEN")]
    pub listen: String,
    /// How to draw servers.
    #[arg(long, env = "SNS_POLICY", default_value = "random")]
    pub policy: Policy,
    /// Take announcements from servers alone that hold this key: a copy of DATA/announce.key.
    #[arg(long, value_name = "FILE", env = "SNS_ANNOUNCE_KEY")]
    pub announce_key: Option<PathBuf>,
    /// With `accounts`, who does not hold that key is shown no digests and reasons [default:
    /// `open` on loopback, else `accounts`].
    #[arg(long, value_name = "MODE", env = "SNS_AUTH")]
    pub auth: Option<AuthMode>,
    /// What one client may take.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Who may get in.
    #[command(flatten)]
    pub doors: DoorArgs,
}

/// `master`, `slave`
#[derive(Debug, Group)]
pub struct Node {
    /// Name of the pair.
    #[arg(long, env = "SNS_NAME")]
    pub name: String,
    /// The data directory.
    #[command(flatten)]
    pub data: Data,
    /// Where clients connect.
    #[arg(long, value_name = "ADDR", env = "SNS_LISTEN")]
    pub listen: String,
    /// Where the partner asks how it goes.
    #[arg(long, value_name = "ADDR", env = "SNS_PEER_LISTEN")]
    pub peer_listen: String,
    /// The routers to announce to.
    #[arg(
        long,
        value_name = "URL",
        env = "SNS_ROUTER",
        value_delimiter = ',',
        required = true
    )]
    pub router: Vec<String>,
    /// What is done about the other node of the pair when it is not there.
    #[arg(
        long,
        value_name = "WHAT",
        env = "SNS_PARTNER",
        default_value = "start"
    )]
    pub partner: PartnerBy,
    /// Where browsers connect, and who collects metrics; off loopback only with TLS. Port 0 is drawn and kept in
    /// DATA/nodes/NODE/node.json. `off`: no page, no metrics.
    #[arg(
        long,
        value_name = "ADDR",
        env = "SNS_HTTP",
        default_value = "127.0.0.1:0"
    )]
    pub http: String,
    /// Log calls that take longer.
    #[command(flatten)]
    pub slow: Slow,
    /// Who gets in.
    #[command(flatten)]
    pub auth: Auth,
    /// What one client may take.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Who may get in.
    #[command(flatten)]
    pub doors: DoorArgs,
}

/// Who starts the other node of a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum PartnerBy {
    /// This one does, whenever it is not there.
    #[default]
    Start,
    /// Somebody else, as systemd does: it is only watched, and killed when it hangs.
    #[value(name = "watch")]
    Others,
}

/// What counts as slow.
#[derive(Clone, Copy, Debug, Group)]
pub struct Slow {
    /// Log calls that take longer than so many milliseconds; at most 10 lines a second.
    #[arg(
        long = "slow-call-ms",
        value_name = "MS",
        env = "SNS_SLOW_CALL_MS",
        default_value_t = 250
    )]
    pub call_ms: u64,
}

/// `invite`
#[derive(Debug, Group)]
pub struct Invite {
    /// The data directory.
    #[command(flatten)]
    pub data: Data,
    /// The name that it is for.
    #[arg(long, value_name = "NAME")]
    pub user: String,
    /// Hours for which it is good.
    #[arg(long, value_name = "HOURS", default_value_t = 168)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=8_760))]
    pub hours: u32,
}

/// What a token may be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum ScopeArg {
    /// Pages, streams, lists.
    Read,
    /// Posts and follows, and another password without the old one.
    Post,
    /// The operations page and the metrics.
    Admin,
}

/// `token`
#[derive(Debug, Group)]
pub struct TokenArgs {
    /// The data directory.
    #[command(flatten)]
    pub data: Data,
    /// Whose it is; the user need not be there for `admin`.
    #[arg(long, value_name = "NAME")]
    pub user: String,
    /// What it is good for.
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', required = true)]
    pub scope: Vec<ScopeArg>,
    /// Hours for which it is good.
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=8_760))]
    pub hours: u32,
}

/// `cert`
#[derive(Debug, Group)]
pub struct Cert {
    /// Where the files go: ca.pem, ca.key, server.pem, server.key. A CA that is there is kept.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// A name or an address of the machine, as others connect to it; may be given several times.
    /// localhost and its addresses are always in.
    #[arg(long, value_name = "NAME_OR_IP", value_delimiter = ',')]
    pub host: Vec<String>,
    /// How long the certificate is good for.
    #[arg(long, value_name = "N", default_value_t = 365)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3_650))]
    pub days: u64,
    /// Put a new certificate in the place of the one that is there.
    #[arg(long)]
    pub renew: bool,
}

/// `import`
#[derive(Debug, Group)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct Import {
    /// The data directory; made when it is missing.
    #[command(flatten)]
    pub data: Data,
    /// A name a line.
    #[arg(long, value_name = "F", group = "what")]
    pub users: Option<PathBuf>,
    /// Two names a line, split by blanks, tab or comma: the first follows the second.
    #[arg(long, value_name = "F", group = "what")]
    pub follows: Option<PathBuf>,
    /// The second follows the first, too.
    #[arg(long, requires = "follows")]
    pub undirected: bool,
    /// JSON objects, one a line, with `author` and `text`.
    #[arg(long, value_name = "F", group = "what")]
    pub posts: Option<PathBuf>,
    /// Everything, as `sns-server export` wrote it (`-`: from stdin), into a directory that is missing
    /// or empty.
    #[arg(long, value_name = "F", group = "what")]
    #[arg(conflicts_with_all = ["users", "follows", "posts"])]
    pub all: Option<PathBuf>,
}

/// `log`
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum LogCommand {
    /// Print every entry, one JSON object a line.
    Dump(AnyLog),
    /// Check every entry.
    Verify(AnyLog),
    /// Copy a log from a data directory to a NATS cluster, or back, and compare the two.
    Copy(Copy),
}

/// `snapshot`
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum SnapshotCommand {
    /// Make one now.
    Create(Data),
    /// Check all there are.
    Verify(AnyLog),
    /// List all there are.
    List(AnyLog),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_command_lines_of_the_design_are_understood() {
        for line in [
            "up",
            "up --servers 3 --data d --listen 127.0.0.1:0",
            "down",
            "down --data d",
            "status",
            "status --router http://127.0.0.1:7400 --json",
            "status --data d --json",
            "router --listen 127.0.0.1:7400",
            "router --listen h:1 --tls-cert c --tls-key k --tls-ca a",
            "up --insecure --tls-cert c --tls-key k --tls-ca a",
            "status --router https://h:1 --tls-ca a",
            "cert --out d --host feed.example --host 10.0.0.1 --days 7 --renew",
            "slave --name a --data d --listen h:1 --peer-listen h:2 --router http://h:3,http://h:4",
            "master --name a --data d --listen h:1 --peer-listen h:2 --router http://h:3 --log dir",
            "import --data d --users u",
            "import --data d --users u --follows f --undirected --posts p --json",
            "log dump --data d",
            "log verify --data d",
            "snapshot create --data d",
            "snapshot verify --data d",
            "snapshot list --data d --json",
            "backup create --data d --out f --force",
            "backup create --data d --out - --json",
            "backup verify f",
            "backup restore f --data d --keep-id",
            "export --data d",
            "export --data d --out f --without-accounts --force",
            "import --data d --all f",
            "up --log nats://a,b,c --nats-replicas 3 --nats-user u --nats-password-file f",
            "log dump --log nats://a",
            "log copy --from d --to nats://a:4222,b:4222 --nats-stream S",
        ] {
            let typed = std::iter::once("sns-server").chain(line.split(' '));
            if let Err(refused) = Args::try_parse_from(typed) {
                panic!("{line}: {refused}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "up --servers 0",
            "status --router http://h:1 --data d",
            "import --data d",
            "import --data d --users u --undirected",
            "import --data d --users u --all f",
            "backup create --data d",
            "backup restore f",
            "master --name a --data d --listen h:1 --peer-listen h:2",
            "up --nats-user me",
            "up --tls-cert c",
            "up --tls-ca a",
            "cert",
            "log copy --from d",
            "up --log nats://h --nats-replicas 7",
            "fly",
        ] {
            let typed = std::iter::once("sns-server").chain(line.split(' '));
            let refused = Args::try_parse_from(typed).expect_err(line);
            assert_eq!(refused.exit_code(), 2, "{line}");
        }
    }
}
