//! The native API, one route per file.

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// Every route under `/v1`.
pub fn routes(_app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
}
