//! What surrounds every request: its id, its span and log line, its counters, its time limit, panics.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;
use uuid::Uuid;

use super::problem::{Code, Problem};
use crate::app::App;

/// The header that carries a request's id, both ways.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

tokio::task_local! {
    static REQUEST_ID: String;
}

/// The id of the request at hand; empty outside of one.
pub fn request_id() -> String {
    REQUEST_ID.try_with(Clone::clone).unwrap_or_default()
}

/// Gives the request its id and its span, counts it, and writes its log line. The outermost layer.
pub async fn observe(request: Request, next: Next) -> Response {
    let id = given_id(&request).unwrap_or_else(|| Uuid::now_v7().to_string());
    // The route, never the path: paths hold ids, and queries hold tokens.
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let span = tracing::info_span!("request", request_id = %id, %method, route = route_of(matched.as_ref()));
    let started = Instant::now();
    let header = HeaderValue::from_str(&id);
    let work = async move {
        let mut response = next.run(request).await;
        let elapsed = started.elapsed();
        crate::metrics::request(&method, route_of(matched.as_ref()), response.status(), elapsed);
        log(response.status(), elapsed);
        if let Ok(header) = header {
            response.headers_mut().insert(REQUEST_ID_HEADER, header);
        }
        response
    };
    REQUEST_ID.scope(id, work).instrument(span).await
}

fn route_of(matched: Option<&MatchedPath>) -> &str {
    matched.map_or("unmatched", MatchedPath::as_str)
}

fn log(status: StatusCode, elapsed: Duration) {
    let (status, elapsed_ms) = (status.as_u16(), elapsed.as_millis() as u64);
    if status >= 500 {
        tracing::warn!(status, elapsed_ms, "answered");
    } else {
        tracing::debug!(status, elapsed_ms, "answered");
    }
}

/// The caller's own id of the request, if it is fit to stand in a log.
fn given_id(request: &Request) -> Option<String> {
    let text = request.headers().get(REQUEST_ID_HEADER)?.to_str().ok()?;
    let is_sane = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    is_sane.then(|| text.to_owned())
}

/// Refuses what would write, on a server that only reads. `only_reads` says so of routes that are asked with another
/// method than a reading one.
pub async fn refuse_writes(only_reads: fn(&str) -> bool, request: Request, next: Next) -> Response {
    let route = route_of(request.extensions().get::<MatchedPath>());
    if request.method().is_safe() || only_reads(route) {
        return next.run(request).await;
    }
    Problem::new(Code::ReadOnlyReplica, "send it to a server that is no replica; nothing was stored")
        .into_response()
}

/// Ends a request that takes too long. Not for routes that wait on purpose.
pub async fn limit_time(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    within(app.config.limits.request_timeout, next.run(request)).await
}

/// `work`, or the timeout's problem.
pub async fn within(limit: Duration, work: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout(limit, work).await {
        Ok(response) => response,
        Err(_) => {
            Problem::new(Code::RequestTimeout, "it may have been stored; send it again with the same key")
                .into_response()
        }
    }
}

/// What a caller sees of a panic: nothing but the request's id.
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(panic = text, "INTERNAL: a request panicked");
    Problem::internal().into_response()
}
