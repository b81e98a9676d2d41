//! `POST /v1/orders/{id}/refunds`: asks the PSP to give back what is captured.

use std::sync::Arc;

use axum::extract::State;
use ledger::commit::{Changes, Recorded};
use ledger::ids::{RecordId, TenantId};
use ledger::order::Event;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accepted::Accepted;
use super::amount::{Amount, AmountBody};
use super::fields::maybe_prose;
use crate::app::App;
use crate::http::body::{JsonOrNothing, Object};
use crate::http::id::{IdempotencyKey, OrderId};
use crate::http::problem::Document;
use crate::http::{Caller, Problem};
use crate::orders::{self, Ask, operation};

/// How much to refund, and why; all that is left without an amount.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RefundRequest)]
pub(crate) struct RefundBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Amount>)]
    amount: Option<Object<AmountBody>>,
    /// For people, up to 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A refund that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RefundAccepted)]
pub(crate) struct RefundAcceptedJson {
    refund_id: String,
    order_id: String,
    amount: Amount,
    reason: Option<String>,
    /// `pending`: the outcome comes by webhook.
    status: &'static str,
    position: String,
}

/// Asks for a refund: never more than what is captured less what is refunded, pending or charged back.
#[utoipa::path(
    post, path = "/v1/orders/{id}/refunds", tag = "Money", security(("api_key" = [])),
    params(
        ("id" = String, Path, description = "Order id or tracking number"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
    ),
    request_body = Option<RefundBody>,
    responses(
        (status = 202, description = "The request is in the log", body = RefundAcceptedJson),
        (status = 409, description = "Refused as the order stands; nothing changed", body = Document),
        (status = 422, description = "Refused as it is written; nothing changed", body = Document),
    )
)]
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    OrderId(id): OrderId,
    IdempotencyKey(key): IdempotencyKey,
    JsonOrNothing(body): JsonOrNothing<RefundBody>,
) -> Result<Accepted<RefundAcceptedJson>, Problem> {
    accept(&app, tenant, key, id, &body).await
}

/// The same for any door: asks, and says what is in the log then.
pub(super) async fn accept(
    app: &App,
    tenant: TenantId,
    key: Option<String>,
    order: RecordId,
    body: &RefundBody,
) -> Result<Accepted<RefundAcceptedJson>, Problem> {
    let amount = body.amount.as_ref().map(|amount| amount.0.read("/amount")).transpose()?;
    let reason = maybe_prose("/reason", body.reason.as_ref(), 1, 256)?;
    let ask = Ask::new(tenant, key, body)?;
    let done = orders::refund(app, ask, operation::REFUND, order, amount, reason).await?;
    let document = answer(&done.recorded).ok_or_else(Problem::internal)?;
    Ok(Accepted { position: done.recorded.position, document })
}

/// Built from the stored commit alone.
fn answer(Recorded { position, commit }: &Recorded) -> Option<RefundAcceptedJson> {
    let Changes::Order(events) = &commit.changes else { return None };
    events.iter().find_map(|event| {
        let Event::RefundRequested { refund_id, amount, reason, .. } = event else { return None };
        Some(RefundAcceptedJson {
            refund_id: refund_id.to_string(),
            order_id: commit.record.to_string(),
            amount: (*amount).into(),
            reason: reason.clone(),
            status: "pending",
            position: position.to_string(),
        })
    })
}
