//! The plainest polls, answered before they are routed: those that were made before, of orders that are as they were.
//!
//! What must stay true: the answer is the one that the route would have given. So whatever has more to it than an API key
//! and an ETag goes to the route, and so does whatever is not known here.

use std::time::Instant;

use axum::body::HttpBody;
use axum::http::{Method, Request};
use axum::response::Response;

use super::{PATH, remembered};
use crate::app::App;
use crate::http::etag::IfNoneMatch;
use crate::http::id::{OrderId, POSITION_HEADER};
use crate::http::{auth, layers};

/// The answer to a poll; none if the route has to give it.
pub(crate) fn at_once(app: &App, request: &Request<impl HttpBody>) -> Option<Response> {
    let started = Instant::now();
    if request.method() != Method::GET || request.uri().query().is_some() {
        return None;
    }
    // An answer that comes while a long body is still being sent ends the connection.
    if !request.body().is_end_stream() {
        return None;
    }
    let id = request.uri().path().strip_prefix("/v1/orders/")?.strip_suffix("/status")?;
    let (id, headers) = (OrderId::parse(id)?, request.headers());
    if headers.contains_key(POSITION_HEADER) {
        return None;
    }
    // Before anything is looked up: how long an answer takes tells nobody what is known of an order.
    let tenant = app.tenants.by_api_key(auth::bearer(headers)?)?;
    let known = remembered(app, &tenant, id, None)?;
    let response = known.answer.to(&IfNoneMatch::of(headers));
    Some(layers::answered_at_once(request, PATH, started, response))
}
