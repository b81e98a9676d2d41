//! `GET /audit/consistency`: the proof that the log was only added to between two checkpoints.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use replay::audit::Hash;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::problem::Document;
use crate::http::query::{Query, invalid};
use crate::http::{Caller, Problem};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsistencyQuery {
    #[serde(default)]
    partition: u16,
    from: u64,
    to: Option<u64>,
}

/// That one tree goes on from another (RFC 9162, 2.1.4).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Consistency)]
pub(crate) struct ConsistencyJson {
    partition: u16,
    from: TreeJson,
    to: TreeJson,
    /// Each in base64, from the bottom of the tree up.
    hashes: Vec<String>,
}

/// A tree, by its size and its root.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tree)]
struct TreeJson {
    size: u64,
    /// In base64. Trust the checkpoint that you have, not this.
    root: String,
}

/// The proof that the tree of the first `to` commits goes on from that of the first `from`.
#[utoipa::path(
    get, path = "/audit/consistency", tag = "Audit", security(("api_key" = [])),
    params(
        ("partition" = Option<u16>, Query, description = "0 without it"),
        ("from" = u64, Query, description = "Size of the smaller tree"),
        ("to" = Option<u64>, Query, description = "Size of the larger one; that of the newest checkpoint without it"),
    ),
    responses(
        (status = 200, description = "The proof", body = ConsistencyJson),
        (status = 400, description = "Not two sizes in order, or beyond the newest checkpoint", body = Document),
        (status = 404, description = "No such partition", body = Document),
        (status = 503, description = "The tree is being made again from the log", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(_any): Caller,
    Query(ConsistencyQuery { partition, from, to }): Query<ConsistencyQuery>,
) -> Result<Json<ConsistencyJson>, Problem> {
    let newest = app.keeper()?.latest(partition)?.head.size;
    let to = to.unwrap_or(newest);
    if to > newest {
        return Err(invalid(format!("to: the newest checkpoint is over {newest} commits")));
    }
    if from > to {
        return Err(invalid(format!("from: more than the {to} commits that it leads to")));
    }
    let proof = app.keeper()?.consistency(partition, from, to).await?;
    Ok(Json(ConsistencyJson {
        partition,
        from: TreeJson { size: from, root: proof.from_root.to_string() },
        to: TreeJson { size: to, root: proof.to_root.to_string() },
        hashes: proof.hashes.iter().map(Hash::to_string).collect(),
    }))
}
