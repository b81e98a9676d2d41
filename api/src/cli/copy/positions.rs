//! Positions that a copy into another number of partitions changes: those that a reader asks about, and those in the
//! memos of notifications.

use std::collections::BTreeSet;

use ledger::ids::Position;
use ledger::journal::Journal;
use replay::copy::{Places, Wanted, find_places, put_memo};
use serde::Serialize;

use super::place::Place;
use super::{CopyError, Failure, explain};
use crate::cli::{print, print_json};
use crate::notifications::{self, Document, DocumentError};

/// A place in a log: positions of different partitions, separated by commas, each the newest that was read of its own.
pub(super) fn parse(text: &str) -> Result<Vec<Position>, String> {
    let positions: Vec<Position> = text
        .split(',')
        .map(|part| part.parse().map_err(|error| format!("{error}")))
        .collect::<Result<_, _>>()?;
    let partitions: BTreeSet<u16> = positions.iter().map(|position| position.partition).collect();
    if partitions.len() < positions.len() {
        return Err(format!("{text} names a partition twice"));
    }
    Ok(positions)
}

#[derive(Serialize)]
struct PlaceDocument {
    from: String,
    to: String,
    /// Where the reader has come to in the source.
    at: String,
    /// Where it goes on in the target.
    there: String,
}

/// Says where a reader of the source goes on in the target.
pub(super) async fn look_up(from: &Place, to: &Place, at: Vec<Position>, json: bool) -> Result<(), Failure> {
    let (source, target) = (from.open_read_only().await?, to.open_read_only().await?);
    let mut ends = vec![0; source.partitions().into()];
    for position in &at {
        let last = source.last_sequence(position.partition).await.unwrap_or(0);
        match ends.get_mut(usize::from(position.partition)) {
            Some(end) if position.sequence <= last => *end = position.sequence,
            Some(_) | None => return Err(Failure::usage(format!("--at: the source has no {position}"))),
        }
    }
    let wanted = Wanted { commits: BTreeSet::new(), readers: vec![ends.clone()] };
    let places = find_places(source.as_ref(), target.as_ref(), wanted).await.map_err(explain)?;
    let there = places.readers.first().map(|there| text(there)).unwrap_or_default();
    if json {
        return print_json(&PlaceDocument {
            from: from.to_string(),
            to: to.to_string(),
            at: text(&ends),
            there,
        });
    }
    print(&format!("{there}\n"))
}

fn text(ends: &[u64]) -> String {
    let position = |(partition, &sequence): (u16, &u64)| Position { partition, sequence }.to_string();
    (0..).zip(ends).map(position).collect::<Vec<_>>().join(",")
}

/// The documents of notifications in a journal.
pub(super) struct Documents(Vec<(String, Document)>);

impl Documents {
    pub(super) async fn read(journal: &dyn Journal) -> Result<Self, Failure> {
        let mut documents = Vec::new();
        let names = journal.memo_names().await.map_err(|error| explain(CopyError::Source(error)))?;
        for name in names.into_iter().filter(|name| notifications::is_document(name)) {
            let memo = journal.memo(&name).await.map_err(|error| explain(CopyError::Source(error)))?;
            if let Some(memo) = memo.filter(|memo| !memo.bytes.is_empty()) {
                let document = Document::parse(&memo.bytes).map_err(|error| unreadable(&name, &error))?;
                documents.push((name, document));
            }
        }
        Ok(Documents(documents))
    }

    /// What has to be looked up for them.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            commits: self.0.iter().flat_map(|(_, document)| document.positions()).collect(),
            readers: self.0.iter().map(|(_, document)| document.read.clone()).collect(),
        }
    }

    /// Puts them into the target, with the positions that commits have there.
    pub(super) async fn put(self, target: &dyn Journal, places: &Places) -> Result<(), Failure> {
        for ((name, document), read) in self.0.into_iter().zip(&places.readers) {
            let place = |position| places.commits.get(&position).copied();
            let document =
                document.relocated(read.clone(), place).map_err(|error| unreadable(&name, &error))?;
            put_memo(target, &name, document.to_bytes()).await.map_err(explain)?;
        }
        Ok(())
    }
}

fn unreadable(name: &str, error: &DocumentError) -> Failure {
    Failure::new(format!("the memo {name} in the source: {error}"))
}
