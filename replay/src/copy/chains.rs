//! The proof that two journals of different numbers of partitions hold the same commits, each record's in the same order.
//!
//! Which partition a record is in depends on its id alone. So the commits of partition s of the source that belong in
//! partition t of the target must be, in their order, the commits of t that belong in s: one Merkle root for each pair
//! (s, t), over the commits without their positions, says whether they are. A record is in one pair, so where all roots are
//! equal, its commits are the same, in the same order, and no commit is missing or there twice.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use ledger::ids::Position;
use ledger::journal::{Journal, Stored};
use projections::Progress;

use super::CopyError;
use super::places::{Places, Search, Wanted};
use super::repartition::copied_upto;
use crate::audit::leaf::leaf_of;
use crate::audit::merkle::hash_leaf;
use crate::audit::{Frontier, Hash};
use crate::scan::{Scan, ends, read_all};

/// What a copy with another number of partitions has in common with its source: every record's commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainComparison {
    /// Commits, the same on both sides.
    pub commits: u64,
    /// For each partition of the source, the roots over what it has in each partition of the target, the same on both
    /// sides.
    pub chains: Vec<Vec<Hash>>,
    /// The newest sequence of each partition of the source.
    pub source_ends: Vec<u64>,
    /// The Merkle root of each partition of the source up to there.
    pub source_roots: Vec<Hash>,
    /// The newest sequence of each partition of the target.
    pub target_ends: Vec<u64>,
    /// The Merkle root of each partition of the target up to there.
    pub target_roots: Vec<Hash>,
    /// What was to be looked up on the way.
    pub places: Places,
}

/// Reads both journals whole, as far as the one was copied to the other, and compares every record's commits. The source
/// may have gone on since.
pub async fn compare_chains(
    source: &dyn Journal,
    target: &dyn Journal,
    wanted: Wanted,
    mut progress: impl FnMut(Progress),
) -> Result<ChainComparison, CopyError> {
    let source_ends = copied_upto(source, target).await?;
    let target_ends = ends(target).await.map_err(CopyError::Target)?;
    let partitions = (source.partitions(), target.partitions());
    let mut search = Search::new(wanted, partitions.0, partitions.1);
    let total = source_ends.iter().chain(&target_ends).sum();
    let (started, mut done) = (Instant::now(), 0);
    let mut step = |chunk: &[Stored]| {
        done += chunk.len() as u64;
        progress(Progress::at(done, total, started.elapsed()));
    };

    let mut ours = Side::new(partitions.0);
    let read = read_all(source, &source_ends, |chunk| {
        for stored in chunk {
            ours.push((stored.position.partition, stored.subject.partition(partitions.1)), stored);
            search.in_source(stored);
        }
        step(chunk);
    });
    read.await.map_err(CopyError::Source)?;
    let mut theirs = Side::new(partitions.1);
    let read = read_all(target, &target_ends, |chunk| {
        for stored in chunk {
            theirs.push((stored.subject.partition(partitions.0), stored.position.partition), stored);
            search.in_target(stored);
        }
        step(chunk);
    });
    read.await.map_err(CopyError::Target)?;

    let pairs = (0..partitions.0).flat_map(|from| (0..partitions.1).map(move |to| (from, to)));
    for pair in pairs {
        if ours.chain(pair) != theirs.chain(pair) {
            let position = first_difference((source, &source_ends), (target, &target_ends), pair).await?;
            return Err(CopyError::Differs { position });
        }
    }
    let of = |from| (0..partitions.1).map(|to| ours.chain((from, to)).1).collect();
    Ok(ChainComparison {
        commits: ours.logs.iter().map(Frontier::size).sum(),
        chains: (0..partitions.0).map(of).collect(),
        source_roots: ours.logs.iter().map(Frontier::root).collect(),
        target_roots: theirs.logs.iter().map(Frontier::root).collect(),
        places: search.places(&target_ends),
        source_ends,
        target_ends,
    })
}

/// A pair of a source's and a target's partition.
type Pair = (u16, u16);

/// What is read of one journal.
struct Side {
    /// The tree of each partition, as its auditors have it.
    logs: Vec<Frontier>,
    /// The tree of each pair that has commits.
    chains: BTreeMap<Pair, Frontier>,
}

impl Side {
    fn new(partitions: u16) -> Self {
        Side { logs: vec![Frontier::default(); partitions.into()], chains: BTreeMap::new() }
    }

    fn push(&mut self, pair: Pair, stored: &Stored) {
        self.logs[usize::from(stored.position.partition)].push(leaf_of(stored));
        self.chains.entry(pair).or_default().push(link_of(stored));
    }

    fn chain(&self, pair: Pair) -> (u64, Hash) {
        let none = Frontier::default();
        let chain = self.chains.get(&pair).unwrap_or(&none);
        (chain.size(), chain.root())
    }
}

/// A commit without its position: the length of the tenant's name (1 byte), the name, the record's id and the bytes.
fn link_of(stored: &Stored) -> Hash {
    let tenant = stored.subject.tenant.as_str().as_bytes();
    // A tenant's name has at most 32 characters.
    hash_leaf(&[&[tenant.len() as u8], tenant, stored.subject.id.0.as_bytes(), &stored.bytes])
}

/// The first position of the target at which a pair's commits are others than the source's; where the target lacks
/// some, the position after its end.
async fn first_difference(
    (source, source_ends): (&dyn Journal, &[u64]),
    (target, target_ends): (&dyn Journal, &[u64]),
    (from, to): Pair,
) -> Result<Position, CopyError> {
    let end = |ends: &[u64], partition: u16| ends.get(usize::from(partition)).copied().unwrap_or(0);
    let mut ours = Scan::new(source, from, 0, end(source_ends, from));
    let mut theirs = Scan::new(target, to, 0, end(target_ends, to));
    let (mut here, mut there) = (VecDeque::new(), VecDeque::new());
    let after = Position { partition: to, sequence: end(target_ends, to) + 1 };
    loop {
        while here.is_empty() {
            let chunk = ours.next().await.map_err(CopyError::Source)?;
            if chunk.is_empty() {
                break;
            }
            here.extend(chunk.into_iter().filter(|one| one.subject.partition(target.partitions()) == to));
        }
        while there.is_empty() {
            let chunk = theirs.next().await.map_err(CopyError::Target)?;
            if chunk.is_empty() {
                break;
            }
            there.extend(chunk.into_iter().filter(|one| one.subject.partition(source.partitions()) == from));
        }
        match (here.pop_front(), there.pop_front()) {
            (Some(one), Some(other)) if link_of(&one) == link_of(&other) => {}
            (_, Some(other)) => return Ok(other.position),
            (Some(_) | None, None) => return Ok(after),
        }
    }
}
