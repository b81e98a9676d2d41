//! Amounts as Akinon writes them: decimals in major units, with two digits after the point even where the currency
//! has none.

use ledger::money::{Currency, major};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// An amount on its way out: a JSON number such as `19.90`, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Amount(String);

impl Amount {
    /// `minor` minor units: 1990 EUR is `19.90`, 1000 JPY is `1000.00`, 5 KWD is `0.005`.
    pub(super) fn of(minor: i64, currency: Currency) -> Self {
        let mut text = major(minor, currency);
        let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        if digits == 0 {
            text.push('.');
        }
        text.extend(std::iter::repeat_n('0', 2_usize.saturating_sub(digits)));
        Amount(text)
    }

    /// The digits.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = RawValue::from_string(self.0.clone()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_two_digits_at_least() {
        let written = |minor, code: &str| serde_json::to_string(&Amount::of(minor, code.parse().unwrap()));
        for (minor, code, expect) in [
            (1990, "TRY", "19.90"),
            (0, "EUR", "0.00"),
            (1000, "JPY", "1000.00"),
            (0, "JPY", "0.00"),
            (5, "KWD", "0.005"),
            (ledger::money::MAX_MINOR, "EUR", "9999999999999.99"),
        ] {
            assert_eq!(written(minor, code).unwrap(), expect);
        }
    }
}
