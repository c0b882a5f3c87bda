//! Reads the log beside the servers, from its first entry on: what was once durable is kept here
//! even when it is trimmed.

use std::path::Path;
use std::time::Duration;

use prost::Message as _;
use sns_core::log::dir::{DirLog, DirLogOptions};
use sns_core::log::{Log as _, Record};
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

/// Follows the log until it is enough and everything was read. Blocks.
///
/// # Errors
/// The log cannot be read, or holds what no version of the service writes.
pub(crate) fn follow(dir: &Path, enough: &CancellationToken) -> Result<Vec<Command>> {
    let options = DirLogOptions::default().create(false).read_only(true);
    let log = DirLog::open(dir, options).doing("open the log")?;
    let mut commands = Vec::new();
    let mut next = 1;
    loop {
        let last_look = enough.is_cancelled();
        loop {
            let records = log.read(next, READ_BYTES).doing("read the log")?;
            if records.is_empty() {
                break;
            }
            for record in &records {
                take(record, &mut commands)?;
                next = record.index + 1;
            }
        }
        if last_look {
            return Ok(commands);
        }
        log.wait(next, WAIT).doing("wait for the log")?;
    }
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
        None => {
            return Err(Failure(format!(
                "the command at {seq} is of an unknown kind"
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
