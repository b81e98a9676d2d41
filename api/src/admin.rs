//! `/admin`: what operators do to a running server. Open to the admin key alone, and to nobody where there is none.

mod diff;
mod rebuild;

use axum::routing::{get, post};
use utoipa::OpenApi;

use crate::http::Routes;

/// Every route under `/admin`.
pub fn routes() -> Routes {
    vec![
        ("/admin/diff", get(diff::get)),
        ("/admin/rebuild", get(rebuild::get).post(rebuild::start)),
        ("/admin/rebuild/pause", post(rebuild::pause)),
        ("/admin/rebuild/resume", post(rebuild::resume)),
        ("/admin/rebuild/cancel", post(rebuild::cancel)),
        ("/admin/rebuild/swap", post(rebuild::swap)),
        ("/admin/rebuild/rollback", post(rebuild::rollback)),
    ]
}

/// What the OpenAPI document says of `/admin`.
#[derive(OpenApi)]
#[openapi(paths(
    diff::get,
    rebuild::get,
    rebuild::start,
    rebuild::pause,
    rebuild::resume,
    rebuild::cancel,
    rebuild::swap,
    rebuild::rollback,
))]
pub struct Document;
