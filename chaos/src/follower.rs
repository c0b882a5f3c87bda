//! Reads the log beside the servers, from its first entry on: what was once durable is kept here
//! even when it is trimmed.

use std::time::{Duration, Instant};

use prost::Message as _;
use sns_core::log::{Error, Log, Record};
use sns_core::{RequestId, Seq};
use sns_proto::log::v1::command::Kind;
use sns_proto::log::v1::{Command as Logged, Entry};
use tokio_util::sync::CancellationToken;

use crate::failure::{Doing as _, Failure, Result};
use crate::history::{Act, Command};

/// One read.
const READ_BYTES: usize = 4 * 1024 * 1024;
/// How long to wait for more before looking whether it is enough.
const WAIT: Duration = Duration::from_millis(100);
/// A log that cannot be read for so long in the end never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// Follows the log until it is enough and everything was read. Blocks.
///
/// # Errors
/// The log cannot be read, or holds what no version of the service writes.
pub(crate) fn follow(log: &dyn Log, enough: &CancellationToken) -> Result<Vec<Command>> {
    let mut commands = Vec::new();
    let mut next = 1;
    let mut ending = None;
    loop {
        let last_look = enough.is_cancelled();
        let since = last_look.then(|| *ending.get_or_insert_with(Instant::now));
        match read_on(log, &mut next, last_look, &mut commands) {
            Ok(()) if last_look => return Ok(commands),
            Ok(()) => {}
            Err(Trouble::Lasting(why)) => return Err(why),
            Err(Trouble::Passing(why)) => {
                if since.is_some_and(|since| since.elapsed() > PATIENCE) {
                    return Err(Failure(format!("cannot read the end of the log: {why}")));
                }
                std::thread::park_timeout(WAIT);
            }
        }
    }
}

/// Why reading came to a halt.
enum Trouble {
    /// Who holds the log is hurt too.
    Passing(Error),
    Lasting(Failure),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(_) => Self::Passing(error),
            _ => Self::Lasting(Failure(format!("cannot read the log: {error}"))),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Lasting(failure)
    }
}

/// Reads what is there from `next` on, and waits a moment for more; or reads up to the very end of
/// the log.
fn read_on(
    log: &dyn Log,
    next: &mut u64,
    to_the_end: bool,
    commands: &mut Vec<Command>,
) -> Result<(), Trouble> {
    // Whoever is asked for entries may know less than who is asked for the end.
    let tail = if to_the_end { log.tail()? } else { 0 };
    loop {
        let records = log.read(*next, READ_BYTES)?;
        if records.is_empty() && *next >= tail {
            break;
        }
        for record in &records {
            take(record, commands)?;
            *next = record.index + 1;
        }
    }
    if !to_the_end {
        log.wait(*next, WAIT)?;
    }
    Ok(())
}

fn take(record: &Record, commands: &mut Vec<Command>) -> Result<()> {
    let entry = Entry::decode(record.payload.as_slice());
    let entry = entry.doing(format_args!("decode entry {}", record.index))?;
    for (slot, command) in entry.commands.into_iter().enumerate() {
        let slot = u16::try_from(slot);
        let slot = slot.doing(format_args!(
            "number the commands of entry {}",
            record.index
        ))?;
        commands.push(command_of(Seq::new(record.index, slot), command)?);
    }
    Ok(())
}

fn command_of(seq: Seq, command: Logged) -> Result<Command> {
    let act = match command.kind {
        Some(Kind::CreateUser(c)) => Act::CreateUser { user: c.user },
        Some(Kind::Follow(c)) => Act::Follow {
            user: c.user,
            followee: c.followee,
        },
        Some(Kind::Unfollow(c)) => Act::Unfollow {
            user: c.user,
            followee: c.followee,
        },
        Some(Kind::CreatePost(c)) => Act::CreatePost {
            user: c.user,
            text: c.text,
        },
        Some(Kind::DeletePost(c)) => Act::DeletePost {
            user: c.user,
            id: c.id,
        },
        Some(Kind::Checkpoint(_)) => Act::Checkpoint,
        Some(Kind::CreateAccount(_) | Kind::SetPassword(_) | Kind::RevokeTokens(_)) | None => {
            return Err(Failure(format!(
                "the command at {seq} is of a kind that a run does not write"
            )));
        }
    };
    let id = <[u8; 16]>::try_from(command.request_id.as_slice());
    Ok(Command {
        seq: seq.as_u64(),
        request_id: id.ok().map(|id| RequestId::from_bytes(id).to_string()),
        seen: command.seen,
        act,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use sns_core::log::memory::MemoryLog;
    use sns_core::log::{AppendProgress, LogId};
    use sns_proto::log::v1::{Checkpoint, CreateUser};

    use super::*;

    /// A log of which every third question fails, and whose readers hear late of its end.
    #[derive(Debug, Default)]
    struct Hurt {
        log: MemoryLog,
        asked: AtomicU64,
    }

    impl Hurt {
        fn ask(&self) -> Result<u64, Error> {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            if asked.is_multiple_of(3) {
                return Err(Error::Unavailable("nobody leads".into()));
            }
            Ok(asked)
        }
    }

    impl Log for Hurt {
        fn id(&self) -> LogId {
            self.log.id()
        }

        fn append(&self, payload: &[u8]) -> Result<u64, Error> {
            self.log.append(payload)
        }

        fn read(&self, from: u64, max_bytes: usize) -> Result<Vec<Record>, Error> {
            let asked = self.ask()?;
            if asked % 7 == 2 {
                return Ok(Vec::new());
            }
            let mut records = self.log.read(from, max_bytes)?;
            records.truncate(1);
            Ok(records)
        }

        fn tail(&self) -> Result<u64, Error> {
            self.ask()?;
            self.log.tail()
        }

        fn head(&self) -> Result<u64, Error> {
            self.log.head()
        }

        fn wait(&self, _: u64, _: Duration) -> Result<u64, Error> {
            self.ask()
        }

        fn wake(&self) {
            self.log.wake();
        }

        fn trim_to(&self, index: u64) -> Result<(), Error> {
            self.log.trim_to(index)
        }

        fn size_bytes(&self) -> Result<u64, Error> {
            self.log.size_bytes()
        }

        fn progress(&self) -> AppendProgress {
            self.log.progress()
        }

        fn weakness(&self) -> Option<String> {
            None
        }

        fn close(&self) -> Result<(), Error> {
            self.log.close()
        }
    }

    fn entry(kind: Option<Kind>) -> Vec<u8> {
        let command = Logged {
            kind,
            ..Logged::default()
        };
        let entry = Entry {
            commands: vec![command],
            ..Entry::default()
        };
        entry.encode_to_vec()
    }

    #[test]
    fn every_entry_is_read_from_a_log_that_now_and_then_does_not_answer() {
        let log = Hurt::default();
        let kinds = [
            Kind::Checkpoint(Checkpoint::default()),
            Kind::CreateUser(CreateUser { user: "a".into() }),
            Kind::CreateUser(CreateUser { user: "b".into() }),
        ];
        for kind in kinds {
            log.append(&entry(Some(kind))).expect("appended");
        }
        let enough = CancellationToken::new();
        enough.cancel();
        let commands = follow(&log, &enough).expect("all of it");
        let acts: Vec<Act> = commands.into_iter().map(|it| it.act).collect();
        let user = |name: &str| Act::CreateUser { user: name.into() };
        assert_eq!(acts, [Act::Checkpoint, user("a"), user("b")]);
    }

    #[test]
    fn what_no_version_writes_ends_it_at_once() {
        let log = Hurt::default();
        log.append(&entry(None)).expect("appended");
        let followed = follow(&log, &CancellationToken::new());
        followed.expect_err("a command of no kind");
    }
}
