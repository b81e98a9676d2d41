//! What surrounds every request: its id, its span and log line, its counters, its time limit, panics.
//!
//! What is answered before it is routed has the same id, counters and log line, and nothing that could take time or panic.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use tower::{Layer, Service};
use tracing::{Instrument, Level, Span};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::problem::{Code, Problem};

/// The header that carries a request's id, both ways.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static REQUEST_ID: HeaderValue;
}

/// The id of the request at hand; empty outside of one.
pub fn request_id() -> String {
    REQUEST_ID.try_with(|id| text_of(id).to_owned()).unwrap_or_default()
}

/// Gives each request its id and its span, counts it, ends it when it takes too long or panics, and writes its log
/// line. The one layer there is: a router copies the services inside of a layer for every request.
#[derive(Debug, Clone, Copy)]
pub struct Surround {
    /// What a request may take.
    pub limit: Duration,
    /// Routes that see to their time by themselves.
    pub unlimited: &'static [&'static str],
}

impl<S> Layer<S> for Surround {
    type Service = Surrounded<S>;

    fn layer(&self, inner: S) -> Surrounded<S> {
        Surrounded { inner, around: *self }
    }
}

/// What [`Surround`] makes of a service.
#[derive(Debug, Clone)]
pub struct Surrounded<S> {
    inner: S,
    around: Surround,
}

impl<S> Service<Request> for Surrounded<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let started = Instant::now();
        let id = given_id(request.headers()).unwrap_or_else(new_id);
        // The route, never the path: paths hold ids, and queries hold tokens.
        let matched = request.extensions().get::<MatchedPath>().cloned();
        let method = request.method().clone();
        let route = route_of(matched.as_ref());
        let span = span(&id, &method, route);
        let limit = (!self.around.unlimited.contains(&route)).then_some(self.around.limit);
        let answer = self.inner.call(request).map(|answer| answer.unwrap_or_else(|never| match never {}));
        let header = id.clone();
        let work = async move {
            let answer = async {
                match limit {
                    Some(limit) => within(limit, answer).await,
                    None => answer.await,
                }
            };
            let mut response = AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(panicked);
            let elapsed = started.elapsed();
            crate::metrics::request(&method, route_of(matched.as_ref()), response.status(), elapsed);
            log(response.status(), elapsed);
            response.headers_mut().insert(REQUEST_ID_HEADER, header);
            Ok(response)
        };
        Box::pin(REQUEST_ID.scope(id, work).instrument(span))
    }
}

/// Completes the answer to a request that went past the router, and counts it under the route that it stands for.
pub fn answered_at_once<B>(
    request: &axum::http::Request<B>,
    route: &'static str,
    started: Instant,
    mut response: Response,
) -> Response {
    let id = given_id(request.headers()).unwrap_or_else(new_id);
    let elapsed = started.elapsed();
    crate::metrics::request(request.method(), route, response.status(), elapsed);
    if tracing::enabled!(Level::DEBUG) {
        span(&id, request.method(), route).in_scope(|| log(response.status(), elapsed));
    }
    response.headers_mut().insert(REQUEST_ID_HEADER, id);
    response
}

fn span(id: &HeaderValue, method: &Method, route: &str) -> Span {
    tracing::info_span!("request", request_id = %text_of(id), %method, route)
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
fn given_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let given = headers.get(REQUEST_ID_HEADER)?;
    let is_sane = (1..=128).contains(&given.len()) && given.as_bytes().iter().all(u8::is_ascii_graphic);
    is_sane.then(|| given.clone())
}

fn new_id() -> HeaderValue {
    let mut text = [0; Hyphenated::LENGTH];
    let text = Uuid::now_v7().hyphenated().encode_lower(&mut text);
    // Hexadecimal digits and hyphens are always a header value.
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"))
}

/// An id is ASCII, whoever made it.
fn text_of(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default()
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
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(panic = text, "INTERNAL: a request panicked");
    Problem::internal().into_response()
}
