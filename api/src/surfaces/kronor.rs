//! The kronor surface.

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// Its routes, under the vendor's paths.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
}
