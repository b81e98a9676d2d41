//! `POST /webhooks/{tenant}/{source}`: verify, read, apply; answer once the journal has it.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ledger::ids::{Position, TenantId};
use ledger::quarantine::Reason;
use serde::Serialize;

use super::apply::{self, Applied};
use super::budget::{Budget, MAX_UNVERIFIED_BODY};
use super::quarantine::{self, SetAside};
use super::source::{Item, Refusal, Source};
use super::sources;
use crate::app::App;
use crate::config::WebhookSource;
use crate::http::problem::{Code, Document, Problem};
use crate::http::{body, id::POSITION_HEADER};
use crate::metrics;
use crate::orders::{self, OrderError};

/// One webhook request and where it came in.
struct Incoming<'a> {
    app: &'a App,
    tenant: &'a TenantId,
    /// The source's name in the configuration.
    name: &'a str,
    source: &'a dyn Source,
    headers: &'a HeaderMap,
    /// As the log keeps it.
    body: Bytes,
}

/// What became of one item of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct ItemResult {
    result: &'static str,
    #[serde(serialize_with = "as_text")]
    position: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// The answer to a request: its only item's result, or the results of them all.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    One(ItemResult),
    Several { results: Vec<ItemResult> },
}

fn as_text<S: serde::Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(position)
}

/// A PSP, or a payment worker, reports what happened to a payment. Answered once the webhook is stored.
#[utoipa::path(
    post, path = "/webhooks/{tenant}/{source}", tag = "Webhooks",
    params(
        ("tenant" = String, Path, description = "Whose"),
        ("source" = String, Path, description = "A name from the tenant's configuration"),
    ),
    request_body(description = "As the source's scheme has it", content_type = "application/json"),
    responses(
        (status = 200, description = "`result` is `recorded`, `duplicate` or `kept`; `position`"),
        (status = 202, description = "`result` is `quarantined`; `position` and `reason`"),
        (status = 401, description = "The signature is missing, wrong or too old", body = Document),
        (status = 404, description = "No such tenant or source", body = Document),
        (status = 413, description = "Too large", body = Document),
        (status = 503, description = "Send it again", body = Document),
    )
)]
pub(super) async fn post(
    State(app): State<Arc<App>>,
    Extension(budget): Extension<Arc<Budget>>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path((tenant, name)) = path.map_err(|_| Problem::not_found())?;
    let (tenant, config) = configured(&app, &tenant, &name).ok_or_else(Problem::not_found)?;
    let body = body::read(body, app.config.limits.webhook_body_bytes).await?;
    let source = sources::configured(config).map_err(|error| {
        tracing::error!(%error, source = name, "INTERNAL: a configured source cannot be used");
        Problem::internal()
    })?;
    let incoming = Incoming {
        app: &app,
        tenant: &tenant,
        name: &name,
        source: source.as_ref(),
        headers: &headers,
        body: source.kept(body.clone()),
    };
    match incoming.source.verify(&headers, &body, orders::now()) {
        Ok(verified) => match incoming.take_in(&verified.delivery_id).await {
            Ok(results) => Ok(answer(results, source.acknowledgement())),
            Err(error) => {
                if let OrderError::TooLarge { size, limit } = error {
                    // Its sender may well never send it again.
                    tracing::error!(%tenant, source = name, size, limit, "a genuine webhook is too large for the log");
                }
                Err(error.into())
            }
        },
        Err(refusal) => {
            incoming.turn_away(refusal, &budget).await;
            Err(Problem::new(Code::Unauthenticated, refusal.to_string()))
        }
    }
}

/// One look-up for both segments: a tenant that does not exist answers as a source that does not.
fn configured<'a>(app: &'a App, tenant: &str, name: &str) -> Option<(TenantId, &'a WebhookSource)> {
    let tenant: TenantId = tenant.parse().ok()?;
    let config = app.tenants.webhook_source(&tenant, name)?;
    Some((tenant, config))
}

impl Incoming<'_> {
    /// A verified request: each of its items goes to its order or into quarantine. If the journal fails in
    /// between, the sender sends all of it again, and what is stored already is a duplicate then.
    async fn take_in(&self, delivery: &str) -> Result<Vec<ItemResult>, OrderError> {
        let items = match self.source.read(delivery, &self.body) {
            Ok(items) => items,
            Err(unreadable) => {
                let webhook = self.set_aside(Reason::Unreadable, unreadable.to_string(), None);
                let position = quarantine::verified(self.app, delivery, webhook).await?;
                return Ok(vec![self.counted("quarantined", position, Some(Reason::Unreadable))]);
            }
        };
        let mut results = Vec::with_capacity(items.len());
        for item in &items {
            results.push(self.take_in_item(item).await?);
        }
        Ok(results)
    }

    async fn take_in_item(&self, item: &Item) -> Result<ItemResult, OrderError> {
        let applied = apply::apply(self.app, self.tenant, self.name, item, &self.body).await?;
        let (result, reason, detail) = match applied {
            Applied::Recorded { position, .. } => return Ok(self.counted("recorded", position, None)),
            Applied::Duplicate { position, .. } => return Ok(self.counted("duplicate", position, None)),
            // In quarantine, because every webhook is kept somewhere; nobody has to do anything about it.
            Applied::NoOrder => ("kept", Reason::NoOrder, "it is about no order".to_owned()),
            Applied::Unmatched { detail } => ("quarantined", Reason::UnknownOrder, detail),
            Applied::Refused { detail } => ("quarantined", Reason::Refused, detail),
        };
        let webhook = self.set_aside(reason, detail, Some(item));
        let position = quarantine::verified(self.app, &item.event_id, webhook).await?;
        Ok(self.counted(result, position, Some(reason)))
    }

    /// A request that is not believed: always counted, and kept as far as the budget for strangers goes. That it
    /// could not be kept changes nothing for the sender.
    async fn turn_away(&self, refusal: Refusal, budget: &Budget) {
        metrics::webhook(self.name, "rejected", Some(Reason::BadSignature.as_str()));
        ::metrics::counter!("daybook_webhook_refusals_total", "source" => self.name.to_owned(), "refusal" => refusal.as_str())
            .increment(1);
        if self.body.len() > MAX_UNVERIFIED_BODY || !budget.take(self.tenant, self.name, Instant::now()) {
            return;
        }
        let webhook = self.set_aside(Reason::BadSignature, refusal.to_string(), None);
        // The budget bounds these lines as well.
        match quarantine::unverified(self.app, webhook).await {
            Ok(position) => {
                tracing::warn!(tenant = %self.tenant, source = self.name, %refusal, %position, "a webhook was not believed, and is kept in quarantine");
            }
            Err(error) => {
                tracing::warn!(tenant = %self.tenant, source = self.name, %refusal, %error, "a webhook was not believed, and could not be kept");
            }
        }
    }

    fn set_aside(&self, reason: Reason, detail: String, item: Option<&Item>) -> SetAside<'_> {
        SetAside {
            tenant: self.tenant,
            source: self.name,
            reason,
            detail,
            waits_for: item.map(|item| item.names.match_keys()).unwrap_or_default(),
            headers: quarantine::kept(self.headers, self.source.headers()),
            body: &self.body,
        }
    }

    fn counted(&self, result: &'static str, position: Position, reason: Option<Reason>) -> ItemResult {
        let reason = reason.map(Reason::as_str);
        metrics::webhook(self.name, result, reason);
        ItemResult { result, position, reason }
    }
}

/// What the sender wants to read; else 202 if anything waits for somebody, else 200.
fn answer(results: Vec<ItemResult>, acknowledgement: Option<&'static str>) -> Response {
    let newest = results.iter().map(|item| item.position).max();
    let headers = newest.map(|position| [(POSITION_HEADER, position.to_string())]);
    if let Some(acknowledgement) = acknowledgement {
        return (headers, acknowledgement).into_response();
    }
    let quarantined = results.iter().any(|item| item.result == "quarantined");
    let status = if quarantined { StatusCode::ACCEPTED } else { StatusCode::OK };
    let answer = match results.as_slice() {
        [only] => Answer::One(*only),
        _ => Answer::Several { results },
    };
    (status, headers, axum::Json(answer)).into_response()
}
