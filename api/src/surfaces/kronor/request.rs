//! The input of `newPurchaseOrder`, read and checked once: what leaves this file is in the ledger's words.
//!
//! Whom it is sold to goes into `customer` alone; nothing personal is among the surface's own fields.

use std::collections::BTreeMap;

use async_graphql::InputObject;
use jiff::Timestamp;
use ledger::money::{Currency, Money, MoneyError};
use ledger::order::{CaptureMode, Checkout, Customer, Item, PaymentMethod, ReturnUrls, Surface};
use serde::Serialize;

use super::NAME;
use super::links::web_url;
use super::refusal::Refusal;
use super::words::{Country, Language};
use crate::cards::looks_like_a_card_number;

/// The vendor's limit for keys and references.
const MAX_KEY: usize = 64;
/// The vendor's limit for the name of a line.
const MAX_LINE_NAME: usize = 100;
const MAX_LINES: usize = 200;
const MAX_TEXT: usize = 256;
const MAX_QUANTITY: i32 = 999_999;
/// 100 %, in hundredths of a percent.
const MAX_TAX_RATE: i32 = 10_000;
/// The longest phone number of ITU-T E.164, without its plus sign.
const MAX_PHONE_DIGITS: usize = 15;

/// The names of the surface's own fields.
pub(super) mod data {
    /// The `idempotencyKey`, which is the purchase order's `id`.
    pub(crate) const ID: &str = "idempotencyKey";
    /// The `purchaseCountry`.
    pub(crate) const COUNTRY: &str = "purchaseCountry";
    /// The `purchaseLanguage`.
    pub(crate) const LANGUAGE: &str = "purchaseLanguage";
    /// The `purchaseTaxAmount`, in minor units.
    pub(crate) const TAX: &str = "purchaseTaxAmount";
    /// JSON: of each line what an item of the ledger does not have.
    pub(crate) const LINES: &str = "purchaseLines";
}

// What it serializes to is the content that its hash is made of. A later field must be skipped when absent, or the
// retries of older requests would be refused.
/// What is bought, by whom, and for how much. Amounts are in minor units of the currency of `purchaseCountry`.
#[derive(InputObject, Serialize, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct PurchaseOrderInput {
    /// Names the operation: 1 to 64 letters, digits and `- _ . , [ ] +`. It becomes the purchase order's `id`.
    pub(super) idempotency_key: String,
    /// The merchant's own name for the order, 1 to 64 characters.
    pub(super) merchant_reference: String,
    /// Who pays.
    pub(super) billing_address: AddressInput,
    /// Where it is sent, when that is not the billing address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shipping_address: Option<AddressInput>,
    /// The customer's national identification number, such as a Swedish personnummer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) national_identification_number: Option<String>,
    /// Where the purchase is made; decides the currency.
    pub(super) purchase_country: Country,
    /// The language to talk to the customer in.
    pub(super) purchase_language: Language,
    /// What is bought: 1 to 200 lines.
    pub(super) purchase_lines: Vec<PurchaseLineInput>,
    /// The sum of the lines' `totalAmount`, above zero.
    pub(super) purchase_total_amount: i32,
    /// The sum of the lines' `totalTaxAmount`.
    pub(super) purchase_tax_amount: i32,
}

/// One line of a purchase order.
#[derive(InputObject, Serialize, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct PurchaseLineInput {
    /// What it is called, 1 to 100 characters.
    pub(super) name: String,
    /// The price of one, tax included.
    pub(super) price_per_item: i32,
    /// How many; above zero.
    pub(super) quantity: i32,
    /// In hundredths of a percent: 15 % is 1500.
    pub(super) tax_rate: i32,
    /// `quantity` × `pricePerItem` − `totalDiscountAmount`.
    pub(super) total_amount: i32,
    /// The tax in `totalAmount`, to within 1: `totalAmount` − `totalAmount` × 10000 / (10000 + `taxRate`).
    pub(super) total_tax_amount: i32,
    /// Taken off the whole line; nothing when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total_discount_amount: Option<i32>,
    /// The merchant's article number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    /// Where the article is shown; an http(s) URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item_url: Option<String>,
    /// What it looks like; an http(s) URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_url: Option<String>,
}

/// A person and where they live. Each text has 1 to 256 characters.
#[derive(InputObject, Serialize, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct AddressInput {
    /// In whose care.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) care_of: Option<String>,
    /// City.
    pub(super) city: String,
    /// Country.
    pub(super) country: Country,
    /// E-mail address.
    pub(super) email: String,
    /// First name.
    pub(super) first_name: String,
    /// Last name.
    pub(super) last_name: String,
    /// Phone number: up to 15 digits, with `+ ( ) - . /` and spaces between them.
    pub(super) phone_number: String,
    /// Postal code.
    pub(super) postal_code: String,
    /// Region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<String>,
    /// Street and number.
    pub(super) street_address: String,
    /// More of the street address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) street_address2: Option<String>,
    /// The street alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) street_name: Option<String>,
    /// The number alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) street_number: Option<String>,
    /// Title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
}

/// What a line has beyond an item of the ledger.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LineDetails<'a> {
    tax_rate: i32,
    total_amount: i32,
    total_tax_amount: i32,
    total_discount_amount: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<&'a str>,
}

impl PurchaseOrderInput {
    /// The checkout that this asks for, or the first rule that it breaks.
    pub(super) fn checkout(&self, expires_at: Timestamp, return_url: &str) -> Result<Checkout, Refusal> {
        key("purchase.idempotencyKey", &self.idempotency_key)?;
        text("purchase.merchantReference", &self.merchant_reference, MAX_KEY)?;
        let customer = self.customer()?;
        if !(1..=MAX_LINES).contains(&self.purchase_lines.len()) {
            return Err(Refusal::input("purchase.purchaseLines", format!("1 to {MAX_LINES} lines")));
        }
        let currency = currency(self.purchase_country)?;
        let lines = || self.purchase_lines.iter().enumerate();
        for (index, line) in lines() {
            line.check(&format!("purchase.purchaseLines[{index}]"))?;
        }
        let sum =
            |of: fn(&PurchaseLineInput) -> i32| lines().map(|(_, line)| i64::from(of(line))).sum::<i64>();
        if i64::from(self.purchase_total_amount) != sum(|line| line.total_amount) {
            return Err(Refusal::input(
                "purchase.purchaseTotalAmount",
                "not the sum of the lines' totalAmount",
            ));
        }
        if i64::from(self.purchase_tax_amount) != sum(|line| line.total_tax_amount) {
            return Err(Refusal::input(
                "purchase.purchaseTaxAmount",
                "not the sum of the lines' totalTaxAmount",
            ));
        }
        let amount = money("purchase.purchaseTotalAmount", self.purchase_total_amount, currency)?;
        let details: Vec<LineDetails<'_>> = self.purchase_lines.iter().map(LineDetails::of).collect();
        let details =
            serde_json::to_string(&details).map_err(|error| Refusal::internal(&error.to_string()))?;
        let own = [
            (data::ID, self.idempotency_key.clone()),
            (data::COUNTRY, self.purchase_country.as_str().to_owned()),
            (data::LANGUAGE, self.purchase_language.as_str().to_owned()),
            (data::TAX, self.purchase_tax_amount.to_string()),
            (data::LINES, details),
        ];
        let return_url = Some(return_url.to_owned());
        Ok(Checkout {
            amount,
            merchant_reference: self.merchant_reference.clone(),
            capture: CaptureMode::Manual,
            payment_method: Some(PaymentMethod { kind: "invoice".to_owned(), token: None, card: None }),
            items: lines().map(|(index, line)| line.item(index, currency)).collect(),
            customer,
            return_urls: ReturnUrls {
                success: return_url.clone(),
                failure: return_url.clone(),
                cancel: return_url,
            },
            metadata: BTreeMap::new(),
            expires_at,
            surface: Surface {
                name: NAME.to_owned(),
                data: own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            },
        })
    }

    fn customer(&self) -> Result<Customer, Refusal> {
        let mut details = BTreeMap::new();
        let billing = &self.billing_address;
        billing.read("billingAddress", &mut details)?;
        if let Some(shipping) = &self.shipping_address {
            shipping.read("shippingAddress", &mut details)?;
        }
        if let Some(number) = &self.national_identification_number {
            text("purchase.nationalIdentificationNumber", number, MAX_KEY)?;
            details.insert("nationalIdentificationNumber".to_owned(), number.clone());
        }
        Ok(Customer {
            name: Some(format!("{} {}", billing.first_name, billing.last_name)),
            email: Some(billing.email.clone()),
            phone: Some(billing.phone_number.clone()),
            ip: None,
            details,
        })
    }
}

impl PurchaseLineInput {
    fn check(&self, at: &str) -> Result<(), Refusal> {
        let refuse = |field: &str, message: String| Err(Refusal::input(format!("{at}.{field}"), message));
        text(&format!("{at}.name"), &self.name, MAX_LINE_NAME)?;
        if !(1..=MAX_QUANTITY).contains(&self.quantity) {
            return refuse("quantity", format!("not between 1 and {MAX_QUANTITY}"));
        }
        if !(0..=MAX_TAX_RATE).contains(&self.tax_rate) {
            return refuse("taxRate", format!("not between 0 and {MAX_TAX_RATE}"));
        }
        let amounts = [
            ("pricePerItem", self.price_per_item),
            ("totalDiscountAmount", self.discount()),
            ("totalAmount", self.total_amount),
            ("totalTaxAmount", self.total_tax_amount),
        ];
        if let Some((field, _)) = amounts.into_iter().find(|(_, amount)| *amount < 0) {
            return refuse(field, "negative".to_owned());
        }
        let total = i64::from(self.total_amount);
        let goods = i64::from(self.quantity) * i64::from(self.price_per_item) - i64::from(self.discount());
        if total != goods {
            let rule = "not quantity × pricePerItem − totalDiscountAmount";
            return refuse("totalAmount", format!("{rule}, which is {goods}"));
        }
        // |tax − total·rate / (10000 + rate)| ≤ 1, without dividing: nothing is rounded.
        let with_tax = 10_000 + i64::from(self.tax_rate);
        let apart = i64::from(self.total_tax_amount) * with_tax - total * i64::from(self.tax_rate);
        if apart.abs() > with_tax {
            let rule = "not within 1 of totalAmount − totalAmount × 10000 / (10000 + taxRate)";
            return refuse("totalTaxAmount", rule.to_owned());
        }
        optional(&format!("{at}.reference"), self.reference.as_deref(), MAX_TEXT)?;
        for (field, url) in [("itemUrl", &self.item_url), ("imageUrl", &self.image_url)] {
            let Some(url) = url else { continue };
            if web_url(url).is_none() || looks_like_a_card_number(url) {
                return refuse(field, "not an http(s) URL of up to 2048 characters".to_owned());
            }
        }
        Ok(())
    }

    fn discount(&self) -> i32 {
        self.total_discount_amount.unwrap_or(0)
    }

    fn item(&self, index: usize, currency: Currency) -> Item {
        Item {
            identifier: self.reference.clone().unwrap_or_else(|| (index + 1).to_string()),
            name: Some(self.name.clone()),
            quantity: self.quantity.unsigned_abs(),
            // The ledger's prices are above zero; an item that costs nothing has none.
            unit_price: Money::of(self.price_per_item.into(), currency).ok(),
            parent_identifier: None,
        }
    }
}

impl<'a> LineDetails<'a> {
    fn of(line: &'a PurchaseLineInput) -> Self {
        LineDetails {
            tax_rate: line.tax_rate,
            total_amount: line.total_amount,
            total_tax_amount: line.total_tax_amount,
            total_discount_amount: line.discount(),
            item_url: line.item_url.as_deref(),
            image_url: line.image_url.as_deref(),
        }
    }
}

impl AddressInput {
    /// Checks every field and adds it to `details`, under the address's name.
    fn read(&self, name: &str, details: &mut BTreeMap<String, String>) -> Result<(), Refusal> {
        let required = [
            ("city", &self.city),
            ("firstName", &self.first_name),
            ("lastName", &self.last_name),
            ("postalCode", &self.postal_code),
            ("streetAddress", &self.street_address),
            ("email", &self.email),
        ];
        let optional = [
            ("careOf", &self.care_of),
            ("region", &self.region),
            ("streetAddress2", &self.street_address2),
            ("streetName", &self.street_name),
            ("streetNumber", &self.street_number),
            ("title", &self.title),
        ];
        let given = optional.into_iter().filter_map(|(field, value)| Some((field, value.as_ref()?)));
        for (field, value) in required.into_iter().chain(given) {
            text(&format!("purchase.{name}.{field}"), value, MAX_TEXT)?;
            details.insert(format!("{name}.{field}"), value.clone());
        }
        if !is_email(&self.email) {
            return Err(Refusal::input(format!("purchase.{name}.email"), "not an e-mail address"));
        }
        phone(&format!("purchase.{name}.phoneNumber"), &self.phone_number)?;
        details.insert(format!("{name}.phoneNumber"), self.phone_number.clone());
        details.insert(format!("{name}.country"), self.country.as_str().to_owned());
        Ok(())
    }
}

/// An idempotency key, which is also how a purchase order is named.
pub(super) fn key(field: &str, key: &str) -> Result<(), Refusal> {
    text(field, key, MAX_KEY)?;
    if key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.,[]+".contains(&b)) {
        Ok(())
    } else {
        Err(Refusal::input(field, "only letters, digits and - _ . , [ ] +"))
    }
}

fn text(field: &str, text: &str, longest: usize) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::input(field, "empty"));
    }
    if text.chars().count() > longest {
        return Err(Refusal::input(field, format!("longer than {longest} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::input(field, "has control characters"));
    }
    if looks_like_a_card_number(text) {
        return Err(Refusal::input(field, "looks like a card number, which belongs nowhere in here"));
    }
    Ok(())
}

fn optional(field: &str, value: Option<&str>, longest: usize) -> Result<(), Refusal> {
    value.map_or(Ok(()), |value| text(field, value, longest))
}

/// Something before and after one `@`. More than that only a message to it can tell.
fn is_email(text: &str) -> bool {
    let mut parts = text.split('@');
    let is_part = |part: Option<&str>| part.is_some_and(|part| !part.is_empty());
    is_part(parts.next())
        && is_part(parts.next())
        && parts.next().is_none()
        && !text.contains(char::is_whitespace)
}

/// A phone number with a country's prefix can have as many digits as a card number, and pass its check. What begins
/// like a phone number is therefore taken for one, up to a phone number's length.
fn phone(field: &str, number: &str) -> Result<(), Refusal> {
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let alphabet = |b: u8| b.is_ascii_digit() || b"+()-./ ".contains(&b);
    let has_prefix = number.starts_with(['+', '0']);
    if !(1..=MAX_PHONE_DIGITS).contains(&digits)
        || number.len() > 2 * MAX_PHONE_DIGITS
        || !number.bytes().all(alphabet)
        || (!has_prefix && looks_like_a_card_number(number))
    {
        return Err(Refusal::input(field, format!("not a phone number of up to {MAX_PHONE_DIGITS} digits")));
    }
    Ok(())
}

fn currency(country: Country) -> Result<Currency, Refusal> {
    country.currency().parse().map_err(|error: MoneyError| Refusal::internal(&error.to_string()))
}

fn money(field: &str, minor: i32, currency: Currency) -> Result<Money, Refusal> {
    Money::of(minor.into(), currency).map_err(|error| Refusal::input(field, error.to_string()))
}
