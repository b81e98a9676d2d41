//! `GET /audit/checkpoint`: a signed tree head of the log, byte for byte as it was signed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ledger::ids::Position;
use serde::Deserialize;

use crate::app::App;
use crate::http::etag::IfNoneMatch;
use crate::http::problem::Document;
use crate::http::query::Query;
use crate::http::{Caller, Problem};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointQuery {
    #[serde(default)]
    partition: u16,
    size: Option<u64>,
}

/// The newest checkpoint, or the one that was signed over exactly so many commits.
#[utoipa::path(
    get, path = "/audit/checkpoint", tag = "Audit", security(("api_key" = [])),
    params(
        ("partition" = Option<u16>, Query, description = "0 without it"),
        ("size" = Option<u64>, Query, description = "Commits under an older checkpoint"),
        ("If-None-Match" = Option<String>, Header, description = "304 when this is still the one"),
    ),
    responses(
        (status = 200, description = "A signed note (C2SP tlog-checkpoint)", body = String, content_type = "text/plain"),
        (status = 304, description = "Nothing new"),
        (status = 404, description = "No such partition, or none was signed over so many commits", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(_any): Caller,
    Query(CheckpointQuery { partition, size }): Query<CheckpointQuery>,
    has: IfNoneMatch,
) -> Result<Response, Problem> {
    let latest = app.keeper()?.latest(partition)?;
    let checkpoint = match size {
        Some(size) => app.keeper()?.of_size(partition, size).await?.ok_or_else(Problem::not_found)?,
        None => latest,
    };
    // One is signed over each size at most.
    let version = Position { partition, sequence: checkpoint.head.size };
    let mut response = if has.matches(version) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], checkpoint.note.to_string()).into_response()
    };
    // Digits, a hyphen and quotes are always a header value.
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}
