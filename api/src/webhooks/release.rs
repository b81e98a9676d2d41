//! Applies quarantined webhooks by themselves once their order is there.
//!
//! Any number of nodes may do this at once: an order takes the same event of the same source once, and a
//! quarantined webhook is closed once, so a race costs a look and changes nothing. What is still open is swept at
//! start and whenever changes may have been missed; after that only what newly appears in the views is looked
//! at. History that is folded again is not followed, so it sets nothing off.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::commit::{Cause, Changes, Recorded};
use ledger::ids::{RecordId, TenantId};
use ledger::order::Event;
use ledger::quarantine::{self as ledger_quarantine, MatchKey, Quarantined, Reason};
use projections::State;
use tokio::sync::broadcast::error::RecvError;

use super::apply::{self, Applied};
use super::{quarantine, sources};
use crate::app::App;
use crate::metrics;
use crate::orders::OrderError;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often the projector is asked whether it has caught up.
const POLL: Duration = Duration::from_millis(100);

/// Runs until the server shuts down.
pub async fn run(app: Arc<App>) {
    tokio::select! {
        () = app.shutdown.begun() => {}
        () = keep_releasing(&app) => {}
    }
}

async fn keep_releasing(app: &App) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        match follow(app).await {
            Ok(End::Missed) => {}
            Ok(End::ProjectorStopped) => return,
            Err(error) => {
                if started.elapsed() > LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
                // One line a pause, and the pauses grow: an outage does not flood the log.
                tracing::warn!(%error, pause_ms = pause.as_millis() as u64, "releasing webhooks failed; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

enum End {
    /// Changes may have been missed.
    Missed,
    /// There will be no more.
    ProjectorStopped,
}

/// Sweeps what is open, then follows the changes until some are missed.
async fn follow(app: &App) -> Result<End, OrderError> {
    while app.projector.status().state != State::Live {
        tokio::time::sleep(POLL).await;
    }
    // Before the sweep, so that nothing falls between the two.
    let mut changes = app.projector.changes();
    let open = app.views.open_waiting(usize::MAX)?;
    let mut any_waits = !open.is_empty();
    for (tenant, webhook) in open {
        release(app, &tenant, webhook).await?;
    }
    loop {
        match changes.recv().await {
            Ok(change) => on_change(app, &change.recorded, &mut any_waits).await?,
            Err(RecvError::Lagged(missed)) => {
                tracing::info!(missed, "fell behind the changes; sweeping what is open");
                return Ok(End::Missed);
            }
            Err(RecvError::Closed) => return Ok(End::ProjectorStopped),
        }
    }
}

/// `any_waits`: whether any webhook of any tenant may wait for its order. Mostly none does, and then a new order needs no
/// look into the views.
async fn on_change(app: &App, recorded: &Recorded, any_waits: &mut bool) -> Result<(), OrderError> {
    // It may be of another node, and the next webhook of its order is about to be decided here.
    app.ledger.heard_of(recorded);
    let commit = &recorded.commit;
    match &commit.changes {
        Changes::Order(_) if !*any_waits => Ok(()),
        Changes::Order(events) => {
            for key in events.iter().flat_map(|event| appeared(commit.record, event)) {
                for webhook in app.views.waiting_webhooks(&commit.tenant, &key)? {
                    release(app, &commit.tenant, webhook).await?;
                }
            }
            Ok(())
        }
        Changes::Quarantine(events) => {
            for event in events {
                match event {
                    // Its order may have appeared before this entry could be seen.
                    ledger_quarantine::Event::WebhookQuarantined { reason: Reason::UnknownOrder, .. } => {
                        *any_waits = true;
                        release(app, &commit.tenant, commit.record).await?;
                    }
                    ledger_quarantine::Event::WebhookQuarantined { .. } => {}
                    // Maybe it was the last. Of one that waits and is not in the views yet, this task is told later.
                    ledger_quarantine::Event::WebhookReleased { .. }
                    | ledger_quarantine::Event::WebhookDiscarded { .. } => {
                        *any_waits = !app.views.open_waiting(1)?.is_empty();
                    }
                }
            }
            Ok(())
        }
        Changes::Offer(_) => Ok(()),
    }
}

/// What webhooks could be waiting for that this event brings.
fn appeared(order: RecordId, event: &Event) -> Vec<MatchKey> {
    match event {
        Event::CheckoutSubmitted(checkout) => {
            vec![MatchKey::Order(order), MatchKey::MerchantReference(checkout.merchant_reference.clone())]
        }
        Event::AttemptStarted { payment_reference: Some(reference), .. }
        | Event::AttemptLinked { payment_reference: reference, .. } => {
            vec![MatchKey::PaymentReference(reference.clone())]
        }
        Event::AttemptStarted { payment_reference: None, .. }
        | Event::ActionRequired { .. }
        | Event::PaymentAuthorized { .. }
        | Event::PaymentFailed { .. }
        | Event::CaptureRequested { .. }
        | Event::PaymentCaptured { .. }
        | Event::CaptureFailed { .. }
        | Event::CancellationRequested
        | Event::OrderCanceled
        | Event::OrderExpired
        | Event::PaymentVoided { .. }
        | Event::AuthorizationExpired { .. }
        | Event::RefundRequested { .. }
        | Event::RefundSettled { .. }
        | Event::RefundFailed { .. }
        | Event::ChargebackOpened { .. }
        | Event::ChargebackWon { .. }
        | Event::ChargebackLost { .. }
        | Event::WebhookNoted { .. }
        | Event::SurfaceNoted { .. }
        | Event::PersonalDataForgotten => Vec::new(),
    }
}

/// Applies a waiting webhook if its order is there now, and closes it. Fails only when the journal does; one
/// webhook that cannot be released does not keep the others waiting.
async fn release(app: &App, tenant: &TenantId, record: RecordId) -> Result<(), OrderError> {
    match try_release(app, tenant, record).await {
        Ok(()) => Ok(()),
        Err(error @ (OrderError::Unavailable(_) | OrderError::Unknown(_))) => Err(error),
        Err(
            error @ (OrderError::Rejected(_)
            | OrderError::NotFound
            | OrderError::KeyReused
            | OrderError::TooLarge { .. }
            | OrderError::Internal(_)),
        ) => {
            tracing::error!(%tenant, webhook = %record, %error, "a quarantined webhook cannot be released");
            Ok(())
        }
    }
}

async fn try_release(app: &App, tenant: &TenantId, record: RecordId) -> Result<(), OrderError> {
    let history = app.ledger.history::<Quarantined>(tenant, record).await?;
    let waits = |webhook: &Quarantined| webhook.outcome.is_none() && webhook.reason == Reason::UnknownOrder;
    let (Some(first), true) = (history.commits.first(), history.state.as_ref().is_some_and(waits)) else {
        return Ok(());
    };
    let Cause::Webhook { source: name, event_id, body } = &first.commit.cause else {
        return Ok(());
    };
    let configured = app.tenants.webhook_source(tenant, name).map(sources::configured);
    let Some(Ok(source)) = configured else {
        tracing::debug!(%tenant, source = name, webhook = %record, "waits for a source that is not configured");
        return Ok(());
    };
    // It was readable when it came in; a reader that has changed since may think otherwise.
    let items = source.read(event_id, body).unwrap_or_default();
    let Some(item) = items.iter().find(|item| item.event_id == *event_id) else { return Ok(()) };
    match apply::apply(app, tenant, name, item, body).await? {
        Applied::Recorded { order, .. } | Applied::Duplicate { order, .. } => {
            quarantine::release(app, tenant, record, order).await?;
            metrics::webhook(name, "released", None);
            tracing::info!(%tenant, source = name, webhook = %record, %order, "a quarantined webhook was applied");
            Ok(())
        }
        Applied::NoOrder => Ok(()),
        Applied::Unmatched { detail } | Applied::Refused { detail } => {
            tracing::debug!(%tenant, source = name, webhook = %record, detail, "still waits");
            Ok(())
        }
    }
}
