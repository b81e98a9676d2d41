//! The answer to a command that is in the log.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ledger::ids::Position;
use serde::Serialize;

use crate::http::id::POSITION_HEADER;

/// 202 with the commit's position.
pub(super) fn accepted(position: Position, document: impl Serialize) -> Response {
    (StatusCode::ACCEPTED, [(POSITION_HEADER, position.to_string())], axum::Json(document)).into_response()
}
