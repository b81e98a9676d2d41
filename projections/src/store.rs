//! The view store: rows in sled, one tree a generation.

mod queries;

use std::path::{Path, PathBuf};

pub use queries::Views;

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("the view store {} is in use by another process: stop it, or give this one its own directory", path.display())]
    Locked {
        /// Its directory.
        path: PathBuf,
    },
    /// It holds something that this Daybook did not write. It is rebuilt from the log at the next start.
    #[error("the view store is damaged ({0}); it is rebuilt from the log at the next start")]
    Damaged(String),
    /// The disk failed.
    #[error("the view store's disk failed: {0}")]
    Disk(#[source] std::io::Error),
}

/// What can be chosen about a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Memory for pages, in bytes.
    pub cache_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions { cache_bytes: 64 * 1024 * 1024 }
    }
}

/// An order-independent digest of rows: equal if and only if (but for a collision) the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest([u64; 4]);

/// A digest of all views, and the place in the log that they were folded up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewsDigest {
    /// Of all rows but the checkpoint.
    pub digest: Digest,
    /// Per partition, the sequence of the last commit in it; partitions at the end without commits are left out.
    pub checkpoint: Vec<u64>,
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

impl Views {
    /// Opens the store in a directory, creating it when missing.
    ///
    /// A damaged store is moved aside, and one of another version is left beside a new one: in both cases the
    /// views are empty, the log says so loudly, and the projector folds them again.
    pub fn open(_path: &Path, _options: StoreOptions) -> Result<Views, StoreError> {
        unimplemented!()
    }
}
