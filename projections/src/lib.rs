//! Views folded from the journal, and the store that keeps them.
//!
//! In reading order: `views` says what each view is and how a commit changes it (pure); `fold` puts one commit's
//! changes to all of them together; `store` keeps the rows and answers reads; `projector` follows the journal;
//! `rebuild` folds the log anew beside what is there, `scratch` to compare; `compare` holds the rows of two folds against
//! each other; `reader` makes reads see the caller's own writes.
//!
//! What must stay true: everything here can be deleted and comes back from the journal, the same to the last byte.

pub mod compare;
mod fold;
pub mod progress;
pub mod projector;
pub mod reader;
pub mod rebuild;
pub mod rules;
pub mod scratch;
pub mod store;
#[cfg(test)]
mod tests;
pub mod views;

pub use progress::Progress;
pub use projector::{Change, Projector, ProjectorOptions, ProjectorStatus, StartError, State, Waiter};
pub use reader::{ReadError, Reader};
pub use rebuild::{
    Comparison, FreshViews, RebuildError, RebuildKind, RebuildRefused, RebuildReport, RebuildState,
    RebuildStatus, Rebuilds, fresh_digest, fresh_views, rebuild,
};
pub use scratch::{Impossible, ScratchViews};
pub use store::{Digest, GenerationInfo, Stamp, StoreError, StoreOptions, Views, ViewsDigest};
