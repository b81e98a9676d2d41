//! The answer to a command that is in the log.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ledger::ids::Position;
use serde::Serialize;

use crate::http::body::json;
use crate::http::id::POSITION_HEADER;

/// A command that is in the log, and what its caller is told of it.
#[derive(Debug)]
pub(super) struct Accepted<T> {
    /// Its commit.
    pub(super) position: Position,
    /// Built from the stored commit alone.
    pub(super) document: T,
}

impl<T: Serialize> IntoResponse for Accepted<T> {
    /// 202 with the commit's position.
    fn into_response(self) -> Response {
        let position = self.position.to_string();
        (StatusCode::ACCEPTED, [(POSITION_HEADER, position)], json(&self.document)).into_response()
    }
}
