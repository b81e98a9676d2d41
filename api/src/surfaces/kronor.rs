//! Kronor's checkout (`seeds`: checkout): a GraphQL API for merchants and for buyers' browsers, and the page where a
//! buyer is sent to authenticate.
//!
//! In reading order: `request`, the mutation's input and what it means; `purchase_order`, what is read back;
//! `bool_exp` and `filter`, the `where` of a list; `find` and `live`, how lists are answered and watched; `schema`,
//! which puts them together; `socket`, the same over WebSocket; `sca`, the page. `caller` says who may see what.
//! `docs/src/guides/kronor.md` is the page for its users, with all that the vendor leaves open.

mod bool_exp;
mod caller;
mod filter;
mod find;
mod links;
mod live;
mod purchase_order;
mod refusal;
mod request;
mod sca;
mod schema;
mod socket;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use async_graphql::http::GraphiQLSource;
use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};

use crate::app::App;
use crate::connections::Place;
use crate::http::body;
use caller::Caller;
use refusal::{ErrorType, Refusal};
use schema::SCHEMA;

/// The surface's name in the log.
const NAME: &str = "kronor";
const GRAPHQL: &str = "/v1/graphql";

/// The API under the vendor's path, its schema, and the pages.
pub(super) fn routes() -> Router<Arc<App>> {
    let graphql = post(execute).get(connect).options(async || StatusCode::NO_CONTENT);
    Router::new()
        .route(GRAPHQL, graphql)
        .route("/v1/graphql/schema.graphql", get(sdl))
        .layer(map_response(open_to_browsers))
        .merge(sca::routes())
        .fallback(async || Refusal::new(ErrorType::NotFound, "there is no such route"))
        .method_not_allowed_fallback(async || {
            Refusal::new(ErrorType::MethodNotAllowed, "the header Allow names the methods that are")
        })
}

/// `POST …/v1/graphql`: one operation, a query or a mutation.
async fn execute(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    // A little sooner than any request ends, so that this, too, is said in the vendor's shape.
    let limit = app.config.limits.request_timeout * 9 / 10;
    let work = async {
        let caller = Caller::in_headers(&app, &headers).flatten().ok_or_else(Refusal::unauthenticated)?;
        let bytes = body::read(body, app.config.limits.body_bytes).await?;
        body::expect_json(&headers)?;
        let request: async_graphql::Request = body::parse(&bytes)?;
        let request = request.data(Arc::clone(&app)).data(caller);
        Ok(refusal::answer(SCHEMA.execute(request).await))
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(Refusal::too_late()))
}

/// `GET …/v1/graphql`: a socket for subscriptions, or in the demo a page to try queries on.
async fn connect(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    place: Option<Extension<Place>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let Ok(upgrade) = upgrade else {
        return Ok(if app.config.has_demo_credentials() { playground() } else { upgrade_required() });
    };
    let known = match Caller::in_headers(&app, &headers) {
        Some(caller) => Some(caller.ok_or_else(Refusal::unauthenticated)?),
        None => None,
    };
    let largest = app.config.limits.body_bytes;
    let upgrade = upgrade.protocols([socket::PROTOCOL]).max_message_size(largest).max_frame_size(largest);
    if upgrade.selected_protocol().is_none() {
        let message = format!("the subprotocol spoken here is {}", socket::PROTOCOL);
        return Err(Refusal::new(ErrorType::InvalidRequest, message));
    }
    Ok(upgrade.on_upgrade(async move |socket| {
        socket::serve(socket, app, known).await;
        drop(place);
    }))
}

/// `GET …/v1/graphql/schema.graphql`: the schema, for tools that want it as a file.
async fn sdl() -> Response {
    ([(header::CONTENT_TYPE, "application/graphql; charset=utf-8")], SCHEMA.sdl()).into_response()
}

fn playground() -> Response {
    let path = format!("/{NAME}{GRAPHQL}");
    let page =
        GraphiQLSource::build().endpoint(&path).subscription_endpoint(&path).title("Kronor on Daybook");
    Html(page.finish()).into_response()
}

fn upgrade_required() -> Response {
    let refusal = Refusal::new(ErrorType::InvalidRequest, "send a POST, or open a WebSocket");
    let mut response = (StatusCode::UPGRADE_REQUIRED, refusal.into_response().into_body()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// Buyers' browsers call from the merchant's pages. Nothing here goes by cookies, so any page may.
async fn open_to_browsers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, GET"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "retry-after, x-request-id"),
        (header::ACCESS_CONTROL_MAX_AGE, "3600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
