//! `POST /v1/orders/{id}/cancellations`: gives an order up before it is captured.

use std::sync::Arc;

use axum::extract::State;
use ledger::ids::{RecordId, TenantId};
use ledger::order::Status;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accepted::Accepted;
use crate::app::App;
use crate::http::body::JsonOrNothing;
use crate::http::id::{IdempotencyKey, OrderId};
use crate::http::problem::Document;
use crate::http::{Caller, Problem};
use crate::orders::{self, Ask, operation};

/// Nothing, so far.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CancellationRequest)]
pub(crate) struct CancellationBody {}

/// A cancellation that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CancellationAccepted)]
pub(crate) struct CancellationAcceptedJson {
    order_id: String,
    /// `canceled`, or `pending` until the PSP has released what it had authorized.
    status: &'static str,
    position: String,
}

/// Gives an order up. What is authorized is released by the PSP, and the order is `canceled` when it says so.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancellations", tag = "Money", security(("api_key" = [])),
    params(
        ("id" = String, Path, description = "Order id or tracking number"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
    ),
    request_body = Option<CancellationBody>,
    responses(
        (status = 202, description = "The request is in the log", body = CancellationAcceptedJson),
        (status = 409, description = "Refused as the order stands; nothing changed", body = Document),
    )
)]
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    OrderId(id): OrderId,
    IdempotencyKey(key): IdempotencyKey,
    JsonOrNothing(body): JsonOrNothing<CancellationBody>,
) -> Result<Accepted<CancellationAcceptedJson>, Problem> {
    accept(&app, tenant, key, id, &body).await
}

/// The same for any door: asks, and says what is in the log then.
pub(super) async fn accept(
    app: &App,
    tenant: TenantId,
    key: Option<String>,
    order: RecordId,
    body: &CancellationBody,
) -> Result<Accepted<CancellationAcceptedJson>, Problem> {
    let ask = Ask::new(tenant, key, body)?;
    let done = orders::cancel(app, ask, operation::CANCELLATION, order).await?;
    // As that commit left the order, whatever came later.
    let is_canceled = done.state.status() == Status::Canceled;
    let position = done.recorded.position;
    let document = CancellationAcceptedJson {
        order_id: done.recorded.commit.record.to_string(),
        status: if is_canceled { "canceled" } else { "pending" },
        position: position.to_string(),
    };
    Ok(Accepted { position, document })
}
