//! What is known of a partition besides its commits: tree heads that were signed, the leaves of a tree that was kept,
//! and how many commits somebody has seen.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use ledger::ids::Position;

use super::fault::{Fault, FaultKind};
use crate::audit::note::next_note;
use crate::audit::{Frontier, Hash, NoteVerifier, TreeHead};

/// Leaves read together from a kept tree.
const BLOCK: u64 = 4096;
/// Where a tree keeps its leaves' hashes.
const LEAVES: &str = "tree/level-00";
/// Where the signed tree heads are, one note after another.
const CHECKPOINTS: &str = "checkpoints";
/// Longer than any tree head with its signature.
const LONGEST_NOTE: usize = 2048;

/// Hashes of the commits of a partition, from when they were new.
pub trait KeptLeaves: Send {
    /// How many there are.
    fn size(&self) -> u64;

    /// The hash of the commit with sequence `index` + 1.
    fn leaf(&self, index: u64) -> io::Result<Hash>;
}

impl KeptLeaves for Vec<Hash> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn leaf(&self, index: u64) -> io::Result<Hash> {
        let index = usize::try_from(index).map_err(io::Error::other)?;
        self.get(index).copied().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// The leaves in a directory that a tree is kept in, which may be growing.
struct LeavesFile {
    size: u64,
    read: RefCell<Block>,
}

struct Block {
    file: File,
    first: u64,
    bytes: Vec<u8>,
}

impl LeavesFile {
    fn open(directory: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(directory.join(LEAVES)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let size = file.metadata()?.len() / Hash::BYTES as u64;
        Ok(Some(LeavesFile { size, read: RefCell::new(Block { file, first: 0, bytes: Vec::new() }) }))
    }
}

impl KeptLeaves for LeavesFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn leaf(&self, index: u64) -> io::Result<Hash> {
        let Block { file, first, bytes } = &mut *self.read.borrow_mut();
        let read = bytes.len() as u64 / Hash::BYTES as u64;
        if !(*first..*first + read).contains(&index) {
            // What is compared with its neighbours is a little before and after what comes next.
            *first = index.saturating_sub(BLOCK / 4);
            file.seek(SeekFrom::Start(*first * Hash::BYTES as u64))?;
            bytes.clear();
            file.take(BLOCK * Hash::BYTES as u64).read_to_end(bytes)?;
        }
        let at = usize::try_from(index - *first).map_err(io::Error::other)? * Hash::BYTES;
        let hash = bytes.get(at..at + Hash::BYTES).and_then(|hash| hash.try_into().ok());
        hash.map(Hash).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// What is known of one partition.
#[derive(Default)]
pub struct Evidence {
    /// By size, each size once.
    heads: Vec<TreeHead>,
    pub(super) kept: Option<Box<dyn KeptLeaves>>,
    /// How many commits somebody has seen, and who.
    seen: Option<(u64, String)>,
    /// What is wrong with the evidence.
    faults: Vec<Fault>,
}

/// Evidence that cannot be read. Says nothing about the log.
#[derive(Debug, thiserror::Error)]
#[error("{file} cannot be read")]
pub struct EvidenceError {
    /// Its path.
    pub file: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Evidence {
    /// Adds the tree and the signed tree heads that a server keeps in a directory, as far as they are there. Without
    /// a key to check them with, the heads are left out.
    pub fn add_directory(
        &mut self,
        partition: u16,
        directory: &Path,
        verifier: Option<&NoteVerifier>,
    ) -> Result<(), EvidenceError> {
        let file = |name: &str| directory.join(name).display().to_string();
        let failed = |name: &str, source| EvidenceError { file: file(name), source };
        // The tree first: a head that is signed meanwhile is of a tree that is larger.
        if let Some(leaves) = LeavesFile::open(directory).map_err(|error| failed(LEAVES, error))? {
            self.add_leaves(Box::new(leaves));
        }
        let Some(verifier) = verifier else { return Ok(()) };
        let notes = match std::fs::read(directory.join(CHECKPOINTS)) {
            Ok(notes) => notes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(CHECKPOINTS, error)),
        };
        // Whatever was changed is not signed; the rest still counts.
        let notes = String::from_utf8_lossy(&notes);
        let rest = self.add_notes(partition, &notes, verifier, &file(CHECKPOINTS));
        // The last one may be cut off: it is being written, or was when the power went.
        if rest.len() > LONGEST_NOTE {
            let (size, length) = (self.heads.last().map_or(0, |head| head.size), rest.len());
            let detail = format!("{} ends with {length} bytes that are no tree head", file(CHECKPOINTS));
            self.bad(partition, size + 1, detail);
        }
        Ok(())
    }

    /// Adds the hashes that the commits had when they were new.
    pub fn add_leaves(&mut self, leaves: Box<dyn KeptLeaves>) {
        self.kept = Some(leaves);
    }

    /// Adds signed tree heads, one note after another. One that the key has not signed is a fault. Returns what is
    /// left of the text when it goes on with something that is no note.
    pub fn add_notes<'n>(
        &mut self,
        partition: u16,
        notes: &'n str,
        verifier: &NoteVerifier,
        name: &str,
    ) -> &'n str {
        let mut rest = notes;
        while let Some((note, after)) = next_note(rest) {
            rest = after;
            match TreeHead::open(note, verifier) {
                Ok(head) => self.add_head(partition, head),
                Err(error) => {
                    let size = TreeHead::read_unverified(note).map_or(0, |head| head.size);
                    let detail = format!("in {name}, the tree head of {size} commits: {error}");
                    self.bad(partition, size, detail);
                }
            }
        }
        rest
    }

    /// Adds a tree head whose signature has been checked.
    pub fn add_head(&mut self, partition: u16, head: TreeHead) {
        match self.heads.binary_search_by_key(&head.size, |known| known.size) {
            Ok(at) if self.heads[at].root != head.root => {
                let detail =
                    format!("{} has signed two different trees of {} commits", head.origin, head.size);
                self.bad(partition, head.size, detail);
            }
            Ok(_) => {}
            Err(at) => self.heads.insert(at, head),
        }
    }

    /// Notes that somebody has seen so many commits.
    pub fn add_seen(&mut self, size: u64, by: &str) {
        if self.seen.as_ref().is_none_or(|(most, _)| *most < size) {
            self.seen = Some((size, by.to_owned()));
        }
    }

    /// Whether there is nothing that commits could be compared with.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.kept.is_none()
    }

    fn bad(&mut self, partition: u16, sequence: u64, detail: String) {
        let position = Position { partition, sequence };
        self.faults.push(Fault::at(position, FaultKind::BadEvidence, detail));
    }

    /// Holds the kept tree against the tree heads that were signed over it. A tree that was changed is evidence no
    /// more.
    pub(super) fn check(&mut self, partition: u16) -> io::Result<Vec<Fault>> {
        if let Some(kept) = &self.kept {
            let mut frontier = Frontier::default();
            let mut heads = self.heads.iter().peekable();
            let mut contradicted = None;
            for index in 0..kept.size() {
                frontier.push(kept.leaf(index)?);
                if let Some(head) = heads.next_if(|head| head.size == frontier.size())
                    && head.root != frontier.root()
                {
                    contradicted = Some(head.size);
                    break;
                }
            }
            if let Some(size) = contradicted {
                self.kept = None;
                let detail = format!("the kept tree is not the one of {size} commits that was signed");
                self.bad(partition, size, detail);
            }
        }
        Ok(std::mem::take(&mut self.faults))
    }

    /// The tree head of this size.
    pub(super) fn head_of(&self, size: u64) -> Option<&TreeHead> {
        let at = self.heads.binary_search_by_key(&size, |head| head.size).ok()?;
        self.heads.get(at)
    }

    /// The most commits that anything here shows, and what does.
    pub(super) fn largest(&self) -> Option<(u64, String)> {
        let head =
            self.heads.last().map(|head| (head.size, format!("a tree head signed by {}", head.origin)));
        let kept = self.kept.as_ref().map(|kept| (kept.size(), "the kept tree".to_owned()));
        [head, kept, self.seen.clone()].into_iter().flatten().max_by_key(|(size, _)| *size)
    }
}
