//! Ends orders whose time has run out before they were authorized.
//!
//! The views say which orders look overdue; whether one really is, is decided by its rules on what the journal
//! holds, so an order that was authorized a moment ago is left alone.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use ledger::commit::Cause;
use ledger::execute::{Outcome, Request};
use ledger::ids::{RecordId, TenantId};
use ledger::order::{Command, Order};
use projections::State;

use crate::app::App;
use crate::orders::{self, OrderError};

/// How often the views are asked.
const TICK: Duration = Duration::from_secs(1);
/// The longest wait while the journal is away.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Most orders that are ended in one pass, and at a time in it.
const BATCH: usize = 500;
const AT_ONCE: usize = 16;

/// Runs until the server shuts down. That a step may be cut off then does not matter: another node, or the next
/// start, asks again.
pub async fn run(app: Arc<App>) {
    tokio::select! {
        () = app.shutdown.begun() => {}
        () = keep_expiring(&app) => {}
    }
}

async fn keep_expiring(app: &App) {
    let mut wait = TICK;
    loop {
        // Nodes that started together do not ask together.
        tokio::time::sleep(wait / 2 + jitter(wait / 2)).await;
        if app.projector.status().state != State::Live {
            continue;
        }
        wait = match pass(app).await {
            Ok(()) => {
                if wait > TICK {
                    tracing::info!("orders expire again");
                }
                TICK
            }
            Err(error) => {
                // One line a wait, and the waits grow: an outage does not flood the log.
                let wait = (wait * 2).min(LONGEST_WAIT);
                tracing::warn!(%error, wait_ms = wait.as_millis() as u64, "orders cannot expire now");
                wait
            }
        };
    }
}

/// Ends what is overdue now; the first failure of the journal ends the pass.
async fn pass(app: &App) -> Result<(), OrderError> {
    loop {
        let mut due = app.views.due(orders::now(), BATCH)?;
        let is_full = due.len() == BATCH;
        shuffle(&mut due);
        let mut asked = futures::stream::iter(due)
            .map(|(tenant, order)| expire(app, tenant, order))
            .buffer_unordered(AT_ONCE);
        let mut ended = None;
        while let Some(outcome) = asked.next().await {
            ended = ended.max(outcome?);
        }
        match ended {
            // Otherwise the same orders would be found again.
            Some(position) if is_full => app.projector.reached(position).await,
            Some(_) | None => return Ok(()),
        }
    }
}

/// Ends an order, if its time is really over. `None`: there was nothing to do.
async fn expire(
    app: &App,
    tenant: TenantId,
    order: RecordId,
) -> Result<Option<ledger::ids::Position>, OrderError> {
    let now = orders::now();
    let request = Request {
        tenant,
        record: order,
        cause: Cause::Timer { name: "expiry".to_owned() },
        command: Command::Expire { now },
        at: now,
        is_new: false,
    };
    match app.ledger.execute::<Order>(request).await.map_err(OrderError::from) {
        Ok(Outcome::Committed(done)) => Ok(Some(done.recorded.position)),
        Ok(Outcome::Repeated(_) | Outcome::Unchanged(_)) => Ok(None),
        Err(error @ (OrderError::Unavailable(_) | OrderError::Unknown(_))) => Err(error),
        Err(
            error @ (OrderError::Rejected(_)
            | OrderError::NotFound
            | OrderError::KeyReused
            | OrderError::TooLarge { .. }
            | OrderError::Internal(_)),
        ) => {
            tracing::error!(%order, %error, "an order that is due cannot be ended");
            Ok(None)
        }
    }
}

/// Anything from nothing to `most`.
fn jitter(most: Duration) -> Duration {
    Duration::from_micros(fastrand::u64(0..=most.as_micros() as u64))
}

/// Nodes that ask at the same moment begin with different orders.
fn shuffle(due: &mut [(TenantId, RecordId)]) {
    fastrand::shuffle(due);
}

#[cfg(test)]
mod tests;
