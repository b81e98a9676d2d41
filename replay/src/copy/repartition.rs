//! Copying into a journal with another number of partitions. A record's commits keep their order and their bytes; every
//! commit gets another position.
//!
//! The source is taken in rounds: a stretch of each partition, up to where the source ended when the round began, merged
//! into one sequence and dealt out to the target's partitions. The same round always deals the same commits to the same
//! positions, so a round that was cut short is begun again and passes over what is there.
//!
//! What must stay true: a round is noted in the target before its first commit is put there, and no round is noted
//! before the one before it is whole.

use std::time::Instant;

use futures::future::try_join_all;
use ledger::ids::Position;
use ledger::journal::{Journal, Stored};
use projections::Progress;
use serde::{Deserialize, Serialize};

use super::CopyError;
use super::merge::Merge;
use super::moved;
use super::restore::restore;
use crate::audit::leaf::leaf_of;
use crate::scan::ends;

/// What the memo in the target is called.
pub(super) const NAME: &str = "repartitioned";

/// One stretch of the source and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Round {
    /// The source's sequences up to which the rounds before have come.
    after: Vec<u64>,
    /// The source's sequences up to which this one goes.
    upto: Vec<u64>,
    /// The newest sequence of each partition of the target when it began.
    before: Vec<u64>,
    /// The leaf hash of the source's commits at `upto`, by which the source is known again.
    newest: Vec<Option<String>>,
}

/// Copies what the target lacks of the source's present log, and returns how many commits that were. The target may
/// have any number of partitions.
///
/// May be called while the source is written; call it again for what has come since.
pub async fn catch_up_repartitioned(
    source: &dyn Journal,
    target: &dyn Journal,
    mut progress: impl FnMut(Progress),
) -> Result<u64, CopyError> {
    let round = Round::noted(target).await?;
    if let Some(round) = &round {
        round.check(source, target).await?;
    }
    let mut round = match round {
        Some(round) => round,
        None if ends(target).await.map_err(CopyError::Target)?.iter().all(|&end| end == 0) => {
            Round::nothing(source, target)
        }
        None => return Err(not_a_copy("it holds commits, and no note of a copy to other partitions")),
    };
    let mut copied = round.complete(source, target, &mut progress).await?;
    let upto = ends(source).await.map_err(CopyError::Source)?;
    if upto != round.upto {
        round = Round {
            newest: newest(source, &upto).await?,
            before: ends(target).await.map_err(CopyError::Target)?,
            after: round.upto,
            upto,
        };
        round.note(target).await?;
        copied += round.complete(source, target, &mut progress).await?;
    }
    Ok(copied)
}

/// Up to where the source was copied to a target: the end of its newest round, which is whole.
pub(super) async fn copied_upto(source: &dyn Journal, target: &dyn Journal) -> Result<Vec<u64>, CopyError> {
    let Some(round) = Round::noted(target).await? else { return Ok(vec![0; source.partitions().into()]) };
    round.check(source, target).await?;
    Ok(round.upto)
}

fn not_a_copy(reason: impl Into<String>) -> CopyError {
    CopyError::NotACopy { reason: reason.into() }
}

/// The leaf hashes of the commits at the ends of the partitions.
async fn newest(source: &dyn Journal, upto: &[u64]) -> Result<Vec<Option<String>>, CopyError> {
    let mut hashes = Vec::new();
    for (partition, &sequence) in (0..).zip(upto) {
        let stored = source.at(Position { partition, sequence }).await.map_err(CopyError::Source)?;
        hashes.push(stored.map(|stored| leaf_of(&stored).to_string()));
    }
    Ok(hashes)
}

impl Round {
    /// The round before the first.
    fn nothing(source: &dyn Journal, target: &dyn Journal) -> Self {
        let zeros = vec![0; source.partitions().into()];
        Round {
            after: zeros.clone(),
            upto: zeros,
            before: vec![0; target.partitions().into()],
            newest: vec![None; source.partitions().into()],
        }
    }

    async fn noted(target: &dyn Journal) -> Result<Option<Self>, CopyError> {
        let memo = target.memo(NAME).await.map_err(CopyError::Target)?.filter(|memo| !memo.bytes.is_empty());
        let read = |bytes: &[u8]| {
            serde_json::from_slice(bytes).map_err(|_| not_a_copy(format!("its memo {NAME} cannot be read")))
        };
        memo.map(|memo| read(&memo.bytes)).transpose()
    }

    async fn note(&self, target: &dyn Journal) -> Result<(), CopyError> {
        let text = serde_json::to_vec(self).expect("texts and numbers are always JSON");
        moved::put(target, NAME, text.into(), "the note of the copy", CopyError::Target).await
    }

    /// Makes sure that the round is one of this source.
    async fn check(&self, source: &dyn Journal, target: &dyn Journal) -> Result<(), CopyError> {
        let counts = (self.upto.len(), self.before.len());
        if counts != (source.partitions().into(), target.partitions().into()) {
            return Err(not_a_copy(format!(
                "it is a copy from {} partition(s) into {}",
                self.upto.len(),
                self.before.len()
            )));
        }
        if newest(source, &self.upto).await? != self.newest {
            return Err(not_a_copy("it is a copy of another log, or of one that had more in it"));
        }
        Ok(())
    }

    /// Puts what the target lacks of this round, and returns how many commits that were.
    async fn complete(
        &self,
        source: &dyn Journal,
        target: &dyn Journal,
        progress: &mut impl FnMut(Progress),
    ) -> Result<u64, CopyError> {
        let there = ends(target).await.map_err(CopyError::Target)?;
        if there.iter().zip(&self.before).any(|(there, before)| there < before) {
            return Err(not_a_copy("it has lost commits"));
        }
        let total = self.upto.iter().sum::<u64>() - self.after.iter().sum::<u64>();
        let missing = match total.checked_sub(there.iter().sum::<u64>() - self.before.iter().sum::<u64>()) {
            Some(0) => return Ok(0),
            Some(missing) => missing,
            None => return Err(not_a_copy("it goes on by itself")),
        };
        let (started, mut copied) = (Instant::now(), 0);
        let mut deal = Deal { target, ends: self.before.clone(), there };
        let mut merge = Merge::new(source, &self.after, &self.upto).await.map_err(CopyError::Source)?;
        let mut chunk = merge.next().await.map_err(CopyError::Source)?;
        while !chunk.is_empty() {
            let hands = deal.deal(chunk).await?;
            // The next commits are read while these are written.
            let restored = try_join_all(hands.iter().map(|hand| restore(target, hand)));
            let (restored, next) = tokio::join!(restored, merge.next());
            restored?;
            copied += hands.iter().map(|hand| hand.len() as u64).sum::<u64>();
            progress(Progress::at(copied, missing, started.elapsed()));
            chunk = next.map_err(CopyError::Source)?;
        }
        if deal.ends != ends(target).await.map_err(CopyError::Target)? {
            return Err(not_a_copy("its partitions do not end where those of a copy would"));
        }
        Ok(copied)
    }
}

/// Gives each commit its place in the target.
struct Deal<'a> {
    target: &'a dyn Journal,
    /// The newest sequence that was given away, by partition.
    ends: Vec<u64>,
    /// What the target had when the round was begun or taken up again.
    there: Vec<u64>,
}

impl Deal<'_> {
    /// The commits that are not in the target yet, by its partitions.
    async fn deal(&mut self, chunk: Vec<Stored>) -> Result<Vec<Vec<Stored>>, CopyError> {
        let mut hands = vec![Vec::new(); self.ends.len()];
        for mut stored in chunk {
            let partition = stored.subject.partition(self.target.partitions());
            let index = usize::from(partition);
            self.ends[index] += 1;
            let sequence = self.ends[index];
            stored.position = Position { partition, sequence };
            // What is there was put by an earlier try. Its last commit tells whether that was a try at this.
            if sequence == self.there[index] {
                let there = self.target.at(stored.position).await.map_err(CopyError::Target)?;
                if there.as_ref() != Some(&stored) {
                    return Err(CopyError::Differs { position: stored.position });
                }
            }
            if sequence > self.there[index] {
                hands[index].push(stored);
            }
        }
        Ok(hands)
    }
}
