//! What the bodies may say. The vendor's pages mark what is optional and give few lengths; those here are ours, and
//! stand in the guide.

use std::net::IpAddr;

use ledger::money::{Currency, Money, MoneyError};
use ledger::order::{CaptureMode, Customer};
use serde_json::value::RawValue;

use super::fields::{Checked, Fields, Invalid};
use super::status::Outcome;
use crate::cards;
use crate::http::decimal::Decimal;
use crate::http::id::is_idempotency_key;
use crate::http::url;
use crate::http::{Code, Problem};

/// A call's own fields, beside those that every call has.
pub(super) trait Body: Sized + Send + Sync {
    /// Takes them out of the body. None: at least one was refused.
    fn read(fields: &mut Fields) -> Option<Self>;
}

/// Begins a session: the buyer is about to pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StartSession {
    /// What is to be paid.
    pub(super) amount: Money,
    /// SALE captures by itself, AUTH on request.
    pub(super) capture: CaptureMode,
    /// The buyer's language, a BCP 47 tag.
    pub(super) locale: String,
    /// Where the buyer is to return to, by a form.
    pub(super) return_url: String,
    /// Who buys. Personal data.
    pub(super) customer: Customer,
    /// Which sub-provider or method the shop would like.
    pub(super) target_provider: Option<String>,
}

impl Body for StartSession {
    fn read(fields: &mut Fields) -> Option<Self> {
        let currency = fields.text("currency", currency);
        let amount = fields.required("orderAmount", decimal);
        let amount = amount.zip(currency).and_then(|(amount, currency)| {
            amount.money(currency).map_err(|error| fields.refuse("orderAmount", not_money(&error))).ok()
        });
        let capture = fields.text("type", payment_type);
        let locale = fields.text("locale", language_tag);
        let return_url = fields.text("returnUrl", web_url);
        let deprecated_ip = fields.maybe_text("clientIp", ip_address);
        let customer = fields.object("customer", "customer.", |fields| customer(fields, deprecated_ip));
        let target_provider = fields.maybe_text("targetProvider", |text| prose(text, 128));
        Some(StartSession {
            amount: amount?,
            capture: capture?,
            locale: locale?,
            return_url: return_url?,
            customer: customer?,
            target_provider,
        })
    }
}

/// Completes a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Purchase {
    /// The final amount, where it has changed since the authorization; in the order's currency.
    pub(super) amount: Option<Decimal>,
}

impl Body for Purchase {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Purchase { amount: fields.optional("orderAmount", decimal) })
    }
}

/// Gives a payment up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Void;

impl Body for Void {
    fn read(_: &mut Fields) -> Option<Self> {
        Some(Void)
    }
}

/// Gives money back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refund {
    /// How much.
    pub(super) amount: Money,
}

impl Body for Refund {
    fn read(fields: &mut Fields) -> Option<Self> {
        let currency = fields.text("currency", currency);
        let (amount, currency) = fields.required("amount", decimal).zip(currency)?;
        let amount = amount.money(currency).map_err(|error| fields.refuse("amount", not_money(&error)));
        Some(Refund { amount: amount.ok()? })
    }
}

/// Asks what has happened; each filter that is there must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HistoryFilter {
    /// Only steps of this type.
    pub(super) action: Option<Action>,
    /// Only the step that has this id.
    pub(super) transaction_id: Option<String>,
    /// Only steps that stand so.
    pub(super) status: Option<&'static str>,
    /// Only steps that stand exactly so.
    pub(super) outcome: Option<Outcome>,
}

impl Body for HistoryFilter {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(HistoryFilter {
            action: fields.maybe_text("type", |text| one_of(text, Action::ALL, Action::as_str)),
            transaction_id: fields.maybe_text("transactionId", |text| prose(text, 128)),
            status: fields
                .maybe_text("status", |text| one_of(text, Outcome::ALL, Outcome::status))
                .map(Outcome::status),
            outcome: fields.maybe_text("subStatus", |text| one_of(text, Outcome::ALL, Outcome::sub_status)),
        })
    }
}

/// What can be asked for, by the vendor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// A session.
    Start,
    /// A completion.
    Purchase,
    /// A cancellation.
    Void,
    /// A refund.
    Refund,
    /// A look at all of them, which leaves no step.
    History,
}

impl Action {
    const ALL: [Action; 5] = [Action::Start, Action::Purchase, Action::Void, Action::Refund, Action::History];

    /// The vendor's word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Action::Start => "START",
            Action::Purchase => "PURCHASE",
            Action::Void => "VOID",
            Action::Refund => "REFUND",
            Action::History => "HISTORY",
        }
    }
}

/// `SALE` or `AUTH`.
pub(super) fn payment_type_word(capture: CaptureMode) -> &'static str {
    match capture {
        CaptureMode::Automatic => "SALE",
        CaptureMode::Manual => "AUTH",
    }
}

/// An idempotency key: 1 to 255 visible ASCII characters.
pub(super) fn guid(text: &str) -> Checked<String> {
    if !is_idempotency_key(text.as_bytes()) {
        return Err(Invalid::value("not 1 to 255 visible ASCII characters"));
    }
    prose(text, 255)
}

/// A text without control characters and without card numbers.
pub(super) fn prose(text: &str, longest: usize) -> Checked<String> {
    if text.chars().count() > longest {
        return Err(Invalid::value(format!("longer than {longest} characters")));
    }
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(Invalid::value("blank, or has control characters"));
    }
    if cards::looks_like_a_card_number(text) {
        return Err(Invalid::new(
            Code::CardNumberRefused,
            "looks like a card number, which has no place here",
        ));
    }
    Ok(text.to_owned())
}

/// What is wrong with an amount, in the words of `/v1`.
pub(super) fn not_money(error: &MoneyError) -> Invalid {
    Invalid::new(Problem::money("", error).code, error.to_string())
}

fn customer(fields: &mut Fields, deprecated_ip: Option<String>) -> Option<Customer> {
    let first = fields.text("firstName", |text| prose(text, 128));
    let last = fields.text("lastName", |text| prose(text, 128));
    let phone = fields.text("phoneNumber", |text| prose(text, 32));
    let email = fields.text("email", email);
    // The outer one will go with the vendor's next version; until then either will do.
    let ip = match deprecated_ip {
        Some(ip) => Some(fields.maybe_text("clientIp", ip_address).unwrap_or(ip)),
        None => fields.text("clientIp", ip_address),
    };
    Some(Customer {
        name: Some(format!("{} {}", first?, last?)),
        email: Some(email?),
        phone: Some(phone?),
        ip: Some(ip?),
        ..Customer::default()
    })
}

fn currency(text: &str) -> Checked<Currency> {
    text.parse().map_err(|error: MoneyError| not_money(&error))
}

/// A JSON number above zero, digits with at most one point. How many digits there may be, the currency says.
fn decimal(raw: &RawValue) -> Checked<Decimal> {
    let decimal: Decimal = serde_json::from_str(raw.get())
        .map_err(|_| Invalid::new(Code::AmountNotANumber, "not a JSON number"))?;
    match decimal.as_str() {
        text if text.starts_with('-') => Err(not_money(&MoneyError::Negative)),
        text if text.contains(['e', 'E']) => Err(not_money(&MoneyError::NotANumber)),
        text if !text.contains(|c| matches!(c, '1'..='9')) => Err(not_money(&MoneyError::Zero)),
        _ => Ok(decimal),
    }
}

fn payment_type(text: &str) -> Checked<CaptureMode> {
    one_of(text, [CaptureMode::Automatic, CaptureMode::Manual], payment_type_word)
}

/// The first of `all` that goes by this word.
fn one_of<T: Copy, const N: usize>(text: &str, all: [T; N], word: fn(T) -> &'static str) -> Checked<T> {
    all.into_iter().find(|one| word(*one) == text).ok_or_else(|| {
        let mut words: Vec<_> = all.into_iter().map(word).collect();
        words.dedup();
        Invalid::value(format!("not one of {}", words.join(", ")))
    })
}

/// Letters, then groups of letters and digits, with hyphens between them (RFC 5646): `tr`, `en-US`, `zh-Hant-TW`.
fn language_tag(text: &str) -> Checked<String> {
    let mut subtags = text.split('-');
    let language = subtags.next().unwrap_or_default();
    let is_tag = (2..=8).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_alphabetic())
        && subtags.all(|tag| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric()));
    if is_tag && text.len() <= 35 {
        prose(text, 35)
    } else {
        Err(Invalid::value("not a BCP 47 language tag"))
    }
}

fn web_url(text: &str) -> Checked<String> {
    if url::web_url(text).is_none() {
        return Err(Invalid::value("not an http(s) URL"));
    }
    prose(text, 2048)
}

fn email(text: &str) -> Checked<String> {
    let is_address = text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if !is_address || text.contains(char::is_whitespace) {
        return Err(Invalid::value("not an e-mail address"));
    }
    prose(text, 254)
}

fn ip_address(text: &str) -> Checked<String> {
    let address: IpAddr = text.parse().map_err(|_| Invalid::value("not an IP address"))?;
    Ok(address.to_string())
}
