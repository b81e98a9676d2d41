//! Webhooks: what PSPs report. Verified, read, given to their order; or set aside, raw, in quarantine.
//!
//! In reading order: `receive`, the route; `source`, what a kind of sender is, and one file for each under
//! `sources`; `apply`, how an item finds its order; `quarantine`, where the others go, and `budget`, which
//! bounds what strangers can put there; `release`, which applies what had to wait; `listing`, for people.
//!
//! What must stay true: nothing is acknowledged before the journal has it; nothing that is not verified reaches
//! an order, or takes an id that a genuine webhook could have.

mod amount;
mod apply;
mod budget;
mod listing;
mod quarantine;
mod receive;
mod release;
mod source;
mod sources;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Extension, Router};

use crate::app::App;
use budget::Budget;

pub use release::run as run_release;

/// `POST /webhooks/{tenant}/{source}` and `GET /v1/quarantine`.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/webhooks/{tenant}/{source}", post(receive::post))
        .layer(Extension(Arc::new(Budget::default())))
        .route("/v1/quarantine", get(listing::get))
}
