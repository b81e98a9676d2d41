//! Rows of one kind on both sides, joined by key.

use std::cmp::Ordering;
use std::iter::Peekable;

use ledger::ids::TenantId;

use super::{Change, Side};
use crate::store::{RowBytes, RowKind, StoreError};

/// A key, and its row on each side.
pub(super) struct Joined {
    pub(super) key: RowBytes,
    pub(super) from: Option<RowBytes>,
    pub(super) to: Option<RowBytes>,
}

impl Joined {
    pub(super) fn change(&self) -> Option<Change> {
        Change::of(self.from.as_deref(), self.to.as_deref())
    }
}

/// All rows of a kind on both sides, in the order of their keys.
pub(super) fn rows(
    from: &Side,
    to: &Side,
    kind: RowKind,
    tenant: Option<&TenantId>,
) -> impl Iterator<Item = Result<Joined, StoreError>> {
    let (mut from, mut to) = (from.rows(kind, tenant).peekable(), to.rows(kind, tenant).peekable());
    std::iter::from_fn(move || {
        let (from, to) = match next_pair(&mut from, &mut to, |(key, _)| key).transpose()? {
            Ok(pair) => pair,
            Err(error) => return Some(Err(error)),
        };
        let key = from.as_ref().or(to.as_ref()).map(|(key, _)| key.clone())?;
        Some(Ok(Joined { key, from: from.map(|(_, row)| row), to: to.map(|(_, row)| row) }))
    })
}

/// What comes first on two sides that are in order: from one of them, or from both where they are equal.
pub(super) type Pair<T> = (Option<T>, Option<T>);

/// The next of two sides that are in order.
pub(super) fn next_pair<T, K: Ord + ?Sized>(
    from: &mut Peekable<impl Iterator<Item = Result<T, StoreError>>>,
    to: &mut Peekable<impl Iterator<Item = Result<T, StoreError>>>,
    key: impl Fn(&T) -> &K,
) -> Result<Option<Pair<T>>, StoreError>
where
{
    let order = match (from.peek(), to.peek()) {
        (None, None) => return Ok(None),
        (Some(Ok(from)), Some(Ok(to))) => key(from).cmp(key(to)),
        // An error comes out first, whichever side has it.
        (Some(Err(_)), _) | (Some(Ok(_)), None) => Ordering::Less,
        (_, Some(Err(_))) | (None, Some(Ok(_))) => Ordering::Greater,
    };
    let from = if order.is_le() { from.next().transpose()? } else { None };
    let to = if order.is_ge() { to.next().transpose()? } else { None };
    Ok(Some((from, to)))
}
