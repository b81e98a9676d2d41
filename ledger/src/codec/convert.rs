//! Stored events from the domain's, and the domain's from those stored in any version.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::event::StoredEvent;
use super::parts::{owned, some_text, text};
use super::scalar::{Amount, Moment, Text};
use super::shapes::*;
use crate::{offer, order, quarantine};

/// An event of any kind of record.
pub(super) enum AnyEvent {
    Order(order::Event),
    Offer(offer::Event),
    Quarantine(quarantine::Event),
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
                    return_urls: _,
                    metadata: _,
                    expires_at,
                    surface,
                } = &**checkout;
                StoredEvent::CheckoutSubmittedV2(Box::new(CheckoutSubmittedV2 {
                    amount: Amount(*amount),
                    merchant_reference: text(merchant_reference),
                    capture: (*capture).into(),
                    payment_method: payment_method.as_ref().map(Into::into),
                    items: items.iter().map(Into::into).collect(),
                    expires_at: Moment(*expires_at),
                    surface: surface.into(),
                }))
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
            E::SurfaceNoted { data } => {
                StoredEvent::SurfaceNotedV1(SurfaceNotedV1 { data: Cow::Borrowed(data) })
            }
            E::PersonalDataForgotten => StoredEvent::PersonalDataForgottenV1(PersonalDataForgottenV1 {}),
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
    /// The event as the rules know it today, without the personal data that is kept apart from it.
    pub(super) fn into_domain(self) -> AnyEvent {
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
                } = *stored;
                E::CheckoutSubmitted(Box::new(order::Checkout {
                    amount,
                    merchant_reference: merchant_reference.into_owned(),
                    capture: capture.into(),
                    payment_method: payment_method.map(Into::into),
                    items: items.into_iter().map(Into::into).collect(),
                    customer: order::Customer::default(),
                    return_urls: return_urls.into(),
                    metadata: metadata.into_owned(),
                    expires_at,
                    surface: surface.into(),
                }))
            }
            StoredEvent::CheckoutSubmittedV2(stored) => {
                let CheckoutSubmittedV2 {
                    amount: Amount(amount),
                    merchant_reference,
                    capture,
                    payment_method,
                    items,
                    expires_at: Moment(expires_at),
                    surface,
                } = *stored;
                E::CheckoutSubmitted(Box::new(order::Checkout {
                    amount,
                    merchant_reference: merchant_reference.into_owned(),
                    capture: capture.into(),
                    payment_method: payment_method.map(Into::into),
                    items: items.into_iter().map(Into::into).collect(),
                    customer: order::Customer::default(),
                    return_urls: order::ReturnUrls::default(),
                    metadata: BTreeMap::new(),
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
                payment_method: payment_method.map(Into::into),
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
            StoredEvent::SurfaceNotedV1(SurfaceNotedV1 { data }) => {
                E::SurfaceNoted { data: data.into_owned() }
            }
            StoredEvent::PersonalDataForgottenV1(PersonalDataForgottenV1 {}) => E::PersonalDataForgotten,
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
