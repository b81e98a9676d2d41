//! The Kronor surface, by its vendor's own words.

#[path = "kronor/buyer.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "shared by the parts of this test")]
mod buyer;
#[path = "kronor/input.rs"]
mod input;
#[path = "kronor/node.rs"]
mod node;
#[path = "kronor/pages.rs"]
mod pages;
#[path = "kronor/sockets.rs"]
mod sockets;

use buyer::{CREATE, ORDERS, ask, cancel, create, kind, purchase, sek};
use daybook_tests::client::unique;
use daybook_tests::{Client, World};
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    a_purchase_goes_from_scoring_by_authentication_to_its_capture_and_refund,
    a_purchase_that_is_declined_is_rejected,
    a_checkout_is_canceled_until_it_is_complete,
    the_same_operation_is_answered_the_same_for_ever,
    a_wait_token_sees_its_own_order_alone,
    purchases_are_empty_until_the_checkout_is_complete,
);

mod expiry {
    use super::*;

    daybook_tests::in_each_world!(
        daybook_tests::Setup { config: "order_life_seconds = 1".to_owned(), ..Default::default() };
        a_checkout_that_nobody_completes_is_rejected
    );

    async fn a_checkout_that_nobody_completes_is_rejected(world: World) {
        let shop = world.shop();
        let created = create(&shop).await;
        created.until(&shop, "REJECTED").await;
        assert!(!cancel(&shop, shop.tenant.key, &created.id).await);
        assert_eq!(shop.status(&created.order).await.text("/status"), "expired");
        // The answer to the creation is still the first one.
        let again = ask(&shop, shop.tenant.key, CREATE, json!({"purchase": purchase(&created.id)})).await;
        assert_eq!(again.expect(200).text("/data/newPurchaseOrder/waitToken"), created.token);
    }
}

mod nodes {
    use super::*;

    daybook_tests::in_each_world!(daybook_tests::Setup::two_nodes(); any_node_answers_for_any_other);

    async fn any_node_answers_for_any_other(world: World) {
        let (here, there) =
            (world.shop(), world.client(world.servers.len() - 1, daybook_tests::client::ACME));
        let mut socket = buyer::Socket::open(&there, there.tenant.key).await;
        socket.subscribe("all", "subscription { purchaseOrders { id status { status } } }").await;
        assert_eq!(socket.data("all").await["purchaseOrders"], json!([]));
        let created = create(&here).await;
        // At once: nobody waits for the other node's views.
        assert_eq!(created.status(&there).await, "PRE_FLIGHT_SCORING");
        let again = ask(&there, there.tenant.key, CREATE, json!({"purchase": purchase(&created.id)})).await;
        assert_eq!(again.expect(200).text("/data/newPurchaseOrder/waitToken"), created.token);
        challenge(&here, &created.order, "https://bank.example/sca").await;
        socket.until("all", "SCA_REQUIRED").await;
        assert!(cancel(&there, &created.token, &created.id).await);
        socket.until("all", "CANCELLED").await;
        assert!(cancel(&here, &created.token, &created.id).await);
    }
}

/// Reports that the buyer must authenticate at this address.
pub(crate) async fn challenge(shop: &Client, order: &str, url: &str) {
    shop.report(order, "payment.action_required", json!({"challenge": {"url": url, "id": "sca-1"}})).await;
}

async fn a_purchase_goes_from_scoring_by_authentication_to_its_capture_and_refund(world: World) {
    let shop = world.shop();
    let created = create(&shop).await;
    assert_eq!(created.status(&shop).await, "PRE_FLIGHT_SCORING");
    insta::assert_json_snapshot!("kronor_created", created.seen(&shop).await, {
        ".id" => "[key]", ".merchantReference" => "ref-[key]", ".createdAt" => "[time]", ".status[].enteredAt" => "[time]"
    });

    shop.report(&created.order, "scoring.begun", json!({})).await;
    created.until(&shop, "RISK_SCORING").await;
    challenge(&shop, &created.order, "https://bank.example/sca").await;
    created.until(&shop, "SCA_REQUIRED").await;
    shop.report(&created.order, "payment.authorized", json!({"amount": sek(30_000)})).await;
    created.until(&shop, "WAITING_FOR_CAPTURE").await;
    let complete = created.seen(&shop).await;
    let number = complete["resultingPurchaseId"].as_i64().expect("a number");
    insta::assert_json_snapshot!("kronor_complete", complete, {
        ".id" => "[key]", ".merchantReference" => "ref-[key]", ".createdAt" => "[time]", ".status[].enteredAt" => "[time]",
        ".resultingPurchaseId" => "[number]"
    });

    // The merchant captures in two parts, and gives some of it back; the ledger agrees to the last öre.
    for (amount, status) in [(10_000, "PARTIALLY_CAPTURED"), (20_000, "CAPTURE_DONE")] {
        let path = format!("/v1/orders/{}/captures", created.order);
        let reply = shop.post(&path, &json!({"amount": sek(amount)})).await.expect(202);
        let capture = reply.text("/capture_id");
        let data = json!({"amount": sek(amount), "capture_id": capture, "reference": capture});
        shop.report(&created.order, "payment.captured", data).await;
        created.until(&shop, status).await;
    }
    let entered = created.seen(&shop).await["status"][0]["enteredAt"].clone();
    let path = format!("/v1/orders/{}/refunds", created.order);
    let refund = shop.post(&path, &json!({"amount": sek(12_345)})).await.expect(202).text("/refund_id");
    let data = json!({"amount": sek(12_345), "refund_id": refund, "reference": refund});
    shop.report(&created.order, "refund.settled", data).await;
    shop.wait_for(&created.order, "partially_refunded").await;
    let refunded = created.seen(&shop).await;
    assert_eq!(refunded["status"], json!([{"status": "CAPTURE_DONE", "enteredAt": entered}]));
    assert_eq!(refunded["resultingPurchaseId"], number, "for ever");
    assert_eq!(shop.figure(&created.order, "balance").await, 17_655);

    let order = shop.get(&format!("/v1/orders/{}", created.order)).await.expect(200).json();
    assert_eq!(order["amount"], sek(30_000));
    assert_eq!(order["merchant_reference"], format!("ref-{}", created.id));
    assert_eq!(order["customer"]["name"], "Ada Byron");
}

async fn a_purchase_that_is_declined_is_rejected(world: World) {
    let shop = world.shop();
    let created = create(&shop).await;
    challenge(&shop, &created.order, "https://bank.example/sca").await;
    shop.report(&created.order, "payment.failed", json!({"reason": "challenge_failed"})).await;
    created.until(&shop, "REJECTED").await;
    assert!(created.seen(&shop).await["resultingPurchaseId"].is_null());
    assert!(!cancel(&shop, &created.token, &created.id).await);
}

async fn a_checkout_is_canceled_until_it_is_complete(world: World) {
    let shop = world.shop();
    // By the merchant and by the buyer, before and during authentication; again and again.
    for (challenged, by_the_buyer) in [(false, false), (true, false), (true, true)] {
        let created = create(&shop).await;
        if challenged {
            challenge(&shop, &created.order, "https://bank.example/sca").await;
        }
        let token = if by_the_buyer { &created.token } else { shop.tenant.key };
        assert!(cancel(&shop, token, &created.id).await);
        assert_eq!(created.status(&shop).await, "CANCELLED");
        let before = world.log().await.len();
        assert!(cancel(&shop, token, &created.id).await, "the same answer");
        assert!(cancel(&shop, shop.tenant.key, &created.id).await);
        assert_eq!(world.log().await.len(), before, "and nothing new");
    }
    let created = create(&shop).await;
    shop.post(&format!("/v1/orders/{}/cancellations", created.order), &json!({})).await.expect(202);
    assert!(cancel(&shop, shop.tenant.key, &created.id).await, "it is canceled, by another door");

    let complete = create(&shop).await;
    shop.report(&complete.order, "payment.authorized", json!({"amount": sek(30_000)})).await;
    complete.until(&shop, "WAITING_FOR_CAPTURE").await;
    let before = world.log().await.len();
    assert!(!cancel(&shop, shop.tenant.key, &complete.id).await);
    assert_eq!(world.log().await.len(), before);
    assert_eq!(complete.status(&shop).await, "WAITING_FOR_CAPTURE");
}

async fn the_same_operation_is_answered_the_same_for_ever(world: World) {
    let shop = world.shop();
    let key = unique("key");
    let variables = json!({"purchase": purchase(&key)});
    let first = ask(&shop, shop.tenant.key, CREATE, variables.clone()).await.expect(200);
    insta::assert_json_snapshot!("kronor_new_purchase_order", first.json(), {
        ".data.newPurchaseOrder.id" => "[key]", ".data.newPurchaseOrder.waitToken" => "[token]"
    });
    let before = world.log().await.len();
    assert_eq!(ask(&shop, shop.tenant.key, CREATE, variables.clone()).await.bytes, first.bytes);
    let by_its_other_name =
        CREATE.replacen("newPurchaseOrder(", "newPurchaseOrder: newPurchaseOrderWithInvoice(", 1);
    assert_eq!(ask(&shop, shop.tenant.key, &by_its_other_name, variables.clone()).await.bytes, first.bytes);
    for (pointer, value) in [
        ("/merchantReference", json!("other")),
        ("/billingAddress/city", json!("Lund")),
        ("/purchaseLanguage", json!("EN")),
        ("/nationalIdentificationNumber", Value::Null),
    ] {
        let mut other = purchase(&key);
        *other.pointer_mut(pointer).expect("a field") = value;
        let reply = ask(&shop, shop.tenant.key, CREATE, json!({"purchase": other})).await.expect(200);
        assert_eq!(kind(&reply), "IDEMPOTENCY_KEY_REUSED", "{pointer}");
        insta::assert_json_snapshot!("kronor_key_reused", reply.json());
    }
    assert_eq!(world.log().await.len(), before);
    // Whatever has happened since.
    let token = first.text("/data/newPurchaseOrder/waitToken");
    assert!(cancel(&shop, &token, &key).await);
    assert_eq!(ask(&shop, shop.tenant.key, CREATE, variables.clone()).await.bytes, first.bytes);
    // Another tenant's key of the same name is another operation.
    let other = world.other_shop();
    let theirs = ask(&other, other.tenant.key, CREATE, variables).await.expect(200);
    assert_ne!(theirs.text("/data/newPurchaseOrder/waitToken"), token);
}

async fn a_wait_token_sees_its_own_order_alone(world: World) {
    let (shop, other) = (world.shop(), world.other_shop());
    let (first, second, theirs) = (create(&shop).await, create(&shop).await, create(&other).await);
    let ids = async |token: &str, condition: &str| {
        let query = format!("{{ purchaseOrders(where: {condition}) {{ id }} }}");
        let reply = ask(&shop, token, &query, json!({})).await.expect(200).json();
        let found = reply["data"]["purchaseOrders"].as_array().unwrap_or_else(|| panic!("{reply}")).clone();
        found.iter().map(|order| order["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    let by_id = |created: &buyer::Created| format!("{{id: {{_eq: \"{}\"}}}}", created.id);
    assert_eq!(ids(&first.token, "{}").await, [first.id.as_str()]);
    assert_eq!(ids(&first.token, &by_id(&first)).await, [first.id.as_str()]);
    for stranger in [&second, &theirs] {
        assert_eq!(ids(&first.token, &by_id(stranger)).await, [""; 0]);
        let reference = format!("{{merchantReference: {{_eq: \"ref-{}\"}}}}", stranger.id);
        assert_eq!(ids(&first.token, &reference).await, [""; 0]);
        let query =
            "mutation($id: String!) { purchaseOrderCancel(cancel: {purchaseOrderId: $id}) { result } }";
        let reply = ask(&shop, &first.token, query, json!({"id": stranger.id})).await.expect(200);
        assert_eq!(kind(&reply), "NOT_FOUND");
    }
    assert_eq!(ids(shop.tenant.key, "{}").await, [second.id.as_str(), first.id.as_str()]);
    assert_eq!(ids(shop.tenant.key, &by_id(&theirs)).await, [""; 0]);
    let reply =
        ask(&shop, &first.token, CREATE, json!({"purchase": purchase(&unique("key"))})).await.expect(200);
    assert_eq!(kind(&reply), "FORBIDDEN");
    // It opens no other door, and no other token opens this one.
    for path in ["/v1/orders", &format!("/v1/orders/{}/status", first.order)] {
        let request = shop.anonymous(reqwest::Method::GET, path).bearer_auth(&first.token);
        daybook_tests::Reply::to(request).await.expect(401);
    }
    let native = shop.post("/v1/checkouts", &daybook_tests::checkout(100)).await.expect(202);
    for token in
        [native.text("/status_token"), format!("{}x", first.token), first.token.replace("acme", "globex")]
    {
        assert_eq!(kind(&ask(&shop, &token, ORDERS, json!({})).await.expect(401)), "UNAUTHENTICATED");
    }
    // What came in by another door is no purchase order.
    assert_eq!(ids(shop.tenant.key, "{}").await, [second.id.as_str(), first.id.as_str()]);
}

async fn purchases_are_empty_until_the_checkout_is_complete(world: World) {
    let shop = world.shop();
    let created = create(&shop).await;
    let query = format!(
        "{{ purchases(where: {{merchantReference: {{_eq: \"ref-{}\"}}}}) {{ id purchaseOrderId merchantReference \
         createdAt purchaseCountry purchaseLanguage purchaseTaxAmount purchaseTotalAmount status {{ status }} }} }}",
        created.id
    );
    for token in [shop.tenant.key, &created.token] {
        let reply = ask(&shop, token, &query, json!({})).await.expect(200).json();
        assert_eq!(reply, json!({"data": {"purchases": []}}));
    }
    shop.report(&created.order, "payment.authorized", json!({"amount": sek(30_000)})).await;
    created.until(&shop, "WAITING_FOR_CAPTURE").await;
    let number = created.seen(&shop).await["resultingPurchaseId"].clone();
    for token in [shop.tenant.key, &created.token] {
        let reply = ask(&shop, token, &query, json!({})).await.expect(200).json();
        assert_eq!(reply["data"]["purchases"][0]["id"], number);
        insta::assert_json_snapshot!("kronor_purchases", reply, {
            ".data.purchases[].id" => "[number]", ".data.purchases[].purchaseOrderId" => "[key]",
            ".data.purchases[].merchantReference" => "ref-[key]", ".data.purchases[].createdAt" => "[time]"
        });
    }
}
