//! The file of signed tree heads: one note after the other, smallest tree first, and only ever added to.
//!
//! What must stay true: a tree head is in the file, on the disk, before anybody is shown it; nothing that was shown is
//! ever taken out.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use super::note::{NoteError, NoteSigner, NoteVerifier, TreeHead, next_note};

/// More than two notes are long, so that a window of it holds a whole one. A log's origin keeps to this.
const WINDOW: u64 = 4096;
/// Longest that a note, and so what is left of one, can be.
const MOST_TORN: u64 = WINDOW / 2;
/// Longest origin, in bytes.
pub const MAX_ORIGIN_BYTES: usize = 255;

/// A signed tree head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// What it says.
    pub head: TreeHead,
    /// The whole note, byte for byte.
    pub note: Arc<str>,
}

impl Checkpoint {
    /// Signs a tree head.
    pub fn sign(head: TreeHead, signer: &NoteSigner) -> Self {
        let note = head.sign(signer).into();
        Checkpoint { head, note }
    }

    fn read(note: &str) -> Result<Self, NoteError> {
        Ok(Checkpoint { head: TreeHead::read_unverified(note)?, note: note.into() })
    }

    /// Whether the key has signed it.
    pub fn verify(&self, verifier: &NoteVerifier) -> Result<(), NoteError> {
        TreeHead::open(&self.note, verifier).map(|_head| ())
    }
}

/// Every tree head in a file, in order; unverified. The beginning of one at the end, which a crash left there, is
/// left out; anything else that is none is an error.
pub fn read_checkpoints(path: &Path) -> io::Result<Vec<Checkpoint>> {
    let bytes = std::fs::read(path)?;
    let notes = notes_in(&bytes, 0, Start::OfANote);
    let length = notes.last().map_or(0, |(begin, checkpoint)| begin + checkpoint.note.len() as u64);
    if bytes.len() as u64 - length > MOST_TORN {
        return Err(damaged("it goes on with what is no tree head"));
    }
    Ok(notes.into_iter().map(|(_, checkpoint)| checkpoint).collect())
}

/// The file, open to be added to.
#[derive(Debug)]
pub struct CheckpointFile {
    file: File,
    /// Bytes of whole notes.
    length: u64,
    last: Option<Checkpoint>,
}

impl CheckpointFile {
    /// Opens or creates it. A note at its end that a crash cut off was never shown to anybody, and is taken away.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let size = file.metadata()?.len();
        let begin = size.saturating_sub(WINDOW);
        let window = read(&mut file, begin, size)?;
        let start = if begin == 0 { Start::OfANote } else { Start::Anywhere };
        let mut notes = notes_in(&window, begin, start);
        let last = notes.pop();
        let length = last.as_ref().map_or(0, |(begin, checkpoint)| begin + checkpoint.note.len() as u64);
        if size - length > MOST_TORN {
            return Err(damaged("its end is no tree head"));
        }
        if length < size {
            file.set_len(length)?;
        }
        file.sync_all()?;
        Ok(CheckpointFile { file, length, last: last.map(|(_, checkpoint)| checkpoint) })
    }

    /// The newest.
    pub fn last(&self) -> Option<&Checkpoint> {
        self.last.as_ref()
    }

    /// Adds one of a larger tree, and returns when it is on the disk.
    pub fn append(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        let bytes = checkpoint.note.as_bytes();
        // What an append that failed left behind lies beyond the length that counts.
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(bytes)?;
        self.file.sync_data()?;
        self.length += bytes.len() as u64;
        self.last = Some(checkpoint.clone());
        Ok(())
    }

    /// The one of a tree of exactly this size, if one was signed; found by halving, as the file is sorted.
    pub fn of_size(&mut self, size: u64) -> io::Result<Option<Checkpoint>> {
        // What is looked for starts in here, if it is there at all; a note starts at `begin`.
        let (mut begin, mut end) = (0, self.length);
        while end - begin > WINDOW {
            let middle = begin + (end - begin) / 2;
            let window = read(&mut self.file, middle, (middle + WINDOW).min(self.length))?;
            match notes_in(&window, middle, Start::Anywhere).into_iter().next() {
                Some((at, checkpoint)) if at < end && checkpoint.head.size <= size => begin = at,
                Some((at, _)) if at < end => end = at,
                // The last one to start before the end starts at the middle or before it.
                Some(_) | None => end = middle + 1,
            }
        }
        let window = read(&mut self.file, begin, (end + WINDOW).min(self.length))?;
        let mut notes =
            notes_in(&window, begin, Start::OfANote).into_iter().map(|(_, checkpoint)| checkpoint);
        Ok(notes.find(|checkpoint| checkpoint.head.size == size))
    }
}

/// What a window of the file starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    OfANote,
    Anywhere,
}

/// The whole notes in a window of the file that begins at byte `offset`, each with the byte that it starts at.
fn notes_in(window: &[u8], offset: u64, start: Start) -> Vec<(u64, Checkpoint)> {
    let mut begin = match start {
        Start::OfANote => 0,
        Start::Anywhere => after_signature(window).unwrap_or(window.len()),
    };
    let (mut rest, mut notes) = (valid_prefix(&window[begin..]), Vec::new());
    while let Some((note, after)) = next_note(rest) {
        let Ok(checkpoint) = Checkpoint::read(note) else { break };
        let at = offset + begin as u64;
        begin += note.len();
        notes.push((at, checkpoint));
        rest = after;
    }
    notes
}

/// Where the first line of a signature ends, and so the next note starts.
fn after_signature(window: &[u8]) -> Option<usize> {
    let marker = "\n— ".as_bytes();
    let line = window.windows(marker.len()).position(|bytes| bytes == marker)? + marker.len();
    let end = window[line..].iter().position(|&byte| byte == b'\n')?;
    Some(line + end + 1)
}

/// The longest beginning that is UTF-8.
fn valid_prefix(bytes: &[u8]) -> &str {
    let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    std::str::from_utf8(&bytes[..valid]).unwrap_or_default()
}

fn read(file: &mut File, begin: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (end - begin) as usize];
    file.seek(SeekFrom::Start(begin))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the file of checkpoints is damaged: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::super::merkle::hash_leaf;
    use super::*;

    const SIZES: [u64; 7] = [0, 1, 9, 10, 1000, 20_000, 3_000_000];

    fn checkpoints() -> Vec<Checkpoint> {
        let signer = NoteSigner::generate("log.example/0").unwrap();
        let head = |size: u64| TreeHead {
            origin: signer.name().to_owned(),
            size,
            root: hash_leaf(&[&size.to_be_bytes()]),
        };
        SIZES.into_iter().map(|size| Checkpoint::sign(head(size), &signer)).collect()
    }

    fn written(path: &Path) -> CheckpointFile {
        let mut file = CheckpointFile::open(path).unwrap();
        checkpoints().iter().for_each(|checkpoint| file.append(checkpoint).unwrap());
        file
    }

    #[test]
    fn what_was_signed_is_found_by_its_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoints");
        let mut file = written(&path);
        let all = read_checkpoints(&path).unwrap();
        assert_eq!(all.iter().map(|one| one.head.size).collect::<Vec<_>>(), SIZES);
        for expected in &all {
            assert_eq!(file.of_size(expected.head.size).unwrap().as_ref(), Some(expected));
        }
        for size in [2, 8, 11, 999, 1001, 4_000_000] {
            assert_eq!(file.of_size(size).unwrap(), None, "{size}");
        }
        let again = CheckpointFile::open(&path).unwrap();
        assert_eq!(again.last(), all.last());
    }

    #[test]
    fn a_long_file_is_searched_and_continued_as_well() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoints");
        let signer = NoteSigner::generate(&format!("log.example/{}", "x".repeat(200))).unwrap();
        let origin = signer.name().to_owned();
        let root = hash_leaf(&[]);
        let head = |size| TreeHead { origin: origin.clone(), size, root };
        let notes: String = (0..500).map(|index| head(index * 3).sign(&signer)).collect();
        std::fs::write(&path, &notes).unwrap();
        let mut file = CheckpointFile::open(&path).unwrap();
        assert_eq!(file.last().unwrap().head, head(1497));
        for size in 0..1510 {
            let found = file.of_size(size).unwrap().map(|checkpoint| checkpoint.head.size);
            assert_eq!(found, (size % 3 == 0 && size < 1500).then_some(size));
        }
    }

    #[test]
    fn a_note_that_a_crash_cut_off_is_gone_and_the_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoints");
        drop(written(&path));
        let whole = std::fs::read(&path).unwrap();
        let all = checkpoints_in(&path);
        let last = all[SIZES.len() - 1].note.len();
        for length in whole.len() - last..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(checkpoints_in(&path), all[..SIZES.len() - 1], "cut to {length}");
            let mut file = CheckpointFile::open(&path).unwrap();
            assert_eq!(file.last(), Some(&all[SIZES.len() - 2]), "cut to {length}");
            file.append(&all[SIZES.len() - 1]).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole, "cut to {length}");
        }
        // The disk may have got the length of a note and not its bytes.
        std::fs::write(&path, [&whole[..whole.len() - last], &vec![0; last]].concat()).unwrap();
        assert_eq!(CheckpointFile::open(&path).unwrap().last(), Some(&all[SIZES.len() - 2]));
    }

    #[test]
    fn another_file_is_not_taken_for_one_and_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoints");
        let text = "something else\n\n".repeat(1000);
        std::fs::write(&path, &text).unwrap();
        assert!(CheckpointFile::open(&path).is_err() && read_checkpoints(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    fn checkpoints_in(path: &Path) -> Vec<Checkpoint> {
        read_checkpoints(path).unwrap()
    }
}
