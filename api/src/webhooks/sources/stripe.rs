//! Stripe: its signature (<https://docs.stripe.com/webhooks/signature>) and its events
//! (<https://docs.stripe.com/api/events/types>). The page `docs/src/sources/stripe.md` has the table of what
//! each event means.
//!
//! What must stay true: Stripe tells of one movement of money through several objects, and it is counted once.
//! A payment with a payment intent is told of by its intent, and its charges are only noted; a charge without
//! one is the payment itself.

use axum::http::HeaderMap;
use bytes::Bytes;
use jiff::Timestamp;
use ledger::money::Money;
use ledger::order::{Challenge, Fact, Notification};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::keys::Keys;
use crate::webhooks::amount;
use crate::webhooks::source::{
    InvalidSecret, Item, MAX_NAME, MAX_REASON, Names, Refusal, Source, Unreadable, Verified, header,
    is_fresh, seconds, shortened,
};

const SIGNATURE: &str = "stripe-signature";
/// Where Stripe's smallest unit is not ISO 4217's (<https://docs.stripe.com/currencies#special-cases>).
const CURRENCY_EXCEPTIONS: &[(&str, u8)] = &[("ISK", 2), ("MGA", 0), ("UGX", 2)];
/// In `metadata`, what may name the order: the first that is there does.
const ORDER_KEYS: [&str; 3] = ["order_id", "tracking_number", "merchant_reference"];
/// The member whose value opens a payment to whoever has it. Stripe asks that it is never logged.
const CLIENT_SECRET: &[u8] = b"\"client_secret\"";

/// A Stripe account's webhook endpoint.
pub(super) struct Stripe {
    keys: Keys,
}

impl Stripe {
    /// An endpoint whose secret is one of these: `whsec_…`, all of it the key, as text.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidSecret> {
        Ok(Stripe { keys: Keys::read(secrets, key)? })
    }
}

fn key(secret: &str) -> Result<Vec<u8>, InvalidSecret> {
    let is_one = secret.strip_prefix("whsec_").is_some_and(|rest| !rest.is_empty());
    if is_one {
        Ok(secret.as_bytes().to_vec())
    } else {
        Err(InvalidSecret("whsec_ and what Stripe gave after it"))
    }
}

impl Source for Stripe {
    fn headers(&self) -> &'static [&'static str] {
        &[SIGNATURE]
    }

    fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Verified, Refusal> {
        let parts = header(headers, SIGNATURE)?.split(',').filter_map(|part| part.trim().split_once('='));
        let timestamp = parts.clone().find(|(scheme, _)| *scheme == "t").map(|(_, value)| value);
        let timestamp = timestamp.ok_or(Refusal::MalformedHeader(SIGNATURE))?;
        let signed_at = seconds(timestamp).ok_or(Refusal::MalformedHeader(SIGNATURE))?;
        let given = parts.filter(|(scheme, _)| *scheme == "v1").map(|(_, value)| value.as_bytes());
        let signatures: Vec<Vec<u8>> =
            given.filter_map(|hex| data_encoding::HEXLOWER.decode(hex).ok()).collect();
        if !self.keys.any_gives(&[timestamp.as_bytes(), b".", body], &signatures) {
            return Err(Refusal::WrongSignature);
        }
        is_fresh(signed_at, now)?;
        // The id is in the body; one that cannot be read is known by its content.
        let digest = || data_encoding::HEXLOWER.encode(&Sha256::digest(body));
        let event: Option<EventId> = serde_json::from_slice(body).ok();
        let id = event.map(|event| event.id).filter(|id| is_name(id));
        Ok(Verified { delivery_id: id.unwrap_or_else(digest) })
    }

    fn read(&self, _: &str, body: &[u8]) -> Result<Vec<Item>, Unreadable> {
        let event: Event = serde_json::from_slice(body).map_err(|e| Unreadable(e.to_string()))?;
        if !is_name(&event.id) {
            return Err(Unreadable("id: empty, or longer than 255 characters".to_owned()));
        }
        let object = Object(&event.data.object);
        let fact = object.fact(&event.r#type)?;
        let payment = object.payment()?;
        let names = Names::of(payment.clone(), object.merchant()?);
        let is_failure = matches!(fact, Fact::Failed { .. });
        let payment_reference = if is_failure { object.failed_try(payment)? } else { payment };
        let notification = Notification { payment_reference, attempt: None, fact };
        Ok(vec![Item { event_id: event.id, names, notification }])
    }

    /// Writes asterisks over every client secret; the rest is as received.
    fn kept(&self, body: Bytes) -> Bytes {
        if !body.windows(CLIENT_SECRET.len()).any(|window| window == CLIENT_SECRET) {
            return body;
        }
        let mut kept = body.to_vec();
        let mut from = 0;
        while let Some(at) = kept[from..].windows(CLIENT_SECRET.len()).position(|w| w == CLIENT_SECRET) {
            from += at + CLIENT_SECRET.len();
            from += kept[from..].iter().take_while(|b| b.is_ascii_whitespace() || **b == b':').count();
            if kept.get(from) != Some(&b'"') {
                continue;
            }
            from += 1;
            let end = from + end_of_text(&kept[from..]);
            kept[from..end].fill(b'*');
            from = end;
        }
        kept.into()
    }
}

/// Where a JSON text ends that has begun: at its quotation mark, or where the bytes do.
fn end_of_text(bytes: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = bytes.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    end.unwrap_or(bytes.len())
}

#[derive(Deserialize)]
struct EventId {
    id: String,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    r#type: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

/// The object that an event is about, in the state after it. Only what an event needs is looked at: what Stripe
/// adds elsewhere cannot make it unreadable.
struct Object<'a>(&'a Value);

impl Object<'_> {
    fn fact(&self, kind: &str) -> Result<Fact, Unreadable> {
        let noted = Fact::Other { kind: shortened(kind, MAX_NAME) };
        let has_intent = self.name("/payment_intent")?.is_some();
        let fact = match kind {
            "payment_intent.requires_action" => Some(Fact::ActionRequired { challenge: self.challenge() }),
            "payment_intent.amount_capturable_updated" => {
                self.amount("amount_capturable")?.map(|amount| Fact::Authorized { amount })
            }
            "payment_intent.succeeded" => match self.name("/latest_charge")? {
                Some(charge) => self.captured(charge, "amount_received")?,
                None => self.captured(self.id()?, "amount_received")?,
            },
            "payment_intent.payment_failed" => Some(Fact::Failed {
                reason: self.reason(&[
                    "/last_payment_error/decline_code",
                    "/last_payment_error/code",
                    "/last_payment_error/type",
                ]),
            }),
            "payment_intent.canceled" => Some(match self.text("/cancellation_reason") {
                Some("automatic" | "expired") => Fact::AuthorizationExpired,
                Some(_) | None => Fact::Voided,
            }),
            "charge.succeeded" | "charge.captured" | "charge.failed" | "charge.expired" if has_intent => None,
            "charge.succeeded" if self.flag("captured")? => self.captured(self.id()?, "amount_captured")?,
            "charge.succeeded" => self.amount("amount")?.map(|amount| Fact::Authorized { amount }),
            "charge.captured" => self.captured(self.id()?, "amount_captured")?,
            "charge.failed" => {
                Some(Fact::Failed { reason: self.reason(&["/outcome/reason", "/failure_code"]) })
            }
            "charge.expired" => Some(Fact::AuthorizationExpired),
            "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
                self.refund()?
            }
            "charge.dispute.created"
            | "charge.dispute.closed"
            | "charge.dispute.funds_withdrawn"
            | "charge.dispute.funds_reinstated" => self.dispute(kind)?,
            _ => None,
        };
        Ok(fact.unwrap_or(noted))
    }

    fn captured(&self, reference: String, amount: &str) -> Result<Option<Fact>, Unreadable> {
        let capture_id = self.text("/metadata/capture_id").and_then(|id| id.parse().ok());
        let captured = |amount| Fact::Captured { capture_id, reference, amount };
        Ok(self.amount(amount)?.map(captured))
    }

    fn refund(&self) -> Result<Option<Fact>, Unreadable> {
        let Some(amount) = self.amount("amount")? else { return Ok(None) };
        let refund_id = self.text("/metadata/refund_id").and_then(|id| id.parse().ok());
        let reference = self.id()?;
        Ok(match self.text("/status") {
            Some("succeeded") => Some(Fact::RefundSettled { refund_id, reference, amount }),
            Some("failed" | "canceled") => {
                let reason = self.reason(&["/failure_reason", "/status"]);
                Some(Fact::RefundFailed { refund_id, reference, amount, reason })
            }
            // Pending, or something that the buyer has to do.
            Some(_) | None => None,
        })
    }

    /// An inquiry (`warning_…`) takes no money; if it becomes a dispute, the withdrawal tells.
    fn dispute(&self, kind: &str) -> Result<Option<Fact>, Unreadable> {
        let Some(amount) = self.amount("amount")? else { return Ok(None) };
        let reference = self.id()?;
        let status = self.text("/status").unwrap_or_default();
        let takes_no_money = status.starts_with("warning_") || status == "prevented";
        Ok(match (kind, status) {
            ("charge.dispute.created", _) if takes_no_money => None,
            ("charge.dispute.created" | "charge.dispute.funds_withdrawn", _) => {
                Some(Fact::ChargebackOpened { reference, amount, reason: self.reason(&["/reason"]) })
            }
            ("charge.dispute.closed", "won") | ("charge.dispute.funds_reinstated", _) => {
                Some(Fact::ChargebackWon { reference, amount })
            }
            ("charge.dispute.closed", "lost") => Some(Fact::ChargebackLost { reference, amount }),
            _ => None,
        })
    }

    /// Where the buyer is sent; nowhere when Stripe's own script does it in the shop's page.
    fn challenge(&self) -> Challenge {
        let url = self.text("/next_action/redirect_to_url/url").map(str::to_owned);
        Challenge { url, html: None, id: None }
    }

    /// Stripe's name for the payment: the intent where there is one, else the charge.
    fn payment(&self) -> Result<Option<String>, Unreadable> {
        match self.text("/object") {
            Some("payment_intent") => self.id().map(Some),
            Some("charge") => Ok(self.name("/payment_intent")?.or(Some(self.id()?))),
            Some(_) | None => Ok(self.name("/payment_intent")?.or(self.name("/charge")?)),
        }
    }

    /// The try of a payment that failed. A buyer whose card is refused may pay the same intent with another one,
    /// so the failure is the try's and must not be held against the payment. The try is named by its charge or,
    /// where it did not come to one, by what was to be charged.
    fn failed_try(&self, payment: Option<String>) -> Result<Option<String>, Unreadable> {
        if let Some(charge) = self.name("/last_payment_error/charge")? {
            return Ok(Some(charge));
        }
        let method = self.name("/last_payment_error/payment_method")?;
        Ok(match (payment, method) {
            (Some(payment), Some(method)) => Some(format!("{payment}/{method}")),
            (payment, _) => payment,
        })
    }

    /// What the shop told Stripe to call the order.
    fn merchant(&self) -> Result<Option<String>, Unreadable> {
        for key in ORDER_KEYS {
            if let Some(name) = self.name(&format!("/metadata/{key}"))? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn id(&self) -> Result<String, Unreadable> {
        self.name("/id")?.ok_or_else(|| Unreadable("data.object.id: missing".to_owned()))
    }

    fn flag(&self, field: &str) -> Result<bool, Unreadable> {
        self.0.get(field).and_then(Value::as_bool).ok_or_else(|| wrong(field, "not true or false"))
    }

    /// `None`: nothing has moved.
    fn amount(&self, field: &str) -> Result<Option<Money>, Unreadable> {
        let value =
            self.0.get(field).and_then(Value::as_i64).ok_or_else(|| wrong(field, "not a whole number"))?;
        let currency = self.text("/currency").unwrap_or_default().to_ascii_uppercase();
        amount::in_senders_unit(value, &currency, CURRENCY_EXCEPTIONS).map_err(|e| wrong(field, &e))
    }

    fn reason(&self, pointers: &[&str]) -> String {
        let reason = pointers.iter().find_map(|pointer| self.text(pointer));
        shortened(reason.unwrap_or("unknown"), MAX_REASON)
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The name of something: its id, or the whole of it, where Stripe was asked to put it in.
    fn name(&self, pointer: &str) -> Result<Option<String>, Unreadable> {
        let whole = || self.text(&format!("{pointer}/id"));
        match self.text(pointer).or_else(whole) {
            Some(name) if !is_name(name) => {
                Err(wrong(pointer.trim_start_matches('/'), "longer than 255 characters"))
            }
            name => Ok(name.map(str::to_owned)),
        }
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.chars().count())
}

fn wrong(field: &str, what: &str) -> Unreadable {
    Unreadable(format!("data.object.{field}: {what}"))
}

#[cfg(test)]
mod tests;
