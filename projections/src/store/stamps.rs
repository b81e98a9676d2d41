//! Whether an order's row was written since somebody read it, told without a look for the row.
//!
//! What must stay true: a stamp changes while the row's new bytes become visible, under the same lock. So who looks at
//! the stamp, then reads the row, and finds the stamp unchanged later, still has the row as it is.

use std::sync::atomic::{AtomicU64, Ordering};

use ledger::ids::Position;

/// How many orders are told apart. Two that are not only make each other be read once more.
const SLOTS: usize = 1 << 17;

/// How often the orders of each slot were written.
pub(super) struct Stamps(Box<[AtomicU64]>);

/// An order's row as it was when somebody read it; see [`Views::is_unchanged`](super::Views::is_unchanged).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub(super) generation: u64,
    pub(super) first: Position,
    pub(super) written: u64,
}

impl Stamps {
    pub(super) fn new() -> Self {
        Stamps((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }

    /// How often the order with this first commit was written, or one that shares its slot.
    pub(super) fn written(&self, first: Position) -> u64 {
        self.slot(first).load(Ordering::Acquire)
    }

    /// To be called by whoever holds the rows for writing.
    pub(super) fn write(&self, first: Position) {
        self.slot(first).fetch_add(1, Ordering::Release);
    }

    fn slot(&self, first: Position) -> &AtomicU64 {
        // Orders follow each other in the log, so neighbours have slots of their own; partitions begin far apart.
        let number =
            (first.sequence as usize).wrapping_add(usize::from(first.partition).wrapping_mul(40_503));
        &self.0[number % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_order_has_another_stamp_and_its_neighbours_have_not() {
        let stamps = Stamps::new();
        let at = |partition, sequence| Position { partition, sequence };
        stamps.write(at(0, 7));
        stamps.write(at(u16::MAX, u64::MAX));
        assert_eq!([at(0, 6), at(0, 7), at(0, 8), at(1, 7)].map(|first| stamps.written(first)), [0, 1, 0, 0]);
        assert_eq!(stamps.written(at(u16::MAX, u64::MAX)), 1);
    }
}
