//! `daybook totals`: a tenant's money by currency, folded from the log.

use clap::Args;
use ledger::money::{Currency, major};
use projections::views::Totals as Sums;

use super::past::Past;
use super::table::table;
use super::{Failure, print, print_json};
use crate::config::Config;
use crate::v1::totals::TotalsJson;

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Totals {
    #[command(flatten)]
    past: Past,
    /// For programs: as `GET /v1/totals` answers
    #[arg(long)]
    json: bool,
}

impl Totals {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let totals = self.past.open(config).await?.snapshot(self.json).await?.totals();
        if self.json {
            return print_json(&TotalsJson::of(totals));
        }
        let rows: Vec<[String; 8]> = totals.into_iter().map(row).collect();
        let heads = [
            "currency",
            "orders",
            "authorized",
            "captured",
            "refunded",
            "refund pending",
            "charged back",
            "balance",
        ];
        print(&table(heads, &rows))
    }
}

fn row((currency, totals): (Currency, Sums)) -> [String; 8] {
    let money = |minor: i128| major(minor, currency);
    [
        currency.to_string(),
        totals.orders.to_string(),
        money(totals.authorized_minor),
        money(totals.captured_minor),
        money(totals.refunded_minor),
        money(totals.refund_pending_minor),
        money(totals.charged_back_minor),
        money(totals.balance_minor),
    ]
}
