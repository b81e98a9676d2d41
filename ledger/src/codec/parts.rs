//! Parts of events, such as an item or a challenge, with their way from the domain and back.
//!
//! They are shapes too, and as unchangeable: the version in a name is that of the part. Those that could hold
//! personal data have no place for it; see `personal`. Every conversion destructures, so that a new field in the
//! domain stops compilation.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::scalar::{Amount, Text};
use crate::ids::RecordId;
use crate::{order, quarantine};

/// The text of an event: borrowed when it is written, owned when it is read.
pub(super) type Str<'a> = Cow<'a, str>;

/// A shop's own notes, by name.
pub(super) type Notes<'a> = Cow<'a, BTreeMap<String, String>>;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CaptureModeV1 {
    Automatic,
    Manual,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PaymentMethodV1<'a> {
    #[serde(rename = "type")]
    kind: Str<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<CardV1<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CardV1<'a> {
    brand: Str<'a>,
    last_four: Str<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ItemV1<'a> {
    identifier: Str<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Str<'a>>,
    quantity: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_price: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_identifier: Option<Str<'a>>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReturnUrlsV1<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel: Option<Str<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SurfaceV1<'a> {
    name: Str<'a>,
    #[serde(default, skip_serializing_if = "is_empty")]
    data: Notes<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChallengeV1<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Str<'a>>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReasonV1 {
    BadSignature,
    Unreadable,
    UnknownOrder,
    Refused,
    NoOrder,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MatchKeyV1<'a> {
    Order(Text<RecordId>),
    PaymentReference(Str<'a>),
    MerchantReference(Str<'a>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderV1<'a> {
    name: Str<'a>,
    value: Str<'a>,
}

pub(super) fn is_empty(notes: &Notes<'_>) -> bool {
    notes.is_empty()
}

impl ReturnUrlsV1<'_> {
    pub(super) fn is_empty(&self) -> bool {
        let ReturnUrlsV1 { success, failure, cancel } = self;
        success.is_none() && failure.is_none() && cancel.is_none()
    }
}

/// A text on its way into the log.
pub(super) fn text(text: &str) -> Str<'_> {
    Cow::Borrowed(text)
}

/// A text on its way into the log, if there is one.
pub(super) fn some_text(text: &Option<String>) -> Option<Str<'_>> {
    text.as_deref().map(Cow::Borrowed)
}

/// A text that was read from the log, if there is one.
pub(super) fn owned(text: Option<Str<'_>>) -> Option<String> {
    text.map(Cow::into_owned)
}

impl From<order::CaptureMode> for CaptureModeV1 {
    fn from(mode: order::CaptureMode) -> Self {
        match mode {
            order::CaptureMode::Automatic => CaptureModeV1::Automatic,
            order::CaptureMode::Manual => CaptureModeV1::Manual,
        }
    }
}

impl From<CaptureModeV1> for order::CaptureMode {
    fn from(mode: CaptureModeV1) -> Self {
        match mode {
            CaptureModeV1::Automatic => order::CaptureMode::Automatic,
            CaptureModeV1::Manual => order::CaptureMode::Manual,
        }
    }
}

impl<'a> From<&'a order::PaymentMethod> for PaymentMethodV1<'a> {
    fn from(method: &'a order::PaymentMethod) -> Self {
        let order::PaymentMethod { kind, token, card } = method;
        let card = card.as_ref().map(|order::Card { brand, last_four, holder: _ }| CardV1 {
            brand: text(brand),
            last_four: text(last_four),
        });
        PaymentMethodV1 { kind: text(kind), token: some_text(token), card }
    }
}

impl From<PaymentMethodV1<'_>> for order::PaymentMethod {
    fn from(PaymentMethodV1 { kind, token, card }: PaymentMethodV1<'_>) -> Self {
        let card = card.map(|CardV1 { brand, last_four }| order::Card {
            brand: brand.into_owned(),
            last_four: last_four.into_owned(),
            holder: None,
        });
        order::PaymentMethod { kind: kind.into_owned(), token: owned(token), card }
    }
}

impl<'a> From<&'a order::Item> for ItemV1<'a> {
    fn from(item: &'a order::Item) -> Self {
        let order::Item { identifier, name, quantity, unit_price, parent_identifier } = item;
        ItemV1 {
            identifier: text(identifier),
            name: some_text(name),
            quantity: *quantity,
            unit_price: unit_price.map(Amount),
            parent_identifier: some_text(parent_identifier),
        }
    }
}

impl From<ItemV1<'_>> for order::Item {
    fn from(item: ItemV1<'_>) -> Self {
        let ItemV1 { identifier, name, quantity, unit_price, parent_identifier } = item;
        order::Item {
            identifier: identifier.into_owned(),
            name: owned(name),
            quantity,
            unit_price: unit_price.map(|Amount(money)| money),
            parent_identifier: owned(parent_identifier),
        }
    }
}

impl<'a> From<&'a order::ReturnUrls> for ReturnUrlsV1<'a> {
    fn from(urls: &'a order::ReturnUrls) -> Self {
        let order::ReturnUrls { success, failure, cancel } = urls;
        ReturnUrlsV1 { success: some_text(success), failure: some_text(failure), cancel: some_text(cancel) }
    }
}

impl From<ReturnUrlsV1<'_>> for order::ReturnUrls {
    fn from(urls: ReturnUrlsV1<'_>) -> Self {
        let ReturnUrlsV1 { success, failure, cancel } = urls;
        order::ReturnUrls { success: owned(success), failure: owned(failure), cancel: owned(cancel) }
    }
}

impl<'a> From<&'a order::Surface> for SurfaceV1<'a> {
    fn from(surface: &'a order::Surface) -> Self {
        let order::Surface { name, data } = surface;
        SurfaceV1 { name: text(name), data: Cow::Borrowed(data) }
    }
}

impl From<SurfaceV1<'_>> for order::Surface {
    fn from(surface: SurfaceV1<'_>) -> Self {
        let SurfaceV1 { name, data } = surface;
        order::Surface { name: name.into_owned(), data: data.into_owned() }
    }
}

impl<'a> From<&'a order::Challenge> for ChallengeV1<'a> {
    fn from(challenge: &'a order::Challenge) -> Self {
        let order::Challenge { url, html, id } = challenge;
        ChallengeV1 { url: some_text(url), html: some_text(html), id: some_text(id) }
    }
}

impl From<ChallengeV1<'_>> for order::Challenge {
    fn from(challenge: ChallengeV1<'_>) -> Self {
        let ChallengeV1 { url, html, id } = challenge;
        order::Challenge { url: owned(url), html: owned(html), id: owned(id) }
    }
}

impl From<quarantine::Reason> for ReasonV1 {
    fn from(reason: quarantine::Reason) -> Self {
        match reason {
            quarantine::Reason::BadSignature => ReasonV1::BadSignature,
            quarantine::Reason::Unreadable => ReasonV1::Unreadable,
            quarantine::Reason::UnknownOrder => ReasonV1::UnknownOrder,
            quarantine::Reason::Refused => ReasonV1::Refused,
            quarantine::Reason::NoOrder => ReasonV1::NoOrder,
        }
    }
}

impl From<ReasonV1> for quarantine::Reason {
    fn from(reason: ReasonV1) -> Self {
        match reason {
            ReasonV1::BadSignature => quarantine::Reason::BadSignature,
            ReasonV1::Unreadable => quarantine::Reason::Unreadable,
            ReasonV1::UnknownOrder => quarantine::Reason::UnknownOrder,
            ReasonV1::Refused => quarantine::Reason::Refused,
            ReasonV1::NoOrder => quarantine::Reason::NoOrder,
        }
    }
}

impl<'a> From<&'a quarantine::MatchKey> for MatchKeyV1<'a> {
    fn from(key: &'a quarantine::MatchKey) -> Self {
        match key {
            quarantine::MatchKey::Order(id) => MatchKeyV1::Order(Text(*id)),
            quarantine::MatchKey::PaymentReference(name) => MatchKeyV1::PaymentReference(text(name)),
            quarantine::MatchKey::MerchantReference(name) => MatchKeyV1::MerchantReference(text(name)),
        }
    }
}

impl From<MatchKeyV1<'_>> for quarantine::MatchKey {
    fn from(key: MatchKeyV1<'_>) -> Self {
        match key {
            MatchKeyV1::Order(Text(id)) => quarantine::MatchKey::Order(id),
            MatchKeyV1::PaymentReference(name) => quarantine::MatchKey::PaymentReference(name.into_owned()),
            MatchKeyV1::MerchantReference(name) => quarantine::MatchKey::MerchantReference(name.into_owned()),
        }
    }
}

impl<'a> From<&'a (String, String)> for HeaderV1<'a> {
    fn from((name, value): &'a (String, String)) -> Self {
        HeaderV1 { name: text(name), value: text(value) }
    }
}

impl From<HeaderV1<'_>> for (String, String) {
    fn from(HeaderV1 { name, value }: HeaderV1<'_>) -> Self {
        (name.into_owned(), value.into_owned())
    }
}
