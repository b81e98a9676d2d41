//! Views folded from the journal, and the store that keeps them.
//!
//! In reading order: `views` says what each view is and how a commit changes it (pure); `fold` puts one commit's
//! changes to all of them together; `store` keeps the rows and answers reads; `projector` follows the journal;
//! `rebuild` folds the log anew beside what is there; `reader` makes reads see the caller's own writes.
//!
//! What must stay true: everything here can be deleted and comes back from the journal, the same to the last byte.

mod fold;
pub mod progress;
pub mod projector;
pub mod reader;
pub mod rebuild;
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
pub use store::{Digest, GenerationInfo, StoreError, StoreOptions, Views, ViewsDigest};
