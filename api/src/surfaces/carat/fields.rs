//! The vendor's two tables of fields, as data, and bodies read by them.
//!
//! A field of a group has a dotted name, such as `acquirer.routing_id`. In the vendor's tables `<` and `≤` both
//! mean "at most": `< 40` is explained there as "a maximum length of 40", and `false` has to fit into `< 5`. `=`
//! means "exactly", except where the value is fixed: their counts of `confirmation` and `true` are off.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::refusal::{Code, Refusal};
use crate::cards;

/// One row of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// Its dotted name.
    pub(super) name: &'static str,
    /// Whether a body without it is refused.
    pub(super) is_required: bool,
    /// What it may hold.
    pub(super) format: Format,
}

/// What a field may hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Format {
    /// Digits (`N`), as JSON text or as a JSON number.
    Digits(Length),
    /// Digits that are not all zero.
    AboveZero(Length),
    /// Printable ASCII (`AN`). The vendor's own texts of this format have spaces and punctuation.
    Text(Length),
    /// The same for a CPF or CNPJ, one in ten of which could be a card number. It is never stored.
    TaxNumber(Length),
    /// A day as DD/MM/YYYY (`D`).
    Date,
    /// One of these words, as JSON text, number or boolean.
    OneOf(&'static [&'static str]),
}

/// How many characters.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    /// One or more, up to this many.
    UpTo(usize),
    /// This many.
    Exactly(usize),
}

use Format::{AboveZero, Digits, OneOf, TaxNumber, Text};
use Length::{Exactly, UpTo};

const fn required(name: &'static str, format: Format) -> Field {
    Field { name, is_required: true, format }
}

const fn optional(name: &'static str, format: Format) -> Field {
    Field { name, is_required: false, format }
}

/// The body of `POST /v1/transactions`.
pub(super) const TRANSACTION: &[Field] = &[
    required("amount", AboveZero(UpTo(12))),
    optional("merchant_usn", Digits(UpTo(12))),
    optional("order_id", Text(UpTo(40))),
    required("transaction_type", OneOf(&["confirmation"])),
    required("is_transaction_origin_external", OneOf(&["true"])),
];

/// The buyer's CPF or CNPJ.
pub(super) const TAX_NUMBER: &str = "acquirer.identification_number";

/// The body of `PUT /v1/payments/{nit}`.
pub(super) const EFFECTUATION: &[Field] = &[
    optional("amount", AboveZero(UpTo(12))),
    required("authorizer_id", Digits(UpTo(3))),
    optional("installments", AboveZero(UpTo(2))),
    optional("installment_type", OneOf(&["3", "4", "6", "7"])),
    optional("confirmation_data", Text(UpTo(128))),
    required("acquirer.routing_id", Digits(UpTo(5))),
    optional("acquirer.host_usn", Digits(Exactly(9))),
    optional("acquirer.authorization_number", Digits(UpTo(6))),
    optional("acquirer.authorizer_date", Format::Date),
    optional("acquirer.order_id", Text(UpTo(40))),
    optional(TAX_NUMBER, TaxNumber(UpTo(20))),
    optional("acquirer.terminal", Text(Exactly(8))),
    optional("acquirer.company_code", Digits(Exactly(8))),
];

/// A body that keeps to its table: the values that were sent, as texts by field. Numbers are their digits.
pub(super) type Values = BTreeMap<&'static str, String>;

/// The values of `body`, if it keeps to `table`. Says which field is at fault, and never what was in it.
pub(super) fn read(table: &[Field], body: Members) -> Result<Values, Refusal> {
    let mut values = Values::new();
    for (name, value) in flat(table, body)? {
        let field = table.iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| Refusal::at(Code::UnknownField, &name, "not a field here"))?;
        let text = field.format.text_of(value);
        let text = text.ok_or_else(|| Refusal::at(Code::InvalidField, &name, field.format.to_string()))?;
        if matches!(field.format, Text(_)) && cards::looks_like_a_card_number(&text) {
            return Err(Refusal::at(Code::InvalidField, &name, "looks like a card number"));
        }
        if values.insert(field.name, text).is_some() {
            return Err(Refusal::at(Code::InvalidField, &name, "there twice"));
        }
    }
    match table.iter().find(|field| field.is_required && !values.contains_key(field.name)) {
        Some(missing) => Err(Refusal::at(Code::MissingField, missing.name, "required")),
        None => Ok(values),
    }
}

/// The members under their dotted names, without those that are null.
fn flat(table: &[Field], body: Members) -> Result<Vec<(String, Json)>, Refusal> {
    let mut members = Vec::new();
    for (name, value) in body.0 {
        let prefix = format!("{name}.");
        let is_group = table.iter().any(|field| field.name.starts_with(&prefix));
        match (is_group, value) {
            (_, Json::Null) => {}
            (true, Json::Object(group)) => {
                let group = group.0.into_iter().filter(|(_, value)| !matches!(value, Json::Null));
                members.extend(group.map(|(member, value)| (format!("{prefix}{member}"), value)));
            }
            (true, _) => return Err(Refusal::at(Code::InvalidField, &name, "an object")),
            (false, value) => members.push((name, value)),
        }
    }
    Ok(members)
}

impl Format {
    /// The value as a text of this format; `None` if it is none.
    fn text_of(self, value: Json) -> Option<String> {
        let text = match value {
            Json::Text(text) => text,
            Json::Number(number) if !matches!(self, Text(_) | TaxNumber(_)) => number.to_string(),
            Json::Flag(flag) if matches!(self, OneOf(_)) => flag.to_string(),
            Json::Number(_) | Json::Flag(_) | Json::Null | Json::Object(_) | Json::Other => return None,
        };
        let digits = || text.bytes().all(|b| b.is_ascii_digit());
        let printable = || text.bytes().all(|b| matches!(b, b' '..=b'~'));
        let fits = match self {
            Digits(length) => digits() && length.fits(&text),
            AboveZero(length) => digits() && length.fits(&text) && text.bytes().any(|b| b != b'0'),
            Text(length) | TaxNumber(length) => printable() && length.fits(&text),
            Format::Date => is_date(&text),
            OneOf(words) => words.contains(&text.as_str()),
        };
        fits.then_some(text)
    }
}

impl Length {
    /// For ASCII; other texts are refused whatever their length.
    fn fits(self, text: &str) -> bool {
        match self {
            UpTo(most) => (1..=most).contains(&text.len()),
            Exactly(length) => text.len() == length,
        }
    }
}

/// A day of the calendar as DD/MM/YYYY.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |index: usize| bytes[index].is_ascii_digit();
    let has_form = bytes.len() == 10
        && bytes[2] == b'/'
        && bytes[5] == b'/'
        && [0, 1, 3, 4, 6, 7, 8, 9].into_iter().all(is_digit);
    has_form && Date::strptime("%d/%m/%Y", text).is_ok()
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpTo(most) => write!(f, "at most {most}"),
            Exactly(length) => write!(f, "exactly {length}"),
        }
    }
}

/// What is allowed, for messages and for the guide.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Digits(length) => write!(f, "{length} digits"),
            AboveZero(length) => write!(f, "{length} digits, above zero"),
            Text(length) | TaxNumber(length) => write!(f, "{length} characters of printable ASCII"),
            Format::Date => f.write_str("a day as DD/MM/YYYY"),
            OneOf([word]) => f.write_str(word),
            OneOf(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// A JSON object, member by member, so that one that is there twice is seen.
#[derive(Debug)]
pub(super) struct Members(Vec<(String, Json)>);

/// As much of a JSON value as a field can hold.
#[derive(Debug)]
enum Json {
    Null,
    Flag(bool),
    Number(u64),
    Text(String),
    Object(Members),
    /// Lists, and numbers that are more than digits.
    Other,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
                Ok(Json::Flag(flag))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
                Ok(Json::Number(number))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Json::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Json, A::Error> {
                Members::deserialize(MapAccessDeserializer::new(map)).map(Json::Object)
            }
        }
        deserializer.deserialize_any(Any)
    }
}
