//! A journal that is only read, whatever the one behind it takes: for a server that must not write, also where somebody
//! gave it credentials with which it could.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{AppendError, Description, Draft, Journal, Memo, PutMemoError, ReadError, Stored, Subject, Tail};
use crate::ids::Position;
use crate::keys::{KeyStore, Page, PageId};

const READ_ONLY: &str = "this journal is only read here";

/// The journal behind it without its writing half: appends, restores, memos and keys are refused before anything is sent.
pub struct ReadOnly(Arc<dyn Journal>);

impl ReadOnly {
    /// Leaves nothing but reading of a journal.
    pub fn new(journal: Arc<dyn Journal>) -> Self {
        ReadOnly(journal)
    }
}

#[async_trait]
impl Journal for ReadOnly {
    fn partitions(&self) -> u16 {
        self.0.partitions()
    }

    async fn append(&self, _draft: &Draft, _expected: u64) -> Result<Position, AppendError> {
        Err(AppendError::Unavailable(READ_ONLY.into()))
    }

    async fn restore(&self, _commits: &[Stored]) -> Result<(), AppendError> {
        Err(AppendError::Unavailable(READ_ONLY.into()))
    }

    async fn load(&self, subject: &Subject) -> Result<Vec<Stored>, ReadError> {
        self.0.load(subject).await
    }

    async fn at(&self, position: Position) -> Result<Option<Stored>, ReadError> {
        self.0.at(position).await
    }

    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.0.last_sequence(partition).await
    }

    async fn tail(&self, partition: u16, after: u64) -> Result<Tail, ReadError> {
        self.0.tail(partition, after).await
    }

    async fn page(&self, partition: u16, after: u64) -> Result<Vec<Stored>, ReadError> {
        self.0.page(partition, after).await
    }

    async fn memo(&self, name: &str) -> Result<Option<Memo>, ReadError> {
        self.0.memo(name).await
    }

    async fn put_memo(&self, _name: &str, _expected: u64, _bytes: Bytes) -> Result<u64, PutMemoError> {
        Err(PutMemoError::Unavailable(READ_ONLY.into()))
    }

    async fn memo_names(&self) -> Result<Vec<String>, ReadError> {
        self.0.memo_names().await
    }

    fn keys(&self) -> Arc<dyn KeyStore> {
        Arc::new(ReadOnlyKeys(self.0.keys()))
    }

    async fn describe(&self) -> Result<Description, ReadError> {
        self.0.describe().await
    }
}

struct ReadOnlyKeys(Arc<dyn KeyStore>);

#[async_trait]
impl KeyStore for ReadOnlyKeys {
    async fn page(&self, page: PageId) -> Result<Option<Page>, ReadError> {
        self.0.page(page).await
    }

    async fn put_page(&self, _page: PageId, _expected: u64, _keys: Bytes) -> Result<u64, PutMemoError> {
        Err(PutMemoError::Unavailable(READ_ONLY.into()))
    }

    async fn pages(&self) -> Result<Vec<PageId>, ReadError> {
        self.0.pages().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CommitId, RecordId};
    use crate::journal::embedded::{EmbeddedJournal, EmbeddedOptions};

    #[tokio::test]
    async fn what_is_there_is_read_and_nothing_is_added() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journal = Arc::new(EmbeddedJournal::open(path, EmbeddedOptions::default()).await.unwrap());
        let draft = || {
            let subject = Subject { tenant: "demo".parse().unwrap(), id: RecordId::random() };
            Draft { subject, commit_id: CommitId::random(), bytes: "{}".into() }
        };
        let first = draft();
        journal.append(&first, 0).await.unwrap();
        journal.put_memo("note", 0, "kept".into()).await.unwrap();
        let page = PageId(1);
        journal.keys().put_page(page, 0, "keys".into()).await.unwrap();

        let read_only = ReadOnly::new(Arc::<EmbeddedJournal>::clone(&journal));
        assert_eq!(read_only.load(&first.subject).await.unwrap().len(), 1);
        assert_eq!(read_only.memo("note").await.unwrap().unwrap().bytes, "kept");
        assert_eq!(read_only.keys().page(page).await.unwrap().unwrap().keys, "keys");
        assert!(matches!(read_only.append(&draft(), 0).await, Err(AppendError::Unavailable(_))));
        let next = Stored {
            position: Position { partition: 0, sequence: 2 },
            subject: draft().subject,
            bytes: "{}".into(),
        };
        assert!(matches!(read_only.restore(&[next]).await, Err(AppendError::Unavailable(_))));
        let put = read_only.put_memo("note", 1, "changed".into()).await;
        assert!(matches!(put, Err(PutMemoError::Unavailable(_))));
        let put = read_only.keys().put_page(page, 1, "changed".into()).await;
        assert!(matches!(put, Err(PutMemoError::Unavailable(_))));
        assert_eq!(journal.last_sequence(0).await.unwrap(), 1);
        assert_eq!(journal.memo("note").await.unwrap().unwrap().bytes, "kept");
        assert_eq!(journal.keys().page(page).await.unwrap().unwrap().keys, "keys");
    }
}
