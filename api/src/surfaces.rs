//! The vendor surfaces: each one translates its vendor's words onto the one order ledger and keeps nothing.
//!
//! What must stay true: a surface knows the use cases of `orders`, and no other surface knows it.

use std::sync::Arc;

use axum::Router;

use crate::app::App;

mod akinon;
mod azotte;
mod carat;
mod kronor;
mod orkestapay;

/// Every vendor surface, each under its own base path.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .nest("/azotte", azotte::routes())
        .nest("/akinon", akinon::routes())
        .nest("/orkestapay", orkestapay::routes())
        .nest("/carat", carat::routes())
        .nest("/kronor", kronor::routes())
}
