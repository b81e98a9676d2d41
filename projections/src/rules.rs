//! The rules that a fold goes by. There is one set, and nothing in a server can choose another.
//!
//! Tests can (feature `wrong-rules`): they leave views as an earlier release with a mistake in it would have left
//! them, to show that the mistake is found and undone.

use ledger::commit::Recorded;
use ledger::order::ImpossibleEvent;

use crate::views::{OrderView, order};

/// How a commit of an order changes its view; see [`order::apply`].
pub type OrderRule = fn(Option<OrderView>, &Recorded) -> Result<OrderView, ImpossibleEvent>;

/// The rules that a fold goes by; the right ones unless said otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// For orders. Totals, history, indexes and expiry follow from what it makes of them.
    pub order: OrderRule,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { order: order::apply }
    }
}

#[cfg(any(test, feature = "wrong-rules"))]
mod wrong {
    use std::path::Path;
    use std::sync::Arc;

    use ledger::journal::Journal;

    use super::Rules;
    use crate::rebuild::{RebuildError, blocking, ends, fold_log};
    use crate::store::{StoreOptions, Views, Writer};

    /// Which release the views are to look like.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Release {
        /// This one: nothing tells the rows from right ones but the rows.
        This,
        /// An earlier one, whose mistake was mended since: the rows bear another fingerprint.
        Earlier,
    }

    /// Folds the whole log by these rules into a new store at `path`.
    pub async fn fold_by(
        rules: Rules,
        journal: &dyn Journal,
        path: &Path,
        release: Release,
    ) -> Result<(), RebuildError> {
        let path = path.to_owned();
        let views = blocking(move || Views::open(&path, &StoreOptions::default())).await?;
        let store = Arc::clone(views.store());
        let upto = ends(journal).await?;
        let writer = Writer::new(Arc::clone(&store), store.live()).by(rules);
        fold_log(journal, writer, &upto, |_| {}).await?;
        let finished = blocking(move || {
            if release == Release::Earlier {
                store.pretend_version(store.live().number, b"an earlier release")?;
            }
            store.flush()
        });
        Ok(finished.await?)
    }
}

#[cfg(any(test, feature = "wrong-rules"))]
pub use wrong::{Release, fold_by};
