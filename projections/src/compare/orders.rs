//! Orders on both sides: each with its own row, its history and what is noted of its index rows.

use std::collections::BTreeMap;
use std::iter::Peekable;

use ledger::ids::{Position, TenantId};

use super::join::next_pair;
use super::{Change, Found, INDEXES, OrderDifference, OrderRows, RowCounts, Side};
use crate::store::rows::{HistoryRow, OrderRow, decode, decode_list};
use crate::store::{RowBytes, RowKind, Scan, StoreError, Value, Values, keys};
use crate::views::{HistoryEntry, OrderView};

/// The rows of one order on one side.
#[derive(Default)]
struct Own {
    order: Option<RowBytes>,
    /// By the number of the part.
    history: BTreeMap<Vec<u8>, RowBytes>,
}

/// What there is of one order.
pub(super) struct Group {
    /// Its tenant and its first position, as in its keys.
    name: Vec<u8>,
    from: Own,
    to: Own,
    indexes: Vec<RowKind>,
}

/// What came of comparing an order.
pub(super) enum Outcome {
    Same,
    /// One side has commits of it that the other cannot have.
    Newer,
    Differs(Box<OrderDifference>),
}

/// Every order that either side has a row of or that a note is about, in the order of their names.
pub(super) fn orders(
    from: &Side,
    to: &Side,
    notes: Values,
    tenant: Option<&TenantId>,
) -> impl Iterator<Item = Result<Group, StoreError>> {
    let mut from = own_rows(from, tenant).peekable();
    let mut to = own_rows(to, tenant).peekable();
    let mut notes = notes.peekable();
    std::iter::from_fn(move || next_group(&mut from, &mut to, &mut notes).transpose())
}

type Named = (Vec<u8>, Own);

fn next_group(
    from: &mut Peekable<impl Iterator<Item = Result<Named, StoreError>>>,
    to: &mut Peekable<impl Iterator<Item = Result<Named, StoreError>>>,
    notes: &mut Peekable<Values>,
) -> Result<Option<Group>, StoreError> {
    let names = [from.peek(), to.peek()].map(|next| match next {
        Some(Ok((name, _))) => Some(name.clone()),
        Some(Err(_)) | None => None,
    });
    let noted = match notes.peek() {
        Some(Ok((note, _))) => Some(noted_name(note).to_vec()),
        Some(Err(_)) | None => None,
    };
    let next_own = names.into_iter().flatten().min();
    let is_only_noted = match (&noted, &next_own) {
        (Some(noted), Some(own)) => noted < own,
        (Some(_), None) => from.peek().is_none() && to.peek().is_none(),
        (None, _) => false,
    };
    let (name, from, to) = match noted {
        Some(noted) if is_only_noted => (noted, Own::default(), Own::default()),
        Some(_) | None => {
            let Some((from, to)) = next_pair(from, to, |(name, _)| name)? else {
                // What is left of the notes can only be the error of reading them.
                return notes.next().transpose().map(|_| None);
            };
            let name = from.as_ref().or(to.as_ref()).map(|(name, _)| name.clone()).unwrap_or_default();
            let own = |side: Option<Named>| side.map_or_else(Own::default, |(_, own)| own);
            (name, own(from), own(to))
        }
    };
    let mut indexes = Vec::new();
    let is_about = |row: &Result<(Value, Value), StoreError>| match row {
        Ok((note, _)) => noted_name(note) == name,
        Err(_) => true,
    };
    while let Some(note) = notes.next_if(is_about) {
        let kind = note?.0.last().copied();
        indexes.extend(INDEXES.into_iter().find(|index| kind == Some(*index as u8)));
    }
    Ok(Some(Group { name, from, to, indexes }))
}

fn noted_name(note: &[u8]) -> &[u8] {
    note.split_last().map_or(note, |(_, name)| name)
}

/// One side's orders: their rows and the rows of their histories lie in the same order.
fn own_rows(
    side: &Side,
    tenant: Option<&TenantId>,
) -> impl Iterator<Item = Result<Named, StoreError>> + use<> {
    let mut orders = side.rows(RowKind::Order, tenant).peekable();
    let mut history = side.rows(RowKind::History, tenant).peekable();
    std::iter::from_fn(move || next_own(&mut orders, &mut history).transpose())
}

fn next_own(orders: &mut Peekable<Scan>, history: &mut Peekable<Scan>) -> Result<Option<Named>, StoreError> {
    let (order, part) = match (peeked(orders, order_name)?, peeked(history, history_name)?) {
        (None, None) => return Ok(None),
        names => names,
    };
    let Some(name) = [&order, &part].into_iter().flatten().min().cloned() else { return Ok(None) };
    let mut own = Own::default();
    if order.as_ref() == Some(&name) {
        own.order = orders.next().transpose()?.map(|(_, row)| row);
    }
    while peeked(history, history_name)?.as_ref() == Some(&name) {
        if let Some((key, row)) = history.next().transpose()? {
            own.history.insert(key.get(1 + name.len()..).unwrap_or_default().to_vec(), row);
        }
    }
    Ok(Some((name, own)))
}

fn peeked(rows: &mut Peekable<Scan>, name: fn(&[u8]) -> &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    if let Some(error) = rows.next_if(Result::is_err) {
        error?;
    }
    Ok(rows.peek().and_then(|row| row.as_ref().ok()).map(|(key, _)| name(key).to_vec()))
}

fn order_name(key: &[u8]) -> &[u8] {
    key.get(1..).unwrap_or_default()
}

fn history_name(key: &[u8]) -> &[u8] {
    let end = key.len().saturating_sub(size_of::<u64>());
    key.get(1..end).unwrap_or_default()
}

impl Group {
    /// Counts its own rows that differ.
    pub(super) fn count(&self, counts: &mut BTreeMap<RowKind, RowCounts>) {
        if let Some(change) = Change::of(self.from.order.as_deref(), self.to.order.as_deref()) {
            counts.entry(RowKind::Order).or_default().add(change);
        }
        let (from, to) = (&self.from.history, &self.to.history);
        let only_to = to.keys().filter(|part| !from.contains_key(*part));
        for part in from.keys().chain(only_to) {
            if let Some(change) = Change::of(row(from, part), row(to, part)) {
                counts.entry(RowKind::History).or_default().add(change);
            }
        }
    }

    pub(super) fn difference(&self, from: &Side, to: &Side, upto: &[u64]) -> Result<Outcome, StoreError> {
        let is_same = self.from.order == self.to.order && self.from.history == self.to.history;
        if is_same && self.indexes.is_empty() {
            return Ok(Outcome::Same);
        }
        let not_a_name = || StoreError::Damaged("an order's key without a tenant or a position".to_owned());
        let (tenant, first) = keys::order_named(&self.name).ok_or_else(not_a_name)?;
        let (found_from, found_to) = (self.from.found(), self.to.found());
        if is_newer(from, &found_from, first, upto)? || is_newer(to, &found_to, first, upto)? {
            return Ok(Outcome::Newer);
        }
        let difference =
            OrderDifference { tenant, first, from: found_from, to: found_to, indexes: self.indexes.clone() };
        Ok(Outcome::Differs(Box::new(difference)))
    }
}

/// Whether a side has commits of an order from beyond the end of the other, which it has folded. A position that it
/// has not even come to is no newer commit but a row that says something wrong.
fn is_newer(side: &Side, found: &Found, first: Position, upto: &[u64]) -> Result<bool, StoreError> {
    let beyond = |position: &Position, ends: &[u64]| {
        position.sequence > ends.get(usize::from(position.partition)).copied().unwrap_or(0)
    };
    let mut named = vec![first];
    if let Found::Order(rows) = found {
        named.push(rows.view.last);
        named.extend(rows.history.iter().map(|entry| entry.position));
    }
    named.retain(|position| beyond(position, upto));
    if named.is_empty() {
        return Ok(false);
    }
    let ends = side.checkpoints()?;
    Ok(named.iter().any(|position| !beyond(position, &ends)))
}

fn row<'a>(parts: &'a BTreeMap<Vec<u8>, RowBytes>, part: &Vec<u8>) -> Option<&'a [u8]> {
    parts.get(part).map(|row| row.as_ref())
}

impl Own {
    fn found(&self) -> Found {
        match &self.order {
            None if self.history.is_empty() => Found::Missing,
            None => Found::Unreadable("there is a history and no order".to_owned()),
            Some(order) => match self.read(order) {
                Ok(rows) => Found::Order(Box::new(rows)),
                Err(StoreError::Damaged(reason)) => Found::Unreadable(reason),
                Err(error @ (StoreError::Disk(_) | StoreError::Locked { .. })) => {
                    Found::Unreadable(error.to_string())
                }
            },
        }
    }

    fn read(&self, order: &[u8]) -> Result<OrderRows, StoreError> {
        let view = OrderView::try_from(decode::<OrderRow<'_>>(order)?)?;
        let (mut history, mut opens): (Vec<HistoryEntry>, _) = (Vec::new(), false);
        for part in self.history.values() {
            for row in decode_list::<HistoryRow<'_>>(part)? {
                let row = row?;
                opens |= row.opens();
                history.push(row.try_into()?);
            }
        }
        Ok(OrderRows { view, history, opens })
    }
}
