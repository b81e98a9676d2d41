//! What an auditor and an engineer do with a log that is there already: look at the past, and never change it.
//!
//! `as_of` shows what was at a moment; `audit` lets anybody check that the log was only ever added to; `copy` moves it to
//! another journal; `diff` shows what two folds of it do not agree on; `export` writes it down for others; `verify`
//! recomputes everything from what is stored.

pub mod as_of;
pub mod audit;
pub mod copy;
pub mod diff;
pub mod export;
mod scan;
pub mod verify;

pub use as_of::{AsOf, InvalidAsOf, Moment, MomentError, PageOfIds, Snapshot, history, order};
