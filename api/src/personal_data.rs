//! Forgetting a person: the keys of an order's personal data are destroyed, and every node hears of it.
//!
//! The keys go first, the event second. Whoever is cut short in between has been promised nothing, and asks again;
//! what is sealed cannot be read any more from the first step on.

use std::sync::Arc;

use ledger::commit::Changes;
use ledger::execute::{ForgetError, Outcome, Request};
use ledger::ids::{Position, RecordId, TenantId};
use ledger::order::{Command, Event, Order};
use ledger::quarantine::{self, MatchKey};
use projections::views::{OrderView, QuarantineView};
use tokio::sync::broadcast::error::RecvError;

use crate::app::App;
use crate::orders::{self, Ask, OrderError};

/// Quarantined webhooks looked at together.
const PAGE: usize = 500;

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// The order.
    pub order: RecordId,
    /// The commit that says so; none when an earlier one did.
    pub position: Option<Position>,
    /// Commits with something sealed that nobody can open any more, those of quarantined webhooks included.
    pub commits: usize,
}

/// Why not everything was forgotten. Asking again is safe.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A commit from before personal data was sealed keeps what it has.
    #[error("the commit at {position} holds personal data that was never sealed")]
    NotSealed {
        /// Where.
        position: Position,
    },
    /// As for every other use case.
    #[error(transparent)]
    Order(#[from] OrderError),
}

impl From<ForgetError> for Failure {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::NotSealed { position } => Failure::NotSealed { position },
            ForgetError::Load(error) => Failure::Order(error.into()),
        }
    }
}

/// Destroys the keys of an order's personal data and of the webhooks in quarantine that are about it, and writes down
/// that it was done. A second time is well, and does what the first may have left.
pub async fn forget(app: &App, ask: Ask, operation: &str, order: RecordId) -> Result<Forgotten, Failure> {
    let view = orders::order(app, &ask.tenant, order, None).await?;
    let mut commits = 0;
    for webhook in webhooks_about(app, &ask.tenant, &view).await? {
        commits += app.ledger.destroy_keys(&ask.tenant, webhook).await?.unwrap_or_default();
    }
    commits += app.ledger.destroy_keys(&ask.tenant, order).await?.unwrap_or_default();
    let request = Request {
        tenant: ask.tenant.clone(),
        record: order,
        cause: ask.cause(operation),
        command: Command::ForgetPersonalData,
        at: ask.at,
        is_new: false,
    };
    let position = match app.ledger.execute::<Order>(request).await.map_err(OrderError::from)? {
        Outcome::Committed(done) | Outcome::Repeated(done) => {
            orders::note(app, &done);
            Some(done.recorded.position)
        }
        Outcome::Unchanged(_) => None,
    };
    Ok(Forgotten { order, position, commits })
}

/// Webhooks in quarantine that were applied to the order, or wait for it.
async fn webhooks_about(
    app: &App,
    tenant: &TenantId,
    order: &OrderView,
) -> Result<Vec<RecordId>, OrderError> {
    let views = orders::fresh_views(app, None).await;
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = views.quarantine(tenant, cursor, PAGE)?;
        found.extend(page.iter().filter(|webhook| is_about(webhook, order)).map(|webhook| webhook.id));
        match page.last() {
            Some(last) if page.len() == PAGE => cursor = Some(last.first),
            Some(_) | None => return Ok(found),
        }
    }
}

fn is_about(webhook: &QuarantineView, order: &OrderView) -> bool {
    let names = |key: &MatchKey| match key {
        MatchKey::Order(id) => *id == order.id,
        MatchKey::MerchantReference(reference) => *reference == order.order.checkout.merchant_reference,
        MatchKey::PaymentReference(reference) => {
            let mut attempts = order.order.attempts.iter();
            attempts.any(|attempt| attempt.payment_reference.as_ref() == Some(reference))
        }
    };
    match &webhook.webhook.outcome {
        Some(quarantine::Outcome::Released { order: released_to }) => *released_to == order.id,
        Some(quarantine::Outcome::Discarded { .. }) | None => webhook.webhook.waits_for.iter().any(names),
    }
}

/// Lets go of keys in memory when another node has destroyed some.
pub async fn run(app: Arc<App>) {
    let mut changes = app.projector.changes();
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = app.shutdown.begun() => return,
        };
        let is_forgotten = match &change {
            Ok(change) => match &change.recorded.commit.changes {
                Changes::Order(events) => events.contains(&Event::PersonalDataForgotten),
                Changes::Offer(_) | Changes::Quarantine(_) => false,
            },
            // Something was left out.
            Err(RecvError::Lagged(_)) => true,
            Err(RecvError::Closed) => return,
        };
        if is_forgotten {
            app.ledger.keyring().forget_what_is_in_memory();
        }
    }
}
