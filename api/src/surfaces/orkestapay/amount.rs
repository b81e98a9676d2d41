//! Amounts as this vendor writes them: decimals in major units, read and written exactly.

use ledger::money::{Currency, Money, MoneyError, major};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// An amount in a request. The seed writes numbers; WooCommerce hands the vendor's plugin some of its totals as
/// texts, such as `"990.00"`, so these are taken, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digits(String);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return Ok(Digits(text.to_owned()));
        }
        serde_json::from_str(text).map(Digits).map_err(|_| D::Error::custom("not a decimal number"))
    }
}

impl Digits {
    /// The amount above zero that it says in `currency`.
    pub(super) fn money(&self, currency: Currency) -> Result<Money, MoneyError> {
        Money::parse_major(&self.0, currency)
    }

    /// Minor units of `currency`, which may be none.
    pub(super) fn minor(&self, currency: Currency) -> Result<i64, MoneyError> {
        match self.money(currency) {
            Err(MoneyError::Zero) => Ok(0),
            other => other.map(|money| money.minor()),
        }
    }

    /// The number of things that it says: a whole number, however many zeros come after the point.
    pub(super) fn count(&self) -> Option<u32> {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((&self.0, "0"));
        let is_whole = !fraction.is_empty() && fraction.bytes().all(|b| b == b'0');
        whole.parse().ok().filter(|_| is_whole)
    }
}

/// An amount in a reply: a JSON number with no more digits than it needs, as in the seed: `1000`, `10.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exact {
    minor: i64,
    currency: Currency,
}

impl Exact {
    /// `minor` minor units.
    pub(super) fn of(minor: i64, currency: Currency) -> Self {
        Exact { minor, currency }
    }
}

impl From<Money> for Exact {
    fn from(money: Money) -> Self {
        Exact::of(money.minor(), money.currency())
    }
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = major(self.minor, self.currency);
        let shortest = match digits.contains('.') {
            true => digits.trim_end_matches('0').trim_end_matches('.'),
            false => &digits,
        };
        RawValue::from_string(shortest.to_owned()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mxn() -> Currency {
        "MXN".parse().unwrap()
    }

    #[test]
    fn an_amount_is_read_by_its_digits() {
        let read = |text: &str| serde_json::from_str::<Digits>(text).ok().map(|d| d.minor(mxn()));
        assert_eq!(read("1000"), Some(Ok(100_000)));
        // As a double, a hundred times this is 28.999999999999996.
        assert_eq!(read("0.29"), Some(Ok(29)));
        assert_eq!(read("\"990.00\""), Some(Ok(99_000)));
        assert_eq!(read("0"), Some(Ok(0)));
        assert_eq!(read("0.001"), Some(Err(MoneyError::FractionalMinorUnit(mxn()))));
        assert_eq!(read("-1"), Some(Err(MoneyError::Negative)));
        assert_eq!(read("1e3"), Some(Err(MoneyError::NotANumber)));
        assert_eq!(read("\"\""), Some(Err(MoneyError::NotANumber)));
        for bad in ["null", "[1]", "true", "{}"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_amount_is_written_as_short_as_the_vendor_does() {
        let written =
            |minor, code: &str| serde_json::to_string(&Exact::of(minor, code.parse().unwrap())).unwrap();
        assert_eq!(written(100_000, "MXN"), "1000");
        assert_eq!(written(1_050, "MXN"), "10.5");
        assert_eq!(written(5, "KWD"), "0.005");
        assert_eq!(written(1_000, "JPY"), "1000");
        assert_eq!(written(0, "MXN"), "0");
    }

    #[test]
    fn a_count_is_a_whole_number() {
        let count = |text: &str| serde_json::from_str::<Digits>(text).unwrap().count();
        assert_eq!((count("2"), count("2.000"), count("\"2\"")), (Some(2), Some(2), Some(2)));
        for bad in ["1.5", "-1", "1e1", "99999999999", "\"\"", "\"1.\""] {
            assert_eq!(count(bad), None, "{bad}");
        }
    }
}
