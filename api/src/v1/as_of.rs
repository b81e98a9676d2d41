//! `?as_of=`: an order as it was, folded from the journal.

use ledger::commit::Recorded;
use ledger::ids::{RecordId, TenantId};
use ledger::order::Order;
use replay::AsOf;
use serde::Deserialize;

use crate::app::App;
use crate::http::Problem;
use crate::http::query::invalid;
use crate::orders::OrderError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AsOfQuery {
    as_of: Option<String>,
}

impl AsOfQuery {
    /// The moment asked for.
    pub(super) fn moment(&self) -> Result<Option<AsOf>, Problem> {
        let read = |text: &String| text.parse().map_err(|error| invalid(format!("as_of: {error}")));
        self.as_of.as_ref().map(read).transpose()
    }
}

/// Folds the order's commits up to that moment, of which there is at least one; `each` gets every one with the
/// order after it.
pub(super) async fn history(
    app: &App,
    tenant: &TenantId,
    id: RecordId,
    as_of: Option<AsOf>,
    each: impl FnMut(Recorded, &Order),
) -> Result<Order, OrderError> {
    replay::history(&app.ledger, tenant, id, as_of, each).await?.ok_or(OrderError::NotFound)
}
