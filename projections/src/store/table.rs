//! The rows of one generation: those written lately in memory, the others on disk.
//!
//! A row is visible as soon as it is in memory. Once there are enough of them they are put on disk together, sorted, by
//! which many changes of one row become one, and one value of sled takes the rows of many commits. What must stay true:
//! a crash leaves the rows of whole batches. So before the first of the rows goes to its block, all of them stand in a
//! file of their own, and a note among the blocks says which; whoever opens the table while the note is there reads that
//! file first. What was only in memory is folded again, as the checkpoint is a row like any other.

mod redo;
mod scan;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use bytes::Bytes;
use ledger::ids::Position;
use redo::Redo;
pub(crate) use scan::Scan;

use super::StoreError;
use super::disk::Disk;
use super::keys::{self, Key};
use super::pages::Pages;
use super::stamps::Stamps;
use crate::fold::Writes;

/// A key or a row as it is read.
pub(crate) type RowBytes = Bytes;

/// How many bytes of rows wait in memory for the next time that rows are put on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// What others read meanwhile: little to fold again after a crash.
    Live,
    /// What is folded from the start, by a process that does nothing else.
    Bulk,
}

impl Room {
    fn bytes(self) -> usize {
        match self {
            _ if cfg!(test) => 8 * 1024,
            Room::Live => 8 * 1024 * 1024,
            Room::Bulk => 16 * 1024 * 1024,
        }
    }
}

/// What a row takes in memory beside its key and its bytes, about.
const OVERHEAD: usize = 100;

/// Rows by key.
pub(crate) struct Table {
    inner: Arc<Inner>,
    /// The thread that puts rows on disk.
    writing: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
}

struct Inner {
    disk: Disk,
    pages: Pages,
    redo: Redo,
    memory: RwLock<Memory>,
    stamps: Stamps,
    /// Held while rows go to disk.
    moving: Mutex<()>,
}

#[derive(Default)]
struct Memory {
    /// Rows that were written last.
    young: Lately,
    /// Rows that are on their way to disk.
    old: Option<Arc<Lately>>,
    /// How often rows have left for the disk.
    moved: u64,
    /// Whether anything was written since the table was opened.
    is_changed: bool,
}

/// Rows, or that they are removed.
#[derive(Default)]
struct Lately {
    rows: BTreeMap<Key, Option<RowBytes>>,
    bytes: usize,
}

impl Lately {
    fn put(&mut self, key: Key, row: Option<RowBytes>) {
        let length = |row: &Option<RowBytes>| row.as_ref().map_or(0, Bytes::len);
        let (key_length, row_length) = (key.as_ref().len(), length(&row));
        match self.rows.insert(key, row) {
            Some(before) => self.bytes -= length(&before),
            None => self.bytes += key_length + OVERHEAD,
        }
        self.bytes += row_length;
    }
}

impl Table {
    /// The rows of a tree, as whole batches have left them. Writes nothing.
    pub(super) fn open(disk: &Disk, name: &str) -> Result<Self, StoreError> {
        let pages = Pages::new(disk.tree(name)?);
        let redo = Redo::new(disk.path(), name);
        let mut memory = Memory::default();
        if let Some(note) = pages.noted()? {
            redo.read(&note, |key, row| memory.young.put(Key::from(key), row.map(Bytes::copy_from_slice)))?;
        }
        let inner = Inner {
            disk: disk.clone(),
            pages,
            redo,
            memory: RwLock::new(memory),
            stamps: Stamps::new(),
            moving: Mutex::default(),
        };
        Ok(Table { inner: Arc::new(inner), writing: Mutex::default() })
    }

    /// The row of a key.
    pub(crate) fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<RowBytes>, StoreError> {
        let key = key.as_ref();
        if let Some(row) = self.inner.memory().get(key) {
            return Ok(row);
        }
        self.inner.pages.get(key, Bytes::copy_from_slice)
    }

    /// A row's bytes, put through `found`.
    pub(crate) fn find<T>(
        &self,
        key: impl AsRef<[u8]>,
        found: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        let key = key.as_ref();
        if let Some(row) = self.inner.memory().get(key) {
            return Ok(row.map(|row| found(&row)));
        }
        self.inner.pages.get(key, found)
    }

    /// How often an order was written; see [`Stamps`].
    pub(super) fn written(&self, first: Position) -> u64 {
        self.inner.stamps.written(first)
    }

    /// Rows whose keys lie in `from..to`, in the order of their keys; readable from both ends. Sees what is written
    /// meanwhile.
    pub(crate) fn range(&self, from: &Key, to: &Key) -> Scan {
        Scan::new(&self.inner, Bound::Included(from.as_ref()), Bound::Excluded(to.as_ref()))
    }

    /// Every row.
    pub(crate) fn rows(&self) -> Scan {
        Scan::new(&self.inner, Bound::Unbounded, Bound::Unbounded)
    }

    /// Writes and removes rows: all of them are visible, and after a crash all or none are there. Waits when rows come
    /// faster than the disk takes them.
    pub(crate) fn write(&self, room: Room, writes: Writes) -> Result<(), StoreError> {
        if self.put(writes) >= room.bytes() {
            self.wait()?;
            self.inner.set_apart();
            let inner = Arc::clone(&self.inner);
            let thread = std::thread::Builder::new().name("views".to_owned());
            *self.writing() = Some(thread.spawn(move || inner.move_to_disk())?);
        }
        Ok(())
    }

    /// The same, by this thread alone.
    pub(crate) fn write_here(&self, room: Room, writes: Writes) -> Result<(), StoreError> {
        if self.put(writes) >= room.bytes() { self.move_to_disk() } else { Ok(()) }
    }

    /// Puts every row on disk, as far as sled does before it is flushed.
    pub(crate) fn move_to_disk(&self) -> Result<(), StoreError> {
        self.wait()?;
        // Twice: rows that could not be moved before go first.
        while self.inner.set_apart() {
            self.inner.move_to_disk()?;
        }
        Ok(())
    }

    /// Returns when no row is on its way to disk.
    pub(crate) fn wait(&self) -> Result<(), StoreError> {
        let thread = self.writing().take();
        match thread.map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(moved)) => moved,
            Some(Err(_panic)) => Err(StoreError::Damaged("the thread that writes rows panicked".to_owned())),
        }
    }

    /// Returns how many bytes wait in memory.
    fn put(&self, writes: impl IntoIterator<Item = (Key, Option<Vec<u8>>)>) -> usize {
        let mut memory = self.inner.memory_mut();
        memory.is_changed = true;
        for (key, row) in writes {
            if let Some(first) = keys::order_at(key.as_ref()) {
                self.inner.stamps.write(first);
            }
            // Without what was left over when it was encoded.
            memory.young.put(key, row.map(|row| Bytes::from(row.into_boxed_slice())));
        }
        memory.young.bytes
    }

    fn writing(&self) -> MutexGuard<'_, Option<JoinHandle<Result<(), StoreError>>>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What can be put on disk is there when the next process looks.
impl Drop for Table {
    fn drop(&mut self) {
        let is_changed = self.inner.memory().is_changed;
        let moved = if is_changed { self.move_to_disk() } else { self.wait() };
        if let Err(error) = moved {
            tracing::error!(%error, "the newest rows of the views are not on disk; they are folded again");
        }
    }
}

impl Memory {
    /// What memory says of a key; none when that is on disk.
    fn get(&self, key: &[u8]) -> Option<Option<RowBytes>> {
        let of_old = || self.old.as_ref().and_then(|old| old.rows.get(key));
        self.young.rows.get(key).or_else(of_old).cloned()
    }
}

impl Inner {
    fn memory(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory_mut(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets apart what is to go to disk next. False when there is nothing.
    fn set_apart(&self) -> bool {
        let mut memory = self.memory_mut();
        if memory.old.is_none() && !memory.young.rows.is_empty() {
            memory.old = Some(Arc::new(std::mem::take(&mut memory.young)));
        }
        memory.old.is_some()
    }

    /// Puts on disk what is set apart.
    fn move_to_disk(&self) -> Result<(), StoreError> {
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(old) = self.memory().old.clone() else { return Ok(()) };
        let rows = || old.rows.iter().map(|(key, row)| (key.as_ref(), row.as_deref()));
        let note = self.redo.write(rows())?;
        self.pages.note(Some(&note))?;
        self.pages.write(rows())?;
        self.pages.note(None)?;
        {
            let mut memory = self.memory_mut();
            memory.old = None;
            memory.moved += 1;
        }
        // From here on nobody looks into the file, but only once sled has all that it stood for.
        self.disk.flush()?;
        self.redo.forget()
    }
}

#[cfg(test)]
impl Table {
    /// Writes and removes rows under any keys.
    pub(crate) fn apply(
        &self,
        writes: impl IntoIterator<Item = (impl AsRef<[u8]>, Option<Vec<u8>>)>,
    ) -> Result<(), StoreError> {
        self.put(writes.into_iter().map(|(key, row)| (Key::from(key.as_ref()), row)));
        Ok(())
    }

    /// Leaves the table as a crash would have, which came while every row was on its way to disk.
    pub(crate) fn tear(&self) {
        self.move_to_disk().unwrap();
        let rows: Vec<_> = self.rows().map(Result::unwrap).collect();
        let note = self.inner.redo.write(rows.iter().map(|(key, row)| (key.as_ref(), Some(row.as_ref()))));
        self.inner.pages.note(Some(&note.unwrap())).unwrap();
        let torn = rows.iter().step_by(2).map(|(key, _)| (key.as_ref(), None));
        self.inner.pages.write(torn).unwrap();
        self.inner.memory_mut().is_changed = false;
    }
}

#[cfg(test)]
mod tests;
