//! Reading rows in the order of their keys, from memory and from disk at once, while they are written.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::{Inner, RowBytes};
use crate::store::StoreError;
use crate::store::block;
use crate::store::pages::{Block, NOTE};

/// Rows as they are read, from either end. An error is the last of them.
///
/// What must stay true: rows of a block were read before rows left memory, or are read again. So each step looks into
/// memory first, and forgets the blocks in hand when rows have moved since.
pub(crate) struct Scan {
    inner: Arc<Inner>,
    from: Bound<Bytes>,
    to: Bound<Bytes>,
    /// How often rows had moved when the blocks in hand were read.
    moved: u64,
    front: Hand,
    back: Hand,
    is_over: bool,
}

/// A row and its key.
type Row = (RowBytes, RowBytes);

/// The rows of one block, from one end of what is still to be read.
#[derive(Default)]
struct Hand {
    rows: VecDeque<Row>,
    /// Where the blocks go on after this one.
    then: Then,
}

/// What follows the block in hand.
#[derive(Default)]
enum Then {
    /// There is none in hand.
    #[default]
    Unknown,
    /// Going forward, this one; going back, those that begin before it.
    Block(Block),
    Nothing,
}

#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

impl Scan {
    pub(super) fn new(inner: &Arc<Inner>, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Self {
        let is_over = match (from, to) {
            (Bound::Included(from), Bound::Excluded(to)) => from >= to,
            (_, _) => false,
        };
        Scan {
            inner: Arc::clone(inner),
            from: from.map(Bytes::copy_from_slice),
            to: to.map(Bytes::copy_from_slice),
            moved: 0,
            front: Hand::default(),
            back: Hand::default(),
            is_over,
        }
    }

    fn step(&mut self, end: End) -> Result<Option<Row>, StoreError> {
        loop {
            let lately = self.in_memory(end);
            let on_disk = self.on_disk(end)?;
            let comes_first = |one: &[u8], other: &[u8]| match end {
                End::Front => one < other,
                End::Back => one > other,
            };
            let (key, row) = match (lately, on_disk) {
                (None, None) => return Ok(None),
                (Some(lately), Some((key, _))) if !comes_first(&key, &lately.0) => lately,
                (Some(lately), None) => lately,
                (_, Some((key, row))) => (key, Some(row)),
            };
            match end {
                End::Front => self.from = Bound::Excluded(key.clone()),
                End::Back => self.to = Bound::Excluded(key.clone()),
            }
            if let Some(row) = row {
                return Ok(Some((key, row)));
            }
        }
    }

    /// The next row that memory has, which may be one that is removed.
    fn in_memory(&mut self, end: End) -> Option<(RowBytes, Option<RowBytes>)> {
        let memory = self.inner.memory();
        if memory.moved != self.moved {
            self.moved = memory.moved;
            (self.front, self.back) = (Hand::default(), Hand::default());
        }
        if is_empty(&self.from, &self.to) {
            return None;
        }
        let bounds = (as_slice(&self.from), as_slice(&self.to));
        let next = |rows: &'_ super::Lately| {
            let mut rows = rows.rows.range::<[u8], _>(bounds);
            let next = match end {
                End::Front => rows.next(),
                End::Back => rows.next_back(),
            };
            next.map(|(key, row)| (Bytes::copy_from_slice(key.as_ref()), row.clone()))
        };
        let (young, old) = (next(&memory.young), memory.old.as_deref().and_then(next));
        match (young, old) {
            (Some(young), Some(old)) => {
                let old_comes_first = match end {
                    End::Front => old.0 < young.0,
                    End::Back => old.0 > young.0,
                };
                Some(if old_comes_first { old } else { young })
            }
            (young, old) => young.or(old),
        }
    }

    /// The next row that the disk has.
    fn on_disk(&mut self, end: End) -> Result<Option<Row>, StoreError> {
        loop {
            let (from, to) = (&self.from, &self.to);
            let is_within = |key: &Bytes| starts_before(from, key) && ends_behind(to, key);
            let hand = match end {
                End::Front => &mut self.front,
                End::Back => &mut self.back,
            };
            while let Some((key, row)) = match end {
                End::Front => hand.rows.front(),
                End::Back => hand.rows.back(),
            } {
                if is_within(key) {
                    return Ok(Some((key.clone(), row.clone())));
                }
                match end {
                    End::Front => hand.rows.pop_front(),
                    End::Back => hand.rows.pop_back(),
                };
            }
            if !self.take_up(end)? {
                return Ok(None);
            }
        }
    }

    /// Takes up the next block. False when there is none.
    fn take_up(&mut self, end: End) -> Result<bool, StoreError> {
        match end {
            End::Front => self.take_up_next(),
            End::Back => self.take_up_previous(),
        }
    }

    fn take_up_next(&mut self) -> Result<bool, StoreError> {
        let pages = &self.inner.pages;
        let last = match &self.to {
            Bound::Excluded(to) => Bound::Excluded(to.as_ref()),
            Bound::Included(_) | Bound::Unbounded => Bound::Excluded(NOTE),
        };
        let block = match std::mem::take(&mut self.front.then) {
            Then::Nothing => None,
            Then::Block(block) => Some(block),
            Then::Unknown => {
                let from = match &self.from {
                    Bound::Included(from) | Bound::Excluded(from) => from.as_ref(),
                    Bound::Unbounded => &[],
                };
                match pages.last_up_to(&[], Bound::Included(from))? {
                    Some(block) => Some(block),
                    None => pages.first_in(Bound::Included(from), last)?,
                }
            }
        };
        let Some((begins, block)) = block else {
            self.front.then = Then::Nothing;
            return Ok(false);
        };
        let next = pages.first_in(Bound::Excluded(begins.as_ref()), last)?;
        let next_begins = next.as_ref().map(|(begins, _)| begins.as_ref());
        self.front.rows = rows(&block, next_begins)?;
        self.front.then = next.map_or(Then::Nothing, Then::Block);
        Ok(true)
    }

    fn take_up_previous(&mut self) -> Result<bool, StoreError> {
        let upto = match (&self.back.then, &self.to) {
            (Then::Nothing, _) => return Ok(false),
            (Then::Block((begins, _)), _) => begins.as_ref(),
            (Then::Unknown, Bound::Excluded(to)) => to.as_ref(),
            (Then::Unknown, Bound::Included(_) | Bound::Unbounded) => NOTE,
        };
        let Some((begins, block)) = self.inner.pages.last_up_to(&[], Bound::Excluded(upto))? else {
            self.back.then = Then::Nothing;
            return Ok(false);
        };
        let rows = rows(&block, Some(upto))?;
        let is_last = !starts_before(&self.from, &Bytes::copy_from_slice(&begins));
        self.back.rows = rows;
        self.back.then = if is_last { Then::Nothing } else { Then::Block((begins, block)) };
        Ok(true)
    }
}

/// The rows of a block as far as it counts.
fn rows(block: &[u8], end: Option<&[u8]>) -> Result<VecDeque<Row>, StoreError> {
    let bytes = Bytes::copy_from_slice(block);
    let mut rows = VecDeque::new();
    for entry in block::decode(&bytes)? {
        let (key, row) = entry?;
        if end.is_some_and(|end| key >= end) {
            break;
        }
        rows.extend(row.map(|row| (bytes.slice_ref(key), bytes.slice_ref(row))));
    }
    Ok(rows)
}

fn as_slice(bound: &Bound<Bytes>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| key.as_ref())
}

fn starts_before(from: &Bound<Bytes>, key: &Bytes) -> bool {
    match from {
        Bound::Included(from) => from <= key,
        Bound::Excluded(from) => from < key,
        Bound::Unbounded => true,
    }
}

fn ends_behind(to: &Bound<Bytes>, key: &Bytes) -> bool {
    match to {
        Bound::Included(to) => key <= to,
        Bound::Excluded(to) => key < to,
        Bound::Unbounded => true,
    }
}

/// Whether no key lies between: the rows from either end have met.
fn is_empty(from: &Bound<Bytes>, to: &Bound<Bytes>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
            from >= to
        }
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

impl Iterator for Scan {
    type Item = Result<Row, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_at(End::Front)
    }
}

impl DoubleEndedIterator for Scan {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.next_at(End::Back)
    }
}

impl Scan {
    fn next_at(&mut self, end: End) -> Option<Result<Row, StoreError>> {
        if self.is_over {
            return None;
        }
        let row = self.step(end).transpose();
        self.is_over = !matches!(row, Some(Ok(_)));
        row
    }
}
