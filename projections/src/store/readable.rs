//! Whether this version can read rows that another one has folded.
//!
//! Most versions that change the views change a rule and no row: theirs can be served while new ones are folded. So a few rows
//! of each kind are decoded and encoded again; if they come out the same to the last byte, the layout is the same.
//! Should it be another after all, the first row that cannot be read says so, and the views are folded afresh.

use ledger::ids::Position;

use super::keys::{self, Key};
use super::rows::{
    HistoryRow, OfferRow, OrderRow, PositionRow, QuarantineRow, TotalsRow, append, decode, decode_list,
    encode,
};
use super::{Generation, StoreError};
use crate::views::{HistoryEntry, OfferView, OrderView, QuarantineView};

/// Rows of each kind that are tried, from either end: the oldest and the newest.
const SAMPLE: usize = 200;

/// Whether a row is as this version would have written it.
type Check<'a> = dyn Fn(&[u8]) -> Result<bool, StoreError> + 'a;

impl Generation {
    /// Whether its rows look as this version would have written them, whatever they say.
    pub(super) fn is_readable(&self) -> Result<bool, StoreError> {
        // An earlier build kept no digest, and nothing else can be compared.
        if !self.checkpoints()?.is_empty() && self.rows.get(keys::digest())?.is_none() {
            return Ok(false);
        }
        let kinds: [(Key, &Check<'_>); 5] = [
            (keys::all_orders(), &|row| self.is_order(row)),
            (keys::all_history(), &is_history),
            (keys::all_totals(), &|row| Ok(encode(&decode::<TotalsRow>(row)?) == row)),
            (keys::all_offers(), &is_offer),
            (keys::all_quarantine(), &is_quarantine),
        ];
        for (prefix, is_ours) in kinds {
            let rows = || self.rows.range(&prefix, &prefix.end());
            for row in rows().take(SAMPLE).chain(rows().rev().take(SAMPLE)) {
                match is_ours(&row?.1) {
                    Ok(true) => {}
                    // Another version's row is no damage.
                    Ok(false) | Err(StoreError::Damaged(_)) => return Ok(false),
                    Err(error @ (StoreError::Locked { .. } | StoreError::Disk(_))) => return Err(error),
                }
            }
        }
        Ok(true)
    }

    /// An order that is found where this version looks for it.
    fn is_order(&self, row: &[u8]) -> Result<bool, StoreError> {
        let order: OrderRow<'_> = decode(row)?;
        let is_same = encode(&order) == row;
        let view = OrderView::try_from(order)?;
        let Some(first) = self.rows.get(keys::order_id(&view.tenant, view.id))? else { return Ok(false) };
        Ok(is_same && Position::from(decode::<PositionRow>(&first)?) == view.first)
    }
}

fn is_history(row: &[u8]) -> Result<bool, StoreError> {
    let mut again = Vec::new();
    for entry in decode_list::<HistoryRow<'_>>(row)? {
        append(&mut again, &entry?);
    }
    for entry in decode_list::<HistoryRow<'_>>(row)? {
        let _readable: HistoryEntry = entry?.try_into()?;
    }
    Ok(again == row)
}

fn is_offer(bytes: &[u8]) -> Result<bool, StoreError> {
    let row: OfferRow<'_> = decode(bytes)?;
    let is_same = encode(&row) == bytes;
    OfferView::try_from(row).map(|_readable| is_same)
}

fn is_quarantine(bytes: &[u8]) -> Result<bool, StoreError> {
    let row: QuarantineRow<'_> = decode(bytes)?;
    let is_same = encode(&row) == bytes;
    QuarantineView::try_from(row).map(|_readable| is_same)
}
