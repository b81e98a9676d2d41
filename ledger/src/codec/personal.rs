//! Personal data: taken out of the events as they are written, and put back as they are read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parts::{self, Notes, Str, owned, some_text};
use crate::commit::Changes;
use crate::order;

/// The personal data of one event, kept apart from it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Personal<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer: Option<PersonalCustomer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) card_holder: Option<Str<'a>>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonalCustomer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<Str<'a>>,
    #[serde(default, skip_serializing_if = "parts::is_empty")]
    details: Notes<'a>,
}

/// The personal data in a commit's events, by the index of the event; only events that have some.
pub(super) fn of(changes: &Changes) -> BTreeMap<usize, Personal<'_>> {
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
            | order::Event::WebhookNoted { .. }
            | order::Event::SurfaceNoted { .. } => Personal::default(),
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
        let order::Customer { name, email, phone, ip, details } = customer;
        let personal = PersonalCustomer {
            name: some_text(name),
            email: some_text(email),
            phone: some_text(phone),
            ip: some_text(ip),
            details: Cow::Borrowed(details),
        };
        (personal != PersonalCustomer::default()).then_some(personal)
    }
}

impl From<PersonalCustomer<'_>> for order::Customer {
    fn from(customer: PersonalCustomer<'_>) -> Self {
        let PersonalCustomer { name, email, phone, ip, details } = customer;
        order::Customer {
            name: owned(name),
            email: owned(email),
            phone: owned(phone),
            ip: owned(ip),
            details: details.into_owned(),
        }
    }
}
