//! The log as a transparency log: whoever keeps one signed tree head can hold everything that is said later against
//! it, without trusting who says it.
//!
//! In reading order: `merkle`, the tree and its proofs; `leaf`, what of a commit is hashed; `note`, how a tree head is
//! signed.

pub mod leaf;
pub mod merkle;
pub mod note;

pub use leaf::leaf_hash;
pub use merkle::{Frontier, Hash, Nodes};
pub use note::{KeyError, NoteError, NoteSigner, NoteVerifier, TreeHead};
