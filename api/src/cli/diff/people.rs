//! The differences as tables, for people.

use ledger::money::{Currency, major};

use super::super::table::table;
use crate::diff::{Content, EndLine, FieldLine, Line, OrderLine, RowLine, RowsLine, SideLine, SumLine};

/// Everything there is to show, as it came in.
#[derive(Debug, Default)]
pub(super) struct People {
    sides: Option<(SideLine, SideLine)>,
    orders: Vec<[String; 6]>,
    sums: Vec<[String; 12]>,
    counts: Vec<[String; 4]>,
    rows: Vec<[String; 4]>,
}

impl People {
    /// Takes up a line.
    pub(super) fn line(&mut self, line: &Line) {
        match line {
            Line::Sides { from, to } => self.sides = Some((from.clone(), to.clone())),
            Line::Order(order) => self.orders.extend(order_rows(order)),
            Line::Sum(sum) => self.sums.push(sum_row(sum)),
            Line::Rows(RowsLine { kind, only_from, only_to, changed }) => {
                let [only_from, only_to, changed] = [only_from, only_to, changed].map(u64::to_string);
                self.counts.push([kind.clone(), only_from, only_to, changed]);
            }
            Line::Row(RowLine { kind, tenant, name, change }) => {
                let tenant = tenant.clone().unwrap_or_default();
                self.rows.push([kind.clone(), tenant, name.clone(), change.clone()]);
            }
            Line::Progress(_) | Line::End(_) | Line::Error { .. } => {}
        }
    }

    /// The tables, and what they come to.
    pub(super) fn text(&self, end: &EndLine) -> String {
        let mut text = String::new();
        if let Some((from, to)) = &self.sides {
            text.push_str(&side("from", from));
            text.push_str(&side("to", to));
        }
        let [from, to] = match &self.sides {
            Some((from, to)) => [from.name.as_str(), to.name.as_str()],
            None => ["from", "to"],
        };
        if !self.orders.is_empty() {
            text.push_str("\nOrders that differ\n\n");
            text.push_str(&table(["tenant", "order", "first", "field", from, to], &self.orders));
        }
        let unlisted = end.orders_differ - end.orders_listed.min(end.orders_differ);
        if unlisted > 0 {
            text.push_str(&format!("… and {unlisted} more (--limit)\n"));
        }
        if !self.sums.is_empty() {
            text.push_str(&format!("\nWhat {to} has more than {from}, over all of them\n\n"));
            let heads = [
                "tenant",
                "currency",
                "orders",
                "authorized",
                "captured",
                "capture pending",
                "refunded",
                "refund pending",
                "charged back",
                "balance",
                "capturable",
                "refundable",
            ];
            text.push_str(&table(heads, &self.sums));
        }
        if !self.counts.is_empty() {
            text.push_str("\nRows that differ\n\n");
            let heads =
                ["kind".to_owned(), format!("only {from}"), format!("only {to}"), "changed".to_owned()];
            text.push_str(&table(heads.each_ref().map(String::as_str), &self.counts));
        }
        if !self.rows.is_empty() {
            text.push_str("\nOf those, the ones of no order\n\n");
            text.push_str(&table(["kind", "tenant", "name", "change"], &self.rows));
        }
        text + &verdict(end)
    }
}

fn side(role: &str, side: &SideLine) -> String {
    let SideLine { name, generation, checkpoint, this_version } = side;
    let generation = generation.map(|number| format!(", generation {number}")).unwrap_or_default();
    let ends: Vec<String> =
        (0_u16..).zip(checkpoint).map(|(partition, end)| format!("{partition}-{end}")).collect();
    let ends = if ends.is_empty() { "empty".to_owned() } else { format!("folded to {}", ends.join(", ")) };
    let version = if *this_version { "" } else { ", by another version of the views" };
    format!("{role:<4}  {name}{generation}, {ends}{version}\n")
}

fn order_rows(order: &OrderLine) -> Vec<[String; 6]> {
    let OrderLine { tenant, order_id, first, currency, fields, .. } = order;
    let currency: Option<Currency> = currency.as_ref().and_then(|code| code.parse().ok());
    let name = order_id.clone().unwrap_or_default();
    let is_history = |field: &&FieldLine| field.field.starts_with("history.");
    let row = |field: &str, from: String, to: String| {
        [tenant.clone(), name.clone(), first.clone(), field.to_owned(), from, to]
    };
    let mut rows: Vec<[String; 6]> = fields
        .iter()
        .filter(|field| !is_history(field))
        .map(|field| {
            let name = field.field.strip_suffix("_minor").unwrap_or(&field.field);
            row(
                &name.replace('_', " "),
                shown(field, &field.from, currency),
                shown(field, &field.to, currency),
            )
        })
        .collect();
    let mut entries: Vec<&str> =
        fields.iter().filter(is_history).filter_map(|field| field.field.split('.').nth(1)).collect();
    entries.dedup();
    if !entries.is_empty() {
        rows.push(row(&format!("history at {}", entries.join(", ")), String::new(), String::new()));
    }
    rows
}

fn shown(field: &FieldLine, content: &Option<Content>, currency: Option<Currency>) -> String {
    match (content, currency) {
        (Some(Content::Text(text)), _) => text.clone(),
        (Some(Content::Number(minor)), Some(currency)) if field.field.ends_with("_minor") => {
            format!("{} {currency}", major(*minor, currency))
        }
        (Some(Content::Number(number)), _) => number.to_string(),
        (None, _) => String::new(),
    }
}

fn sum_row(sum: &SumLine) -> [String; 12] {
    let currency: Option<Currency> = sum.currency.parse().ok();
    let figure = |sum: &Content| match (sum, currency) {
        (Content::Number(minor), Some(currency)) => {
            let sign = if *minor > 0 { "+" } else { "" };
            format!("{sign}{}", major(*minor, currency))
        }
        (Content::Number(minor), None) => format!("{minor} minor"),
        (Content::Text(minor), _) => format!("{minor} minor"),
    };
    let SumLine {
        tenant,
        currency,
        orders,
        authorized_minor,
        captured_minor,
        capture_pending_minor,
        refunded_minor,
        refund_pending_minor,
        charged_back_minor,
        balance_minor,
        available_to_capture_minor,
        available_to_refund_minor,
    } = sum;
    [
        tenant.clone(),
        currency.clone(),
        orders.to_string(),
        figure(authorized_minor),
        figure(captured_minor),
        figure(capture_pending_minor),
        figure(refunded_minor),
        figure(refund_pending_minor),
        figure(charged_back_minor),
        figure(balance_minor),
        figure(available_to_capture_minor),
        figure(available_to_refund_minor),
    ]
}

fn verdict(end: &EndLine) -> String {
    let EndLine {
        same, orders_compared, orders_differ, orders_unreadable, orders_newer, rows_compared, ..
    } = end;
    let mut text = match same {
        true => format!("\nNothing differs: {orders_compared} orders.\n"),
        false => format!("\n{orders_differ} of {orders_compared} orders differ.\n"),
    };
    if *orders_unreadable > 0 {
        text.push_str(&format!("{orders_unreadable} cannot be read by this version; the sums lack them.\n"));
    }
    if *orders_newer > 0 {
        text.push_str(&format!("{orders_newer} were left out: one side has newer commits of them.\n"));
    }
    if !rows_compared {
        text.push_str("The two sides do not end at the same place, so only orders were compared.\n");
    }
    text
}
