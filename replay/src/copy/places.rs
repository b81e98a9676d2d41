//! Where a place in one log is in the other, when both hold the same commits in another number of partitions.
//!
//! A commit of partition s of the source is in partition t of the target, and t depends on its record alone. So those of
//! one pair (s, t) stand in both logs in the same order, and the n-th of them here is the n-th of them there.

use std::collections::{BTreeMap, BTreeSet};

use ledger::ids::Position;
use ledger::journal::{Journal, Stored};

use super::CopyError;
use crate::scan::{ends, read_all};

/// What is looked for: places in the source.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Single commits.
    pub commits: BTreeSet<Position>,
    /// How far readers have come: the newest sequence of each partition that they have read.
    pub readers: Vec<Vec<u64>>,
}

/// The same places in the target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// Those of the commits that both logs have.
    pub commits: BTreeMap<Position, Position>,
    /// For each reader, the newest sequence of each partition before which it has read everything. Where the source has
    /// several partitions it may have read some of what follows, and reads that again.
    pub readers: Vec<Vec<u64>>,
}

/// Looks places up. Both journals may have gone on since one was copied to the other.
pub async fn find_places(
    source: &dyn Journal,
    target: &dyn Journal,
    wanted: Wanted,
) -> Result<Places, CopyError> {
    let upto = ends(target).await.map_err(CopyError::Target)?;
    let mut search = Search::new(wanted, source.partitions(), target.partitions());
    let furthest = search.furthest();
    let read = read_all(source, &furthest, |chunk| chunk.iter().for_each(|stored| search.in_source(stored)));
    read.await.map_err(CopyError::Source)?;
    let read = read_all(target, &upto, |chunk| chunk.iter().for_each(|stored| search.in_target(stored)));
    read.await.map_err(CopyError::Target)?;
    Ok(search.places(&upto))
}

/// A pair of a source's and a target's partition.
type Pair = (u16, u16);

/// Looks places up while both logs go by: first the source, then the target.
pub(super) struct Search {
    wanted: Wanted,
    partitions: (u16, u16),
    /// Commits of each pair so far, in the source and in the target.
    counts: (BTreeMap<Pair, u64>, BTreeMap<Pair, u64>),
    /// Which commits of a pair are looked for.
    numbers: BTreeMap<(Pair, u64), Position>,
    /// Commits of each pair that a reader has read.
    read: Vec<BTreeMap<Pair, u64>>,
    /// The first sequence of each partition of the target that a reader has not read.
    unread: Vec<BTreeMap<u16, u64>>,
    commits: BTreeMap<Position, Position>,
}

impl Search {
    pub(super) fn new(wanted: Wanted, source: u16, target: u16) -> Self {
        let readers = wanted.readers.len();
        Search {
            wanted,
            partitions: (source, target),
            counts: Default::default(),
            numbers: BTreeMap::new(),
            read: vec![BTreeMap::new(); readers],
            unread: vec![BTreeMap::new(); readers],
            commits: BTreeMap::new(),
        }
    }

    /// How far the source has to be read, by partition.
    fn furthest(&self) -> Vec<u64> {
        let of = |partition: u16| {
            let commits = self.wanted.commits.iter().filter(|position| position.partition == partition);
            let readers = self.wanted.readers.iter().filter_map(|ends| ends.get(usize::from(partition)));
            commits.map(|position| position.sequence).chain(readers.copied()).max().unwrap_or(0)
        };
        (0..self.partitions.0).map(of).collect()
    }

    pub(super) fn in_source(&mut self, stored: &Stored) {
        let position = stored.position;
        let pair = (position.partition, stored.subject.partition(self.partitions.1));
        let number = count(&mut self.counts.0, pair);
        if self.wanted.commits.contains(&position) {
            self.numbers.insert((pair, number), position);
        }
        for (ends, read) in self.wanted.readers.iter().zip(&mut self.read) {
            if ends.get(usize::from(position.partition)).is_some_and(|&end| position.sequence <= end) {
                read.insert(pair, number);
            }
        }
    }

    pub(super) fn in_target(&mut self, stored: &Stored) {
        let position = stored.position;
        let pair = (stored.subject.partition(self.partitions.0), position.partition);
        let number = count(&mut self.counts.1, pair);
        if let Some(there) = self.numbers.get(&(pair, number)) {
            self.commits.insert(*there, position);
        }
        for (read, unread) in self.read.iter().zip(&mut self.unread) {
            if read.get(&pair).is_none_or(|&read| number > read) {
                unread.entry(position.partition).or_insert(position.sequence);
            }
        }
    }

    /// What was found in a target that ends there.
    pub(super) fn places(self, ends: &[u64]) -> Places {
        let place = |unread: BTreeMap<u16, u64>| {
            let of = |(partition, &end)| unread.get(&partition).map_or(end, |first| first - 1);
            (0..).zip(ends).map(of).collect()
        };
        Places { commits: self.commits, readers: self.unread.into_iter().map(place).collect() }
    }
}

fn count(counts: &mut BTreeMap<Pair, u64>, pair: Pair) -> u64 {
    let count = counts.entry(pair).or_default();
    *count += 1;
    *count
}
