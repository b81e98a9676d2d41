//! The members of a body, taken out one by one, so that an answer can name every one that is wrong and not only
//! the first.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::cards;
use crate::http::Code;

/// The members of a JSON object, as they are written. A name that is there twice is refused.
#[derive(Debug, Default)]
pub(super) struct Members(BTreeMap<String, Box<RawValue>>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EachOnce;
        impl<'de> Visitor<'de> for EachOnce {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if members.contains_key(&name) {
                        return Err(A::Error::custom(format!("duplicate field `{name}`")));
                    }
                    members.insert(name, value);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(EachOnce)
    }
}

/// Something that is wrong with one field. Holds no card number, wherever one was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InvalidField {
    /// A stable word.
    pub(super) code: &'static str,
    /// By the vendor's name, such as `customer.email`.
    pub(super) field: String,
    /// What is wrong, in a sentence.
    pub(super) message: String,
}

/// Why a value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invalid {
    code: Code,
    message: String,
}

impl Invalid {
    /// With one of the words that `/v1` uses as well.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Invalid { code, message: message.into() }
    }

    /// The field's value is not what it may be.
    pub(super) fn value(message: impl Into<String>) -> Self {
        Invalid::new(Code::InvalidField, message)
    }

    /// About this field.
    pub(super) fn at(self, field: impl AsRef<str>) -> InvalidField {
        InvalidField {
            code: self.code.as_str(),
            field: cards::redacted(field.as_ref()).into_owned(),
            message: cards::redacted(&self.message).into_owned(),
        }
    }
}

/// What a check makes of a value.
pub(super) type Checked<T> = Result<T, Invalid>;

/// The members that nobody has taken yet, and what was wrong with those that were.
#[derive(Debug)]
pub(super) struct Fields {
    members: Members,
    /// The path to the object itself: empty, or `customer.`.
    path: &'static str,
    invalid: Vec<InvalidField>,
}

impl Fields {
    /// The members of a body.
    pub(super) fn new(members: Members) -> Self {
        Fields { members, path: "", invalid: Vec::new() }
    }

    /// A text that has to be there. An empty one is not there: Akinon's examples have `""` for what is not said.
    pub(super) fn text<T>(&mut self, name: &str, check: impl FnOnce(&str) -> Checked<T>) -> Option<T> {
        self.required(name, |raw| as_text(raw).and_then(|text| check(&text)))
    }

    /// A text that may be missing.
    pub(super) fn maybe_text<T>(&mut self, name: &str, check: impl FnOnce(&str) -> Checked<T>) -> Option<T> {
        self.optional(name, |raw| as_text(raw).and_then(|text| check(&text)))
    }

    /// A value that has to be there.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        check: impl FnOnce(&RawValue) -> Checked<T>,
    ) -> Option<T> {
        match self.take(name) {
            Some(raw) => self.checked(name, check(&raw)),
            None => {
                self.refuse(
                    name,
                    Invalid::new(Code::MissingField, format!("{}{name} is required", self.path)),
                );
                None
            }
        }
    }

    /// A value that may be missing.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        check: impl FnOnce(&RawValue) -> Checked<T>,
    ) -> Option<T> {
        let raw = self.take(name)?;
        self.checked(name, check(&raw))
    }

    /// An object that has to be there, read by `read`.
    pub(super) fn object<T>(
        &mut self,
        name: &str,
        path: &'static str,
        read: impl FnOnce(&mut Fields) -> Option<T>,
    ) -> Option<T> {
        let as_object = |raw: &RawValue| {
            let is_object = raw.get().starts_with('{');
            let wrong = if is_object { "a member is there twice" } else { "not an object" };
            serde_json::from_str(raw.get()).map_err(|_| Invalid::value(wrong))
        };
        let members = self.required(name, as_object)?;
        let mut inner = Fields { members, path, invalid: Vec::new() };
        let value = read(&mut inner);
        self.invalid.extend(inner.finish());
        value
    }

    /// Says that a field cannot be used.
    pub(super) fn refuse(&mut self, name: &str, invalid: Invalid) {
        self.invalid.push(invalid.at(format!("{}{name}", self.path)));
    }

    /// All that was wrong. Members that nobody took are unknown.
    pub(super) fn finish(mut self) -> Vec<InvalidField> {
        for name in std::mem::take(&mut self.members.0).into_keys() {
            self.refuse(&name, Invalid::new(Code::UnknownField, "this field is not known here"));
        }
        self.invalid
    }

    fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.members.0.remove(name).filter(|raw| !matches!(raw.get(), "null" | "\"\""))
    }

    fn checked<T>(&mut self, name: &str, checked: Checked<T>) -> Option<T> {
        checked.map_err(|invalid| self.refuse(name, invalid)).ok()
    }
}

fn as_text(raw: &RawValue) -> Checked<String> {
    serde_json::from_str(raw.get()).map_err(|_| Invalid::value("not a text"))
}
