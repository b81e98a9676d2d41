//! `GET /admin/diff`: which orders two generations of this server's views, or its views and the log, do not agree on.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use projections::compare::{Generations, SideError, Which};
use replay::diff::Sides;
use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::app::App;
use crate::diff::{Line, Request, send};
use crate::http::Problem;
use crate::http::auth::Admin;
use crate::http::problem::{Code, Document};
use crate::http::query::{Query, invalid};
use crate::orders::OrderError;

/// Lines that may wait for a slow reader.
const QUEUE: usize = 256;

/// One comparison at a time: each may fold the whole log, and reads all there is.
static TURN: Semaphore = Semaphore::const_new(1);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiffQuery {
    from: Option<String>,
    to: Option<String>,
    tenant: Option<String>,
    limit: Option<usize>,
}

impl DiffQuery {
    fn read(self) -> Result<Request, Problem> {
        let side = |name: &str, text: Option<String>, default| match text {
            Some(text) => text.parse().map_err(|error| invalid(format!("{name}: {error}"))),
            None => Ok(default),
        };
        let (from, to) = (side("from", self.from, Which::Live)?, side("to", self.to, Which::Fresh)?);
        let sides = Sides::new(from, to).map_err(|error| invalid(error.to_string()))?;
        let tenant = self.tenant.map(|text| text.parse()).transpose();
        let tenant = tenant.map_err(|_| invalid("tenant: not the name of a tenant"))?;
        Ok(Request { sides, tenant, limit: self.limit.unwrap_or(usize::MAX) })
    }
}

/// Which orders two generations of the views, or the views and the log, do not agree on, and by how much money: JSON
/// Lines, the last of them of type `end`. Reads and writes go on.
#[utoipa::path(
    get, path = "/admin/diff", tag = "Administration", security(("admin_key" = [])),
    params(
        ("from" = Option<String>, Query, description = "`live` (the default), `previous`, `rebuilding`, `fresh`, or a generation's number"),
        ("to" = Option<String>, Query, description = "Likewise; by default `fresh`, a new fold of the log"),
        ("tenant" = Option<String>, Query, description = "Only this tenant's"),
        ("limit" = Option<usize>, Query, description = "List so many orders and other rows; sums are of all"),
    ),
    responses(
        (status = 200, description = "The differences", body = String, content_type = "application/x-ndjson"),
        (status = 404, description = "There is no such generation", body = Document),
        (status = 409, description = "Another comparison is under way", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    _: Admin,
    Query(query): Query<DiffQuery>,
) -> Result<Response, Problem> {
    let request = query.read()?;
    let generations = Generations::of(&app.views);
    for which in [request.sides.from, request.sides.to] {
        is_there(&generations, which)?;
    }
    let turn = TURN.try_acquire();
    let turn =
        turn.map_err(|_| Problem::new(Code::DiffUnderWay, "one at a time; try again when it has ended"))?;

    let (lines, received) = mpsc::channel(QUEUE);
    let journal = Arc::clone(app.ledger.journal());
    tokio::spawn(async move {
        let _turn = turn;
        let gone = lines.clone();
        let compared = tokio::select! {
            compared = send(request, generations, journal, lines.clone()) => compared,
            () = gone.closed() => Ok(()),
        };
        if let Err(error) = compared {
            tracing::warn!(%error, "a comparison of views failed");
            // A reader that is gone need not be told.
            drop(lines.send(Line::Error { detail: error.to_string() }).await);
        }
    });
    let shutdown = app.shutdown.clone();
    let text = ReceiverStream::new(received).map(|line| Ok::<_, Infallible>(written(&line)));
    let until_shutdown = text.take_until(Box::pin(async move { shutdown.begun().await }));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(until_shutdown)).into_response())
}

/// Refuses a generation that does not exist, before there is a status that cannot be taken back.
fn is_there(generations: &Generations, which: Which) -> Result<(), Problem> {
    if which == Which::Fresh {
        return Ok(());
    }
    match generations.side(which) {
        Ok(_) => Ok(()),
        Err(error @ SideError::Missing(_)) => Err(Problem::new(Code::NotFound, error.to_string())),
        Err(error @ (SideError::Store(_) | SideError::Log(_) | SideError::Fold(_))) => {
            Err(Problem::from(OrderError::internal(error.into())))
        }
    }
}

fn written(line: &Line) -> Bytes {
    match serde_json::to_vec(line) {
        Ok(mut text) => {
            text.push(b'\n');
            text.into()
        }
        Err(error) => {
            tracing::error!(%error, "INTERNAL: a line of a comparison cannot be written");
            Bytes::new()
        }
    }
}
