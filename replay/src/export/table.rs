//! What a table is: named columns of three kinds, and rows. Every format writes the same tables.
//!
//! Money is a whole number of minor units beside its currency and exponent. No value is a floating point number.

use std::borrow::Cow;

use jiff::Timestamp;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A signed 64-bit integer.
    Integer,
    /// A moment in UTC; to the millisecond as text, a count of microseconds in Parquet.
    Time,
    /// UTF-8.
    Text,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether every row has a value here.
    pub(super) is_required: bool,
}

/// A column in which every row has a value.
pub(super) const fn required(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_required: true }
}

/// A column in which a row may have none.
pub(super) const fn optional(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_required: false }
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// There is none.
    Missing,
    /// A number.
    Integer(i64),
    /// A moment.
    Time(Timestamp),
    /// A text.
    Text(Cow<'static, str>),
}

/// One value for each column, in their order.
pub(super) type Row = Vec<Value>;

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Integer(number.into())
    }
}

impl From<u8> for Value {
    fn from(number: u8) -> Self {
        Value::Integer(number.into())
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Value::Time(at)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Missing, Into::into)
    }
}

/// A moment as text: RFC 3339 in UTC with milliseconds, as the API writes it.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// A count that the log keeps unsigned. Sequences and counts stay far below the sign bit.
pub(super) fn count(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
