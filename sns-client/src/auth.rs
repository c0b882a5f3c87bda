//! `sns auth`: log in and out, and who one is.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use serde_json::json;
use sns_client::{Client, Options, Reason, Session, accounts};
use sns_client::{ErrorKind, Identity, Scope};
use tokio::signal::unix::{SignalKind, signal};

use crate::credentials::{Credentials, Kept, names};
use crate::output::{Failure, Output, say};
use crate::terminal::Terminal;

/// Bytes of a password or a token on stdin.
const SECRET_BYTES: u64 = 4_096;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    Login(Login),
    Logout { all: bool },
    WhoAmI,
    Switch(String),
    Password { stdin: bool },
}

/// By what a login is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Password,
    /// A new password makes the name.
    New,
    /// The same, with an invitation.
    Invitation,
    /// A token that the operator gave.
    Token,
}

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) by: By,
    /// Secrets come from stdin, a line each.
    pub(crate) stdin: bool,
    /// None: read and post.
    pub(crate) scopes: Vec<Scope>,
    /// 0: as long as the server gives.
    pub(crate) ttl_seconds: u32,
}

/// Where, and as whom.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) routers: &'a [String],
    /// Empty: whoever is current.
    pub(crate) user: &'a str,
    pub(crate) json: bool,
}

/// Carries it out.
pub(crate) async fn run(what: Auth, place: Place<'_>, options: Options) -> Result<(), Failure> {
    let file = credentials()?;
    match what {
        Auth::Login(how) => log_in(how, &place, options, &file).await,
        Auth::Logout { all } => log_out(all, &place, options, &file).await,
        Auth::WhoAmI => who_am_i(&place, options, &file).await,
        Auth::Switch(user) => {
            if !file
                .switch(place.routers, &user)
                .map_err(|e| broken(&file, &e))?
            {
                let why = format!("{user} is not logged in here: `sns -u {user} auth login`");
                return Err(Failure::Missing(why));
            }
            print(
                &place,
                &json!({"username": user}),
                &format!("you are {user}"),
            )
        }
        Auth::Password { stdin } => change_password(stdin, &place, options, &file).await,
    }
}

/// The routers in one spelling, so that a login is found again.
pub(crate) fn spelled(routers: &[String]) -> Vec<String> {
    let one = |router: &String| {
        let router = router.trim().trim_end_matches('/').to_ascii_lowercase();
        let (scheme, place) = router.split_once("://").unwrap_or(("http", &router));
        let port = place.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        let port = if matches!(port, Some(Ok(_))) {
            ""
        } else {
            ":7400"
        };
        format!("{scheme}://{place}{port}")
    };
    routers.iter().map(one).collect()
}

/// The token kept for `user` at these routers, or of whoever is current there.
pub(crate) fn token(routers: &[String], user: &str) -> Result<Option<Kept>, Failure> {
    let Some(file) = Credentials::of_home() else {
        return Ok(None);
    };
    let user = (!user.is_empty()).then_some(user);
    file.find(routers, user).map_err(|e| broken(&file, &e))
}

fn credentials() -> Result<Credentials, Failure> {
    let homeless = "there is nowhere to keep a login: set HOME or XDG_CONFIG_HOME";
    Credentials::of_home().ok_or_else(|| Failure::Io(homeless.to_owned()))
}

fn broken(file: &Credentials, error: &io::Error) -> Failure {
    Failure::Io(format!("{}: {error}", file.path().display()))
}

async fn log_in(
    how: Login,
    place: &Place<'_>,
    options: Options,
    file: &Credentials,
) -> Result<(), Failure> {
    if place.user.is_empty() && how.by != By::Token {
        let why = "who are you? Say it with -u NAME or SNS_USER";
        return Err(Failure::Usage(why.to_owned()));
    }
    let mut secrets = Secrets::new(how.stdin)?;
    let session = if how.by == By::Token {
        let token = secrets.ask("Token: ").await?;
        let client = options.token(token.clone()).connect().await?;
        let known = client.who_am_i().await?;
        if !place.user.is_empty() && !known.username.eq_ignore_ascii_case(place.user) {
            let why = format!(
                "this token is for {}, not for {}",
                known.username, place.user
            );
            return Err(Failure::Usage(why));
        }
        kept(place, token, known)
    } else if how.by != By::Password {
        let invitation = if how.by == By::Invitation {
            Some(secrets.ask("Invitation: ").await?)
        } else {
            None
        };
        let password = secrets.new_password().await?;
        let session = accounts::sign_up(options, &password, invitation.as_deref()).await?;
        Kept::new(place.routers, session)
    } else {
        let password = secrets.ask("Password: ").await?;
        let session = accounts::log_in(options, &password, &how.scopes, how.ttl_seconds).await;
        Kept::new(place.routers, session?)
    };
    let (user, scopes) = (session.username.clone(), session.scopes.clone());
    let expires = session.expires_at_ms;
    file.keep(session).map_err(|e| broken(file, &e))?;
    let object = json!({"username": user, "scopes": scopes, "expires_at_ms": expires});
    let told = format!("you are {user}, until {}", time(expires));
    print(place, &object, &told)
}

fn kept(place: &Place<'_>, token: String, known: Identity) -> Kept {
    Kept {
        routers: place.routers.to_vec(),
        token,
        scopes: names(&known.scopes),
        username: known.username,
        expires_at_ms: known.expires_at_ms,
        current: true,
    }
}

/// The login that is meant.
fn meant(place: &Place<'_>, file: &Credentials) -> Result<Kept, Failure> {
    let user = (!place.user.is_empty()).then_some(place.user);
    let found = file
        .find(place.routers, user)
        .map_err(|e| broken(file, &e))?;
    found.ok_or_else(|| {
        let told = user.map_or_else(
            || "nobody is logged in here".to_owned(),
            |user| format!("{user} is not logged in here"),
        );
        Failure::Denied(format!("{told}: `sns -u NAME auth login`"))
    })
}

async fn log_out(
    all: bool,
    place: &Place<'_>,
    options: Options,
    file: &Credentials,
) -> Result<(), Failure> {
    let kept = meant(place, file)?;
    let user = kept.username;
    if all {
        // It was good a moment ago: void now, it was this call that made it so, and its answer was lost.
        let client = options.token(kept.token).connect().await?;
        match client.revoke_tokens().await {
            Err(error) if error.reason() == Reason::TokenInvalid => {}
            revoked => drop(revoked?),
        }
    }
    file.forget(place.routers, &user)
        .map_err(|e| broken(file, &e))?;
    let told = if all {
        format!("{user} is logged out everywhere: every token given until now is void")
    } else {
        format!("{user} is logged out here")
    };
    print(place, &json!({"username": user, "all": all}), &told)
}

async fn who_am_i(place: &Place<'_>, options: Options, file: &Credentials) -> Result<(), Failure> {
    let kept = meant(place, file)?;
    let known = options
        .token(kept.token)
        .connect()
        .await?
        .who_am_i()
        .await?;
    let scopes = names(&known.scopes);
    let others: Vec<String> = file
        .at(place.routers)
        .map_err(|e| broken(file, &e))?
        .into_iter()
        .map(|kept| kept.username)
        .filter(|name| *name != known.username)
        .collect();
    let mut told = format!(
        "{} ({}), until {}",
        known.username,
        scopes.join(", "),
        time(known.expires_at_ms)
    );
    if !others.is_empty() {
        told = format!("{told}; `sns auth switch` to {}", others.join(", "));
    }
    let object = json!({
        "username": known.username,
        "scopes": scopes,
        "expires_at_ms": known.expires_at_ms,
        "others": others,
    });
    print(place, &object, &told)
}

async fn change_password(
    stdin: bool,
    place: &Place<'_>,
    options: Options,
    file: &Credentials,
) -> Result<(), Failure> {
    let kept = meant(place, file)?;
    let fresh = options.clone().named(&kept.username);
    let client: Client = options.token(kept.token).connect().await?;
    let mut secrets = Secrets::new(stdin)?;
    let old = secrets
        .ask("Old password (none with a token of the operator): ")
        .await?;
    let new = secrets.new_password().await?;
    let session: Session = match client.change_password(&old, &new).await {
        // Perhaps it was done, and its answer was lost: then the new password says so.
        Err(error) if error.kind() == ErrorKind::Denied => {
            let again = accounts::log_in(fresh, &new, &[], 0).await;
            again.map_err(|_| error)?
        }
        changed => changed?,
    };
    let user = session.username.clone();
    let kept = Kept::new(place.routers, session);
    file.keep(kept).map_err(|e| broken(file, &e))?;
    let told = format!("{user} has another password; all other logins are void");
    print(place, &json!({"username": user}), &told)
}

fn print(place: &Place<'_>, object: &serde_json::Value, told: &str) -> Result<(), Failure> {
    let mut out = Output::new(false);
    out.line(&if place.json {
        object.to_string()
    } else {
        told.to_owned()
    })?;
    out.finish()
}

/// RFC 3339, UTC, to the second.
fn time(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "ever".to_owned(), |at| at.to_string())
}

/// Where secrets come from: a terminal that does not show them, or the lines of stdin. Never a
/// flag, which every process of the machine may read.
struct Secrets {
    stdin: bool,
}

impl Secrets {
    fn new(stdin: bool) -> Result<Self, Failure> {
        if !stdin && !io::stdin().is_terminal() {
            return Err(Failure::Usage(
                "stdin is no terminal to ask on: give --password-stdin and send a line each"
                    .to_owned(),
            ));
        }
        Ok(Self { stdin })
    }

    async fn ask(&mut self, prompt: &'static str) -> Result<String, Failure> {
        let stdin = self.stdin;
        // The terminal is given back when the question is not answered.
        let _kept = if stdin { None } else { Some(Terminal::keep()?) };
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let asking = tokio::task::spawn_blocking(move || {
            if stdin {
                line_of_stdin()
            } else {
                rpassword::prompt_password(prompt)
            }
        });
        let answer = tokio::select! {
            answer = asking => answer.map_err(|e| Failure::Io(e.to_string()))?,
            _ = interrupt.recv() => return Err(Failure::Signal(SignalKind::interrupt())),
            _ = terminate.recv() => return Err(Failure::Signal(SignalKind::terminate())),
        };
        Ok(answer?)
    }

    /// Asks twice on a terminal, where one does not see what one types.
    async fn new_password(&mut self) -> Result<String, Failure> {
        let first = self.ask("New password (8 to 256 bytes): ").await?;
        if !self.stdin && self.ask("Once more: ").await? != first {
            return Err(Failure::Usage(
                "these are two passwords: try again".to_owned(),
            ));
        }
        Ok(first)
    }
}

fn line_of_stdin() -> io::Result<String> {
    let mut line = Vec::new();
    let mut stdin = io::stdin().lock().take(SECRET_BYTES);
    stdin.read_until(b'\n', &mut line)?;
    if line.len() as u64 == SECRET_BYTES {
        return Err(io::Error::other("the line on stdin is too long"));
    }
    let line = String::from_utf8(line).map_err(|_| io::Error::other("stdin is not UTF-8"))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// What to type when a server wants to know more of who one is.
pub(crate) fn advise(failure: &Failure, user: &str) {
    let Failure::Client(error) = failure else {
        return;
    };
    let login = matches!(error.reason(), Reason::TokenInvalid | Reason::TokenMissing)
        || error.reason_name() == "CREDENTIALS_REJECTED";
    if error.kind() == ErrorKind::Denied && login {
        let named = if user.is_empty() {
            String::new()
        } else {
            format!(" -u {user}")
        };
        say(&format!(
            "log in with `sns{named} auth login`; `--new` makes a name"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_router_has_one_spelling() {
        for typed in [
            "localhost",
            "LOCALHOST:7400",
            "http://localhost:7400/",
            " http://localhost ",
        ] {
            assert_eq!(
                spelled(&[typed.to_owned()]),
                ["http://localhost:7400"],
                "{typed}"
            );
        }
        let others = ["https://localhost".to_owned(), "[::1]".to_owned()];
        assert_eq!(
            spelled(&others),
            ["https://localhost:7400", "http://[::1]:7400"]
        );
    }
}
