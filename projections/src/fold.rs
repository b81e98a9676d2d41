//! One batch of commits, folded into all views together. The same code serves the projector, a rebuild and a
//! check, so what they leave can be compared byte by byte.
//!
//! What must stay true: the rows after a batch depend on the rows before it and on its commits, never on where
//! the batch was cut. So nothing is written along the way. A record's commits are folded in memory, and at the end
//! its index rows are those that its new view calls for, less those that its old view called for.

use std::collections::BTreeMap;
use std::collections::HashMap;

use ledger::codec::Sealed;
use ledger::commit::{Changes, Recorded};
use ledger::ids::TenantId;
use ledger::journal::Subject;
use ledger::money::Currency;
use ledger::order::{self, ImpossibleEvent};

use crate::rules::Rules;
use crate::store::StoreError;
use crate::store::keys::{self, Key};
use crate::store::rows::{
    Checkpoint, HistoryRow, IdempotencyRow, OfferRow, OrderRow, PositionRow, QuarantineRow, RecordRow,
    SubjectRow, TotalsRow, append, decode, encode,
};
use crate::views::{
    OfferView, OrderView, QuarantineView, Totals, expiry, history, idempotency, offer, quarantine, references,
};

/// How many orders are kept in memory between batches, twice.
const RECENT: usize = 8192;
/// How many commits of an order share a row of its history: sled's price is by the row, and most orders end sooner.
const PART: u64 = 16;

/// Rows as they are before a batch.
pub(crate) trait Base {
    /// A row's bytes.
    type Row: AsRef<[u8]>;

    /// The row of a key.
    fn get(&self, key: &Key) -> Result<Option<Self::Row>, StoreError>;
}

/// Rows to write, and (with none) to remove; each key once.
pub(crate) type Writes = BTreeMap<Key, Option<Vec<u8>>>;

/// Why a commit could not be folded.
#[derive(Debug)]
pub(crate) enum FoldError {
    /// It cannot follow what came before it.
    Impossible(ImpossibleEvent),
    /// The rows before it cannot be read.
    Store(StoreError),
}

impl From<ImpossibleEvent> for FoldError {
    fn from(error: ImpossibleEvent) -> Self {
        FoldError::Impossible(error)
    }
}

impl From<StoreError> for FoldError {
    fn from(error: StoreError) -> Self {
        FoldError::Store(error)
    }
}

/// Orders changed lately, so that their next commit needs no reading. Belongs to one writer of one generation.
#[derive(Default)]
pub(crate) struct Recent {
    young: HashMap<Subject, Box<RecentOrder>>,
    old: HashMap<Subject, Box<RecentOrder>>,
}

/// An order and the newest row of its history, which its next commit may be added to.
struct RecentOrder {
    view: OrderView,
    history: Vec<u8>,
}

impl Recent {
    fn take(&mut self, subject: &Subject) -> Option<Box<RecentOrder>> {
        self.young.remove(subject).or_else(|| self.old.remove(subject))
    }

    fn keep(&mut self, subject: Subject, order: Box<RecentOrder>) {
        if self.young.len() >= RECENT {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(subject, order);
    }

    /// After a batch that was not written, nothing in here is to be believed.
    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

/// Commits folded and not yet written.
pub(crate) struct Batch<'a, B> {
    base: &'a B,
    recent: &'a mut Recent,
    rules: Rules,
    orders: HashMap<Subject, Touched<Box<RecentOrder>>>,
    offers: HashMap<Subject, OfferView>,
    quarantine: HashMap<Subject, Touched<QuarantineView>>,
    totals: HashMap<(TenantId, Currency), Totals>,
    writes: Writes,
}

/// A record that the batch changes.
struct Touched<V> {
    /// The index rows that its view called for before the batch.
    before: Vec<(Key, Vec<u8>)>,
    /// Its view now.
    view: V,
}

impl<'a, B: Base> Batch<'a, B> {
    pub(crate) fn new(base: &'a B, recent: &'a mut Recent, rules: Rules) -> Self {
        Batch {
            base,
            recent,
            rules,
            orders: HashMap::new(),
            offers: HashMap::new(),
            quarantine: HashMap::new(),
            totals: HashMap::new(),
            writes: Writes::new(),
        }
    }

    /// Folds one commit, and keeps what is sealed of it as it is. After an error the batch is void.
    pub(crate) fn fold(&mut self, recorded: &Recorded, sealed: Option<&Sealed>) -> Result<(), FoldError> {
        match &recorded.commit.changes {
            Changes::Order(events) => return self.fold_order(recorded, events, sealed),
            Changes::Offer(_) => self.fold_offer(recorded)?,
            Changes::Quarantine(_) => self.fold_quarantine(recorded)?,
        }
        self.put_idempotency(recorded);
        Ok(())
    }

    /// Notes how far a partition is folded.
    pub(crate) fn checkpoint(&mut self, partition: u16, checkpoint: Checkpoint) {
        self.put(keys::checkpoint(partition), encode(&checkpoint));
    }

    /// All that is to be written, together or not at all.
    pub(crate) fn finish(mut self) -> Result<Writes, StoreError> {
        for (subject, Touched { before, view: order }) in std::mem::take(&mut self.orders) {
            let RecentOrder { view, history } = &*order;
            self.put(keys::orders(&view.tenant).at(view.first), encode(&OrderRow::from(view)));
            self.put(newest_history(view), history.clone());
            self.reindex(before, order_index(view));
            self.recent.keep(subject, order);
        }
        for (subject, view) in std::mem::take(&mut self.offers) {
            self.put(keys::offer(&subject.tenant, subject.id), encode(&OfferRow::from(&view)));
        }
        for (_, Touched { before, view }) in std::mem::take(&mut self.quarantine) {
            let key = keys::quarantine(&view.tenant).at(view.first);
            self.put(key, encode(&QuarantineRow::from(&view)));
            self.reindex(before, quarantine_index(&view));
        }
        for ((tenant, currency), change) in std::mem::take(&mut self.totals) {
            let key = keys::totals(&tenant, currency);
            let mut totals = match self.base.get(&key)? {
                Some(row) => Totals::from(decode::<TotalsRow>(row.as_ref())?),
                None => Totals::default(),
            };
            totals += change;
            self.put(key, encode(&TotalsRow::from(totals)));
        }
        Ok(self.writes)
    }

    fn fold_order(
        &mut self,
        recorded: &Recorded,
        events: &[order::Event],
        sealed: Option<&Sealed>,
    ) -> Result<(), FoldError> {
        let subject = recorded.commit.subject();
        let (before, order) = match self.orders.remove(&subject) {
            Some(Touched { before, view }) => (before, Some(view)),
            None => {
                let order = self.load_order(&subject)?;
                (order.as_ref().map_or_else(Vec::new, |order| order_index(&order.view)), order)
            }
        };
        let contribution = order.as_ref().map(|order| Totals::of(&order.view.order));
        let (view, mut part) = match order.map(|order| *order) {
            Some(RecentOrder { view, history }) if view.commits.is_multiple_of(PART) => {
                self.put(newest_history(&view), history);
                (Some(view), Vec::new())
            }
            Some(RecentOrder { view, history }) => (Some(view), history),
            None => (None, Vec::new()),
        };
        let mut view = (self.rules.order)(view, recorded)?;
        if !view.order.forgotten {
            view.sealed.extend(sealed.and_then(Sealed::events).cloned());
        }

        let (currency, now) = Totals::of(&view.order);
        let totals = self.totals.entry((subject.tenant.clone(), currency)).or_default();
        *totals += now;
        // An order's currency never changes: `evolve` refuses amounts in another.
        if let Some((_, then)) = contribution {
            *totals -= then;
        }
        let opens = view.first == recorded.position && idempotency::opens(recorded);
        if !opens {
            self.put_idempotency(recorded);
        }
        let entry = history::entry(recorded, events, &view.order);
        append(&mut part, &HistoryRow::of(&entry, opens));
        let order = Box::new(RecentOrder { view, history: part });
        self.orders.insert(subject, Touched { before, view: order });
        Ok(())
    }

    fn load_order(&mut self, subject: &Subject) -> Result<Option<Box<RecentOrder>>, StoreError> {
        if let Some(order) = self.recent.take(subject) {
            return Ok(Some(order));
        }
        let Some(first) = self.base.get(&keys::order_id(&subject.tenant, subject.id))? else {
            return Ok(None);
        };
        let first = decode::<PositionRow>(first.as_ref())?.into();
        let missing = || StoreError::Damaged(format!("the order at {first} is missing"));
        let row = self.base.get(&keys::orders(&subject.tenant).at(first))?.ok_or_else(missing)?;
        let view = OrderView::try_from(decode::<OrderRow<'_>>(row.as_ref())?)?;
        let history = self.base.get(&newest_history(&view))?.ok_or_else(missing)?.as_ref().to_vec();
        Ok(Some(Box::new(RecentOrder { view, history })))
    }

    /// A row for the key that a commit was made under.
    fn put_idempotency(&mut self, recorded: &Recorded) {
        if let Some((operation, key, entry)) = idempotency::entry(recorded) {
            let key = keys::idempotency(&recorded.commit.tenant, operation, key).at(recorded.position);
            self.put(key, encode(&IdempotencyRow::from(entry)));
        }
    }

    fn fold_offer(&mut self, recorded: &Recorded) -> Result<(), FoldError> {
        let subject = recorded.commit.subject();
        let view = match self.offers.remove(&subject) {
            Some(view) => Some(view),
            None => match self.base.get(&keys::offer(&subject.tenant, subject.id))? {
                Some(row) => Some(OfferView::try_from(decode::<OfferRow<'_>>(row.as_ref())?)?),
                None => None,
            },
        };
        self.offers.insert(subject, offer::apply(view, recorded)?);
        Ok(())
    }

    fn fold_quarantine(&mut self, recorded: &Recorded) -> Result<(), FoldError> {
        let subject = recorded.commit.subject();
        let (before, view) = match self.quarantine.remove(&subject) {
            Some(Touched { before, view }) => (before, Some(view)),
            None => {
                let view = self.load_quarantine(&subject)?;
                (view.as_ref().map_or_else(Vec::new, quarantine_index), view)
            }
        };
        let view = quarantine::apply(view, recorded)?;
        self.quarantine.insert(subject, Touched { before, view });
        Ok(())
    }

    fn load_quarantine(&self, subject: &Subject) -> Result<Option<QuarantineView>, StoreError> {
        let Some(first) = self.base.get(&keys::quarantine_id(&subject.tenant, subject.id))? else {
            return Ok(None);
        };
        let first = decode::<PositionRow>(first.as_ref())?.into();
        let row = self.base.get(&keys::quarantine(&subject.tenant).at(first))?;
        let row = row.ok_or_else(|| StoreError::Damaged(format!("the webhook at {first} is missing")))?;
        QuarantineView::try_from(decode::<QuarantineRow<'_>>(row.as_ref())?).map(Some)
    }

    fn put(&mut self, key: Key, row: Vec<u8>) {
        self.writes.insert(key, Some(row));
    }

    fn reindex(&mut self, before: Vec<(Key, Vec<u8>)>, after: Vec<(Key, Vec<u8>)>) {
        for (key, _) in &before {
            if !after.iter().any(|(kept, _)| kept == key) {
                self.writes.insert(key.clone(), None);
            }
        }
        for (key, row) in after {
            if !before.iter().any(|(known, _)| *known == key) {
                self.put(key, row);
            }
        }
    }
}

/// The row of an order's history that holds its newest commit.
fn newest_history(view: &OrderView) -> Key {
    keys::history(&view.tenant, view.first, view.commits.saturating_sub(1) / PART)
}

/// The index rows that an order calls for. What a key points at never changes.
pub(crate) fn order_index(view: &OrderView) -> Vec<(Key, Vec<u8>)> {
    let OrderView { tenant, id, order, first, .. } = view;
    let id_row = || encode(&RecordRow::from(*id));
    let mut rows = vec![
        (keys::order_id(tenant, *id), encode(&PositionRow::from(*first))),
        (keys::by_status(tenant, order.status()).at(*first), encode(&())),
        (keys::merchant_reference(tenant, &order.checkout.merchant_reference).at(*first), id_row()),
    ];
    for reference in references::payment_references(order) {
        rows.push((keys::payment_reference(tenant, reference).at(*first), id_row()));
    }
    if let Some(at) = expiry::due_at(order) {
        rows.push((keys::expiry(at).at(*first), encode(&SubjectRow::of(tenant, *id))));
    }
    rows
}

/// The index rows that a quarantined webhook calls for.
fn quarantine_index(view: &QuarantineView) -> Vec<(Key, Vec<u8>)> {
    let QuarantineView { tenant, id, first, .. } = view;
    let mut rows = vec![(keys::quarantine_id(tenant, *id), encode(&PositionRow::from(*first)))];
    for wanted in view.waits_for() {
        rows.push((keys::waiting(tenant, wanted).at(*first), encode(&SubjectRow::of(tenant, *id))));
    }
    rows
}
