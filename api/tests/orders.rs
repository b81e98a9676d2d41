//! The life of an order over `/v1`, in process.

mod support;

use std::time::Duration;

use futures::future::join_all;
use ledger::order::{Challenge, Fact};
use serde_json::json;
use support::{Server, checkout, euros, get, post, put};

#[tokio::test]
async fn a_checkout_is_accepted_and_can_be_read_at_once() {
    let server = Server::demo().await;
    let reply = server.send(post("/v1/checkouts").json(&checkout()).key("first")).await.expect(202);
    let order = reply.json();
    let id = order["order_id"].as_str().unwrap();
    assert_eq!(reply.header("location"), format!("/v1/orders/{id}"));
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(reply.header("daybook-position"), "0-1");
    assert_eq!(order["position"], "0-1");
    assert_eq!(order["status"], "processing");
    assert_eq!(order["amount"], json!({"value": 1999, "currency": "EUR"}));
    let tracking = order["tracking_number"].as_str().unwrap();
    let token = order["status_token"].as_str().unwrap();
    let page = format!("http://127.0.0.1:8080/sandbox/pay/{tracking}?token={token}");
    assert_eq!(order["payment_url"], page);

    for spelling in [id, tracking] {
        let read = server.send(get(format!("/v1/orders/{spelling}"))).await.expect(200);
        assert_eq!(read.header("etag"), "\"0-1\"");
        let read = read.json();
        assert_eq!(read["order_id"], id);
        assert_eq!(read["surface"], "v1");
        assert_eq!(read["attempts"][0]["status"], "processing");
        assert_eq!(read["balance"]["balance"], 0);
        assert_eq!(read["payment_method"]["token"], "tok_success");
    }
}

#[tokio::test]
async fn the_same_key_and_content_gives_the_same_answer_byte_for_byte() {
    let server = Server::demo().await;
    let first = server.send(post("/v1/checkouts").json(&checkout()).key("k")).await.expect(202);
    let id = first.json()["order_id"].as_str().unwrap().to_owned();
    server.capture(&id, 1999).await;

    let spelt_otherwise = r#"{ "payment_method": {"token":"tok_success","type":"card"}, "capture": "automatic",
        "merchant_reference":"A-1001", "amount": {"exponent": 2, "currency":"EUR","value":1999.0} }"#;
    let again = join_all((0..20).map(|_| server.send(post("/v1/checkouts").text(spelt_otherwise).key("k"))));
    for again in again.await {
        assert_eq!(again.status, 202);
        assert_eq!(again.bytes, first.bytes);
        assert_eq!(again.header("daybook-position"), first.header("daybook-position"));
    }

    let mut other = checkout();
    other["amount"]["value"] = json!(2000);
    let refused = server.send(post("/v1/checkouts").json(&other).key("k")).await;
    refused.expect_problem(422, "idempotency_key_reused");
    let listed = server.send(get("/v1/orders")).await.expect(200).json();
    assert_eq!(listed["orders"].as_array().unwrap().len(), 1);
    assert_eq!(listed["orders"][0]["amount"]["value"], 1999);
}

#[tokio::test]
async fn a_retry_is_answered_even_when_its_expiry_has_passed() {
    let server = Server::demo().await;
    let mut body = checkout();
    let ahead = jiff::Timestamp::now() + Duration::from_millis(2500);
    body["expires_at"] = json!(ahead.to_string());
    let first = server.send(post("/v1/checkouts").json(&body).key("k")).await.expect(202);
    // The clock itself is what this is about.
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let again = server.send(post("/v1/checkouts").json(&body).key("k")).await.expect(202);
    assert_eq!(again.bytes, first.bytes);
    let fresh = server.send(post("/v1/checkouts").json(&body).key("another")).await;
    assert_eq!(fresh.expect_problem(422, "invalid_field")["pointer"], "/expires_at");
    body["merchant_reference"] = json!("A-2");
    let reused = server.send(post("/v1/checkouts").json(&body).key("k")).await;
    reused.expect_problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn the_status_answers_304_until_it_changes() {
    let server = Server::demo().await;
    let id = server.submit(&checkout()).await;
    let path = format!("/v1/orders/{id}/status");
    let first = server.send(get(&path)).await.expect(200);
    assert_eq!((first.header("etag"), first.header("retry-after")), ("\"0-1\"", "1"));
    let status = first.json();
    assert_eq!((&status["status"], &status["terminal"]), (&json!("processing"), &json!(false)));

    for tags in ["\"0-1\"", "\"0-9\", W/\"0-1\"", "*"] {
        let unchanged = server.send(get(&path).header("if-none-match", tags)).await.expect(304);
        assert_eq!(unchanged.header("etag"), "\"0-1\"");
        assert!(unchanged.bytes.is_empty());
    }
    let challenge = Challenge { url: Some("https://bank/3ds".to_owned()), ..Challenge::default() };
    server.report(&id, "evt_1", Fact::ActionRequired { challenge }).await;
    let changed = server.send(get(&path).header("if-none-match", "\"0-1\"")).await.expect(200).json();
    assert_eq!(changed["status"], "action_required");
    assert_eq!(changed["challenge"]["url"], "https://bank/3ds");

    server.capture(&id, 1999).await;
    let last = server.send(get(&path)).await.expect(200);
    assert_eq!(last.header("retry-after"), "");
    let status = last.json();
    assert_eq!((&status["status"], &status["terminal"]), (&json!("captured"), &json!(true)));
    assert!(status["challenge"].is_null());
}

#[tokio::test]
async fn a_long_poll_returns_on_the_change_and_not_before() {
    let server = Server::demo().await;
    let id = server.submit(&checkout()).await;
    let path = format!("/v1/orders/{id}/status?wait=30s");
    let waiting = server.send(get(&path).header("if-none-match", "\"0-1\""));
    let without_a_version = server.send(get(&path));
    let change = async {
        // Long enough for the polls to wait: were they to answer at once, they would say `processing`.
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.capture(&id, 1999).await;
    };
    let (waited, also, ()) = tokio::join!(waiting, without_a_version, change);
    assert_eq!(waited.expect(200).json()["status"], "captured");
    assert_eq!(also.expect(200).json()["status"], "captured");
    // What is final needs no waiting; what the caller has is waited for.
    assert_eq!(server.send(get(&path)).await.expect(200).json()["status"], "captured");
    let path = format!("/v1/orders/{id}/status?wait=50ms");
    server.send(get(&path).header("if-none-match", "\"0-2\"")).await.expect(304);
}

#[tokio::test]
async fn a_status_token_opens_one_status_and_nothing_else() {
    let server = Server::demo().await;
    let reply = server.send(post("/v1/checkouts").json(&checkout())).await.expect(202).json();
    let (id, token) = (reply["order_id"].as_str().unwrap(), reply["status_token"].as_str().unwrap());
    let other = server.submit(&checkout()).await;
    let bearer = format!("Bearer {token}");

    let by_query = get(format!("/v1/orders/{id}/status?token={token}")).anonymous();
    server.send(by_query).await.expect(200);
    server.send(get(format!("/v1/orders/{id}/status")).header("authorization", &bearer)).await.expect(200);
    let elsewhere = get(format!("/v1/orders/{other}/status")).header("authorization", &bearer);
    server.send(elsewhere).await.expect_problem(404, "not_found");
    for path in ["", "/balance", "/history", "/events"] {
        let call = get(format!("/v1/orders/{id}{path}")).header("authorization", &bearer);
        server.send(call).await.expect_problem(401, "unauthenticated");
    }
    for bad in ["st_demo.AAAA", "st_", "nonsense"] {
        let call = get(format!("/v1/orders/{id}/status?token={bad}")).anonymous();
        server.send(call).await.expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn money_moves_within_its_guards() {
    let server = Server::demo().await;
    let mut body = checkout();
    body["capture"] = json!("manual");
    let id = server.submit(&body).await;
    let captures = format!("/v1/orders/{id}/captures");
    let refunds = format!("/v1/orders/{id}/refunds");
    let amount = |minor: i64| json!({"amount": {"value": minor, "currency": "EUR"}});

    server.send(post(&captures)).await.expect_problem(409, "nothing_to_capture");
    server.send(post(&refunds)).await.expect_problem(409, "nothing_to_refund");
    server.report(&id, "evt_1", Fact::Authorized { amount: euros(1999) }).await;
    server.send(post(&captures).json(&amount(2000))).await.expect_problem(409, "exceeds_capturable");
    let dollars = json!({"amount": {"value": 5, "currency": "USD"}});
    let mismatch = server.send(post(&captures).json(&dollars)).await;
    assert_eq!(mismatch.expect_problem(422, "currency_mismatch")["pointer"], "/amount/currency");

    let capture = server.send(post(&captures).key("c")).await.expect(202);
    let again = server.send(post(&captures).json(&json!({})).key("c")).await.expect(202);
    assert_eq!(again.bytes, capture.bytes);
    let capture = capture.json();
    assert_eq!((&capture["amount"]["value"], &capture["status"]), (&json!(1999), &json!("pending")));
    let settled = Fact::Captured {
        capture_id: Some(capture["capture_id"].as_str().unwrap().parse().unwrap()),
        reference: "cap_1".to_owned(),
        amount: euros(1999),
    };
    server.report(&id, "evt_2", settled).await;

    let mut part = amount(500);
    part["reason"] = json!("too small");
    let refund = server.send(post(&refunds).json(&part).key("r")).await.expect(202);
    assert_eq!(refund.header("daybook-position"), refund.json()["position"]);
    assert_eq!(refund.json()["reason"], "too small");
    let again = server.send(post(&refunds).json(&part).key("r")).await.expect(202);
    assert_eq!(again.bytes, refund.bytes);
    server.send(post(&refunds).json(&amount(1500))).await.expect_problem(409, "exceeds_refundable");
    server
        .send(post(&refunds).json(&amount(1500)).key("r"))
        .await
        .expect_problem(422, "idempotency_key_reused");

    let balance = server.send(get(format!("/v1/orders/{id}/balance"))).await.expect(200).json();
    for (field, minor) in [
        ("captured", 1999),
        ("refund_pending", 500),
        ("balance", 1999),
        ("available_to_refund", 1499),
        ("available_to_capture", 0),
    ] {
        assert_eq!(balance[field], minor, "{field}: {balance}");
    }
    server.send(post(format!("/v1/orders/{id}/cancellations"))).await.expect_problem(409, "not_cancelable");

    let history = server.send(get(format!("/v1/orders/{id}/history"))).await.expect(200).json();
    let entries = history["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 5);
    assert_eq!(
        entries[4]["cause"],
        json!({"type": "command", "operation": "refund", "idempotency_key": "r"})
    );
    assert_eq!(entries[4]["events"][0]["type"], "refund_requested");
    assert_eq!(entries[3]["balance"], 1999);
    let events = server.send(get(format!("/v1/orders/{id}/events"))).await.expect(200).json();
    assert_eq!(events["commits"][3]["events"][0]["type"], "payment_captured.v1");
    let before = server.send(get(format!("/v1/orders/{id}/balance?as_of=0-2"))).await.expect(200);
    assert_eq!((before.header("etag"), &before.json()["captured"]), ("\"0-2\"", &json!(0)));
    let before = server.send(get(format!("/v1/orders/{id}/history?as_of=0-2"))).await.expect(200).json();
    assert_eq!(before["entries"].as_array().unwrap(), &entries[..2]);
}

#[tokio::test]
async fn a_cancellation_waits_for_what_the_psp_holds() {
    let server = Server::demo().await;
    let unpaid = server.submit(&checkout()).await;
    let reply = server.send(post(format!("/v1/orders/{unpaid}/cancellations")).key("x")).await.expect(202);
    assert_eq!(reply.json()["status"], "canceled");
    let again =
        server.send(post(format!("/v1/orders/{unpaid}/cancellations")).json(&json!({})).key("x")).await;
    assert_eq!(again.expect(202).bytes, reply.bytes);

    let reserved = server.submit(&checkout()).await;
    server.report(&reserved, "evt_1", Fact::Authorized { amount: euros(1999) }).await;
    let path = format!("/v1/orders/{reserved}/cancellations");
    assert_eq!(server.send(post(&path)).await.expect(202).json()["status"], "pending");
    server.send(post(&path)).await.expect_problem(409, "cancellation_pending");
}

#[tokio::test]
async fn orders_are_listed_newest_first_and_added_up() {
    let server = Server::demo().await;
    let mut ids = Vec::new();
    for number in 1..=3 {
        let mut body = checkout();
        body["merchant_reference"] = json!(format!("A-{number}"));
        ids.push(server.submit(&body).await);
    }
    server.capture(&ids[0], 1999).await;
    let list = async |query: &str| {
        let page = server.send(get(format!("/v1/orders{query}"))).await.expect(200).json();
        let orders = page["orders"].as_array().unwrap().iter();
        let references: Vec<String> =
            orders.map(|order| order["merchant_reference"].as_str().unwrap().to_owned()).collect();
        (references, page["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(list("").await, (vec!["A-3".to_owned(), "A-2".to_owned(), "A-1".to_owned()], None));
    let (first, cursor) = list("?limit=2").await;
    assert_eq!(first, ["A-3", "A-2"]);
    assert_eq!(list(&format!("?limit=2&cursor={}", cursor.unwrap())).await, (vec!["A-1".to_owned()], None));
    assert_eq!(list("?status=captured").await.0, ["A-1"]);
    assert_eq!(list("?reference=A-2").await.0, ["A-2"]);
    for bad in ["?limit=0", "?limit=101", "?limit=x", "?cursor=x", "?status=x", "?colour=red"] {
        server.send(get(format!("/v1/orders{bad}"))).await.expect_problem(400, "invalid_query");
    }
    let totals = server.send(get("/v1/totals")).await.expect(200).json();
    assert_eq!(totals["totals"][0]["currency"], "EUR");
    assert_eq!((&totals["totals"][0]["orders"], &totals["totals"][0]["captured"]), (&json!(3), &json!(1999)));
}

#[tokio::test]
async fn an_offer_is_new_once() {
    let server = Server::demo().await;
    let offer = json!({"amount": {"value": 500, "currency": "EUR"}, "items": [{"identifier": "sku"}]});
    let path = "/v1/offers/summer%20sale%2F1";
    server.send(get(path)).await.expect_problem(404, "not_found");
    let first = server.send(put(path).json(&offer)).await.expect(201);
    assert_eq!(first.json()["offer_id"], "summer sale/1");
    let again = server.send(put(path).json(&offer)).await.expect(200);
    assert_eq!(again.bytes, first.bytes);
    let mut dearer = offer;
    dearer["amount"]["value"] = json!(600);
    dearer["purchasable"] = json!(false);
    let replaced = server.send(put(path).json(&dearer)).await.expect(200);
    assert_eq!(replaced.json()["purchasable"], false);
    assert_eq!(server.send(get(path)).await.expect(200).bytes, replaced.bytes);
}
