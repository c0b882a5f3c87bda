//! What was typed: raw arguments, unchecked.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::{Parser, Subcommand};

use crate::output::Failure;

/// Follow, post, read and watch. Without a command: interactive; HELP lists what can be typed there.
#[derive(Debug, Parser)]
#[command(name = "sns", version, disable_help_subcommand = true)]
pub(crate) struct Args {
    /// Who you are: 1 to 32 of a-z, 0-9 and _ [default: who logged in last, see `auth`]. Where names
    /// have no passwords, one is made the first time.
    #[arg(short, long, global = true, env = "SNS_USER", value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// The router, or several: any of them will do [default: 127.0.0.1:7400]
    #[arg(long, global = true, env = "SNS_ROUTER", value_name = "URL[,URL]")]
    pub(crate) router: Option<String>,

    /// The CA by which the certificates of routers and servers must be, for routers with https:// [default:
    /// whom the system trusts]
    #[arg(long, global = true, env = "SNS_TLS_CA", value_name = "FILE")]
    pub(crate) tls_ca: Option<OsString>,

    /// Prints one JSON object a line; ids and seqs are numbers of up to 64 bits. Errors go to
    /// stderr as {"error": {"kind", "reason", "message"}}.
    #[arg(long, global = true, env = "SNS_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,

    /// Whether the interactive mode keeps commands for later sessions, in
    /// `$XDG_STATE_HOME/sns/history` (else `~/.local/state/sns/history`); `off` = no. Posts are
    /// never kept.
    #[arg(long, env = "SNS_HISTORY", value_name = "on|off", default_value = "on")]
    #[arg(action = clap::ArgAction::Set, hide_possible_values = true, value_parser = FalseyValueParser::new())]
    pub(crate) history: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Raw>,
}

/// A command as typed.
#[derive(Debug, Subcommand)]
pub(crate) enum Raw {
    /// Follows a user.
    Follow {
        /// Whom.
        user_name: String,
    },
    /// Follows a user no longer.
    Unfollow {
        /// Whom.
        user_name: String,
    },
    /// Posts a text and prints its id.
    Post {
        /// The text; `-` reads it from stdin, as it is, to the end.
        #[arg(allow_hyphen_values = true)]
        text: String,
    },
    /// Deletes a post of yours.
    Delete {
        /// Its id.
        id: String,
    },
    /// Prints the posts of a user, newest first.
    Profile {
        /// Whose.
        user_name: String,
        #[command(flatten)]
        page: RawPage,
    },
    /// Prints all users, by name.
    List {
        /// Those who follow you.
        #[arg(long, conflicts_with = "following")]
        followers: bool,
        /// Those whom you follow.
        #[arg(long)]
        following: bool,
    },
    /// Prints your posts and those of the users you follow, newest first.
    Timeline {
        #[command(flatten)]
        page: RawPage,
        /// Prints the newest oldest first, then goes on with what happens, until Ctrl-C.
        #[arg(long, conflicts_with = "before")]
        watch: bool,
    },
    /// Writes what is yours as JSON lines: who you are, whom you follow, who follows you, your posts,
    /// newest first.
    Export {
        /// The file to make; `-`: stdout.
        #[arg(long, value_name = "FILE", default_value = "-")]
        out: std::path::PathBuf,
        /// Replaces the file that is there.
        #[arg(long)]
        force: bool,
    },
    /// Logs in and out, and says who you are.
    #[command(subcommand)]
    Auth(RawAuth),
    /// Shows the servers, live: who serves, how far each is, what changes. Needs no user.
    Top(RawTop),
    /// Measures a running service: sends requests at a fixed rate and tells how long they took.
    Bench(Box<RawBench>),
    /// Prints what completes the words of this program in a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Writes manual pages: one for each command into a directory, or the first to stdout.
    Man {
        /// Where they go; made when it is missing.
        #[arg(long, value_name = "DIR")]
        out: Option<std::path::PathBuf>,
    },
}

/// What about the login. Passwords and tokens are asked for on the terminal, or come as lines on
/// stdin; never as a flag, which every process of the machine can read.
#[derive(Debug, Subcommand)]
pub(crate) enum RawAuth {
    /// Logs in and keeps the token, in `$XDG_CONFIG_HOME/sns/credentials.json` (else
    /// `~/.config/sns/credentials.json`).
    Login {
        /// Makes the name: it is yours from then on.
        #[arg(long)]
        new: bool,
        /// Asks for an invitation first; with --new.
        #[arg(long, requires = "new")]
        invited: bool,
        /// Takes a token that the operator made, in the place of a password.
        #[arg(long, conflicts_with_all = ["new", "scope", "hours"])]
        token: bool,
        /// Reads what it would ask for from stdin, a line each.
        #[arg(long)]
        password_stdin: bool,
        /// What the token shall be good for: read, post [default: both]
        #[arg(
            long,
            value_name = "SCOPE",
            value_delimiter = ',',
            conflicts_with = "new"
        )]
        scope: Vec<String>,
        /// For how many hours [default: as long as the server gives]
        #[arg(long, value_name = "N", conflicts_with = "new")]
        hours: Option<String>,
    },
    /// Forgets the token.
    Logout {
        /// Makes every token of yours void, wherever it is.
        #[arg(long)]
        all: bool,
    },
    /// Says who you are, and until when.
    Whoami,
    /// Makes another login of yours the one that counts without -u.
    Switch {
        /// Whose.
        user_name: String,
    },
    /// Changes the password; all other logins become void.
    Passwd {
        /// Reads the old and the new password from stdin, a line each.
        #[arg(long)]
        password_stdin: bool,
    },
}

/// How to look. On a terminal the screen is kept up to date until q, Esc or Ctrl-C; elsewhere each
/// look is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct RawTop {
    /// How often the router is asked; more often while something changes, on a terminal.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub(crate) every: String,
    /// Prints one look and ends.
    #[arg(long)]
    pub(crate) once: bool,
}

/// What to measure. Every latency counts from the moment a request was due, so that a service which
/// stalls is charged with all that had to wait.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("how fast").required(true).args(["rate", "find_max"]))]
pub(crate) struct RawBench {
    /// dsb (60% home page, 30% user page, 10% post), nightcore (40% user page, 25% home page, 30% post,
    /// 5% follow), post, read (2/3 home page, 1/3 user page), watch (from a post to each open stream).
    #[arg(long, default_value = "dsb")]
    pub(crate) mix: String,
    /// The edge list, plain or gzip, that `sns-server import --follows` loaded; without it bench
    /// makes 1,000 users who follow 20 others each.
    #[arg(long, value_name = "FILE")]
    pub(crate) graph: Option<std::path::PathBuf>,
    /// The graph was imported with --undirected.
    #[arg(long, requires = "graph")]
    pub(crate) undirected: bool,
    /// Requests a second, all connections together.
    #[arg(long, value_name = "R")]
    pub(crate) rate: Option<String>,
    /// Looks for the highest rate of which 99% is achieved with no error and p99 under --p99.
    #[arg(long)]
    pub(crate) find_max: bool,
    /// The p99 that --find-max keeps.
    #[arg(long, value_name = "TIME", default_value = "10ms")]
    pub(crate) p99: String,
    /// Connections, one call at a time each; for watch: open streams, many to a connection.
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) connections: String,
    /// How long is measured.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) duration: String,
    /// How long the load runs before that [default: a tenth of --duration, 2s at most]
    #[arg(long, value_name = "TIME")]
    pub(crate) warmup: Option<String>,
    /// Gives the requests and their times.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) seed: String,
    /// Makes so many posts first, unless a sample shows them [default: 20 a user, 100,000 at most]
    #[arg(long, value_name = "N")]
    pub(crate) preload: Option<String>,
    /// Ends with exit code 10 if it is so, as `p99>20ms`, `errors>0`, `achieved<5000`; knows p50, p90,
    /// p99, p999, max, errors, achieved. May be given several times.
    #[arg(long, value_name = "EXPECTATION")]
    pub(crate) fail_if: Vec<String>,
}

/// What part of a listing.
#[derive(Debug, clap::Args)]
pub(crate) struct RawPage {
    /// At most so many.
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) limit: String,
    /// Only posts with a smaller id.
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<String>,
}

/// What ends the program before it begins.
#[derive(Debug)]
pub(crate) enum Early {
    /// Help or the version, for stdout.
    Text(String),
    /// A mistake.
    Mistake {
        /// Whether JSON was asked for.
        json: bool,
        /// In clap's words.
        failure: Failure,
    },
}

impl Early {
    /// Says it; the exit code.
    pub(crate) fn exit(self) -> ExitCode {
        match self {
            Self::Text(text) => {
                // Help that nobody reads is no failure.
                drop(std::io::stdout().write_all(text.as_bytes()));
                ExitCode::SUCCESS
            }
            Self::Mistake { json, failure } => failure.report(json),
        }
    }
}

/// Reads what was typed.
pub(crate) fn parse(typed: impl IntoIterator<Item = OsString>) -> Result<Args, Early> {
    let typed: Vec<OsString> = typed.into_iter().collect();
    Args::try_parse_from(&typed).map_err(|error| {
        if !error.use_stderr() {
            return Early::Text(error.to_string());
        }
        let text = error.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        Early::Mistake {
            json: typed.iter().any(|arg| arg == "--json"),
            failure: Failure::Usage(text.trim_end().to_owned()),
        }
    })
}
