//! [`Command`] (an intent), [`Entry`] (one append) and [`RequestId`]; their encoding in the log.

use std::fmt;

use prost::Message as _;
use sns_proto::log::v1 as wire;
use xxhash_rust::xxh3::xxh3_64;

use crate::account::PasswordHash;
use crate::error::{Error, Reason, Result};
use crate::limits::{ENTRY_BYTES, ENTRY_COMMANDS};
use crate::post::Text;
use crate::seq::Seq;
use crate::user::Username;

/// The version of the rules of `apply` in this program. An entry that needs a higher one halts the
/// applier.
pub const APPLY_VERSION: u32 = 2;

/// Names one intent of one user, so that a retry of it has one effect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// A fresh one.
    pub fn random() -> Self {
        // Not `new_v4`: that asks the kernel each time.
        Self(
            *uuid::Builder::from_random_bytes(rand::random())
                .as_uuid()
                .as_bytes(),
        )
    }

    /// The id of a reaction to what stands at `cause`: the same purpose and cause give the same id, in
    /// every process and every release.
    ///
    /// A program that answers what it reads can so be killed between its answer and its note of it:
    /// it answers anew, with the same id, and the answer is there once. Give the write
    /// `seen(cause)` too, which is as unchanging. `purpose` tells the reactions of one user apart
    /// from each other. The example `bot` shows all of it.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// use sns_core::{RequestId, Sns};
    ///
    /// let sns = Sns::in_memory()?;
    /// let (alice, bot) = (sns.user("alice")?, sns.user("bot")?);
    /// let asked = sns.post(&alice, "anybody there?").wait()?.id;
    /// for _restart in 0..3 {
    ///     let id = RequestId::derived("answer", asked);
    ///     sns.write().request_id(id).seen(asked).post(&bot, "yes").wait()?;
    /// }
    /// assert_eq!(sns.posts_of(&bot).page()?.items.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn derived(purpose: &str, cause: Seq) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&xxh3_64(purpose.as_bytes()).to_be_bytes());
        bytes[8..].copy_from_slice(&cause.as_u64().to_be_bytes());
        Self(bytes)
    }

    /// From its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads a UUID in 8-4-4-4-12 hexadecimal form, of any version and case.
    ///
    /// # Errors
    /// `Invalid` (`REQUEST_ID_INVALID`): another form.
    pub fn parse(text: &str) -> Result<Self> {
        let id = (text.len() == 36)
            .then(|| uuid::Uuid::try_parse(text).ok())
            .flatten();
        id.map(|id| Self(*id.as_bytes())).ok_or_else(|| {
            Error::new(
                Reason::RequestIdInvalid,
                "a request id is empty or a UUID in 8-4-4-4-12 hexadecimal form",
            )
        })
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Makes a user unless there is one.
    CreateUser { user: Username },
    /// `user` follows `followee`.
    Follow { user: Username, followee: Username },
    /// `user` follows `followee` no longer.
    Unfollow { user: Username, followee: Username },
    /// A new post; its id is the seq of this command.
    CreatePost { user: Username, text: Text },
    /// Deletes a post of `user`.
    DeletePost { user: Username, id: Seq },
    /// The name belongs to who knows this password, from now on; of a user who is there without a
    /// password only with `claim`.
    CreateAccount {
        user: Username,
        password: PasswordHash,
        claim: bool,
    },
    /// Another password; earlier tokens are void.
    SetPassword {
        user: Username,
        password: PasswordHash,
    },
    /// Earlier tokens are void.
    RevokeTokens { user: Username },
    /// The digest of every view at the end of the entry `index`.
    Checkpoint {
        index: u64,
        digest: u128,
        digest_version: u32,
    },
}

impl Intent {
    /// The version of the rules of `apply` that it came with.
    fn version(&self) -> u32 {
        match self {
            Self::CreateAccount { .. } | Self::SetPassword { .. } | Self::RevokeTokens { .. } => 2,
            _ => 1,
        }
    }
}

/// One user's intent, as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// `None`: not remembered (imports, logins, checkpoints).
    pub(crate) request_id: Option<RequestId>,
    /// The highest seq the client knew before its first attempt.
    pub(crate) seen: Seq,
    pub(crate) intent: Intent,
}

impl Command {
    /// A hash of the content without request id and `seen`: what a retry must repeat.
    pub(crate) fn content_hash(&self) -> u64 {
        // The hash of the encoding, so that two versions of this program agree on it.
        xxh3_64(&wire_command(None, Seq::ZERO, &self.intent).encode_to_vec())
    }

    /// An upper bound of its bytes inside an encoded entry.
    pub(crate) fn encoded_bound(&self) -> usize {
        let text = match &self.intent {
            Intent::CreatePost { text, .. } => text.as_str().len(),
            Intent::CreateAccount { password, .. } | Intent::SetPassword { password, .. } => {
                password.as_str().len()
            }
            _ => 0,
        };
        // Request id 18, seen 11, two names 68, tags and lengths under 30.
        text + 128
    }
}

/// What one append wrote: atomic, and ordered among all writers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Node name of the writer.
    pub(crate) writer: String,
    /// By which the writer finds its own entries again.
    pub(crate) batch: [u8; 16],
    /// The writer's clock, milliseconds since 1970.
    pub(crate) clock_ms: u64,
    pub(crate) commands: Vec<Command>,
}

impl Entry {
    /// The bytes that the log keeps.
    ///
    /// # Panics
    /// When a bound is broken: the appender cuts its batches to them.
    pub(crate) fn encode(&self) -> Vec<u8> {
        assert!(
            (1..=ENTRY_COMMANDS).contains(&self.commands.len()),
            "an entry has its bounds"
        );
        let bytes = wire::Entry {
            min_version: self.min_version(),
            writer: self.writer.clone(),
            batch: self.batch.to_vec(),
            clock_ms: self.clock_ms,
            commands: self
                .commands
                .iter()
                .map(|c| wire_command(c.request_id, c.seen, &c.intent))
                .collect(),
        }
        .encode_to_vec();
        assert!(bytes.len() <= ENTRY_BYTES, "an entry has its bounds");
        bytes
    }

    /// The lowest version that may apply it: one that knows no accounts goes on with a log that has
    /// none.
    fn min_version(&self) -> u32 {
        let version = |command: &Command| command.intent.version();
        self.commands.iter().map(version).max().unwrap_or(1)
    }

    /// Reads the entry at `index` back.
    ///
    /// # Errors
    /// `Damaged`: these bytes are no entry, or a newer version wrote it.
    pub(crate) fn decode(index: u64, bytes: &[u8]) -> Result<Self> {
        if !(1..=Seq::INDEX_MAX).contains(&index) {
            return Err(damaged(index, "has an index that no log of ours gives"));
        }
        let entry = wire::Entry::decode(bytes)
            .map_err(|e| damaged(index, "holds no entry").with_source(e))?;
        if entry.min_version > APPLY_VERSION {
            return Err(damaged(
                index,
                &format!(
                    "was written by a newer version (it needs {}, this program has \
                     {APPLY_VERSION}): upgrade this program",
                    entry.min_version
                ),
            ));
        }
        if !(1..=ENTRY_COMMANDS).contains(&entry.commands.len()) {
            return Err(damaged(index, "holds no command, or too many"));
        }
        Ok(Self {
            writer: entry.writer,
            batch: entry
                .batch
                .try_into()
                .map_err(|_| damaged(index, "has no batch id"))?,
            clock_ms: entry.clock_ms,
            commands: entry
                .commands
                .into_iter()
                .map(|c| command_of(index, c))
                .collect::<Result<_>>()?,
        })
    }
}

fn damaged(index: u64, why: &str) -> Error {
    Error::new(Reason::Damaged, format!("log entry {index} {why}"))
}

fn wire_command(request_id: Option<RequestId>, seen: Seq, intent: &Intent) -> wire::Command {
    use wire::command::Kind;
    let kind = match intent {
        Intent::CreateUser { user } => Kind::CreateUser(wire::CreateUser {
            user: user.to_string(),
        }),
        Intent::Follow { user, followee } => Kind::Follow(wire::Follow {
            user: user.to_string(),
            followee: followee.to_string(),
        }),
        Intent::Unfollow { user, followee } => Kind::Unfollow(wire::Unfollow {
            user: user.to_string(),
            followee: followee.to_string(),
        }),
        Intent::CreatePost { user, text } => Kind::CreatePost(wire::CreatePost {
            user: user.to_string(),
            text: text.to_string(),
        }),
        Intent::DeletePost { user, id } => Kind::DeletePost(wire::DeletePost {
            user: user.to_string(),
            id: id.as_u64(),
        }),
        Intent::CreateAccount {
            user,
            password,
            claim,
        } => Kind::CreateAccount(wire::CreateAccount {
            user: user.to_string(),
            password_hash: password.as_str().to_owned(),
            claim: *claim,
        }),
        Intent::SetPassword { user, password } => Kind::SetPassword(wire::SetPassword {
            user: user.to_string(),
            password_hash: password.as_str().to_owned(),
        }),
        Intent::RevokeTokens { user } => Kind::RevokeTokens(wire::RevokeTokens {
            user: user.to_string(),
        }),
        Intent::Checkpoint {
            index,
            digest,
            digest_version,
        } => Kind::Checkpoint(wire::Checkpoint {
            index: *index,
            digest: digest.to_be_bytes().to_vec(),
            digest_version: *digest_version,
        }),
    };
    wire::Command {
        request_id: request_id.map_or_else(Vec::new, |id| id.as_bytes().to_vec()),
        seen: seen.as_u64(),
        kind: Some(kind),
    }
}

fn command_of(index: u64, command: wire::Command) -> Result<Command> {
    use wire::command::Kind;
    let name = |name: &str| {
        Username::parse(name).map_err(|e| damaged(index, "holds a bad username").with_source(e))
    };
    let password = |hash: &str| {
        PasswordHash::new(hash)
            .map_err(|e| damaged(index, "holds a bad password hash").with_source(e))
    };
    let intent = match command.kind {
        None => return Err(damaged(index, "holds a command written by a newer version")),
        Some(Kind::CreateUser(c)) => Intent::CreateUser {
            user: name(&c.user)?,
        },
        Some(Kind::Follow(c)) => Intent::Follow {
            user: name(&c.user)?,
            followee: name(&c.followee)?,
        },
        Some(Kind::Unfollow(c)) => Intent::Unfollow {
            user: name(&c.user)?,
            followee: name(&c.followee)?,
        },
        Some(Kind::CreatePost(c)) => Intent::CreatePost {
            user: name(&c.user)?,
            text: Text::parse(&c.text)
                .map_err(|e| damaged(index, "holds a bad text").with_source(e))?,
        },
        Some(Kind::DeletePost(c)) => Intent::DeletePost {
            user: name(&c.user)?,
            id: Seq::from_u64(c.id),
        },
        Some(Kind::CreateAccount(c)) => Intent::CreateAccount {
            user: name(&c.user)?,
            password: password(&c.password_hash)?,
            claim: c.claim,
        },
        Some(Kind::SetPassword(c)) => Intent::SetPassword {
            user: name(&c.user)?,
            password: password(&c.password_hash)?,
        },
        Some(Kind::RevokeTokens(c)) => Intent::RevokeTokens {
            user: name(&c.user)?,
        },
        Some(Kind::Checkpoint(c)) => Intent::Checkpoint {
            index: c.index,
            digest: u128::from_be_bytes(
                c.digest
                    .try_into()
                    .map_err(|_| damaged(index, "holds a bad digest"))?,
            ),
            digest_version: c.digest_version,
        },
    };
    let request_id = match command.request_id.as_slice() {
        [] => None,
        id => Some(RequestId(
            id.try_into()
                .map_err(|_| damaged(index, "holds a bad request id"))?,
        )),
    };
    Ok(Command {
        request_id,
        seen: Seq::from_u64(command.seen),
        intent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn intents() -> impl Strategy<Value = Intent> {
        let name = || "[a-z0-9_]{1,32}".prop_map(|n| Username::parse(&n).unwrap());
        prop_oneof![
            name().prop_map(|user| Intent::CreateUser { user }),
            (name(), name()).prop_map(|(user, followee)| Intent::Follow { user, followee }),
            (name(), name()).prop_map(|(user, followee)| Intent::Unfollow { user, followee }),
            (name(), "[^\0]{1,60}").prop_map(|(user, text)| Intent::CreatePost {
                user,
                text: Text::parse(&text).unwrap()
            }),
            (name(), any::<u64>()).prop_map(|(user, id)| Intent::DeletePost {
                user,
                id: Seq::from_u64(id)
            }),
            (name(), "[!-~]{1,256}", any::<bool>()).prop_map(|(user, hash, claim)| {
                Intent::CreateAccount {
                    user,
                    password: PasswordHash::new(&hash).unwrap(),
                    claim,
                }
            }),
            (name(), "[!-~]{1,256}").prop_map(|(user, hash)| Intent::SetPassword {
                user,
                password: PasswordHash::new(&hash).unwrap(),
            }),
            name().prop_map(|user| Intent::RevokeTokens { user }),
            (any::<u64>(), any::<u128>()).prop_map(|(index, digest)| Intent::Checkpoint {
                index,
                digest,
                digest_version: 1
            }),
        ]
    }

    #[test]
    fn a_derived_request_id_never_changes() {
        // It stands in logs: another release must derive the same.
        let id = RequestId::derived("answer", Seq::new(7, 3));
        assert_eq!(id.to_string(), "e2e19bb3-5d2a-8fee-0000-000000070003");
        assert_ne!(id, RequestId::derived("answer", Seq::new(7, 4)));
        assert_ne!(id, RequestId::derived("thanks", Seq::new(7, 3)));
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_as_it_was(
            intents in prop::collection::vec(intents(), 1..20),
            id in prop::option::of(any::<[u8; 16]>()),
            seen: u64,
            clock_ms: u64,
        ) {
            let commands: Vec<Command> = intents
                .into_iter()
                .map(|intent| Command {
                    request_id: id.map(RequestId::from_bytes),
                    seen: Seq::from_u64(seen),
                    intent,
                })
                .collect();
            let bound: usize = commands.iter().map(Command::encoded_bound).sum();
            let entry = Entry { writer: "n".into(), batch: [7; 16], clock_ms, commands };
            let bytes = entry.encode();
            prop_assert!(bytes.len() <= bound + 64);
            prop_assert_eq!(Entry::decode(1, &bytes).unwrap(), entry);
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::decode(1, &bytes);
        }
    }

    #[test]
    fn a_command_of_a_newer_version_is_damage_and_never_skipped() {
        let unknown = wire::Command {
            kind: None,
            ..wire::Command::default()
        };
        let entry = wire::Entry {
            batch: vec![0; 16],
            commands: vec![unknown],
            ..wire::Entry::default()
        };
        let refused = Entry::decode(9, &entry.encode_to_vec()).unwrap_err();
        assert_eq!(refused.reason(), Reason::Damaged);
        assert!(refused.message().contains("newer version"));
        let newer = wire::Entry {
            min_version: APPLY_VERSION + 1,
            ..entry
        };
        assert!(Entry::decode(9, &newer.encode_to_vec()).is_err());
    }

    #[test]
    fn only_accounts_need_the_newer_version() {
        let user = Username::parse("a").unwrap();
        let entry = |intents: Vec<Intent>| {
            let command = |intent| Command {
                request_id: None,
                seen: Seq::ZERO,
                intent,
            };
            let entry = Entry {
                writer: "n".into(),
                batch: [0; 16],
                clock_ms: 0,
                commands: intents.into_iter().map(command).collect(),
            };
            wire::Entry::decode(&*entry.encode()).unwrap().min_version
        };
        let (make, revoke) = (Intent::CreateUser { user }, Intent::RevokeTokens { user });
        assert_eq!(entry(vec![make.clone()]), 1);
        assert_eq!(entry(vec![make, revoke]), 2);
    }

    #[test]
    fn a_request_id_is_a_uuid_of_any_version_and_case() {
        for good in [
            "00000000-0000-0000-0000-000000000000",
            "ABCDEFab-1234-9999-abcd-0123456789ab",
        ] {
            assert_eq!(
                RequestId::parse(good).unwrap().to_string(),
                good.to_lowercase()
            );
        }
        for bad in [
            "",
            "x",
            "{00000000-0000-0000-0000-000000000000}",
            "0000000000000000000000000000",
        ] {
            assert!(RequestId::parse(bad).is_err(), "{bad}");
        }
    }
}
