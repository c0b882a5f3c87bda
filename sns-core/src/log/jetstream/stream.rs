//! The stream: how it is made, and what of it must be so.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, PersistenceMode, RetentionPolicy, StorageType,
};
use async_nats::{Client, ServerInfo};

use super::LogId;
use super::api::{self, NAME_TAKEN, Refusal};
use super::options::JetStreamOptions;

/// Metadata of the stream.
const LOG_ID: &str = "sns.log_id";
const DATA_ID: &str = "sns.data_id";
const FORMAT: &str = "sns.format";
/// The version of what stands in the stream.
const FORMAT_VERSION: &str = "1";
/// Within this time a message that is sent twice is stored once.
pub(super) const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(3);
/// Copies in a cluster, unless somebody says otherwise.
const CLUSTER_REPLICAS: usize = 3;

/// What the stream says of itself.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) id: LogId,
    pub(super) data_id: String,
}

/// Where the entries of a log are published.
pub(super) fn subject(id: LogId) -> String {
    format!("sns.{id}.log")
}

/// The head, and the last index.
pub(super) fn bounds(info: &Info) -> (u64, u64) {
    let last = info.state.last_sequence;
    let head = if info.state.messages == 0 {
        last + 1
    } else {
        info.state.first_sequence
    };
    (head.max(1), last)
}

/// Finds the stream, or makes it.
pub(super) async fn open(client: &Client, options: &JetStreamOptions) -> Result<Info, Refused> {
    let name = &options.stream;
    let mut found = api::info(client, name, LIMIT).await;
    let missing = |it: &Refusal| it.is(ErrorCode::STREAM_NOT_FOUND);
    if options.create && found.as_ref().is_err_and(missing) {
        let config = new_config(options, &client.server_info());
        found = api::create(client, &config, LIMIT).await;
        match &found {
            Ok(_) => tracing::info!(
                stream = name,
                replicas = config.num_replicas,
                "made the stream"
            ),
            // Another server made it in the same moment.
            Err(refusal) if refusal.is(NAME_TAKEN) => {
                found = api::info(client, name, LIMIT).await;
            }
            Err(_) => {}
        }
    }
    match found {
        Ok(info) => Ok(info),
        Err(refusal) if refusal.passes() => Err(Refused::Passing(refusal.to_string())),
        Err(refusal) if missing(&refusal) => {
            Err(Refused::Invalid(format!("there is no stream {name} here")))
        }
        Err(refusal) if too_few_servers(&refusal) => Err(Refused::Invalid(format!(
            "the cluster has too few servers with JetStream for a stream of {} replicas \
             ({refusal}): start them, or ask for fewer with --nats-replicas",
            options
                .replicas
                .unwrap_or_else(|| usual_replicas(&client.server_info()))
        ))),
        Err(refusal) => Err(Refused::Invalid(format!("the stream {name}: {refusal}"))),
    }
}

/// Why the log cannot be opened.
pub(super) enum Refused {
    /// It may pass.
    Passing(String),
    /// It will not.
    Invalid(String),
}

fn too_few_servers(refusal: &Refusal) -> bool {
    [
        ErrorCode::CLUSTER_NO_PEERS,
        ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED,
    ]
    .iter()
    .any(|code| refusal.is(*code))
}

fn usual_replicas(server: &ServerInfo) -> usize {
    match &server.cluster {
        Some(_) => CLUSTER_REPLICAS,
        None => 1,
    }
}

fn new_config(options: &JetStreamOptions, server: &ServerInfo) -> Config {
    let id = LogId(rand::random());
    let first = options.first.as_ref();
    let data_id = first.map_or_else(
        || uuid::Uuid::new_v4().to_string(),
        |first| first.data_id.clone(),
    );
    let metadata = [
        (LOG_ID, id.to_string()),
        (DATA_ID, data_id),
        (FORMAT, FORMAT_VERSION.into()),
    ];
    let metadata: HashMap<String, String> = metadata
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    Config {
        name: options.stream.clone(),
        description: Some("the log of SNS: do not edit or delete".into()),
        subjects: vec![subject(id)],
        retention: RetentionPolicy::Limits,
        // With a limit, a full stream refuses what is new; nothing unread goes.
        discard: DiscardPolicy::New,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_bytes: -1,
        max_consumers: -1,
        max_message_size: -1,
        storage: StorageType::File,
        num_replicas: options.replicas.unwrap_or_else(|| usual_replicas(server)),
        duplicate_window: DUPLICATE_WINDOW,
        deny_delete: true,
        allow_direct: true,
        first_sequence: first.map(|first| first.index).filter(|index| *index > 1),
        metadata,
        ..Config::default()
    }
}

/// Which log the stream holds.
pub(super) fn identity(info: &Info) -> Result<Identity, String> {
    let name = &info.config.name;
    let of = |key: &str| info.config.metadata.get(key);
    let foreign = || {
        format!(
            "the stream {name} was not made by SNS (its metadata has no {LOG_ID}): name another one \
             with --nats-stream"
        )
    };
    let id = of(LOG_ID).and_then(|text| u128::from_str_radix(text, 16).ok());
    let id = LogId(id.ok_or_else(foreign)?);
    let data_id = of(DATA_ID).ok_or_else(foreign)?.clone();
    match of(FORMAT).map(String::as_str) {
        Some(FORMAT_VERSION) => Ok(Identity { id, data_id }),
        other => Err(format!(
            "the stream {name} was made by another version (format {}, this program has \
             {FORMAT_VERSION}): upgrade this program",
            other.unwrap_or("unknown")
        )),
    }
}

/// What in the configuration could lose or change entries; each for a human.
pub(super) fn faults(info: &Info, id: LogId) -> Vec<String> {
    let config = &info.config;
    let mut faults = Vec::new();
    let mut must = |good: bool, what: &str| {
        if !good {
            faults.push(what.to_owned());
        }
    };
    must(
        config.subjects == [subject(id)],
        "its subjects must be the log's alone",
    );
    must(
        config.storage == StorageType::File,
        "its storage must be file",
    );
    must(
        config.retention == RetentionPolicy::Limits,
        "its retention must be limits",
    );
    must(
        config.discard == DiscardPolicy::New,
        "its discard policy must be new: old would drop what nobody has read",
    );
    must(config.max_age.is_zero(), "it must not have a max age");
    must(
        config.max_messages_per_subject <= 0,
        "it must not have a limit of messages per subject",
    );
    must(config.allow_direct, "it must allow direct get");
    must(config.deny_delete, "it must deny deletes");
    must(
        !config.allow_message_ttl,
        "it must not let messages run out",
    );
    must(!config.sealed, "it must not be sealed");
    must(
        config.duplicate_window >= DUPLICATE_WINDOW,
        "its duplicate window must be 2 minutes at least",
    );
    must(
        config.mirror.is_none() && config.sources.as_ref().is_none_or(Vec::is_empty),
        "it must not be a mirror or have sources",
    );
    must(!config.no_ack, "it must acknowledge");
    must(!config.allow_rollup, "it must not allow rollups");
    must(
        config.subject_transform.is_none(),
        "it must not transform subjects",
    );
    must(
        !matches!(config.persist_mode, Some(PersistenceMode::Async)),
        "its persist mode must not be async",
    );
    faults
}

/// [`faults`] as one sentence.
pub(super) fn drift(info: &Info, id: LogId) -> Option<String> {
    let faults = faults(info, id);
    (!faults.is_empty()).then(|| {
        format!(
            "the stream {} is not as SNS needs it: {}; `nats stream edit` mends that",
            info.config.name,
            faults.join(", ")
        )
    })
}
