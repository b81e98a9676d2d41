//! Akinon's payment extension: Akinon calls us to begin a session, to complete, cancel or refund what was paid, and
//! to ask how it stands.
//!
//! In reading order: `call`, who calls and with what body; `fields` and `request`, what the bodies may say; `status`,
//! the vendor's words for where things stand; `reply`, every answer's shape; then the calls: `session`, `movements`,
//! `history`; and `return_page`, which sends the buyer back to Akinon. `docs/src/guides/akinon.md` is the page for
//! its users, with all that the vendor leaves open.

mod amount;
mod call;
mod fields;
mod history;
mod movements;
mod reply;
mod request;
mod return_page;
mod session;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderName;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use tracing::Instrument;

use crate::app::App;
use crate::cards;
use reply::Failure;

/// The surface's name in the log.
const NAME: &str = "akinon";
/// Names a call in Akinon's logs and in ours.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-akinon-request-id");
const LONGEST_REQUEST_ID: usize = 128;

/// Its routes. The vendor's pages name only `/start-session`; the others are called after the actions they are.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/start-session", post(session::start))
        .route("/purchase", post(movements::purchase))
        .route("/void", post(movements::void))
        .route("/refund", post(movements::refund))
        .route("/history", post(history::history))
        .route("/return/{tenant}/{token}", get(return_page::show))
        .fallback(async || Failure::no_such_route())
        .method_not_allowed_fallback(async || Failure::method_not_allowed())
        .layer(from_fn(carry_request_id))
}

/// Puts the caller's request id into the log lines of this call and into its answer. One that is not fit for a log
/// is left out of both.
async fn carry_request_id(request: Request, next: Next) -> Response {
    let id = request.headers().get(&REQUEST_ID).cloned();
    let text = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default();
    let fits = (1..=LONGEST_REQUEST_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if !fits || cards::looks_like_a_card_number(text) {
        return next.run(request).await;
    }
    let span = tracing::info_span!("akinon", akinon_request_id = text);
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().extend(id.map(|id| (REQUEST_ID, id)));
    response
}
