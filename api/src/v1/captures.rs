//! `POST /v1/orders/{id}/captures`: asks the PSP to take what is authorized.

use std::sync::Arc;

use axum::extract::State;
use ledger::commit::{Changes, Recorded};
use ledger::ids::{RecordId, TenantId};
use ledger::order::Event;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accepted::Accepted;
use super::amount::{Amount, AmountBody};
use crate::app::App;
use crate::http::body::{JsonOrNothing, Object};
use crate::http::id::{IdempotencyKey, OrderId};
use crate::http::problem::Document;
use crate::http::{Caller, Problem};
use crate::orders::{self, Ask, operation};

/// How much to capture; all that is left without an amount.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CaptureRequest)]
pub(crate) struct CaptureBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Amount>)]
    amount: Option<Object<AmountBody>>,
}

/// A capture that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CaptureAccepted)]
pub(crate) struct CaptureAcceptedJson {
    capture_id: String,
    order_id: String,
    amount: Amount,
    /// `pending`: the outcome comes by webhook.
    status: &'static str,
    position: String,
}

/// Asks for a capture. The outcome comes by webhook; follow it in the order, the balance or the feed.
#[utoipa::path(
    post, path = "/v1/orders/{id}/captures", tag = "Money", security(("api_key" = [])),
    params(
        ("id" = String, Path, description = "Order id or tracking number"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
    ),
    request_body = Option<CaptureBody>,
    responses(
        (status = 202, description = "The request is in the log", body = CaptureAcceptedJson),
        (status = 409, description = "Refused as the order stands; nothing changed", body = Document),
        (status = 422, description = "Refused as it is written; nothing changed", body = Document),
    )
)]
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    OrderId(id): OrderId,
    IdempotencyKey(key): IdempotencyKey,
    JsonOrNothing(body): JsonOrNothing<CaptureBody>,
) -> Result<Accepted<CaptureAcceptedJson>, Problem> {
    accept(&app, tenant, key, id, &body).await
}

/// The same for any door: asks, and says what is in the log then.
pub(super) async fn accept(
    app: &App,
    tenant: TenantId,
    key: Option<String>,
    order: RecordId,
    body: &CaptureBody,
) -> Result<Accepted<CaptureAcceptedJson>, Problem> {
    let amount = body.amount.as_ref().map(|amount| amount.0.read("/amount")).transpose()?;
    let ask = Ask::new(tenant, key, body)?;
    let done = orders::capture(app, ask, operation::CAPTURE, order, amount).await?;
    let document = answer(&done.recorded).ok_or_else(Problem::internal)?;
    Ok(Accepted { position: done.recorded.position, document })
}

/// Built from the stored commit alone.
fn answer(Recorded { position, commit }: &Recorded) -> Option<CaptureAcceptedJson> {
    let Changes::Order(events) = &commit.changes else { return None };
    events.iter().find_map(|event| {
        let Event::CaptureRequested { capture_id, amount, .. } = event else { return None };
        Some(CaptureAcceptedJson {
            capture_id: capture_id.to_string(),
            order_id: commit.record.to_string(),
            amount: (*amount).into(),
            status: "pending",
            position: position.to_string(),
        })
    })
}
