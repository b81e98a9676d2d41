//! Personal data: taken out of the events as they are written, and put back as they are opened.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parts::{self, Notes, ReturnUrlsV1, Str, owned, some_text};
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
    /// Since `checkout_submitted.v2`; earlier ones have them among the event's own fields.
    #[serde(default, skip_serializing_if = "ReturnUrlsV1::is_empty")]
    pub(super) return_urls: ReturnUrlsV1<'a>,
    #[serde(default, skip_serializing_if = "parts::is_empty")]
    pub(super) metadata: Notes<'a>,
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
                return_urls: (&checkout.return_urls).into(),
                metadata: Cow::Borrowed(&checkout.metadata),
            },
            order::Event::AttemptStarted { payment_method, .. } => {
                Personal { card_holder: holder(payment_method), ..Personal::default() }
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
            | order::Event::SurfaceNoted { .. }
            | order::Event::PersonalDataForgotten => Personal::default(),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Personal::default()
    }

    /// Puts the data back into the event that it was taken out of; an error names what the event has no place for.
    pub(super) fn put_back(self, event: &mut order::Event) -> Result<(), &'static str> {
        // Which events have any, `of` says of each.
        if let order::Event::CheckoutSubmitted(checkout) = event {
            self.put_into_checkout(checkout)
        } else if let order::Event::AttemptStarted { payment_method, .. } = event {
            self.put_into_attempt(payment_method)
        } else {
            Err("anything")
        }
    }

    /// The same for a checkout that was folded already. What the stored event has among its own fields stays.
    pub(super) fn put_into_checkout(self, checkout: &mut order::Checkout) -> Result<(), &'static str> {
        let Personal { customer, card_holder, return_urls, metadata } = self;
        if let Some(customer) = customer {
            checkout.customer = customer.into();
        }
        if !return_urls.is_empty() {
            checkout.return_urls = return_urls.into();
        }
        if !metadata.is_empty() {
            checkout.metadata = metadata.into_owned();
        }
        put_holder(card_holder, &mut checkout.payment_method)
    }

    /// The same for the payment method of an attempt.
    pub(super) fn put_into_attempt(
        self,
        method: &mut Option<order::PaymentMethod>,
    ) -> Result<(), &'static str> {
        let Personal { customer, card_holder, return_urls, metadata } = self;
        if customer.is_some() || !return_urls.is_empty() || !metadata.is_empty() {
            return Err("a customer");
        }
        put_holder(card_holder, method)
    }

    /// Puts the data where the API shows it: `customer`, `return_urls`, `metadata`, and `payment_method.card.holder`.
    pub(super) fn merge_into(&self, event: &mut Value) {
        let put = |value: Value, place: Option<&mut Value>, name: &str| {
            if let Some(Value::Object(fields)) = place {
                fields.insert(name.to_owned(), value);
            }
        };
        let Personal { customer, card_holder, return_urls, metadata } = self;
        if !return_urls.is_empty() {
            put(serde_json::json!(return_urls), Some(event), "return_urls");
        }
        if !metadata.is_empty() {
            put(serde_json::json!(metadata), Some(event), "metadata");
        }
        if let Some(customer) = customer {
            put(serde_json::json!(customer), Some(event), "customer");
        }
        if let Some(holder) = card_holder {
            put(serde_json::json!(holder), event.pointer_mut("/payment_method/card"), "holder");
        }
    }
}

fn put_holder(
    holder: Option<Str<'_>>,
    method: &mut Option<order::PaymentMethod>,
) -> Result<(), &'static str> {
    let card = method.as_mut().and_then(|method| method.card.as_mut());
    match (holder, card) {
        (None, _) => Ok(()),
        (Some(holder), Some(card)) => {
            card.holder = Some(holder.into_owned());
            Ok(())
        }
        (Some(_), None) => Err("a card's holder"),
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
