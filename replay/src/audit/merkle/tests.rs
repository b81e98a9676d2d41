//! Held against `ct-merkle`, an implementation nobody here wrote, and against proofs that were altered.

use std::convert::Infallible;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use sha2::Sha256;

use super::*;

/// Beyond two powers of two, so that every shape of a tree is met.
const LARGEST: u64 = 70;

/// A tree in memory: its leaves' hashes, and every complete node worked out anew.
struct Leaves(Vec<Hash>);

impl Leaves {
    fn of(size: u64) -> Self {
        Leaves((0..size).map(|index| hash_leaf(&[leaf(index).as_bytes()])).collect())
    }
}

impl Nodes for Leaves {
    type Error = Infallible;

    fn node(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
        match level {
            0 => Ok(self.0[index as usize]),
            _ => Ok(hash_node(self.node(level - 1, index * 2)?, self.node(level - 1, index * 2 + 1)?)),
        }
    }
}

fn leaf(index: u64) -> String {
    format!("commit {index}")
}

fn oracle(size: u64) -> MemoryBackedTree<Sha256, String> {
    let mut tree = MemoryBackedTree::new();
    (0..size).for_each(|index| tree.push(leaf(index)));
    tree
}

fn right<T>(result: Result<T, Infallible>) -> T {
    result.unwrap()
}

fn bytes(proof: &[Hash]) -> Vec<u8> {
    proof.iter().flat_map(|hash| hash.0).collect()
}

/// Each proof that differs from this one in one bit of one byte, or in its length.
fn altered(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = Vec::new();
    for (hash, byte) in (0..proof.len()).flat_map(|hash| (0..Hash::BYTES).map(move |byte| (hash, byte))) {
        let mut other = proof.to_vec();
        other[hash].0[byte] ^= 1 << (byte % 8);
        all.push(other);
    }
    all.push(proof.iter().copied().chain([empty_root()]).collect());
    all.extend((0..proof.len()).map(|length| proof[..length].to_vec()));
    if proof.len() > 1 && proof[0] != proof[1] {
        let mut swapped = proof.to_vec();
        swapped.swap(0, 1);
        all.push(swapped);
    }
    all
}

#[test]
fn an_empty_tree_has_the_hash_of_nothing() {
    // As RFC 6962, 2.1, has it.
    let hex = data_encoding::HEXLOWER.encode(&right(root(&Leaves::of(0), 0)).0);
    assert_eq!(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(Frontier::default().root(), empty_root());
}

#[test]
fn roots_are_those_of_another_implementation() {
    let leaves = Leaves::of(LARGEST);
    let mut growing = Frontier::default();
    for size in 1..=LARGEST {
        growing.push(leaves.0[size as usize - 1]);
        let expected = oracle(size).root();
        assert_eq!(right(root(&leaves, size)).0[..], expected.as_bytes()[..], "of {size}");
        assert_eq!(growing.root().0[..], expected.as_bytes()[..], "of {size}, grown");
        assert_eq!(growing, right(Frontier::of(&leaves, size)), "of {size}, taken up again");
    }
}

#[test]
fn a_growing_tree_tells_each_node_that_it_completes() {
    let leaves = Leaves::of(LARGEST);
    let mut growing = Frontier::default();
    let mut levels: Vec<u64> = vec![0; 8];
    for &hash in &leaves.0 {
        growing.push_each(hash, |level, node| {
            let index = &mut levels[level as usize];
            assert_eq!(node, right(leaves.node(level, *index)), "{level}/{index}");
            *index += 1;
        });
    }
    assert_eq!(levels, [70, 35, 17, 8, 4, 2, 1, 0]);
}

#[test]
fn inclusion_proofs_are_those_of_another_implementation() {
    let leaves = Leaves::of(LARGEST);
    for size in 1..=LARGEST {
        let (tree, top) = (oracle(size), right(root(&leaves, size)));
        for index in 0..size {
            let proof = right(inclusion_proof(&leaves, index, size));
            assert_eq!(bytes(&proof), tree.prove_inclusion(index as usize).as_bytes(), "{index} of {size}");
            assert!(is_included(leaves.0[index as usize], index, size, top, &proof), "{index} of {size}");
            let theirs = InclusionProof::try_from_bytes(bytes(&proof)).unwrap();
            let their_root = RootHash::<Sha256>::new(top.0.into(), size);
            their_root.verify_inclusion(&leaf(index), index, &theirs).unwrap();
        }
    }
}

#[test]
fn consistency_proofs_are_those_of_another_implementation() {
    let leaves = Leaves::of(LARGEST);
    for to in 1..=LARGEST {
        let (tree, new) = (oracle(to), right(root(&leaves, to)));
        for from in 1..=to {
            let proof = right(consistency_proof(&leaves, from, to));
            let old = right(root(&leaves, from));
            assert!(is_consistent(from, old, to, new, &proof), "{from} to {to}");
            let theirs = tree.prove_consistency((to - from) as usize);
            assert_eq!(bytes(&proof), theirs.as_bytes(), "{from} to {to}");
            let theirs = ConsistencyProof::<Sha256>::try_from_bytes(bytes(&proof)).unwrap();
            let (old, new) = (RootHash::new(old.0.into(), from), RootHash::new(new.0.into(), to));
            new.verify_consistency(&old, &theirs).unwrap();
        }
        assert!(is_consistent(0, empty_root(), to, new, &[]));
        assert!(!is_consistent(0, new, to, new, &[]) && !is_consistent(0, empty_root(), to, new, &[new]));
    }
}

#[test]
fn an_altered_inclusion_proof_proves_nothing() {
    let leaves = Leaves::of(LARGEST);
    for size in [1, 2, 3, 7, 8, 21, 64, 70] {
        let top = right(root(&leaves, size));
        for index in 0..size {
            let (hash, proof) = (leaves.0[index as usize], right(inclusion_proof(&leaves, index, size)));
            for other in altered(&proof) {
                assert!(!is_included(hash, index, size, top, &other), "{index} of {size}: {other:?}");
            }
            let neighbour = leaves.0[(index as usize + 1) % LARGEST as usize];
            assert!(!is_included(neighbour, index, size, top, &proof), "another leaf");
            assert!(!is_included(hash, index + 1, size, top, &proof), "another index");
            assert!(!is_included(hash, index, size, right(root(&leaves, size - 1)), &proof), "another root");
        }
        assert!(!is_included(leaves.0[0], size, size, top, &[]), "beyond the end");
    }
}

#[test]
fn an_altered_consistency_proof_proves_nothing() {
    let leaves = Leaves::of(LARGEST);
    for (from, to) in [(1, 2), (2, 3), (3, 7), (4, 7), (6, 8), (8, 8), (16, 21), (21, 64), (32, 70), (63, 70)]
    {
        let (old, new) = (right(root(&leaves, from)), right(root(&leaves, to)));
        let proof = right(consistency_proof(&leaves, from, to));
        for other in altered(&proof) {
            assert!(!is_consistent(from, old, to, new, &other), "{from} to {to}: {other:?}");
        }
        let another = right(root(&leaves, 5));
        assert!(!is_consistent(from, another, to, new, &proof), "{from} to {to}: another old root");
        assert!(!is_consistent(from, old, to, another, &proof), "{from} to {to}: another new root");
        assert!(!is_consistent(to + 1, new, to, new, &proof), "shorter than before");
    }
}

#[test]
fn a_hash_reads_as_it_writes() {
    let hash = hash_leaf(&[b"commit", b" 0"]);
    assert_eq!(hash, hash_leaf(&[b"commit 0"]));
    assert_eq!(hash.to_string().parse(), Ok(hash));
    for bad in ["", "AAAA", "not base64"] {
        assert_eq!(bad.parse::<Hash>(), Err(InvalidHash));
    }
}
