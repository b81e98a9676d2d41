//! Single values: ids, moments and amounts. Each has one spelling, checked as it is read.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::ops::Range;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::money::{Currency, Money, MoneyError};

/// A value that is stored as the text it shows as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(PhantomData)).map(Text)
    }
}

struct FromText<T>(PhantomData<T>);

impl<T: FromStr<Err: Display>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// A moment: RFC 3339 in UTC with milliseconds, `2026-11-20T10:00:00.123Z`. One that is finer than that gets six
/// or nine digits rather than being changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Timestamp);

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.0.subsec_nanosecond() {
            whole if whole % 1_000_000 == 0 => 3,
            micros if micros % 1_000 == 0 => 6,
            _ => 9,
        };
        write!(f, "{:.digits$}", self.0)
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(moment) = in_milliseconds(text) {
            return Ok(moment);
        }
        let moment = text.parse().ok().map(Moment);
        moment
            .filter(|moment| moment.to_string() == text)
            .ok_or_else(|| format!("{text:?} is not a moment in UTC with milliseconds"))
    }
}

/// The moment of a text that is spelled as almost every one is, `2026-11-20T10:00:00.123Z`: then there is no need to
/// write it again to see whether that is its one spelling.
fn in_milliseconds(text: &str) -> Option<Moment> {
    let text: &[u8; 24] = text.as_bytes().try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
    if marks.iter().any(|(place, mark)| text[*place] != *mark) {
        return None;
    }
    let number = |place: Range<usize>| {
        text[place].iter().try_fold(0_i16, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + i16::from(digit - b'0'))
        })
    };
    let short = |place| i8::try_from(number(place)?).ok();
    let nanosecond = i32::from(number(20..23)?) * 1_000_000;
    let date = Date::new(number(0..4)?, short(5..7)?, short(8..10)?).ok()?;
    let time = Time::new(short(11..13)?, short(14..16)?, short(17..19)?, nanosecond).ok()?;
    Offset::UTC.to_timestamp(DateTime::from_parts(date, time)).ok().map(Moment)
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(PhantomData))
    }
}

/// An amount of money. The exponent is stored too, since ISO 4217 changes over the years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Amount(pub(super) Money);

#[derive(Serialize, Deserialize)]
#[serde(rename = "an amount", deny_unknown_fields)]
struct AmountFields<'a> {
    minor: i64,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    exponent: u8,
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let currency = self.0.currency();
        AmountFields {
            minor: self.0.minor(),
            currency: Cow::Borrowed(currency.code()),
            exponent: currency.exponent(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let AmountFields { minor, currency, exponent: given } = AmountFields::deserialize(deserializer)?;
        let currency: Currency = currency.parse().map_err(D::Error::custom)?;
        let expected = currency.exponent();
        if given != expected {
            return Err(D::Error::custom(MoneyError::WrongExponent { currency, expected, given }));
        }
        Money::of(minor, currency)
            .map(Amount)
            .map_err(|error| D::Error::custom(format_args!("{minor} is not an amount of money: {error}")))
    }
}
