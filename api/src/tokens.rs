//! Tokens that Daybook signs: short texts that prove a right to one thing and can be checked on any node.
//!
//! A status token is `st_<tenant>.<base64url of HMAC-SHA256>` over (purpose, tenant, order id), under the
//! configured `token_secret`. It names no order, so it is good only for the one it is presented with.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use ledger::ids::{RecordId, TenantId};
use sha2::Sha256;

use crate::config::Secret;

const STATUS_PREFIX: &str = "st_";

/// Signs and verifies tokens with the configured secret.
#[derive(Clone)]
pub struct TokenSigner {
    /// Has read the secret already, and nothing else.
    keyed: Hmac<Sha256>,
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSigner(…)")
    }
}

impl TokenSigner {
    /// A signer with this secret.
    pub fn new(secret: Secret) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let keyed = Hmac::new_from_slice(secret.reveal().as_bytes()).expect("any length is a key");
        TokenSigner { keyed }
    }

    /// The token that reads the status of this order.
    pub fn status_token(&self, tenant: &TenantId, order: RecordId) -> String {
        let mac = self.sign("status", &[tenant.as_str(), &order.to_string()]);
        format!("{STATUS_PREFIX}{tenant}.{mac}")
    }

    /// Whose token this is, if it is the status token of this order.
    pub fn verify_status_token(&self, token: &str, order: RecordId) -> Option<TenantId> {
        let (tenant, mac) = token.strip_prefix(STATUS_PREFIX)?.split_once('.')?;
        let tenant: TenantId = tenant.parse().ok()?;
        self.verify("status", &[tenant.as_str(), &order.to_string()], mac).then_some(tenant)
    }

    /// base64url of the HMAC over `purpose` and `parts`. Each use has a purpose of its own, so that no token is
    /// ever good for another use.
    pub fn sign(&self, purpose: &str, parts: &[&str]) -> String {
        BASE64URL_NOPAD.encode(&self.mac(purpose, parts).finalize().into_bytes())
    }

    /// Whether `mac` is what [`sign`](Self::sign) gives, in constant time.
    pub fn verify(&self, purpose: &str, parts: &[&str], mac: &str) -> bool {
        let Ok(mac) = BASE64URL_NOPAD.decode(mac.as_bytes()) else { return false };
        self.mac(purpose, parts).verify_slice(&mac).is_ok()
    }

    /// Each part is preceded by its length, so that ("ab", "c") and ("a", "bc") differ.
    fn mac(&self, purpose: &str, parts: &[&str]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        for part in std::iter::once(&purpose).chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

/// Whether a bearer's text is meant as a status token; API keys should not begin like one.
pub fn looks_like_one(text: &str) -> bool {
    text.starts_with(STATUS_PREFIX)
}

/// Whether a text has the shape of a status token, whatever it is for.
pub fn is_well_formed(text: &str) -> bool {
    let parts = text.strip_prefix(STATUS_PREFIX).and_then(|rest| rest.split_once('.'));
    parts.is_some_and(|(tenant, mac)| {
        let is_mac = BASE64URL_NOPAD.decode(mac.as_bytes()).is_ok_and(|mac| mac.len() == 32);
        tenant.parse::<TenantId>().is_ok() && is_mac
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secret: &str) -> TokenSigner {
        TokenSigner::new(Secret::new(secret))
    }

    #[test]
    fn a_token_opens_its_own_order_and_no_other() {
        let tenant: TenantId = "demo".parse().unwrap();
        let order = RecordId::for_key(&tenant, "checkout", "A-1");
        let token = signer("s").status_token(&tenant, order);
        assert!(token.starts_with("st_demo."));
        assert!(is_well_formed(&token));
        assert_eq!(signer("s").verify_status_token(&token, order), Some(tenant.clone()));
        let other = RecordId::for_key(&tenant, "checkout", "A-2");
        assert_eq!(signer("s").verify_status_token(&token, other), None);
        assert_eq!(signer("t").verify_status_token(&token, order), None, "another secret");
        let foreign = token.replace("st_demo", "st_acme");
        assert_eq!(signer("s").verify_status_token(&foreign, order), None, "another tenant");
        for bad in ["", "st_", "st_demo", "st_demo.", "st_demo.!!", "st_demo.AAAA"] {
            assert_eq!(signer("s").verify_status_token(bad, order), None, "{bad:?}");
            assert!(!is_well_formed(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_signature_is_good_for_one_purpose() {
        let mac = signer("s").sign("a", &["b", "c"]);
        assert!(signer("s").verify("a", &["b", "c"], &mac));
        assert!(!signer("s").verify("b", &["b", "c"], &mac));
        assert!(!signer("s").verify("a", &["bc"], &mac));
    }
}
