//! Events by the name they are stored under.
//!
//! When an event must say something new: add its shape (`PaymentCapturedV2`) to `shapes` and a line to the table
//! below; in `convert`, write the new one and read both; pin it with a golden file. The old shape, line and arm
//! stay for ever: the arm in `StoredEvent::into_domain` is where an old commit is upcast.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::shapes::*;

/// Makes of one table the enum, its names, and the dispatch from a name to a shape.
macro_rules! stored_events {
    ($($name:literal => $version:ident($shape:ty),)*) => {
        /// An event as it stands in the log: its name first, then the fields of its shape.
        #[derive(Debug, Serialize)]
        #[serde(tag = "type")]
        pub(super) enum StoredEvent<'a> {
            $(#[serde(rename = $name)] $version($shape),)*
        }

        impl StoredEvent<'_> {
            pub(super) const NAMES: &'static [&'static str] = &[$($name),*];

            pub(super) fn name(&self) -> &'static str {
                match self {
                    $(StoredEvent::$version(_) => $name,)*
                }
            }
        }

        impl<'a> StoredEvent<'a> {
            fn read<'de, D: Deserializer<'de>>(name: &str, fields: D) -> Result<Self, D::Error> {
                match name {
                    $($name => <$shape>::deserialize(fields).map(StoredEvent::$version),)*
                    unknown => Err(D::Error::custom(unknown_name(unknown))),
                }
            }
        }
    };
}

stored_events! {
    "checkout_submitted.v1" => CheckoutSubmittedV1(Box<CheckoutSubmittedV1<'a>>),
    "checkout_submitted.v2" => CheckoutSubmittedV2(Box<CheckoutSubmittedV2<'a>>),
    "attempt_started.v1" => AttemptStartedV1(AttemptStartedV1<'a>),
    "attempt_linked.v1" => AttemptLinkedV1(AttemptLinkedV1<'a>),
    "action_required.v1" => ActionRequiredV1(ActionRequiredV1<'a>),
    "payment_authorized.v1" => PaymentAuthorizedV1(PaymentAuthorizedV1),
    "payment_failed.v1" => PaymentFailedV1(PaymentFailedV1<'a>),
    "capture_requested.v1" => CaptureRequestedV1(CaptureRequestedV1),
    "payment_captured.v1" => PaymentCapturedV1(PaymentCapturedV1<'a>),
    "capture_failed.v1" => CaptureFailedV1(CaptureFailedV1<'a>),
    "cancellation_requested.v1" => CancellationRequestedV1(CancellationRequestedV1),
    "order_canceled.v1" => OrderCanceledV1(OrderCanceledV1),
    "order_expired.v1" => OrderExpiredV1(OrderExpiredV1),
    "payment_voided.v1" => PaymentVoidedV1(PaymentVoidedV1),
    "authorization_expired.v1" => AuthorizationExpiredV1(AuthorizationExpiredV1),
    "refund_requested.v1" => RefundRequestedV1(RefundRequestedV1<'a>),
    "refund_settled.v1" => RefundSettledV1(RefundSettledV1<'a>),
    "refund_failed.v1" => RefundFailedV1(RefundFailedV1<'a>),
    "chargeback_opened.v1" => ChargebackOpenedV1(ChargebackOpenedV1<'a>),
    "chargeback_won.v1" => ChargebackWonV1(ChargebackWonV1<'a>),
    "chargeback_lost.v1" => ChargebackLostV1(ChargebackLostV1<'a>),
    "webhook_noted.v1" => WebhookNotedV1(WebhookNotedV1<'a>),
    "surface_noted.v1" => SurfaceNotedV1(SurfaceNotedV1<'a>),
    "personal_data_forgotten.v1" => PersonalDataForgottenV1(PersonalDataForgottenV1),
    "offer_registered.v1" => OfferRegisteredV1(OfferRegisteredV1<'a>),
    "webhook_quarantined.v1" => WebhookQuarantinedV1(WebhookQuarantinedV1<'a>),
    "webhook_released.v1" => WebhookReleasedV1(WebhookReleasedV1),
    "webhook_discarded.v1" => WebhookDiscardedV1(WebhookDiscardedV1<'a>),
}

/// Tells a newer version of a known event from an event that was never heard of.
fn unknown_name(name: &str) -> String {
    let event = name.rsplit_once(".v").map_or(name, |(event, _)| event);
    let known: Vec<&str> = StoredEvent::NAMES
        .iter()
        .filter(|known| known.rsplit_once(".v").is_some_and(|(known, _)| known == event))
        .copied()
        .collect();
    if known.is_empty() {
        format!("unknown event {name:?}; it may need a newer Daybook")
    } else {
        format!("unknown version {name:?}; this Daybook reads {}", known.join(", "))
    }
}

impl<'de, 'a> Deserialize<'de> for StoredEvent<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EventVisitor)
    }
}

/// Reads the name first and then straight into the shape: nothing is buffered, because `type` is written first.
struct EventVisitor;

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum FirstField {
    Type,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for EventVisitor {
    type Value = StoredEvent<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event that begins with its `type`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let first = fields
            .next_key()
            .map_err(|error| A::Error::custom(format_args!("an event begins with its `type`: {error}")))?;
        let Some(FirstField::Type) = first else {
            return Err(A::Error::custom("an event without its `type`"));
        };
        let Name(name) = fields.next_value()?;
        StoredEvent::read(&name, MapAccessDeserializer::new(fields))
            .map_err(|error| A::Error::custom(format_args!("{name}: {error}")))
    }
}
