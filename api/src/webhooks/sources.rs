//! The kinds of sender that Daybook understands, one file each.

mod standard;

use crate::config::{WebhookScheme, WebhookSource};
use crate::webhooks::source::{InvalidSecret, Source};
use standard::{Key, StandardWebhooks};

/// The source that is configured. The configuration has checked the secrets, so this does not fail later.
pub(super) fn configured(config: &WebhookSource) -> Result<Box<dyn Source>, InvalidSecret> {
    match config.scheme {
        WebhookScheme::StandardWebhooks => {
            let keys = config.secrets.iter().map(|secret| Key::parse(secret.reveal()));
            Ok(Box::new(StandardWebhooks::new(keys.collect::<Result<_, _>>()?)))
        }
    }
}
