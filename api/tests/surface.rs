//! What holds on every route: who may call, what is refused and how, other tenants, the document.

mod support;

use std::time::Duration;

use daybook::startup;
use serde_json::{Value, json};
use support::{Call, Server, checkout, get, post, put};
use tokio::time::timeout;

#[tokio::test]
async fn each_bad_input_has_its_own_problem_and_changes_nothing() {
    let server = Server::demo().await;
    let with = |pointer: &str, value: Value| {
        let mut body = checkout();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[field] = value;
        body.to_string()
    };
    let amount = |text: &str| checkout().to_string().replace("1999", text);
    let without = |field: &str| {
        let mut body = checkout();
        body.as_object_mut().unwrap().remove(field);
        body.to_string()
    };
    let long = "x".repeat(257);
    let cases = [
        ("{".to_owned(), 400, "malformed_json", ""),
        (String::new(), 400, "malformed_json", ""),
        ("[]".to_owned(), 422, "invalid_field", ""),
        (without("amount"), 422, "missing_field", "/amount"),
        (without("merchant_reference"), 422, "missing_field", "/merchant_reference"),
        (with("/extra", json!(1)), 422, "unknown_field", "/extra"),
        (with("/amount/extra", json!(1)), 422, "unknown_field", "/amount/extra"),
        (amount("19.99"), 422, "amount_fractional", "/amount/value"),
        (amount("1e3"), 422, "amount_not_a_number", "/amount/value"),
        (amount("-1"), 422, "amount_negative", "/amount/value"),
        (amount("0"), 422, "amount_zero", "/amount/value"),
        (amount("1000000000000000"), 422, "amount_too_large", "/amount/value"),
        (amount("9e999999999"), 422, "amount_not_a_number", "/amount/value"),
        (amount("\"1999\""), 422, "amount_not_a_number", "/amount/value"),
        (amount("[1999]"), 422, "amount_not_a_number", "/amount/value"),
        (with("/amount", json!([1999, "EUR"])), 422, "invalid_field", "/amount"),
        (with("/amount/currency", json!("EURO")), 422, "unknown_currency", "/amount/currency"),
        (with("/amount/exponent", json!(3)), 422, "wrong_exponent", "/amount/exponent"),
        (with("/amount/exponent", json!(300)), 422, "invalid_field", "/amount/exponent"),
        (with("/merchant_reference", json!("")), 422, "invalid_field", "/merchant_reference"),
        (with("/merchant_reference", json!("x".repeat(129))), 422, "invalid_field", "/merchant_reference"),
        (with("/capture", json!("later")), 422, "invalid_field", "/capture"),
        (
            with("/payment_method/token", json!("4242 4242 4242 4242")),
            422,
            "card_number_refused",
            "/payment_method/token",
        ),
        (
            with("/payment_method/type", json!("4242424242424242")),
            422,
            "card_number_refused",
            "/payment_method/type",
        ),
        (
            with("/metadata", json!({"note": "paid by 5555 5555 5555 4444"})),
            422,
            "card_number_refused",
            "/metadata/note",
        ),
        (
            with("/metadata", json!({"5555555555554444": ""})),
            422,
            "card_number_refused",
            "/metadata/5555555555554444",
        ),
        (
            with("/customer", json!({"name": "5555555555554444"})),
            422,
            "card_number_refused",
            "/customer/name",
        ),
        (
            with("/items", json!([{"identifier": "a", "name": "5555555555554444"}])),
            422,
            "card_number_refused",
            "/items/0/name",
        ),
        (with("/payment_method/type", json!("Card")), 422, "invalid_field", "/payment_method/type"),
        (with("/customer", json!({"name": long})), 422, "invalid_field", "/customer/name"),
        (
            with("/return_urls", json!({"success": "javascript:1"})),
            422,
            "invalid_field",
            "/return_urls/success",
        ),
        (with("/metadata", json!({"k": 1})), 422, "invalid_field", "/metadata/k"),
        (
            with("/items", json!([{"identifier": "a", "quantity": 0}])),
            422,
            "invalid_field",
            "/items/0/quantity",
        ),
        (
            with("/items", json!([{"identifier": "a", "unit_price": {"value": 1.5, "currency": "EUR"}}])),
            422,
            "amount_fractional",
            "/items/0/unit_price/value",
        ),
        (with("/expires_at", json!("tomorrow")), 422, "invalid_field", "/expires_at"),
        (with("/expires_at", json!("2020-01-01T00:00:00Z")), 422, "invalid_field", "/expires_at"),
    ];
    for (body, status, code, pointer) in cases {
        let reply = server.send(post("/v1/checkouts").text(body.clone()).key("k")).await;
        let problem = reply.expect_problem(status, code);
        assert_eq!(problem["pointer"].as_str().unwrap_or_default(), pointer, "{body}");
    }
    let bad_utf8 = post("/v1/checkouts").text(b"{\"a\":\"\xff\"}".to_vec());
    server.send(bad_utf8).await.expect_problem(400, "invalid_utf8");
    let huge = post("/v1/checkouts").text(" ".repeat(65_537));
    server.send(huge).await.expect_problem(413, "body_too_large");
    let text = post("/v1/checkouts").json(&checkout()).header("content-type", "text/plain");
    server.send(text).await.expect_problem(415, "unsupported_media_type");
    for key in ["", "a b", &"x".repeat(256)] {
        let call = post("/v1/checkouts").json(&checkout()).key(key);
        server.send(call).await.expect_problem(400, "invalid_idempotency_key");
    }
    let last = server.app.ledger.journal().last_sequence(0).await.unwrap();
    assert_eq!(last, 0, "nothing is in the log");
    // None of it used up the key.
    server.send(post("/v1/checkouts").json(&checkout()).key("k")).await.expect(202);
}

#[tokio::test]
async fn nobody_gets_in_without_a_key() {
    let server = Server::demo().await;
    let id = server.submit(&checkout()).await;
    for (path, _) in startup::native_routes().into_iter().filter(|(path, _)| path.starts_with("/v1/")) {
        let path = path.replace("{id}", &id);
        for method in ["GET", "POST", "PUT"] {
            let call = || Call::new(method, &path).json(&json!({}));
            let missing = server.send(call().anonymous()).await;
            if missing.status == 405 {
                continue;
            }
            missing.expect_problem(401, "unauthenticated");
            assert_eq!(missing.header("www-authenticate"), "Bearer");
            for wrong in ["Bearer wrong", "Bearer ", "Basic ZGVtbzpkZW1vLWtleQ==", "demo-key"] {
                server
                    .send(call().header("authorization", wrong))
                    .await
                    .expect_problem(401, "unauthenticated");
            }
        }
    }
}

/// SHA-256 of `key-a` and `key-b`.
const TWO_TENANTS: &str = r#"
token_secret = "a secret of at least 32 characters"
[[tenants]]
id = "a"
api_key_hashes = ["HASH_A"]
[[tenants]]
id = "b"
api_key_hashes = ["HASH_B"]
"#;

async fn two_tenants() -> Server {
    let hash = |key| daybook::tenants::hash_of(key).iter().map(|b| format!("{b:02x}")).collect::<String>();
    Server::with(&TWO_TENANTS.replace("HASH_A", &hash("key-a")).replace("HASH_B", &hash("key-b"))).await
}

#[tokio::test]
async fn another_tenants_order_does_not_exist() {
    let server = two_tenants().await;
    let of_a = post("/v1/checkouts").json(&checkout()).header("authorization", "Bearer key-a");
    let order = server.send(of_a).await.expect(202).json();
    let amount = json!({"amount": {"value": 1, "currency": "EUR"}});
    let offer = put("/v1/offers/sale").json(&amount).header("authorization", "Bearer key-a");
    server.send(offer).await.expect(201);
    for id in [order["order_id"].as_str().unwrap(), order["tracking_number"].as_str().unwrap()] {
        let calls = [
            get(format!("/v1/orders/{id}")),
            get(format!("/v1/orders/{id}/status")),
            get(format!("/v1/orders/{id}/status?wait=10s")),
            get(format!("/v1/orders/{id}/balance")),
            get(format!("/v1/orders/{id}/balance?as_of=0-1")),
            get(format!("/v1/orders/{id}/history")),
            get(format!("/v1/orders/{id}/history?as_of=0-1")),
            get(format!("/v1/orders/{id}/events")),
            post(format!("/v1/orders/{id}/captures")).json(&amount),
            post(format!("/v1/orders/{id}/refunds")),
            post(format!("/v1/orders/{id}/cancellations")),
            get("/v1/offers/sale"),
        ];
        for call in calls {
            let call = call.header("authorization", "Bearer key-b").header("daybook-position", "0-1");
            server.send(call).await.expect_problem(404, "not_found");
        }
    }
    for (path, list) in [("/v1/orders", "orders"), ("/v1/totals", "totals"), ("/v1/quarantine", "webhooks")] {
        let reply = server.send(get(path).header("authorization", "Bearer key-b")).await.expect(200);
        assert_eq!(reply.json()[list], json!([]), "{path}");
    }
    // The same key of another tenant is another order.
    let of_b = post("/v1/checkouts").json(&checkout()).header("authorization", "Bearer key-b");
    let of_b = server.send(of_b).await.expect(202).json();
    assert_ne!(of_b["order_id"], order["order_id"]);
    let feed = get("/v1/feed").header("authorization", "Bearer key-b");
    let events = Feed::open(&server, feed).await.take(1).await;
    assert!(events[0].contains(of_b["order_id"].as_str().unwrap()), "{events:?}");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let server = Server::demo().await;
    server.send(get("/v1/nothing")).await.expect_problem(404, "not_found");
    server.send(get("/")).await.expect_problem(404, "not_found");
    let wrong = server.send(Call::new("DELETE", "/v1/orders")).await;
    wrong.expect_problem(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), "GET,HEAD");
    for id in ["x", "trk_", "00000000-0000-0000-0000-000000000000", "%ff", "a%2Fb"] {
        server.send(get(format!("/v1/orders/{id}"))).await.expect_problem(404, "not_found");
    }
    for query in ["wait=1m", "wait=61s", "wait=x", "x=1"] {
        let id = "00000000-0000-0000-0000-000000000000";
        let call = get(format!("/v1/orders/{id}/status?{query}"));
        server.send(call).await.expect_problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn the_methods_served_are_the_methods_in_the_document() {
    let server = Server::demo().await;
    let document = server.send(get("/openapi.json")).await.expect(200).json();
    for (path, _) in startup::native_routes() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let is_documented = document["paths"][path][method.to_lowercase()].is_object();
            let url = path.replace("{id}", "x");
            let status = server.stream(Call::new(method, url).anonymous()).await.status();
            assert_eq!(status != 405, is_documented, "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn a_sane_request_id_is_taken_over() {
    let server = Server::demo().await;
    let reply = server.send(get("/healthz").header("x-request-id", "mine-1")).await.expect(200);
    assert_eq!(reply.header("x-request-id"), "mine-1");
    for bad in ["a b", &"x".repeat(129)] {
        let reply = server.send(get("/healthz").header("x-request-id", bad)).await.expect(200);
        assert_eq!(reply.header("x-request-id").len(), 36);
    }
}

#[tokio::test]
async fn operations_can_be_looked_at() {
    let server = Server::demo().await;
    server.submit(&checkout()).await;
    let ready = server.send(get("/readyz").anonymous()).await.expect(200).json();
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["journal"], json!([1]));
    let metrics = server.send(get("/metrics").anonymous()).await.expect(200);
    let text = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    let line = r#"daybook_http_requests_total{method="POST",route="/v1/checkouts",status="202"}"#;
    assert!(text.contains(line), "{text}");
    assert!(text.contains("daybook_projector_lag_commits"), "{text}");
    let page = server.send(get("/docs").anonymous()).await.expect(200);
    assert!(page.header("content-type").starts_with("text/html"));
    server.app.shutdown.begin();
    let reasons = server.send(get("/readyz").anonymous()).await.expect(503).json();
    assert_eq!(reasons["reasons"], json!(["the server is going down"]));
}

/// A feed being read, event by event.
struct Feed {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Feed {
    async fn open(server: &Server, call: Call) -> Self {
        let response = server.stream(call).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Feed { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event, or None when the feed has ended.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                return Some(event);
            }
            let chunk = timeout(Duration::from_secs(10), futures::StreamExt::next(&mut self.body));
            let chunk = chunk.await.expect("the feed says nothing")?;
            let chunk = chunk.expect("the feed broke off");
            self.text.push_str(std::str::from_utf8(&chunk).expect("the feed is UTF-8"));
        }
    }

    async fn take(&mut self, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.next().await.expect("the feed has ended"));
        }
        events
    }
}

#[tokio::test]
async fn the_feed_has_every_commit_once_whether_late_or_live() {
    let server = Server::demo().await;
    let early = server.submit(&checkout()).await;
    server.capture(&early, 1999).await;
    let mut feed = Feed::open(&server, get("/v1/feed")).await;
    let caught_up = feed.take(2).await;
    let offer = json!({"amount": {"value": 1, "currency": "EUR"}});
    server.send(put("/v1/offers/sale").json(&offer)).await.expect(201);
    for _ in 0..20 {
        server.submit(&checkout()).await;
    }
    let live = feed.take(20).await;
    let all: Vec<String> = caught_up.into_iter().chain(live).collect();
    // Position 3 is the offer's, which is no order.
    let expected = (1..=2).chain(4..=23).map(|sequence| format!("id: 0-{sequence}"));
    let fields = |event: &String, name: &str| {
        event.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned()
    };
    assert_eq!(
        all.iter().map(|event| fields(event, "id:")).collect::<Vec<_>>(),
        expected.collect::<Vec<_>>()
    );
    let data: Value = serde_json::from_str(fields(&all[0], "data:").trim_start_matches("data:")).unwrap();
    assert_eq!(data["order_id"], early);
    // As it was after that commit, although the order is captured by now.
    assert_eq!(data["status"], "processing");
    assert_eq!(data["events"][0]["type"], "checkout_submitted.v2");
    assert_eq!(data["cause"]["operation"], "checkout");

    for resumed in [
        get("/v1/feed?after=0-21"),
        get("/v1/feed").header("last-event-id", "0-21"),
        get("/v1/feed?after=0-1").header("last-event-id", "0-21"),
    ] {
        assert_eq!(Feed::open(&server, resumed).await.take(2).await, all[20..]);
    }
    for bad in ["x", "0", "1-1", "-1"] {
        server.send(get(format!("/v1/feed?after={bad}"))).await.expect_problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn whoever_waits_is_answered_when_the_server_goes_down() {
    let server = Server::demo().await;
    let id = server.submit(&checkout()).await;
    let mut feed = Feed::open(&server, get("/v1/feed?after=0-1")).await;
    let poll = server.send(get(format!("/v1/orders/{id}/status?wait=60s")));
    let down = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.app.shutdown.begin();
    };
    let (polled, ended, ()) =
        timeout(Duration::from_secs(5), async { tokio::join!(poll, feed.next(), down) })
            .await
            .expect("somebody still waits");
    assert_eq!(polled.expect(200).json()["status"], "processing");
    assert_eq!(ended, None);
    server.send(get("/v1/feed")).await.expect_problem(503, "shutting_down");
}
