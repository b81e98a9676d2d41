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

/// Routes that only read, although they are asked with POST. A GraphQL mutation is told by its surface that nothing is
/// stored here.
pub const READS: &[&str] = &["/akinon/history", "/kronor/v1/graphql", "/orkestapay/v1/oauth/tokens"];

/// Every vendor surface, each under its own base path.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .nest("/azotte", azotte::routes())
        .nest("/akinon", akinon::routes())
        .nest("/orkestapay", orkestapay::routes())
        .nest("/carat", carat::routes())
        .nest("/kronor", kronor::routes())
}
