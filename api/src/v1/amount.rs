//! Amounts as `/v1` writes them: whole minor units and a currency, read exactly.

use ledger::money::{Currency, Money, MoneyError};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::http::Problem;

/// An amount in a request. The number is kept as it was written until it is read as money, so that nothing is
/// ever rounded on the way.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmountBody {
    value: Box<RawValue>,
    currency: String,
    exponent: Option<u8>,
}

impl AmountBody {
    /// The amount, or what is wrong with it; `pointer` is where it stands in the body.
    pub fn read(&self, pointer: &str) -> Result<Money, Problem> {
        self.money().map_err(|error| Problem::money(pointer, &error))
    }

    fn money(&self) -> Result<Money, MoneyError> {
        let currency: Currency = self.currency.parse()?;
        match self.exponent {
            Some(given) if given != currency.exponent() => {
                Err(MoneyError::WrongExponent { currency, expected: currency.exponent(), given })
            }
            Some(_) | None => Money::parse_minor(self.value.get(), currency),
        }
    }
}

/// The canonical form, for the request's hash: `1999`, `1999.0` and a correct exponent are one content.
impl Serialize for AmountBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let money = self.money().map_err(serde::ser::Error::custom)?;
        Amount::from(money).serialize(serializer)
    }
}

/// An amount: a whole number of minor units and an ISO 4217 code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"value": 1999, "currency": "EUR"}))]
pub struct Amount {
    /// Minor units (cents, yen), 1 to 999999999999999.
    #[schema(minimum = 1, maximum = 999_999_999_999_999i64)]
    value: i64,
    /// ISO 4217.
    currency: &'static str,
}

impl Amount {
    /// An amount that the log holds in minor units already.
    pub fn of(value: i64, currency: Currency) -> Self {
        Amount { value, currency: currency.code() }
    }
}

impl From<Money> for Amount {
    fn from(money: Money) -> Self {
        Amount::of(money.minor(), money.currency())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Code;
    use crate::http::body::parse;

    #[track_caller]
    fn check(body: &str, expect: Result<i64, (Code, &str)>) {
        let read = parse::<AmountBody>(body.as_bytes()).and_then(|amount| amount.read("/amount"));
        let read = read.map(|money| money.minor()).map_err(|problem| (problem.code, problem.pointer));
        assert_eq!(read, expect.map_err(|(code, at)| (code, Some(at.to_owned()))), "{body}");
    }

    #[test]
    fn each_wrong_amount_has_its_own_code() {
        let value = |text: &str| format!(r#"{{"value": {text}, "currency": "EUR"}}"#);
        check(&value("1999"), Ok(1999));
        check(&value("1999.00"), Ok(1999));
        check(&value("999999999999999"), Ok(999_999_999_999_999));
        check(&value("1000000000000000"), Err((Code::AmountTooLarge, "/amount/value")));
        check(&value("99999999999999999999999999"), Err((Code::AmountTooLarge, "/amount/value")));
        check(&value("19.99"), Err((Code::AmountFractional, "/amount/value")));
        check(&value("1e3"), Err((Code::AmountNotANumber, "/amount/value")));
        check(&value("-1"), Err((Code::AmountNegative, "/amount/value")));
        check(&value("0"), Err((Code::AmountZero, "/amount/value")));
        check(&value("-0"), Err((Code::AmountZero, "/amount/value")));
        for text in ["\"1999\"", "null", "true", "[]", "{}"] {
            check(&value(text), Err((Code::AmountNotANumber, "/amount/value")));
        }
        check(r#"{"value": 1, "currency": "eur"}"#, Err((Code::UnknownCurrency, "/amount/currency")));
        check(r#"{"value": 1, "currency": "XAU"}"#, Err((Code::UnknownCurrency, "/amount/currency")));
        check(r#"{"value": 1, "currency": "JPY", "exponent": 0}"#, Ok(1));
        check(
            r#"{"value": 1, "currency": "JPY", "exponent": 2}"#,
            Err((Code::WrongExponent, "/amount/exponent")),
        );
    }

    #[test]
    fn the_same_amount_has_one_canonical_form() {
        let of = |body: &str| {
            let amount: AmountBody = parse(body.as_bytes()).unwrap();
            serde_json::to_string(&amount).unwrap()
        };
        let canonical = r#"{"value":1999,"currency":"EUR"}"#;
        assert_eq!(of(r#"{"currency":"EUR","exponent":2,"value":1999.0}"#), canonical);
        assert_eq!(of(canonical), canonical);
    }
}
