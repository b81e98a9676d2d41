//! `DELETE /v1/orders/{id}/personal-data`: forgets who the buyer was.

use std::sync::Arc;

use axum::extract::State;
use ledger::ids::TrackingNumber;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::id::OrderId;
use crate::http::problem::{Code, Document};
use crate::http::{Caller, Problem};
use crate::orders::{Ask, operation};
use crate::personal_data::{Failure, Forgotten, forget};

/// What was forgotten.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PersonalDataForgotten)]
pub(crate) struct ForgottenJson {
    order_id: String,
    tracking_number: String,
    /// The commit that says so; null when it was said before.
    position: Option<String>,
    /// Commits with something sealed that nobody can open any more.
    commits: usize,
}

/// Destroys the key of the order's personal data: customer, card holder, return URLs, metadata and the bodies of
/// webhooks are gone from the log, the views, the feed and every export. Money, status and references stay.
#[utoipa::path(
    delete, path = "/v1/orders/{id}/personal-data", tag = "Orders", security(("api_key" = [])),
    params(("id" = String, Path, description = "Order id or tracking number")),
    responses(
        (status = 200, description = "It is gone; also when it was before", body = ForgottenJson),
        (status = 409, description = "The order was stored before personal data was sealed", body = Document),
    )
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    OrderId(id): OrderId,
) -> Result<axum::Json<ForgottenJson>, Problem> {
    let ask = Ask::new(tenant, None, &())?;
    let Forgotten { order, position, commits } =
        forget(&app, ask, operation::FORGET, id).await.map_err(|failure| match failure {
            Failure::Order(error) => error.into(),
            not_sealed @ Failure::NotSealed { .. } => {
                Problem::new(Code::PersonalDataNotSealed, not_sealed.to_string())
            }
        })?;
    Ok(axum::Json(ForgottenJson {
        order_id: order.to_string(),
        tracking_number: TrackingNumber(order).to_string(),
        position: position.map(|position| position.to_string()),
        commits,
    }))
}
