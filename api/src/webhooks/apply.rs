//! Giving an item of a verified webhook to its order.
//!
//! The rule is that of `docs/src/reference/webhooks.md`. An order that is named by its id is looked for in the
//! journal itself, and so is a merchant reference that has the form of such an id. References are looked up in
//! the views, but only once these have seen everything the journal held when the webhook came in: "exactly one
//! order has it" must not be said by a view that is behind.

use std::time::Duration;

use bytes::Bytes;
use ledger::commit::Cause;
use ledger::ids::{Position, RecordId, TenantId};

use super::source::{Item, Names};
use crate::app::App;
use crate::orders::{self, OrderError, WebhookOutcome};

/// How long a webhook waits for views that are behind. One that waited in vain is quarantined, and applied by
/// itself once the views have come that far.
const VIEWS_PATIENCE: Duration = Duration::from_secs(2);

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Applied {
    /// It is in the order's log now.
    Recorded {
        /// The order.
        order: RecordId,
        /// Where.
        position: Position,
    },
    /// It was there already.
    Duplicate {
        /// The order.
        order: RecordId,
        /// Where.
        position: Position,
    },
    /// It is about no order.
    NoOrder,
    /// It names no order that is known yet.
    Unmatched {
        /// In words.
        detail: String,
    },
    /// It cannot be about the order that it names.
    Refused {
        /// In words.
        detail: String,
    },
}

/// Writes `item` down in its order's log, if that order can be found and takes it.
pub(super) async fn apply(
    app: &App,
    tenant: &TenantId,
    source: &str,
    item: &Item,
    body: &Bytes,
) -> Result<Applied, OrderError> {
    let record = async |order| record(app, tenant, source, item, body, order).await;
    let (payment, merchant) = match &item.names {
        Names::Order(order) => return record(*order).await,
        Names::References { payment, merchant } => (payment.as_deref(), merchant.as_deref()),
        Names::NoOrder => return Ok(Applied::NoOrder),
    };
    if let Some(order) = Names::own_id(merchant) {
        let applied = record(order).await?;
        if !matches!(applied, Applied::Unmatched { .. }) {
            return Ok(applied);
        }
    }
    match find(app, tenant, payment, merchant).await? {
        Ok(order) => record(order).await,
        Err(detail) => Ok(Applied::Unmatched { detail }),
    }
}

async fn record(
    app: &App,
    tenant: &TenantId,
    source: &str,
    item: &Item,
    body: &Bytes,
    order: RecordId,
) -> Result<Applied, OrderError> {
    let cause =
        Cause::Webhook { source: source.to_owned(), event_id: item.event_id.clone(), body: body.clone() };
    match orders::record_webhook(app, tenant, order, cause, item.notification.clone()).await {
        Ok(WebhookOutcome::Recorded(done)) => {
            Ok(Applied::Recorded { order, position: done.recorded.position })
        }
        Ok(WebhookOutcome::Duplicate(done)) => {
            Ok(Applied::Duplicate { order, position: done.recorded.position })
        }
        Err(OrderError::NotFound) => Ok(Applied::Unmatched { detail: format!("there is no order {order}") }),
        Err(OrderError::Rejected(rejection)) => Ok(Applied::Refused { detail: rejection.to_string() }),
        Err(error) => Err(error),
    }
}

/// The one order that goes by these references, or why there is none.
async fn find(
    app: &App,
    tenant: &TenantId,
    payment: Option<&str>,
    merchant: Option<&str>,
) -> Result<Result<RecordId, String>, OrderError> {
    if !views_are_up(app).await? {
        return Ok(Err("the views are behind the log; it waits for them".to_owned()));
    }
    if let Some(reference) = payment {
        match app.views.by_payment_reference(tenant, reference)?.as_slice() {
            [order] => return Ok(Ok(*order)),
            [] => {}
            [_, _, ..] => {
                return Ok(Err(format!("more than one order has the payment reference {reference:?}")));
            }
        }
    }
    let Some(reference) = merchant else {
        return Ok(Err("no webhook has tied this payment reference to an order yet".to_owned()));
    };
    match app.views.by_merchant_reference(tenant, reference)?.as_slice() {
        [order] => Ok(Ok(*order)),
        [] => Ok(Err(format!("no order has the merchant reference {reference:?}"))),
        [_, _, ..] => Ok(Err(format!("more than one order has the merchant reference {reference:?}"))),
    }
}

/// Whether the views have reached what the journal holds now, within [`VIEWS_PATIENCE`].
async fn views_are_up(app: &App) -> Result<bool, OrderError> {
    let ends = app.log_ends().await.map_err(ledger::execute::LoadError::from)?;
    let reached = async {
        for end in ends {
            app.projector.reached(end).await;
        }
    };
    Ok(tokio::time::timeout(VIEWS_PATIENCE, reached).await.is_ok())
}
