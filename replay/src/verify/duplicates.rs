//! Finds what is there twice among more things than fit into memory: sorted runs on disk, merged at the end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use ledger::ids::Position;
use sha2::{Digest, Sha256};

/// Things in a run: 26 MB in memory, and as much on disk for each run.
const RUN: usize = 1_000_000;
const ENTRY_BYTES: usize = 26;

/// A thing's fingerprint, then where it was seen. 128 bits of SHA-256: two things that share them do not exist.
type Entry = ([u8; 16], Position);

/// Things that must be there once.
#[derive(Default)]
pub(super) struct Duplicates {
    run: Vec<Entry>,
    runs: Vec<File>,
}

/// A thing that is there again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Duplicate {
    pub(super) first: Position,
    pub(super) again: Position,
}

impl Duplicates {
    /// Notes a thing, named by its parts.
    pub(super) fn add(&mut self, parts: &[&[u8]], position: Position) -> io::Result<()> {
        self.add_entry(fingerprint(parts), position, RUN)
    }

    fn add_entry(&mut self, fingerprint: [u8; 16], position: Position, run: usize) -> io::Result<()> {
        self.run.push((fingerprint, position));
        if self.run.len() < run {
            return Ok(());
        }
        self.run.sort_unstable();
        let mut file = BufWriter::new(tempfile::tempfile()?);
        for (fingerprint, position) in self.run.drain(..) {
            file.write_all(&fingerprint)?;
            file.write_all(&position.partition.to_be_bytes())?;
            file.write_all(&position.sequence.to_be_bytes())?;
        }
        let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.runs.push(file);
        Ok(())
    }

    /// What was noted more than once, every time but the first; `found` may have enough after some and say false.
    pub(super) fn finish(self, mut found: impl FnMut(Duplicate) -> bool) -> io::Result<()> {
        let Duplicates { mut run, runs } = self;
        run.sort_unstable();
        let mut sources: Vec<Box<dyn Iterator<Item = io::Result<Entry>>>> =
            vec![Box::new(run.into_iter().map(Ok))];
        for file in runs {
            let mut file = BufReader::new(file);
            sources.push(Box::new(std::iter::from_fn(move || read(&mut file).transpose())));
        }
        let mut heads = BinaryHeap::new();
        for (index, source) in sources.iter_mut().enumerate() {
            if let Some(entry) = source.next() {
                heads.push(Reverse((entry?, index)));
            }
        }
        let mut last: Option<Entry> = None;
        while let Some(Reverse((entry, index))) = heads.pop() {
            if let Some(next) = sources[index].next() {
                heads.push(Reverse((next?, index)));
            }
            match last {
                Some((fingerprint, first)) if fingerprint == entry.0 => {
                    if !found(Duplicate { first, again: entry.1 }) {
                        return Ok(());
                    }
                }
                Some(_) | None => last = Some(entry),
            }
        }
        Ok(())
    }
}

/// SHA-256 over the parts, each preceded by its length, cut to its first half.
fn fingerprint(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&hash.finalize()[..16]);
    fingerprint
}

fn read(file: &mut impl Read) -> io::Result<Option<Entry>> {
    let mut bytes = [0; ENTRY_BYTES];
    match file.read_exact(&mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let (mut fingerprint, mut partition, mut sequence) = ([0; 16], [0; 2], [0; 8]);
    fingerprint.copy_from_slice(&bytes[..16]);
    partition.copy_from_slice(&bytes[16..18]);
    sequence.copy_from_slice(&bytes[18..]);
    let position =
        Position { partition: u16::from_be_bytes(partition), sequence: u64::from_be_bytes(sequence) };
    Ok(Some((fingerprint, position)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(sequence: u64) -> Position {
        Position { partition: 0, sequence }
    }

    proptest! {
        #[test]
        fn each_thing_that_is_there_again_is_found_whatever_the_runs(
            things in prop::collection::vec(0_u8..12, 0..60),
            run in 1_usize..9,
        ) {
            let mut duplicates = Duplicates::default();
            let mut first = BTreeMap::new();
            let mut expected = Vec::new();
            for (thing, sequence) in things.iter().zip(1..) {
                duplicates.add_entry(fingerprint(&[&[*thing]]), at(sequence), run).unwrap();
                match first.get(thing) {
                    Some(&first) => expected.push((at(first), at(sequence))),
                    None => drop(first.insert(thing, sequence)),
                }
            }
            let mut found = Vec::new();
            duplicates
                .finish(|Duplicate { first, again }| {
                    found.push((first, again));
                    true
                })
                .unwrap();
            found.sort_by_key(|(_, again)| *again);
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_parts_of_a_name_do_not_run_together() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
    }
}
