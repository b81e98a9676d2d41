//! The log as a transparency log: whoever keeps one signed tree head can hold everything that is said later against
//! it, without trusting who says it.
//!
//! In reading order: `merkle`, the tree and its proofs; `leaf`, what of a commit is hashed; `note`, how a tree head is
//! signed; `tree` and `checkpoints`, how both are kept on
//! disk; `key`; and `keeper`, which keeps them up with the journal.

pub mod checkpoints;
pub mod keeper;
pub mod key;
pub mod leaf;
pub mod merkle;
pub mod note;
pub mod tree;

pub use checkpoints::{Checkpoint, read_checkpoints};
pub use keeper::{Keeper, KeeperOptions, OpenKeeperError, ProofError};
pub use leaf::leaf_hash;
pub use merkle::{Frontier, Hash, Nodes};
pub use note::{KeyError, NoteError, NoteSigner, NoteVerifier, TreeHead};
pub use tree::Tree;
