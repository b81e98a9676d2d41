//! The HMAC-SHA256 keys of a source: what every scheme here signs with, each in its own form.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::webhooks::source::InvalidSecret;

/// One key, or several while one is being replaced. Deliberately without `Debug`.
pub(super) struct Keys(Vec<Hmac<Sha256>>);

impl Keys {
    /// Reads every secret by its scheme's rule for them.
    pub(super) fn read<'a>(
        secrets: impl IntoIterator<Item = &'a str>,
        bytes: fn(&str) -> Result<Vec<u8>, InvalidSecret>,
    ) -> Result<Self, InvalidSecret> {
        let key = |secret| {
            let unusable = |_| InvalidSecret("of a length that HMAC takes");
            Hmac::new_from_slice(&bytes(secret)?).map_err(unusable)
        };
        secrets.into_iter().map(key).collect::<Result<_, _>>().map(Keys)
    }

    /// Whether any key gives any of `signatures` for the message. Compares all with all, in constant time.
    pub(super) fn any_gives(&self, message: &[&[u8]], signatures: &[Vec<u8>]) -> bool {
        let mut matches = Choice::from(0);
        for key in &self.0 {
            let mut mac = key.clone();
            for part in message {
                mac.update(part);
            }
            let expected = mac.finalize().into_bytes();
            for given in signatures {
                matches |= expected.as_slice().ct_eq(given);
            }
        }
        matches.into()
    }
}
