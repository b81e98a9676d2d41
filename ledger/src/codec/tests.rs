//! The stored form, pinned.
