//! All orders of one tenant as of a moment, folded from the start of the log.
//!
//! The whole log up to the moment is read, and of it the tenant's commits are decoded. What is kept in memory is the
//! tenant's orders, each without what only its own page shows: items, addresses, personal data.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use futures::StreamExt;
use ledger::accounts::TrialBalance;
use ledger::commit::{Changes, Recorded};
use ledger::execute::LoadError;
use ledger::ids::{Position, RecordId, TenantId};
use ledger::journal::{Journal, ReadError};
use ledger::money::Currency;
use ledger::order::{Challenge, Customer, Order, ReturnUrls, Surface};
use projections::Progress;
use projections::views::{ListFilter, OrderView, Totals};

use super::decoded::{Chunk, decoded};
use super::{Moment, apply};

/// A tail that brings nothing for so long although there is more has failed.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// All orders of one tenant as of a moment.
#[derive(Debug)]
pub struct Snapshot {
    moment: Moment,
    orders: HashMap<RecordId, Cut>,
}

/// An order whose history may have been cut already.
#[derive(Debug, Default)]
struct Cut {
    /// In a box, since a table that grows moves all that it holds.
    view: Option<Box<OrderView>>,
    is_cut: bool,
}

/// The orders of a page, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageOfIds {
    /// Which.
    pub ids: Vec<RecordId>,
    /// The cursor of the next page; none when this page is the last.
    pub next: Option<Position>,
}

impl Snapshot {
    /// Reads the log up to the moment, or to the end that it has now.
    pub async fn read(
        journal: &dyn Journal,
        tenant: &TenantId,
        moment: Moment,
        mut progress: impl FnMut(Progress),
    ) -> Result<Self, LoadError> {
        let mut snapshot = Snapshot::new(moment);
        let mut ends = Vec::new();
        for partition in 0..journal.partitions() {
            ends.push(moment.end(partition, journal.last_sequence(partition).await?));
        }
        let (started, total, mut done) = (Instant::now(), ends.iter().sum(), 0);
        for (partition, end) in (0..).zip(ends) {
            if end == 0 {
                continue;
            }
            let tail = journal.tail(partition, 0).await?;
            let mut chunks = decoded(tail, partition, end, tenant);
            let mut left = end;
            while left > 0 {
                let Chunk { read, commits, failed } =
                    match tokio::time::timeout(LONGEST_SILENCE, chunks.next()).await {
                        Ok(Some(chunk)) => chunk,
                        Ok(None) => return Err(unavailable("the journal's tail ended")),
                        Err(_elapsed) => return Err(unavailable("the journal's tail has fallen silent")),
                    };
                for recorded in &commits {
                    snapshot.apply(recorded)?;
                }
                failed.map_or(Ok(()), Err)?;
                left -= read;
                done += read;
                progress(Progress::at(done, total, started.elapsed()));
                // Others may want to run.
                tokio::task::yield_now().await;
            }
        }
        progress(Progress::at(done, total, started.elapsed()));
        Ok(snapshot)
    }

    /// Before the first commit.
    pub(super) fn new(moment: Moment) -> Self {
        Snapshot { moment, orders: HashMap::new() }
    }

    /// Takes in a commit of the tenant, the next one of its record.
    pub(super) fn apply(&mut self, recorded: &Recorded) -> Result<(), LoadError> {
        match recorded.commit.changes {
            Changes::Order(_) => {}
            Changes::Offer(_) | Changes::Quarantine(_) => return Ok(()),
        }
        let order = self.orders.entry(recorded.commit.record).or_default();
        order.is_cut |= !self.moment.includes(recorded);
        if !order.is_cut {
            let mut view = apply(order.view.take().map(|view| *view), recorded)?;
            lighten(&mut view.order);
            order.view = Some(Box::new(view));
        }
        Ok(())
    }

    /// The orders' money, by currency.
    pub fn totals(&self) -> BTreeMap<Currency, Totals> {
        let mut sums = BTreeMap::<Currency, Totals>::new();
        for view in self.views() {
            let (currency, totals) = Totals::of(&view.order);
            *sums.entry(currency).or_default() += totals;
        }
        sums
    }

    /// The orders' books, by currency.
    pub fn trial_balances(&self) -> BTreeMap<Currency, TrialBalance> {
        let mut sums = BTreeMap::<Currency, TrialBalance>::new();
        for view in self.views() {
            let books = TrialBalance::of(&(&view.order.balance()).into());
            *sums.entry(view.order.checkout.amount.currency()).or_default() += books;
        }
        sums
    }

    /// Which orders are listed, newest first as in the listing of what is now, from below the cursor: the `next` of
    /// the page before. A cursor is good for as long as the moment is the same.
    pub fn page(&self, filter: &ListFilter, cursor: Option<Position>, limit: usize) -> PageOfIds {
        let age = |position: Position| (position.sequence, position.partition);
        let is_below = |view: &&OrderView| cursor.is_none_or(|cursor| age(view.first) < age(cursor));
        let mut found: Vec<&OrderView> =
            self.views().filter(is_below).filter(|view| filter.matches(view)).collect();
        found.sort_unstable_by_key(|view| std::cmp::Reverse(age(view.first)));
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().map(|view| view.first).filter(|_| has_more);
        PageOfIds { ids: found.iter().map(|view| view.id).collect(), next }
    }

    fn views(&self) -> impl Iterator<Item = &OrderView> {
        self.orders.values().filter_map(|order| order.view.as_deref())
    }
}

/// Takes from an order what says nothing about its status, its money or its name.
fn lighten(order: &mut Order) {
    let checkout = &mut order.checkout;
    checkout.payment_method = None;
    checkout.items = Vec::new();
    checkout.customer = Customer::default();
    checkout.return_urls = ReturnUrls::default();
    checkout.metadata.clear();
    checkout.surface = Surface::default();
    for attempt in &mut order.attempts {
        attempt.payment_method = None;
        if let Some(challenge) = &mut attempt.challenge {
            *challenge = Challenge::default();
        }
    }
}

fn unavailable(reason: &'static str) -> LoadError {
    ReadError::Unavailable(reason.into()).into()
}
