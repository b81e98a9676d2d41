//! The table `events`: one row for each event of each commit. No personal data is in it.

use ledger::codec;
use ledger::commit::{Cause, Changes, Commit};
use ledger::ids::{Position, TrackingNumber};
use projections::views::HistoryEvent;

use super::table::{Column, Kind, Row, Value, count, optional, required};

/// The columns, in the order of a row.
pub(super) const COLUMNS: &[Column] = &[
    required("position", Kind::Text),
    required("partition", Kind::Integer),
    required("sequence", Kind::Integer),
    required("index", Kind::Integer),
    required("commit_id", Kind::Text),
    required("tenant", Kind::Text),
    required("record_kind", Kind::Text),
    required("record_id", Kind::Text),
    optional("tracking_number", Kind::Text),
    required("decided_at", Kind::Time),
    required("cause", Kind::Text),
    optional("operation", Kind::Text),
    optional("source", Kind::Text),
    optional("source_event_id", Kind::Text),
    required("event", Kind::Text),
    optional("attempt", Kind::Integer),
    optional("amount_minor", Kind::Integer),
    optional("currency", Kind::Text),
    optional("exponent", Kind::Integer),
    optional("reference", Kind::Text),
    optional("detail", Kind::Text),
];

/// The rows of a commit, one for each of its events.
pub(super) fn rows(position: Position, commit: &Commit) -> Vec<Row> {
    let names = codec::event_names(&commit.changes);
    let (record_kind, events) = match &commit.changes {
        Changes::Order(events) => ("order", events.as_slice()),
        Changes::Offer(_) => ("offer", &[][..]),
        Changes::Quarantine(_) => ("quarantine", &[][..]),
    };
    let tracking_number = (record_kind == "order").then(|| TrackingNumber(commit.record).to_string());
    let (cause, operation, source, source_event_id) = match &commit.cause {
        Cause::Command { operation, key: _, request_hash: _ } => {
            ("command", Some(operation.clone()), None, None)
        }
        Cause::Webhook { source, event_id, body: _ } => {
            ("webhook", None, Some(source.clone()), Some(event_id.clone()))
        }
        Cause::Timer { name } => ("timer", Some(name.clone()), None, None),
    };
    let row = |(index, name): (usize, &'static str)| {
        let told = events.get(index).map(HistoryEvent::of);
        let amount = told.as_ref().and_then(|told| told.amount);
        vec![
            position.to_string().into(),
            i64::from(position.partition).into(),
            count(position.sequence),
            count(index as u64),
            commit.id.to_string().into(),
            commit.tenant.to_string().into(),
            record_kind.into(),
            commit.record.to_string().into(),
            tracking_number.clone().into(),
            commit.decided_at.into(),
            cause.into(),
            operation.clone().into(),
            source.clone().into(),
            source_event_id.clone().into(),
            without_version(name).into(),
            told.as_ref().and_then(|told| told.attempt).into(),
            amount.map(|amount| amount.minor()).into(),
            amount.map(|amount| amount.currency().code()).into(),
            amount.map(|amount| amount.currency().exponent()).into(),
            told.as_ref().and_then(|told| told.reference.clone()).into(),
            told.and_then(|told| told.detail).into(),
        ]
    };
    names.into_iter().enumerate().map(row).collect::<Vec<Vec<Value>>>()
}

/// `payment_captured` for `payment_captured.v1`: versions are the log's own business.
fn without_version(name: &'static str) -> &'static str {
    name.rsplit_once(".v").map_or(name, |(event, _)| event)
}
