//! The sandbox's signatures: Standard Webhooks on what it reports, and a token of its own on links to its page.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const SECRET_PREFIX: &str = "whsec_";
/// Page tokens begin so; the status tokens of Daybook begin otherwise.
pub(super) const PAGE_TOKEN_PREFIX: &str = "pt_";

/// A Standard Webhooks secret: `whsec_` and base64.
#[derive(Clone)]
pub struct WebhookSecret(Vec<u8>);

/// A text that is not a webhook secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is `whsec_` and base64")]
pub struct InvalidSecret;

impl FromStr for WebhookSecret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(InvalidSecret)?;
        let key = BASE64.decode(encoded.as_bytes()).map_err(|_| InvalidSecret)?;
        if key.is_empty() { Err(InvalidSecret) } else { Ok(WebhookSecret(key)) }
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl WebhookSecret {
    /// The value of `webhook-signature`.
    pub(super) fn signature(&self, id: &str, timestamp_seconds: i64, body: &[u8]) -> String {
        let mut mac = self.mac();
        mac.update(format!("{id}.{timestamp_seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    }

    /// What opens the hosted page of one order. A payment worker never learns an order's status token, so the
    /// links that it sends carry this one.
    pub(super) fn page_token(&self, tenant: &str, tracking_number: &str) -> String {
        let mac = self.page_mac(tenant, tracking_number).finalize().into_bytes();
        format!("{PAGE_TOKEN_PREFIX}{}", BASE64URL_NOPAD.encode(&mac))
    }

    /// Whether `token` opens the page of this order; in constant time.
    pub(super) fn opens_page(&self, token: &str, tenant: &str, tracking_number: &str) -> bool {
        let mac = token
            .strip_prefix(PAGE_TOKEN_PREFIX)
            .and_then(|encoded| BASE64URL_NOPAD.decode(encoded.as_bytes()).ok());
        mac.is_some_and(|mac| self.page_mac(tenant, tracking_number).verify_slice(&mac).is_ok())
    }

    /// No webhook id begins with the first byte here, so that no signature of a webhook is ever a page token.
    fn page_mac(&self, tenant: &str, tracking_number: &str) -> Hmac<Sha256> {
        let mut mac = self.mac();
        mac.update(format!("\0page\0{tenant}\0{tracking_number}").as_bytes());
        mac
    }

    fn mac(&self) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        Hmac::new_from_slice(&self.0).expect("any length is a key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderMap;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_signature_is_one_that_the_reference_library_accepts() {
        let secret: WebhookSecret = SECRET.parse().unwrap();
        let now = jiff::Timestamp::now().as_second();
        let body = r#"{"type":"payment.captured","data":{"merchant_reference":"Ä-1"}}"#;
        let signed = |id: &str, body: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("webhook-id", id.parse().unwrap());
            headers.insert("webhook-timestamp", now.to_string().parse().unwrap());
            let signature = secret.signature("evt_1", now, body.as_bytes());
            headers.insert("webhook-signature", signature.parse().unwrap());
            headers
        };
        let verifier = standardwebhooks::Webhook::new(SECRET).unwrap();
        assert!(verifier.verify(body.as_bytes(), &signed("evt_1", body)).is_ok());
        assert!(verifier.verify(body.as_bytes(), &signed("evt_2", body)).is_err());
        assert!(verifier.verify(b"{}", &signed("evt_1", body)).is_err());
    }

    #[test]
    fn a_secret_is_base64_after_its_prefix_and_is_never_shown() {
        for bad in ["", "whsec_", "whsec_!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert_eq!(bad.parse::<WebhookSecret>().err(), Some(InvalidSecret), "{bad}");
        }
        assert_eq!(format!("{:?}", SECRET.parse::<WebhookSecret>().unwrap()), "WebhookSecret(…)");
    }

    #[test]
    fn a_page_token_opens_the_page_of_its_order_and_no_other() {
        let secret: WebhookSecret = SECRET.parse().unwrap();
        let token = secret.page_token("demo", "trk_A");
        assert!(secret.opens_page(&token, "demo", "trk_A"));
        assert!(!secret.opens_page(&token, "demo", "trk_B"));
        assert!(!secret.opens_page(&token, "acme", "trk_A"));
        let other: WebhookSecret = "whsec_AAAA".parse().unwrap();
        assert!(!other.opens_page(&token, "demo", "trk_A"));
        for bad in ["", "pt_", "pt_!!", "st_demo.AAAA"] {
            assert!(!secret.opens_page(bad, "demo", "trk_A"), "{bad}");
        }
    }
}
