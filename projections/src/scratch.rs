//! Views that are folded to be looked at once and thrown away, fed commit by commit by whoever reads the log.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use ledger::codec::Sealed;
use ledger::commit::Recorded;
use ledger::ids::Position;
use ledger::journal::Subject;

use crate::rebuild::Scratch;
use crate::store::{Entry, StoreError, StoreOptions, Views, Writer};

/// Views in the system's directory for temporary files, gone when dropped. Works on the disk; not for an async thread.
pub struct ScratchViews {
    writer: Writer,
    views: Views,
    /// Records with a commit that cannot be: nothing that follows it can be judged.
    barred: HashSet<Subject>,
    /// Dropped last: the store is closed by then.
    _directory: Scratch,
}

/// A commit that the rules do not allow where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impossible {
    /// Where it stands.
    pub position: Position,
    /// What does not fit.
    pub reason: String,
}

impl ScratchViews {
    /// Empty views.
    pub fn new() -> Result<Self, StoreError> {
        let directory = Scratch::new("fresh");
        let views = Views::open(&directory.path("views"), &StoreOptions::default())?;
        let writer = Writer::bulk(Arc::clone(views.store()), views.store().live());
        Ok(ScratchViews { writer, views, barred: HashSet::new(), _directory: directory })
    }

    /// Folds commits, what is sealed of them, and the bytes that they were read from, each partition's in the order of the log. Returns
    /// those that cannot be; they and all that follows for the same record are left out.
    pub fn fold(
        &mut self,
        commits: impl IntoIterator<Item = (Recorded, Option<Sealed>, Bytes)>,
    ) -> Result<Vec<Impossible>, StoreError> {
        let entry = |(recorded, sealed, bytes)| Entry { recorded, sealed, bytes };
        let mut entries: Vec<Entry> = commits.into_iter().map(entry).collect();
        let mut found = Vec::new();
        loop {
            entries.retain(|entry| !self.barred.contains(&entry.recorded.commit.subject()));
            let Some(stopped) = self.writer.write(&entries)? else { return Ok(found) };
            // What came before it is written.
            let index = entries.iter().position(|entry| entry.recorded.position == stopped.position);
            let rest = entries.split_off(index.unwrap_or(entries.len()));
            self.barred.extend(rest.first().map(|entry| entry.recorded.commit.subject()));
            entries = rest;
            found.push(Impossible { position: stopped.position, reason: stopped.reason });
        }
    }

    /// The views as they are folded so far.
    pub fn views(&self) -> &Views {
        &self.views
    }
}
