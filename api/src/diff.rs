//! A comparison of views as lines, each a JSON document: what `daybook diff --json` writes and `GET /admin/diff` streams.

use std::ops::ControlFlow;
use std::sync::Arc;

use ledger::ids::{TenantId, TrackingNumber};
use ledger::journal::Journal;
use projections::Progress;
use projections::compare::{Generations, Side, SideError, Which};
use replay::diff::{Change, Difference, Field, Report, Sides, Step, Value, diff};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// What is to be compared.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) sides: Sides,
    /// None: all tenants.
    pub(crate) tenant: Option<TenantId>,
    /// How many orders, and how many other rows, are listed. Sums and counts are of all.
    pub(crate) limit: usize,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Line {
    Sides { from: SideLine, to: SideLine },
    Progress(ProgressLine),
    Order(OrderLine),
    Sum(SumLine),
    Rows(RowsLine),
    Row(RowLine),
    End(EndLine),
    Error { detail: String },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SideLine {
    pub(crate) name: String,
    /// Null for a fresh fold.
    pub(crate) generation: Option<u64>,
    /// By partition.
    pub(crate) checkpoint: Vec<u64>,
    /// Whether this version of the views wrote it.
    pub(crate) this_version: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProgressLine {
    /// `commits`, while the log is folded afresh, then `orders`.
    pub(crate) unit: String,
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) rate_per_s: u64,
    pub(crate) eta_s: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OrderLine {
    pub(crate) tenant: String,
    pub(crate) order_id: Option<String>,
    pub(crate) tracking_number: Option<String>,
    /// The order's first commit.
    pub(crate) first: String,
    pub(crate) change: String,
    pub(crate) currency: Option<String>,
    pub(crate) fields: Vec<FieldLine>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FieldLine {
    pub(crate) field: String,
    pub(crate) from: Option<Content>,
    pub(crate) to: Option<Content>,
}

/// Numbers are minor units in fields named `…_minor`, else they count. A sum that no 64 bits hold is a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Number(i64),
    Text(String),
}

/// What `to` has more than `from`, over all orders of a tenant and currency that differ.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SumLine {
    pub(crate) tenant: String,
    pub(crate) currency: String,
    pub(crate) orders: u64,
    pub(crate) authorized_minor: Content,
    pub(crate) captured_minor: Content,
    pub(crate) capture_pending_minor: Content,
    pub(crate) refunded_minor: Content,
    pub(crate) refund_pending_minor: Content,
    pub(crate) charged_back_minor: Content,
    pub(crate) balance_minor: Content,
    pub(crate) available_to_capture_minor: Content,
    pub(crate) available_to_refund_minor: Content,
}

/// How many rows of a kind differ.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RowsLine {
    pub(crate) kind: String,
    pub(crate) only_from: u64,
    pub(crate) only_to: u64,
    pub(crate) changed: u64,
}

/// A row of no order that differs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RowLine {
    pub(crate) kind: String,
    pub(crate) tenant: Option<String>,
    pub(crate) name: String,
    pub(crate) change: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EndLine {
    pub(crate) same: bool,
    /// By partition: what was compared is the views up to here.
    pub(crate) upto: Vec<u64>,
    pub(crate) orders_compared: u64,
    pub(crate) orders_differ: u64,
    pub(crate) orders_listed: u64,
    /// Of those that differ; the sums lack them.
    pub(crate) orders_unreadable: u64,
    /// Left out: one side has commits of them that the other has not folded.
    pub(crate) orders_newer: u64,
    /// Whether rows of no order were compared: only where both sides end at the same place.
    pub(crate) rows_compared: bool,
}

/// Compares, and sends the lines. Ends early when nobody takes them.
pub(crate) async fn send(
    request: Request,
    generations: Generations,
    journal: Arc<dyn Journal>,
    lines: mpsc::Sender<Line>,
) -> Result<(), SideError> {
    let folding = |progress| drop(lines.try_send(Line::progress("commits", progress)));
    let (from, to) = request.sides.open(&generations, journal.as_ref(), folding).await?;
    let sides = &request.sides;
    let head = Line::Sides { from: SideLine::of(sides.from, &from)?, to: SideLine::of(sides.to, &to)? };
    if lines.send(head).await.is_err() {
        return Ok(());
    }
    let compared = tokio::task::spawn_blocking(move || compare(&request, &from, &to, &lines)).await;
    compared.map_err(|error| projections::StoreError::Disk(std::io::Error::other(error)))?
}

fn compare(request: &Request, from: &Side, to: &Side, lines: &mpsc::Sender<Line>) -> Result<(), SideError> {
    let mut listed = 0;
    let report = diff(from, to, request.tenant.as_ref(), request.limit, |step| match step {
        Step::Progress(_) if lines.is_closed() => ControlFlow::Break(()),
        Step::Progress(progress) => {
            // Whoever is slow to read wants fewer of these.
            drop(lines.try_send(Line::progress("orders", progress)));
            ControlFlow::Continue(())
        }
        Step::Order(_) if listed == request.limit => ControlFlow::Continue(()),
        Step::Order(difference) => {
            listed += 1;
            sent(lines, Line::Order(OrderLine::of(&difference)))
        }
    })?;
    if let Some(report) = report {
        let mut rest = Line::rest(&report, listed as u64).into_iter();
        // A reader that is gone needs no rest.
        let _gone = rest.try_for_each(|line| sent(lines, line));
    }
    Ok(())
}

fn sent(lines: &mpsc::Sender<Line>, line: Line) -> ControlFlow<()> {
    match lines.blocking_send(line) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

impl Line {
    fn progress(unit: &str, Progress { done, total, rate_per_s, eta }: Progress) -> Self {
        let eta_s = eta.map(|eta| eta.as_secs());
        Line::Progress(ProgressLine { unit: unit.to_owned(), done, total, rate_per_s, eta_s })
    }

    /// What can only be said once all is compared.
    fn rest(report: &Report, orders_listed: u64) -> Vec<Self> {
        let sums = report.sums.iter().map(|(tenant, currency, sum)| {
            let more = sum.more;
            Line::Sum(SumLine {
                tenant: tenant.to_string(),
                currency: currency.to_owned(),
                orders: sum.orders,
                authorized_minor: Content::sum(more.authorized_minor),
                captured_minor: Content::sum(more.captured_minor),
                capture_pending_minor: Content::sum(more.capture_pending_minor),
                refunded_minor: Content::sum(more.refunded_minor),
                refund_pending_minor: Content::sum(more.refund_pending_minor),
                charged_back_minor: Content::sum(more.charged_back_minor),
                balance_minor: Content::sum(more.balance_minor),
                available_to_capture_minor: Content::sum(more.available_to_capture_minor),
                available_to_refund_minor: Content::sum(more.available_to_refund_minor),
            })
        });
        let counts = report.compared.rows.iter().flatten().map(|(kind, counts)| {
            let kind = kind.as_str().to_owned();
            let (only_from, only_to, changed) = (counts.only_from, counts.only_to, counts.changed);
            Line::Rows(RowsLine { kind, only_from, only_to, changed })
        });
        let rows = report.rows.iter().map(|row| {
            Line::Row(RowLine {
                kind: row.kind.as_str().to_owned(),
                tenant: row.tenant.as_ref().map(TenantId::to_string),
                name: row.name.clone(),
                change: row.change.as_str().to_owned(),
            })
        });
        let end = Line::End(EndLine {
            same: report.is_same(),
            upto: report.compared.upto.clone(),
            orders_compared: report.compared.orders,
            orders_differ: report.orders,
            orders_listed,
            orders_unreadable: report.unreadable,
            orders_newer: report.compared.newer,
            rows_compared: report.compared.rows.is_some(),
        });
        sums.chain(counts).chain(rows).chain([end]).collect()
    }
}

impl SideLine {
    fn of(which: Which, side: &Side) -> Result<Self, SideError> {
        Ok(SideLine {
            name: which.to_string(),
            generation: side.number(),
            checkpoint: side.checkpoints()?,
            this_version: side.is_of_this_version(),
        })
    }
}

impl OrderLine {
    fn of(difference: &Difference) -> Self {
        let Difference { tenant, order, first, currency, change, fields } = difference;
        let change: Change = *change;
        OrderLine {
            tenant: tenant.to_string(),
            order_id: order.map(|id| id.to_string()),
            tracking_number: order.map(|id| TrackingNumber(id).to_string()),
            first: first.to_string(),
            change: change.as_str().to_owned(),
            currency: currency.map(|currency| currency.code().to_owned()),
            fields: fields.iter().map(FieldLine::of).collect(),
        }
    }
}

impl FieldLine {
    fn of(Field { name, from, to }: &Field) -> Self {
        let content = |value: &Option<Value>| value.as_ref().map(Content::of);
        FieldLine { field: name.clone(), from: content(from), to: content(to) }
    }
}

impl Content {
    fn sum(minor: i128) -> Self {
        i64::try_from(minor).map_or_else(|_| Content::Text(minor.to_string()), Content::Number)
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Text(text) => Content::Text(text.clone()),
            Value::Minor(minor) => Content::Number(*minor),
            Value::Count(count) => Content::Number(i64::try_from(*count).unwrap_or(i64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let sum = |minor| Content::sum(minor);
        let line = Line::Sum(SumLine {
            tenant: "demo".to_owned(),
            currency: "EUR".to_owned(),
            orders: 2,
            authorized_minor: sum(0),
            captured_minor: sum(-5),
            capture_pending_minor: sum(i64::MIN.into()),
            refunded_minor: sum(i128::MAX),
            refund_pending_minor: sum(0),
            charged_back_minor: sum(0),
            balance_minor: sum(i64::MAX.into()),
            available_to_capture_minor: sum(0),
            available_to_refund_minor: sum(0),
        });
        let text = serde_json::to_string(&line).unwrap();
        assert!(
            text.contains(r#""captured_minor":-5"#) && text.contains(r#""refunded_minor":"170"#),
            "{text}"
        );
        let read: Line = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
