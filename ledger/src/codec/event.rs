//! Events by the name they are stored under, to and from the domain's.
//!
//! When an event must say something new: add the shape (`PaymentCapturedV2`) to `shapes`, a line to the table
//! below, and an arm to `StoredEvent::into_domain`; make `From<&order::Event>` write the new one, and pin it with
//! a golden file. The old line, shape and arm stay for ever: that arm is where old commits are upcast.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::scalar::{Amount, Moment, Text};
use super::shapes::*;
use crate::commit::Changes;
use crate::{offer, order, quarantine};

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
    "checkout_submitted.v1" => CheckoutSubmittedV1(CheckoutSubmittedV1<'a>),
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

/// An event of any kind of record.
pub(super) enum AnyEvent {
    Order(order::Event),
    Offer(offer::Event),
    Quarantine(quarantine::Event),
}

/// The personal data of one event, kept apart from it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Personal<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<PersonalCustomer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    card_holder: Option<Str<'a>>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonalCustomer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<Str<'a>>,
}

/// The personal data in a commit's events, by the index of the event; only events that have some.
pub(super) fn personal(changes: &Changes) -> BTreeMap<usize, Personal<'_>> {
    match changes {
        Changes::Order(events) => {
            events.iter().map(Personal::of).enumerate().filter(|(_, personal)| !personal.is_empty()).collect()
        }
        Changes::Offer(_) | Changes::Quarantine(_) => BTreeMap::new(),
    }
}

impl<'a> Personal<'a> {
    fn of(event: &'a order::Event) -> Self {
        match event {
            order::Event::CheckoutSubmitted(checkout) => Personal {
                customer: PersonalCustomer::of(&checkout.customer),
                card_holder: holder(&checkout.payment_method),
            },
            order::Event::AttemptStarted { payment_method, .. } => {
                Personal { customer: None, card_holder: holder(payment_method) }
            }
            order::Event::AttemptLinked { .. }
            | order::Event::ActionRequired { .. }
            | order::Event::PaymentAuthorized { .. }
            | order::Event::PaymentFailed { .. }
            | order::Event::CaptureRequested { .. }
            | order::Event::PaymentCaptured { .. }
            | order::Event::CaptureFailed { .. }
            | order::Event::CancellationRequested
            | order::Event::OrderCanceled
            | order::Event::OrderExpired
            | order::Event::PaymentVoided { .. }
            | order::Event::AuthorizationExpired { .. }
            | order::Event::RefundRequested { .. }
            | order::Event::RefundSettled { .. }
            | order::Event::RefundFailed { .. }
            | order::Event::ChargebackOpened { .. }
            | order::Event::ChargebackWon { .. }
            | order::Event::ChargebackLost { .. }
            | order::Event::WebhookNoted { .. } => Personal::default(),
        }
    }

    /// Whether nothing is left that an event could take.
    pub(super) fn is_empty(&self) -> bool {
        let Personal { customer, card_holder } = self;
        customer.is_none() && card_holder.is_none()
    }

    /// Puts the data where the API shows it: `customer`, and `payment_method.card.holder`.
    pub(super) fn merge_into(&self, event: &mut Value) {
        let put = |value: Value, place: Option<&mut Value>, name: &str| {
            if let Some(Value::Object(fields)) = place {
                fields.insert(name.to_owned(), value);
            }
        };
        let Personal { customer, card_holder } = self;
        if let Some(customer) = customer {
            put(serde_json::json!(customer), Some(event), "customer");
        }
        if let Some(holder) = card_holder {
            put(serde_json::json!(holder), event.pointer_mut("/payment_method/card"), "holder");
        }
    }
}

fn holder(method: &Option<order::PaymentMethod>) -> Option<Str<'_>> {
    some_text(&method.as_ref()?.card.as_ref()?.holder)
}

impl<'a> PersonalCustomer<'a> {
    fn of(customer: &'a order::Customer) -> Option<Self> {
        let order::Customer { name, email, phone, ip } = customer;
        let personal = PersonalCustomer {
            name: some_text(name),
            email: some_text(email),
            phone: some_text(phone),
            ip: some_text(ip),
        };
        (personal != PersonalCustomer::default()).then_some(personal)
    }
}

impl From<PersonalCustomer<'_>> for order::Customer {
    fn from(customer: PersonalCustomer<'_>) -> Self {
        let PersonalCustomer { name, email, phone, ip } = customer;
        order::Customer { name: owned(name), email: owned(email), phone: owned(phone), ip: owned(ip) }
    }
}

impl<'a> From<&'a order::Event> for StoredEvent<'a> {
    fn from(event: &'a order::Event) -> Self {
        use order::Event as E;
        match event {
            E::CheckoutSubmitted(checkout) => {
                let order::Checkout {
                    amount,
                    merchant_reference,
                    capture,
                    payment_method,
                    items,
                    customer: _,
                    return_urls,
                    metadata,
                    expires_at,
                    surface,
                } = &**checkout;
                StoredEvent::CheckoutSubmittedV1(CheckoutSubmittedV1 {
                    amount: Amount(*amount),
                    merchant_reference: text(merchant_reference),
                    capture: (*capture).into(),
                    payment_method: payment_method.as_ref().map(Into::into),
                    items: items.iter().map(Into::into).collect(),
                    return_urls: return_urls.into(),
                    metadata: Cow::Borrowed(metadata),
                    expires_at: Moment(*expires_at),
                    surface: surface.into(),
                })
            }
            E::AttemptStarted { attempt, payment_reference, payment_method } => {
                StoredEvent::AttemptStartedV1(AttemptStartedV1 {
                    attempt: *attempt,
                    payment_reference: some_text(payment_reference),
                    payment_method: payment_method.as_ref().map(Into::into),
                })
            }
            E::AttemptLinked { attempt, payment_reference } => {
                StoredEvent::AttemptLinkedV1(AttemptLinkedV1 {
                    attempt: *attempt,
                    payment_reference: text(payment_reference),
                })
            }
            E::ActionRequired { attempt, challenge } => StoredEvent::ActionRequiredV1(ActionRequiredV1 {
                attempt: *attempt,
                challenge: challenge.into(),
            }),
            E::PaymentAuthorized { attempt, amount } => {
                StoredEvent::PaymentAuthorizedV1(PaymentAuthorizedV1 {
                    attempt: *attempt,
                    amount: Amount(*amount),
                })
            }
            E::PaymentFailed { attempt, reason } => {
                StoredEvent::PaymentFailedV1(PaymentFailedV1 { attempt: *attempt, reason: text(reason) })
            }
            E::CaptureRequested { attempt, capture_id, amount } => {
                StoredEvent::CaptureRequestedV1(CaptureRequestedV1 {
                    attempt: *attempt,
                    capture_id: Text(*capture_id),
                    amount: Amount(*amount),
                })
            }
            E::PaymentCaptured { attempt, capture_id, reference, amount } => {
                StoredEvent::PaymentCapturedV1(PaymentCapturedV1 {
                    attempt: *attempt,
                    capture_id: capture_id.map(Text),
                    reference: text(reference),
                    amount: Amount(*amount),
                })
            }
            E::CaptureFailed { attempt, capture_id, reference, amount, reason } => {
                StoredEvent::CaptureFailedV1(CaptureFailedV1 {
                    attempt: *attempt,
                    capture_id: capture_id.map(Text),
                    reference: text(reference),
                    amount: Amount(*amount),
                    reason: text(reason),
                })
            }
            E::CancellationRequested => StoredEvent::CancellationRequestedV1(CancellationRequestedV1 {}),
            E::OrderCanceled => StoredEvent::OrderCanceledV1(OrderCanceledV1 {}),
            E::OrderExpired => StoredEvent::OrderExpiredV1(OrderExpiredV1 {}),
            E::PaymentVoided { attempt } => {
                StoredEvent::PaymentVoidedV1(PaymentVoidedV1 { attempt: *attempt })
            }
            E::AuthorizationExpired { attempt } => {
                StoredEvent::AuthorizationExpiredV1(AuthorizationExpiredV1 { attempt: *attempt })
            }
            E::RefundRequested { attempt, refund_id, amount, reason } => {
                StoredEvent::RefundRequestedV1(RefundRequestedV1 {
                    attempt: *attempt,
                    refund_id: Text(*refund_id),
                    amount: Amount(*amount),
                    reason: some_text(reason),
                })
            }
            E::RefundSettled { attempt, refund_id, reference, amount } => {
                StoredEvent::RefundSettledV1(RefundSettledV1 {
                    attempt: *attempt,
                    refund_id: refund_id.map(Text),
                    reference: text(reference),
                    amount: Amount(*amount),
                })
            }
            E::RefundFailed { attempt, refund_id, reference, amount, reason } => {
                StoredEvent::RefundFailedV1(RefundFailedV1 {
                    attempt: *attempt,
                    refund_id: refund_id.map(Text),
                    reference: text(reference),
                    amount: Amount(*amount),
                    reason: text(reason),
                })
            }
            E::ChargebackOpened { attempt, reference, amount, reason } => {
                StoredEvent::ChargebackOpenedV1(ChargebackOpenedV1 {
                    attempt: *attempt,
                    reference: text(reference),
                    amount: Amount(*amount),
                    reason: text(reason),
                })
            }
            E::ChargebackWon { attempt, reference, amount } => {
                StoredEvent::ChargebackWonV1(ChargebackWonV1 {
                    attempt: *attempt,
                    reference: text(reference),
                    amount: Amount(*amount),
                })
            }
            E::ChargebackLost { attempt, reference, amount } => {
                StoredEvent::ChargebackLostV1(ChargebackLostV1 {
                    attempt: *attempt,
                    reference: text(reference),
                    amount: Amount(*amount),
                })
            }
            E::WebhookNoted { kind } => StoredEvent::WebhookNotedV1(WebhookNotedV1 { kind: text(kind) }),
        }
    }
}

impl<'a> From<&'a offer::Event> for StoredEvent<'a> {
    fn from(event: &'a offer::Event) -> Self {
        let offer::Event::OfferRegistered(offer::Offer {
            identifier,
            amount,
            items,
            expires_at,
            purchasable,
        }) = event;
        StoredEvent::OfferRegisteredV1(OfferRegisteredV1 {
            identifier: text(identifier),
            amount: Amount(*amount),
            items: items.iter().map(Into::into).collect(),
            expires_at: expires_at.map(Moment),
            purchasable: *purchasable,
        })
    }
}

impl<'a> From<&'a quarantine::Event> for StoredEvent<'a> {
    fn from(event: &'a quarantine::Event) -> Self {
        use quarantine::Event as E;
        match event {
            E::WebhookQuarantined { reason, detail, waits_for, headers, received_at } => {
                StoredEvent::WebhookQuarantinedV1(WebhookQuarantinedV1 {
                    reason: (*reason).into(),
                    detail: text(detail),
                    waits_for: waits_for.iter().map(Into::into).collect(),
                    headers: headers.iter().map(Into::into).collect(),
                    received_at: Moment(*received_at),
                })
            }
            E::WebhookReleased { order } => {
                StoredEvent::WebhookReleasedV1(WebhookReleasedV1 { order: Text(*order) })
            }
            E::WebhookDiscarded { reason } => {
                StoredEvent::WebhookDiscardedV1(WebhookDiscardedV1 { reason: text(reason) })
            }
        }
    }
}

impl StoredEvent<'_> {
    /// The event as the rules know it today. It takes what belongs to it out of `personal`, which may be empty:
    /// the data was erased, or there never was any.
    pub(super) fn into_domain(self, personal: &mut Personal<'_>) -> AnyEvent {
        use order::Event as E;
        use quarantine::Event as Q;
        AnyEvent::Order(match self {
            StoredEvent::CheckoutSubmittedV1(stored) => {
                let CheckoutSubmittedV1 {
                    amount: Amount(amount),
                    merchant_reference,
                    capture,
                    payment_method,
                    items,
                    return_urls,
                    metadata,
                    expires_at: Moment(expires_at),
                    surface,
                } = stored;
                E::CheckoutSubmitted(Box::new(order::Checkout {
                    amount,
                    merchant_reference: merchant_reference.into_owned(),
                    capture: capture.into(),
                    payment_method: payment_method.map(|m| m.with_holder(&mut personal.card_holder)),
                    items: items.into_iter().map(Into::into).collect(),
                    customer: personal.customer.take().map(Into::into).unwrap_or_default(),
                    return_urls: return_urls.into(),
                    metadata: metadata.into_owned(),
                    expires_at,
                    surface: surface.into(),
                }))
            }
            StoredEvent::AttemptStartedV1(AttemptStartedV1 {
                attempt,
                payment_reference,
                payment_method,
            }) => E::AttemptStarted {
                attempt,
                payment_reference: owned(payment_reference),
                payment_method: payment_method.map(|m| m.with_holder(&mut personal.card_holder)),
            },
            StoredEvent::AttemptLinkedV1(AttemptLinkedV1 { attempt, payment_reference }) => {
                E::AttemptLinked { attempt, payment_reference: payment_reference.into_owned() }
            }
            StoredEvent::ActionRequiredV1(ActionRequiredV1 { attempt, challenge }) => {
                E::ActionRequired { attempt, challenge: challenge.into() }
            }
            StoredEvent::PaymentAuthorizedV1(PaymentAuthorizedV1 { attempt, amount: Amount(amount) }) => {
                E::PaymentAuthorized { attempt, amount }
            }
            StoredEvent::PaymentFailedV1(PaymentFailedV1 { attempt, reason }) => {
                E::PaymentFailed { attempt, reason: reason.into_owned() }
            }
            StoredEvent::CaptureRequestedV1(CaptureRequestedV1 {
                attempt,
                capture_id: Text(capture_id),
                amount: Amount(amount),
            }) => E::CaptureRequested { attempt, capture_id, amount },
            StoredEvent::PaymentCapturedV1(PaymentCapturedV1 {
                attempt,
                capture_id,
                reference,
                amount: Amount(amount),
            }) => E::PaymentCaptured {
                attempt,
                capture_id: capture_id.map(|Text(id)| id),
                reference: reference.into_owned(),
                amount,
            },
            StoredEvent::CaptureFailedV1(CaptureFailedV1 {
                attempt,
                capture_id,
                reference,
                amount: Amount(amount),
                reason,
            }) => E::CaptureFailed {
                attempt,
                capture_id: capture_id.map(|Text(id)| id),
                reference: reference.into_owned(),
                amount,
                reason: reason.into_owned(),
            },
            StoredEvent::CancellationRequestedV1(CancellationRequestedV1 {}) => E::CancellationRequested,
            StoredEvent::OrderCanceledV1(OrderCanceledV1 {}) => E::OrderCanceled,
            StoredEvent::OrderExpiredV1(OrderExpiredV1 {}) => E::OrderExpired,
            StoredEvent::PaymentVoidedV1(PaymentVoidedV1 { attempt }) => E::PaymentVoided { attempt },
            StoredEvent::AuthorizationExpiredV1(AuthorizationExpiredV1 { attempt }) => {
                E::AuthorizationExpired { attempt }
            }
            StoredEvent::RefundRequestedV1(RefundRequestedV1 {
                attempt,
                refund_id: Text(refund_id),
                amount: Amount(amount),
                reason,
            }) => E::RefundRequested { attempt, refund_id, amount, reason: owned(reason) },
            StoredEvent::RefundSettledV1(RefundSettledV1 {
                attempt,
                refund_id,
                reference,
                amount: Amount(amount),
            }) => E::RefundSettled {
                attempt,
                refund_id: refund_id.map(|Text(id)| id),
                reference: reference.into_owned(),
                amount,
            },
            StoredEvent::RefundFailedV1(RefundFailedV1 {
                attempt,
                refund_id,
                reference,
                amount: Amount(amount),
                reason,
            }) => E::RefundFailed {
                attempt,
                refund_id: refund_id.map(|Text(id)| id),
                reference: reference.into_owned(),
                amount,
                reason: reason.into_owned(),
            },
            StoredEvent::ChargebackOpenedV1(ChargebackOpenedV1 {
                attempt,
                reference,
                amount: Amount(amount),
                reason,
            }) => E::ChargebackOpened {
                attempt,
                reference: reference.into_owned(),
                amount,
                reason: reason.into_owned(),
            },
            StoredEvent::ChargebackWonV1(ChargebackWonV1 { attempt, reference, amount: Amount(amount) }) => {
                E::ChargebackWon { attempt, reference: reference.into_owned(), amount }
            }
            StoredEvent::ChargebackLostV1(ChargebackLostV1 {
                attempt,
                reference,
                amount: Amount(amount),
            }) => E::ChargebackLost { attempt, reference: reference.into_owned(), amount },
            StoredEvent::WebhookNotedV1(WebhookNotedV1 { kind }) => {
                E::WebhookNoted { kind: kind.into_owned() }
            }
            StoredEvent::OfferRegisteredV1(OfferRegisteredV1 {
                identifier,
                amount: Amount(amount),
                items,
                expires_at,
                purchasable,
            }) => {
                return AnyEvent::Offer(offer::Event::OfferRegistered(offer::Offer {
                    identifier: identifier.into_owned(),
                    amount,
                    items: items.into_iter().map(Into::into).collect(),
                    expires_at: expires_at.map(|Moment(moment)| moment),
                    purchasable,
                }));
            }
            StoredEvent::WebhookQuarantinedV1(WebhookQuarantinedV1 {
                reason,
                detail,
                waits_for,
                headers,
                received_at: Moment(received_at),
            }) => {
                return AnyEvent::Quarantine(Q::WebhookQuarantined {
                    reason: reason.into(),
                    detail: detail.into_owned(),
                    waits_for: waits_for.into_iter().map(Into::into).collect(),
                    headers: headers.into_iter().map(Into::into).collect(),
                    received_at,
                });
            }
            StoredEvent::WebhookReleasedV1(WebhookReleasedV1 { order: Text(order) }) => {
                return AnyEvent::Quarantine(Q::WebhookReleased { order });
            }
            StoredEvent::WebhookDiscardedV1(WebhookDiscardedV1 { reason }) => {
                return AnyEvent::Quarantine(Q::WebhookDiscarded { reason: reason.into_owned() });
            }
        })
    }
}
