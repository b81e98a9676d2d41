//! `daybook history`: what happened to an order, folded from the log. Reads beside a running server.

use clap::Args;
use ledger::commit::Recorded;
use ledger::execute::{Ledger, RetryPolicy};
use ledger::ids::{TenantId, TrackingNumber};
use ledger::money::major;
use ledger::order::Order;
use projections::views::{CauseSummary, HistoryEntry};
use replay::AsOf;
use serde::Serialize;

use super::table::table;
use super::{Failure, chain, print, print_json};
use crate::config::Config;
use crate::http::id::OrderId;
use crate::startup;
use crate::v1::history::{EntryJson, entry_of};
use crate::v1::shapes::time;

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct History {
    /// Order id or tracking number
    order: String,
    /// Whose order; may be left out where there is one tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only up to this time (RFC 3339) or position
    #[arg(long)]
    as_of: Option<String>,
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
        let tenant = self.tenant(config)?;
        let order = OrderId::parse(&self.order).ok_or_else(|| {
            Failure::usage(format!("{:?} is neither an order id nor a tracking number", self.order))
        })?;
        let as_of: Option<AsOf> = self
            .as_of
            .map(|text| text.parse().map_err(|error| Failure::usage(format!("--as-of: {error}"))))
            .transpose()?;
        let ledger = Ledger::new(startup::open_journal_read_only(config).await?, RetryPolicy::default());
        let mut entries = Vec::new();
        let each = |recorded: Recorded, order: &Order| entries.push(entry_of(&recorded, order));
        let folded = replay::history(&ledger, &tenant, order, as_of, each).await;
        let Some(last) = folded.map_err(|error| Failure::new(chain(&error)))? else {
            return Err(Failure::new(format!("tenant {tenant} has no order {}", self.order)));
        };
        if self.json {
            let entries = entries.iter().map(EntryJson::of).collect();
            return print_json(&Document { order_id: order.to_string(), entries });
        }
        let head = format!("order {order}  {}  {}\n\n", TrackingNumber(order), last.checkout.amount);
        let rows: Vec<[String; 6]> = entries.iter().map(|entry| row(entry, &last)).collect();
        let table = table(["position", "time", "cause", "events", "status", "balance"], &rows);
        let anomalies = last.anomalies();
        let anomalies: String = anomalies
            .iter()
            .map(|found| format!("\nanomaly {}: {}", found.code(), found.describe()))
            .collect();
        print(&format!("{head}{table}{anomalies}{}", if anomalies.is_empty() { "" } else { "\n" }))
    }

    fn tenant(&self, config: &Config) -> Result<TenantId, Failure> {
        match (&self.tenant, config.tenants.as_slice()) {
            (Some(tenant), _) => tenant.parse().map_err(|error| Failure::usage(format!("--tenant: {error}"))),
            (None, [only]) => Ok(only.id.clone()),
            (None, _) => Err(Failure::usage("whose order?").hint("name the tenant with --tenant")),
        }
    }
}

fn row(entry: &HistoryEntry, order: &Order) -> [String; 6] {
    let cause = match &entry.cause {
        CauseSummary::Command { operation, key: Some(key) } => format!("{operation} {key}"),
        CauseSummary::Command { operation, key: None } => operation.clone(),
        CauseSummary::Webhook { source, event_id } => format!("webhook {source} {event_id}"),
        CauseSummary::Timer { name } => format!("timer {name}"),
    };
    let events = entry.events.iter().map(|event| match event.amount {
        Some(amount) => format!("{} {amount}", event.name),
        None => event.name.clone(),
    });
    let currency = order.checkout.amount.currency();
    [
        entry.position.to_string(),
        time(entry.at),
        cause,
        events.collect::<Vec<_>>().join(", "),
        entry.status.as_str().to_owned(),
        major(entry.balance.balance_minor, currency),
    ]
}
