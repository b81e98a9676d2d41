//! The OrkestaPay surface, by its vendor's own words: the seed's example, and what the vendor's shop plugins send
//! and read. The PSP is played by the test; `on_the_page` has the buyers.

use daybook_tests::client::{ACME, GLOBEX, unique};
use daybook_tests::{Client, Reply, World, eventually};
use reqwest::Method;
use serde_json::{Value, json};

#[path = "orkestapay/bad_input.rs"]
mod bad_input;
#[path = "orkestapay/caller.rs"]
mod caller;
#[path = "orkestapay/on_the_page.rs"]
mod on_the_page;
#[path = "orkestapay/tokens.rs"]
mod tokens;

use caller::{Caller, Registered, checkout, with};

daybook_tests::in_each_world!(
    the_same_key_is_the_same_checkout_for_ever,
    without_a_key_the_shops_order_number_is_the_key,
    what_the_shop_plugins_send_is_taken,
    an_order_goes_through_every_status,
    a_payment_says_how_it_stands,
    a_checkout_that_expires_is_still_answered_as_the_first_time,
    a_refund_names_its_payment_and_is_never_more_than_is_left,
    a_refund_is_answered_with_what_the_psp_said_and_the_same_for_ever,
    another_tenants_order_and_another_surfaces_do_not_exist,
);

/// An amount in Mexican cents.
fn mxn(minor: i64) -> Value {
    json!({"value": minor, "currency": "MXN"})
}

/// The PSP captures the whole of the seed's order, as the payment of this name.
async fn capture(client: &Client, made: &Registered, payment: &str) {
    let data =
        json!({"payment_reference": payment, "reference": format!("cap-{payment}"), "amount": mxn(99_000)});
    client.report(&made.id, "payment.captured", data).await;
}

async fn the_same_key_is_the_same_checkout_for_ever(world: World) {
    let shop = Caller::new(world.shop()).await;
    let (key, body) = (unique("key"), checkout());
    let first = shop.post_with_key("/checkouts", &key, &body).await.expect(201);
    let made = Registered::from(first.clone());
    capture(&shop.client, &made, "pay").await;
    shop.until(&made, "COMPLETED").await;
    let again = shop.post_with_key("/checkouts", &key, &body).await.expect(201);
    assert_eq!(again.bytes, first.bytes, "whatever has happened since");
    // The same money in other digits is the same content.
    let spelt = with(body.clone(), "/order/total_amount", json!("990.00"));
    let again = shop.post_with_key("/checkouts", &key, &spelt).await.expect(201);
    assert_eq!(again.bytes, first.bytes);

    let before = world.log().await.len();
    for (pointer, value) in [
        ("/locale", json!("EN")),
        ("/completed_redirect_url", json!("https://example.com/other")),
        ("/order/merchant_order_id", json!("another")),
        ("/order/customer/email", json!("jane@example.com")),
        ("/order/products/0/quantity", json!(2)),
        ("/order/metadata", json!({"a": "b"})),
    ] {
        let other = with(body.clone(), pointer, value);
        let refused = shop.post_with_key("/checkouts", &key, &other).await.expect(409);
        assert_eq!(refused.text("/code"), "IDEMPOTENCY_KEY_REUSED", "{pointer}");
    }
    assert_eq!(world.log().await.len(), before);
    // Another key is another checkout, also for the same order number.
    let other = shop.post_with_key("/checkouts", &unique("key"), &body).await.expect(201);
    assert_ne!(other.text("/checkout_id"), made.checkout);
}

mod on_two_nodes {
    use super::*;

    daybook_tests::in_each_world!(
        daybook_tests::Setup::two_nodes();
        one_checkout_is_made_however_many_ask_at_once,
    );

    async fn one_checkout_is_made_however_many_ask_at_once(world: World) {
        let first = Caller::new(world.shop()).await;
        let body = checkout();
        let ask = |number: usize| {
            // A token of one node is good on the other.
            let client = world.client(number % world.servers.len(), ACME);
            let (caller, body) = (Caller { client, token: first.token.clone() }, body.clone());
            async move { caller.post("/checkouts", &body).await.expect(201).bytes }
        };
        let mut answers = futures::future::join_all((0..40).map(ask)).await;
        answers.dedup();
        assert_eq!(answers.len(), 1);
        assert_eq!(world.log().await.len(), 1);
    }
}

async fn without_a_key_the_shops_order_number_is_the_key(world: World) {
    let shop = Caller::new(world.shop()).await;
    let body = checkout();
    let first = shop.register(&body).await;
    assert_eq!(shop.post("/checkouts", &body).await.expect(201).bytes, first.reply.bytes);
    // An empty header is none: the Magento plugin sends it.
    let with_empty = shop.request(Method::POST, "/checkouts").header("idempotency-key", "").json(&body);
    assert_eq!(Reply::to(with_empty).await.expect(201).bytes, first.reply.bytes);
    let other = with(body.clone(), "/locale", json!("EN"));
    let refused = shop.post("/checkouts", &other).await.expect(409);
    assert_eq!(refused.text("/code"), "IDEMPOTENCY_KEY_REUSED");
    // Another tenant has its own.
    let theirs = Caller::new(world.other_shop()).await.register(&other).await;
    assert_ne!(theirs.checkout, first.checkout);
    // A key that happens to be that number is no number.
    let number = body["order"]["merchant_order_id"].as_str().expect("text");
    let by_key = shop.post_with_key("/checkouts", number, &other).await.expect(201);
    assert_ne!(by_key.text("/checkout_id"), first.checkout);
}

async fn what_the_shop_plugins_send_is_taken(world: World) {
    let shop = Caller::new(world.shop()).await;
    // WooCommerce: totals as texts, the life in milliseconds, and fields that a shop window shows.
    let in_an_hour = jiff::Timestamp::now().as_millisecond() + 3_600_000;
    let woocommerce = json!({
        "completed_redirect_url": "https://woo.example/?wc-api=orkesta_return_url",
        "canceled_redirect_url": "https://woo.example/checkout/",
        "allow_save_payment_methods": false,
        "order": {
            "expires_at": in_an_hour, "merchant_order_id": unique("cart"), "currency": "MXN", "country_code": "MX",
            "discounts": [{"amount": "10.00"}], "shipping_details": {"amount": 99.5},
            "subtotal_amount": 240.0, "total_amount": "329.50",
            "products": [{
                "product_id": "31", "name": "Taza", "description": null, "quantity": 2, "unit_price": 120,
                "thumbnail_url": false, "is_digital": false, "url": "https://woo.example/taza"
            }],
            "customer": {"merchant_customer_id": 7, "first_name": "Ana", "last_name": "Ruiz", "email": "ana@example.com"},
            "shipping_address": {
                "first_name": "Ana", "last_name": "Ruiz", "email": "ana@example.com", "line_1": "Calle 1", "line_2": "",
                "city": "Puebla", "state": "PUE", "country": "MX", "zip_code": "72000"
            }
        }
    });
    let made = shop.register(&woocommerce).await;
    let order = made.reply.json()["order"].clone();
    assert_eq!(order["expires_at"], in_an_hour.to_string());
    assert_eq!(
        (&order["total_amount"], &order["shipping_details"]),
        (&json!(329.5), &json!({"amount": 99.5}))
    );
    assert_eq!(order["customer"]["merchant_customer_id"], "7");
    assert_eq!(order["shipping_address"]["zip_code"], "72000");
    assert!(order["shipping_address"]["line_2"].is_null());
    let native = shop.client.get(&format!("/v1/orders/{}", made.id)).await.expect(200).json();
    assert_eq!(native["amount"], mxn(32_950));

    // Magento: quantities with a point, numbers as ids, and an address in one level.
    let magento = json!({
        "completed_redirect_url": "https://magento.example/orkesta/payment/success",
        "canceled_redirect_url": "https://magento.example/checkout/",
        "locale": "ES_LATAM", "allow_save_payment_methods": false,
        "order": {
            "merchant_order_id": unique("quote"), "currency": "MXN", "country_code": "MX",
            "products": [{"product_id": 12, "name": "Silla", "quantity": 1.0, "unit_price": 899.9}],
            "subtotal_amount": 899.9, "total_amount": 899.9,
            "customer": {"first_name": "Ana", "last_name": "Ruiz", "email": "ana@example.com"},
        }
    });
    let made = shop.register(&magento).await;
    let product = made.reply.json()["order"]["products"][0].clone();
    assert_eq!(product, json!({"product_id": "12", "quantity": 1, "unit_price": 899.9, "name": "Silla"}));
}

async fn an_order_goes_through_every_status(world: World) {
    let shop = Caller::new(world.shop()).await;
    let made = shop.register(&checkout()).await;
    assert_eq!(made.reply.text("/order/status"), "CREATED");
    assert_eq!(shop.status(&made).await, "CREATED");
    let report = async |kind: &str, data: Value| {
        let mut data = data;
        data["payment_reference"] = "pay".into();
        shop.client.report(&made.id, kind, data).await;
    };
    report("payment.action_required", json!({"challenge": {"url": "https://bank.example/3ds"}})).await;
    assert_eq!(shop.status(&made).await, "ACTION_REQUIRED");
    report("payment.authorized", json!({"amount": mxn(99_000)})).await;
    assert_eq!(shop.status(&made).await, "PROCESSING_PAYMENT");
    report("payment.captured", json!({"amount": mxn(40_000), "reference": "c1"})).await;
    assert_eq!(shop.status(&made).await, "PROCESSING_PAYMENT", "a part of it");
    report("payment.captured", json!({"amount": mxn(59_000), "reference": "c2"})).await;
    assert_eq!(shop.status(&made).await, "COMPLETED");
    report("refund.settled", json!({"amount": mxn(1), "reference": "r1"})).await;
    assert_eq!(shop.status(&made).await, "PARTIALLY_REFUNDED");
    report("refund.settled", json!({"amount": mxn(98_999), "reference": "r2"})).await;
    assert_eq!(shop.status(&made).await, "REFUNDED");
    // The rest of the order is as it was registered.
    let mut order = shop.get(&format!("/orders/{}", made.order)).await.expect(200).json();
    order["status"] = "CREATED".into();
    assert_eq!(order, made.reply.json()["order"]);

    let failed = shop.register(&checkout()).await;
    shop.client.report(&failed.id, "payment.failed", json!({"reason": "card_declined"})).await;
    assert_eq!(shop.status(&failed).await, "FAILED");
    let canceled = shop.register(&checkout()).await;
    shop.client.post(&format!("/v1/orders/{}/cancellations", canceled.id), &json!({})).await.expect(202);
    assert_eq!(shop.status(&canceled).await, "CANCELED");
}

async fn a_payment_says_how_it_stands(world: World) {
    let shop = Caller::new(world.shop()).await;
    let made = shop.register(&checkout()).await;
    assert_eq!(shop.payments(&made).await, json!([]));
    let report = async |payment: &str, kind: &str, data: Value| {
        let mut data = data;
        data["payment_reference"] = payment.into();
        shop.client.report(&made.id, kind, data).await;
    };
    report("p1", "payment.action_required", json!({"challenge": {"url": "https://bank.example/3ds"}})).await;
    let payment = shop.payments(&made).await[0].clone();
    assert_eq!(payment["status"], "PAYMENT_ACTION_REQUIRED");
    let action = json!({
        "type": "THREE_D_SECURE_SPECIFIC",
        "three_d_secure_specific": {"three_ds_redirect_url": "https://bank.example/3ds"}
    });
    assert_eq!(payment["user_action_required"], action);
    report("p1", "payment.failed", json!({"reason": "card_declined"})).await;
    let payment = shop.payments(&made).await[0].clone();
    assert_eq!(payment["status"], "REJECTED");
    assert_eq!(payment["transactions"][0]["provider"]["message"], "card_declined");
    assert!(payment["user_action_required"].is_null());

    report("p2", "payment.authorized", json!({"amount": mxn(99_000)})).await;
    assert_eq!(shop.payments(&made).await[1]["status"], "AUTHORIZED");
    report("p2", "payment.voided", json!({})).await;
    assert_eq!(shop.payments(&made).await[1]["status"], "FAILED");
    capture(&shop.client, &made, "p3").await;
    report("p3", "refund.settled", json!({"amount": mxn(500), "reference": "r1"})).await;
    report("p3", "refund.failed", json!({"amount": mxn(700), "reference": "r2", "reason": "no_funds"})).await;
    let payments = shop.payments(&made).await;
    let ids: Vec<&Value> = payments.as_array().expect("a list").iter().map(|p| &p["payment_id"]).collect();
    let number = made.order.strip_prefix("ord_").expect("an order's id");
    assert_eq!(
        ids,
        [1, 2, 3].map(|attempt| json!(format!("pay_{number}{attempt}"))).iter().collect::<Vec<_>>()
    );
    insta::assert_json_snapshot!("payments", payments, {
        "[].payment_id" => "[payment_id]",
        "[].order_id" => "[order_id]",
        "[].merchant_order_id" => "[merchant_order_id]",
        "[].created_at" => "[millis]",
        "[].refunds[].payment_id" => "[payment_id]",
        "[].refunds[].order_id" => "[order_id]",
        "[].refunds[].created_at" => "[millis]",
    });
    let one = shop.get(&format!("/payments/pay_{number}3")).await.expect(200).json();
    assert_eq!(one, payments[2]);
    for unknown in ["4", "0", "03", ""] {
        shop.get(&format!("/payments/pay_{number}{unknown}")).await.expect(404);
    }
}

async fn a_checkout_that_expires_is_still_answered_as_the_first_time(world: World) {
    let shop = Caller::new(world.shop()).await;
    let soon = jiff::Timestamp::now().as_millisecond() + 1_500;
    let body = with(checkout(), "/order/expires_at", json!(soon.to_string()));
    let made = shop.register(&body).await;
    shop.until(&made, "EXPIRED").await;
    assert_eq!(shop.post("/checkouts", &body).await.expect(201).bytes, made.reply.bytes);
    let late = with(checkout(), "/order/expires_at", json!(soon));
    let refused = shop.post("/checkouts", &late).await.expect(400);
    assert_eq!(refused.text("/field"), "order.expires_at");
    // Without a time of its own a checkout lives a day.
    let order = shop.register(&checkout()).await.reply.json()["order"].clone();
    let millis = |name: &str| order[name].as_str().and_then(|text| text.parse::<i64>().ok()).expect("a time");
    assert_eq!(millis("expires_at") - millis("placed_at"), 86_400_000);
}

/// Lets the PSP answer the order's refunds as they are asked for: settled, or failed for this reason.
async fn answer_refunds(client: &Client, made: &Registered, failure: Option<&str>) {
    let path = format!("/v1/orders/{}", made.id);
    let refund = eventually("a pending refund", async || {
        let order = client.get(&path).await.expect(200).json();
        let attempts = order["attempts"].as_array().expect("attempts").clone();
        let mut refunds = attempts.iter().flat_map(|attempt| attempt["refunds"].as_array().expect("refunds"));
        refunds.find(|refund| refund["status"] == "pending").cloned()
    })
    .await;
    let mut data =
        json!({"refund_id": refund["refund_id"], "amount": refund["amount"], "reference": unique("ref")});
    match failure {
        Some(reason) => {
            data["reason"] = reason.into();
            client.report(&made.id, "refund.failed", data).await;
        }
        None => {
            client.report(&made.id, "refund.settled", data).await;
        }
    }
}

async fn a_refund_names_its_payment_and_is_never_more_than_is_left(world: World) {
    let shop = Caller::new(world.shop()).await;
    let made = shop.register(&checkout()).await;
    let number = made.order.strip_prefix("ord_").expect("an order's id").to_owned();
    let refund = async |payment: &str, body: Value| {
        shop.post(&format!("/payments/pay_{number}{payment}/refund"), &body).await
    };
    refund("1", json!({"amount": 1})).await.expect(404);
    shop.client.report(&made.id, "payment.failed", json!({"payment_reference": "p1", "reason": "x"})).await;
    let refused = refund("1", json!({"amount": 1})).await.expect(409);
    assert_eq!(refused.text("/code"), "NOTHING_TO_REFUND");
    capture(&shop.client, &made, "p2").await;
    let refused = refund("2", json!({"amount": 990.01})).await.expect(409);
    assert_eq!(refused.text("/code"), "EXCEEDS_REFUNDABLE");
    // The payment that failed has nothing to give, whatever the other one has.
    let refused = refund("1", json!({"amount": 1})).await.expect(409);
    assert_eq!(refused.text("/code"), "NOTHING_TO_REFUND");

    let before = world.log().await.len();
    for (body, code, field) in [
        (json!({}), "MISSING_FIELD", "amount"),
        (json!({"amount": null}), "INVALID_FIELD", "amount"),
        (json!({"amount": 0}), "AMOUNT_ZERO", "amount"),
        (json!({"amount": -1}), "AMOUNT_NEGATIVE", "amount"),
        (json!({"amount": 1.001}), "AMOUNT_FRACTIONAL", "amount"),
        (json!({"amount": "one"}), "AMOUNT_NOT_A_NUMBER", "amount"),
        (json!({"amount": 1, "description": 1}), "INVALID_FIELD", "description"),
        (json!({"amount": 1, "description": "x".repeat(256)}), "INVALID_FIELD", "description"),
        (json!({"amount": 1, "description": "4242424242424242"}), "CARD_NUMBER_REFUSED", "description"),
        (json!({"amount": 1, "currency": "MXN"}), "UNKNOWN_FIELD", "currency"),
    ] {
        let refused = refund("2", body.clone()).await.expect(400);
        assert_eq!((refused.text("/code"), refused.text("/field")), (code.into(), field.into()), "{body}");
    }
    for path in ["/payments/pay_x/refund", &format!("/payments/{}/refund", made.order)] {
        assert_eq!(shop.post(path, &json!({"amount": 1})).await.expect(404).text("/code"), "NOT_FOUND");
    }
    assert_eq!(world.log().await.len(), before);

    // In parts, as the vendor's plugins do; without a key each call is a refund of its own.
    for (body, left, status) in [
        (json!({"amount": 490.5, "description": "one came back"}), 49_950, "PARTIALLY_REFUNDED"),
        (json!({"amount": "490.50", "description": ""}), 900, "PARTIALLY_REFUNDED"),
        (json!({"amount": 9}), 0, "REFUNDED"),
    ] {
        let (reply, ()) = tokio::join!(refund("2", body), answer_refunds(&shop.client, &made, None));
        assert_eq!(reply.expect(200).text("/status"), "SUCCESS");
        assert_eq!(shop.client.figure(&made.id, "available_to_refund").await, left);
        assert_eq!(shop.status(&made).await, status);
    }
    assert_eq!(shop.payments(&made).await[1]["refunded_amount"], 990);
    assert_eq!(refund("2", json!({"amount": 0.01})).await.expect(409).text("/code"), "NOTHING_TO_REFUND");
}

async fn a_refund_is_answered_with_what_the_psp_said_and_the_same_for_ever(world: World) {
    let shop = Caller::new(world.shop()).await;
    let made = shop.register(&checkout()).await;
    capture(&shop.client, &made, "p1").await;
    let number = made.order.strip_prefix("ord_").expect("an order's id").to_owned();
    let path = format!("/payments/pay_{number}1/refund");
    let body = json!({"description": "came back", "amount": 100});

    // Settled while the caller waits.
    let (settled, ()) =
        tokio::join!(shop.post_with_key(&path, "refund-1", &body), answer_refunds(&shop.client, &made, None));
    insta::assert_json_snapshot!("refund", settled.clone().expect(200).json(), {
        ".refund_id" => "[refund_id]",
        ".payment_id" => "[payment_id]",
        ".order_id" => "[order_id]",
        ".created_at" => "[millis]",
    });
    // Refused by the PSP while the caller waits.
    let (failed, ()) = tokio::join!(
        shop.post_with_key(&path, "refund-2", &body),
        answer_refunds(&shop.client, &made, Some("no_funds"))
    );
    let failed = failed.expect(200);
    assert_eq!(
        (failed.text("/status"), failed.text("/provider/message")),
        ("FAILED".into(), "no_funds".into())
    );
    // Not heard of in time.
    let pending = shop.post_with_key(&path, "refund-3", &body).await.expect(200);
    assert_eq!(pending.text("/status"), "PENDING");
    answer_refunds(&shop.client, &made, None).await;
    let statuses: Vec<Value> = shop.payments(&made).await[0]["refunds"]
        .as_array()
        .expect("refunds")
        .iter()
        .map(|refund| refund["status"].clone())
        .collect();
    assert_eq!(statuses, ["SUCCESS", "FAILED", "SUCCESS"]);

    let before = world.log().await.len();
    for (key, first) in [("refund-1", &settled), ("refund-2", &failed), ("refund-3", &pending)] {
        let again = shop.post_with_key(&path, key, &body).await.expect(200);
        assert_eq!(again.bytes, first.bytes, "{key}");
        let other = with(body.clone(), "/amount", json!(101));
        let refused = shop.post_with_key(&path, key, &other).await.expect(409);
        assert_eq!(refused.text("/code"), "IDEMPOTENCY_KEY_REUSED");
    }
    assert_eq!(world.log().await.len(), before);
    assert_eq!(shop.client.figure(&made.id, "refunded").await, 20_000);
}

async fn another_tenants_order_and_another_surfaces_do_not_exist(world: World) {
    let shop = Caller::new(world.client(0, ACME)).await;
    let other = Caller::new(world.client(0, GLOBEX)).await;
    let made = shop.register(&checkout()).await;
    capture(&shop.client, &made, "p1").await;
    let native = shop.client.submit(&daybook_tests::checkout(1_000)).await.replace('-', "");
    let nobodys = "0".repeat(32);
    let number = made.order.strip_prefix("ord_").expect("an order's id");
    let before = world.log().await.len();
    let mut answers = Vec::new();
    for (caller, number) in [(&other, number), (&shop, &native), (&shop, &nobodys)] {
        for path in [
            format!("/orders/ord_{number}"),
            format!("/orders/ord_{number}/payments"),
            format!("/payments/pay_{number}1"),
        ] {
            answers.push(caller.get(&path).await.expect(404).bytes);
        }
        let path = format!("/payments/pay_{number}1/refund");
        answers.push(caller.post(&path, &json!({"amount": 1})).await.expect(404).bytes);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the same answer as for what nobody has");
    assert_eq!(world.log().await.len(), before);
    // The native API and the vendor's show one order.
    assert_eq!(shop.client.figure(&made.id, "balance").await, 99_000);
    assert_eq!(shop.status(&made).await, "COMPLETED");
}
