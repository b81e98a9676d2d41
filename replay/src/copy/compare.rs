//! The proof that two journals hold the same log: the Merkle root of either, computed anew from what is stored.

use std::time::Instant;

use ledger::ids::Position;
use ledger::journal::Journal;
use projections::Progress;

use super::CopyError;
use crate::audit::leaf::leaf_of;
use crate::audit::{Frontier, Hash};
use crate::scan::{Scan, ends};

/// What a copy has in common with its source: all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The newest sequence of each partition of the copy.
    pub ends: Vec<u64>,
    /// The Merkle root of each partition up to there.
    pub roots: Vec<Hash>,
}

/// Reads both journals from their first commit to the target's present end, and compares their Merkle roots. The source
/// may have gone on since.
///
/// Where they differ, the error names the first position.
pub async fn compare(
    source: &dyn Journal,
    target: &dyn Journal,
    mut progress: impl FnMut(Progress),
) -> Result<Comparison, CopyError> {
    let upto = ends(target).await.map_err(CopyError::Target)?;
    let there = ends(source).await.map_err(CopyError::Source)?;
    let (started, total, mut done) = (Instant::now(), upto.iter().sum(), 0);
    let mut roots = Vec::new();
    for (partition, (&upto, &there)) in (0_u16..).zip(upto.iter().zip(&there)) {
        if there < upto {
            return Err(CopyError::TargetGoesOn { end: Position { partition, sequence: there } });
        }
        let mut theirs = Scan::new(target, partition, 0, upto);
        let mut ours = Scan::new(source, partition, 0, upto);
        let (mut our_tree, mut their_tree) = (Frontier::default(), Frontier::default());
        // Chunks are cut alike on both sides, by count and by bytes, as long as both hold the same.
        loop {
            let (ours, theirs) = tokio::join!(ours.next(), theirs.next());
            let (ours, theirs) = (ours.map_err(CopyError::Source)?, theirs.map_err(CopyError::Target)?);
            let pairs = ours.iter().zip(&theirs);
            for (our_commit, their_commit) in pairs {
                our_tree.push(leaf_of(our_commit));
                their_tree.push(leaf_of(their_commit));
                if our_commit != their_commit {
                    return Err(CopyError::Differs { position: our_commit.position });
                }
            }
            if ours.len() != theirs.len() {
                let sequence = our_tree.size() + 1;
                return Err(CopyError::Differs { position: Position { partition, sequence } });
            }
            if ours.is_empty() {
                break;
            }
            done += ours.len() as u64;
            progress(Progress::at(done, total, started.elapsed()));
        }
        let root = our_tree.root();
        if root != their_tree.root() {
            return Err(CopyError::Differs { position: Position { partition, sequence: upto } });
        }
        roots.push(root);
    }
    Ok(Comparison { ends: upto, roots })
}
