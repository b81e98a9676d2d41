//! Which generations there are: the live one, the one before it, and the one that is being folded beside them.
//!
//! What must stay true: each change of who is what is one write of the store's notes, so that a crash leaves the
//! generations as they were or as they shall be.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::disk::{Disk, Tree};
use super::{
    EARLIER_ROWS, Generation, LIVE, PREVIOUS, REBUILDING, ROWS, Store, StoreError, fingerprint, make_live,
    number, schema_name, tree_name,
};

/// One generation of the views, as a store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationInfo {
    /// Its number; a newer generation has a higher one.
    pub number: u64,
    /// Whether reads see it.
    pub is_live: bool,
    /// Whether it was live before the one that is, and is kept to go back to.
    pub is_previous: bool,
    /// Whether it is being folded to become live.
    pub is_rebuilding: bool,
    /// Per partition, the sequence of its last commit; partitions at the end that have none are left out.
    pub checkpoint: Vec<u64>,
    /// Whether this version of the views has folded it.
    pub fingerprint_is_current: bool,
}

/// What a generation is being folded for. Noted in the store, so that a rebuild outlives its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) generation: u64,
    pub(crate) goal: Goal,
    pub(crate) swap: SwapWhen,
    pub(crate) is_paused: bool,
}

/// Where a generation that is being folded came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// It began empty, to replace the live one.
    Rebuild,
    /// It was live before, and is to be again.
    Rollback,
}

/// When a generation that has caught up becomes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SwapWhen {
    /// At once, if the comparison raises no alarm.
    CaughtUp,
    /// When an operator says so.
    Asked,
}

impl Intent {
    /// A rebuild that goes on by itself to its end.
    pub(crate) fn rebuild(generation: u64) -> Self {
        Intent { generation, goal: Goal::Rebuild, swap: SwapWhen::CaughtUp, is_paused: false }
    }

    pub(super) fn noted(meta: &Tree) -> Result<Option<Self>, StoreError> {
        let Some(value) = meta.get(REBUILDING)? else { return Ok(None) };
        let unreadable = || StoreError::Damaged("the note of a rebuild cannot be read".to_owned());
        let (generation, flags) = value.split_first_chunk::<8>().ok_or_else(unreadable)?;
        let &[is_rollback, is_manual, is_paused] = flags else { return Err(unreadable()) };
        Ok(Some(Intent {
            generation: u64::from_be_bytes(*generation),
            goal: if is_rollback == 0 { Goal::Rebuild } else { Goal::Rollback },
            swap: if is_manual == 0 { SwapWhen::CaughtUp } else { SwapWhen::Asked },
            is_paused: is_paused != 0,
        }))
    }

    fn to_bytes(self) -> Vec<u8> {
        let flags = [self.goal == Goal::Rollback, self.swap == SwapWhen::Asked, self.is_paused].map(u8::from);
        [self.generation.to_be_bytes().as_slice(), &flags].concat()
    }
}

impl Store {
    /// A new, empty generation beside the live one.
    pub(crate) fn new_generation(&self) -> Result<Arc<Generation>, StoreError> {
        let mut in_use = self.in_use();
        let generation = Arc::new(new_generation(&self.disk, &self.meta)?);
        in_use.insert(generation.number, Arc::downgrade(&generation));
        Ok(generation)
    }

    /// The generation of this number, if there is one. Everybody who asks has the same one in hand.
    pub(crate) fn generation(&self, number: u64) -> Result<Option<Arc<Generation>>, StoreError> {
        let mut in_use = self.in_use();
        if let Some(generation) = in_use.get(&number).and_then(|generation| generation.upgrade()) {
            return Ok(Some(generation));
        }
        if !generations(&self.disk).contains(&number) {
            return Ok(None);
        }
        let generation = Arc::new(Generation::open(&self.disk, number)?);
        in_use.insert(number, Arc::downgrade(&generation));
        Ok(Some(generation))
    }

    /// The number of the generation that was live before the one that is.
    pub(crate) fn previous(&self) -> Result<Option<u64>, StoreError> {
        let previous = number(&self.meta, PREVIOUS)?;
        Ok(previous.filter(|previous| generations(&self.disk).contains(previous)))
    }

    /// What is being rebuilt, in this process or in one that has ended.
    pub(crate) fn intent(&self) -> Result<Option<Intent>, StoreError> {
        Intent::noted(&self.meta)
    }

    /// Notes what is being rebuilt, or that nothing is; durable when it returns.
    pub(crate) fn note_intent(&self, intent: Option<Intent>) -> Result<(), StoreError> {
        let _held = self.hold_notes();
        self.note(intent)
    }

    /// Notes that the rebuild of this generation stands still, or goes on. Nothing when it has ended.
    pub(crate) fn note_paused(&self, generation: u64, is_paused: bool) -> Result<(), StoreError> {
        let _held = self.hold_notes();
        if let Some(intent) = self.intent()?.filter(|intent| intent.generation == generation) {
            self.note(Some(Intent { is_paused, ..intent }))?;
        }
        Ok(())
    }

    fn note(&self, intent: Option<Intent>) -> Result<(), StoreError> {
        self.meta.apply([(REBUILDING, intent.map(Intent::to_bytes))])?;
        self.disk.flush()
    }

    /// Keeps the notes of what is rebuilt and what is live from changing.
    fn hold_notes(&self) -> MutexGuard<'_, ()> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a generation's rows were written by this version of the views.
    pub(crate) fn is_of_this_version(&self, generation: u64) -> Result<bool, StoreError> {
        let schema = self.meta.get(schema_name(generation))?;
        Ok(schema.as_deref() == Some(&fingerprint()?[..]))
    }

    pub(super) fn generation_infos(&self) -> Result<Vec<GenerationInfo>, StoreError> {
        let (live, previous) = (self.live().number, self.previous()?);
        let rebuilding = self.intent()?.map(|intent| intent.generation);
        let mut numbers = generations(&self.disk);
        numbers.sort_unstable();
        let mut infos = Vec::new();
        for number in numbers {
            // It may have been dropped since its name was read.
            let Some(generation) = self.generation(number)? else { continue };
            infos.push(GenerationInfo {
                number,
                is_live: number == live,
                is_previous: Some(number) == previous,
                is_rebuilding: Some(number) == rebuilding,
                checkpoint: generation.checkpoints()?,
                fingerprint_is_current: self.is_of_this_version(number)?,
            });
        }
        Ok(infos)
    }

    /// Makes a generation live and keeps the one that was; those before it can be dropped. One that was never filled
    /// is not worth keeping: then the one before it is.
    pub(crate) fn swap(&self, generation: Arc<Generation>) -> Result<(), StoreError> {
        let before = self.live();
        let kept = match before.checkpoints()?.is_empty() {
            true => self.previous()?.filter(|previous| *previous != generation.number),
            false => Some(before.number),
        };
        let _held = self.hold_notes();
        // Its rows are on disk before anything says that they count.
        generation.rows.move_to_disk()?;
        self.disk.flush()?;
        make_live(&self.meta, generation.number, kept)?;
        self.disk.flush()?;
        let live = generation.number;
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = generation;
        tracing::info!(generation = live, previous = kept, "view generation swapped");
        Ok(())
    }

    /// Drops the generations that are nothing any more. Those that somebody still reads are left for the next time.
    pub(crate) fn drop_unused(&self) -> Result<(), StoreError> {
        // Held to the end, so that nobody takes up what is being dropped.
        let mut in_use = self.in_use();
        in_use.retain(|_, generation| generation.strong_count() > 0);
        let noted = [number(&self.meta, LIVE)?, number(&self.meta, PREVIOUS)?];
        let rebuilding = self.intent()?.map(|intent| intent.generation);
        for generation in generations(&self.disk) {
            let is_noted = noted.into_iter().chain([rebuilding]).any(|noted| noted == Some(generation));
            if !is_noted && !in_use.contains_key(&generation) {
                tracing::info!(generation, "dropping an old view generation");
                self.disk.drop_tree(&tree_name(generation))?;
            }
        }
        for earlier in self.disk.tree_names().iter().filter(|name| name.starts_with(EARLIER_ROWS)) {
            tracing::info!(tree = earlier, "dropping an earlier version's views");
            self.disk.drop_tree(earlier)?;
        }
        Ok(())
    }

    /// Leaves the generation that is being rebuilt as a crash would have, which came while its rows went to disk.
    #[cfg(test)]
    pub(crate) fn tear(&self) {
        let rebuilding = self.intent().unwrap().expect("a rebuild is under way").generation;
        self.generation(rebuilding).unwrap().expect("it has rows").rows.tear();
    }

    fn in_use(&self) -> MutexGuard<'_, std::collections::BTreeMap<u64, std::sync::Weak<Generation>>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn generations(disk: &Disk) -> Vec<u64> {
    let names = disk.tree_names();
    names.iter().filter_map(|name| name.strip_prefix(ROWS)?.parse().ok()).collect()
}

pub(super) fn new_generation(disk: &Disk, meta: &Tree) -> Result<Generation, StoreError> {
    let noted = [number(meta, LIVE)?, number(meta, PREVIOUS)?];
    let newest = generations(disk).into_iter().chain(noted.into_iter().flatten()).max();
    let number = newest.unwrap_or(0) + 1;
    meta.insert(schema_name(number), &fingerprint()?)?;
    Generation::open(disk, number)
}
