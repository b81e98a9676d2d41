//! What a shop asks for when it submits a checkout.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::money::Money;

/// A checkout as the shop submitted it. Card numbers are already gone when this value exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// What the buyer is to pay.
    pub amount: Money,
    /// The shop's own name for the order.
    pub merchant_reference: String,
    /// Whether the PSP captures by itself or on request.
    pub capture: CaptureMode,
    /// What the buyer pays with; without it the buyer chooses on the hosted page.
    pub payment_method: Option<PaymentMethod>,
    /// What is bought.
    pub items: Vec<Item>,
    /// Who buys. Personal data.
    pub customer: Customer,
    /// Where the buyer's browser goes afterwards.
    pub return_urls: ReturnUrls,
    /// The shop's own notes.
    pub metadata: BTreeMap<String, String>,
    /// When the order expires if it has not been authorized by then.
    pub expires_at: Timestamp,
    /// The door it came through.
    pub surface: Surface,
}

/// Who turns an authorization into a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureMode {
    /// The PSP, at once.
    Automatic,
    /// The shop, by asking for it.
    Manual,
}

/// What the buyer pays with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentMethod {
    /// Such as `card`, `paypal`, `sepa`.
    pub kind: String,
    /// The PSP's token for it; never a card number.
    pub token: Option<String>,
    /// What may be shown of a card.
    pub card: Option<Card>,
}

/// What may be kept of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Such as `visa`.
    pub brand: String,
    /// The last four digits.
    pub last_four: String,
    /// The name on the card. Personal data.
    pub holder: Option<String>,
}

/// A line of the basket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The shop's article number.
    pub identifier: String,
    /// What it is called.
    pub name: Option<String>,
    /// How many, from 1.
    pub quantity: u32,
    /// Price of one.
    pub unit_price: Option<Money>,
    /// The item that this one belongs to.
    pub parent_identifier: Option<String>,
}

/// Who buys. All of it is personal data and is kept apart in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Customer {
    /// Full name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// The address the buyer's browser came from.
    pub ip: Option<String>,
    /// What else a surface was told of the buyer, such as addresses, by that surface's names.
    pub details: BTreeMap<String, String>,
}

/// Where the buyer's browser goes afterwards; http or https URLs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReturnUrls {
    /// After paying.
    pub success: Option<String>,
    /// After a refusal.
    pub failure: Option<String>,
    /// After giving up.
    pub cancel: Option<String>,
}

/// The door a checkout came through, and what only that door understands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surface {
    /// Such as `v1` or `azotte`.
    pub name: String,
    /// The surface's own fields, for its own replies; nothing else reads them.
    pub data: BTreeMap<String, String>,
}

/// What the buyer has to do before the payment can go on (3DS/SCA).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Challenge {
    /// Where to send the buyer's browser.
    pub url: Option<String>,
    /// Or what to show it.
    pub html: Option<String>,
    /// The PSP's name for the challenge.
    pub id: Option<String>,
}
