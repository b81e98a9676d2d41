//! The two routes on a whole server, from the offer to the captured payment.

use jiff::SignedDuration;
use ledger::ids::TrackingNumber;
use ledger::offer::Offer;
use ledger::order::{Item, Order, Status};
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{long, with};
use crate::orders::{self, Ask};
use crate::webhooks::tests::server::{OTHER_KEY, Reply, Server, demo, eur, eventually};

const HEADERS: [(&str, &str); 3] =
    [("x-tn", "demo"), ("x-api-key", "demo-key"), ("content-type", "application/json")];

async fn checkout(server: &Server, body: &Value) -> Reply {
    server.call("POST", "/azotte/api/c2a/offer/checkout", &HEADERS, body.to_string()).await
}

async fn status(server: &Server, tracking: &str) -> Reply {
    let path = format!("/azotte/api/c2a/offer/checkout/{tracking}/status");
    server.call("GET", &path, &HEADERS, "").await
}

async fn register(server: &Server, identifier: &str, life: Option<SignedDuration>, purchasable: bool) {
    let item = |identifier: &str| Item {
        identifier: identifier.to_owned(),
        name: None,
        quantity: 1,
        unit_price: None,
        parent_identifier: None,
    };
    let offer = Offer {
        identifier: identifier.to_owned(),
        amount: eur(1999),
        items: vec![item("bundle"), item("addon")],
        expires_at: life.map(|life| orders::now().checked_add(life).unwrap()),
        purchasable,
    };
    let ask = Ask::new(demo(), None, &identifier).unwrap();
    orders::register_offer(&server.app, ask, offer).await.unwrap();
}

fn code(reply: &Reply) -> String {
    reply.json()["status"]["messageCode"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_checkout_goes_from_202_by_3ds_to_done() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    register(&server, "offer-1", None, true).await;
    let accepted = checkout(&server, &long()).await.expect(202);
    assert_eq!(accepted.headers["content-type"], "application/clientOutput+Json");
    assert_eq!(accepted.headers["retry-after"], "1");
    let tracking = accepted.json()["trackingNumber"].as_str().unwrap().to_owned();
    let text = format!(
        r#"{{"trackingNumber":"{tracking}","status":{{"messageCode":"CHECK_OUT_PROCESSING"}},"followUpInstructions":{{"retryAfterSeconds":1,"canFollowUp":true}}}}"#
    );
    assert_eq!(accepted.bytes, text);
    assert_eq!(status(&server, &tracking).await.expect(200).bytes, text, "a 202 is never followed by a 404");

    let about = |more: Value| {
        let mut data = more;
        data["tracking_number"] = json!(tracking);
        data
    };
    let challenge = json!({"challenge": {"url": "https://bank.example/3ds", "id": "3ds-9"}});
    server.report("evt_1", "payment.action_required", about(challenge)).await.expect(200);
    let challenged = status(&server, &tracking).await.expect(200);
    assert_eq!(challenged.headers["retry-after"], "1");
    assert_eq!(
        challenged.json(),
        json!({
            "trackingNumber": tracking,
            "status": {"messageCode": "CHECK_OUT_3DS_REQUIRED"},
            "redirectInstructions": {
                "redirectUrl": "https://bank.example/3ds", "threeDIdentifier": "3ds-9",
                "isRedirectRequired": true, "hasNextSteps": true, "showHtmlContent": false
            },
            "followUpInstructions": {"retryAfterSeconds": 1, "canFollowUp": true}
        })
    );
    let amount = json!({"amount": {"value": 1999, "currency": "EUR"}});
    server.report("evt_2", "payment.authorized", about(amount.clone())).await.expect(200);
    assert_eq!(code(&status(&server, &tracking).await), "CHECK_OUT_PROCESSING");
    server.report("evt_3", "payment.captured", about(amount)).await.expect(200);
    let done = status(&server, &tracking).await.expect(200);
    assert_eq!(
        done.json(),
        json!({
            "trackingNumber": tracking,
            "status": {"messageCode": "CHECK_OUT_DONE"},
            "followUpInstructions": {"canFollowUp": false}
        })
    );
    assert!(!done.headers.contains_key("retry-after"));
    // Whatever has happened since, the submission's answer is the first one.
    assert_eq!(checkout(&server, &long()).await.expect(202).bytes, accepted.bytes);

    let tail = server.app.ledger.journal().at("0-2".parse().unwrap()).await.unwrap().unwrap();
    let log = String::from_utf8_lossy(&tail.bytes);
    assert!(log.contains("tok_success") && log.contains("4242"), "{log}");
    assert!(!log.contains("42424242") && !log.contains("4242 4242"), "{log}");
    server.stop().await;
}

#[tokio::test]
async fn a_payment_that_failed_says_why() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    register(&server, "offer-1", None, true).await;
    let tracking = checkout(&server, &long()).await.expect(202).json()["trackingNumber"].clone();
    let data = json!({"tracking_number": tracking, "reason": "insufficient_funds"});
    server.report("evt_1", "payment.failed", data).await.expect(200);
    let failed = status(&server, tracking.as_str().unwrap()).await.expect(200).json();
    assert_eq!(failed["status"], json!({"messageCode": "CHECK_OUT_FAILED", "message": "insufficient_funds"}));
    assert_eq!(failed["followUpInstructions"], json!({"canFollowUp": false}));
    server.stop().await;
}

#[tokio::test]
async fn one_correlation_id_is_one_checkout_even_after_the_offer_has_ended() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    register(&server, "offer-1", Some(SignedDuration::from_millis(400)), true).await;
    let first = checkout(&server, &long()).await.expect(202);
    let mut number = 1001;
    let refused = eventually("the offer's end", async || {
        number += 1;
        let body = with(long(), "/order/correlationId", json!(format!("A-{number}")));
        let reply = checkout(&server, &body).await;
        (reply.status != 202).then_some(reply)
    })
    .await;
    assert_eq!((refused.status.as_u16(), code(&refused).as_str()), (409, "OFFER_EXPIRED"));
    let again = checkout(&server, &long()).await.expect(202);
    assert_eq!(again.bytes, first.bytes);
    let other = with(long(), "/order/items/0/quantity", json!(3));
    let reused = checkout(&server, &other).await.expect(409);
    assert_eq!(code(&reused), "CORRELATION_ID_REUSED");

    // The same while the offer can be bought.
    register(&server, "offer-1", None, true).await;
    assert_eq!(checkout(&server, &long()).await.expect(202).bytes, first.bytes);
    assert_eq!(code(&checkout(&server, &other).await.expect(409)), "CORRELATION_ID_REUSED");
    let TrackingNumber(order) = first.json()["trackingNumber"].as_str().unwrap().parse().unwrap();
    let history = server.app.ledger.history::<Order>(&demo(), order).await.unwrap();
    assert_eq!(history.commits.len(), 1);
    assert_eq!(history.state.unwrap().status(), Status::Processing);
    server.stop().await;
}

#[tokio::test]
async fn without_a_correlation_id_every_request_is_a_new_order() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    register(&server, "offer-1", None, true).await;
    let body = with(long(), "/order/correlationId", Value::Null);
    let first = checkout(&server, &body).await.expect(202).json()["trackingNumber"].clone();
    let second = checkout(&server, &body).await.expect(202).json()["trackingNumber"].clone();
    assert_ne!(first, second);
    server.stop().await;
}

#[track_caller]
fn expect(reply: &Reply, status: u16, message_code: &str) {
    assert_eq!((reply.status.as_u16(), code(reply).as_str()), (status, message_code), "{:?}", reply.bytes);
    assert_eq!(reply.headers["content-type"], "application/clientOutput+Json");
}

#[tokio::test]
async fn what_is_refused_is_refused_in_the_vendors_shape_and_leaves_no_trace() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    register(&server, "offer-1", None, true).await;
    register(&server, "showcase", None, false).await;
    let before = server.commits().await;
    let bodies = [
        (
            with(long(), "/order/offerIdentifier", json!("nowhere")),
            404,
            "OFFER_NOT_FOUND",
            "order.offerIdentifier",
        ),
        (
            with(long(), "/order/offerIdentifier", json!("showcase")),
            409,
            "OFFER_NOT_PURCHASABLE",
            "order.offerIdentifier",
        ),
        (with(long(), "/order/OID", json!("x")), 400, "INVALID_REQUEST", ""),
        (with(long(), "/order", json!(["offer-1", "A-1001"])), 400, "INVALID_REQUEST", "order"),
        (with(long(), "/order/extra", json!(1)), 400, "INVALID_REQUEST", "order.extra"),
        (
            with(long(), "/order/items/0/quantity", json!(0)),
            400,
            "INVALID_REQUEST",
            "order.items[0].quantity",
        ),
        (
            with(long(), "/order/items/1/itemIdentifier", json!("other")),
            400,
            "INVALID_REQUEST",
            "order.items[1].itemIdentifier",
        ),
        (json!({"order": {"offerIdentifier": "x"}}), 400, "INVALID_REQUEST", "paymentMethod"),
        (
            with(long(), "/paymentMethod/creditCard/cardNumber", json!("5555555555554444")),
            400,
            "INVALID_REQUEST",
            "paymentMethod.creditCard.cardNumber",
        ),
        (
            with(long(), "/order/resellerID", json!("4242424242424242")),
            400,
            "INVALID_REQUEST",
            "order.resellerID",
        ),
    ];
    for (body, http, message_code, field) in bodies {
        let reply = checkout(&server, &body).await;
        expect(&reply, http, message_code);
        if !field.is_empty() {
            assert_eq!(reply.json()["status"]["field"], field, "{:?}", reply.bytes);
        }
        let text = String::from_utf8_lossy(&reply.bytes).into_owned();
        assert!(!text.contains("4242424242424242") && !text.contains("5555555555554444"), "{text}");
    }
    let path = "/azotte/api/c2a/offer/checkout";
    let text = long().to_string();
    expect(&server.call("POST", path, &HEADERS, "{").await, 400, "INVALID_REQUEST");
    expect(&server.call("POST", path, &HEADERS, &b"\"\xff\""[..]).await, 400, "INVALID_REQUEST");
    expect(&server.call("POST", path, &HEADERS, " ".repeat(70_000)).await, 413, "REQUEST_TOO_LARGE");
    expect(&server.call("POST", path, &HEADERS[..2], text.clone()).await, 415, "UNSUPPORTED_MEDIA_TYPE");
    expect(&server.call("GET", path, &HEADERS, "").await, 405, "METHOD_NOT_ALLOWED");
    expect(&server.call("GET", "/azotte/api/c2a/nothing", &HEADERS, "").await, 404, "NOT_FOUND");
    for headers in [
        vec![],
        vec![("x-tn", "demo")],
        vec![("x-api-key", "demo-key")],
        vec![("x-tn", "demo"), ("x-api-key", "wrong")],
        vec![("x-tn", "other"), ("x-api-key", "demo-key")],
        vec![("x-tn", "No Tenant"), ("x-api-key", "demo-key")],
    ] {
        expect(&server.call("POST", path, &headers, text.clone()).await, 401, "UNAUTHORIZED");
    }
    assert_eq!(server.commits().await, before);
    server.stop().await;
}

#[tokio::test]
async fn another_tenants_tracking_number_is_not_found() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    register(&server, "offer-1", None, true).await;
    let tracking = checkout(&server, &long()).await.expect(202).json()["trackingNumber"].clone();
    let path = format!("/azotte/api/v1/c2a/offer/checkout/{}/status", tracking.as_str().unwrap());
    server.call("GET", &path, &HEADERS, "").await.expect(200);
    let theirs = [("x-tn", "other"), ("x-api-key", OTHER_KEY)];
    let foreign = server.call("GET", &path, &theirs, "").await;
    expect(&foreign, 404, "ORDERED_ITEM_NOT_FOUND");
    for unknown in ["trk_00000000000000000000000000", "trk_x", "x"] {
        let reply = status(&server, unknown).await;
        expect(&reply, 404, "ORDERED_ITEM_NOT_FOUND");
        assert_eq!(reply.bytes, foreign.bytes);
    }
    // Nor is another tenant's offer.
    let headers = [("x-tn", "other"), ("x-api-key", OTHER_KEY), ("content-type", "application/json")];
    let reply = server.call("POST", "/azotte/api/c2a/offer/checkout", &headers, long().to_string()).await;
    expect(&reply, 404, "OFFER_NOT_FOUND");
    server.stop().await;
}
