//! `GET /v1/orders/{id}`, and the order as every reply shows it: the seed's fields, in its order.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use ledger::ids::RecordId;
use ledger::order::{Checkout, Customer, Item, Order, Status};
use serde::Serialize;

use super::amount::Exact;
use super::ids::{CustomerId, OrderId};
use super::refusal::Refusal;
use super::request::{kept_list, kept_minor, unit_price_minor};
use super::token::Caller;
use super::{PathId, country, field, find, millis};
use crate::app::App;

/// An order.
#[derive(Serialize)]
pub(super) struct OrderReply<'a> {
    order_id: String,
    status: &'static str,
    expires_at: String,
    merchant_order_id: &'a str,
    country: &'a str,
    country_code: &'a str,
    currency: &'static str,
    taxes: Vec<Adjustment>,
    discounts: Vec<Adjustment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping_details: Option<Adjustment>,
    subtotal_amount: Exact,
    total_amount: Exact,
    products: Vec<ProductReply<'a>>,
    customer: CustomerReply<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    shipping_address: BTreeMap<&'a str, &'a str>,
    placed_at: String,
    metadata: &'a BTreeMap<String, String>,
}

/// A tax, a discount, or what shipping costs.
#[derive(Serialize)]
struct Adjustment {
    amount: Exact,
}

#[derive(Serialize)]
struct ProductReply<'a> {
    product_id: &'a str,
    quantity: u32,
    unit_price: Exact,
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct CustomerReply<'a> {
    customer_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_customer_id: Option<&'a str>,
    first_name: Option<&'a str>,
    last_name: Option<&'a str>,
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    created_at: String,
    updated_at: String,
}

/// Shows an order as it stands.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    PathId(id): PathId,
) -> Result<Response, Refusal> {
    let OrderId(id) = id.parse().map_err(|_| Refusal::not_found())?;
    let view = find(&app, &tenant, id).await?;
    Ok(axum::Json(OrderReply::of(id, &view.order, view.created_at)).into_response())
}

impl<'a> OrderReply<'a> {
    /// The order after the commit or in the view that it comes from.
    pub(super) fn of(id: RecordId, order: &'a Order, placed_at: Timestamp) -> Self {
        let Checkout { amount, merchant_reference, items, customer, metadata, expires_at, surface, .. } =
            &order.checkout;
        let currency = amount.currency();
        let kept = |name: &str| surface.data.get(name).map_or("", String::as_str);
        let exact = |minor| Exact::of(minor, currency);
        let list =
            |name| kept_list(kept(name)).into_iter().map(|m| Adjustment { amount: exact(m) }).collect();
        let product = |item: &'a Item| ProductReply {
            product_id: &item.identifier,
            quantity: item.quantity,
            unit_price: exact(unit_price_minor(item)),
            name: item.name.as_deref(),
        };
        OrderReply {
            order_id: OrderId(id).to_string(),
            status: status_word(order),
            expires_at: millis(*expires_at),
            merchant_order_id: merchant_reference,
            country: surface.data.get(field::COUNTRY).map_or("", |code| country::name(code)),
            country_code: surface.data.get(field::COUNTRY).map_or("", String::as_str),
            currency: currency.code(),
            taxes: list(field::TAXES),
            discounts: list(field::DISCOUNTS),
            shipping_details: kept_minor(kept(field::SHIPPING)).map(|m| Adjustment { amount: exact(m) }),
            subtotal_amount: exact(kept_minor(kept(field::SUBTOTAL)).unwrap_or_default()),
            total_amount: Exact::from(*amount),
            products: items.iter().map(product).collect(),
            customer: CustomerReply::of(id, customer, placed_at),
            shipping_address: shipping_address(customer),
            placed_at: millis(placed_at),
            metadata,
        }
    }
}

impl<'a> CustomerReply<'a> {
    fn of(order: RecordId, customer: &'a Customer, since: Timestamp) -> Self {
        let detail = |name: &str| customer.details.get(name).map(String::as_str);
        CustomerReply {
            customer_id: CustomerId(order).to_string(),
            merchant_customer_id: detail(field::MERCHANT_CUSTOMER),
            first_name: detail(field::FIRST_NAME),
            last_name: detail(field::LAST_NAME),
            email: customer.email.as_deref(),
            phone: customer.phone.as_deref(),
            created_at: millis(since),
            updated_at: millis(since),
        }
    }
}

fn shipping_address(customer: &Customer) -> BTreeMap<&str, &str> {
    let lines = customer
        .details
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(field::SHIPPING_ADDRESS)?, value.as_str())));
    lines.collect()
}

/// The vendor's word for where an order stands.
pub(super) fn status_word(order: &Order) -> &'static str {
    match order.status() {
        Status::Processing if order.attempts.is_empty() => "CREATED",
        // Not paid before all of it is captured.
        Status::Processing | Status::Authorized | Status::PartiallyCaptured => "PROCESSING_PAYMENT",
        Status::ActionRequired => "ACTION_REQUIRED",
        Status::Captured => "COMPLETED",
        Status::PartiallyRefunded => "PARTIALLY_REFUNDED",
        Status::Refunded => "REFUNDED",
        Status::Failed => "FAILED",
        Status::Canceled => "CANCELED",
        Status::Expired => "EXPIRED",
    }
}
