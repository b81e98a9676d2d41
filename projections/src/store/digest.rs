//! Digests of rows that do not depend on the rows' order: each row's hash is added to a sum.
//!
//! A row can be added and taken away again, so a digest is kept up to date with every batch at the price of hashing
//! what the batch changes. Rows are ours, not an adversary's: what an auditor relies on is a tree over the log, not
//! this.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// An order-independent digest of rows: two sets of rows with equal digests are equal, but for a collision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest([u64; 4]);

/// A digest of all views, and the place in the log that they were folded up to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ViewsDigest {
    /// Of all rows but the checkpoint.
    pub digest: Digest,
    /// Per partition, the sequence of the last commit in the views; partitions at the end that have none are
    /// left out.
    pub checkpoint: Vec<u64>,
}

/// The hash of one row, by which it counts in a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowHash([u64; 4]);

impl RowHash {
    pub(crate) fn of(key: &[u8], row: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update((key.len() as u64).to_be_bytes());
        hash.update(key);
        hash.update(row);
        let mut lanes = [0; 4];
        for (place, lane) in lanes.iter_mut().zip(hash.finalize().as_chunks::<8>().0) {
            *place = u64::from_be_bytes(*lane);
        }
        RowHash(lanes)
    }
}

impl Digest {
    /// Counts one row in.
    pub(crate) fn add(&mut self, key: &[u8], row: &[u8]) {
        self.add_hash(RowHash::of(key, row));
    }

    pub(crate) fn add_hash(&mut self, RowHash(lanes): RowHash) {
        for (sum, lane) in self.0.iter_mut().zip(lanes) {
            *sum = sum.wrapping_add(lane);
        }
    }

    /// Takes a row out that was counted in before.
    pub(crate) fn take_out(&mut self, RowHash(lanes): RowHash) {
        for (sum, lane) in self.0.iter_mut().zip(lanes) {
            *sum = sum.wrapping_sub(lane);
        }
    }

    /// The digest that these bytes were made of.
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut digest = Digest::default();
        for (place, lane) in digest.0.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *place = u64::from_be_bytes(*lane);
        }
        digest
    }
}

impl Digest {
    /// The digest as bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (place, lane) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *place = lane.to_be_bytes();
        }
        bytes
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_rows_does_not_matter_and_everything_else_does() {
        let of = |rows: &[(&str, &str)]| {
            let mut digest = Digest::default();
            rows.iter().for_each(|(key, row)| digest.add(key.as_bytes(), row.as_bytes()));
            digest
        };
        let digest = of(&[("a", "1"), ("b", "2")]);
        assert_eq!(digest, of(&[("b", "2"), ("a", "1")]));
        for other in [&[("a", "1")][..], &[("a", "2"), ("b", "1")], &[("a1", ""), ("b", "2")], &[]] {
            assert_ne!(digest, of(other));
        }
        assert_eq!(digest.to_string().len(), 64);
        assert_eq!(Digest::from_bytes(digest.to_bytes()), digest);
        let mut fewer = digest;
        fewer.take_out(RowHash::of(b"a", b"1"));
        assert_eq!(fewer, of(&[("b", "2")]));
    }
}
