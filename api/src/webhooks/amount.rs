//! Amounts: `{"value": 1999, "currency": "EUR", "exponent"?: 2}`, read from its digits and never through a float,
//! and those of senders that give some currencies another number of digits than ISO 4217 does.

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

/// A sender's whole number in its own smallest unit. `exceptions` lists the currencies to which the sender gives
/// another number of decimal digits than ISO 4217. `None` is zero, where no money moves; what is finer than the
/// currency's own minor unit is refused, not rounded.
pub(super) fn in_senders_unit(
    value: i64,
    currency: &str,
    exceptions: &[(&str, u8)],
) -> Result<Option<Money>, String> {
    let currency: Currency = currency.parse().map_err(|e: MoneyError| e.to_string())?;
    if value == 0 {
        return Ok(None);
    }
    let exception = exceptions.iter().find(|(code, _)| *code == currency.code());
    let digits = exception.map_or(currency.exponent(), |(_, digits)| *digits);
    let finer = u32::from(digits.saturating_sub(currency.exponent()));
    let coarser = u32::from(currency.exponent().saturating_sub(digits));
    if value % 10_i64.pow(finer) != 0 {
        return Err(MoneyError::FractionalMinorUnit(currency).to_string());
    }
    let minor = (value / 10_i64.pow(finer)).checked_mul(10_i64.pow(coarser));
    let money = minor.ok_or(MoneyError::TooLarge).and_then(|minor| Money::of(minor, currency));
    money.map(Some).map_err(|e| e.to_string())
}
