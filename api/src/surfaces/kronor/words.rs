//! The vendor's scalars and enums, and what they are in the ledger's terms.

use std::str::FromStr;

use async_graphql::{Enum, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use jiff::Timestamp;
use serde::Serialize;

/// Declares an enum of upper-case codes, each also as text.
macro_rules! codes {
    ($(#[doc = $doc:literal])* $name:ident { $($code:ident)* }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
        #[graphql(rename_items = "UPPERCASE")]
        pub(super) enum $name {
            $(#[allow(missing_docs)] $code,)*
        }

        impl $name {
            /// The code.
            pub(super) fn as_str(self) -> &'static str {
                match self { $($name::$code => stringify!($code),)* }
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(code: &str) -> Result<Self, ()> {
                match code { $(stringify!($code) => Ok($name::$code),)* _ => Err(()) }
            }
        }
    };
}

codes! {
    /// A country, by its ISO 3166-1 code: where a purchase can be made.
    Country {
        AT BE BG CH CY CZ DE DK EE ES FI FR GB GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK
    }
}

codes! {
    /// A language, by its ISO 639-1 code.
    Language {
        BG CS DA DE EL EN ES ET FI FR GA HR HU IS IT LT LV MT NB NL NN NO PL PT RO SK SL SV
    }
}

impl Country {
    /// The currency in which this country's purchases are made, by its ISO 4217 code.
    pub(super) fn currency(self) -> &'static str {
        match self {
            Country::SE => "SEK",
            Country::NO => "NOK",
            Country::DK => "DKK",
            Country::IS => "ISK",
            Country::GB => "GBP",
            Country::CH | Country::LI => "CHF",
            Country::CZ => "CZK",
            Country::HU => "HUF",
            Country::PL => "PLN",
            Country::RO => "RON",
            Country::AT
            | Country::BE
            | Country::BG
            | Country::CY
            | Country::DE
            | Country::EE
            | Country::ES
            | Country::FI
            | Country::FR
            | Country::GR
            | Country::HR
            | Country::IE
            | Country::IT
            | Country::LT
            | Country::LU
            | Country::LV
            | Country::MT
            | Country::NL
            | Country::PT
            | Country::SI
            | Country::SK => "EUR",
        }
    }
}

/// Where a purchase order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "PurchaseOrderStatusEnum", rename_items = "SCREAMING_SNAKE_CASE")]
pub(super) enum StatusWord {
    /// Nothing has been heard of it yet.
    PreFlightScoring,
    /// It is being assessed.
    RiskScoring,
    /// The customer has to authenticate.
    ScaRequired,
    /// It was refused, or ran out of time. An end.
    Rejected,
    /// The checkout is complete; the purchase waits to be captured.
    WaitingForCapture,
    /// Some of the purchase was captured.
    PartiallyCaptured,
    /// The purchase was captured. It stays so when money goes back.
    CaptureDone,
    /// It was canceled. An end.
    Cancelled,
}

impl StatusWord {
    /// The vendor's word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            StatusWord::PreFlightScoring => "PRE_FLIGHT_SCORING",
            StatusWord::RiskScoring => "RISK_SCORING",
            StatusWord::ScaRequired => "SCA_REQUIRED",
            StatusWord::Rejected => "REJECTED",
            StatusWord::WaitingForCapture => "WAITING_FOR_CAPTURE",
            StatusWord::PartiallyCaptured => "PARTIALLY_CAPTURED",
            StatusWord::CaptureDone => "CAPTURE_DONE",
            StatusWord::Cancelled => "CANCELLED",
        }
    }
}

/// A direction of sorting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "OrderBy")]
pub(super) enum Direction {
    /// From the smallest to the largest.
    #[graphql(name = "ASC")]
    Ascending,
    /// From the largest to the smallest.
    #[graphql(name = "DESC")]
    Descending,
    /// The same as `ASC`.
    #[graphql(name = "asc")]
    AscendingToo,
    /// The same as `DESC`.
    #[graphql(name = "desc")]
    DescendingToo,
}

impl Direction {
    /// From the largest to the smallest.
    pub(super) fn is_descending(self) -> bool {
        match self {
            Direction::Descending | Direction::DescendingToo => true,
            Direction::Ascending | Direction::AscendingToo => false,
        }
    }
}

/// A whole number of up to 53 bits, so that every JSON reader reads it exactly; as input also in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bigint(pub(super) i64);

#[Scalar(name = "bigint")]
impl ScalarType for Bigint {
    fn parse(value: Value) -> InputValueResult<Self> {
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            Value::Null
            | Value::Boolean(_)
            | Value::Binary(_)
            | Value::Enum(_)
            | Value::List(_)
            | Value::Object(_) => None,
        };
        number.map(Bigint).ok_or_else(|| InputValueError::custom("not a whole number"))
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.into())
    }
}

/// A moment, as in RFC 3339; in answers in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timestamptz(pub(super) Timestamp);

#[Scalar(name = "timestamptz")]
impl ScalarType for Timestamptz {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        let at = text.parse::<Timestamp>();
        at.map(Timestamptz).map_err(|_| InputValueError::custom("not a time as in RFC 3339"))
    }

    fn to_value(&self) -> Value {
        Value::String(format!("{:.3}", self.0))
    }
}
