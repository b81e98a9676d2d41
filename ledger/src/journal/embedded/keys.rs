//! The keys beside an embedded journal: a SQLite file of their own, so that a copy of the journal holds none.
//!
//! No write-ahead log, and `secure_delete`: what a put replaces is overwritten in the file. Whoever needs more than
//! that encrypts the disk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{BUSY, blocking, unavailable};
use crate::journal::{PutMemoError, ReadError};
use crate::keys::{KeyStore, Page, PageId};

const SCHEMA: &str = "
PRAGMA journal_mode = DELETE;
PRAGMA synchronous = EXTRA;
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS pages (
    -- Daybook: keys of personal data, 32 bytes each. Thirty-two zero bytes are a key that was destroyed.
    page     TEXT    PRIMARY KEY,
    revision INTEGER NOT NULL CHECK (revision > 0),
    keys     BLOB    NOT NULL
) STRICT;
";

/// Where the keys of the journal at `path` are.
pub(super) fn path(journal: &Path) -> PathBuf {
    journal.with_extension("keys.sqlite")
}

/// The file, opened when first needed.
#[derive(Debug)]
pub(super) struct EmbeddedKeys {
    path: PathBuf,
    is_read_only: bool,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl EmbeddedKeys {
    pub(super) fn new(path: PathBuf, is_read_only: bool) -> Self {
        EmbeddedKeys { path, is_read_only, connection: Arc::default() }
    }

    /// None where there is nothing to read.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Option<T>, ReadError> {
        let (shared, path, is_read_only) =
            (Arc::clone(&self.connection), self.path.clone(), self.is_read_only);
        let done = blocking(move || {
            let mut connection = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if connection.is_none() {
                if is_read_only && !path.is_file() {
                    return Ok(None);
                }
                *connection = Some(open(&path, is_read_only)?);
            }
            connection.as_ref().map(work).transpose()
        });
        done.await.map_err(ReadError::Unavailable)?.map_err(unavailable)
    }
}

fn open(path: &Path, is_read_only: bool) -> rusqlite::Result<Connection> {
    let access = match is_read_only {
        true => OpenFlags::SQLITE_OPEN_READ_ONLY,
        false => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    if !is_read_only {
        connection.execute_batch(SCHEMA)?;
    }
    Ok(connection)
}

#[async_trait]
impl KeyStore for EmbeddedKeys {
    async fn page(&self, page: PageId) -> Result<Option<Page>, ReadError> {
        let found = self.with(move |connection| {
            let mut select = connection.prepare_cached("SELECT revision, keys FROM pages WHERE page = ?1")?;
            let found =
                select.query_row([page.to_string()], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)));
            Ok(found.optional()?.map(|(revision, keys)| Page { revision, keys: keys.into() }))
        });
        Ok(found.await?.flatten())
    }

    async fn put_page(&self, page: PageId, expected: u64, keys: Bytes) -> Result<u64, PutMemoError> {
        if self.is_read_only {
            return Err(PutMemoError::Unavailable(super::READ_ONLY.into()));
        }
        let put = self.with(move |connection| {
            let page = page.to_string();
            let changed = match expected {
                0 => connection.execute(
                    "INSERT INTO pages (page, revision, keys) VALUES (?1, 1, ?2) ON CONFLICT DO NOTHING",
                    (&page, keys.as_ref()),
                )?,
                _ => connection.execute(
                    "UPDATE pages SET revision = revision + 1, keys = ?2 WHERE page = ?1 AND revision = ?3",
                    (&page, keys.as_ref(), expected),
                )?,
            };
            Ok(changed == 1)
        });
        match put.await {
            Ok(Some(true)) => Ok(expected + 1),
            Ok(Some(false) | None) => Err(PutMemoError::Conflict),
            // A commit that failed may have been stored; whoever asks reads the page again.
            Err(error) => Err(PutMemoError::Unknown(error.into())),
        }
    }

    async fn pages(&self) -> Result<Vec<PageId>, ReadError> {
        let names = self.with(|connection| {
            let mut select = connection.prepare_cached("SELECT page FROM pages")?;
            select.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
        });
        let names = names.await?.unwrap_or_default();
        names.iter().map(|name| name.parse().map_err(unavailable)).collect()
    }
}
