//! One entry of the log as JSON, for `log dump`.

use prost::Message as _;
use serde_json::{Map, Value, json};
use sns_core::log::Record;
use sns_core::{RequestId, Seq};
use sns_proto::log::v1::command::Kind;
use sns_proto::log::v1::{Command, Entry};

use crate::hex;

/// In the place of what a dump does not show.
const HIDDEN: &str = "(hidden)";

/// One object: `index`, `crc`, `bytes`, `writer`, `clock_ms`, `batch`, `min_version`, `commands`.
/// Bytes that are no entry give an object with `error` instead: a dump is for damaged logs, too.
pub(super) fn to_json(record: &Record) -> Value {
    let mut object = Map::new();
    object.insert("index".into(), record.index.into());
    object.insert("crc".into(), format!("{:08x}", record.crc).into());
    object.insert("bytes".into(), record.payload.len().into());
    match Entry::decode(record.payload.as_slice()) {
        Ok(entry) => {
            object.insert("writer".into(), entry.writer.into());
            object.insert("clock_ms".into(), entry.clock_ms.into());
            object.insert("batch".into(), hex::encode(&entry.batch).into());
            object.insert("min_version".into(), entry.min_version.into());
            let commands = entry.commands.iter().enumerate();
            let commands: Vec<Value> = commands
                .map(|(slot, one)| command(record.index, slot, one))
                .collect();
            object.insert("commands".into(), commands.into());
        }
        Err(e) => {
            object.insert("error".into(), format!("no entry: {e}").into());
        }
    }
    object.into()
}

/// `seq`, `kind`, what the kind has, `request_id` (null: not remembered), `seen`.
fn command(index: u64, slot: usize, command: &Command) -> Value {
    let seq = u16::try_from(slot)
        .ok()
        .filter(|_| index <= Seq::INDEX_MAX)
        .map(|slot| Seq::new(index, slot).as_u64());
    let (kind, fields) = match &command.kind {
        Some(Kind::CreateUser(c)) => ("create_user", json!({"user": c.user})),
        Some(Kind::Follow(c)) => ("follow", json!({"user": c.user, "followee": c.followee})),
        Some(Kind::Unfollow(c)) => ("unfollow", json!({"user": c.user, "followee": c.followee})),
        Some(Kind::CreatePost(c)) => ("create_post", json!({"user": c.user, "text": c.text})),
        Some(Kind::DeletePost(c)) => ("delete_post", json!({"user": c.user, "id": c.id})),
        // The hash of a password is nobody's business, not even that of who may read the log.
        Some(Kind::CreateAccount(c)) => (
            "create_account",
            json!({"user": c.user, "password_hash": HIDDEN, "claim": c.claim}),
        ),
        Some(Kind::SetPassword(c)) => (
            "set_password",
            json!({"user": c.user, "password_hash": HIDDEN}),
        ),
        Some(Kind::RevokeTokens(c)) => ("revoke_tokens", json!({"user": c.user})),
        Some(Kind::Checkpoint(c)) => (
            "checkpoint",
            json!({
                "index": c.index,
                "digest": hex::encode(&c.digest),
                "digest_version": c.digest_version,
            }),
        ),
        None => ("unknown", json!({})),
    };
    let mut object = Map::new();
    object.insert("seq".into(), json!(seq));
    object.insert("kind".into(), kind.into());
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    let id = <[u8; 16]>::try_from(command.request_id.as_slice());
    let id = id.ok().map(|id| RequestId::from_bytes(id).to_string());
    object.insert("request_id".into(), json!(id));
    object.insert("seen".into(), command.seen.into());
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sns_proto::log::v1::{CreatePost, Follow};

    #[test]
    fn an_entry_is_one_object_with_its_commands_and_their_seqs() {
        let command = |kind, request_id: &[u8]| Command {
            request_id: request_id.to_vec(),
            seen: 7,
            kind: Some(kind),
        };
        let entry = Entry {
            writer: "a-master".into(),
            batch: vec![0xab; 16],
            clock_ms: 5,
            min_version: 1,
            commands: vec![
                command(
                    Kind::Follow(Follow {
                        user: "a".into(),
                        followee: "b".into(),
                    }),
                    &[1; 16],
                ),
                command(
                    Kind::CreatePost(CreatePost {
                        user: "a".into(),
                        text: "x\n\u{1b}".into(),
                    }),
                    &[],
                ),
            ],
        };
        let record = Record {
            index: 2,
            crc: 0xff,
            payload: entry.encode_to_vec(),
        };
        let json = to_json(&record);
        assert_eq!(
            (&json["index"], &json["crc"]),
            (&json!(2), &json!("000000ff"))
        );
        let commands = &json["commands"];
        assert_eq!(commands[0]["followee"], "b");
        assert_eq!(
            commands[0]["request_id"],
            "01010101-0101-0101-0101-010101010101"
        );
        assert_eq!(commands[1]["seq"], Seq::new(2, 1).as_u64());
        assert!(commands[1]["request_id"].is_null());
        assert!(
            !json.to_string().contains('\u{1b}'),
            "JSON escapes control characters"
        );
    }

    #[test]
    fn bytes_that_are_no_entry_say_so() {
        let record = Record {
            index: 1,
            crc: 0,
            payload: vec![0xff; 9],
        };
        assert!(to_json(&record)["error"].is_string());
    }
}
