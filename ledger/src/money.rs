//! Money: a whole number of minor units in an ISO 4217 currency. No floating point anywhere.

use std::fmt;
use std::str::FromStr;

/// The largest amount of a single movement, in minor units: fits a JavaScript number exactly, and leaves room
/// to add up thousands of them in an `i64`.
pub const MAX_MINOR: i64 = 999_999_999_999_999;

/// An ISO 4217 currency that has a minor unit, by its three-letter code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The three-letter code, such as `EUR`.
    pub fn code(&self) -> &'static str {
        self.0.code()
    }

    /// How many decimal digits the minor unit has: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn exponent(&self) -> u8 {
        // Checked when the currency was parsed.
        self.0.exponent().map_or(0, |e| e as u8)
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    /// Accepts upper-case codes of currencies that have a minor unit (so neither `XAU` nor `XXX`).
    fn from_str(code: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(code)
            .filter(|c| c.exponent().is_some() && c.code() == code)
            .map(Currency)
            .ok_or_else(|| MoneyError::UnknownCurrency(code.chars().take(8).collect()))
    }
}

impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Currency {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.code().cmp(other.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Why a text or number is not an amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The code is not an ISO 4217 currency with a minor unit.
    #[error("{0:?} is not an ISO 4217 currency with a minor unit")]
    UnknownCurrency(String),
    /// The sender's exponent is not the currency's.
    #[error("{currency} has {expected} decimal digits, not {given}")]
    WrongExponent {
        /// The currency.
        currency: Currency,
        /// Its exponent by ISO 4217.
        expected: u8,
        /// What the sender claimed.
        given: u8,
    },
    /// Not a decimal number.
    #[error("not a decimal number")]
    NotANumber,
    /// Finer than the minor unit.
    #[error("finer than the minor unit of {0}")]
    FractionalMinorUnit(Currency),
    /// Below zero.
    #[error("negative")]
    Negative,
    /// Zero, where money must move.
    #[error("zero")]
    Zero,
    /// Above [`MAX_MINOR`].
    #[error("more than {MAX_MINOR} minor units")]
    TooLarge,
}

/// An amount above zero: a whole number of minor units, at most [`MAX_MINOR`], in a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// An amount of `minor` minor units: EUR 19.99 is `of(1999, EUR)`.
    pub fn of(minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        match minor {
            i64::MIN..=-1 => Err(MoneyError::Negative),
            0 => Err(MoneyError::Zero),
            1..=MAX_MINOR => Ok(Money { minor, currency }),
            _ => Err(MoneyError::TooLarge),
        }
    }

    /// Reads a JSON number that counts minor units, such as `1999`. `19.99` and `1e3` are refused, not rounded.
    pub fn parse_minor(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        Money::of(scaled(text, 0, currency)?, currency)
    }

    /// Reads a decimal in major units, such as `19.99`, exactly. More digits than the currency has are refused
    /// unless they are zeros.
    pub fn parse_major(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        Money::of(scaled(text, currency.exponent(), currency)?, currency)
    }

    /// The amount in minor units, above zero.
    pub fn minor(&self) -> i64 {
        self.minor
    }

    /// The currency.
    pub fn currency(&self) -> Currency {
        self.currency
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", major(self.minor, self.currency), self.currency)
    }
}

/// `minor` as a decimal in major units with all the currency's digits: 1999 EUR is `19.99`, 5 KWD is `0.005`.
pub fn major(minor: impl Into<i128>, currency: Currency) -> String {
    let minor = minor.into();
    let digits = usize::from(currency.exponent());
    let sign = if minor < 0 { "-" } else { "" };
    let text = format!("{:0>width$}", minor.unsigned_abs(), width = digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    if digits == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// `text` times ten to the `exponent`, exactly. Takes an optional sign, digits and one optional point.
fn scaled(text: &str, exponent: u8, currency: Currency) -> Result<i64, MoneyError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let well_formed = !whole.is_empty()
        && whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
        && !digits.ends_with('.');
    if !well_formed {
        return Err(MoneyError::NotANumber);
    }
    let (kept, finer) = fraction.split_at(fraction.len().min(usize::from(exponent)));
    if finer.bytes().any(|b| b != b'0') {
        return Err(MoneyError::FractionalMinorUnit(currency));
    }
    let padding = usize::from(exponent) - kept.len();
    let all = whole.bytes().chain(kept.bytes()).chain(std::iter::repeat_n(b'0', padding));
    let mut minor: i64 = 0;
    for digit in all {
        minor = minor
            .checked_mul(10)
            .and_then(|m| m.checked_add(i64::from(digit - b'0')))
            .ok_or(if negative { MoneyError::Negative } else { MoneyError::TooLarge })?;
    }
    Ok(if negative { -minor } else { minor })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[track_caller]
    fn check(text: &str, code: &str, expect: Result<i64, MoneyError>) {
        assert_eq!(Money::parse_major(text, currency(code)).map(|m| m.minor()), expect, "{text} {code}");
    }

    #[test]
    fn a_decimal_is_read_exactly_or_not_at_all() {
        check("19.99", "EUR", Ok(1999));
        check("19.9", "EUR", Ok(1990));
        check("19.990", "EUR", Ok(1999));
        check("0.29", "EUR", Ok(29));
        check("7", "JPY", Ok(7));
        check("0.005", "KWD", Ok(5));
        check("9999999999999.99", "EUR", Ok(MAX_MINOR));
        check("10000000000000.00", "EUR", Err(MoneyError::TooLarge));
        check("99999999999999999999", "EUR", Err(MoneyError::TooLarge));
        check("7.5", "JPY", Err(MoneyError::FractionalMinorUnit(currency("JPY"))));
        check("0.001", "EUR", Err(MoneyError::FractionalMinorUnit(currency("EUR"))));
        check("-1", "EUR", Err(MoneyError::Negative));
        check("0.00", "EUR", Err(MoneyError::Zero));
        for text in ["", ".", "1.", ".5", "1e3", "+1", "1,5", "NaN", " 1", "--1", "١"] {
            check(text, "EUR", Err(MoneyError::NotANumber));
        }
    }

    #[test]
    fn only_real_currencies_in_capitals_are_known() {
        for bad in ["eur", "EURO", "XXX", "XAU", "", "ZZZ"] {
            assert!(matches!(bad.parse::<Currency>(), Err(MoneyError::UnknownCurrency(_))), "{bad}");
        }
    }

    #[test]
    fn an_amount_is_shown_with_all_its_digits() {
        assert_eq!(Money::of(5, currency("KWD")).unwrap().to_string(), "0.005 KWD");
        assert_eq!(Money::of(1999, currency("EUR")).unwrap().to_string(), "19.99 EUR");
        assert_eq!(Money::of(7, currency("JPY")).unwrap().to_string(), "7 JPY");
        assert_eq!(major(-50, currency("EUR")), "-0.50");
    }
}
