//! Decimals in JSON, by their digits: read exactly, never through binary floating point.

use ledger::money::{Currency, Money, MoneyError};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A JSON number as its sender wrote it, such as `19.90`. Only JSON can hold it.
#[derive(Debug, Clone)]
pub struct Decimal(Box<RawValue>);

impl Decimal {
    /// The number as it is written.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The amount above zero that it says in major units of `currency`.
    pub fn money(&self, currency: Currency) -> Result<Money, MoneyError> {
        Money::parse_major(self.as_str(), currency)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Decimal {}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            Ok(Decimal(raw))
        } else {
            Err(serde::de::Error::custom("not a number"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_its_digits() {
        let eur: Currency = "EUR".parse().unwrap();
        let read = |text: &str| serde_json::from_str::<Decimal>(text);
        // As a double, a hundred times this is 28.999999999999996.
        let decimal = read("0.29").unwrap();
        assert_eq!(decimal.money(eur).map(|money| money.minor()), Ok(29));
        assert_eq!(decimal.as_str(), "0.29");
        assert_eq!(read("0.001").unwrap().money(eur), Err(MoneyError::FractionalMinorUnit(eur)));
        assert_eq!(read("1e2").unwrap().money(eur), Err(MoneyError::NotANumber));
        for bad in ["\"1.00\"", "null", "[1]", "true"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
