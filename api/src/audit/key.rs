//! `GET /audit/key`: the public key that checks the checkpoints of a partition.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Deserialize;

use crate::app::App;
use crate::http::problem::Document;
use crate::http::query::Query;
use crate::http::{Caller, Problem};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyQuery {
    #[serde(default)]
    partition: u16,
}

/// The public key that checks checkpoints. Compare it with what the operator publishes elsewhere.
#[utoipa::path(
    get, path = "/audit/key", tag = "Audit", security(("api_key" = [])),
    params(("partition" = Option<u16>, Query, description = "0 without it")),
    responses(
        (status = 200, description = "One line: `<name>+<id>+<key>`", body = String, content_type = "text/plain"),
        (status = 404, description = "No such partition", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(_any): Caller,
    Query(KeyQuery { partition }): Query<KeyQuery>,
) -> Result<impl IntoResponse, Problem> {
    let key = app.keeper()?.verifier(partition)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{key}\n")))
}
