//! A tenant's document in the journal.

use std::sync::Arc;

use ledger::execute::LoadError;
use ledger::ids::TenantId;
use ledger::journal::{Journal, PutMemoError, ReadError};

use super::document::{Document, DocumentError};
use crate::orders::OrderError;

/// The name of a tenant's memo is this and the tenant's.
pub(super) const PREFIX: &str = "notifications.";

/// Why a tenant's document cannot be had or put.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The journal cannot be read.
    #[error("the place of the notifications cannot be read")]
    Read(#[from] ReadError),
    /// It is no document of ours. A person has to look.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The journal did not take it.
    #[error("the place of the notifications cannot be stored")]
    Put(#[from] PutMemoError),
}

impl From<StoreError> for OrderError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Read(error) => LoadError::from(error).into(),
            StoreError::Document(error) => OrderError::internal(error.into()),
            StoreError::Put(error) => OrderError::Unavailable(error.into()),
        }
    }
}

/// Where one tenant's document is.
#[derive(Clone)]
pub(super) struct Store {
    tenant: TenantId,
    name: String,
    journal: Arc<dyn Journal>,
}

impl Store {
    pub(super) fn new(tenant: &TenantId, journal: Arc<dyn Journal>) -> Self {
        Store { tenant: tenant.clone(), name: format!("{PREFIX}{tenant}"), journal }
    }

    /// The document with its revision; none when there has never been one, or an operator took it away.
    pub(super) async fn read(&self) -> Result<Option<(u64, Document)>, StoreError> {
        let memo = self.journal.memo(&self.name).await?.filter(|memo| !memo.bytes.is_empty());
        memo.map(|memo| Ok((memo.revision, Document::parse(&memo.bytes)?))).transpose()
    }

    /// Puts the document in the place of the one at this revision.
    pub(super) async fn put(&self, expected: u64, document: &Document) -> Result<u64, PutMemoError> {
        self.journal.put_memo(&self.name, expected, document.to_bytes()).await
    }

    /// Makes the first document, which begins at the end of the log as it is now. One that is there stays.
    pub(super) async fn begin(&self) -> Result<(), StoreError> {
        let memo = self.journal.memo(&self.name).await?;
        if memo.as_ref().is_some_and(|memo| !memo.bytes.is_empty()) {
            return Ok(());
        }
        let mut read = Vec::new();
        for partition in 0..self.journal.partitions() {
            read.push(self.journal.last_sequence(partition).await?);
        }
        let expected = memo.map_or(0, |memo| memo.revision);
        match self.put(expected, &Document::beginning(read)).await {
            Ok(_) => tracing::info!(tenant = %self.tenant, "notifications begin at the end of the log"),
            // Another node was faster.
            Err(PutMemoError::Conflict) => {}
            Err(error @ (PutMemoError::Unknown(_) | PutMemoError::Unavailable(_))) => {
                return Err(error.into());
            }
        }
        Ok(())
    }
}
