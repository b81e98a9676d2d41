//! `GET /v1/quarantine`, `GET /v1/quarantine/{id}`: webhooks that were set aside, and what became of them.
//! `POST …/retry` and `…/discard`: what a person does about one.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use data_encoding::BASE64;
use futures::{StreamExt, TryStreamExt, stream};
use ledger::commit::Cause;
use ledger::ids::{Position, RecordId, TenantId};
use ledger::quarantine::{MatchKey, Outcome, Reason};
use projections::views::QuarantineView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fields::{no_card_number, text};
use super::page::{cursor, limit};
use super::shapes::time;
use crate::app::App;
use crate::http::body::{Json, JsonOrNothing};
use crate::http::id::{AtLeast, IdempotencyKey, POSITION_HEADER};
use crate::http::problem::{Code, Document};
use crate::http::query::{Query, invalid};
use crate::http::{Caller, Problem};
use crate::orders::{self, Ask, OrderError};
use crate::webhooks::{self, SettleError, Settled};

/// Bodies are in the journal; so many are fetched at a time.
const FETCHES: usize = 8;
/// How many are looked at for one page. A filter that finds little gives a short page with a cursor.
const LOOKS: usize = 5_000;
/// The longest reason to discard one, in characters.
const LONGEST_REASON: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuarantineQuery {
    state: Option<String>,
    reason: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// What a list is asked for.
struct Filter {
    state: Option<&'static str>,
    reason: Option<Reason>,
}

impl QuarantineQuery {
    fn filter(&self) -> Result<Filter, Problem> {
        let states = ["open", "kept", "released", "discarded"];
        let state = |word: &String| {
            let known = states.into_iter().find(|known| known == word);
            known.ok_or_else(|| invalid("state: open, kept, released or discarded"))
        };
        let reason = |word: &String| {
            let words = Reason::ALL.map(Reason::as_str).join(", ");
            Reason::from_word(word).ok_or_else(|| invalid(format!("reason: one of {words}")))
        };
        Ok(Filter {
            state: self.state.as_ref().map(state).transpose()?,
            reason: self.reason.as_ref().map(reason).transpose()?,
        })
    }
}

impl Filter {
    fn takes(&self, view: &QuarantineView) -> bool {
        self.state.is_none_or(|state| state == state_of(view))
            && self.reason.is_none_or(|reason| reason == view.webhook.reason)
    }
}

/// A page of quarantined webhooks, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quarantine)]
pub(crate) struct QuarantineJson {
    webhooks: Vec<WebhookJson>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
}

/// A webhook that was set aside.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuarantinedWebhook)]
struct WebhookJson {
    id: String,
    source: String,
    /// The sender's id; not to be believed of a bad signature.
    event_id: String,
    /// `bad_signature`, `unreadable`, `unknown_order`, `refused`, or `no_order`: nobody has to do anything about it.
    reason: &'static str,
    detail: String,
    /// RFC 3339 in UTC.
    received_at: String,
    /// `open`; `kept` where nobody has to do anything; `released` or `discarded`.
    outcome: &'static str,
    /// The order that it was applied to.
    order_id: Option<String>,
    /// As received; bytes that are not UTF-8 show as U+FFFD.
    body: String,
}

/// One webhook that was set aside, with everything that is known of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuarantinedWebhookDetails)]
pub(crate) struct DetailsJson {
    #[serde(flatten)]
    webhook: WebhookJson,
    /// The body as it came in, byte for byte.
    body_base64: String,
    /// What its verification needs, as it came in.
    headers: Vec<HeaderJson>,
    /// What would match it to an order.
    waits_for: Vec<WaitsForJson>,
    /// Why somebody discarded it.
    discard_reason: Option<String>,
    /// Where it was set aside in the log.
    position: String,
    /// Its newest commit.
    last_position: String,
}

/// A header of a webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookHeader)]
struct HeaderJson {
    name: String,
    value: String,
}

/// Something that would match a webhook to its order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WaitsFor)]
enum WaitsForJson {
    /// The order with this id.
    OrderId(String),
    /// An order with this payment.
    PaymentReference(String),
    /// The one order that the shop calls so.
    MerchantReference(String),
}

/// A webhook that was closed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookSettled)]
struct SettledJson {
    id: String,
    /// `released` or `discarded`.
    outcome: &'static str,
    /// The order that it was applied to.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    position: String,
}

/// Nothing, so far.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookRetry)]
pub(crate) struct RetryBody {}

/// Why a webhook means nothing.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookDiscard)]
pub(crate) struct DiscardBody {
    /// 1 to 500 characters, for whoever asks later.
    reason: String,
}

/// `{id}` in a path: a quarantined webhook's id. Anything else names none, so it is a 404.
pub(crate) struct WebhookId(RecordId);

impl FromRequestParts<Arc<App>> for WebhookId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Path(id) =
            Path::<String>::from_request_parts(parts, app).await.map_err(|_| Problem::not_found())?;
        id.parse().map(WebhookId).map_err(|_| Problem::not_found())
    }
}

/// Webhooks that were set aside, newest first. A page may be shorter than its limit and still have a next one.
#[utoipa::path(
    get, path = "/v1/quarantine", tag = "Webhooks", security(("api_key" = [])),
    params(
        ("state" = Option<String>, Query, description = "`open`, `kept`, `released` or `discarded`"),
        ("reason" = Option<String>, Query, description = "Such as `bad_signature`"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 100, default 20"),
    ),
    responses((status = 200, description = "A page", body = QuarantineJson))
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    Query(query): Query<QuarantineQuery>,
    AtLeast(at_least): AtLeast,
) -> Result<axum::Json<QuarantineJson>, Problem> {
    let filter = query.filter()?;
    let (cursor, limit) = (cursor(query.cursor.as_deref())?, limit(query.limit)?);
    let (found, next) = page(&app, &tenant, &filter, cursor, limit, at_least).await?;
    let app = &app;
    let webhooks = stream::iter(found)
        .map(|view| async move {
            let body = body(app, view.first).await?;
            Ok(WebhookJson::of(&view, &body))
        })
        .buffered(FETCHES)
        .try_collect()
        .await
        .map_err(|error: OrderError| Problem::from(error))?;
    Ok(axum::Json(QuarantineJson { webhooks, next_cursor: next.map(|next| next.to_string()) }))
}

/// The next webhooks that the filter takes, and from where to go on.
async fn page(
    app: &App,
    tenant: &TenantId,
    filter: &Filter,
    mut cursor: Option<Position>,
    limit: usize,
    at_least: Option<Position>,
) -> Result<(Vec<QuarantineView>, Option<Position>), OrderError> {
    let views = orders::fresh_views(app, at_least).await;
    let (mut found, mut looked) = (Vec::new(), 0);
    while looked < LOOKS {
        let chunk = limit + 1;
        let seen = views.quarantine(tenant, cursor, chunk)?;
        let is_last = seen.len() < chunk;
        looked += seen.len();
        for view in seen {
            let at = view.first;
            if filter.takes(&view) {
                if found.len() == limit {
                    return Ok((found, cursor));
                }
                found.push(view);
            }
            cursor = Some(at);
        }
        if is_last {
            return Ok((found, None));
        }
    }
    Ok((found, cursor))
}

/// One webhook that was set aside.
#[utoipa::path(
    get, path = "/v1/quarantine/{id}", tag = "Webhooks", security(("api_key" = [])),
    params(("id" = String, Path, description = "The webhook's id in quarantine")),
    responses(
        (status = 200, description = "All of it", body = DetailsJson),
        (status = 404, description = "No such webhook", body = Document),
    )
)]
pub(crate) async fn get_one(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    WebhookId(id): WebhookId,
    AtLeast(at_least): AtLeast,
) -> Result<axum::Json<DetailsJson>, Problem> {
    let views = orders::fresh_views(&app, at_least).await;
    let view = views.quarantined(&tenant, id).map_err(OrderError::from)?.ok_or_else(Problem::not_found)?;
    let body = body(&app, view.first).await?;
    Ok(axum::Json(DetailsJson::of(&view, &body)))
}

/// Tries a webhook again: verified with today's secrets as of when it came in, read, and applied to its order.
#[utoipa::path(
    post, path = "/v1/quarantine/{id}/retry", tag = "Webhooks", security(("api_key" = [])),
    params(
        ("id" = String, Path, description = "The webhook's id in quarantine"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
    ),
    request_body = Option<RetryBody>,
    responses(
        (status = 200, description = "It is in its order's log, and closed", body = SettledJson),
        (status = 404, description = "No such webhook", body = Document),
        (status = 409, description = "It cannot be applied, or was discarded; it stays as it was", body = Document),
    )
)]
pub(crate) async fn retry(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    WebhookId(id): WebhookId,
    IdempotencyKey(key): IdempotencyKey,
    JsonOrNothing(body): JsonOrNothing<RetryBody>,
) -> Result<Response, Problem> {
    let ask = Ask::new(tenant, key, &body)?;
    Ok(answer(webhooks::retry(&app, ask, id).await?))
}

/// Writes down that a webhook means nothing, and why. It stays in the log, and is closed.
#[utoipa::path(
    post, path = "/v1/quarantine/{id}/discard", tag = "Webhooks", security(("api_key" = [])),
    params(
        ("id" = String, Path, description = "The webhook's id in quarantine"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
    ),
    request_body = DiscardBody,
    responses(
        (status = 200, description = "It is closed", body = SettledJson),
        (status = 404, description = "No such webhook", body = Document),
        (status = 409, description = "It was released or discarded before", body = Document),
        (status = 422, description = "Refused as it is written; nothing changed", body = Document),
    )
)]
pub(crate) async fn discard(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    WebhookId(id): WebhookId,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<DiscardBody>,
) -> Result<Response, Problem> {
    no_card_number("/reason", &body.reason)?;
    let reason = text("/reason", &body.reason, 1, LONGEST_REASON)?;
    let ask = Ask::new(tenant, key, &body)?;
    Ok(answer(webhooks::discard(&app, ask, id, reason).await?))
}

fn answer(settled: Settled) -> Response {
    let (outcome, order_id) = match settled.outcome {
        Outcome::Released { order } => ("released", Some(order.to_string())),
        Outcome::Discarded { .. } => ("discarded", None),
    };
    let position = settled.position.to_string();
    let document =
        SettledJson { id: settled.webhook.to_string(), outcome, order_id, position: position.clone() };
    ([(POSITION_HEADER, position)], axum::Json(document)).into_response()
}

impl From<SettleError> for Problem {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Closed(_) => Problem::new(Code::WebhookClosed, error.to_string()),
            SettleError::NotApplied(detail) => Problem::new(Code::WebhookNotApplied, detail),
            SettleError::Order(error) => error.into(),
        }
    }
}

fn state_of(view: &QuarantineView) -> &'static str {
    match &view.webhook.outcome {
        None if view.webhook.reason == Reason::NoOrder => "kept",
        None => "open",
        Some(Outcome::Released { .. }) => "released",
        Some(Outcome::Discarded { .. }) => "discarded",
    }
}

impl WebhookJson {
    fn of(view: &QuarantineView, body: &[u8]) -> Self {
        let order_id = match &view.webhook.outcome {
            Some(Outcome::Released { order }) => Some(order.to_string()),
            None | Some(Outcome::Discarded { .. }) => None,
        };
        WebhookJson {
            id: view.id.to_string(),
            source: view.source.clone(),
            event_id: view.event_id.clone(),
            reason: view.webhook.reason.as_str(),
            detail: view.webhook.detail.clone(),
            received_at: time(view.webhook.received_at),
            outcome: state_of(view),
            order_id,
            body: String::from_utf8_lossy(body).into_owned(),
        }
    }
}

impl DetailsJson {
    fn of(view: &QuarantineView, body: &[u8]) -> Self {
        let header =
            |(name, value): &(String, String)| HeaderJson { name: name.clone(), value: value.clone() };
        let waits_for = |key: &MatchKey| match key.clone() {
            MatchKey::Order(order) => WaitsForJson::OrderId(order.to_string()),
            MatchKey::PaymentReference(reference) => WaitsForJson::PaymentReference(reference),
            MatchKey::MerchantReference(reference) => WaitsForJson::MerchantReference(reference),
        };
        let discard_reason = match &view.webhook.outcome {
            Some(Outcome::Discarded { reason }) => Some(reason.clone()),
            None | Some(Outcome::Released { .. }) => None,
        };
        DetailsJson {
            webhook: WebhookJson::of(view, body),
            body_base64: BASE64.encode(body),
            headers: view.webhook.headers.iter().map(header).collect(),
            waits_for: view.webhook.waits_for.iter().map(waits_for).collect(),
            discard_reason,
            position: view.first.to_string(),
            last_position: view.last.to_string(),
        }
    }
}

/// The raw body, from the cause of the commit that quarantined it.
async fn body(app: &App, position: Position) -> Result<Bytes, OrderError> {
    let stored = app.ledger.journal().at(position).await.map_err(ledger::execute::LoadError::from)?;
    let damaged =
        || OrderError::internal(format!("the quarantined webhook at {position} is not in the log").into());
    let stored = stored.ok_or_else(damaged)?;
    match app.ledger.open(&stored).await?.commit.cause {
        Cause::Webhook { body, .. } => Ok(body),
        Cause::Command { .. } | Cause::Timer { .. } => Ok(Bytes::new()),
    }
}
