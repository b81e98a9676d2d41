//! Setting webhooks aside, and closing them.

use axum::http::HeaderMap;
use bytes::Bytes;
use ledger::commit::Cause;
use ledger::execute::{ExecuteError, Outcome, Request};
use ledger::ids::{Position, RecordId, TenantId};
use ledger::quarantine::{Command, MatchKey, Quarantined, Reason, Rejection};

use crate::app::App;
use crate::orders::{self, OrderError};

/// The longest value of a header that is kept, in characters.
const MAX_HEADER: usize = 1024;
/// The longest detail that is kept, in characters.
const MAX_DETAIL: usize = 500;

/// A webhook on its way into quarantine.
pub(super) struct SetAside<'a> {
    /// Whose.
    pub(super) tenant: &'a TenantId,
    /// The source it came in at.
    pub(super) source: &'a str,
    /// Why.
    pub(super) reason: Reason,
    /// In words.
    pub(super) detail: String,
    /// What would match it to an order.
    pub(super) waits_for: Vec<MatchKey>,
    /// What its verification needs.
    pub(super) headers: Vec<(String, String)>,
    /// As received.
    pub(super) body: &'a Bytes,
}

/// Keeps a webhook that was verified. The same event is kept once, however often it comes.
pub(super) async fn verified(
    app: &App,
    event_id: &str,
    webhook: SetAside<'_>,
) -> Result<Position, OrderError> {
    let record = Quarantined::verified_id(webhook.tenant, webhook.source, event_id);
    store(app, record, event_id.to_owned(), webhook).await
}

/// Keeps a request that was not verified, under a name that no genuine webhook can have.
pub(super) async fn unverified(app: &App, webhook: SetAside<'_>) -> Result<Position, OrderError> {
    let record = Quarantined::unverified_id(webhook.tenant, webhook.source, &webhook.headers, webhook.body);
    store(app, record, format!("unverified-{record}"), webhook).await
}

async fn store(
    app: &App,
    record: RecordId,
    event_id: String,
    webhook: SetAside<'_>,
) -> Result<Position, OrderError> {
    let at = orders::now();
    let command = Command::Quarantine(Quarantined {
        reason: webhook.reason,
        detail: webhook.detail.chars().take(MAX_DETAIL).collect(),
        waits_for: webhook.waits_for,
        headers: webhook.headers,
        received_at: at,
        outcome: None,
    });
    let cause = Cause::Webhook { source: webhook.source.to_owned(), event_id, body: webhook.body.clone() };
    let request = Request { tenant: webhook.tenant.clone(), record, cause, command, at, is_new: true };
    match app.ledger.execute::<Quarantined>(request).await.map_err(failed)? {
        Outcome::Committed(done) | Outcome::Repeated(done) => {
            orders::note(app, &done);
            Ok(done.recorded.position)
        }
        Outcome::Unchanged(_) => {
            Err(OrderError::Internal("a record of quarantine without its webhook".into()))
        }
    }
}

/// Closes a webhook that was applied to `order`. That somebody else closed it first is as good.
pub(super) async fn release(
    app: &App,
    tenant: &TenantId,
    record: RecordId,
    order: RecordId,
) -> Result<(), OrderError> {
    let request = Request {
        tenant: tenant.clone(),
        record,
        cause: Cause::Timer { name: "quarantine_release".to_owned() },
        command: Command::Release { order },
        at: orders::now(),
        is_new: false,
    };
    match app.ledger.execute::<Quarantined>(request).await {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::Closed)) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: ExecuteError<Rejection>) -> OrderError {
    match error {
        ExecuteError::TooLarge { size, limit } => OrderError::TooLarge { size, limit },
        ExecuteError::Unavailable(source) => OrderError::Unavailable(source),
        ExecuteError::Unknown(source) => OrderError::Unknown(source),
        bug @ (ExecuteError::Rejected(_) | ExecuteError::KeyReused | ExecuteError::Corrupt { .. }) => {
            tracing::error!(error = %bug, "INTERNAL: a webhook cannot be kept in quarantine");
            OrderError::Internal(bug.into())
        }
    }
}

/// Of `headers`, those of these names, as far as they are text and not absurdly long.
pub(super) fn kept(headers: &HeaderMap, names: &[&'static str]) -> Vec<(String, String)> {
    let value = |name: &str| {
        let text = headers.get(name)?.to_str().ok()?;
        Some(text.chars().take(MAX_HEADER).collect::<String>())
    };
    names.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect()
}
