//! What an auditor and an engineer do with a log that is there already: look at the past, and never change it.
//!
//! `as_of` shows what was at a moment; `audit` lets anybody check that the log was only ever added to; `export` writes
//! it down for others; `copy` moves it to another journal.

pub mod as_of;
pub mod audit;
pub mod copy;
pub mod export;
mod scan;

pub use as_of::{AsOf, InvalidAsOf, history};
