//! One batch of commits, folded into all views together. The same code serves the projector, a rebuild and a
//! check, so what they leave can be compared byte by byte.
//!
//! What must stay true: the rows after a batch depend on the rows before it and on its commits, never on where
//! the batch was cut. So nothing is written along the way. A record's commits are folded in memory, and at the end
//! its index rows are those that its new view calls for, less those that its old view called for.

use std::collections::BTreeMap;
use std::collections::HashMap;

use ledger::commit::{Changes, Recorded};
use ledger::ids::TenantId;
use ledger::journal::Subject;
use ledger::money::Currency;
use ledger::order::{self, ImpossibleEvent};

use crate::store::StoreError;
use crate::store::keys::{self, Key};
use crate::store::rows::{
    Checkpoint, HistoryRow, IdempotencyRow, OfferRow, OrderRow, PositionRow, QuarantineRow, RecordRow,
    SubjectRow, TotalsRow, decode, encode,
};
use crate::views::{
    OfferView, OrderView, QuarantineView, Totals, expiry, history, idempotency, offer, quarantine, references,
};

/// How many orders' views are kept in memory between batches, twice.
const RECENT: usize = 8192;

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
    young: HashMap<Subject, OrderView>,
    old: HashMap<Subject, OrderView>,
}

impl Recent {
    fn take(&mut self, subject: &Subject) -> Option<OrderView> {
        self.young.remove(subject).or_else(|| self.old.remove(subject))
    }

    fn keep(&mut self, subject: Subject, view: OrderView) {
        if self.young.len() >= RECENT {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(subject, view);
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
    orders: HashMap<Subject, Touched<OrderView>>,
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
    pub(crate) fn new(base: &'a B, recent: &'a mut Recent) -> Self {
        Batch {
            base,
            recent,
            orders: HashMap::new(),
            offers: HashMap::new(),
            quarantine: HashMap::new(),
            totals: HashMap::new(),
            writes: Writes::new(),
        }
    }

    /// Folds one commit. After an error the batch is void.
    pub(crate) fn fold(&mut self, recorded: &Recorded) -> Result<(), FoldError> {
        match &recorded.commit.changes {
            Changes::Order(events) => self.fold_order(recorded, events)?,
            Changes::Offer(_) => self.fold_offer(recorded)?,
            Changes::Quarantine(_) => self.fold_quarantine(recorded)?,
        }
        if let Some((operation, key, entry)) = idempotency::entry(recorded) {
            let key = keys::idempotency(&recorded.commit.tenant, operation, key).at(recorded.position);
            self.put(key, encode(&IdempotencyRow::from(entry)));
        }
        Ok(())
    }

    /// Notes how far a partition is folded.
    pub(crate) fn checkpoint(&mut self, partition: u16, checkpoint: Checkpoint) {
        self.put(keys::checkpoint(partition), encode(&checkpoint));
    }

    /// All that is to be written, together or not at all.
    pub(crate) fn finish(mut self) -> Result<Writes, StoreError> {
        for (subject, Touched { before, view }) in std::mem::take(&mut self.orders) {
            self.put(keys::order(view.first), encode(&OrderRow::from(&view)));
            self.reindex(before, order_index(&view));
            self.recent.keep(subject, view);
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

    fn fold_order(&mut self, recorded: &Recorded, events: &[order::Event]) -> Result<(), FoldError> {
        let subject = recorded.commit.subject();
        let (before, view) = match self.orders.remove(&subject) {
            Some(Touched { before, view }) => (before, Some(view)),
            None => {
                let view = self.load_order(&subject)?;
                (view.as_ref().map_or_else(Vec::new, order_index), view)
            }
        };
        let contribution = view.as_ref().map(|view| Totals::of(&view.order));
        let view = crate::views::order::apply(view, recorded)?;

        let (currency, now) = Totals::of(&view.order);
        let totals = self.totals.entry((subject.tenant.clone(), currency)).or_default();
        *totals += now;
        // An order's currency never changes: `evolve` refuses amounts in another.
        if let Some((_, then)) = contribution {
            *totals -= then;
        }
        let entry = history::entry(recorded, events, &view.order);
        self.put(keys::history(view.first, recorded.position), encode(&HistoryRow::from(&entry)));
        self.orders.insert(subject, Touched { before, view });
        Ok(())
    }

    fn load_order(&mut self, subject: &Subject) -> Result<Option<OrderView>, StoreError> {
        if let Some(view) = self.recent.take(subject) {
            return Ok(Some(view));
        }
        let Some(first) = self.base.get(&keys::order_id(&subject.tenant, subject.id))? else {
            return Ok(None);
        };
        let first = decode::<PositionRow>(first.as_ref())?.into();
        let row = self.base.get(&keys::order(first))?;
        let row = row.ok_or_else(|| StoreError::Damaged(format!("the order at {first} is missing")))?;
        OrderView::try_from(decode::<OrderRow<'_>>(row.as_ref())?).map(Some)
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

/// The index rows that an order calls for. What a key points at never changes.
fn order_index(view: &OrderView) -> Vec<(Key, Vec<u8>)> {
    let OrderView { tenant, id, order, first, .. } = view;
    let id_row = || encode(&RecordRow::from(*id));
    let mut rows = vec![
        (keys::order_id(tenant, *id), encode(&PositionRow::from(*first))),
        (keys::all_orders(tenant).at(*first), encode(&())),
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
