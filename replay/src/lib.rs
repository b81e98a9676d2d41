//! What an auditor and an engineer do with a log that is there already: look at the past, and never change it.
//!
//! `as_of` shows what was at a moment; `audit` lets anybody check that the log was only ever added to; `export` writes
//! it down for others.

pub mod as_of;
pub mod audit;
pub mod export;
mod scan;

pub use as_of::{AsOf, InvalidAsOf, history};
