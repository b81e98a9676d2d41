//! The PSPs that report what becomes of an order's money, each in its own format.

use daybook_tests::client::unique;
use daybook_tests::psp::{adyen_item, stripe_object};
use daybook_tests::{Client, Reply};
use serde_json::{Value, json};

use crate::surface::Made;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Psp {
    /// The format of Standard Webhooks.
    Standard,
    Stripe,
    Adyen,
}

impl Psp {
    /// Reports that the whole amount is reserved.
    pub(crate) async fn authorized(self, shop: &Client, made: &Made) {
        let all = made.amount_minor;
        taken(match self {
            Psp::Standard => {
                let data = json!({"amount": made.amount(all), "payment_reference": payment(made)});
                shop.report(&made.order, "payment.authorized", data).await
            }
            Psp::Stripe => {
                let intent = intent(made, json!({"amount_capturable": all}));
                shop.stripe("payment_intent.amount_capturable_updated", intent).await
            }
            Psp::Adyen => shop.adyen(&[authorisation(made)]).await,
        });
    }

    /// Reports that the whole amount was taken, as the merchant asked under this id.
    pub(crate) async fn captured(self, shop: &Client, made: &Made, asked: Option<&str>) {
        let all = made.amount_minor;
        taken(match self {
            Psp::Standard => {
                let data = json!({
                    "amount": made.amount(all), "payment_reference": payment(made), "capture_id": asked,
                    "reference": unique("cap"),
                });
                shop.report(&made.order, "payment.captured", data).await
            }
            Psp::Stripe => {
                let metadata = json!({"order_id": made.order, "capture_id": asked});
                let over =
                    json!({"amount_received": all, "metadata": metadata, "latest_charge": unique("ch")});
                shop.stripe("payment_intent.succeeded", intent(made, over)).await
            }
            Psp::Adyen => {
                let named = asked.map_or(made.order.clone(), |asked| format!("{}/{asked}", made.order));
                let capture = modification("CAPTURE", made, all, &named);
                match asked {
                    Some(_) => shop.adyen(&[capture]).await,
                    None => shop.adyen(&[authorisation(made), capture]).await,
                }
            }
        });
    }

    /// Reports a refund that nobody here asked for: the merchant made it at the PSP.
    pub(crate) async fn refunded(self, shop: &Client, made: &Made, minor: i64) {
        taken(match self {
            Psp::Standard => {
                let data = json!({"amount": made.amount(minor), "reference": unique("ref")});
                shop.report(&made.order, "refund.settled", data).await
            }
            Psp::Stripe => {
                let refund = json!({
                    "id": unique("re"), "amount": minor, "currency": made.currency.to_lowercase(),
                    "status": "succeeded", "payment_intent": payment(made), "charge": unique("ch"),
                    "metadata": {"order_id": made.order},
                });
                shop.stripe("refund.updated", stripe_object("refund", refund)).await
            }
            Psp::Adyen => shop.adyen(&[modification("REFUND", made, minor, &made.order)]).await,
        });
    }
}

#[track_caller]
fn taken(reply: Reply) {
    assert_eq!(reply.status, 200, "{}", reply.body());
}

/// The PSP's name for the order's payment.
fn payment(made: &Made) -> String {
    format!("pay{}", made.order.replace('-', ""))
}

fn intent(made: &Made, over: Value) -> Value {
    let mut intent = json!({
        "id": payment(made), "amount": made.amount_minor, "currency": made.currency.to_lowercase(),
        "metadata": {"order_id": made.order},
    });
    over.as_object().expect("an object").iter().for_each(|(name, value)| intent[name] = value.clone());
    stripe_object("payment_intent", intent)
}

fn authorisation(made: &Made) -> Value {
    let over = json!({
        "pspReference": payment(made), "merchantReference": made.order,
        "amount": made.amount(made.amount_minor),
    });
    adyen_item("AUTHORISATION", over)
}

fn modification(kind: &str, made: &Made, minor: i64, merchant_reference: &str) -> Value {
    let over = json!({
        "pspReference": unique("M"), "originalReference": payment(made), "merchantReference": merchant_reference,
        "amount": made.amount(minor), "success": "true",
    });
    adyen_item(kind, over)
}
