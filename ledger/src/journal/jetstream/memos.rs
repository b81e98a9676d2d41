//! Memos on JetStream: a key-value bucket beside the streams, which `nats kv` shows.
//!
//! What a memo is now is asked of the bucket's leader, as everything is that decides something.

use async_nats::jetstream::context::Context;
use async_nats::jetstream::kv::{Config, Store, UpdateErrorKind};
use async_nats::jetstream::stream::{StorageType, Stream};
use bytes::Bytes;
use futures::TryStreamExt;

use super::{JetStreamConfig, Missing, find_stream, found};
use crate::journal::{BoxError, Memo, OpenError, PutMemoError};

/// Finds the bucket, or creates it where that is asked for. Refuses one that would forget by itself.
pub(super) async fn open(
    context: &Context,
    config: &JetStreamConfig,
    missing: Missing,
) -> Result<Option<Store>, OpenError> {
    let bucket = format!("{}_memos", config.prefix);
    let stream = format!("KV_{bucket}");
    if find_stream(context, &stream).await?.is_none() {
        if missing == Missing::Refuse {
            return Ok(None);
        }
        let wanted = Config {
            bucket: bucket.clone(),
            description: "What Daybook remembers about its own work; no fact of any order".to_owned(),
            history: 1,
            storage: StorageType::File,
            num_replicas: config.replicas,
            ..Config::default()
        };
        if let Err(error) = context.create_key_value(wanted).await {
            // Unless another node was faster, with other settings: they are compared next.
            if find_stream(context, &stream).await?.is_none() {
                return Err(OpenError::Unavailable(error.into()));
            }
        }
    }
    let store = context.get_key_value(&bucket).await.map_err(|e| OpenError::Unavailable(e.into()))?;
    let kept = &store.stream.cached_info().config;
    if kept.storage != StorageType::File || !kept.max_age.is_zero() || kept.num_replicas != config.replicas {
        return Err(OpenError::Refused(format!(
            "the bucket {bucket} is not kept as this journal needs it, which is in files, without an age limit, and \
             with {} replica(s): change it, the configuration, or the prefix",
            config.replicas
        )));
    }
    Ok(Some(store))
}

/// The memo as the leader has it.
pub(super) async fn read(store: &Store, name: &str) -> Result<Option<Memo>, BoxError> {
    let stream: &Stream = &store.stream;
    let subject = format!("{}{name}", store.prefix);
    let message = found(stream.raw_message_builder().last_by_subject(&subject).send().await)?;
    Ok(message.map(|message| Memo { revision: message.sequence, bytes: message.payload }))
}

/// The names of the memos that there are.
pub(super) async fn names(store: &Store) -> Result<Vec<String>, BoxError> {
    Ok(store.keys().await?.try_collect().await?)
}

/// Puts the memo if the bucket holds it at revision `expected`.
pub(super) async fn put(store: &Store, name: &str, expected: u64, bytes: Bytes) -> Result<u64, PutMemoError> {
    store.update(name, bytes, expected).await.map_err(|error| match error.kind() {
        UpdateErrorKind::WrongLastRevision => PutMemoError::Conflict,
        UpdateErrorKind::InvalidKey => PutMemoError::Unavailable(error.into()),
        UpdateErrorKind::TimedOut | UpdateErrorKind::Other => PutMemoError::Unknown(error.into()),
    })
}
