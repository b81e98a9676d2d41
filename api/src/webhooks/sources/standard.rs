//! Standard Webhooks (<https://www.standardwebhooks.com>): the scheme of the sandbox PSP, and of every sender
//! without one of its own. The page `docs/src/sources/standard-webhooks.md` lists the kinds and their fields.
//!
//! Verified by hand and not by the `standardwebhooks` crate, which reads the clock by itself, cannot hold one
//! request against several secrets, and cannot verify a body that is not UTF-8 (such a body, if it is really the
//! sender's, belongs into quarantine and is not a forgery). The crate is the oracle of the tests.

use axum::http::HeaderMap;
use jiff::Timestamp;
use ledger::ids::{CaptureId, RecordId, RefundId, TrackingNumber};
use ledger::money::Money;
use ledger::order::{Challenge, Fact, Notification};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::keys::Keys;
use crate::http::body::Object;
use crate::webhooks::amount;
use crate::webhooks::source::{
    InvalidSecret, Item, MAX_NAME, MAX_REASON, Names, Refusal, Source, Unreadable, Verified, header,
    is_fresh, seconds, shortened,
};

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// A sender that signs by Standard Webhooks.
pub(super) struct StandardWebhooks {
    keys: Keys,
}

impl StandardWebhooks {
    /// A sender whose secret is one of these: `whsec_` and base64.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidSecret> {
        Ok(StandardWebhooks { keys: Keys::read(secrets, key)? })
    }
}

fn key(secret: &str) -> Result<Vec<u8>, InvalidSecret> {
    let encoded = secret.strip_prefix("whsec_").filter(|encoded| !encoded.is_empty());
    let bytes = encoded.and_then(|encoded| data_encoding::BASE64.decode(encoded.as_bytes()).ok());
    bytes.ok_or(InvalidSecret("whsec_ and base64"))
}

impl Source for StandardWebhooks {
    fn headers(&self) -> &'static [&'static str] {
        &[ID, TIMESTAMP, SIGNATURE]
    }

    fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Verified, Refusal> {
        let id = header(headers, ID)?;
        if id.is_empty() || id.len() > MAX_NAME {
            return Err(Refusal::MalformedHeader(ID));
        }
        let timestamp = header(headers, TIMESTAMP)?;
        let signed_at = seconds(timestamp).ok_or(Refusal::MalformedHeader(TIMESTAMP))?;
        let signature = |text: &str| data_encoding::BASE64.decode(text.strip_prefix("v1,")?.as_bytes()).ok();
        let signatures: Vec<Vec<u8>> = header(headers, SIGNATURE)?.split(' ').filter_map(signature).collect();
        if !self.keys.any_gives(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body], &signatures) {
            return Err(Refusal::WrongSignature);
        }
        is_fresh(signed_at, now)?;
        Ok(Verified { delivery_id: id.to_owned() })
    }

    fn read(&self, delivery: &str, body: &[u8]) -> Result<Vec<Item>, Unreadable> {
        let text = std::str::from_utf8(body).map_err(|_| Unreadable("the body is not UTF-8".to_owned()))?;
        let Object(body): Object<Body<'_>> =
            serde_json::from_str(text).map_err(|e| Unreadable(e.to_string()))?;
        let Object(data) = &body.data;
        let fact = body.fact(delivery)?;
        let names = data.names()?;
        if names == Names::NoOrder && !matches!(fact, Fact::Other { .. }) {
            return Err(Unreadable(
                "data names no order: order_id, tracking_number, payment_reference or merchant_reference"
                    .to_owned(),
            ));
        }
        let payment_reference = data.payment_reference()?;
        let attempt = data.attempt.map(|raw| read_as::<u32>("attempt", raw)).transpose()?;
        let notification = Notification { payment_reference, attempt, fact };
        Ok(vec![Item { event_id: delivery.to_owned(), names, notification }])
    }
}

/// The body. Fields that are not listed are ignored, and those listed are read only for the kinds that have
/// them: a field that a kind does not need cannot make it unreadable.
#[derive(Deserialize)]
struct Body<'a> {
    r#type: String,
    #[serde(borrow)]
    data: Object<Data<'a>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    order_id: Option<&'a RawValue>,
    #[serde(borrow)]
    tracking_number: Option<&'a RawValue>,
    #[serde(borrow)]
    payment_reference: Option<&'a RawValue>,
    #[serde(borrow)]
    merchant_reference: Option<&'a RawValue>,
    #[serde(borrow)]
    attempt: Option<&'a RawValue>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    #[serde(borrow)]
    reference: Option<&'a RawValue>,
    #[serde(borrow)]
    capture_id: Option<&'a RawValue>,
    #[serde(borrow)]
    refund_id: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
    #[serde(borrow)]
    challenge: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChallengeBody {
    url: Option<String>,
    html: Option<String>,
    id: Option<String>,
}

impl Body<'_> {
    fn fact(&self, delivery: &str) -> Result<Fact, Unreadable> {
        let Object(data) = &self.data;
        let reference = || Ok(data.name("reference", data.reference)?.unwrap_or_else(|| delivery.to_owned()));
        Ok(match self.r#type.as_str() {
            "payment.action_required" => Fact::ActionRequired { challenge: data.challenge()? },
            "payment.authorized" => Fact::Authorized { amount: data.amount()? },
            "payment.failed" => Fact::Failed { reason: data.reason()? },
            "payment.captured" => Fact::Captured {
                capture_id: data.capture_id()?,
                reference: reference()?,
                amount: data.amount()?,
            },
            "payment.capture_failed" => Fact::CaptureFailed {
                capture_id: data.capture_id()?,
                reference: reference()?,
                amount: data.amount()?,
                reason: data.reason()?,
            },
            "payment.voided" => Fact::Voided,
            "payment.authorization_expired" => Fact::AuthorizationExpired,
            "refund.settled" => Fact::RefundSettled {
                refund_id: data.refund_id()?,
                reference: reference()?,
                amount: data.amount()?,
            },
            "refund.failed" => Fact::RefundFailed {
                refund_id: data.refund_id()?,
                reference: reference()?,
                amount: data.amount()?,
                reason: data.reason()?,
            },
            "chargeback.opened" => Fact::ChargebackOpened {
                reference: reference()?,
                amount: data.amount()?,
                reason: data.reason()?,
            },
            "chargeback.won" => Fact::ChargebackWon { reference: reference()?, amount: data.amount()? },
            "chargeback.lost" => Fact::ChargebackLost { reference: reference()?, amount: data.amount()? },
            other => Fact::Other { kind: shortened(other, MAX_NAME) },
        })
    }
}

impl Data<'_> {
    fn names(&self) -> Result<Names, Unreadable> {
        let order = self.text("order_id", self.order_id)?;
        if let Some(text) = order {
            let order: RecordId = text.parse().map_err(|_| wrong("order_id", "not an order id"))?;
            return Ok(Names::Order(order));
        }
        let tracking = self.text("tracking_number", self.tracking_number)?;
        if let Some(text) = tracking {
            let number: TrackingNumber =
                text.parse().map_err(|_| wrong("tracking_number", "not a tracking number"))?;
            return Ok(Names::Order(number.0));
        }
        let merchant = self.name("merchant_reference", self.merchant_reference)?;
        Ok(Names::of(self.payment_reference()?, merchant))
    }

    fn payment_reference(&self) -> Result<Option<String>, Unreadable> {
        self.name("payment_reference", self.payment_reference)
    }

    fn amount(&self) -> Result<Money, Unreadable> {
        let raw = self.amount.ok_or_else(|| wrong("amount", "missing"))?;
        amount::read(raw.get()).map_err(|e| wrong("amount", &e))
    }

    fn reason(&self) -> Result<String, Unreadable> {
        let reason = self.text("reason", self.reason)?;
        Ok(reason.map_or_else(|| "unknown".to_owned(), |text| shortened(&text, MAX_REASON)))
    }

    fn challenge(&self) -> Result<Challenge, Unreadable> {
        let raw = self.challenge.ok_or_else(|| wrong("challenge", "missing"))?;
        let ChallengeBody { url, html, id } = read_as("challenge", raw)?;
        Ok(Challenge { url, html, id })
    }

    fn capture_id(&self) -> Result<Option<CaptureId>, Unreadable> {
        let text = self.text("capture_id", self.capture_id)?;
        text.map(|text| text.parse().map_err(|_| wrong("capture_id", "not a capture id"))).transpose()
    }

    fn refund_id(&self) -> Result<Option<RefundId>, Unreadable> {
        let text = self.text("refund_id", self.refund_id)?;
        text.map(|text| text.parse().map_err(|_| wrong("refund_id", "not a refund id"))).transpose()
    }

    fn text(&self, field: &'static str, raw: Option<&RawValue>) -> Result<Option<String>, Unreadable> {
        raw.map(|raw| read_as::<String>(field, raw)).transpose()
    }

    /// A text that names something: neither empty nor so long that it cannot be a name.
    fn name(&self, field: &'static str, raw: Option<&RawValue>) -> Result<Option<String>, Unreadable> {
        match self.text(field, raw)? {
            Some(text) if text.is_empty() => Err(wrong(field, "empty")),
            Some(text) if text.chars().count() > MAX_NAME => Err(wrong(field, "longer than 255 characters")),
            text => Ok(text),
        }
    }
}

fn read_as<T: serde::de::DeserializeOwned>(field: &'static str, raw: &RawValue) -> Result<T, Unreadable> {
    serde_json::from_str(raw.get()).map_err(|e| wrong(field, &e.to_string()))
}

fn wrong(field: &str, what: &str) -> Unreadable {
    Unreadable(format!("data.{field}: {what}"))
}

#[cfg(test)]
mod tests;
