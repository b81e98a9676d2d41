//! `guid` is the idempotency key of every call: the first answer, for ever.

use daybook_tests::client::unique;
use daybook_tests::{Client, World};
use serde_json::{Value, json};

use super::*;

daybook_tests::in_each_world! {
    crate::impatient();
    a_repeated_guid_gets_the_first_answer_for_ever,
    twenty_at_once_under_one_guid_are_one_call,
    a_guid_with_other_data_is_refused,
}

async fn a_repeated_guid_gets_the_first_answer_for_ever(world: World) {
    let shop = world.shop();
    let order = unique("ord");
    let (begin, complete) = (session(&order, "AUTH"), about(&order, json!({"orderAmount": 80.00})));
    let give_back = about(&order, json!({"amount": 80.00, "currency": "TRY"}));
    let started = call(&shop, "/start-session", &begin).await.expect(200);
    let id = started.text("/transactionId");
    shop.report(&id, "payment.authorized", json!({"amount": try_(10_000)})).await;
    let purchased = call(&shop, "/purchase", &complete).await.expect(200);
    is(&purchased, "PENDING", "PAYMENT_WAITING");
    let captured =
        json!({"capture_id": purchased.text("/transactionId"), "amount": try_(8_000), "reference": "cap_1"});
    shop.report(&id, "payment.captured", captured).await;
    let refunded = call(&shop, "/refund", &give_back).await.expect(200);
    is(&refunded, "PENDING", "PAYMENT_WAITING");
    let settled =
        json!({"refund_id": refunded.text("/transactionId"), "amount": try_(8_000), "reference": "ref_1"});
    shop.report(&id, "refund.settled", settled).await;

    let before = world.log().await.len();
    for (path, body, first) in [
        ("/start-session", &begin, &started),
        ("/purchase", &complete, &purchased),
        ("/refund", &give_back, &refunded),
    ] {
        assert_eq!(call(&shop, path, body).await.expect(200).bytes, first.bytes, "{path}");
    }
    // The same content in another spelling.
    let spelt: Value = serde_json::from_str("80.0").expect("a number");
    let mut respelt = complete.clone();
    respelt["orderAmount"] = spelt;
    respelt["version"] = "1.1".into();
    assert_eq!(call(&shop, "/purchase", &respelt).await.expect(200).bytes, purchased.bytes);
    assert_eq!(world.log().await.len(), before);
    assert_eq!(shop.figure(&id, "balance").await, 0);
}

async fn twenty_at_once_under_one_guid_are_one_call(world: World) {
    let shop = world.shop();
    let at_once = async |path: &str, body: &Value| {
        let clients: Vec<Client> = (0..20).map(|_| world.shop()).collect();
        let calls = clients.iter().map(|client| call(client, path, body));
        let replies = futures::future::join_all(calls).await;
        let first = replies[0].clone().expect(200);
        assert!(replies.iter().all(|reply| reply.bytes == first.bytes), "{path}");
        first
    };
    let order = unique("ord");
    let started = at_once("/start-session", &session(&order, "AUTH")).await;
    let id = started.text("/transactionId");
    shop.report(&id, "payment.authorized", json!({"amount": try_(10_000)})).await;
    let purchased = at_once("/purchase", &about(&order, json!({"orderAmount": 100.00}))).await;
    let captured =
        json!({"capture_id": purchased.text("/transactionId"), "amount": try_(10_000), "reference": "cap_1"});
    shop.report(&id, "payment.captured", captured).await;
    at_once("/refund", &about(&order, json!({"amount": 40, "currency": "TRY"}))).await;
    assert_eq!(shop.figure(&id, "refund_pending").await, 4_000);
    at_once("/void", &about(&order, json!({}))).await;
    assert_eq!(shop.figure(&id, "refund_pending").await, 10_000);
    world.log().await.assert_nothing_is_there_twice();
}

async fn a_guid_with_other_data_is_refused(world: World) {
    let shop = world.shop();
    let (order, other) = (authorized(&shop).await, authorized(&shop).await);
    let calls = [
        ("/purchase", json!({"orderAmount": 50.00}), json!({"orderAmount": 50.01})),
        ("/refund", json!({"amount": 10.00, "currency": "TRY"}), json!({"amount": 20.00, "currency": "TRY"})),
        ("/void", json!({}), json!({})),
    ];
    for (path, content, different) in calls {
        let body = about(&order.name, content);
        let first = call(&shop, path, &body).await.expect(200);
        if path == "/purchase" {
            let captured = json!({"capture_id": first.text("/transactionId"), "amount": try_(5_000), "reference": "cap_1"});
            shop.report(&order.id, "payment.captured", captured).await;
        }
        let before = world.log().await.len();
        let mut changed = about(&order.name, different);
        changed["guid"] = body["guid"].clone();
        if path != "/void" {
            error(&call(&shop, path, &changed).await, 409, "guid_reused", "guid");
        }
        changed["orderId"] = other.name.as_str().into();
        error(&call(&shop, path, &changed).await, 409, "guid_reused", "guid");
        assert_eq!(world.log().await.len(), before, "{path}");
        assert_eq!(call(&shop, path, &body).await.expect(200).bytes, first.bytes, "{path}");
    }
    let body = session(&unique("ord"), "SALE");
    let first = call(&shop, "/start-session", &body).await.expect(200);
    let before = world.log().await.len();
    for (pointer, value) in [
        ("/orderAmount", json!(100.01)),
        ("/type", json!("AUTH")),
        ("/currency", json!("EUR")),
        ("/locale", json!("en")),
        ("/returnUrl", json!("https://shop.example/elsewhere")),
        ("/customer/email", json!("eve@shop.example")),
        ("/targetProvider", json!("bank-2")),
        ("/orderId", json!(unique("ord"))),
    ] {
        let mut changed = body.clone();
        *changed.pointer_mut(pointer).expect("a field") = value;
        error(&call(&shop, "/start-session", &changed).await, 409, "guid_reused", "guid");
    }
    assert_eq!(world.log().await.len(), before);
    assert_eq!(call(&shop, "/start-session", &body).await.expect(200).bytes, first.bytes);
}
