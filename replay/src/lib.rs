//! What an auditor and an engineer do with a log that is there already: look at the past, and never change it.
//!
//! `as_of` shows what was at a moment; `audit` lets anybody check that the log was only ever added to; `diff` shows what
//! two folds of the log do not agree on; `verify` recomputes everything from what is stored.

pub mod as_of;
pub mod audit;
pub mod diff;
pub mod verify;

pub use as_of::{AsOf, InvalidAsOf, Moment, MomentError, PageOfIds, Snapshot, history, order};
