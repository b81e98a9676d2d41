//! The body of a checkout, read and checked once: what leaves this file is in the ledger's words.
//!
//! The fields are those of the seed and those that the vendor's own shop plugins send. What the vendor leaves open,
//! and how it is read here, stands in `docs/src/guides/orkestapay.md`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ledger::money::{Currency, Money, MoneyError};
use ledger::order::{CaptureMode, Checkout, Customer, Item, ReturnUrls, Surface};
use serde::de::{Deserializer, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::amount::Digits;
use super::check::{email, locale, moment, text, url};
use super::refusal::Refusal;
use super::{NAME, country, field};
use crate::http::body::Object;

const MAX_PRODUCTS: usize = 200;
const MAX_ADJUSTMENTS: usize = 20;
const MAX_QUANTITY: u32 = 999_999;
const MAX_ID: usize = 128;
const MAX_NAME: usize = 255;
const MAX_METADATA: usize = 50;
const DEFAULT_LOCALE: &str = "ES_LATAM";

/// The body, with the vendor's names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckoutRequest {
    completed_redirect_url: String,
    canceled_redirect_url: String,
    allow_save_payment_methods: Option<bool>,
    locale: Option<String>,
    order: Object<OrderBody>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderBody {
    merchant_order_id: Word,
    currency: String,
    country_code: String,
    subtotal_amount: Digits,
    total_amount: Digits,
    taxes: Option<Vec<Object<AdjustmentBody>>>,
    discounts: Option<Vec<Object<AdjustmentBody>>>,
    shipping_details: Option<Object<AdjustmentBody>>,
    products: Vec<Object<ProductBody>>,
    customer: Object<CustomerBody>,
    shipping_address: Option<Object<AddressBody>>,
    metadata: Option<BTreeMap<String, String>>,
    expires_at: Option<Word>,
}

/// A tax, a discount, or what shipping costs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdjustmentBody {
    amount: Digits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProductBody {
    /// The seed's name for it, and the plugins'.
    #[serde(alias = "product_id")]
    id: Option<Word>,
    name: String,
    quantity: Digits,
    unit_price: Digits,
    // What a shop window shows. The plugins send it, nothing here reads it, and it is not kept.
    #[serde(default, rename = "description")]
    _description: IgnoredAny,
    #[serde(default, rename = "thumbnail_url")]
    _thumbnail_url: IgnoredAny,
    #[serde(default, rename = "url")]
    _url: IgnoredAny,
    #[serde(default, rename = "is_digital")]
    _is_digital: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomerBody {
    merchant_customer_id: Option<Word>,
    first_name: String,
    last_name: String,
    email: String,
    phone: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddressBody {
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    line_1: Option<String>,
    line_2: Option<String>,
    city: Option<String>,
    state: Option<String>,
    country: Option<String>,
    zip_code: Option<String>,
}

/// An id or a time, which some senders write as a whole number.
struct Word(String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "not a text or a whole number")]
        enum Either {
            Text(String),
            Number(u64),
        }
        Ok(Word(match Either::deserialize(deserializer)? {
            Either::Text(text) => text,
            Either::Number(number) => number.to_string(),
        }))
    }
}

/// A checkout that may be submitted, once it is known when it expires and where its buyer returns to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Submission {
    /// In the ledger's words, but for the return URLs, and for `expires_at`, which is not set yet.
    pub checkout: Checkout,
    /// When the shop wants it to expire.
    pub expires_at: Option<Timestamp>,
}

impl TryFrom<CheckoutRequest> for Submission {
    type Error = Refusal;

    fn try_from(request: CheckoutRequest) -> Result<Self, Refusal> {
        let mut data = BTreeMap::new();
        let completed = url("completed_redirect_url", request.completed_redirect_url)?;
        let canceled = url("canceled_redirect_url", request.canceled_redirect_url)?;
        data.insert(field::COMPLETED_URL.to_owned(), completed);
        data.insert(field::CANCELED_URL.to_owned(), canceled);
        let may_save = request.allow_save_payment_methods.unwrap_or(false);
        data.insert(field::MAY_SAVE.to_owned(), may_save.to_string());
        let locale = locale(request.locale.unwrap_or_else(|| DEFAULT_LOCALE.to_owned()))?;
        data.insert(field::LOCALE.to_owned(), locale);

        let Object(order) = request.order;
        let merchant_order_id = text("order.merchant_order_id", order.merchant_order_id.0, MAX_ID)?;
        let currency: Currency = order.currency.parse().map_err(|e| Refusal::amount("order.currency", &e))?;
        if !country::is_assigned(&order.country_code) {
            return Err(Refusal::invalid("order.country_code", "not an ISO 3166-1 alpha-2 code in capitals"));
        }
        data.insert(field::COUNTRY.to_owned(), order.country_code);

        let subtotal_minor = minor("order.subtotal_amount", &order.subtotal_amount, currency)?;
        data.insert(field::SUBTOTAL.to_owned(), subtotal_minor.to_string());
        let taxes = adjustments("order.taxes", order.taxes, currency)?;
        data.insert(field::TAXES.to_owned(), joined(&taxes));
        let discounts = adjustments("order.discounts", order.discounts, currency)?;
        data.insert(field::DISCOUNTS.to_owned(), joined(&discounts));
        let mut expected_minor = subtotal_minor - discounts.iter().sum::<i64>() + taxes.iter().sum::<i64>();
        if let Some(Object(shipping)) = order.shipping_details {
            let shipping_minor = minor("order.shipping_details.amount", &shipping.amount, currency)?;
            data.insert(field::SHIPPING.to_owned(), shipping_minor.to_string());
            expected_minor += shipping_minor;
        }
        const TOTAL: &str = "order.total_amount";
        let amount = order.total_amount.money(currency).map_err(|e| Refusal::amount(TOTAL, &e))?;
        if amount.minor() != expected_minor {
            return Err(Refusal::amounts_do_not_add_up().at(TOTAL));
        }
        Ok(Submission {
            expires_at: order.expires_at.map(|text| moment("order.expires_at", &text.0)).transpose()?,
            checkout: Checkout {
                amount,
                merchant_reference: merchant_order_id,
                capture: CaptureMode::Automatic,
                payment_method: None,
                items: products(order.products, currency)?,
                customer: customer(order.customer.0, order.shipping_address)?,
                return_urls: ReturnUrls::default(),
                metadata: metadata(order.metadata.unwrap_or_default())?,
                expires_at: Timestamp::UNIX_EPOCH,
                surface: Surface { name: NAME.to_owned(), data },
            },
        })
    }
}

impl Submission {
    /// Everything that makes two requests the same or not, in an order that never changes: by declaration.
    pub(super) fn content(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct Canonical<'a> {
            data: &'a BTreeMap<String, String>,
            merchant_order_id: &'a str,
            total: (i64, &'static str),
            products: Vec<(&'a str, Option<&'a str>, u32, Option<i64>)>,
            customer: (Option<&'a str>, Option<&'a str>, &'a BTreeMap<String, String>),
            metadata: &'a BTreeMap<String, String>,
            expires_at: Option<i64>,
        }
        let Checkout { amount, merchant_reference, items, customer, metadata, surface, .. } = &self.checkout;
        let price = |item: &Item| item.unit_price.map(|price| price.minor());
        Canonical {
            data: &surface.data,
            merchant_order_id: merchant_reference,
            total: (amount.minor(), amount.currency().code()),
            products: items
                .iter()
                .map(|i| (i.identifier.as_str(), i.name.as_deref(), i.quantity, price(i)))
                .collect(),
            customer: (customer.email.as_deref(), customer.phone.as_deref(), &customer.details),
            metadata,
            expires_at: self.expires_at.map(|at| at.as_millisecond()),
        }
    }
}

fn minor(field: &str, amount: &Digits, currency: Currency) -> Result<i64, Refusal> {
    amount.minor(currency).map_err(|e| Refusal::amount(field, &e))
}

/// The amounts of a list of taxes or discounts, in minor units.
fn adjustments(
    field: &str,
    list: Option<Vec<Object<AdjustmentBody>>>,
    currency: Currency,
) -> Result<Vec<i64>, Refusal> {
    let list = list.unwrap_or_default();
    if list.len() > MAX_ADJUSTMENTS {
        return Err(Refusal::invalid(field, format!("more than {MAX_ADJUSTMENTS}")));
    }
    let amount = |(index, Object(one)): (usize, &Object<AdjustmentBody>)| {
        minor(&format!("{field}[{index}].amount"), &one.amount, currency)
    };
    list.iter().enumerate().map(amount).collect()
}

/// Minor units, separated by commas: how a list of amounts is kept.
fn joined(amounts: &[i64]) -> String {
    amounts.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}

fn products(products: Vec<Object<ProductBody>>, currency: Currency) -> Result<Vec<Item>, Refusal> {
    if !(1..=MAX_PRODUCTS).contains(&products.len()) {
        return Err(Refusal::invalid("order.products", format!("not 1 to {MAX_PRODUCTS} of them")));
    }
    let product = |(index, Object(product)): (usize, Object<ProductBody>)| {
        let at = |name: &str| format!("order.products[{index}].{name}");
        let quantity = product.quantity.count().filter(|count| (1..=MAX_QUANTITY).contains(count));
        let unit_price = match product.unit_price.money(currency) {
            // A gift has no price.
            Err(MoneyError::Zero) => None,
            other => Some(other.map_err(|e| Refusal::amount(at("unit_price"), &e))?),
        };
        Ok(Item {
            identifier: match product.id {
                Some(id) => text(&at("id"), id.0, MAX_ID)?,
                None => (index + 1).to_string(),
            },
            name: Some(text(&at("name"), product.name, MAX_NAME)?),
            quantity: quantity.ok_or_else(|| {
                Refusal::invalid(at("quantity"), format!("not a whole number from 1 to {MAX_QUANTITY}"))
            })?,
            unit_price,
            parent_identifier: None,
        })
    };
    products.into_iter().enumerate().map(product).collect()
}

/// Who buys. What the ledger has no field for goes into the details, by the vendor's names.
fn customer(
    customer: CustomerBody,
    shipping_address: Option<Object<AddressBody>>,
) -> Result<Customer, Refusal> {
    const CUSTOMER: &str = "order.customer";
    let mut details = BTreeMap::new();
    let first_name = text(&format!("{CUSTOMER}.first_name"), customer.first_name, MAX_NAME)?;
    let last_name = text(&format!("{CUSTOMER}.last_name"), customer.last_name, MAX_NAME)?;
    let name = format!("{first_name} {last_name}");
    details.insert(field::FIRST_NAME.to_owned(), first_name);
    details.insert(field::LAST_NAME.to_owned(), last_name);
    if let Some(id) = customer.merchant_customer_id {
        let id = text(&format!("{CUSTOMER}.merchant_customer_id"), id.0, MAX_ID)?;
        details.insert(field::MERCHANT_CUSTOMER.to_owned(), id);
    }
    if let Some(Object(address)) = shipping_address {
        let AddressBody { first_name, last_name, email, line_1, line_2, city, state, country, zip_code } =
            address;
        let lines = [first_name, last_name, email, line_1, line_2, city, state, country, zip_code];
        for (name, line) in field::ADDRESS.into_iter().zip(lines) {
            // The plugins send the second line empty where there is none.
            if let Some(line) = line.filter(|line| !line.is_empty()) {
                let line = text(&format!("order.{}{name}", field::SHIPPING_ADDRESS), line, MAX_NAME)?;
                details.insert(format!("{}{name}", field::SHIPPING_ADDRESS), line);
            }
        }
    }
    // The same for a phone.
    let phone = customer.phone.filter(|phone| !phone.is_empty());
    Ok(Customer {
        name: Some(name),
        email: Some(email(&format!("{CUSTOMER}.email"), customer.email)?),
        phone: phone.map(|phone| text(&format!("{CUSTOMER}.phone"), phone, MAX_ID)).transpose()?,
        ip: None,
        details,
    })
}

fn metadata(pairs: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Refusal> {
    if pairs.len() > MAX_METADATA {
        return Err(Refusal::invalid("order.metadata", format!("more than {MAX_METADATA} pairs")));
    }
    let pair = |(key, value): (String, String)| {
        let key = text("order.metadata", key, 64)?;
        let at = format!("order.metadata.{key}");
        let value = if value.is_empty() { value } else { text(&at, value, 512)? };
        Ok((key, value))
    };
    pairs.into_iter().map(pair).collect()
}

/// The amount that a kept text of minor units says.
pub(super) fn kept_minor(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// The amounts that a kept list says; the inverse of how they are kept.
pub(super) fn kept_list(text: &str) -> Vec<i64> {
    text.split(',').filter_map(kept_minor).collect()
}

/// A product's price; a gift has none.
pub(super) fn unit_price_minor(item: &Item) -> i64 {
    item.unit_price.as_ref().map_or(0, Money::minor)
}
