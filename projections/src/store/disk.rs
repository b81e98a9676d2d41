//! sled, behind one door: nothing else in Daybook knows it.
//!
//! sled is trusted with nothing that the log cannot give back: an error or a panic in it means that the store is
//! damaged, not that the process is.

use std::ops::RangeBounds;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::StoreError;

/// How long a store that was closed a moment ago may take to let go of its files.
const LETTING_GO: Duration = Duration::from_secs(5);

/// An open store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Disk {
    db: sled::Db,
    path: PathBuf,
}

/// Values by key.
#[derive(Clone)]
pub(crate) struct Tree {
    tree: sled::Tree,
}

/// A key or a value as it lies in memory.
pub(crate) type Value = sled::IVec;

impl Disk {
    /// Opens or creates the store in a directory. The caller holds the lock that keeps other processes out.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let config = sled::Config::new().path(path).cache_capacity(cache_bytes);
        let deadline = Instant::now() + LETTING_GO;
        loop {
            match guarded(|| config.open()) {
                Ok(db) => return Ok(Disk { db, path: path.to_owned() }),
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

    /// Its directory. What is put there beside sled's own files is gone with the store.
    pub(crate) fn path(&self) -> &Path {
        &self.path
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

    /// Forgets a tree and its rows: one row after the other, since sled lets go of nothing that it reads of a tree which
    /// it drops before it is done with all of it, and reads every page.
    pub(crate) fn drop_tree(&self, name: &str) -> Result<(), StoreError> {
        guarded(|| self.db.open_tree(name)?.clear())?;
        guarded(|| self.db.drop_tree(name)).map(|_existed| ())
    }

    /// Returns when everything written before is on disk.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        guarded(|| self.db.flush()).map(|_bytes| ())
    }
}

impl Tree {
    pub(crate) fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, StoreError> {
        guarded(|| self.tree.get(key))
    }

    pub(crate) fn insert(&self, key: impl AsRef<[u8]>, value: &[u8]) -> Result<(), StoreError> {
        guarded(|| self.tree.insert(key, value)).map(|_before| ())
    }

    pub(crate) fn remove(&self, key: impl AsRef<[u8]>) -> Result<(), StoreError> {
        guarded(|| self.tree.remove(key)).map(|_before| ())
    }

    /// The first value whose key lies in a range.
    pub(crate) fn first_in<'a>(
        &self,
        keys: impl RangeBounds<&'a [u8]>,
    ) -> Result<Option<(Value, Value)>, StoreError> {
        guarded(|| self.tree.range(keys).next().transpose())
    }

    /// The last one.
    pub(crate) fn last_in<'a>(
        &self,
        keys: impl RangeBounds<&'a [u8]>,
    ) -> Result<Option<(Value, Value)>, StoreError> {
        guarded(|| self.tree.range(keys).next_back().transpose())
    }

    /// Every value.
    pub(crate) fn values(&self) -> Values {
        Values { iter: Some(self.tree.iter()) }
    }

    /// Writes and removes values, all of them or, after a crash, none.
    pub(crate) fn apply(
        &self,
        writes: impl IntoIterator<Item = (impl AsRef<[u8]>, Option<Vec<u8>>)>,
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key.as_ref(), value),
                None => batch.remove(key.as_ref()),
            }
        }
        guarded(|| self.tree.apply_batch(batch))
    }
}

/// Values as they are read. An error is the last of them.
pub(crate) struct Values {
    iter: Option<sled::Iter>,
}

impl Iterator for Values {
    type Item = Result<(Value, Value), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let iter = self.iter.as_mut()?;
        let value = guarded(|| iter.next().transpose()).transpose();
        if !matches!(value, Some(Ok(_))) {
            self.iter = None;
        }
        value
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
