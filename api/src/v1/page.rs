//! Cursors and limits of lists.

use ledger::ids::Position;

use crate::http::Problem;
use crate::http::query::invalid;

/// Where a page begins: below the last entry of the page before.
pub(super) fn cursor(text: Option<&str>) -> Result<Option<Position>, Problem> {
    text.map(|text| text.parse().map_err(|_| invalid("cursor: not one that a page before named"))).transpose()
}

/// How many entries: 1 to 100, 20 unless said otherwise.
pub(super) fn limit(number: Option<usize>) -> Result<usize, Problem> {
    match number {
        None => Ok(20),
        Some(limit @ 1..=100) => Ok(limit),
        Some(_) => Err(invalid("limit: 1 to 100")),
    }
}
