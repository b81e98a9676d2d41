//! The tree of one partition on disk: a file per level, and node i of a level at byte 32·i of its file.
//!
//! Only nodes of complete subtrees are kept, so nothing is ever written a second time, and a tree of any earlier size
//! can still be proven. The files are disposable: the lengths say what is there, whatever a level lacks is worked out
//! from the level below, and what level 0 lacks comes from the journal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::merkle::{Frontier, Hash, Nodes, hash_node};

const NODE_BYTES: u64 = Hash::BYTES as u64;
/// Nodes that are read at once where a level is worked out anew.
const READ_AHEAD: u64 = 4096;

/// The nodes of a tree, in the files of one directory.
#[derive(Debug)]
pub struct Tree {
    directory: PathBuf,
    levels: Vec<Level>,
    frontier: Frontier,
}

#[derive(Debug)]
struct Level {
    file: Mutex<File>,
    nodes: u64,
    /// Whether something was written that may not be on the disk yet.
    is_dirty: bool,
}

impl Tree {
    /// Opens the tree in a directory to let it grow. What a crash left half written is made whole.
    pub fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut tree = Tree::read(directory, OpenOptions::new().read(true).write(true))?;
        tree.make_whole(tree.leaves())?;
        tree.frontier = Frontier::of(&tree, tree.leaves())?;
        Ok(tree)
    }

    /// Opens the tree in a directory as it is, also beside the server that lets it grow. One that is not there is
    /// empty.
    pub fn open_read_only(directory: &Path) -> io::Result<Self> {
        let mut tree = Tree::read(directory, OpenOptions::new().read(true))?;
        tree.frontier = Frontier::of(&tree, tree.leaves())?;
        Ok(tree)
    }

    fn read(directory: &Path, options: &OpenOptions) -> io::Result<Self> {
        let mut tree =
            Tree { directory: directory.to_owned(), levels: Vec::new(), frontier: Frontier::default() };
        for level in 0..u64::BITS {
            match options.open(tree.path(level)) {
                Ok(file) => tree.levels.push(Level::of(file)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        Ok(tree)
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root over them.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Hash of leaf `index`, which is the commit at sequence `index` + 1.
    pub fn leaf(&self, index: u64) -> io::Result<Hash> {
        self.node(0, index)
    }

    /// Adds leaves by their hashes: all of them, or none when it fails.
    pub fn append(&mut self, leaves: &[Hash]) -> io::Result<()> {
        let mut frontier = self.frontier.clone();
        let mut new: Vec<Vec<u8>> = Vec::new();
        for &leaf in leaves {
            frontier.push_each(leaf, |level, hash| {
                let level = level as usize;
                if new.len() <= level {
                    new.resize(level + 1, Vec::new());
                }
                new[level].extend_from_slice(&hash.0);
            });
        }
        for (level, bytes) in (0..).zip(&new) {
            self.level(level)?.write(bytes)?;
        }
        // Counted only now: what is not counted is written again, over what a failure left.
        for (level, bytes) in self.levels.iter_mut().zip(&new) {
            level.nodes += bytes.len() as u64 / NODE_BYTES;
        }
        self.frontier = frontier;
        Ok(())
    }

    /// Returns when everything that was added is on the disk.
    pub fn sync(&mut self) -> io::Result<()> {
        for level in self.levels.iter_mut().filter(|level| level.is_dirty) {
            level.lock().sync_data()?;
            level.is_dirty = false;
        }
        Ok(())
    }

    /// Forgets every leaf from index `size` on.
    pub fn truncate(&mut self, size: u64) -> io::Result<()> {
        let frontier = Frontier::of(self, size.min(self.size()))?;
        self.make_whole(frontier.size())?;
        self.frontier = frontier;
        Ok(())
    }

    /// Leaves in level 0, by its length.
    fn leaves(&self) -> u64 {
        self.levels.first().map_or(0, |level| level.nodes)
    }

    fn path(&self, level: u32) -> PathBuf {
        self.directory.join(format!("level-{level:02}"))
    }

    /// Brings each level to the length that it has in a tree of this size.
    fn make_whole(&mut self, size: u64) -> io::Result<()> {
        for number in 0..u64::BITS {
            let (due, exists) = (size >> number, (number as usize) < self.levels.len());
            if due == 0 && !exists {
                break;
            }
            let have = self.level(number)?.shorten(due)?;
            let mut missing = Vec::new();
            for index in have..due {
                missing.extend_from_slice(&self.children(number, index)?.0);
                if missing.len() as u64 == READ_AHEAD * NODE_BYTES || index + 1 == due {
                    let level = self.level(number)?;
                    level.write(&missing)?;
                    level.nodes += missing.len() as u64 / NODE_BYTES;
                    missing.clear();
                }
            }
        }
        Ok(())
    }

    /// A node by the two below it.
    fn children(&self, level: u32, index: u64) -> io::Result<Hash> {
        let below = level.checked_sub(1).ok_or_else(|| missing(index))?;
        Ok(hash_node(self.node(below, index * 2)?, self.node(below, index * 2 + 1)?))
    }

    /// A level, created when the tree grows into it.
    fn level(&mut self, number: u32) -> io::Result<&mut Level> {
        let number = number as usize;
        while self.levels.len() <= number {
            let path = self.path(self.levels.len() as u32);
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            self.levels.push(Level::of(file)?);
        }
        Ok(&mut self.levels[number])
    }
}

impl Nodes for Tree {
    type Error = io::Error;

    fn node(&self, level: u32, index: u64) -> io::Result<Hash> {
        match self.levels.get(level as usize) {
            Some(kept) if index < kept.nodes => kept.read(index),
            Some(_) | None => self.children(level, index),
        }
    }
}

fn missing(index: u64) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the tree has no leaf {index}"))
}

impl Level {
    /// A file that was written beyond its last whole node ends there.
    fn of(file: File) -> io::Result<Self> {
        let nodes = file.metadata()?.len() / NODE_BYTES;
        Ok(Level { file: Mutex::new(file), nodes, is_dirty: false })
    }

    /// The file, whose place is set before each use.
    fn lock(&self) -> std::sync::MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, index: u64) -> io::Result<Hash> {
        let mut file = self.lock();
        let mut hash = Hash([0; Hash::BYTES]);
        file.seek(SeekFrom::Start(index * NODE_BYTES))?;
        file.read_exact(&mut hash.0)?;
        Ok(hash)
    }

    /// Writes nodes after the last one that counts; they do not count yet.
    fn write(&mut self, nodes: &[u8]) -> io::Result<()> {
        self.is_dirty = true;
        let mut file = self.lock();
        file.seek(SeekFrom::Start(self.nodes * NODE_BYTES))?;
        file.write_all(nodes)
    }

    /// Takes away what lies beyond the first `most` nodes; returns how many there are.
    fn shorten(&mut self, most: u64) -> io::Result<u64> {
        self.nodes = self.nodes.min(most);
        let length = self.nodes * NODE_BYTES;
        let is_longer = self.lock().metadata()?.len() > length;
        if is_longer {
            self.is_dirty = true;
            self.lock().set_len(length)?;
        }
        Ok(self.nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::merkle::{
        consistency_proof, hash_leaf, inclusion_proof, is_consistent, is_included, root,
    };
    use super::*;

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|index| hash_leaf(&[&index.to_be_bytes()])).collect()
    }

    fn expected(size: u64) -> Hash {
        let mut frontier = Frontier::default();
        leaves(size).into_iter().for_each(|leaf| frontier.push(leaf));
        frontier.root()
    }

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    /// Names and contents of the level files.
    fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
        let mut files: Vec<_> = entries
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn a_tree_grows_in_batches_and_is_there_again_when_opened() {
        let directory = directory();
        let mut size = 0;
        for batch in [0, 1, 1, 5, 32, 31, 30] {
            let mut tree = Tree::open(directory.path()).unwrap();
            assert_eq!((tree.size(), tree.root()), (size, expected(size)));
            tree.append(&leaves(100)[size as usize..(size + batch) as usize]).unwrap();
            tree.sync().unwrap();
            size += batch;
            assert_eq!((tree.size(), tree.root()), (size, expected(size)));
        }
        let reader = Tree::open_read_only(directory.path()).unwrap();
        assert_eq!((reader.size(), reader.root()), (100, expected(100)));
        assert_eq!(reader.leaf(99).unwrap(), leaves(100)[99]);
        assert!(reader.leaf(100).is_err());
    }

    #[test]
    fn every_earlier_size_can_still_be_proven() {
        let directory = directory();
        let mut tree = Tree::open(directory.path()).unwrap();
        tree.append(&leaves(70)).unwrap();
        for size in 1..=70 {
            let top = root(&tree, size).unwrap();
            assert_eq!(top, expected(size));
            for index in [0, size / 2, size - 1] {
                let proof = inclusion_proof(&tree, index, size).unwrap();
                assert!(is_included(tree.leaf(index).unwrap(), index, size, top, &proof));
            }
            let proof = consistency_proof(&tree, size, 70).unwrap();
            assert!(is_consistent(size, top, 70, tree.root(), &proof));
        }
    }

    #[test]
    fn whatever_a_crash_left_of_any_level_is_made_whole() {
        const SIZE: u64 = 21;
        let original = directory();
        let mut tree = Tree::open(original.path()).unwrap();
        tree.append(&leaves(SIZE)).unwrap();
        let whole = files(original.path());
        for (name, bytes) in &whole {
            for length in 0..bytes.len() {
                let crashed = directory();
                for (other, bytes) in &whole {
                    let kept = if other == name { &bytes[..length] } else { &bytes[..] };
                    fs::write(crashed.path().join(other), kept).unwrap();
                }
                // As it lies there, a reader already sees what its leaves say.
                let left = if name == "level-00" { length as u64 / NODE_BYTES } else { SIZE };
                let reader = Tree::open_read_only(crashed.path()).unwrap();
                assert_eq!((reader.size(), reader.root()), (left, expected(left)), "{name} cut to {length}");
                let mut tree = Tree::open(crashed.path()).unwrap();
                assert_eq!((tree.size(), tree.root()), (left, expected(left)), "{name} cut to {length}");
                tree.append(&leaves(SIZE)[left as usize..]).unwrap();
                assert_eq!(files(crashed.path()), whole, "{name} cut to {length}");
            }
        }
    }

    #[test]
    fn what_was_truncated_grows_again() {
        let directory = directory();
        let mut tree = Tree::open(directory.path()).unwrap();
        tree.append(&leaves(40)).unwrap();
        let whole = files(directory.path());
        for size in [40, 39, 33, 32, 7, 1, 0] {
            tree.truncate(size).unwrap();
            assert_eq!((tree.size(), tree.root()), (size, expected(size)));
            let reader = Tree::open_read_only(directory.path()).unwrap();
            assert_eq!((reader.size(), reader.root()), (size, expected(size)));
            tree.append(&leaves(40)[size as usize..]).unwrap();
            assert_eq!(files(directory.path()), whole);
        }
    }

    #[test]
    fn a_tree_that_is_not_there_is_empty() {
        let directory = directory();
        let tree = Tree::open_read_only(&directory.path().join("none")).unwrap();
        assert_eq!((tree.size(), tree.root()), (0, expected(0)));
    }
}
