//! Adyen's standard notifications: their signature
//! (<https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures>) and their event codes
//! (<https://docs.adyen.com/api-explorer/Webhooks/1/overview>). The page `docs/src/sources/adyen.md` has the
//! table of what each code means.
//!
//! What must stay true: which order, what happened and how much is decided by signed fields alone, but for the
//! one that the page names; and a signature that is good for one notification is good for no other.

use axum::http::HeaderMap;
use jiff::Timestamp;
use ledger::ids::{CaptureId, RecordId, RefundId, TrackingNumber};
use ledger::money::Money;
use ledger::order::{Fact, Notification};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::keys::Keys;
use crate::config::AdyenCapture;
use crate::webhooks::amount;
use crate::webhooks::source::{
    InvalidSecret, Item, MAX_NAME, MAX_REASON, Names, Refusal, Source, Unreadable, Verified, shortened,
};

/// Where Adyen's smallest unit is not ISO 4217's
/// (<https://docs.adyen.com/development-resources/currency-codes>).
const CURRENCY_EXCEPTIONS: &[(&str, u8)] = &[("CLP", 2), ("CVE", 0), ("IDR", 0), ("ISK", 2)];
/// Added to a dispute's reference when the money is taken a second time: the first time it was won.
const SECOND: &str = "/second";

/// A merchant account's standard webhook.
pub(super) struct Adyen {
    keys: Keys,
    capture: AdyenCapture,
}

impl Adyen {
    /// A webhook whose HMAC key is one of these: 64 hex digits.
    pub(super) fn new<'a>(
        secrets: impl IntoIterator<Item = &'a str>,
        capture: AdyenCapture,
    ) -> Result<Self, InvalidSecret> {
        Ok(Adyen { keys: Keys::read(secrets, key)?, capture })
    }
}

fn key(secret: &str) -> Result<Vec<u8>, InvalidSecret> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(secret.as_bytes()).ok();
    bytes.filter(|bytes| bytes.len() == 32).ok_or(InvalidSecret("64 hex digits"))
}

impl Source for Adyen {
    /// Everything is in the body.
    fn headers(&self) -> &'static [&'static str] {
        &[]
    }

    fn verify(&self, _: &HeaderMap, body: &[u8], _: Timestamp) -> Result<Verified, Refusal> {
        let body_items = items(body).map_err(|_| Refusal::MalformedBody)?;
        for item in &body_items {
            let signature =
                item.additional_data.hmac_signature.as_deref().ok_or(Refusal::MissingSignature)?;
            let message = item.signed().ok_or(Refusal::MalformedBody)?;
            let given = data_encoding::BASE64.decode(signature.as_bytes()).into_iter().collect::<Vec<_>>();
            if !self.keys.any_gives(&[message.as_bytes()], &given) {
                return Err(Refusal::WrongSignature);
            }
        }
        Ok(Verified { delivery_id: data_encoding::HEXLOWER.encode(&Sha256::digest(body)) })
    }

    fn read(&self, _: &str, body: &[u8]) -> Result<Vec<Item>, Unreadable> {
        items(body)?.iter().map(|item| self.item(item)).collect()
    }

    /// Adyen sends a notification again until it reads this.
    fn acknowledgement(&self) -> Option<&'static str> {
        Some("[accepted]")
    }
}

/// The items of a request: at least one.
fn items(body: &[u8]) -> Result<Vec<RequestItem>, Unreadable> {
    let request: Request = serde_json::from_slice(body).map_err(|e| Unreadable(e.to_string()))?;
    if request.notification_items.is_empty() {
        return Err(Unreadable("notificationItems: empty".to_owned()));
    }
    Ok(request.notification_items.into_iter().map(|wrapper| wrapper.item).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    notification_items: Vec<Wrapper>,
}

#[derive(Deserialize)]
struct Wrapper {
    #[serde(rename = "NotificationRequestItem")]
    item: RequestItem,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestItem {
    psp_reference: String,
    #[serde(default)]
    original_reference: Option<String>,
    #[serde(default)]
    merchant_account_code: Option<String>,
    #[serde(default)]
    merchant_reference: Option<String>,
    #[serde(default)]
    amount: Option<Amount>,
    event_code: String,
    success: Success,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    additional_data: AdditionalData,
}

#[derive(Deserialize)]
struct Amount {
    value: i64,
    currency: String,
}

/// Adyen writes `"true"` or `"false"`; its documentation says boolean.
#[derive(Deserialize)]
#[serde(untagged)]
enum Success {
    Flag(bool),
    Text(String),
}

/// Holds the signature, and is not signed itself.
#[derive(Deserialize, Default)]
struct AdditionalData {
    #[serde(rename = "hmacSignature")]
    hmac_signature: Option<String>,
    #[serde(rename = "modification.action")]
    action: Option<String>,
}

impl RequestItem {
    /// What Adyen signs: the values joined by colons. Adyen does not escape them, so a colon in one value could
    /// stand for the border to the next. Only the shop's own reference may have one here: then there is one way
    /// to read what was signed. `None`: another value has one.
    fn signed(&self) -> Option<String> {
        let (value, currency) = match &self.amount {
            Some(Amount { value, currency }) => (value.to_string(), currency.as_str()),
            None => (String::new(), ""),
        };
        let text = |field: &'_ Option<String>| field.clone().unwrap_or_default();
        let (psp, code, success) = (&self.psp_reference, &self.event_code, self.success.as_str());
        let (original, account) = (text(&self.original_reference), text(&self.merchant_account_code));
        let merchant = text(&self.merchant_reference);
        let is_ambiguous =
            [psp, &original, &account, currency, code, success].iter().any(|v| v.contains(':'));
        let message = format!("{psp}:{original}:{account}:{merchant}:{value}:{currency}:{code}:{success}");
        (!is_ambiguous).then_some(message)
    }
}

impl Success {
    fn as_str(&self) -> &str {
        match self {
            Success::Flag(true) => "true",
            Success::Flag(false) => "false",
            Success::Text(text) => text,
        }
    }
}

impl Adyen {
    fn item(&self, item: &RequestItem) -> Result<Item, Unreadable> {
        let code = item.event_code.as_str();
        let success = item.success.as_bool()?;
        let psp = item.name("pspReference", Some(&item.psp_reference))?;
        let psp = psp.ok_or_else(|| Unreadable("pspReference: empty".to_owned()))?;
        let original = item.name("originalReference", item.original_reference.as_ref())?;
        let merchant = item.name("merchantReference", item.merchant_reference.as_ref())?;
        let (merchant, movement) = merchant.map_or((None, None), order_and_movement);
        let fact = self.fact(item, success, &psp, original.as_deref(), movement)?;
        let is_about_a_payment = merchant.is_some() || original.is_some();
        let is_noted = matches!(fact, Fact::Other { .. });
        // A modification or a dispute has a reference of its own, and names the payment's beside it.
        let payment =
            if code == "AUTHORISATION" { psp.clone() } else { original.unwrap_or_else(|| psp.clone()) };
        let names = if code == "REPORT_AVAILABLE" || (is_noted && !is_about_a_payment) {
            Names::NoOrder
        } else {
            Names::of(Some(payment.clone()), merchant)
        };
        let notification = Notification { payment_reference: Some(payment), attempt: None, fact };
        let event_id = format!("{code}:{psp}:{success}");
        Ok(Item { event_id, names, notification })
    }

    fn fact(
        &self,
        item: &RequestItem,
        success: bool,
        psp: &str,
        original: Option<&str>,
        movement: Option<Uuid>,
    ) -> Result<Fact, Unreadable> {
        let kind =
            if success { item.event_code.clone() } else { format!("{} (success: false)", item.event_code) };
        let noted = Fact::Other { kind: shortened(&kind, MAX_NAME) };
        let captures_at_once = self.capture == AdyenCapture::Immediate;
        let (capture_id, refund_id) = (movement.map(CaptureId), movement.map(RefundId));
        let (reference, reason) = (psp.to_owned(), item.reason());
        // `None`: no money has moved, or the ledger has no meaning for it.
        let fact = match (item.event_code.as_str(), success, item.action()) {
            ("AUTHORISATION", true, _) if captures_at_once => {
                item.money()?.map(|amount| Fact::Captured { capture_id, reference, amount })
            }
            ("AUTHORISATION", true, _) => item.money()?.map(|amount| Fact::Authorized { amount }),
            ("AUTHORISATION", false, _) => Some(Fact::Failed { reason }),
            // Captured with the authorization: that was counted.
            ("CAPTURE", true, _) if captures_at_once => None,
            ("CAPTURE", true, _) => {
                item.money()?.map(|amount| Fact::Captured { capture_id, reference, amount })
            }
            ("CAPTURE", false, _) | ("CAPTURE_FAILED", true, _) => {
                let authorization = original.filter(|_| captures_at_once).map(str::to_owned);
                let reference = authorization.unwrap_or(reference);
                item.money()?.map(|amount| Fact::CaptureFailed { capture_id, reference, amount, reason })
            }
            ("CANCELLATION" | "TECHNICAL_CANCEL", true, _) => Some(Fact::Voided),
            ("CANCEL_OR_REFUND", true, Some("cancel")) => Some(Fact::Voided),
            ("REFUND", true, _) | ("CANCEL_OR_REFUND", true, Some("refund")) => {
                item.money()?.map(|amount| Fact::RefundSettled { refund_id, reference, amount })
            }
            ("REFUND", false, _)
            | ("CANCEL_OR_REFUND", false, Some("refund"))
            | ("REFUND_FAILED" | "REFUNDED_REVERSED", true, _) => {
                item.money()?.map(|amount| Fact::RefundFailed { refund_id, reference, amount, reason })
            }
            ("CHARGEBACK", true, _) => {
                item.money()?.map(|amount| Fact::ChargebackOpened { reference, amount, reason })
            }
            ("CHARGEBACK_REVERSED", true, _) => {
                item.money()?.map(|amount| Fact::ChargebackWon { reference, amount })
            }
            ("SECOND_CHARGEBACK", true, _) => {
                item.money()?.map(|amount| Fact::ChargebackLost { reference: reference + SECOND, amount })
            }
            ("EXPIRE" | "OFFER_CLOSED", true, _) => Some(Fact::AuthorizationExpired),
            _ => None,
        };
        Ok(fact.unwrap_or(noted))
    }
}

impl RequestItem {
    /// `None`: no money moved.
    fn money(&self) -> Result<Option<Money>, Unreadable> {
        let Some(Amount { value, currency }) = &self.amount else { return Ok(None) };
        amount::in_senders_unit(*value, currency, CURRENCY_EXCEPTIONS)
            .map_err(|e| Unreadable(format!("amount: {e}")))
    }

    fn reason(&self) -> String {
        let reason = self.reason.as_deref().filter(|reason| !matches!(*reason, "" | "null"));
        shortened(reason.unwrap_or("unknown"), MAX_REASON)
    }

    fn action(&self) -> Option<&str> {
        self.additional_data.action.as_deref()
    }

    fn name(&self, field: &str, value: Option<&String>) -> Result<Option<String>, Unreadable> {
        match value.filter(|value| !value.is_empty()) {
            Some(value) if value.chars().count() > MAX_NAME => {
                Err(Unreadable(format!("{field}: longer than 255 characters")))
            }
            value => Ok(value.cloned()),
        }
    }
}

impl Success {
    fn as_bool(&self) -> Result<bool, Unreadable> {
        match self.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Unreadable("success: neither true nor false".to_owned())),
        }
    }
}

/// A capture or refund may carry `<order>/<its id>` as its reference: the order by its id or tracking number,
/// and the id that Daybook gave the capture or refund.
fn order_and_movement(reference: String) -> (Option<String>, Option<Uuid>) {
    let parts = reference.split_once('/').and_then(|(order, movement)| {
        let is_ours = order.parse::<RecordId>().is_ok() || order.parse::<TrackingNumber>().is_ok();
        movement.parse().ok().filter(|_| is_ours).map(|movement| (order.to_owned(), movement))
    });
    match parts {
        Some((order, movement)) => (Some(order), Some(movement)),
        None => (Some(reference), None),
    }
}

#[cfg(test)]
mod tests;
