//! What it means: arguments once checked, and the words of the interactive mode.

use std::path::PathBuf;
use std::time::Duration;

use sns_client::{DEFAULT_ROUTER, Scope, Seq};

use crate::args::{Args, Raw, RawAuth, RawPage, RawTop};
use crate::auth::{Auth, By, Login};
use crate::bench::flags::{self, Bench};
use crate::export::Export;
use crate::manual_cmd::Manual;
use crate::output::Failure;

/// A line that can be carried out.
#[derive(Debug, PartialEq)]
pub(crate) struct Checked {
    pub(crate) user: String,
    pub(crate) routers: Vec<String>,
    pub(crate) tls_ca: Option<PathBuf>,
    pub(crate) json: bool,
    pub(crate) action: Action,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    Follow(String),
    Unfollow(String),
    /// `None` = from stdin.
    Post(Option<String>),
    Delete(Seq),
    Profile(String, Part),
    List(Whom),
    Timeline(Part),
    Watch {
        backlog: usize,
    },
    Bench(Box<Bench>),
    Interactive {
        history: bool,
    },
    Top(Top),
    Auth(Auth),
    Export(Export),
    Manual(Manual),
}

/// Who looks around for a benchmark, unless somebody is named.
const BENCH_USER: &str = "bench";

/// Which users to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    All,
    Followers,
    Following,
}

/// Which part of a listing of posts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) limit: usize,
    pub(crate) before: Option<Seq>,
}

/// How to look at the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Top {
    pub(crate) every: Duration,
    pub(crate) once: bool,
}

/// The shortest time between two looks: servers tell their routers four times a second.
const LOOK_MIN: Duration = Duration::from_millis(50);

/// Checks what was typed.
pub(crate) fn check(args: Args) -> Result<Checked, Failure> {
    // A name for those who need none, or none of their own.
    let nobody = match args.command {
        Some(Raw::Bench(_)) => Some(BENCH_USER.to_owned()),
        // Else whoever is logged in.
        _ => Some(String::new()),
    };
    let user = args
        .user
        .filter(|user| !user.is_empty())
        .or(nobody)
        .unwrap_or_default();
    let routers = args.router.filter(|router| !router.is_empty());
    let routers = routers.as_deref().unwrap_or(DEFAULT_ROUTER);
    let routers: Vec<String> = routers
        .split(',')
        .map(str::trim)
        .filter(|router| !router.is_empty())
        .map(ToOwned::to_owned)
        .collect();
    let action = match args.command {
        None => Action::Interactive {
            history: args.history,
        },
        Some(Raw::Follow { user_name }) => Action::Follow(user_name),
        Some(Raw::Unfollow { user_name }) => Action::Unfollow(user_name),
        Some(Raw::Post { text }) => Action::Post(Some(text).filter(|text| text != "-")),
        Some(Raw::Delete { id }) => Action::Delete(seq("an id", &id)?),
        Some(Raw::Profile { user_name, page }) => {
            if user_name.is_empty() {
                // To a server the empty name means oneself.
                return Err(Failure::Usage(
                    "whose profile? The name is empty".to_owned(),
                ));
            }
            Action::Profile(user_name, part(&page)?)
        }
        Some(Raw::List {
            followers,
            following,
        }) => Action::List(match (followers, following) {
            (true, _) => Whom::Followers,
            (_, true) => Whom::Following,
            _ => Whom::All,
        }),
        Some(Raw::Timeline { page, watch: false }) => Action::Timeline(part(&page)?),
        Some(Raw::Timeline { page, watch: true }) => Action::Watch {
            backlog: part(&page)?.limit,
        },
        Some(Raw::Bench(raw)) => Action::Bench(Box::new(flags::check(*raw)?)),
        Some(Raw::Top(raw)) => Action::Top(top(&raw)?),
        Some(Raw::Auth(raw)) => Action::Auth(auth(raw)?),
        Some(Raw::Export { out, force }) => Action::Export(Export {
            out: Some(out).filter(|out| out.as_os_str() != "-"),
            force,
        }),
        Some(Raw::Completions { shell }) => Action::Manual(Manual::Completions(shell)),
        Some(Raw::Man { out }) => Action::Manual(Manual::Man(out)),
    };
    Ok(Checked {
        user,
        routers,
        tls_ca: args
            .tls_ca
            .filter(|file| !file.is_empty())
            .map(PathBuf::from),
        json: args.json,
        action,
    })
}

fn auth(raw: RawAuth) -> Result<Auth, Failure> {
    Ok(match raw {
        RawAuth::Login {
            new,
            invited,
            token,
            password_stdin,
            scope,
            hours,
        } => {
            let scopes = scope.iter().map(|scope| match &**scope {
                "read" => Ok(Scope::Read),
                "post" => Ok(Scope::Post),
                other => Err(Failure::Usage(format!(
                    "{other:?} is no scope that a login gives: read, post"
                ))),
            });
            let hours = hours.map_or(Ok(0), |hours| {
                let fits = hours
                    .parse()
                    .ok()
                    .filter(|hours| (1..=8_760).contains(hours));
                let wrong = || format!("{hours:?} hours: write a number from 1 to 8760");
                fits.ok_or_else(|| Failure::Usage(wrong()))
            })?;
            Auth::Login(Login {
                by: match (token, new, invited) {
                    (true, ..) => By::Token,
                    (_, _, true) => By::Invitation,
                    (_, true, _) => By::New,
                    _ => By::Password,
                },
                stdin: password_stdin,
                scopes: scopes.collect::<Result<_, _>>()?,
                ttl_seconds: hours * 3_600,
            })
        }
        RawAuth::Logout { all } => Auth::Logout { all },
        RawAuth::Whoami => Auth::WhoAmI,
        RawAuth::Switch { user_name } => Auth::Switch(user_name),
        RawAuth::Passwd { password_stdin } => Auth::Password {
            stdin: password_stdin,
        },
    })
}

fn top(raw: &RawTop) -> Result<Top, Failure> {
    let every = flags::duration(&raw.every)
        .and_then(|every| {
            let often = || format!("{} is too often: {LOOK_MIN:?} at least", raw.every);
            (every >= LOOK_MIN).then_some(every).ok_or_else(often)
        })
        .map_err(|why| Failure::Usage(format!("--every: {why}")))?;
    Ok(Top {
        every,
        once: raw.once,
    })
}

fn part(raw: &RawPage) -> Result<Part, Failure> {
    let limit = raw.limit.parse().map_err(|_| {
        Failure::Usage(format!(
            "{:?} is no limit: write a number, 0 or more",
            raw.limit
        ))
    })?;
    let before = raw.before.as_deref().map(|id| seq("an id", id));
    Ok(Part {
        limit,
        before: before.transpose()?,
    })
}

fn seq(what: &str, text: &str) -> Result<Seq, Failure> {
    // `parse` would take a leading plus.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| {
        Failure::Usage(format!(
            "{text:?} is not {what}: write the number of a post"
        ))
    })
}

/// A line of the interactive mode.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Empty,
    Follow(String),
    Unfollow(String),
    List(Whom),
    Timeline,
    Help,
    Exit,
}

/// Reads a line of the interactive mode; its words stand in any case.
///
/// # Errors
/// What is wrong, for a human.
pub(crate) fn line(typed: &str) -> Result<Line, Failure> {
    let mut words = typed.split_whitespace();
    let Some(verb) = words.next() else {
        return Ok(Line::Empty);
    };
    let (object, more) = (words.next(), words.next());
    let wrong = |usage: &str| Err(Failure::Usage(format!("write {usage}")));
    match (verb.to_ascii_uppercase().as_str(), object, more) {
        ("FOLLOW", Some(name), None) => Ok(Line::Follow(name.to_owned())),
        ("FOLLOW", ..) => wrong("FOLLOW and a name"),
        ("UNFOLLOW", Some(name), None) => Ok(Line::Unfollow(name.to_owned())),
        ("UNFOLLOW", ..) => wrong("UNFOLLOW and a name"),
        ("LIST", None, _) => Ok(Line::List(Whom::All)),
        ("LIST", Some(whom), None) => match whom.to_ascii_uppercase().as_str() {
            "FOLLOWERS" => Ok(Line::List(Whom::Followers)),
            "FOLLOWING" => Ok(Line::List(Whom::Following)),
            _ => wrong("LIST, LIST FOLLOWERS or LIST FOLLOWING"),
        },
        ("LIST", ..) => wrong("LIST, LIST FOLLOWERS or LIST FOLLOWING"),
        ("TIMELINE", None, _) => Ok(Line::Timeline),
        ("HELP" | "?", ..) => Ok(Line::Help),
        ("EXIT" | "QUIT", None, _) => Ok(Line::Exit),
        ("TIMELINE" | "EXIT" | "QUIT", ..) => wrong("the word alone"),
        _ => Err(Failure::Usage(
            "no such command; HELP lists them".to_owned(),
        )),
    }
}

/// What HELP prints.
pub(crate) const HELP: &str = "\
FOLLOW name     follow a user
UNFOLLOW name   follow a user no longer
LIST            all users; yours: LIST FOLLOWERS or FOLLOWING
TIMELINE        read as it happens; every line you type is a
                post. Ctrl-C or Ctrl-D: back
HELP            this
EXIT            leave (also Ctrl-D)
On a terminal Tab completes commands and names; Up and
Ctrl-R find what was typed before.";

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(typed: &str) -> Result<Checked, Failure> {
        let typed = typed.split(' ').map(Into::into);
        let args = crate::args::parse(typed).map_err(|early| match early {
            crate::args::Early::Mistake { failure, .. } => failure,
            crate::args::Early::Text(text) => Failure::Usage(text),
        })?;
        check(args)
    }

    fn action(typed: &str) -> Action {
        checked(typed).expect(typed).action
    }

    #[test]
    fn options_stand_before_and_after_the_command() {
        for typed in [
            "sns -u alice timeline --json",
            "sns --json -u alice timeline",
            "sns timeline --json --user alice --router 127.0.0.1:7400",
            "sns --router=127.0.0.1:7400 timeline -u alice --json --limit 20",
        ] {
            let checked = checked(typed).expect(typed);
            assert_eq!(checked.user, "alice", "{typed}");
            assert_eq!(checked.routers, ["127.0.0.1:7400"], "{typed}");
            assert!(checked.json, "{typed}");
            let part = Part {
                limit: 20,
                before: None,
            };
            assert_eq!(checked.action, Action::Timeline(part), "{typed}");
        }
    }

    #[test]
    fn every_command_is_understood() {
        let part = |limit, before: Option<u64>| Part {
            limit,
            before: before.map(Seq::from),
        };
        for (typed, expected) in [
            ("sns -u a", Action::Interactive { history: true }),
            (
                "sns --history=off -u a",
                Action::Interactive { history: false },
            ),
            ("sns -u a follow bob", Action::Follow("bob".into())),
            ("sns -u a unfollow bob", Action::Unfollow("bob".into())),
            ("sns -u a post hello", Action::Post(Some("hello".into()))),
            ("sns -u a post -", Action::Post(None)),
            ("sns -u a post -1", Action::Post(Some("-1".into()))),
            (
                "sns -u a post -- --json",
                Action::Post(Some("--json".into())),
            ),
            ("sns -u a delete 65536", Action::Delete(Seq::from(65_536))),
            (
                "sns -u a profile bob --limit 3 --before 9",
                Action::Profile("bob".into(), part(3, Some(9))),
            ),
            ("sns -u a list", Action::List(Whom::All)),
            (
                "sns -u a export",
                Action::Export(Export {
                    out: None,
                    force: false,
                }),
            ),
            (
                "sns -u a export --out f --force",
                Action::Export(Export {
                    out: Some("f".into()),
                    force: true,
                }),
            ),
            ("sns -u a list --followers", Action::List(Whom::Followers)),
            ("sns -u a list --following", Action::List(Whom::Following)),
            ("sns -u a timeline", Action::Timeline(part(20, None))),
            (
                "sns -u a timeline --watch --limit 5",
                Action::Watch { backlog: 5 },
            ),
        ] {
            assert_eq!(action(typed), expected, "{typed}");
        }
        let two = checked("sns -u a --router http://h:1,h2:2, list").expect("two routers");
        assert_eq!(two.routers, ["http://h:1", "h2:2"]);
    }

    #[test]
    fn top_needs_nobody() {
        for (typed, every, once) in [
            ("sns top", 1_000, false),
            ("sns top --every 250ms --once", 250, true),
            ("sns -u a top --json", 1_000, false),
        ] {
            let every = Duration::from_millis(every);
            assert_eq!(action(typed), Action::Top(Top { every, once }), "{typed}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error() {
        for typed in [
            "sns top --every 1ms",
            "sns top --every soon",
            "sns -u a fly",
            "sns -u a follow",
            "sns -u a follow bob carol",
            "sns -u a delete x",
            "sns -u a delete +1",
            "sns -u a delete -1",
            "sns -u a delete 99999999999999999999",
            "sns -u a list --followers --following",
            "sns -u a timeline --limit -1",
            "sns -u a timeline --limit many",
            "sns -u a timeline --watch --before 3",
            "sns -u a --nope list",
        ] {
            let failure = checked(typed).expect_err(typed);
            assert_eq!(failure.kind(), "invalid", "{typed}");
        }
    }

    #[test]
    fn words_of_the_interactive_mode_stand_in_any_case() {
        for (typed, expected) in [
            ("", Line::Empty),
            ("   ", Line::Empty),
            ("FOLLOW bob", Line::Follow("bob".into())),
            ("  follow   Bob ", Line::Follow("Bob".into())),
            ("UnFollow bob", Line::Unfollow("bob".into())),
            ("list", Line::List(Whom::All)),
            ("List Followers", Line::List(Whom::Followers)),
            ("Timeline", Line::Timeline),
            ("help", Line::Help),
            ("exit", Line::Exit),
            ("EXIT\r", Line::Exit),
        ] {
            assert_eq!(line(typed).expect(typed), expected, "{typed:?}");
        }
        for typed in ["follow", "follow a b", "timeline now", "list x", "post hi"] {
            line(typed).expect_err(typed);
        }
    }
}
