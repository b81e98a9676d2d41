//! The views: what each one is, and how a commit changes it. Pure, one file a view.
//!
//! A view depends on the log alone, never on the clock or the node, and never on how the commits of different
//! records are interleaved: partitions are folded side by side.

pub mod expiry;
pub mod history;
pub mod idempotency;
pub mod listing;
pub mod offer;
pub mod order;
pub mod quarantine;
pub mod references;
pub mod status;
pub mod totals;

pub use history::{CauseSummary, HistoryEntry, HistoryEvent};
pub use idempotency::IdempotencyEntry;
pub use listing::{ListFilter, Page};
pub use offer::OfferView;
pub use order::OrderView;
pub use quarantine::QuarantineView;
pub use status::StatusView;
pub use totals::Totals;
