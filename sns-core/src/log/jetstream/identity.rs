//! What all servers of one log share beside it: its name and the key of its tokens.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::{CreateKeyValueErrorKind, KeyValueErrorKind};
use async_nats::jetstream::kv;
use async_nats::jetstream::kv::CreateErrorKind;
use async_nats::jetstream::stream::StorageType;

use super::shared::Shared;
use super::{Error, JetStreamLog};

/// The key under which it lies.
const SECRET: &str = "secret";

impl JetStreamLog {
    /// Drawn when the log was made: a UUID.
    pub fn data_id(&self) -> &str {
        &self.0.shared.data_id
    }

    /// The key with which tokens are signed; the first who asks draws it. It lies in the key-value
    /// bucket of the stream's name: whoever may read that account reads it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub fn secret(&self) -> Result<[u8; 32], Error> {
        let shared = Arc::clone(&self.0.shared);
        self.run(async move { shared.secret().await })
    }
}

impl Shared {
    /// The bucket for what is small and shared.
    pub(super) async fn bucket(&self) -> Result<kv::Store, Error> {
        let name = self.options.stream.clone();
        let failed = |why: String| Error::Unavailable(format!("the key-value bucket: {why}"));
        match self.context.get_key_value(name.clone()).await {
            Ok(store) => return Ok(store),
            Err(error) if error.kind() == KeyValueErrorKind::GetBucket => {}
            Err(error) => return Err(failed(error.to_string())),
        }
        let config = kv::Config {
            bucket: name.clone(),
            description: "what the servers of SNS share: do not edit or delete".into(),
            history: 1,
            // Keys may run out.
            limit_markers: Some(Duration::from_secs(1)),
            storage: StorageType::File,
            num_replicas: self.replicas,
            ..kv::Config::default()
        };
        match self.context.create_key_value(config).await {
            Ok(store) => Ok(store),
            // Another server made it in the same moment.
            Err(error) if error.kind() == CreateKeyValueErrorKind::BucketCreate => {
                let store = self.context.get_key_value(name).await;
                store.map_err(|e| failed(format!("{error}; {e}")))
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }

    async fn secret(&self) -> Result<[u8; 32], Error> {
        let failed = |why: String| Error::Unavailable(format!("the key of the tokens: {why}"));
        let store = self.bucket().await?;
        let drawn = match &self.options.first {
            Some(first) => first.secret,
            None => rand::random(),
        };
        let stored = store.get(SECRET).await;
        let stored = match stored.map_err(|e| failed(e.to_string()))? {
            Some(stored) => stored,
            None => match store.create(SECRET, drawn.to_vec().into()).await {
                Ok(_) => return Ok(drawn),
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                    let stored = store.get(SECRET).await;
                    let stored = stored.map_err(|e| failed(e.to_string()))?;
                    stored.ok_or_else(|| failed("it was there and is gone".into()))?
                }
                Err(error) => return Err(failed(error.to_string())),
            },
        };
        <[u8; 32]>::try_from(stored.as_ref())
            .map_err(|_| Error::Refused("the key of the tokens has not 32 bytes".into()))
    }
}
