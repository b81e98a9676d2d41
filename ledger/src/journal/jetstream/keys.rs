//! The keys beside a journal on JetStream: a stream of their own, one message a page.
//!
//! The stream is not compressed, and lets messages be deleted, which overwrites them where they lie. A page is
//! replaced in two steps: the new one is stored, then every older one is overwritten. What a crash leaves between
//! them, the next put of the page takes along.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::stream::{Compression, Config, DiscardPolicy, StorageType, Stream};
use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use tokio::sync::OnceCell;

use super::{JetStreamConfig, Missing, find_stream, newest_of, next_of, unavailable};
use crate::journal::{BoxError, OpenError, PutMemoError, ReadError};
use crate::keys::{KeyStore, Page, PageId};

/// The stream of keys. One that is missing is found again when another node has made it.
#[derive(Debug)]
pub(super) struct JetStreamKeys {
    context: Context,
    name: String,
    stream: OnceCell<Stream<()>>,
}

/// Finds the stream, or creates it where that is asked for. Refuses one that would forget by itself, or could not
/// forget what it is told to.
pub(super) async fn open(
    context: &Context,
    config: &JetStreamConfig,
    missing: Missing,
) -> Result<Arc<JetStreamKeys>, OpenError> {
    let name = format!("{}-keys", config.prefix);
    if let (None, Missing::Create) = (find_stream(context, &name).await?, missing) {
        let wanted = Config {
            name: name.clone(),
            description: Some(
                "Keys of the personal data in Daybook's ledger; guard and back up apart from it".to_owned(),
            ),
            subjects: vec![format!("{name}.*")],
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            compression: Some(Compression::None),
            num_replicas: config.replicas,
            ..Config::default()
        };
        if let Err(error) = context.create_stream(wanted).await {
            // Unless another node was faster, with other settings: they are compared next.
            if find_stream(context, &name).await?.is_none() {
                return Err(OpenError::Unavailable(error.into()));
            }
        }
    }
    if let Some(info) = find_stream(context, &name).await? {
        let found = info.config;
        let forgets = found.max_age > Duration::ZERO || found.max_messages > 0 || found.max_bytes > 0;
        let keeps = found.deny_delete || found.compression.is_some_and(|c| c != Compression::None);
        if forgets || keeps || found.storage != StorageType::File || found.max_messages_per_subject > 0 {
            return Err(OpenError::Refused(format!(
                "the stream {name} is not fit for keys: it must keep messages in a file without limits and \
                 uncompressed, and let them be deleted"
            )));
        }
    }
    Ok(Arc::new(JetStreamKeys { context: context.clone(), name, stream: OnceCell::new() }))
}

impl JetStreamKeys {
    async fn stream(&self) -> Result<&Stream<()>, BoxError> {
        let open = async || self.context.get_stream_no_info(&self.name).await.map_err(BoxError::from);
        self.stream.get_or_try_init(open).await
    }

    fn subject(&self, page: PageId) -> String {
        format!("{}.{page}", self.name)
    }

    /// Overwrites every message of a page but the newest.
    async fn overwrite_older(&self, subject: &str, newest: u64) -> Result<(), BoxError> {
        let stream = self.stream().await?;
        while let Some(older) = next_of(stream, subject, 1).await?
            && older.sequence < newest
        {
            stream.delete_message(older.sequence).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl KeyStore for JetStreamKeys {
    async fn page(&self, page: PageId) -> Result<Option<Page>, ReadError> {
        let stream = self.stream().await.map_err(ReadError::Unavailable)?;
        let newest = newest_of(stream, &self.subject(page)).await.map_err(ReadError::Unavailable)?;
        Ok(newest.map(|message| Page { revision: message.sequence, keys: message.payload }))
    }

    async fn put_page(&self, page: PageId, expected: u64, keys: Bytes) -> Result<u64, PutMemoError> {
        let subject = self.subject(page);
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string().as_str());
        let sent = self.context.publish_with_headers(subject.clone(), headers, keys).await;
        let sent = sent.map_err(|error| PutMemoError::Unavailable(error.into()))?;
        let revision = match sent.await {
            Ok(ack) => ack.sequence,
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                return Err(PutMemoError::Conflict);
            }
            Err(error) => return Err(PutMemoError::Unknown(error.into())),
        };
        if expected > 0 {
            self.overwrite_older(&subject, revision).await.map_err(PutMemoError::Unknown)?;
        }
        Ok(revision)
    }

    async fn pages(&self) -> Result<Vec<PageId>, ReadError> {
        if find_stream(&self.context, &self.name).await.map_err(unavailable)?.is_none() {
            return Ok(Vec::new());
        }
        let stream = self.stream().await.map_err(ReadError::Unavailable)?;
        let subjects = stream.info_with_subjects(format!("{}.*", self.name)).await.map_err(unavailable)?;
        let names: Vec<(String, usize)> = subjects.try_collect().await.map_err(unavailable)?;
        let page = |name: &str| name.rsplit('.').next().unwrap_or_default().parse().map_err(unavailable);
        names.iter().map(|(name, _)| page(name)).collect()
    }
}
