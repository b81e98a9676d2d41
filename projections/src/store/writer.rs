//! The one writer of a generation: commits in, rows and checkpoint out, in one batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ledger::codec::Sealed;
use ledger::commit::Recorded;
use ledger::ids::Position;
use sha2::{Digest as _, Sha256};

use super::keys;
use super::rows::{Checkpoint, encode};
use super::tally::{KnownHashes, Tallied, Tally};
use super::{Generation, Room, Store, StoreError};
use crate::fold::{Batch, FoldError, Recent};
use crate::rules::Rules;

/// A commit to be folded: decoded, and as it stands in the log.
pub(crate) struct Entry {
    pub(crate) recorded: Recorded,
    pub(crate) sealed: Option<Sealed>,
    pub(crate) bytes: Bytes,
}

/// A commit in front of which folding stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) position: Position,
    pub(crate) reason: String,
}

/// Writes one generation. There must be no other writer of it.
pub(crate) struct Writer {
    store: Arc<Store>,
    generation: Arc<Generation>,
    recent: Recent,
    hashes: KnownHashes,
    rules: Rules,
    /// Whether nobody reads the generation, and those who read others must not be held up.
    is_quiet: bool,
    /// How many rows wait in memory.
    room: Room,
}

impl Writer {
    pub(crate) fn new(store: Arc<Store>, generation: Arc<Generation>) -> Self {
        let (recent, hashes) = (Recent::default(), KnownHashes::default());
        let room = Room::Live;
        Writer { store, generation, recent, hashes, rules: Rules::default(), is_quiet: false, room }
    }

    /// A writer for a whole log at once, while nobody reads.
    pub(crate) fn bulk(store: Arc<Store>, generation: Arc<Generation>) -> Self {
        Writer { room: Room::Bulk, ..Writer::new(store, generation) }
    }

    /// The same by other rules.
    #[cfg(any(test, feature = "wrong-rules"))]
    pub(crate) fn by(self, rules: Rules) -> Self {
        Writer { rules, ..self }
    }

    /// A writer of a generation that nobody reads, which holds up no read of any other.
    pub(crate) fn quiet(store: Arc<Store>, generation: Arc<Generation>) -> Self {
        Writer { is_quiet: true, ..Writer::new(store, generation) }
    }

    /// From now on somebody reads the generation: each batch becomes visible at once.
    pub(crate) fn speak_up(&mut self) {
        self.is_quiet = false;
    }

    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Folds commits and makes them visible together. Each partition's are in the order of the log and follow
    /// its checkpoint.
    ///
    /// Everything before the first commit that cannot be folded is written; that one is returned, and it is up to
    /// the caller to offer nothing of its partition again.
    pub(crate) fn write(&mut self, entries: &[Entry]) -> Result<Option<Stopped>, StoreError> {
        let result = self.try_write(entries);
        if result.is_err() {
            self.recent.clear();
            self.hashes = KnownHashes::default();
        }
        self.store.noting_damage(result)
    }

    fn try_write(&mut self, entries: &[Entry]) -> Result<Option<Stopped>, StoreError> {
        let Some((index, ImpossibleReason(reason))) = self.fold_and_apply(entries)? else { return Ok(None) };
        // Nothing was written. Once more, without what cannot be folded.
        self.recent.clear();
        let (foldable, rest) = entries.split_at(index);
        if let Some((_, ImpossibleReason(reason))) = self.fold_and_apply(foldable)? {
            return Err(StoreError::Damaged(format!("folding twice gives two results: {reason}")));
        }
        Ok(rest.first().map(|entry| Stopped { position: entry.recorded.position, reason }))
    }

    fn fold_and_apply(&mut self, entries: &[Entry]) -> Result<Option<(usize, ImpossibleReason)>, StoreError> {
        let mut newest: BTreeMap<u16, &Entry> = BTreeMap::new();
        let tally = Tally::new(&self.generation, &self.hashes);
        let mut batch = Batch::new(&tally, &mut self.recent, self.rules);
        for (index, entry) in entries.iter().enumerate() {
            match batch.fold(&entry.recorded, entry.sealed.as_ref()) {
                Ok(()) => {}
                Err(FoldError::Impossible(error)) => {
                    return Ok(Some((index, ImpossibleReason(error.to_string()))));
                }
                Err(FoldError::Store(error)) => return Err(error),
            }
            newest.insert(entry.recorded.position.partition, entry);
        }
        for (&partition, entry) in &newest {
            let sequence = entry.recorded.position.sequence;
            batch.checkpoint(partition, Checkpoint { sequence, hash: hash(&entry.bytes) });
        }
        let mut writes = batch.finish()?;
        let Tallied { digest, hashes } = tally.count(&writes)?;
        writes.insert(keys::digest(), Some(encode(&digest.to_bytes())));
        if self.is_quiet {
            self.generation.rows.write_here(self.room, writes)?;
        } else {
            let _held = self.store.hold_writing();
            self.generation.rows.write(self.room, writes)?;
        }
        let newest = newest.iter().map(|(partition, entry)| (*partition, entry.recorded.position.sequence));
        self.generation.has_reached(newest, digest);
        self.hashes.keep(hashes);
        Ok(None)
    }
}

struct ImpossibleReason(String);

/// What a checkpoint remembers of the commit it stands on.
pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
