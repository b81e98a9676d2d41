//! `daybook orders`: a tenant's orders, newest first, folded from the log.

use std::num::NonZeroUsize;

use clap::Args;
use ledger::ids::{Position, TrackingNumber};
use ledger::money::major;
use ledger::order::Status;
use projections::views::{ListFilter, OrderView, Page};
use replay::PageOfIds;

use super::past::{Asked, Past, unreadable};
use super::table::table;
use super::{Failure, print, print_json};
use crate::config::Config;
use crate::v1::orders::OrdersJson;
use crate::v1::shapes::time;

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Orders {
    #[command(flatten)]
    past: Past,
    /// Only orders with this status
    #[arg(long)]
    status: Option<String>,
    /// Only orders with this merchant reference
    #[arg(long)]
    reference: Option<String>,
    /// Where the page before ended
    #[arg(long, value_name = "POSITION")]
    cursor: Option<Position>,
    /// How many orders
    #[arg(long, default_value = "20")]
    limit: NonZeroUsize,
    /// For programs: as `GET /v1/orders` answers
    #[arg(long)]
    json: bool,
}

impl Orders {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let filter = self.filter()?;
        let asked = self.past.open(config).await?;
        let page = asked.snapshot(self.json).await?.page(&filter, self.cursor, self.limit.get());
        let page = shown(&asked, page).await?;
        if self.json {
            return print_json(&OrdersJson::of(&page));
        }
        let rows: Vec<[String; 7]> = page.orders.iter().map(row).collect();
        let heads = ["order", "tracking number", "reference", "created", "status", "amount", "balance"];
        print(&table(heads, &rows))?;
        if let Some(next) = page.next {
            eprintln!("hint: there are more: --cursor {next}");
        }
        Ok(())
    }

    fn filter(&self) -> Result<ListFilter, Failure> {
        let unknown = |word: &String| {
            let words = Status::ALL.map(Status::as_str).join(", ");
            Failure::usage(format!("--status: there is no {word:?}")).hint(format!("one of {words}"))
        };
        let status = |word: &String| Status::from_word(word).ok_or_else(|| unknown(word));
        Ok(ListFilter {
            status: self.status.as_ref().map(status).transpose()?,
            merchant_reference: self.reference.clone(),
        })
    }
}

/// The orders of the page with all that is known of them.
async fn shown(asked: &Asked, page: PageOfIds) -> Result<Page, Failure> {
    let mut orders = Vec::with_capacity(page.ids.len());
    for id in page.ids {
        let order = replay::order(&asked.ledger, &asked.tenant, id, asked.moment).await;
        orders.extend(order.map_err(|error| unreadable(&error))?);
    }
    Ok(Page { orders, next: page.next })
}

fn row(view: &OrderView) -> [String; 7] {
    let checkout = &view.order.checkout;
    [
        view.id.to_string(),
        TrackingNumber(view.id).to_string(),
        checkout.merchant_reference.clone(),
        time(view.created_at),
        view.order.status().as_str().to_owned(),
        checkout.amount.to_string(),
        major(view.order.balance().balance_minor, checkout.amount.currency()),
    ]
}
