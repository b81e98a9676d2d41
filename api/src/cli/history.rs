//! `daybook history`: what happened to an order, folded from the log. Reads beside a running server.

use clap::Args;
use ledger::commit::Recorded;
use ledger::ids::TrackingNumber;
use ledger::money::{Currency, major};
use ledger::order::Order;
use projections::views::{CauseSummary, HistoryEntry, HistoryEvent};
use serde::Serialize;

use super::past::{Asked, Past, unreadable};
use super::table::table;
use super::{Failure, print, print_json};
use crate::config::Config;
use crate::http::id::OrderId;
use crate::v1::history::{EntryJson, entry_of};
use crate::v1::shapes::time;
use crate::v1::steps::{figures, postings_of};

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct History {
    /// Order id or tracking number
    order: String,
    #[command(flatten)]
    past: Past,
    /// With what each commit changed, and its postings
    #[arg(long)]
    steps: bool,
    /// For programs: as `GET /v1/orders/{id}/history` answers
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    order_id: String,
    entries: Vec<EntryJson>,
}

impl History {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let order = OrderId::parse(&self.order).ok_or_else(|| {
            Failure::usage(format!("{:?} is neither an order id nor a tracking number", self.order))
        })?;
        let Asked { ledger, tenant, moment } = self.past.open(config).await?;
        let mut entries = Vec::new();
        let each = |recorded: Recorded, order: &Order| entries.push(entry_of(&recorded, order));
        let folded = replay::history(&ledger, &tenant, order, moment, each).await;
        let Some(last) = folded.map_err(|error| unreadable(&error))? else {
            return Err(Failure::new(format!("tenant {tenant} has no order {}", self.order)));
        };
        if self.json {
            let entries = EntryJson::all_of(&entries, self.steps);
            return print_json(&Document { order_id: order.to_string(), entries });
        }
        let head = format!("order {order}  {}  {}\n\n", TrackingNumber(order), last.checkout.amount);
        let body = if self.steps {
            steps(&entries, last.checkout.amount.currency())
        } else {
            let rows: Vec<[String; 6]> = entries.iter().map(|entry| row(entry, &last)).collect();
            table(["position", "time", "cause", "events", "status", "balance"], &rows)
        };
        let anomalies = last.anomalies();
        let anomalies: String = anomalies
            .iter()
            .map(|found| format!("\nanomaly {}: {}", found.code(), found.describe()))
            .collect();
        print(&format!("{head}{body}{anomalies}{}", if anomalies.is_empty() { "" } else { "\n" }))
    }
}

fn row(entry: &HistoryEntry, order: &Order) -> [String; 6] {
    let currency = order.checkout.amount.currency();
    [
        entry.position.to_string(),
        time(entry.at),
        cause(entry),
        entry.events.iter().map(event).collect::<Vec<_>>().join(", "),
        entry.status.as_str().to_owned(),
        major(entry.balance.balance_minor, currency),
    ]
}

fn cause(entry: &HistoryEntry) -> String {
    match &entry.cause {
        CauseSummary::Command { operation, key: Some(key) } => format!("{operation} {key}"),
        CauseSummary::Command { operation, key: None } => operation.clone(),
        CauseSummary::Webhook { source, event_id } => format!("webhook {source} {event_id}"),
        CauseSummary::Timer { name } => format!("timer {name}"),
    }
}

fn event(event: &HistoryEvent) -> String {
    match event.amount {
        Some(amount) => format!("{} {amount}", event.name),
        None => event.name.clone(),
    }
}

/// Each commit with its cause, its events, what was before and after it, and its postings.
fn steps(entries: &[HistoryEntry], currency: Currency) -> String {
    let before = std::iter::once(None).chain(entries.iter().map(Some));
    let steps = before.zip(entries).map(|(before, entry)| step(before, entry, currency));
    steps.collect::<Vec<_>>().join("\n")
}

fn step(before: Option<&HistoryEntry>, entry: &HistoryEntry, currency: Currency) -> String {
    let mut rows: Vec<[String; 2]> = entry.events.iter().map(|e| ["event".to_owned(), event(e)]).collect();
    let status_before = before.map_or("none", |before| before.status.as_str());
    if status_before != entry.status.as_str() {
        rows.push(["status".to_owned(), format!("{status_before} -> {}", entry.status.as_str())]);
    }
    let then = figures(&before.map(|before| before.balance).unwrap_or_default());
    for ((name, now), (_, then)) in figures(&entry.balance).into_iter().zip(then) {
        if now != then {
            let change = format!("{} -> {}", major(then, currency), major(now, currency));
            rows.push([name.replace('_', " "), change]);
        }
    }
    let anomalies_before = before.map_or(&[][..], |before| &before.anomalies);
    if anomalies_before != entry.anomalies {
        let list = |codes: &[String]| if codes.is_empty() { "none".to_owned() } else { codes.join(", ") };
        rows.push([
            "anomalies".to_owned(),
            format!("{} -> {}", list(anomalies_before), list(&entry.anomalies)),
        ]);
    }
    for posting in postings_of(before, entry) {
        let amount = major(posting.amount_minor(), currency);
        let (debit, credit) = (posting.debit().as_str(), posting.credit().as_str());
        rows.push(["posting".to_owned(), format!("debit {debit}, credit {credit}: {amount}")]);
    }
    let head = [entry.position.to_string(), format!("{}  {}", time(entry.at), cause(entry))];
    table([&head[0], &head[1]], &rows)
}
