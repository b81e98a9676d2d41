//! Writing without standing in the way of reads.
//!
//! While sled applies a batch, no read of any tree goes on, and a writer of low priority that is interrupted in the middle
//! of one holds everybody up. So a generation that nobody reads yet is written row by row. What must stay true: after a
//! crash its rows are those of whole batches. So before a batch its rows are put down together in one place, and at the
//! next start they are written again where they may not all have arrived.

use super::digest::Digest;
use super::disk::{Disk, Tree};
use super::rows::{decode, encode};
use super::{Generation, StoreError, keys, tree_name};
use crate::fold::Writes;

const TREE: &str = "redo";
const BATCH: &str = "batch";
/// sled keeps a larger value in a file of its own. Batches of such size are rare, and are written at once instead.
const LARGEST: usize = 96 * 1024;

/// A batch as it is put down: its generation, the digest that stands in the generation until the batch is complete, and
/// its rows.
type Redo<'a> = (u64, [u8; 32], Vec<(&'a [u8], Option<&'a [u8]>)>);

/// Writes a batch row by row. Its last row has to be the digest.
pub(super) fn write(
    disk: &Disk,
    generation: &Generation,
    before: Digest,
    writes: Writes,
) -> Result<(), StoreError> {
    let rows = writes.iter().map(|(key, row)| (key.as_ref(), row.as_deref())).collect();
    let redo: Redo<'_> = (generation.number, before.to_bytes(), rows);
    let redo = encode(&redo);
    if redo.len() > LARGEST {
        return generation.rows.apply(writes);
    }
    disk.tree(TREE)?.insert(BATCH, &redo)?;
    generation.rows.write_each(writes)
}

/// Completes the batch that a crash may have cut short. To be called before any generation is looked at.
pub(super) fn complete(disk: &Disk) -> Result<(), StoreError> {
    if !disk.tree_names().iter().any(|name| name == TREE) {
        return Ok(());
    }
    if let Some(redo) = disk.tree(TREE)?.get(BATCH)? {
        let (number, before, rows): Redo<'_> = decode(&redo)?;
        let name = tree_name(number);
        if disk.tree_names().contains(&name) {
            let tree = disk.tree(&name)?;
            // The digest is written last, so with another one there the batch is complete, or was followed by others.
            if digest(&tree)?.to_bytes() == before {
                tree.apply(rows.into_iter().map(|(key, row)| (key, row.map(<[u8]>::to_vec))))?;
                disk.flush()?;
                tracing::info!(generation = number, "a batch that was cut short is complete");
            }
        }
    }
    forget(disk)
}

/// Forgets the last batch.
pub(super) fn forget(disk: &Disk) -> Result<(), StoreError> {
    disk.drop_tree(TREE)
}

/// The digest that stands in a generation's rows.
pub(super) fn digest(rows: &Tree) -> Result<Digest, StoreError> {
    let row = rows.get(keys::digest())?;
    row.map_or(Ok(Digest::default()), |row| decode(&row).map(Digest::from_bytes))
}

/// Leaves the last batch as a crash in the middle of it would have: some rows, and not the digest.
#[cfg(test)]
pub(super) fn tear(disk: &Disk) {
    let redo = disk.tree(TREE).unwrap().get(BATCH).unwrap().expect("a batch was put down");
    let (number, before, rows): Redo<'_> = decode(&redo).unwrap();
    let tree = disk.tree(&tree_name(number)).unwrap();
    let torn = rows.iter().skip(1).step_by(2).map(|(key, _)| (*key, None));
    tree.write_each(torn).unwrap();
    tree.write_each([(keys::digest(), Some(encode(&before)))]).unwrap();
}
