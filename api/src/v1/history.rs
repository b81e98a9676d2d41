//! `GET /v1/orders/{id}/history`: what happened to an order, commit by commit, for people.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use ledger::commit::{Changes, Recorded};
use ledger::order::Order;
use projections::views::{HistoryEntry, HistoryEvent, history};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::amount::Amount;
use super::as_of;
use super::shapes::{CauseJson, StatusWord, time};
use super::steps::StepJson;
use crate::app::App;
use crate::http::etag::{IfNoneMatch, versioned};
use crate::http::id::{AtLeast, OrderId};
use crate::http::problem::Document;
use crate::http::query::{Query, invalid};
use crate::http::{Caller, Problem};
use crate::orders;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    as_of: Option<String>,
    steps: Option<String>,
}

impl HistoryQuery {
    fn with_steps(&self) -> Result<bool, Problem> {
        match self.steps.as_deref() {
            None => Ok(false),
            Some("full") => Ok(true),
            Some(_) => Err(invalid("steps: only `full`")),
        }
    }
}

/// What happened to an order, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = History)]
struct HistoryJson {
    order_id: String,
    entries: Vec<EntryJson>,
}

/// One commit, and the order's figures after it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryEntry)]
pub(crate) struct EntryJson {
    position: String,
    /// RFC 3339 in UTC.
    at: String,
    cause: CauseJson,
    events: Vec<EventJson>,
    #[schema(value_type = StatusWord)]
    status: &'static str,
    /// The balance in whole minor units.
    balance: i64,
    /// Codes of the anomalies that stand after it.
    anomalies: Vec<String>,
    /// What the commit changed; with `steps=full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<StepJson>,
}

/// One event, in the few words that every kind of event has in common.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryEvent)]
struct EventJson {
    r#type: String,
    attempt: Option<u32>,
    amount: Option<Amount>,
    reference: Option<String>,
    detail: Option<String>,
}

impl EntryJson {
    /// All entries of an order in `/v1`'s words, with what each changed if that is asked for.
    pub(crate) fn all_of(entries: &[HistoryEntry], with_steps: bool) -> Vec<Self> {
        let before = std::iter::once(None).chain(entries.iter().map(Some));
        let step = |(before, entry)| with_steps.then(|| StepJson::of(before, entry));
        before.zip(entries).map(|(before, entry)| EntryJson::of(entry, step((before, entry)))).collect()
    }

    fn of(entry: &HistoryEntry, step: Option<StepJson>) -> Self {
        EntryJson {
            position: entry.position.to_string(),
            at: time(entry.at),
            cause: CauseJson::from(&entry.cause),
            events: entry.events.iter().map(EventJson::of).collect(),
            status: entry.status.as_str(),
            balance: entry.balance.balance_minor,
            anomalies: entry.anomalies.clone(),
            step,
        }
    }
}

impl EventJson {
    fn of(event: &HistoryEvent) -> Self {
        EventJson {
            r#type: event.name.clone(),
            attempt: event.attempt,
            amount: event.amount.map(Amount::from),
            reference: event.reference.clone(),
            detail: event.detail.clone(),
        }
    }
}

/// The entry that the history view holds for a commit that was folded from the journal.
pub(crate) fn entry_of(recorded: &Recorded, after: &Order) -> HistoryEntry {
    let events = match &recorded.commit.changes {
        Changes::Order(events) => events.as_slice(),
        // A history of an order holds an order's commits alone.
        Changes::Offer(_) | Changes::Quarantine(_) => &[],
    };
    history::entry(recorded, events, after)
}

/// What happened to an order, oldest first, all of it or up to a moment.
#[utoipa::path(
    get, path = "/v1/orders/{id}/history", tag = "Orders", security(("api_key" = [])),
    params(
        ("id" = String, Path, description = "Order id or tracking number"),
        ("as_of" = Option<String>, Query, description = "A time (RFC 3339) or a position"),
        ("steps" = Option<String>, Query, description = "`full`: with what each commit changed, and its postings"),
        ("If-None-Match" = Option<String>, Header, description = "304 when the order is still at this ETag"),
    ),
    responses(
        (status = 200, description = "The history", body = HistoryJson),
        (status = 304, description = "Nothing has changed"),
        (status = 404, description = "No such order, or not yet at that moment", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    OrderId(id): OrderId,
    Query(query): Query<HistoryQuery>,
    AtLeast(at_least): AtLeast,
    has: IfNoneMatch,
) -> Result<Response, Problem> {
    let with_steps = query.with_steps()?;
    let entries = match as_of::moment(&app, query.as_of.as_deref()).await? {
        None => orders::history(&app, &tenant, id, at_least).await?,
        Some(moment) => {
            let mut entries = Vec::new();
            let each = |recorded: Recorded, order: &Order| entries.push(entry_of(&recorded, order));
            as_of::history(&app, &tenant, id, moment, each).await?;
            entries
        }
    };
    let last = entries.last().map(|entry| entry.position).ok_or_else(Problem::not_found)?;
    let entries = EntryJson::all_of(&entries, with_steps);
    Ok(versioned(last, &has, HistoryJson { order_id: id.to_string(), entries }))
}
