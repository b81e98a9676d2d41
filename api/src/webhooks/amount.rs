//! `{"value": 1999, "currency": "EUR", "exponent"?: 2}`, read from its digits, never through a float.

use ledger::money::{Currency, Money, MoneyError};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Amount<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
    currency: String,
    exponent: Option<u8>,
}

/// The amount, or what is wrong with it.
pub(super) fn read(json: &str) -> Result<Money, String> {
    let amount: Amount<'_> = serde_json::from_str(json).map_err(|e| e.to_string())?;
    check(&amount).map_err(|e| e.to_string())
}

fn check(amount: &Amount<'_>) -> Result<Money, MoneyError> {
    let currency: Currency = amount.currency.parse()?;
    let expected = currency.exponent();
    match amount.exponent {
        Some(given) if given != expected => Err(MoneyError::WrongExponent { currency, expected, given }),
        Some(_) | None => Money::parse_minor(amount.value.get(), currency),
    }
}
