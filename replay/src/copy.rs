//! Moving a ledger from one journal to another, commit for commit.
//!
//! In reading order: [`catch_up`] copies what the target lacks, and can be called again and again while the source is
//! written; [`copy_beside`] takes along what lies beside the log; [`compare`] proves that both are the same;
//! `moved` tells servers that a journal is not to be written any more.
//!
//! A target with another number of partitions cannot keep positions: [`catch_up_repartitioned`] copies into it,
//! [`compare_chains`] proves that every record has the same commits in the same order, [`find_places`] says where a reader
//! of the one log goes on in the other, and `predecessor` keeps the end of the old log for auditors.
//!
//! What must stay true: a target is at any moment a beginning of its source, byte for byte, and position for position
//! where both have as many partitions. Whatever else is found there stops the copy, loudly and before anything is added.

mod beside;
mod chains;
mod compare;
mod merge;
mod moved;
mod places;
mod predecessor;
mod repartition;
mod restore;
#[cfg(test)]
mod tests;

use std::time::Instant;

use ledger::ids::Position;
use ledger::journal::{AppendError, Journal, PutMemoError, ReadError};
use projections::Progress;

pub use beside::{Beside, copy_beside};
pub use chains::{ChainComparison, compare_chains};
pub use compare::{Comparison, compare};
pub use moved::{Moved, moved, note_moved, open_again, put_memo};
pub use places::{Places, Wanted, find_places};
pub use predecessor::{PREDECESSORS, Predecessor, note_predecessor, predecessors};
pub use repartition::catch_up_repartitioned;

use self::restore::restore;
use crate::scan::{Scan, ends};

/// Why a ledger was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Positions would have to change.
    #[error("the source has {from} partition(s) and the target {to}: positions cannot be kept")]
    Partitions {
        /// Of the source.
        from: u16,
        /// Of the target.
        to: u16,
    },
    /// The target has more commits than the source.
    #[error("the target is not a copy of the source: it goes on after {end}, where the source ends")]
    TargetGoesOn {
        /// The source's newest commit.
        end: Position,
    },
    /// The target has another commit.
    #[error("the target is not a copy of the source: the commit at {position} is another one")]
    Differs {
        /// The first position at which they are known to differ.
        position: Position,
    },
    /// The target holds what no copy of this source into so many partitions puts there.
    #[error("the target is not a copy of the source: {reason}")]
    NotACopy {
        /// What gives it away.
        reason: String,
    },
    /// The source cannot be read.
    #[error("the source cannot be read")]
    Source(#[source] ReadError),
    /// The target cannot be read.
    #[error("the target cannot be read")]
    Target(#[source] ReadError),
    /// The target does not take a commit.
    #[error("the target does not take the commit at {position}")]
    Append {
        /// Which.
        position: Position,
        /// Why.
        source: AppendError,
    },
    /// A memo or a page of keys cannot be put.
    #[error("{what} cannot be put")]
    Beside {
        /// Which, and where.
        what: String,
        /// Why.
        source: PutMemoError,
    },
    /// A key is another one on the other side.
    #[error("the page of keys {page} is another one in the target")]
    OtherKeys {
        /// Which page.
        page: String,
    },
}

/// Copies what the target lacks of the source's present log, and returns how many commits that were.
///
/// May be called while the source is written; call it again for what has come since. What an earlier call has copied,
/// also one that was cut short, is not copied again.
pub async fn catch_up(
    source: &dyn Journal,
    target: &dyn Journal,
    mut progress: impl FnMut(Progress),
) -> Result<u64, CopyError> {
    let (from, to) = (source.partitions(), target.partitions());
    if from != to {
        return Err(CopyError::Partitions { from, to });
    }
    let upto = ends(source).await.map_err(CopyError::Source)?;
    let there = ends(target).await.map_err(CopyError::Target)?;
    for (partition, (&upto, &there)) in (0..from).zip(upto.iter().zip(&there)) {
        check_end(source, target, partition, upto, there).await?;
    }
    let missing = |(upto, there): (&u64, &u64)| upto.saturating_sub(*there);
    let total: u64 = upto.iter().zip(&there).map(missing).sum();
    let (started, mut copied) = (Instant::now(), 0);
    for (partition, (&upto, &there)) in (0..from).zip(upto.iter().zip(&there)) {
        copy_partition(source, target, partition, there..upto, |commits| {
            copied += commits;
            progress(Progress::at(copied, total, started.elapsed()));
        })
        .await?;
    }
    Ok(copied)
}

/// Makes sure that the target may be the beginning of the source: it is no longer, and its newest commit is the
/// source's at that position. [`compare`] is what proves it.
async fn check_end(
    source: &dyn Journal,
    target: &dyn Journal,
    partition: u16,
    upto: u64,
    there: u64,
) -> Result<(), CopyError> {
    if there > upto {
        return Err(CopyError::TargetGoesOn { end: Position { partition, sequence: upto } });
    }
    if there == 0 {
        return Ok(());
    }
    let position = Position { partition, sequence: there };
    let ours = source.at(position).await.map_err(CopyError::Source)?;
    let theirs = target.at(position).await.map_err(CopyError::Target)?;
    if ours.is_none() || ours != theirs {
        return Err(CopyError::Differs { position });
    }
    Ok(())
}

async fn copy_partition(
    source: &dyn Journal,
    target: &dyn Journal,
    partition: u16,
    missing: std::ops::Range<u64>,
    mut copied: impl FnMut(u64),
) -> Result<(), CopyError> {
    let mut scan = Scan::new(source, partition, missing.start, missing.end);
    let mut chunk = scan.next().await.map_err(CopyError::Source)?;
    while !chunk.is_empty() {
        // The next commits are read while these are written.
        let (restored, next) = tokio::join!(restore(target, &chunk), scan.next());
        restored?;
        copied(chunk.len() as u64);
        chunk = next.map_err(CopyError::Source)?;
    }
    Ok(())
}
