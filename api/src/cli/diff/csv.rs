//! The differences for a spreadsheet: a line for each field of each order. Money is in minor units; its sums follow
//! from the column `more`.

use crate::diff::{Content, Line, OrderLine};

/// The columns.
const HEAD: &str = "tenant,order_id,tracking_number,first,change,currency,field,from,to,more\r\n";

/// Comma-separated values, as RFC 4180 has them.
#[derive(Debug, Default)]
pub(super) struct Csv {
    has_head: bool,
}

impl Csv {
    /// What a line of the comparison comes to; nothing, mostly.
    pub(super) fn line(&mut self, line: &Line) -> String {
        let mut text = String::new();
        if !self.has_head {
            self.has_head = true;
            text.push_str(HEAD);
        }
        match line {
            Line::Order(order) => text.push_str(&order_lines(order)),
            Line::Sides { .. }
            | Line::Progress(_)
            | Line::Sum(_)
            | Line::Rows(_)
            | Line::Row(_)
            | Line::End(_)
            | Line::Error { .. } => {}
        }
        text
    }
}

fn order_lines(order: &OrderLine) -> String {
    let mut text = String::new();
    for field in &order.fields {
        let number = |content: &Option<Content>| match content {
            Some(Content::Number(number)) => Some(*number),
            Some(Content::Text(_)) | None => None,
        };
        let more = match (number(&field.from), number(&field.to)) {
            (Some(from), Some(to)) => (i128::from(to) - i128::from(from)).to_string(),
            _ => String::new(),
        };
        let cells = [
            order.tenant.as_str(),
            order.order_id.as_deref().unwrap_or_default(),
            order.tracking_number.as_deref().unwrap_or_default(),
            &order.first,
            &order.change,
            order.currency.as_deref().unwrap_or_default(),
            &field.field,
            &plain(&field.from),
            &plain(&field.to),
            &more,
        ];
        text.push_str(&cells.map(quoted).join(","));
        text.push_str("\r\n");
    }
    text
}

fn plain(content: &Option<Content>) -> String {
    match content {
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Number(number)) => number.to_string(),
        None => String::new(),
    }
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::FieldLine;

    #[test]
    fn every_field_is_a_line_and_money_is_subtracted() {
        let field = |field: &str, from, to| FieldLine { field: field.to_owned(), from, to };
        let text = |text: &str| Some(Content::Text(text.to_owned()));
        let order = Line::Order(OrderLine {
            tenant: "demo".to_owned(),
            order_id: Some("id".to_owned()),
            tracking_number: None,
            first: "0-1".to_owned(),
            change: "fields".to_owned(),
            currency: Some("EUR".to_owned()),
            fields: vec![
                field("balance_minor", Some(Content::Number(100)), Some(Content::Number(-20))),
                field("attempts.1.failure", text("so, \"no\""), None),
            ],
        });
        let mut csv = Csv::default();
        let lines = csv.line(&order) + &csv.line(&order);
        let lines: Vec<&str> = lines.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 5, "the head is there once");
        assert_eq!(lines[1], "demo,id,,0-1,fields,EUR,balance_minor,100,-20,-120");
        assert_eq!(lines[2], "demo,id,,0-1,fields,EUR,attempts.1.failure,\"so, \"\"no\"\"\",,");
    }
}
