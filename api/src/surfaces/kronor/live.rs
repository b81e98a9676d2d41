//! Subscriptions: the answer as it is now, then again whenever it has become another one.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, stream};
use ledger::commit::{Changes, Recorded};
use projections::{Change, Waiter};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::caller::Caller;
use super::find::{Search, find};
use super::purchase_order::PurchaseOrder;
use super::refusal::Refusal;
use crate::app::App;

/// Changes that come within so long of the first are answered together.
const TOGETHER: Duration = Duration::from_millis(100);
/// A subscription that is woken all the time rests so many times as long as its last search took.
const REST: u32 = 10;

/// One subscription.
struct Live<T> {
    app: Arc<App>,
    caller: Caller,
    search: Search,
    shown: fn(Vec<PurchaseOrder>) -> Vec<T>,
    changes: Watched,
    last: Option<Vec<T>>,
    last_took: Duration,
    is_over: bool,
}

enum Watched {
    /// One order: nothing else wakes this subscription.
    One(Waiter),
    /// Whatever the tenant has.
    All(broadcast::Receiver<Arc<Change>>),
}

/// The answers to `search`. It ends when the server goes down, and after an answer that could not be given.
pub(super) fn answers<T>(
    app: Arc<App>,
    caller: Caller,
    search: Search,
    shown: fn(Vec<PurchaseOrder>) -> Vec<T>,
) -> impl Stream<Item = Result<Vec<T>, Refusal>> + Send
where
    T: Clone + PartialEq + Send + 'static,
{
    // The watch begins before the first reading: no change in between is missed.
    let only = match &caller {
        Caller::Buyer { order, .. } => Some(*order),
        Caller::Merchant(_) => search.only(&caller),
    };
    let changes = match only {
        Some(order) => Watched::One(app.projector.watch(order)),
        None => Watched::All(app.projector.changes()),
    };
    let live =
        Live { app, caller, search, shown, changes, last: None, last_took: Duration::ZERO, is_over: false };
    stream::unfold(live, |mut live| async move {
        let answer = live.next().await?;
        Some((answer, live))
    })
}

impl<T: Clone + PartialEq> Live<T> {
    async fn next(&mut self) -> Option<Result<Vec<T>, Refusal>> {
        if self.is_over {
            return None;
        }
        loop {
            if self.last.is_some() && !self.changed().await {
                return None;
            }
            let started = Instant::now();
            let found = find(&self.app, &self.caller, &self.search).await;
            self.last_took = started.elapsed();
            match found {
                Ok(found) => {
                    let answer = (self.shown)(found);
                    if self.last.as_ref() != Some(&answer) {
                        self.last = Some(answer.clone());
                        return Some(Ok(answer));
                    }
                }
                Err(refusal) => {
                    self.is_over = true;
                    return Some(Err(refusal));
                }
            }
        }
    }

    /// Waits until something changed that may change the answer; false: nothing will any more.
    async fn changed(&mut self) -> bool {
        let shutdown = self.app.shutdown.clone();
        let rest = TOGETHER.max(self.last_took * REST);
        tokio::select! {
            is_more = self.changes.next(&self.caller, rest) => is_more,
            () = shutdown.begun() => false,
        }
    }
}

impl Watched {
    async fn next(&mut self, caller: &Caller, rest: Duration) -> bool {
        let changes = match self {
            Watched::One(waiter) => {
                waiter.changed().await;
                return true;
            }
            Watched::All(changes) => changes,
        };
        loop {
            match changes.recv().await {
                Ok(change) if concerns(&change.recorded, caller) => break,
                Ok(_) => {}
                // Something was left out; only looking again tells what.
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return false,
            }
        }
        tokio::time::sleep(rest).await;
        // What came meanwhile is in the views before the next look at them.
        *changes = changes.resubscribe();
        true
    }
}

fn concerns(recorded: &Recorded, caller: &Caller) -> bool {
    let is_order = match recorded.commit.changes {
        Changes::Order(_) => true,
        Changes::Offer(_) | Changes::Quarantine(_) => false,
    };
    is_order && recorded.commit.tenant == *caller.tenant()
}
