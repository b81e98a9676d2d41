//! sled, behind one door: nothing else in Daybook knows it.
//!
//! sled is trusted with nothing that the log cannot give back: an error or a panic in it means that the store is
//! damaged, not that the process is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use super::StoreError;
use super::keys::Key;

/// How long a store that was closed a moment ago may take to let go of its files.
const LETTING_GO: Duration = Duration::from_secs(5);

/// An open store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Disk {
    db: sled::Db,
}

/// Rows by key.
#[derive(Clone)]
pub(crate) struct Tree {
    tree: sled::Tree,
}

/// A key or a row as it lies in memory.
pub(crate) type RowBytes = sled::IVec;

impl Disk {
    /// Opens or creates the store in a directory. The caller holds the lock that keeps other processes out.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let config = sled::Config::new().path(path).cache_capacity(cache_bytes);
        let deadline = Instant::now() + LETTING_GO;
        loop {
            match guarded(|| config.open()) {
                Ok(db) => return Ok(Disk { db }),
                // Threads of a store closed in this process may still hold its file lock; sled has no kind for it.
                Err(StoreError::Disk(error))
                    if error.kind() == std::io::ErrorKind::Other && Instant::now() < deadline =>
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether there was a store before this one was opened.
    pub(crate) fn was_there(&self) -> bool {
        self.db.was_recovered()
    }

    /// The tree of this name, created when missing.
    pub(crate) fn tree(&self, name: &str) -> Result<Tree, StoreError> {
        guarded(|| self.db.open_tree(name)).map(|tree| Tree { tree })
    }

    /// The names of all trees.
    pub(crate) fn tree_names(&self) -> Vec<String> {
        self.db.tree_names().iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// Forgets a tree and its rows.
    pub(crate) fn drop_tree(&self, name: &str) -> Result<(), StoreError> {
        guarded(|| self.db.drop_tree(name)).map(|_existed| ())
    }

    /// Returns when everything written before is on disk.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        guarded(|| self.db.flush()).map(|_bytes| ())
    }
}

impl Tree {
    pub(crate) fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<RowBytes>, StoreError> {
        guarded(|| self.tree.get(key))
    }

    pub(crate) fn insert(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        guarded(|| self.tree.insert(key, value)).map(|_before| ())
    }

    /// Rows whose keys lie in `from..to`, in the order of their keys; readable from both ends.
    pub(crate) fn range(&self, from: &Key, to: &Key) -> Rows {
        Rows { iter: (from < to).then(|| self.tree.range::<&Key, _>(from..to)) }
    }

    /// Every row.
    pub(crate) fn rows(&self) -> Rows {
        Rows { iter: Some(self.tree.iter()) }
    }

    /// Writes and removes rows one after the other, in this order also after a crash, which may cut it short.
    pub(crate) fn write_each(
        &self,
        writes: impl IntoIterator<Item = (impl AsRef<[u8]>, Option<Vec<u8>>)>,
    ) -> Result<(), StoreError> {
        for (key, row) in writes {
            guarded(|| match row {
                Some(row) => self.tree.insert(&key, row),
                None => self.tree.remove(&key),
            })?;
        }
        Ok(())
    }

    /// Writes and removes rows, all of them or, after a crash, none.
    pub(crate) fn apply(
        &self,
        writes: impl IntoIterator<Item = (impl AsRef<[u8]>, Option<Vec<u8>>)>,
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, row) in writes {
            match row {
                Some(row) => batch.insert(key.as_ref(), row),
                None => batch.remove(key.as_ref()),
            }
        }
        guarded(|| self.tree.apply_batch(batch))
    }
}

/// Rows as they are read. An error is the last of them.
pub(crate) struct Rows {
    iter: Option<sled::Iter>,
}

impl Rows {
    fn step(
        &mut self,
        next: impl FnOnce(&mut sled::Iter) -> Option<sled::Result<(RowBytes, RowBytes)>>,
    ) -> Option<Result<(RowBytes, RowBytes), StoreError>> {
        let iter = self.iter.as_mut()?;
        let row = guarded(|| next(iter).transpose()).transpose();
        if !matches!(row, Some(Ok(_))) {
            self.iter = None;
        }
        row
    }
}

impl Iterator for Rows {
    type Item = Result<(RowBytes, RowBytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next)
    }
}

impl DoubleEndedIterator for Rows {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(DoubleEndedIterator::next_back)
    }
}

/// A panic in sled is damage as well: some of its checks are assertions.
fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(StoreError::from),
        Err(_panic) => Err(StoreError::Damaged("sled panicked".to_owned())),
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        use std::io::ErrorKind::{InvalidData, UnexpectedEof};
        match error {
            sled::Error::Io(error) if matches!(error.kind(), InvalidData | UnexpectedEof) => {
                StoreError::Damaged(error.to_string())
            }
            sled::Error::Io(error) => StoreError::Disk(error),
            sled::Error::CollectionNotFound(_)
            | sled::Error::Unsupported(_)
            | sled::Error::ReportableBug(_)
            | sled::Error::Corruption { .. } => StoreError::Damaged(error.to_string()),
        }
    }
}
