//! `daybook trial-balance`: what each account of a tenant's books holds, folded from the log.

use std::collections::BTreeMap;

use clap::Args;
use ledger::accounts::{Account, TrialBalance as Books};
use ledger::money::{Currency, major};

use super::past::Past;
use super::table::table;
use super::{Failure, print, print_json};
use crate::config::Config;
use crate::v1::trial_balance::{TrialBalancesJson, columns};

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct TrialBalance {
    #[command(flatten)]
    past: Past,
    /// For programs: as `GET /v1/trial-balance` answers
    #[arg(long)]
    json: bool,
    /// For spreadsheets: a line per currency and account, in minor units
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

impl TrialBalance {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let books = self.past.open(config).await?.snapshot(self.json).await?.trial_balances();
        if self.json {
            return print_json(&TrialBalancesJson::of(books));
        }
        print(&if self.csv { csv(&books) } else { for_people(&books) })
    }
}

/// Every field is a word or a number, so none needs quotes.
fn csv(books: &BTreeMap<Currency, Books>) -> String {
    let mut text = "currency,account,kind,debit,credit\n".to_owned();
    for (currency, books) in books {
        for account in Account::ALL {
            let (debit, credit) = columns(books.balance_minor(account));
            let (word, kind) = (account.as_str(), account.kind().as_str());
            text.push_str(&format!("{currency},{word},{kind},{debit},{credit}\n"));
        }
    }
    text
}

fn for_people(books: &BTreeMap<Currency, Books>) -> String {
    let mut rows = Vec::new();
    for (&currency, books) in books {
        let row = |account: &str, debit, credit| {
            [currency.to_string(), account.to_owned(), major(debit, currency), major(credit, currency)]
        };
        for account in Account::ALL {
            let (debit, credit) = columns(books.balance_minor(account));
            rows.push(row(account.as_str(), debit, credit));
        }
        rows.push(row("sum", books.debit_minor(), books.credit_minor()));
    }
    table(["currency", "account", "debit", "credit"], &rows)
}
