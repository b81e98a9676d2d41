//! What can be compared: a generation of a store, or a fresh fold of the log.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use ledger::ids::TenantId;
use ledger::journal::Journal;

use crate::progress::Progress;
use crate::projector::{StartError, check_log};
use crate::rebuild::{FreshViews, RebuildError, fresh_views};
use crate::store::{Catalog, Generation, RowKind, Scan, Store, StoreError, StoreOptions, Views, keys};

/// Names a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The generation that reads see.
    Live,
    /// The one that was live before.
    Previous,
    /// The one that is being folded beside them.
    Rebuilding,
    /// The generation of this number.
    Number(u64),
    /// The log, folded afresh up to where the other side ends.
    Fresh,
}

/// A text that names no side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("none of live, previous, rebuilding, fresh, or the number of a generation")]
pub struct InvalidWhich;

impl FromStr for Which {
    type Err = InvalidWhich;

    fn from_str(text: &str) -> Result<Self, InvalidWhich> {
        match text {
            "live" => Ok(Which::Live),
            "previous" => Ok(Which::Previous),
            "rebuilding" => Ok(Which::Rebuilding),
            "fresh" => Ok(Which::Fresh),
            number => number.parse().map(Which::Number).map_err(|_| InvalidWhich),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which::Live => f.write_str("live"),
            Which::Previous => f.write_str("previous"),
            Which::Rebuilding => f.write_str("rebuilding"),
            Which::Fresh => f.write_str("fresh"),
            Which::Number(number) => number.fmt(f),
        }
    }
}

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
pub enum SideError {
    /// The store has no such generation.
    #[error("there is no generation {0} in the view store")]
    Missing(Which),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log is not the one that the views were folded from, or cannot be read.
    #[error(transparent)]
    Log(#[from] StartError),
    /// The log could not be folded afresh.
    #[error(transparent)]
    Fold(#[from] RebuildError),
}

/// The generations of a view store, to look at. Cheap to clone.
#[derive(Clone)]
pub struct Generations(Shelf);

#[derive(Clone)]
enum Shelf {
    /// Nobody else has the store open.
    AsLeft(Catalog),
    /// It is in use, and goes on being written.
    InUse(Arc<Store>),
}

impl Generations {
    /// Opens the store in a directory as it was left; none when there is none. Unlike [`Views::open`] this starts no
    /// generation and drops none, whatever version wrote them. Keeps other processes out. Reads the disk; not for an
    /// async thread.
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Option<Self>, StoreError> {
        Ok(Catalog::open(path, options)?.map(|catalog| Generations(Shelf::AsLeft(catalog))))
    }

    /// Those of the store that these views are read from.
    pub fn of(views: &Views) -> Self {
        Generations(Shelf::InUse(Arc::clone(views.store())))
    }

    /// One of them. [`Which::Fresh`] is none of them; see [`fresh`].
    pub fn side(&self, which: Which) -> Result<Side, SideError> {
        let number = match (which, &self.0) {
            (Which::Number(number), _) => Some(number),
            (Which::Live, Shelf::AsLeft(catalog)) => catalog.live()?,
            (Which::Live, Shelf::InUse(store)) => Some(store.live().number),
            (Which::Previous, Shelf::AsLeft(catalog)) => catalog.previous()?,
            (Which::Previous, Shelf::InUse(store)) => store.previous()?,
            (Which::Rebuilding, Shelf::AsLeft(catalog)) => catalog.rebuilding()?,
            (Which::Rebuilding, Shelf::InUse(store)) => store.intent()?.map(|intent| intent.generation),
            (Which::Fresh, _) => None,
        };
        let number = number.ok_or(SideError::Missing(which))?;
        let (generation, is_of_this_version) = match &self.0 {
            Shelf::AsLeft(catalog) => (catalog.generation(number)?, catalog.is_of_this_version(number)?),
            Shelf::InUse(store) => (store.generation(number)?, store.is_of_this_version(number)?),
        };
        let generation = generation.ok_or(SideError::Missing(which))?;
        Ok(Side { generation, number: Some(number), is_of_this_version, _fresh: None })
    }
}

/// Folds the log afresh, as far as the other side goes, which must have been folded from the same log. What is folded
/// lies in the system's directory for temporary files for as long as it is needed.
pub async fn fresh(
    journal: &dyn Journal,
    other: &Side,
    progress: impl FnMut(Progress),
) -> Result<Side, SideError> {
    check_log(journal, &other.generation).await?;
    let upto = other.checkpoints()?;
    let fresh = fresh_views(journal, &upto, progress).await?;
    let generation = fresh.views().store().live();
    Ok(Side { generation, number: None, is_of_this_version: true, _fresh: Some(Arc::new(fresh)) })
}

/// One side of a comparison. Cheap to clone.
#[derive(Clone)]
pub struct Side {
    generation: Arc<Generation>,
    number: Option<u64>,
    is_of_this_version: bool,
    /// Dropped last.
    _fresh: Option<Arc<FreshViews>>,
}

impl Side {
    /// The generation's number; none for a fresh fold.
    pub fn number(&self) -> Option<u64> {
        self.number
    }

    /// Whether this version of the views wrote the rows. Those of another may be misread, or not be readable at all.
    pub fn is_of_this_version(&self) -> bool {
        self.is_of_this_version
    }

    /// Per partition, the sequence of the last commit in it; partitions at the end that have none are left out.
    pub fn checkpoints(&self) -> Result<Vec<u64>, StoreError> {
        self.generation.checkpoints()
    }

    pub(super) fn rows(&self, kind: RowKind, tenant: Option<&TenantId>) -> Scan {
        let prefix = keys::all(kind, tenant);
        self.generation.rows.range(&prefix, &prefix.end())
    }
}
