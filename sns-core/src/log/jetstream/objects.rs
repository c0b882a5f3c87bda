//! Snapshots in the object store of the cluster: bucket `<stream>_snapshots`, an object each.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::{CreateKeyValueErrorKind, ObjectStoreErrorKind};
use async_nats::jetstream::object_store::{self, InfoErrorKind, ObjectMetadata, ObjectStore};
use async_nats::jetstream::stream::StorageType;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

use super::shared::Shared;
use super::{Error, JetStreamLog, api};

/// How long the next piece of an object may take.
const PIECE: Duration = Duration::from_secs(10);
/// Bytes that are read at once.
const PIECE_BYTES: usize = 128 * 1024;
/// Pieces without an object are leftovers when so many seconds passed since the last of them.
const LEFTOVER_S: i64 = 600;

/// Metadata of an object: the header of the snapshot, in hex.
const HEADER: &str = "sns.header";

/// One object.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// `<index>.snap`.
    pub(crate) name: String,
    /// The first bytes of the snapshot.
    pub(crate) header: Vec<u8>,
    /// Of the whole.
    pub(crate) bytes: u64,
}

impl JetStreamLog {
    /// How the bucket is called.
    pub(crate) fn snapshot_bucket(&self) -> String {
        self.0.shared.snapshot_bucket()
    }

    /// The directory that was asked for in place of the bucket.
    pub(crate) fn snapshot_dir(&self) -> Option<&Path> {
        self.0.shared.options.snapshots.as_deref()
    }

    /// All objects, newest first.
    pub(crate) fn stored_snapshots(&self) -> Result<Vec<Stored>, Error> {
        let shared = Arc::clone(&self.0.shared);
        self.run(async move { shared.stored().await })
    }

    /// Stores a file that begins with `header` under a name; one that is there stays.
    pub(crate) fn store_snapshot(
        &self,
        name: &str,
        header: &[u8],
        file: &Path,
    ) -> Result<(), Error> {
        let shared = Arc::clone(&self.0.shared);
        let (name, file) = (name.to_owned(), file.to_owned());
        let header = hex(header);
        self.run(async move { shared.store(name, header, file).await })
    }

    /// Writes an object to a file, synced.
    pub(crate) fn fetch_snapshot(&self, name: &str, file: &Path) -> Result<(), Error> {
        let shared = Arc::clone(&self.0.shared);
        let (name, file) = (name.to_owned(), file.to_owned());
        self.run(async move { shared.fetch_object(name, file).await })
    }

    /// Deletes an object.
    pub(crate) fn remove_snapshot(&self, name: &str) -> Result<(), Error> {
        let shared = Arc::clone(&self.0.shared);
        let name = name.to_owned();
        self.run(async move {
            let store = shared.objects().await?;
            store.delete(name).await.map_err(failed("deleting one"))
        })
    }

    /// Deletes what makers left behind that died on their way.
    pub(crate) fn sweep_snapshots(&self) -> Result<(), Error> {
        let shared = Arc::clone(&self.0.shared);
        self.run(async move { shared.sweep().await })
    }
}

fn failed<E: std::fmt::Display>(doing: &str) -> impl Fn(E) -> Error {
    move |error| Error::Unavailable(format!("snapshots in NATS: {doing}: {error}"))
}

impl Shared {
    fn snapshot_bucket(&self) -> String {
        format!("{}_snapshots", self.options.stream)
    }

    async fn objects(&self) -> Result<ObjectStore, Error> {
        let name = self.snapshot_bucket();
        match self.context.get_object_store(name.as_str()).await {
            Ok(store) => return Ok(store),
            Err(error) if error.kind() == ObjectStoreErrorKind::GetStore => {}
            Err(error) => return Err(failed("opening the store")(error)),
        }
        let config = object_store::Config {
            bucket: name.clone(),
            description: Some("snapshots of SNS".into()),
            storage: StorageType::File,
            num_replicas: self.replicas,
            max_bytes: -1,
            ..object_store::Config::default()
        };
        match self.context.create_object_store(config).await {
            Ok(store) => Ok(store),
            // Another server made it in the same moment.
            Err(error) if error.kind() == CreateKeyValueErrorKind::BucketCreate => {
                let store = self.context.get_object_store(name.as_str()).await;
                store.map_err(failed("opening the store"))
            }
            Err(error) => Err(failed("making the store")(error)),
        }
    }

    async fn stored(&self) -> Result<Vec<Stored>, Error> {
        let store = self.objects().await?;
        let list = store.list().await.map_err(failed("listing them"))?;
        let infos: Vec<_> = list.try_collect().await.map_err(failed("listing them"))?;
        let mut stored: Vec<Stored> = infos
            .into_iter()
            .filter(|info| !info.deleted)
            .map(|info| Stored {
                header: info.metadata.get(HEADER).map_or(Vec::new(), |it| bytes(it)),
                name: info.name,
                bytes: info.size as u64,
            })
            .collect();
        // Names are indexes of a fixed width.
        stored.sort_unstable_by(|a, b| b.name.cmp(&a.name));
        Ok(stored)
    }

    async fn store(&self, name: String, header: String, file: PathBuf) -> Result<(), Error> {
        let store = self.objects().await?;
        self.check_bucket(&store_stream(&self.snapshot_bucket()))
            .await?;
        match store.info(&name).await {
            // Made by another server at the same entry.
            Ok(info) if !info.deleted && info.metadata.get(HEADER) == Some(&header) => {
                return Ok(());
            }
            Ok(_) => {}
            Err(error) if error.kind() == InfoErrorKind::NotFound => {}
            Err(error) => return Err(failed("looking for one")(error)),
        }
        let read = File::open(&file).await.map_err(failed("reading one"))?;
        let about = ObjectMetadata {
            name,
            metadata: HashMap::from([(HEADER.to_owned(), header)]),
            ..ObjectMetadata::default()
        };
        let put = store.put(about, &mut BufReader::new(read)).await;
        put.map(drop).map_err(failed("storing one"))
    }

    async fn fetch_object(&self, name: String, file: PathBuf) -> Result<(), Error> {
        let store = self.objects().await?;
        // Its digest is checked when all of it was read.
        let object = timeout(PIECE, store.get(&name)).await;
        let object = object.map_err(|_| failed("reading one")("no answer"))?;
        let mut object = object.map_err(failed("reading one"))?;
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600);
        let mut to = options.open(&file).await.map_err(failed("writing one"))?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            // One that is deleted meanwhile would never end.
            let read = timeout(PIECE, object.read(&mut piece)).await;
            let read = read.map_err(|_| failed("reading one")("it goes on no further"))?;
            match read.map_err(failed("reading one"))? {
                0 => break,
                read => to
                    .write_all(&piece[..read])
                    .await
                    .map_err(failed("writing one"))?,
            }
        }
        to.flush().await.map_err(failed("writing one"))?;
        to.sync_all().await.map_err(failed("writing one"))
    }

    /// Whether a bucket keeps as much as the log does: the log is trimmed behind what is in it.
    async fn check_bucket(&self, stream: &str) -> Result<(), Error> {
        let info = api::info(&self.client, stream, PIECE).await;
        let config = info
            .map_err(|it| it.into_error("looking at a bucket"))?
            .config;
        let good = config.num_replicas >= self.replicas
            && config.storage == StorageType::File
            && config.max_age.is_zero();
        if good {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "the stream {stream} keeps less than the log does, which is trimmed behind it: \
             `nats stream edit {stream} --replicas {}`, file storage and no max age mend that",
            self.replicas
        )))
    }

    /// The pieces of an object stand under a name of their own, which its description names.
    async fn sweep(&self) -> Result<(), Error> {
        let store = self.objects().await?;
        let list = store.list().await.map_err(failed("listing them"))?;
        let known: Vec<String> = list
            .map_ok(|info| info.nuid)
            .try_collect()
            .await
            .map_err(failed("listing them"))?;
        let bucket = self.snapshot_bucket();
        let stream = self.context.get_stream_no_info(store_stream(&bucket));
        let stream = stream.await.map_err(failed("looking for leftovers"))?;
        let pieces = stream.info_with_subjects(format!("$O.{bucket}.C.*")).await;
        let mut pieces = pieces.map_err(failed("looking for leftovers"))?;
        while let Some(piece) = pieces.next().await {
            let (subject, _) = piece.map_err(failed("looking for leftovers"))?;
            let nuid = subject.rsplit('.').next().unwrap_or_default();
            if known.iter().any(|it| it == nuid) {
                continue;
            }
            let newest = stream.get_last_raw_message_by_subject(&subject).await;
            let newest = newest.map_err(failed("looking for leftovers"))?;
            // Another maker may be at it, whose lease ran out.
            if newest.time.unix_timestamp() + LEFTOVER_S < now_s() {
                let purged = stream.purge().filter(subject.as_str()).await;
                purged.map_err(failed("deleting leftovers"))?;
            }
        }
        Ok(())
    }
}

/// The stream behind an object store.
fn store_stream(bucket: &str) -> String {
    format!("OBJ_{bucket}")
}

fn now_s() -> i64 {
    i64::try_from(crate::clock::Clock::system().now_ms() / 1_000).unwrap_or(i64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok();
    digits.map_while(byte).collect()
}
