//! The native API, one route per file.

mod accepted;
pub mod amount;
mod as_of;
mod balance;
mod cancellations;
mod captures;
pub mod checkouts;
mod events;
pub mod fields;
pub(crate) mod history;
pub mod items;
mod notifications;
mod offers;
mod order;
mod orders;
mod page;
mod personal_data;
mod quarantine;
mod refunds;
pub mod shapes;
mod status;
mod totals;

use axum::routing::{delete, get, post};
use utoipa::OpenApi;

use crate::feed;
use crate::http::Routes;

/// Every route under `/v1`.
pub fn routes() -> Routes {
    vec![
        ("/v1/checkouts", post(checkouts::post)),
        ("/v1/orders", get(orders::get)),
        ("/v1/orders/{id}", get(order::get)),
        (status::PATH, get(status::get)),
        ("/v1/orders/{id}/balance", get(balance::get)),
        ("/v1/orders/{id}/history", get(history::get)),
        ("/v1/orders/{id}/events", get(events::get)),
        ("/v1/orders/{id}/captures", post(captures::post)),
        ("/v1/orders/{id}/refunds", post(refunds::post)),
        ("/v1/orders/{id}/cancellations", post(cancellations::post)),
        ("/v1/orders/{id}/personal-data", delete(personal_data::delete)),
        ("/v1/totals", get(totals::get)),
        ("/v1/offers/{id}", get(offers::get).put(offers::put)),
        (feed::PATH, get(feed::get)),
        ("/v1/quarantine", get(quarantine::get)),
        ("/v1/quarantine/{id}", get(quarantine::get_one)),
        ("/v1/quarantine/{id}/retry", post(quarantine::retry)),
        ("/v1/quarantine/{id}/discard", post(quarantine::discard)),
        ("/v1/notifications", get(notifications::get)),
        ("/v1/notifications/{id}/retry", post(notifications::retry)),
    ]
}

/// Routes that wait on purpose, and see to their time by themselves.
pub const WAITING: &[&str] = &[status::PATH, feed::PATH];

/// What the OpenAPI document says of `/v1`.
#[derive(OpenApi)]
#[openapi(
    paths(
        checkouts::post,
        orders::get,
        order::get,
        status::get,
        balance::get,
        history::get,
        events::get,
        captures::post,
        refunds::post,
        cancellations::post,
        personal_data::delete,
        totals::get,
        offers::get,
        offers::put,
        feed::get,
        quarantine::get,
        quarantine::get_one,
        quarantine::retry,
        quarantine::discard,
        notifications::get,
        notifications::retry,
    ),
    components(schemas(shapes::StatusWord, shapes::CaptureWord))
)]
pub struct Document;
