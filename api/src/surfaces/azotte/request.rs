//! The body of Azotte's checkout, read and checked once: what leaves this file is in the ledger's words, and the
//! card number is gone.
//!
//! Each field has a long name and, most of them, an alias; one field under both names is refused. What the
//! vendor's pages leave open, and how it is read here, stands in `docs/src/guides/azotte.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ledger::ids::RequestHash;
use ledger::order::{Card, Customer, Item, PaymentMethod};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

use crate::cards::{self, CardNumber, Secret};
use crate::http::body::Object;

const MAX_ITEMS: usize = 200;
const MAX_IDENTIFIER: usize = 128;
const MAX_TEXT: usize = 256;
const MAX_QUANTITY: u32 = 999_999;

/// The body, with the vendor's names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CheckoutRequest {
    #[serde(alias = "ORD")]
    order: Object<OrderCart>,
    #[serde(alias = "PMT")]
    payment_method: Object<PaymentMethodDto>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OrderCart {
    #[serde(alias = "OID")]
    offer_identifier: String,
    #[serde(alias = "CLD")]
    correlation_id: Option<String>,
    installment_identifier: Option<String>,
    #[serde(rename = "resellerID")]
    reseller_id: Option<u64>,
    #[serde(alias = "ITM")]
    items: Option<Vec<Object<CheckoutOrderItem>>>,
    #[serde(alias = "CUST")]
    customer: Option<Object<CustomerInfo>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CheckoutOrderItem {
    #[serde(alias = "ITM")]
    item_identifier: String,
    #[serde(alias = "PURN")]
    parent_item_identifier: Option<String>,
    #[serde(alias = "QTY")]
    quantity: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CustomerInfo {
    customer_urn: Option<String>,
    ip_address: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PaymentMethodDto {
    #[serde(alias = "TP")]
    payment_channel: PaymentChannel,
    #[serde(alias = "PI")]
    provider_identifier: Option<String>,
    #[serde(alias = "UM")]
    use_stored_method: Option<Flag>,
    #[serde(alias = "CC")]
    credit_card: Option<Object<CreditCardDto>>,
    #[serde(alias = "SM")]
    store_method_success_payment: Option<Flag>,
}

/// What the buyer pays with.
#[derive(Deserialize, Serialize, Debug, Clone, Copy, PartialEq, Eq)]
enum PaymentChannel {
    CreditCard,
    PayPal,
    Klarna,
    #[serde(rename = "SEPA")]
    Sepa,
    Bank,
}

impl PaymentChannel {
    /// The ledger's word for it.
    fn kind(self) -> &'static str {
        match self {
            PaymentChannel::CreditCard => "card",
            PaymentChannel::PayPal => "paypal",
            PaymentChannel::Klarna => "klarna",
            PaymentChannel::Sepa => "sepa",
            PaymentChannel::Bank => "bank",
        }
    }
}

/// The vendor's pages write flags both as booleans and as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BooleanOrText;
        impl Visitor<'_> for BooleanOrText {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(flag))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Flag, E> {
                let flag = text.parse().map_err(|_| E::custom("neither true nor false"))?;
                Ok(Flag(flag))
            }
        }
        deserializer.deserialize_any(BooleanOrText)
    }
}

/// Everything in here may be secret, so everything in here is a [`Secret`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreditCardDto {
    #[serde(alias = "CHN")]
    card_holder_name: Option<Secret>,
    #[serde(alias = "CN")]
    card_number: Option<Secret>,
    expire_month: Option<Secret>,
    expire_year: Option<Secret>,
    #[serde(alias = "cvv")]
    cvc: Option<Secret>,
    card_alias: Option<Secret>,
}

/// A checkout that is well-formed; only its offer is still to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Submission {
    /// Which offer; it has the price.
    pub(super) offer_identifier: String,
    /// The idempotency key.
    pub(super) correlation_id: Option<String>,
    /// What is bought; the offer's items when empty.
    pub(super) items: Vec<Item>,
    /// Who buys.
    pub(super) customer: Customer,
    /// With what.
    pub(super) payment_method: PaymentMethod,
    /// What only this surface understands.
    pub(super) data: BTreeMap<String, String>,
    /// Of all of the above.
    pub(super) request_hash: RequestHash,
}

/// A field that cannot be used, by the vendor's name, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InvalidField {
    /// Such as `order.items[0].quantity`.
    pub(super) field: String,
    /// What is wrong with it.
    pub(super) message: String,
}

fn invalid(field: impl Into<String>, message: impl Into<String>) -> InvalidField {
    InvalidField { field: field.into(), message: message.into() }
}

impl TryFrom<CheckoutRequest> for Submission {
    type Error = InvalidField;

    fn try_from(request: CheckoutRequest) -> Result<Self, InvalidField> {
        let CheckoutRequest { order: Object(order), payment_method: Object(payment_method) } = request;
        let offer_identifier = text("order.offerIdentifier", order.offer_identifier, MAX_IDENTIFIER)?;
        let correlation_id = optional("order.correlationId", order.correlation_id, MAX_IDENTIFIER)?;
        let installment =
            optional("order.installmentIdentifier", order.installment_identifier, MAX_IDENTIFIER)?;
        let items = items(order.items.unwrap_or_default())?;
        let Object(customer) = order.customer.unwrap_or_default();
        let urn = optional("order.customer.customerUrn", customer.customer_urn, MAX_TEXT)?;
        let ip = customer.ip_address.map(|ip| ip_address("order.customer.ipAddress", &ip)).transpose()?;
        let channel = payment_method.payment_channel;
        let provider =
            optional("paymentMethod.providerIdentifier", payment_method.provider_identifier, MAX_IDENTIFIER)?;
        let stored = payment_method.use_stored_method.is_some_and(|Flag(flag)| flag);
        let method = method(channel, stored, payment_method.credit_card.map(|Object(card)| card))?;
        let store = payment_method.store_method_success_payment.map(|Flag(flag)| flag);
        let data = [
            ("offerIdentifier", Some(offer_identifier.clone())),
            ("correlationId", correlation_id.clone()),
            ("installmentIdentifier", installment),
            ("resellerID", order.reseller_id.map(|id| id.to_string())),
            ("customerUrn", urn),
            ("providerIdentifier", provider),
            ("useStoredMethod", stored.then(|| "true".to_owned())),
            ("storeMethodSuccessPayment", store.map(|flag| flag.to_string())),
        ];
        let data: BTreeMap<String, String> =
            data.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let request_hash = hash(&data, &items, ip.as_deref(), channel, &method)?;
        Ok(Submission {
            offer_identifier,
            correlation_id,
            items,
            customer: Customer { ip, ..Customer::default() },
            payment_method: method,
            data,
            request_hash,
        })
    }
}

fn items(items: Vec<Object<CheckoutOrderItem>>) -> Result<Vec<Item>, InvalidField> {
    if items.len() > MAX_ITEMS {
        return Err(invalid("order.items", format!("more than {MAX_ITEMS} items")));
    }
    let item = |(index, Object(item)): (usize, Object<CheckoutOrderItem>)| {
        let at = |name: &str| format!("order.items[{index}].{name}");
        let quantity = item.quantity.unwrap_or(1);
        if !(1..=MAX_QUANTITY).contains(&quantity) {
            return Err(invalid(at("quantity"), format!("not between 1 and {MAX_QUANTITY}")));
        }
        Ok(Item {
            identifier: text(&at("itemIdentifier"), item.item_identifier, MAX_IDENTIFIER)?,
            name: None,
            quantity,
            unit_price: None,
            parent_identifier: optional(
                &at("parentItemIdentifier"),
                item.parent_item_identifier,
                MAX_IDENTIFIER,
            )?,
        })
    };
    items.into_iter().enumerate().map(item).collect()
}

/// What the buyer pays with. A card number ends here.
fn method(
    channel: PaymentChannel,
    stored: bool,
    card: Option<CreditCardDto>,
) -> Result<PaymentMethod, InvalidField> {
    const CARD: &str = "paymentMethod.creditCard";
    let kind = channel.kind().to_owned();
    let Some(card) = card else {
        return match channel {
            PaymentChannel::CreditCard => Err(invalid(CARD, "required for the channel CreditCard")),
            PaymentChannel::PayPal | PaymentChannel::Klarna | PaymentChannel::Sepa | PaymentChannel::Bank => {
                Ok(PaymentMethod { kind, token: None, card: None })
            }
        };
    };
    if channel != PaymentChannel::CreditCard {
        return Err(invalid(CARD, "only for the channel CreditCard"));
    }
    let holder = secret(&format!("{CARD}.cardHolderName"), card.card_holder_name.as_ref(), MAX_TEXT)?;
    secret(&format!("{CARD}.cardAlias"), card.card_alias.as_ref(), MAX_TEXT)?;
    digits(&format!("{CARD}.expireMonth"), card.expire_month.as_ref(), 1..=2, 1..=12)?;
    digits(&format!("{CARD}.expireYear"), card.expire_year.as_ref(), 2..=4, 0..=9999)?;
    digits(&format!("{CARD}.cvc"), card.cvc.as_ref(), 3..=4, 0..=9999)?;
    let field = format!("{CARD}.cardNumber");
    let number = card.card_number.ok_or_else(|| invalid(&field, "required"))?;
    if stored {
        let token = number.expose();
        let alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let fits = (1..=MAX_TEXT).contains(&token.len()) && token.bytes().all(alphabet);
        if !fits || cards::looks_like_a_card_number(token) {
            return Err(invalid(field, "a stored method's token is needed where useStoredMethod is true"));
        }
        return Ok(PaymentMethod { kind, token: Some(token.to_owned()), card: None });
    }
    let tokenized = CardNumber::parse(number.expose())
        .and_then(CardNumber::tokenize)
        .map_err(|e| invalid(field, e.to_string()))?;
    let card = Card { holder, ..tokenized.card };
    Ok(PaymentMethod { kind, token: Some(tokenized.token), card: Some(card) })
}

/// Everything that makes two requests the same or not, in an order that never changes: by declaration. The card
/// is in it by its token; the security code is not in it at all.
#[derive(Serialize)]
struct Canonical<'a> {
    data: &'a BTreeMap<String, String>,
    items: Vec<(&'a str, Option<&'a str>, u32)>,
    ip: Option<&'a str>,
    channel: PaymentChannel,
    token: Option<&'a str>,
    holder: Option<&'a str>,
}

fn hash(
    data: &BTreeMap<String, String>,
    items: &[Item],
    ip: Option<&str>,
    channel: PaymentChannel,
    method: &PaymentMethod,
) -> Result<RequestHash, InvalidField> {
    let items = items.iter().map(|i| (i.identifier.as_str(), i.parent_identifier.as_deref(), i.quantity));
    let canonical = Canonical {
        data,
        items: items.collect(),
        ip,
        channel,
        token: method.token.as_deref(),
        holder: method.card.as_ref().and_then(|card| card.holder.as_deref()),
    };
    let bytes = serde_json::to_vec(&canonical).map_err(|e| invalid("", e.to_string()))?;
    Ok(RequestHash::of(&bytes))
}

fn text(field: &str, text: String, longest: usize) -> Result<String, InvalidField> {
    if text.is_empty() {
        return Err(invalid(field, "empty"));
    }
    if text.chars().count() > longest {
        return Err(invalid(field, format!("longer than {longest} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(field, "has control characters"));
    }
    if cards::looks_like_a_card_number(&text) {
        return Err(invalid(
            field,
            "looks like a card number, which belongs into creditCard.cardNumber alone",
        ));
    }
    Ok(text)
}

fn optional(field: &str, value: Option<String>, longest: usize) -> Result<Option<String>, InvalidField> {
    value.map(|value| text(field, value, longest)).transpose()
}

fn secret(field: &str, value: Option<&Secret>, longest: usize) -> Result<Option<String>, InvalidField> {
    optional(field, value.map(|value| value.expose().to_owned()), longest)
}

/// Checks a number of a card that is not kept.
fn digits(
    field: &str,
    value: Option<&Secret>,
    length: std::ops::RangeInclusive<usize>,
    range: std::ops::RangeInclusive<u32>,
) -> Result<(), InvalidField> {
    let Some(value) = value.map(Secret::expose) else { return Ok(()) };
    let digits_only = length.contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    match value.parse() {
        Ok(number) if digits_only && range.contains(&number) => Ok(()),
        Ok(_) | Err(_) => Err(invalid(field, "not a valid value")),
    }
}

fn ip_address(field: &str, text: &str) -> Result<String, InvalidField> {
    let address: IpAddr = text.parse().map_err(|_| invalid(field, "not an IP address"))?;
    Ok(address.to_string())
}
