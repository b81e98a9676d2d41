//! A bare HTTP server that streams server-sent events which are rendered already, one chunk for each.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::sync::watch;

use super::http;

/// What every reader gets, and whether those who wait for it may have it.
#[derive(Clone)]
struct Feed {
    events: Arc<[Bytes]>,
    gate: watch::Sender<bool>,
}

/// Streams all events at `/`, and at `/gated` once `/open` was asked for.
pub(super) async fn serve(mut rendered: Bytes) {
    let mut events = Vec::new();
    while let Some(end) = rendered.windows(2).position(|window| window == b"\n\n") {
        events.push(rendered.split_to(end + 2));
    }
    let feed = Feed { events: events.into(), gate: watch::Sender::new(false) };
    let at_once = async |State(feed): State<Feed>| answer(each(feed.events));
    let gated = async |State(Feed { events, gate }): State<Feed>| {
        let mut gate = gate.subscribe();
        let opened = async move {
            // It is not closed for good while the server runs.
            drop(gate.wait_for(|open| *open).await);
            each(events)
        };
        answer(stream::once(opened).flatten())
    };
    let open = async |State(feed): State<Feed>| {
        feed.gate.send_replace(true);
    };
    let routes =
        Router::new().route("/", get(at_once)).route("/gated", get(gated)).route("/open", post(open));
    http::listen(routes.with_state(feed)).await;
}

fn answer(events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    // Without an end, as a feed is.
    let body = Body::from_stream(events.chain(stream::pending()));
    ([("content-type", "text/event-stream")], body).into_response()
}

fn each(events: Arc<[Bytes]>) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::iter((0..events.len()).map(move |index| Ok(events[index].clone())))
}
