//! What an auditor and an engineer do with a log that is there already: look at the past, and never change it.
//!
//! `as_of` shows what was at a moment; `audit` lets anybody check that the log was only ever added to;
//! `verify` recomputes everything from what is stored.

pub mod as_of;
pub mod audit;
pub mod verify;

pub use as_of::{AsOf, InvalidAsOf, Moment, MomentError, PageOfIds, Snapshot, history, order};
