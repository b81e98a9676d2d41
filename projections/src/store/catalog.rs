//! A store as it was left, for whoever only looks. What must stay true: nothing is made, moved aside or dropped here,
//! whatever version wrote it, so that what a server left can be examined before anything replaces it.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, Tree};
use super::generations::{Intent, generations};
use super::{
    Generation, LIVE, META, PREVIOUS, StoreError, StoreOptions, beside, fingerprint, lock, number,
    schema_name,
};

/// A store as it was left. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Catalog {
    disk: Disk,
    meta: Tree,
    /// Dropped last: the next process comes in after sled has let go.
    _lock: Arc<File>,
}

impl Catalog {
    /// Opens the store in a directory as it was left; none when there is no store. Keeps other processes out of it.
    pub(crate) fn open(path: &Path, options: &StoreOptions) -> Result<Option<Self>, StoreError> {
        if !path.is_dir() {
            return Ok(None);
        }
        let lock = lock(path)?;
        if let Ok(reason) = fs::read_to_string(beside(path, "damaged")) {
            return Err(StoreError::Damaged(reason.trim().to_owned()));
        }
        let disk = Disk::open(path, options.cache_bytes)?;
        if !disk.tree_names().iter().any(|name| name == META) {
            return Ok(None);
        }
        let meta = disk.tree(META)?;
        Ok(Some(Catalog { disk, meta, _lock: Arc::new(lock) }))
    }

    /// A tree in a store of its own that nobody will open again.
    pub(crate) fn scratch(path: &Path, cache_bytes: u64) -> Result<Tree, StoreError> {
        Disk::open(path, cache_bytes)?.tree("scratch")
    }

    /// The number of the generation that reads see.
    pub(crate) fn live(&self) -> Result<Option<u64>, StoreError> {
        number(&self.meta, LIVE)
    }

    /// The number of the one that was live before.
    pub(crate) fn previous(&self) -> Result<Option<u64>, StoreError> {
        number(&self.meta, PREVIOUS)
    }

    /// The number of the one that is being folded beside them.
    pub(crate) fn rebuilding(&self) -> Result<Option<u64>, StoreError> {
        Ok(Intent::noted(&self.meta)?.map(|intent| intent.generation))
    }

    /// A generation; none when there is none of this number.
    pub(crate) fn generation(&self, number: u64) -> Result<Option<Arc<Generation>>, StoreError> {
        if !generations(&self.disk).contains(&number) {
            return Ok(None);
        }
        let generation = Generation::open(&self.disk, number)?;
        Ok(Some(Arc::new(generation)))
    }

    /// Whether a generation's rows were written by this version of the views.
    pub(crate) fn is_of_this_version(&self, number: u64) -> Result<bool, StoreError> {
        Ok(self.meta.get(schema_name(number))?.as_deref() == Some(&fingerprint()?[..]))
    }
}
