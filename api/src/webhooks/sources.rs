//! The kinds of sender that Daybook understands, one file each. How to add one: `docs/src/sources/adding-one.md`.

mod adyen;
mod keys;
mod standard;
mod stripe;

use crate::config::{Secret, WebhookScheme, WebhookSource};
use crate::webhooks::source::{InvalidSecret, Source};
use adyen::Adyen;
use standard::StandardWebhooks;
use stripe::Stripe;

/// The source that is configured. The configuration was checked with this, so it does not fail later.
pub(super) fn configured(config: &WebhookSource) -> Result<Box<dyn Source>, InvalidSecret> {
    let secrets = config.secrets.iter().map(Secret::reveal);
    Ok(match config.scheme {
        WebhookScheme::StandardWebhooks => Box::new(StandardWebhooks::new(secrets)?),
        WebhookScheme::Stripe => Box::new(Stripe::new(secrets)?),
        WebhookScheme::Adyen { capture } => Box::new(Adyen::new(secrets, capture)?),
    })
}
