//! The Merkle tree of RFC 6962 (and RFC 9162) over SHA-256: roots, proofs, and what checks a proof.
//!
//! A tree of n leaves is split after the largest power of two below n, and so on down; a *node* here is the root of a
//! complete subtree, which never changes once its last leaf is there. Level 0 holds the leaves' hashes, node i of
//! level l stands over the leaves from i·2^l up to (i + 1)·2^l.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

/// Keeps a leaf from being taken for a node, and a node for a leaf.
const LEAF_PREFIX: [u8; 1] = [0];
const NODE_PREFIX: [u8; 1] = [1];

/// A SHA-256 hash of the tree. As text, base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Bytes of a hash.
    pub const BYTES: usize = 32;
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// A text that is not 32 bytes in base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 hash in base64")]
pub struct InvalidHash;

impl FromStr for Hash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let bytes = BASE64.decode(text.as_bytes()).map_err(|_| InvalidHash)?;
        bytes.try_into().map(Hash).map_err(|_| InvalidHash)
    }
}

/// Hash of a leaf: SHA-256 of 0x00 and the leaf's parts, one after the other.
pub fn hash_leaf(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(LEAF_PREFIX);
    for part in parts {
        hasher.update(part);
    }
    Hash(hasher.finalize().into())
}

/// Hash of a node: SHA-256 of 0x01 and the hashes of its two children.
pub fn hash_node(left: Hash, right: Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(NODE_PREFIX);
    hasher.update(left.0);
    hasher.update(right.0);
    Hash(hasher.finalize().into())
}

/// The root of a tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// Where the roots of complete subtrees are kept.
pub trait Nodes {
    /// Why one cannot be read.
    type Error;

    /// Node `index` of `level`, which is complete in every tree that is asked about.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root over the first `size` leaves.
pub fn root<N: Nodes + ?Sized>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 { Ok(empty_root()) } else { subtree(nodes, 0, size) }
}

/// The proof that leaf `index` is in the tree of the first `size` leaves: the hashes that stand beside its path to
/// the root, from the bottom up (RFC 9162, 2.1.3.1). Empty when there is no such leaf.
pub fn inclusion_proof<N: Nodes + ?Sized>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let mut proof = Vec::new();
    let (mut begin, mut width) = (0, size);
    while index < size && width > 1 {
        let left = split(width);
        if index - begin < left {
            proof.push(subtree(nodes, begin + left, width - left)?);
            width = left;
        } else {
            proof.push(subtree(nodes, begin, left)?);
            (begin, width) = (begin + left, width - left);
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of the first `from` leaves is the beginning of the tree of the first `to` leaves
/// (RFC 9162, 2.1.4.1). Empty when they are the same, when `from` is 0, and when `from` is more than `to`.
pub fn consistency_proof<N: Nodes + ?Sized>(nodes: &N, from: u64, to: u64) -> Result<Vec<Hash>, N::Error> {
    let mut proof = Vec::new();
    if from == 0 || from >= to {
        return Ok(proof);
    }
    let (mut begin, mut width) = (0, to);
    while from - begin < width {
        let left = split(width);
        if from - begin <= left {
            proof.push(subtree(nodes, begin + left, width - left)?);
            width = left;
        } else {
            proof.push(subtree(nodes, begin, left)?);
            (begin, width) = (begin + left, width - left);
        }
    }
    // Whoever checks the proof has the old root, and so needs no part of the old tree that is the whole of it.
    if begin > 0 {
        proof.push(subtree(nodes, begin, width)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether `proof` shows that the leaf of this hash is leaf `index` of the tree of `size` leaves with this `root`
/// (RFC 9162, 2.1.3.2).
pub fn is_included(leaf: Hash, index: u64, size: u64, root: Hash, proof: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = leaf;
    for &sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = hash_node(sibling, hash);
            // A node without a sibling of its own rises to where it has one.
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = hash_node(hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && hash == root
}

/// Whether `proof` shows that the tree of `from` leaves with the root `old` is the beginning of the tree of `to` leaves
/// with the root `new` (RFC 9162, 2.1.4.2). The empty tree is the beginning of every tree.
pub fn is_consistent(from: u64, old: Hash, to: u64, new: Hash, proof: &[Hash]) -> bool {
    if from == to || from == 0 {
        let old_is_right = if from == to { old == new } else { old == empty_root() };
        return proof.is_empty() && old_is_right;
    }
    if from > to {
        return false;
    }
    let (first, rest) = match proof.split_first() {
        _ if from.is_power_of_two() => (old, proof),
        Some((&first, rest)) => (first, rest),
        None => return false,
    };
    let (mut node, mut last) = (from - 1, to - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let (mut old_root, mut new_root) = (first, first);
    for &hash in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_root = hash_node(hash, old_root);
            new_root = hash_node(hash, new_root);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new_root = hash_node(new_root, hash);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && old_root == old && new_root == new
}

/// The roots of the complete subtrees that a tree consists of: enough to let it grow and to tell its root, in one hash
/// per bit of its size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// Largest first; one for each bit of `size` that is set.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the first `size` leaves of a tree that is kept.
    pub fn of<N: Nodes + ?Sized>(nodes: &N, size: u64) -> Result<Self, N::Error> {
        let levels = (0..u64::BITS).rev().filter(|&level| size >> level & 1 == 1);
        // What stands to the left of a peak is as long as the higher bits say.
        let peaks = levels.map(|level| nodes.node(level, (size >> level) - 1)).collect::<Result<_, _>>()?;
        Ok(Frontier { size, peaks })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_each(leaf, |_, _| {});
    }

    /// Adds a leaf by its hash; `each` gets the level and the hash of every node that it completes, from the bottom
    /// up, the leaf itself first.
    pub fn push_each(&mut self, leaf: Hash, mut each: impl FnMut(u32, Hash)) {
        let mut hash = leaf;
        each(0, hash);
        for level in 0..self.size.trailing_ones() {
            // As many peaks as there are ones at the end of the size.
            let Some(left) = self.peaks.pop() else { break };
            hash = hash_node(left, hash);
            each(level + 1, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(&smallest) = peaks.next() else { return empty_root() };
        peaks.fold(smallest, |right, &left| hash_node(left, right))
    }
}

/// The root over `width` leaves from `begin` on, which is a multiple of the largest power of two up to `width`.
fn subtree<N: Nodes + ?Sized>(nodes: &N, begin: u64, width: u64) -> Result<Hash, N::Error> {
    // The complete subtrees from the smallest, at the right, to the largest.
    let (mut end, mut rest) = (begin + width, width);
    let mut hash = None;
    while rest > 0 {
        let level = rest.trailing_zeros();
        let node = nodes.node(level, (end >> level) - 1)?;
        hash = Some(hash.map_or(node, |right| hash_node(node, right)));
        (end, rest) = (end - (1 << level), rest & (rest - 1));
    }
    Ok(hash.unwrap_or_else(empty_root))
}

/// The largest power of two below `width`, which is 2 or more.
fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}

#[cfg(test)]
mod tests;
