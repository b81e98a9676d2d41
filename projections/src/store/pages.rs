//! Rows on disk: blocks of rows in a tree of sled, each under the key of its first row.
//!
//! What must stay true: a row is in the last block that begins at or before its key, and a block counts only up to where
//! the next one begins. So a block that has outgrown its size is cut from right to left: whoever reads meanwhile finds
//! each row in its old place or in its new one, and what a crash leaves behind to the right of a new block counts no more.

use std::ops::Bound;

use super::StoreError;
use super::block::{self, Entry};
use super::disk::{Tree, Value};
use super::keys::{Key, RowKind};

/// Rows on disk.
#[derive(Clone)]
pub(super) struct Pages {
    tree: Tree,
}

/// A block and where it begins.
pub(super) type Block = (Value, Value);

impl Pages {
    pub(super) fn new(tree: Tree) -> Self {
        Pages { tree }
    }

    /// A row's bytes, put through `found`.
    pub(super) fn get<T>(&self, key: &[u8], found: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, StoreError> {
        let Some((_, block)) = self.last_up_to(first_of_kind(key), Bound::Included(key))? else {
            return Ok(None);
        };
        for entry in block::decode(&block)? {
            let (known, row) = entry?;
            if known >= key {
                return Ok(if known == key { row.map(found) } else { None });
            }
        }
        Ok(None)
    }

    /// The last block that begins in this range.
    pub(super) fn last_up_to(&self, from: &[u8], to: Bound<&[u8]>) -> Result<Option<Block>, StoreError> {
        self.tree.last_in((Bound::Included(from), to))
    }

    /// The first block that begins in this range.
    pub(super) fn first_in(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<Option<Block>, StoreError> {
        self.tree.first_in((from, to))
    }

    /// Writes and removes rows, one block after the other.
    pub(super) fn write<'a>(&self, rows: impl Iterator<Item = Entry<'a>>) -> Result<(), StoreError> {
        let mut rows = rows.peekable();
        while let Some((first, _)) = rows.peek().copied() {
            let kind = first_of_kind(first);
            let found = self.last_up_to(kind, Bound::Included(first))?;
            let (begins, old) = match &found {
                Some((begins, block)) => (begins.as_ref(), Some(block.as_ref())),
                None => (kind, None),
            };
            let end = Key::from(kind).end();
            let next = self.first_in(Bound::Excluded(begins), Bound::Excluded(end.as_ref()))?;
            let end = next.as_ref().map_or(end.as_ref(), |(next, _)| next.as_ref());
            let new = std::iter::from_fn(|| rows.next_if(|(key, _)| *key < end));
            let (merged, is_appended) = merge(old, end, new)?;
            if merged.is_empty() {
                self.remove(kind, begins)?;
            } else {
                self.replace(begins, &merged, is_appended)?;
            }
        }
        Ok(())
    }

    /// Writes the rows of a block again, in as many as they need.
    fn replace(&self, begins: &[u8], rows: &[(&[u8], &[u8])], is_appended: bool) -> Result<(), StoreError> {
        let pieces = cut(rows, is_appended);
        for (index, piece) in pieces.iter().enumerate().rev() {
            let begins = match (index, piece.first()) {
                (1.., Some((key, _))) => key,
                (_, _) => begins,
            };
            let block = block::encode(piece.iter().map(|(key, row)| (*key, Some(*row))));
            self.put(begins, &block)?;
        }
        Ok(())
    }

    /// Removes a block. The one before it now reaches further, and must not bring back what a crash has left in it.
    fn remove(&self, kind: &[u8], begins: &[u8]) -> Result<(), StoreError> {
        if let Some((before, block)) = self.last_up_to(kind, Bound::Excluded(begins))? {
            let rows: Vec<Entry<'_>> = block::decode(&block)?.collect::<Result<_, _>>()?;
            let kept: Vec<Entry<'_>> = rows.iter().copied().filter(|(key, _)| *key < begins).collect();
            if kept.len() < rows.len() {
                self.put(&before, &block::encode(kept))?;
            }
        }
        #[cfg(test)]
        crash_when_due()?;
        self.tree.remove(begins)
    }

    fn put(&self, begins: &[u8], block: &[u8]) -> Result<(), StoreError> {
        #[cfg(test)]
        crash_when_due()?;
        self.tree.insert(begins, block)
    }

    /// Notes under a name that no row has.
    pub(super) fn note(&self, note: Option<&[u8]>) -> Result<(), StoreError> {
        match note {
            Some(note) => self.tree.insert(NOTE, note),
            None => self.tree.remove(NOTE),
        }
    }

    pub(super) fn noted(&self) -> Result<Option<Value>, StoreError> {
        self.tree.get(NOTE)
    }
}

/// Behind all rows.
pub(super) const NOTE: &[u8] = &[u8::MAX];

/// Where the rows of a kind begin. A block never holds rows of two.
fn first_of_kind(key: &[u8]) -> &[u8] {
    &key[..key.len().min(1)]
}

type Merged<'a> = Vec<(&'a [u8], &'a [u8])>;

/// The rows of a block as it ends where the next begins, with new ones among them; and whether all new ones come last.
fn merge<'a>(
    old: Option<&'a [u8]>,
    end: &[u8],
    new: impl Iterator<Item = Entry<'a>>,
) -> Result<(Merged<'a>, bool), StoreError> {
    let mut merged = Vec::new();
    let mut old = old.map(block::decode).transpose()?.into_iter().flatten();
    let mut next_old = || old.next().transpose().map(|entry| entry.filter(|(key, _)| *key < end));
    let mut waiting = next_old()?;
    let mut is_appended = true;
    for (key, row) in new {
        while let Some((known, kept)) = waiting.filter(|(known, _)| *known < key) {
            merged.extend(kept.map(|kept| (known, kept)));
            waiting = next_old()?;
        }
        is_appended &= waiting.is_none();
        if waiting.is_some_and(|(known, _)| known == key) {
            waiting = next_old()?;
        }
        merged.extend(row.map(|row| (key, row)));
    }
    while let Some((known, kept)) = waiting {
        merged.extend(kept.map(|kept| (known, kept)));
        waiting = next_old()?;
    }
    Ok((merged, is_appended))
}

/// Most bytes of a block, but for a row that is longer by itself. sled reads and writes a leaf with sixteen of them whole,
/// and keeps what is longer than 128 KiB in a file of its own. So where rows are found one by one, in no order, blocks
/// are short; elsewhere they are long, as sled also takes memory for each leaf.
fn largest(kind: Option<&u8>) -> usize {
    const IN_NO_ORDER: [RowKind; 6] = [
        RowKind::OrderId,
        RowKind::MerchantReference,
        RowKind::PaymentReference,
        RowKind::Idempotency,
        RowKind::QuarantineId,
        RowKind::Waiting,
    ];
    match kind {
        Some(kind) if IN_NO_ORDER.iter().any(|one| *one as u8 == *kind) => 512,
        Some(_) | None if cfg!(test) => 512,
        Some(_) | None => 4096,
    }
}

/// Cuts rows into blocks. Where rows arrive in the order of their keys the blocks are full, elsewhere they are of one
/// length, with room to grow.
fn cut<'a, 'b>(rows: &'b [(&'a [u8], &'a [u8])], is_appended: bool) -> Vec<&'b [(&'a [u8], &'a [u8])]> {
    let largest = largest(rows.first().and_then(|(key, _)| key.first()));
    let length = |(key, row): &(&[u8], &[u8])| block::length(key, row);
    let total: usize = rows.iter().map(length).sum();
    let most = if is_appended { largest } else { total.div_ceil(total.div_ceil(largest).max(1)) };
    let mut pieces = Vec::with_capacity(total / largest + 1);
    let (mut begins, mut filled) = (0, 0);
    for (index, row) in rows.iter().enumerate() {
        let length = length(row);
        if filled + length > most && index > begins {
            pieces.push(&rows[begins..index]);
            (begins, filled) = (index, 0);
        }
        filled += length;
    }
    pieces.push(&rows[begins..]);
    pieces
}

#[cfg(test)]
thread_local! {
    /// How many blocks this thread still writes before its process dies.
    pub(super) static CRASH_AFTER: std::cell::Cell<Option<usize>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
fn crash_when_due() -> Result<(), StoreError> {
    match CRASH_AFTER.get() {
        Some(0) => Err(std::io::Error::other("the process dies here").into()),
        left => {
            CRASH_AFTER.set(left.map(|left| left - 1));
            Ok(())
        }
    }
}
