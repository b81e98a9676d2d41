//! Keeps a generation's digest up to date: each batch takes out the rows that it overwrites and counts in those that it
//! writes.
//!
//! What must stay true: the digest is always that of a scan, to the last bit. What a batch overwrites has to be known
//! for that, and reading it would cost as much again as folding, so it is read last of all. Most rows were read by the fold
//! or written a moment ago; of an order that the batch opens, and of an index, there is no row to overwrite.

use std::cell::RefCell;
use std::collections::HashMap;

use super::digest::{Digest, RowHash};
use super::keys::{self, Key};
use super::{Generation, RowBytes, StoreError};
use crate::fold::{Base, Writes};

/// How many rows' hashes are kept between batches, twice.
const KNOWN: usize = 16_384;

/// Hashes of rows that were written lately and may be overwritten soon.
#[derive(Default)]
pub(super) struct KnownHashes {
    young: HashMap<Key, RowHash>,
    old: HashMap<Key, RowHash>,
}

impl KnownHashes {
    fn get(&self, key: &Key) -> Option<RowHash> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    /// Called when the batch that wrote these rows is visible.
    pub(super) fn keep(&mut self, written: Vec<(Key, RowHash)>) {
        for (key, hash) in written {
            if self.young.len() >= KNOWN {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(key, hash);
        }
    }
}

/// The digest across one batch. What the fold reads passes through here.
pub(super) struct Tally<'a> {
    generation: &'a Generation,
    known: &'a KnownHashes,
    read: RefCell<HashMap<Key, Option<RowBytes>>>,
}

/// A batch counted.
pub(super) struct Tallied {
    /// The digest once the batch is written.
    pub(super) digest: Digest,
    /// Of the rows in it that may be overwritten.
    pub(super) hashes: Vec<(Key, RowHash)>,
}

impl Base for Tally<'_> {
    type Row = RowBytes;

    fn get(&self, key: &Key) -> Result<Option<RowBytes>, StoreError> {
        let row = self.generation.rows.get(key)?;
        if keys::is_overwritten(key.as_ref()) {
            self.read.borrow_mut().insert(key.clone(), row.clone());
        }
        Ok(row)
    }
}

impl<'a> Tally<'a> {
    pub(super) fn new(generation: &'a Generation, known: &'a KnownHashes) -> Self {
        Tally { generation, known, read: RefCell::default() }
    }

    /// The digest after these writes. Nothing may have been written since the first row was read.
    pub(super) fn count(&self, writes: &Writes) -> Result<Tallied, StoreError> {
        let mut digest = self.generation.digest().digest;
        let mut hashes = Vec::new();
        for (key, row) in writes.iter().filter(|(key, _)| !keys::is_bookkeeping(key.as_ref())) {
            if let Some(before) = self.before(key, row.is_none())? {
                digest.take_out(before);
            }
            if let Some(row) = row {
                let hash = RowHash::of(key.as_ref(), row);
                digest.add_hash(hash);
                if keys::is_overwritten(key.as_ref()) {
                    hashes.push((key.clone(), hash));
                }
            }
        }
        Ok(Tallied { digest, hashes })
    }

    /// The hash of the row that a write meets, if it meets one.
    fn before(&self, key: &Key, is_removed: bool) -> Result<Option<RowHash>, StoreError> {
        let hash = |row: &RowBytes| RowHash::of(key.as_ref(), row);
        if !is_removed {
            let reached = |partition| self.generation.reached(partition);
            let is_new = keys::opened_at(key.as_ref()).is_some_and(|at| at.sequence > reached(at.partition));
            if is_new || !keys::is_overwritten(key.as_ref()) {
                return Ok(None);
            }
            if let Some(known) = self.known.get(key) {
                return Ok(Some(known));
            }
            if let Some(read) = self.read.borrow().get(key) {
                return Ok(read.as_ref().map(hash));
            }
        }
        Ok(self.generation.rows.get(key)?.as_ref().map(hash))
    }
}
