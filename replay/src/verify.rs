//! Recomputes everything that a log claims, and says where it is not so.
//!
//! In reading order: `fault` says what can be wrong; `source` is where commits are read from (`journal_source`,
//! `export_source`); `evidence` is what else is known of them; `partition` judges one partition's commits by their
//! numbers, their form and the evidence; `examine` puts that together with the fold, the books (`books`) and the views.
//!
//! What must stay true: verifying changes nothing, and a log that is at fault is a finding, never an error.

mod books;
mod duplicates;
mod evidence;
mod examine;
mod export_line;
mod export_source;
mod fault;
mod journal_source;
mod partition;
mod source;
#[cfg(test)]
mod tests;

pub use evidence::{Evidence, EvidenceError, KeptLeaves};
pub use examine::{Options, Report, VerifyError, ViewsFound, verify};
pub use export_line::{export_line, parse_export_line};
pub use export_source::ExportSource;
pub use fault::{Fault, FaultKind};
pub use journal_source::{JournalSource, Medium, UnreadableJournal};
pub use partition::PartitionSummary;
pub use source::{Found, Source, SourceError};
