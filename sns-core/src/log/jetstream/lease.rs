//! The right to make a snapshot: one holder in the whole cluster, and free soon after it died.

use std::sync::Arc;
use std::time::Duration;

use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_TTL};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::kv::Operation;
use async_nats::{HeaderMap, HeaderValue};
use tokio::sync::oneshot;
use tokio::time::interval;

use super::shared::Shared;
use super::{Error, JetStreamLog};

const KEY: &str = "snapshot";
/// It is free after this when its holder says nothing more.
const LIFE: Duration = Duration::from_secs(15);
/// How often its holder says so.
const RENEW: Duration = Duration::from_secs(4);

/// Being the one who makes a snapshot, as long as it lives.
#[derive(Debug)]
pub(crate) struct Lease {
    _end: oneshot::Sender<()>,
}

impl JetStreamLog {
    /// Takes the right to make a snapshot; `None`: somebody else has it.
    pub(crate) fn lease(&self) -> Result<Option<Lease>, Error> {
        let shared = Arc::clone(&self.0.shared);
        self.run(async move {
            // Differs from every other holder's.
            let holder = format!("{} {:032x}", shared.options.name, rand::random::<u128>());
            let Some(revision) = shared.take_lease(&holder).await? else {
                return Ok(None);
            };
            let (end, ended) = oneshot::channel();
            tokio::spawn(async move { shared.keep_lease(holder, revision, ended).await });
            Ok(Some(Lease { _end: end }))
        })
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(format!("the right to make a snapshot: {error}"))
}

impl Shared {
    /// Takes it, or goes on with it; the revision.
    async fn take_lease(&self, holder: &str) -> Result<Option<u64>, Error> {
        let entry = self.bucket().await?.entry(KEY).await.map_err(failed)?;
        let revision = match entry {
            Some(entry) if entry.operation == Operation::Put && entry.value != holder => {
                return Ok(None);
            }
            Some(entry) => entry.revision,
            None => 0,
        };
        self.write_lease(holder, revision).await
    }

    /// Says that this handle holds it, unless somebody said something after `revision`.
    async fn write_lease(&self, holder: &str, revision: u64) -> Result<Option<u64>, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(
            NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
            HeaderValue::from(revision),
        );
        headers.insert(NATS_MESSAGE_TTL, HeaderValue::from(LIFE.as_secs()));
        let subject = format!("$KV.{}.{KEY}", self.options.stream);
        let holder = holder.to_owned().into_bytes();
        let sent = self
            .context
            .publish_with_headers(subject, headers, holder.into())
            .await;
        match sent.map_err(failed)?.await {
            Ok(ack) => Ok(Some(ack.sequence)),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn keep_lease(
        &self,
        holder: String,
        mut revision: u64,
        mut ended: oneshot::Receiver<()>,
    ) {
        let mut tick = interval(RENEW);
        tick.tick().await;
        loop {
            tokio::select! {
                // Its sender is dropped.
                _ = &mut ended => break,
                _ = tick.tick() => {}
            }
            let mut written = self.write_lease(&holder, revision).await;
            if matches!(written, Ok(None)) {
                // The acknowledgement of an earlier one may have been lost.
                written = self.take_lease(&holder).await;
            }
            match written {
                Ok(Some(next)) => revision = next,
                // It ran out, and somebody else has it: two snapshots cost only time.
                Ok(None) => return,
                Err(error) => tracing::debug!(%error, "keeping the lease"),
            }
        }
        if let Ok(bucket) = self.bucket().await {
            // If it stays, it runs out.
            drop(bucket.delete_expect_revision(KEY, Some(revision)).await);
        }
    }
}
