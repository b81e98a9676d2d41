//! One key, one order, one answer: on any number of nodes, at the same time, and for ever.

use std::sync::Arc;

use daybook_tests::client::{ACME, unique};
use daybook_tests::{Client, Reply, World, checkout, eur};
use futures::future::join_all;
use ledger::commit::Cause;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;

daybook_tests::in_each_world!(
    daybook_tests::Setup::two_nodes();
    a_key_sent_100_times_at_once_makes_one_order_with_one_answer,
    a_correlation_id_sent_100_times_at_once_makes_one_order_with_one_answer,
    a_key_used_for_other_content_is_refused_and_changes_nothing,
    an_answer_stays_the_same_whatever_happens_to_the_order,
    a_refused_request_uses_up_no_key,
    keys_are_scoped_to_the_operation_the_order_and_the_tenant,
);

/// From 20 connections, spread over all nodes, each sending the request five times.
async fn hundredfold<F>(world: &World, send: impl Fn(Client) -> F + Clone + Send + 'static) -> Vec<Reply>
where
    F: Future<Output = Reply> + Send,
{
    let start = Arc::new(Barrier::new(20));
    let connections = (0..20).map(|connection| {
        let client = world.client(connection % world.servers.len(), ACME);
        let (start, send) = (Arc::clone(&start), send.clone());
        tokio::spawn(async move {
            // Connected before the others are let go.
            Reply::to(client.anonymous(Method::GET, "/healthz")).await.expect(200);
            start.wait().await;
            let mut replies = Vec::new();
            for _ in 0..5 {
                replies.push(send(client.clone()).await);
            }
            replies
        })
    });
    join_all(connections).await.into_iter().flat_map(|replies| replies.expect("a connection")).collect()
}

#[track_caller]
fn assert_one_answer(replies: &[Reply]) {
    assert_eq!(replies.len(), 100);
    for reply in replies {
        assert_eq!(reply.status, 202, "{}", reply.body());
        assert_eq!(reply.bytes, replies[0].bytes, "{} is not {}", reply.body(), replies[0].body());
    }
}

async fn assert_one_commit(world: &World, key: &str) {
    let log = world.log().await;
    log.assert_nothing_is_there_twice();
    let with_key = log.commits.iter().filter(
        |recorded| matches!(&recorded.commit.cause, Cause::Command { key: Some(found), .. } if found == key),
    );
    assert_eq!(with_key.count(), 1);
}

async fn a_key_sent_100_times_at_once_makes_one_order_with_one_answer(world: World) {
    let (key, body) = (unique("key"), checkout(1_999));
    let sent = key.clone();
    let replies = hundredfold(&world, move |client| {
        let (sent, body) = (sent.clone(), body.clone());
        async move { client.post_with_key("/v1/checkouts", &sent, &body).await }
    })
    .await;
    assert_one_answer(&replies);
    assert_one_commit(&world, &key).await;
    // And none of the nodes says 404 to what another one accepted.
    let order = replies[0].text("/order_id");
    for server in 0..world.servers.len() {
        world.client(server, ACME).status(&order).await;
    }
}

fn azotte_order(client: &Client, offer: &str, correlation: &str, quantity: u32) -> reqwest::RequestBuilder {
    let items = json!([{"itemIdentifier": "plan", "quantity": quantity}]);
    let order = json!({"offerIdentifier": offer, "correlationId": correlation, "items": items});
    let body = json!({"order": order, "paymentMethod": {"paymentChannel": "PayPal"}});
    let request = client.anonymous(Method::POST, "/azotte/api/c2a/offer/checkout").json(&body);
    request.header("x-api-key", client.tenant.key).header("x-tn", client.tenant.id)
}

async fn a_correlation_id_sent_100_times_at_once_makes_one_order_with_one_answer(world: World) {
    let (offer, correlation) = (unique("offer"), unique("cor"));
    world.shop().put(&format!("/v1/offers/{offer}"), &json!({"amount": eur(500)})).await.expect(201);
    let (sent, of) = (correlation.clone(), offer.clone());
    let replies = hundredfold(&world, move |client| {
        let (of, sent) = (of.clone(), sent.clone());
        async move { Reply::to(azotte_order(&client, &of, &sent, 1)).await }
    })
    .await;
    assert_one_answer(&replies);
    assert_one_commit(&world, &correlation).await;
    let before = world.log().await.len();
    let other = Reply::to(azotte_order(&world.shop(), &offer, &correlation, 2)).await;
    assert!((400..500).contains(&other.status), "{}", other.body());
    assert_eq!(world.log().await.len(), before);
}

async fn a_key_used_for_other_content_is_refused_and_changes_nothing(world: World) {
    let shop = world.shop();
    let (key, body) = (unique("key"), checkout(1_000));
    let first = shop.post_with_key("/v1/checkouts", &key, &body).await.expect(202);
    let order = first.text("/order_id");
    let before = (world.log().await.len(), shop.get(&format!("/v1/orders/{order}")).await.bytes);
    let mut other = body.clone();
    other["amount"] = eur(1_001);
    for server in 0..world.servers.len() {
        let client = world.client(server, ACME);
        client.post_with_key("/v1/checkouts", &key, &other).await.problem(422, "idempotency_key_reused");
    }
    assert_eq!((world.log().await.len(), shop.get(&format!("/v1/orders/{order}")).await.bytes), before);

    // White space and the order of fields are no content.
    let (reference, spaced) = (body["merchant_reference"].as_str().expect("text"), "  \n\t ");
    let text = format!(
        "{spaced}{{\"merchant_reference\":{spaced}\"{reference}\", \"amount\": {{\"currency\": \"EUR\",\n\"value\":1000}}}}"
    );
    let request = shop.request(Method::POST, "/v1/checkouts").header("idempotency-key", &key);
    let again = Reply::to(request.header("content-type", "application/json").body(text)).await.expect(202);
    assert_eq!(again.bytes, first.bytes);
}

async fn an_answer_stays_the_same_whatever_happens_to_the_order(world: World) {
    let shop = world.shop();
    let (key, body) = (unique("key"), checkout(1_000));
    let first = shop.post_with_key("/v1/checkouts", &key, &body).await.expect(202);
    let order = first.text("/order_id");
    shop.report(&order, "payment.captured", json!({"amount": eur(1_000)})).await;
    shop.wait_for(&order, "captured").await;
    let refunds = format!("/v1/orders/{order}/refunds");
    let refund = shop.post_with_key(&refunds, "refund-1", &json!({"amount": eur(400)})).await.expect(202);
    shop.post_with_key(&refunds, "refund-2", &json!({})).await.expect(202);
    // The money is gone by now, and the first answers still stand, on every node.
    for server in 0..world.servers.len() {
        let client = world.client(server, ACME);
        let again = client.post_with_key("/v1/checkouts", &key, &body).await.expect(202);
        assert_eq!(again.bytes, first.bytes);
        let again =
            client.post_with_key(&refunds, "refund-1", &json!({"amount": eur(400)})).await.expect(202);
        assert_eq!(again.bytes, refund.bytes);
        let other = client.post_with_key(&refunds, "refund-1", &json!({"amount": eur(300)})).await;
        other.problem(422, "idempotency_key_reused");
    }
    assert_eq!(shop.figure(&order, "refund_pending").await, 1_000);
}

async fn a_refused_request_uses_up_no_key(world: World) {
    let shop = world.shop();
    let key = unique("key");
    let mut bad = checkout(1_000);
    bad["amount"]["value"] = Value::from(0);
    shop.post_with_key("/v1/checkouts", &key, &bad).await.problem(422, "amount_zero");
    let order =
        shop.post_with_key("/v1/checkouts", &key, &checkout(1_000)).await.expect(202).text("/order_id");
    let refunds = format!("/v1/orders/{order}/refunds");
    shop.post_with_key(&refunds, &key, &json!({"amount": eur(5)})).await.problem(409, "nothing_to_refund");
    shop.report(&order, "payment.captured", json!({"amount": eur(1_000)})).await;
    shop.post_with_key(&refunds, &key, &json!({"amount": eur(6)})).await.expect(202);
}

async fn keys_are_scoped_to_the_operation_the_order_and_the_tenant(world: World) {
    let (shop, other_shop, key) = (world.shop(), world.other_shop(), unique("key"));
    let body = checkout(1_000);
    let order = shop.post_with_key("/v1/checkouts", &key, &body).await.expect(202).text("/order_id");
    let theirs = other_shop.post_with_key("/v1/checkouts", &key, &body).await.expect(202).text("/order_id");
    assert_ne!(order, theirs);
    let second = shop.submit(&checkout(1_000)).await;
    for order in [&order, &second] {
        shop.report(order, "payment.captured", json!({"amount": eur(1_000)})).await;
        let refund = json!({"amount": eur(1)});
        shop.post_with_key(&format!("/v1/orders/{order}/refunds"), &key, &refund).await.expect(202);
        assert_eq!(shop.figure(order, "refund_pending").await, 1);
    }
}
