//! `?as_of=`: what was, folded from the journal.
//!
//! One order is read like any other. A tenant's whole past is folded from the start of the log: that is done for one
//! caller at a time, ends when the caller goes away, and has a time limit of its own.
//!
//! Few requests ask of the past, and all have room for it: so what it takes is in boxes, or every request would copy
//! kilobytes of room around.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use ledger::commit::Recorded;
use ledger::ids::{RecordId, TenantId};
use ledger::order::Order;
use projections::views::OrderView;
use replay::{Moment, MomentError, Snapshot};
use serde::Deserialize;

use crate::app::App;
use crate::http::query::invalid;
use crate::http::{Code, Problem, layers};
use crate::orders::OrderError;

/// How long a caller waits for the one before to be done.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a tenant's past may be folded. Whoever has a longer log asks on the command line.
const LONGEST_FOLD: Duration = Duration::from_secs(300);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AsOfQuery {
    pub(super) as_of: Option<String>,
}

/// The moment that `as_of` names; none where nothing is asked of the past.
pub(super) async fn moment(app: &App, as_of: Option<&str>) -> Result<Option<Moment>, Problem> {
    let Some(text) = as_of else { return Ok(None) };
    let as_of = text.parse().map_err(|error| invalid(format!("as_of: {error}")))?;
    match Box::pin(Moment::find(app.ledger.journal().as_ref(), Some(as_of))).await {
        Ok(moment) => Ok(Some(moment)),
        Err(error @ MomentError::UnknownPartition { .. }) => Err(invalid(format!("as_of: {error}"))),
        Err(MomentError::Load(error)) => Err(OrderError::from(error).into()),
    }
}

/// Folds the order's commits up to that moment, of which there is at least one; `each` gets every one with the
/// order after it.
pub(super) async fn history(
    app: &App,
    tenant: &TenantId,
    id: RecordId,
    moment: Moment,
    each: impl FnMut(Recorded, &Order),
) -> Result<Order, OrderError> {
    Box::pin(replay::history(&app.ledger, tenant, id, moment, each)).await?.ok_or(OrderError::NotFound)
}

/// The order as it was at that moment.
pub(super) async fn order(
    app: &App,
    tenant: &TenantId,
    id: RecordId,
    moment: Moment,
) -> Result<OrderView, OrderError> {
    Box::pin(replay::order(&app.ledger, tenant, id, moment)).await?.ok_or(OrderError::NotFound)
}

/// All orders of a tenant as they were at that moment.
pub(super) async fn snapshot(app: &App, tenant: &TenantId, moment: Moment) -> Result<Snapshot, Problem> {
    let busy = || Problem::new(Code::Busy, "another past is being folded; try again");
    let turn = tokio::time::timeout(PATIENCE, app.folds.acquire()).await.map_err(|_elapsed| busy())?;
    let _turn = turn.map_err(|_closed| Problem::internal())?;
    let journal = app.ledger.journal().as_ref();
    tokio::select! {
        read = Snapshot::read(journal, tenant, moment, |_| {}) => Ok(read.map_err(OrderError::from)?),
        () = tokio::time::sleep(LONGEST_FOLD) => {
            Err(Problem::new(Code::RequestTimeout, "the log is too long for a request; ask with the command line"))
        }
        () = app.shutdown.begun() => Err(Problem::new(Code::ShuttingDown, "ask another node")),
    }
}

/// The answer to a question about now within the server's limit; to one about the past, whenever it is there.
pub(super) async fn timed(
    app: &App,
    is_past: bool,
    work: impl Future<Output = Result<Response, Problem>>,
) -> Response {
    let work = async { work.await.into_response() };
    if is_past { work.await } else { layers::within(app.config.limits.request_timeout, work).await }
}
