//! Where index rows differ, by the order that they are about: kept on disk, so that it may be everywhere.

use ledger::ids::{RecordId, TenantId};

use super::join::Joined;
use crate::rebuild::Scratch;
use crate::store::rows::{PositionRow, SubjectRow, decode};
use crate::store::{Catalog, RowKind, StoreError, Tree, Values, keys};

/// Notes written together.
const BATCH: usize = 1000;
/// They are written once and read once, in order.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// Notes of orders whose index rows differ. A note's name is the order's and the kind of row.
pub(super) struct Notes {
    tree: Tree,
    waiting: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    _scratch: Scratch,
}

impl Notes {
    pub(super) fn new() -> Result<Self, StoreError> {
        let scratch = Scratch::new("diff");
        let tree = Catalog::scratch(&scratch.path("notes"), CACHE_BYTES)?;
        Ok(Notes { tree, waiting: Vec::new(), _scratch: scratch })
    }

    /// Notes which order a row is about: as the other side has it, which is mostly the one to be believed, else as
    /// the one has it. False when it is about another tenant.
    pub(super) fn note(
        &mut self,
        kind: RowKind,
        row: &Joined,
        tenant: Option<&TenantId>,
    ) -> Result<bool, StoreError> {
        let sides = [row.to.as_deref(), row.from.as_deref()];
        let name = sides.into_iter().flatten().find_map(|value| order_of(kind, &row.key, value));
        let Some(mut name) = name else { return Ok(tenant.is_none() || kind != RowKind::Expiry) };
        if tenant.is_some_and(|tenant| !name.starts_with(&keys::orders(tenant).as_ref()[1..])) {
            return Ok(false);
        }
        name.push(kind as u8);
        self.waiting.push((name, Some(Vec::new())));
        if self.waiting.len() >= BATCH {
            self.tree.apply(self.waiting.drain(..))?;
        }
        Ok(true)
    }

    /// The notes, by order.
    pub(super) fn read(&mut self) -> Result<Values, StoreError> {
        self.tree.apply(self.waiting.drain(..))?;
        Ok(self.tree.values())
    }
}

/// What an order's own rows are named, of the order that an index row is about: its tenant and its first position.
/// None when the row cannot be read; it counts as a row that differs all the same.
fn order_of(kind: RowKind, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let first = if kind == RowKind::OrderId {
        decode::<PositionRow>(value).ok()?.into()
    } else {
        keys::position_at_end(key)?
    };
    let tenant = if kind == RowKind::Expiry {
        <(TenantId, RecordId)>::try_from(decode::<SubjectRow<'_>>(value).ok()?).ok()?.0
    } else {
        keys::tenant_and_rest(key)?.0
    };
    Some(keys::orders(&tenant).at(first).as_ref()[1..].to_vec())
}
