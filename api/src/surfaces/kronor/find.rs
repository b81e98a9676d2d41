//! Finding purchase orders: by their keys, references or numbers where the condition names them, else by a search
//! through the tenant's newest orders.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use ledger::ids::{Position, RecordId, TenantId};
use projections::views::ListFilter;

use super::caller::Caller;
use super::filter::{Condition, Field, Value};
use super::purchase_order::{self, PurchaseOrder};
use super::refusal::Refusal;
use crate::app::App;
use crate::orders::{self, OrderError, operation};

/// How many of a tenant's newest orders a search looks at.
pub(super) const SEARCHED: usize = 2_000;
/// How many orders are answered with at most, and without a `limit`.
pub(super) const MAX_LIMIT: usize = 100;
/// How many orders of one merchant reference are looked at.
const OF_ONE_REFERENCE: usize = 100;
const PAGE: usize = 100;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Search {
    /// Which orders.
    pub(super) condition: Condition,
    /// In which order; the newest first among those that are equal.
    pub(super) sorts: Vec<Sort>,
    /// How many.
    pub(super) limit: usize,
    /// How many are left out before.
    pub(super) offset: usize,
}

/// One field to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sort {
    pub(super) field: Field,
    pub(super) descending: bool,
}

impl Search {
    /// A search with these bounds as they were given.
    pub(super) fn new(
        condition: Condition,
        sorts: Vec<Sort>,
        limit: Option<i32>,
        offset: Option<i32>,
    ) -> Result<Search, Refusal> {
        let within = |name: &str, given: Option<i32>, absent: usize, most: usize| {
            let given = given.map_or(Some(absent), |given| usize::try_from(given).ok());
            let refused = || Refusal::input(name, format!("not between 0 and {most}"));
            given.filter(|given| *given <= most).ok_or_else(refused)
        };
        Ok(Search {
            condition,
            sorts,
            limit: within("limit", limit, MAX_LIMIT, MAX_LIMIT)?,
            offset: within("offset", offset, 0, SEARCHED)?,
        })
    }

    /// The one order that can be in the answer, if it is one.
    pub(super) fn only(&self, caller: &Caller) -> Option<RecordId> {
        match (caller, self.condition.pinned(Field::Id)?.as_slice()) {
            (Caller::Merchant(tenant), [id]) => record_of(tenant, id),
            (Caller::Merchant(_) | Caller::Buyer { .. }, _) => None,
        }
    }

    /// Whether the newest come first: then a search may end as soon as it has enough.
    fn is_newest_first(&self) -> bool {
        self.sorts.first().is_none_or(|sort| sort.field == Field::CreatedAt && sort.descending)
            && self.sorts.len() < 2
    }

    fn compare(&self, a: &PurchaseOrder, b: &PurchaseOrder) -> Ordering {
        for Sort { field, descending } in &self.sorts {
            let (a, b) = (field.of(a), field.of(b));
            // Nothing comes last upwards and first downwards, as in SQL.
            let ordering = a.is_none().cmp(&b.is_none()).then(a.cmp(&b));
            let ordering = if *descending { ordering.reverse() } else { ordering };
            if ordering.is_ne() {
                return ordering;
            }
        }
        newest_first(a, b)
    }
}

fn newest_first(a: &PurchaseOrder, b: &PurchaseOrder) -> Ordering {
    (b.first.sequence, b.first.partition).cmp(&(a.first.sequence, a.first.partition))
}

fn record_of(tenant: &TenantId, id: &Value) -> Option<RecordId> {
    match id {
        Value::Text(key) => Some(RecordId::for_key(tenant, operation::KRONOR_PURCHASE_ORDER, key)),
        Value::Number(_) | Value::Time(_) => None,
    }
}

/// The orders that are asked for, of those that exist for the caller.
pub(super) async fn find(app: &App, caller: &Caller, search: &Search) -> Result<Vec<PurchaseOrder>, Refusal> {
    let mut found = match candidates(app, caller, &search.condition).await? {
        Some(records) => {
            let mut found = Vec::new();
            for record in records {
                let order = purchase_order::load(app, caller.tenant(), record).await?;
                found.extend(order.filter(|order| search.condition.matches(order)));
            }
            found
        }
        None => search_newest(app, caller.tenant(), search).await?,
    };
    found.sort_by(|a, b| search.compare(a, b));
    Ok(found.into_iter().skip(search.offset).take(search.limit).collect())
}

/// The only orders that can match; `None` where the condition names none.
async fn candidates(
    app: &App,
    caller: &Caller,
    condition: &Condition,
) -> Result<Option<BTreeSet<RecordId>>, Refusal> {
    let tenant = match caller {
        Caller::Merchant(tenant) => tenant,
        Caller::Buyer { order, .. } => return Ok(Some(BTreeSet::from([*order]))),
    };
    if let Some(ids) = condition.pinned(Field::Id) {
        return Ok(Some(ids.iter().filter_map(|id| record_of(tenant, id)).collect()));
    }
    if let Some(numbers) = condition.pinned(Field::PurchaseId) {
        let views = orders::fresh_views(app, None).await;
        let mut records = BTreeSet::new();
        for number in numbers {
            let Value::Number(number) = number else { continue };
            let Some(position) = purchase_order::position_of(number) else { continue };
            // The newest order below the next position is the one at this position, if there is one.
            let above = Position { partition: position.partition.saturating_add(1), ..position };
            let page =
                views.list(tenant, &ListFilter::default(), Some(above), 1).map_err(OrderError::from)?;
            records.extend(page.orders.iter().filter(|view| view.first == position).map(|view| view.id));
        }
        return Ok(Some(records));
    }
    if let Some(references) = condition.pinned(Field::MerchantReference) {
        let views = orders::fresh_views(app, None).await;
        let mut records = BTreeSet::new();
        for reference in references {
            let Value::Text(reference) = reference else { continue };
            let of_it = views.by_merchant_reference(tenant, &reference).map_err(OrderError::from)?;
            records.extend(of_it.into_iter().rev().take(OF_ONE_REFERENCE));
        }
        return Ok(Some(records));
    }
    Ok(None)
}

/// Looks through the tenant's newest orders, of all doors, page by page.
async fn search_newest(app: &App, tenant: &TenantId, search: &Search) -> Result<Vec<PurchaseOrder>, Refusal> {
    let views = orders::fresh_views(app, None).await;
    let enough = search.offset + search.limit;
    let (mut found, mut looked_at, mut cursor) = (Vec::new(), 0, None);
    while looked_at < SEARCHED {
        let page = views.list(tenant, &ListFilter::default(), cursor, PAGE).map_err(OrderError::from)?;
        looked_at += page.orders.len();
        for view in &page.orders {
            let order = purchase_order::read(app, view).await?;
            found.extend(order.filter(|order| search.condition.matches(order)));
        }
        cursor = page.next;
        if cursor.is_none() || (search.is_newest_first() && found.len() >= enough) {
            break;
        }
        // The views are read without waiting for anything; others have their turn here.
        tokio::task::yield_now().await;
    }
    Ok(found)
}
