//! Rows on disk: blocks of rows in a tree of sled, each under the key of its first row.
//!
//! What must stay true: a row is in the last block that begins at or before its key, and a block counts only up to where
//! the next one begins. So a block that has outgrown its size is cut, and the pieces with rows of it are written from right
//! to left after all others: whoever reads meanwhile finds each of these rows in its old place or in its new one, and what
//! a crash leaves behind to the right of a new block counts no more.

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
            let (merged, appended) = merge(old, end, new)?;
            if merged.is_empty() {
                self.remove(kind, begins)?;
            } else {
                self.replace(begins, &merged, appended)?;
            }
        }
        Ok(())
    }

    /// Writes the rows of a block again, in as many as they need. The last `appended` rows are new and come after all
    /// that were there.
    fn replace(&self, begins: &[u8], rows: &[(&[u8], &[u8])], appended: usize) -> Result<(), StoreError> {
        let pieces = cut(rows, appended > 0);
        let first_new = rows.get(rows.len() - appended).map(|(key, _)| *key);
        let has_old = |piece: &&[(&[u8], &[u8])]| match (piece.first(), first_new) {
            (Some((key, _)), Some(new)) => *key < new,
            (_, _) => true,
        };
        let old = pieces.partition_point(has_old).max(1);
        let is_read_often = begins.first() == Some(&(RowKind::Order as u8));
        for index in turns(old, pieces.len(), is_read_often) {
            let piece = pieces[index];
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

/// The rows of a block as it ends where the next begins, with new ones among them; and how many new ones there are, if
/// all of them come last, else none.
fn merge<'a>(
    old: Option<&'a [u8]>,
    end: &[u8],
    new: impl Iterator<Item = Entry<'a>>,
) -> Result<(Merged<'a>, usize), StoreError> {
    let mut merged = Vec::new();
    let mut old = old.map(block::decode).transpose()?.into_iter().flatten();
    let mut next_old = || old.next().transpose().map(|entry| entry.filter(|(key, _)| *key < end));
    let mut waiting = next_old()?;
    let (mut is_appended, mut added) = (true, 0);
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
        added += usize::from(row.is_some());
    }
    while let Some((known, kept)) = waiting {
        merged.extend(kept.map(|kept| (known, kept)));
        waiting = next_old()?;
    }
    let appended = if is_appended { added } else { 0 };
    Ok((merged, appended))
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
        Some(_) | None => 2048,
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

/// In which turn the pieces of a block are written, the first `old` of which have rows that were there: those come last
/// and from right to left, since until then the block that is to be replaced still has these rows.
///
/// sled splits a leaf in halves when it has a seventeenth value, and keeps some 250 bytes in memory for each leaf, for
/// ever. Written from right to left, eight pieces are left in each. So of the others, which nobody misses who looks into
/// memory first, seven of fifteen come later, into the gaps, and fifteen share a leaf. Not where rows are read one by
/// one: there a leaf is to be short.
fn turns(old: usize, pieces: usize, is_read_often: bool) -> impl Iterator<Item = usize> {
    let is_later = move |index: &usize| !is_read_often && index % 15 % 2 == 1;
    let sooner = (old..pieces).rev().filter(move |index| !is_later(index));
    sooner.chain((old..pieces).rev().filter(is_later)).chain((0..old).rev())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_has_its_turn_and_those_with_old_rows_come_last_from_right_to_left() {
        for (old, pieces) in (1..40).flat_map(|pieces| (1..=pieces).map(move |old| (old, pieces))) {
            for is_read_often in [false, true] {
                let mut turns: Vec<usize> = turns(old, pieces, is_read_often).collect();
                assert!(turns[pieces - old..].iter().rev().copied().eq(0..old));
                turns.sort_unstable();
                assert!(turns.into_iter().eq(0..pieces));
            }
        }
    }

    /// As sled does it: of a leaf with seventeen values nine stay.
    #[test]
    fn fifteen_pieces_share_a_leaf() {
        let mut leaves: Vec<Vec<usize>> = vec![Vec::new()];
        for index in turns(1, 1000, false) {
            let after = leaves.partition_point(|leaf| leaf.first().is_some_and(|first| *first <= index));
            let leaf = after.saturating_sub(1);
            let place = leaves[leaf].partition_point(|other| *other < index);
            leaves[leaf].insert(place, index);
            if leaves[leaf].len() > 16 {
                let right = leaves[leaf].split_off(9);
                leaves.insert(leaf + 1, right);
            }
        }
        assert_eq!(leaves.iter().map(Vec::len).sum::<usize>(), 1000);
        assert!(leaves.len() <= 70, "{}", leaves.len());
    }
}
