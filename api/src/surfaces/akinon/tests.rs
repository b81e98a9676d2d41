//! What a caller over HTTP cannot bring about: a crash in the middle, a race that was lost, a journal that fails;
//! and what must never change.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::Timestamp;
use ledger::commit::Changes;
use ledger::ids::RecordId;
use ledger::order::{
    CaptureMode, Checkout, Command, Customer, Event, Fact, Notification, Order, Rejection, ReturnUrls,
    Status, Surface, decide, evolve,
};
use serde_json::{Value, json};
use tempfile::tempdir;

use super::status::{self, Outcome};
use crate::orders::{self, Ask, OrderError, operation};
use crate::webhooks::tests::server::{Reply, Server, demo, eur};

async fn call(server: &Server, path: &str, body: &Value) -> Reply {
    // demo:demo-key
    let headers = [("authorization", "Basic ZGVtbzpkZW1vLWtleQ=="), ("content-type", "application/json")];
    server.call("POST", &format!("/akinon{path}"), &headers, body.to_string()).await
}

fn session(order: &str, guid: &str) -> Value {
    json!({
        "version": "1", "guid": guid, "orderId": order, "orderAmount": 19.99, "locale": "tr-TR",
        "returnUrl": "https://shop.example/back", "type": "SALE", "currency": "EUR",
        "customer": {"firstName": "Ada", "lastName": "Buyer", "phoneNumber": "+905551112233",
                     "email": "ada@shop.example", "clientIp": "203.0.113.7"}
    })
}

fn refund(order: &str, guid: &str) -> Value {
    json!({"version": "1", "guid": guid, "orderId": order, "amount": 5.00, "currency": "EUR"})
}

/// A server with a hosted page, whose calls do not wait.
async fn server(dir: &std::path::Path) -> Server {
    Server::with(
        dir,
        &[("payment_page_url", "https://pay.example/{tracking_number}"), ("akinon.psp_wait_ms", "0")],
    )
    .await
}

async fn paid(server: &Server, order: &str) -> RecordId {
    call(server, "/start-session", &session(order, &format!("start-{order}"))).await.expect(200);
    let id = RecordId::for_key(&demo(), operation::AKINON_ORDER, order);
    let amount = json!({"value": 1999, "currency": "EUR"});
    let data = json!({"order_id": id.to_string(), "amount": amount});
    server.report(&format!("evt-{order}"), "payment.captured", data).await.expect(200);
    id
}

#[tokio::test]
async fn a_crash_before_the_answer_was_written_is_made_good_by_the_next_try() {
    let dir = tempdir().unwrap();
    let server = server(dir.path()).await;
    let id = paid(&server, "A-1").await;
    // As far as the first try came. The content is written like this for ever: another would refuse the retry.
    let ask = Ask::new(demo(), Some("guid-1".to_owned()), &json!(["A-1", [500, "EUR"]])).unwrap();
    let done =
        orders::refund(&server.app, ask, operation::AKINON_REFUND, id, Some(eur(500)), None).await.unwrap();
    let Changes::Order(events) = &done.recorded.commit.changes else { panic!() };
    let [Event::RefundRequested { refund_id, .. }] = events.as_slice() else { panic!("{events:?}") };

    let answer = call(&server, "/refund", &refund("A-1", "guid-1")).await.expect(200);
    assert_eq!(answer.json()["transactionId"], refund_id.to_string());
    assert_eq!(answer.json()["status"], "PENDING");
    assert_eq!(call(&server, "/refund", &refund("A-1", "guid-1")).await.expect(200).bytes, answer.bytes);
    assert_eq!(server.order(&demo(), id).await.balance().refund_pending_minor, 500, "asked once");
    server.stop().await;
}

#[tokio::test]
async fn two_orders_that_got_one_guid_at_the_same_time_each_keep_their_answer() {
    let dir = tempdir().unwrap();
    let server = server(dir.path()).await;
    let (first, second) = (paid(&server, "A-1").await, paid(&server, "A-2").await);
    for (order, name) in [(first, "A-1"), (second, "A-2")] {
        let ask = Ask::new(demo(), Some("guid-1".to_owned()), &json!([name, [500, "EUR"]])).unwrap();
        orders::refund(&server.app, ask, operation::AKINON_REFUND, order, Some(eur(500)), None)
            .await
            .unwrap();
    }
    let answers = [
        call(&server, "/refund", &refund("A-1", "guid-1")).await.expect(200).json(),
        call(&server, "/refund", &refund("A-2", "guid-1")).await.expect(200).json(),
    ];
    assert_ne!(answers[0]["transactionId"], answers[1]["transactionId"]);
    // A third order comes too late.
    paid(&server, "A-3").await;
    let late = call(&server, "/refund", &refund("A-3", "guid-1")).await.expect(409).json();
    assert_eq!(late["errors"][0]["code"], "guid_reused");
    server.stop().await;
}

#[tokio::test]
async fn the_content_of_a_session_is_written_like_this_for_ever() {
    let dir = tempdir().unwrap();
    let server = server(dir.path()).await;
    let id = paid(&server, "A-1").await;
    let commits = orders::commits(&server.app, &demo(), id).await.unwrap();
    let ledger::commit::Cause::Command { request_hash, .. } = &commits[0].commit.cause else { panic!() };
    // Pinned: with another hash, no session could be asked for again that began before an update.
    assert_eq!(request_hash.to_string(), "bb12cc7ee533454ae450769877799df940d87f3695b47b81e3590e56bb6c53c3");
    let Changes::Order(events) = &commits[0].commit.changes else { panic!() };
    let [Event::CheckoutSubmitted(checkout)] = events.as_slice() else { panic!("{events:?}") };
    let data: Vec<_> = checkout.surface.data.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expect = [
        ("locale", "tr-TR"),
        ("paymentPage", "https://pay.example/{tracking_number}"),
        ("returnUrl", "https://shop.example/back"),
        ("version", "1"),
    ];
    assert_eq!(data, expect);
    server.stop().await;
}

#[tokio::test]
async fn without_a_hosted_page_no_session_begins() {
    let dir = tempdir().unwrap();
    let server = Server::with(dir.path(), &[]).await;
    let reply = call(&server, "/start-session", &session("A-1", "guid-1")).await.expect(500).json();
    assert_eq!(reply["errors"][0]["code"], "no_payment_page");
    assert_eq!(server.commits().await, 0);
    server.stop().await;
}

/// An order of this kind after these facts.
fn order(capture: CaptureMode, facts: &[Fact]) -> Order {
    let checkout = Checkout {
        amount: eur(1999),
        merchant_reference: "A-1".to_owned(),
        capture,
        payment_method: None,
        items: Vec::new(),
        customer: Customer::default(),
        return_urls: ReturnUrls::default(),
        metadata: BTreeMap::new(),
        expires_at: Timestamp::MAX,
        surface: Surface::default(),
    };
    let mut order = None;
    let mut apply = |command: &Command| {
        for event in decide(order.as_ref(), command).unwrap() {
            order = Some(evolve(order.take(), &event).unwrap());
        }
    };
    apply(&Command::Submit(Box::new(checkout)));
    for fact in facts {
        let fact = fact.clone();
        apply(&Command::Record(Notification { payment_reference: None, attempt: None, fact }));
    }
    order.unwrap()
}

#[test]
fn every_status_has_its_pair() {
    let authorized = Fact::Authorized { amount: eur(1999) };
    let captured =
        |minor| Fact::Captured { capture_id: None, reference: format!("cap-{minor}"), amount: eur(minor) };
    let refunded = |minor| Fact::RefundSettled {
        refund_id: None,
        reference: format!("ref-{minor}"),
        amount: eur(minor),
    };
    let failed = |reason: &str| Fact::Failed { reason: reason.to_owned() };
    let challenge = Fact::ActionRequired { challenge: Default::default() };
    use Outcome::{PaymentWaiting, ProcessingError, Resolved, Risky};
    // The facts, the order's status, what a SALE's payment comes to, and what an AUTH's does.
    let table: &[(&[Fact], Status, Outcome, Outcome)] = &[
        (&[], Status::Processing, PaymentWaiting, PaymentWaiting),
        (&[challenge], Status::ActionRequired, PaymentWaiting, PaymentWaiting),
        (std::slice::from_ref(&authorized), Status::Authorized, PaymentWaiting, PaymentWaiting),
        (&[authorized.clone(), captured(999)], Status::PartiallyCaptured, PaymentWaiting, Resolved),
        (&[captured(1999)], Status::Captured, Resolved, Resolved),
        (&[captured(1999), refunded(5)], Status::PartiallyRefunded, Resolved, Resolved),
        (&[captured(1999), refunded(1999)], Status::Refunded, Resolved, Resolved),
        (&[failed("declined")], Status::Failed, ProcessingError, ProcessingError),
        (&[failed("FRAUD suspected")], Status::Failed, Risky, Risky),
        (&[failed("high_risk")], Status::Failed, Risky, Risky),
        (&[authorized.clone(), Fact::Voided], Status::Canceled, ProcessingError, ProcessingError),
        (
            &[authorized.clone(), Fact::AuthorizationExpired],
            Status::Expired,
            ProcessingError,
            ProcessingError,
        ),
    ];
    for (facts, status, sale, auth) in table {
        for (capture, expect) in [(CaptureMode::Automatic, sale), (CaptureMode::Manual, auth)] {
            let order = order(capture, facts);
            assert_eq!((order.status(), status::payment(&order).outcome), (*status, *expect), "{facts:?}");
        }
    }
    for outcome in Outcome::ALL {
        assert_eq!(Outcome::from_sub_status(outcome.sub_status()), Some(outcome));
    }
}

#[tokio::test]
async fn what_goes_wrong_on_our_side_leaks_nothing_and_rejects_nothing_that_may_be_stored() {
    let dir = tempdir().unwrap();
    let server = server(dir.path()).await;
    let tenant = demo();
    let nobody = RecordId::for_key(&tenant, operation::AKINON_ORDER, "nobody");
    let secret = || "nats://user:hunter2@secret is away".into();
    for (error, http, status, code) in [
        (OrderError::Unavailable(secret()), 503, "REJECTED", "service_unavailable"),
        (OrderError::Unknown(secret()), 503, "PENDING", "outcome_unknown"),
        (OrderError::Internal(secret()), 500, "REJECTED", "internal"),
        (OrderError::TooLarge { size: 2, limit: 1 }, 413, "REJECTED", "body_too_large"),
        (OrderError::Rejected(Rejection::TooManyEntries), 409, "REJECTED", "too_many_entries"),
    ] {
        let failure =
            super::reply::Failure::about(&server.app, &tenant, nobody, error.into()).await.into_response();
        assert_eq!(failure.status(), StatusCode::from_u16(http).unwrap());
        assert_eq!(failure.headers().contains_key("retry-after"), http == 503);
        let bytes = axum::body::to_bytes(failure.into_body(), usize::MAX).await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((&body["status"], &body["errors"][0]["code"]), (&json!(status), &json!(code)));
        assert!(!body.to_string().contains("hunter2"), "{body}");
    }
    server.stop().await;
}
