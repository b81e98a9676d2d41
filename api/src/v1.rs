//! The native API, one route per file.

mod accepted;
pub mod amount;
mod as_of;
mod balance;
pub(crate) mod batch;
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
pub(crate) mod orders;
mod page;
mod personal_data;
mod quarantine;
mod refunds;
pub mod shapes;
mod status;
pub(crate) mod steps;
pub(crate) mod totals;
pub(crate) mod trial_balance;

use axum::routing::{delete, get, post};
pub use status::Answers as StatusAnswers;
pub(crate) use status::at_once as poll_at_once;
use utoipa::OpenApi;

use crate::feed;
use crate::http::Routes;

/// Every route under `/v1`.
pub fn routes() -> Routes {
    vec![
        ("/v1/checkouts", post(checkouts::post)),
        ("/v1/batch", post(batch::post)),
        (orders::PATH, get(orders::get)),
        ("/v1/orders/{id}", get(order::get)),
        (status::PATH, get(status::get)),
        ("/v1/orders/{id}/balance", get(balance::get)),
        ("/v1/orders/{id}/history", get(history::get)),
        ("/v1/orders/{id}/events", get(events::get)),
        ("/v1/orders/{id}/captures", post(captures::post)),
        ("/v1/orders/{id}/refunds", post(refunds::post)),
        ("/v1/orders/{id}/cancellations", post(cancellations::post)),
        ("/v1/orders/{id}/personal-data", delete(personal_data::delete)),
        (totals::PATH, get(totals::get)),
        (trial_balance::PATH, get(trial_balance::get)),
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

/// Routes that wait on purpose or fold the past, and see to their time by themselves.
pub const WAITING: &[&str] = &[status::PATH, feed::PATH, orders::PATH, totals::PATH, trial_balance::PATH];

/// What the OpenAPI document says of `/v1`.
#[derive(OpenApi)]
#[openapi(
    paths(
        checkouts::post,
        batch::post,
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
        trial_balance::get,
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
