//! What of a commit is hashed into the tree: where it stands, what it is about, and its stored bytes.
//!
//! The format stands in the reference ("The transparency log") for whoever repeats it, and never changes: every hash
//! that was ever signed depends on it.

use ledger::ids::Position;
use ledger::journal::{Stored, Subject};

use super::merkle::{Hash, hash_leaf};

/// Hash of the leaf of a commit: over the partition (2 bytes), the sequence (8 bytes), the length of the tenant's name
/// (1 byte), the tenant's name, the record's id (16 bytes) and the stored bytes. Whole numbers are big-endian.
///
/// The commit at sequence s is leaf s − 1 of its partition's tree.
pub fn leaf_hash(position: Position, subject: &Subject, bytes: &[u8]) -> Hash {
    let tenant = subject.tenant.as_str().as_bytes();
    // A tenant's name has at most 32 characters.
    let length = [tenant.len() as u8];
    hash_leaf(&[
        &position.partition.to_be_bytes(),
        &position.sequence.to_be_bytes(),
        &length,
        tenant,
        subject.id.0.as_bytes(),
        bytes,
    ])
}

/// The same of a commit as the journal gives it.
pub fn leaf_of(stored: &Stored) -> Hash {
    leaf_hash(stored.position, &stored.subject, &stored.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(tenant: &str) -> Subject {
        let id = "bd6fdb1c-5e78-55f9-aee6-ed210905f6db".parse().unwrap();
        Subject { tenant: tenant.parse().unwrap(), id }
    }

    #[test]
    fn a_leaf_never_changes() {
        // Pinned: a change here would contradict every signed tree head. The reference shows how to work it out with
        // `printf` and `sha256sum` alone.
        let position = Position { partition: 0, sequence: 7 };
        let hash = leaf_hash(position, &subject("demo"), b"{}");
        let hash = data_encoding::HEXLOWER.encode(&hash.0);
        assert_eq!(hash, PINNED);
        assert!(include_str!("../../../docs/src/reference/transparency-log.md").contains(&hash));
    }

    const PINNED: &str = "7f41ffd7282a264fb82db0e8ba3d2495c2f12abcfbc22e4b71ee9b02ebb01ac3";

    #[test]
    fn each_part_of_a_leaf_counts() {
        let at = |partition, sequence| Position { partition, sequence };
        let first = leaf_hash(at(0, 1), &subject("demo"), b"{}");
        assert_ne!(first, leaf_hash(at(1, 1), &subject("demo"), b"{}"));
        assert_ne!(first, leaf_hash(at(0, 2), &subject("demo"), b"{}"));
        assert_ne!(first, leaf_hash(at(0, 1), &subject("acme"), b"{}"));
        assert_ne!(first, leaf_hash(at(0, 1), &subject("demo"), b"{ }"));
        let other = Subject { id: ledger::ids::RecordId::random(), ..subject("demo") };
        assert_ne!(first, leaf_hash(at(0, 1), &other, b"{}"));
    }
}
