//! The view store: rows in memory and in sled, one tree a generation, and the checkpoint in the same batch as the rows.
//!
//! What must stay true: the store can be lost at any moment without loss. So damage is met by moving the store
//! aside, rows of another version by a new generation beside the old one; either way the views start empty, the
//! log says why, and the projector folds them again. Only one process has a store open.
//!
//! Beside a store `views` there may be: `views.lock`; `views.damaged`, a note that the next start must not trust
//! it; and `views.corrupt-<time>`, a store that was moved aside, for people to look at and delete.

mod block;
mod catalog;
mod digest;
mod disk;
mod fingerprint;
mod generations;
pub(crate) mod keys;
mod pages;
mod queries;
mod readable;
pub(crate) mod rows;
mod stamps;
mod table;
mod tally;
mod writer;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};

pub(crate) use catalog::Catalog;
pub use digest::{Digest, ViewsDigest};
use disk::Disk;
pub(crate) use disk::{Tree, Value, Values};
pub(crate) use fingerprint::fingerprint;
pub use generations::GenerationInfo;
pub(crate) use generations::{Goal, Intent, SwapWhen};
use generations::{generations, new_generation};
pub use keys::RowKind;
pub use queries::Views;
pub use stamps::Stamp;
use table::Table;
pub(crate) use table::{Room, RowBytes, Scan};
pub(crate) use writer::{Entry, Stopped, Writer, hash};

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error(
        "the view store {} is in use by another process: stop it, or give this one a directory of its own",
        path.display()
    )]
    Locked {
        /// Its directory.
        path: PathBuf,
    },
    /// It holds something that this Daybook did not write. It is folded again from the log at the next start.
    #[error("the view store is damaged ({0}); it is folded again from the log at the next start")]
    Damaged(String),
    /// The disk failed, or the directory cannot be used.
    #[error("the view store's disk failed: {0}")]
    Disk(#[from] std::io::Error),
}

/// What can be chosen about a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Memory for pages, in bytes. sled takes about as much again for pages that it has not counted yet.
    pub cache_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions { cache_bytes: 64 * 1024 * 1024 }
    }
}

/// An open store.
pub(crate) struct Store {
    path: PathBuf,
    disk: Disk,
    meta: Tree,
    /// What reads see. Held only for as long as it takes to clone the `Arc`.
    live: RwLock<Arc<Generation>>,
    /// Generations in use, the live one or not. One that somebody reads is not dropped under their hands.
    in_use: Mutex<BTreeMap<u64, Weak<Generation>>>,
    /// Held while a note that was read is written again.
    notes: Mutex<()>,
    /// Held while rows are written, and while somebody needs them to stand still.
    writing: Mutex<()>,
    /// Dropped last: the next process comes in after sled has let go.
    _lock: File,
}

/// One complete set of rows.
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) rows: Table,
    /// What the rows say of themselves, at hand: every accepted command asks.
    reached: RwLock<ViewsDigest>,
}

const META: &str = "meta";
const LIVE: &str = "live";
const PREVIOUS: &str = "previous";
const REBUILDING: &str = "rebuilding";
/// In place of the fingerprint of a generation that more than one version has folded.
const MIXED: &[u8] = b"mixed";

/// What the names of trees begin with that hold the rows of a generation. To be changed with the layout of blocks: then a
/// store of another layout has no rows in this one.
const ROWS: &str = "rows-";
/// The same of an earlier layout, in which each row was a value of sled. Kept for an earlier version to come back to,
/// until the views are rebuilt.
const EARLIER_ROWS: &str = "generation-";

fn tree_name(generation: u64) -> String {
    format!("{ROWS}{generation}")
}

fn schema_name(generation: u64) -> String {
    format!("schema-{generation}")
}

impl Store {
    /// Opens the store in a directory, creating it when missing, with a live generation whose rows this version
    /// can read.
    pub(crate) fn open(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let lock = lock(path)?;
        if let Ok(reason) = fs::read_to_string(beside(path, "damaged")) {
            move_aside(path, reason.trim())?;
        }
        let opened = Disk::open(path, options.cache_bytes).and_then(|disk| {
            let (meta, live) = open_live(&disk)?;
            Ok((disk, meta, live))
        });
        let (disk, meta, live) = match opened {
            Ok(opened) => opened,
            Err(StoreError::Damaged(reason)) => {
                move_aside(path, &reason)?;
                let disk = Disk::open(path, options.cache_bytes)?;
                let (meta, live) = open_live(&disk)?;
                (disk, meta, live)
            }
            Err(error @ (StoreError::Locked { .. } | StoreError::Disk(_))) => return Err(error),
        };
        tracing::info!(path = %path.display(), generation = live.number, "view store open");
        let live = Arc::new(live);
        Ok(Store {
            path: path.to_owned(),
            disk,
            meta,
            in_use: Mutex::new(BTreeMap::from([(live.number, Arc::downgrade(&live))])),
            live: RwLock::new(live),
            notes: Mutex::new(()),
            writing: Mutex::new(()),
            _lock: lock,
        })
    }

    /// The generation that reads see.
    pub(crate) fn live(&self) -> Arc<Generation> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps rows from being written until the guard is dropped, to memory or to disk.
    pub(crate) fn hold_still(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let held = self.hold_writing();
        self.live().rows.wait()?;
        Ok(held)
    }

    fn hold_writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a generation as another version's.
    #[cfg(any(test, feature = "wrong-rules"))]
    pub(crate) fn pretend_version(&self, generation: u64, fingerprint: &[u8]) -> Result<(), StoreError> {
        self.meta.insert(schema_name(generation), fingerprint)
    }

    /// Makes everything that is visible durable.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.live().rows.move_to_disk()?;
        self.disk.flush()
    }

    /// Passes a result on; leaves a note for the next start when it tells of damage.
    pub(crate) fn noting_damage<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Damaged(reason)) = &result {
            let note = beside(&self.path, "damaged");
            tracing::error!(
                path = %self.path.display(), reason,
                "the view store is damaged; it is moved aside and folded again from the log at the next start"
            );
            if let Err(error) = fs::write(&note, reason) {
                tracing::error!(%error, note = %note.display(), "the note of the damage cannot be written");
            }
        }
        result
    }
}

impl Generation {
    fn open(disk: &Disk, number: u64) -> Result<Self, StoreError> {
        let rows = Table::open(disk, &tree_name(number))?;
        let generation = Generation { number, rows, reached: RwLock::default() };
        let checkpoint = generation.checkpoints()?;
        let digest = generation.rows.get(keys::digest())?;
        let digest =
            digest.map_or(Ok(Digest::default()), |row| rows::decode(&row).map(Digest::from_bytes))?;
        *generation.reached.write().unwrap_or_else(PoisonError::into_inner) =
            ViewsDigest { digest, checkpoint };
        Ok(generation)
    }

    fn reached_now(&self) -> RwLockReadGuard<'_, ViewsDigest> {
        self.reached.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The digest of its rows and its checkpoint, without a look at the rows.
    pub(crate) fn digest(&self) -> ViewsDigest {
        self.reached_now().clone()
    }

    /// The sequence that a partition is folded to, 0 when nothing of it is; without a look at the rows.
    pub(crate) fn reached(&self, partition: u16) -> u64 {
        self.reached_now().checkpoint.get(usize::from(partition)).copied().unwrap_or(0)
    }

    /// How many commits are folded into it, of all partitions.
    pub(crate) fn folded(&self) -> u64 {
        self.reached_now().checkpoint.iter().sum()
    }

    /// Notes that the rows with these checkpoints, and with this digest, are visible.
    pub(crate) fn has_reached(&self, newest: impl IntoIterator<Item = (u16, u64)>, digest: Digest) {
        let mut reached = self.reached.write().unwrap_or_else(PoisonError::into_inner);
        reached.digest = digest;
        for (partition, sequence) in newest {
            let index = usize::from(partition);
            if reached.checkpoint.len() <= index {
                reached.checkpoint.resize(index + 1, 0);
            }
            reached.checkpoint[index] = sequence;
        }
    }

    /// How far a partition is folded; none when nothing of it is.
    pub(crate) fn checkpoint(&self, partition: u16) -> Result<Option<rows::Checkpoint>, StoreError> {
        let row = self.rows.get(keys::checkpoint(partition))?;
        row.map(|row| rows::decode(&row)).transpose()
    }

    /// How far every partition is folded, by partition.
    pub(crate) fn checkpoints(&self) -> Result<Vec<u64>, StoreError> {
        let mut sequences = Vec::new();
        for row in self.rows.range(&keys::checkpoints(), &keys::checkpoints().end()) {
            let (key, row) = row?;
            let partition = keys::checkpoint_partition(&key)
                .ok_or_else(|| StoreError::Damaged("a checkpoint without a partition".to_owned()))?;
            sequences.resize(usize::from(partition), 0);
            sequences.push(rows::decode::<rows::Checkpoint>(&row)?.sequence);
        }
        Ok(sequences)
    }

    /// Writes what a wrong rule would have written: this row is gone, and counted as gone.
    #[cfg(test)]
    pub(crate) fn miswrite(&self, key: &keys::Key) {
        let row = self.rows.get(key).expect("the store can be read").expect("there is such a row");
        let mut digest = self.digest().digest;
        digest.take_out(digest::RowHash::of(key.as_ref(), &row));
        let writes = [(key.clone(), None), (keys::digest(), Some(rows::encode(&digest.to_bytes())))];
        self.rows.apply(writes).expect("the store can be written");
        self.has_reached([], digest);
    }

    /// Makes a checkpoint stand on another commit.
    #[cfg(test)]
    pub(crate) fn forget_hash(&self, partition: u16) {
        let checkpoint = self.checkpoint(partition).expect("the store can be read").expect("a checkpoint");
        let other = rows::encode(&rows::Checkpoint { hash: [0; 32], ..checkpoint });
        self.rows.apply([(keys::checkpoint(partition), Some(other))]).expect("the store can be written");
    }

    /// The digest, taken from the rows as they are; the caller sees to it that they stand still.
    pub(crate) fn digest_by_scan(&self) -> Result<ViewsDigest, StoreError> {
        let mut digest = Digest::default();
        for row in self.rows.rows() {
            let (key, row) = row?;
            if !keys::is_bookkeeping(&key) {
                digest.add(&key, &row);
            }
        }
        Ok(ViewsDigest { digest, checkpoint: self.checkpoints()? })
    }
}

/// The live generation: the one noted as such if this version has folded it, else the one before it if this version
/// has, else the one noted as such if this version can read its rows, else a new one. Drops generations that nobody will ask for again.
fn open_live(disk: &Disk) -> Result<(Tree, Generation), StoreError> {
    let meta = disk.tree(META)?;
    let fingerprint = fingerprint()?;
    let (noted, previous) = (number(&meta, LIVE)?, number(&meta, PREVIOUS)?);
    if noted.is_none() && disk.was_there() {
        // sled takes what it can read for all there ever was; an old store without rows has lost them.
        return Err(StoreError::Damaged("no generation is noted as live".to_owned()));
    }
    if generations(disk).is_empty() && disk.tree_names().iter().any(|name| name.starts_with(EARLIER_ROWS)) {
        tracing::warn!(
            "the views were folded by another version of Daybook; folding them again from the log"
        );
    }
    let mut ours = None;
    for candidate in [noted, previous].into_iter().flatten() {
        let schema = meta.get(schema_name(candidate))?;
        if ours.is_none() && schema.as_deref() == Some(&fingerprint[..]) {
            ours = Some(candidate);
        }
    }
    let open = |number| Generation::open(disk, number);
    let live = match (ours, noted) {
        (Some(number), _) => open(number)?,
        (None, Some(noted)) => {
            let foreign = open(noted)?;
            if foreign.is_readable()? { adopt(&meta, foreign)? } else { new_generation(disk, &meta)? }
        }
        (None, None) => new_generation(disk, &meta)?,
    };
    if noted != Some(live.number) {
        if let Some(noted) = noted {
            tracing::warn!(
                generation = noted,
                instead = live.number,
                "the views were folded by another version of Daybook; folding them again from the log"
            );
        }
        make_live(&meta, live.number, noted)?;
        disk.flush()?;
    }
    let before = [noted, previous].into_iter().flatten().find(|number| *number != live.number);
    let rebuilding = Intent::noted(&meta)?.map(|intent| intent.generation);
    drop_all_but(disk, &[Some(live.number), before, rebuilding])?;
    // What follows reads it anyway; a checkpoint that cannot be read is damage worth knowing at once.
    live.checkpoints()?;
    Ok((meta, live))
}

/// Takes over a generation that another version has folded, to be served until a rebuild has replaced it. What is
/// folded into it from now on follows other rules than what is there, so it is no version's own any more.
fn adopt(meta: &Tree, generation: Generation) -> Result<Generation, StoreError> {
    tracing::warn!(
        generation = generation.number,
        "the views were folded by another version of Daybook; they are served until they are folded again"
    );
    meta.insert(schema_name(generation.number), MIXED)?;
    Ok(generation)
}

fn number(meta: &Tree, name: &str) -> Result<Option<u64>, StoreError> {
    let Some(value) = meta.get(name)? else { return Ok(None) };
    let bytes = value.as_ref().try_into();
    let bytes = bytes.map_err(|_| StoreError::Damaged(format!("{name} is not a generation's number")))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

/// Notes which generation is live and which was before, in one step. Nothing is being rebuilt after it.
fn make_live(meta: &Tree, live: u64, previous: Option<u64>) -> Result<(), StoreError> {
    let previous = previous.map(|number| number.to_be_bytes().to_vec());
    meta.apply([(LIVE, Some(live.to_be_bytes().to_vec())), (PREVIOUS, previous), (REBUILDING, None)])
}

fn drop_all_but(disk: &Disk, kept: &[Option<u64>]) -> Result<(), StoreError> {
    for generation in generations(disk).into_iter().filter(|generation| !kept.contains(&Some(*generation))) {
        tracing::info!(generation, "dropping an old view generation");
        disk.drop_tree(&tree_name(generation))?;
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let file = File::options().create(true).truncate(false).write(true).open(beside(path, "lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Gets a store that cannot be trusted out of the way, for people to look at.
fn move_aside(path: &Path, reason: &str) -> Result<(), StoreError> {
    if path.exists() {
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S.%6fZ");
        let aside = beside(path, &format!("corrupt-{time}"));
        fs::rename(path, &aside)?;
        tracing::error!(
            path = %path.display(), reason, moved_to = %aside.display(),
            "the view store is damaged and was moved aside; folding the views again from the log"
        );
    }
    match fs::remove_file(beside(path, "damaged")) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}
