//! Webhooks: what PSPs report. Verified, read, given to their order; or set aside, raw, in quarantine.
//!
//! In reading order: `receive`, the route; `source`, what a kind of sender is, and one file for each under
//! `sources`; `apply`, how an item finds its order; `quarantine`, where the others go, and `budget`, which
//! bounds what strangers can put there; `release`, which applies what had to wait; `settle`, what a person does about the
//! rest.
//!
//! What must stay true: nothing is acknowledged before the journal has it; nothing that is not verified reaches
//! an order, or takes an id that a genuine webhook could have.

mod amount;
mod apply;
mod budget;
mod quarantine;
mod receive;
mod release;
mod settle;
mod source;
mod sources;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use axum::Extension;
use axum::routing::post;
use utoipa::OpenApi;

use crate::config::WebhookSource;
use crate::http::Routes;
use budget::Budget;
use source::InvalidSecret;

pub use release::run as run_release;
pub use settle::{SettleError, Settled, discard, retry};

/// Whether the scheme can use the secrets that are configured for it.
pub(crate) fn check(source: &WebhookSource) -> Result<(), InvalidSecret> {
    sources::configured(source).map(drop)
}

/// What the OpenAPI document says of webhooks.
#[derive(OpenApi)]
#[openapi(paths(receive::post))]
pub struct Document;

/// `POST /webhooks/{tenant}/{source}`, with the budget of this server.
pub fn routes() -> Routes {
    let budget = Extension(Arc::new(Budget::default()));
    vec![("/webhooks/{tenant}/{source}", post(receive::post).layer(budget))]
}
