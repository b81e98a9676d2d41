//! A call waits for the PSP; and an order that is not paid in time is over.

use daybook_tests::{World, eventually};
use serde_json::json;

use super::returns::{returned, way_back};
use super::*;

daybook_tests::in_each_world! {
    crate::patient();
    a_call_is_resolved_when_its_webhook_comes_in_time,
    the_buyer_returns_when_the_outcome_is_known,
}

async fn a_call_is_resolved_when_its_webhook_comes_in_time(world: World) {
    let shop = world.shop();
    let sale = start(&shop, "SALE").await;
    let body = about(&sale.name, json!({}));
    let report = shop.report(&sale.id, "payment.captured", json!({"amount": try_(10_000)}));
    let (reply, _) = tokio::join!(call(&shop, "/purchase", &body), report);
    is(&reply.expect(200), "RESOLVED", "RESOLVED");

    // Neither the authorization nor the capture is in when the purchase comes.
    let order = start(&shop, "AUTH").await;
    let body = about(&order.name, json!({"orderAmount": 60.00}));
    let psp = async {
        shop.report(&order.id, "payment.authorized", json!({"amount": try_(10_000)})).await;
        let id = eventually("the capture", async || requested(&shop, &order.id, "capture").await).await;
        let captured = json!({"capture_id": id, "amount": try_(6_000), "reference": "cap_1"});
        shop.report(&order.id, "payment.captured", captured).await;
        id
    };
    let (reply, id) = tokio::join!(call(&shop, "/purchase", &body), psp);
    is(&reply.clone().expect(200), "RESOLVED", "RESOLVED");
    assert_eq!(reply.text("/transactionId"), id);

    let body = about(&order.name, json!({"amount": 60.00, "currency": "TRY"}));
    let psp = async {
        let id = eventually("the refund", async || requested(&shop, &order.id, "refund").await).await;
        let failed = json!({"refund_id": id, "amount": try_(6_000), "reference": "ref_1", "reason": "no"});
        shop.report(&order.id, "refund.failed", failed).await;
    };
    let (reply, ()) = tokio::join!(call(&shop, "/refund", &body), psp);
    is(&reply.clone().expect(200), "REJECTED", "PROCESSING_ERROR");
    assert_eq!(call(&shop, "/refund", &body).await.expect(200).bytes, reply.bytes);

    let order = authorized(&shop).await;
    let body = about(&order.name, json!({}));
    let psp = async {
        let asked = async || event(&shop, &order.id, "cancellation_requested.v1").await;
        eventually("the cancellation", asked).await;
        shop.report(&order.id, "payment.voided", json!({})).await;
    };
    let (reply, ()) = tokio::join!(call(&shop, "/void", &body), psp);
    is(&reply.expect(200), "RESOLVED", "RESOLVED");
}

async fn the_buyer_returns_when_the_outcome_is_known(world: World) {
    let shop = world.shop();
    let started = call(&shop, "/start-session", &session("A-1", "SALE")).await.expect(200);
    let (order, session_id) = (started.text("/transactionId"), started.text("/sessionId"));
    let path = way_back(&shop, &order).await;
    let psp = async {
        shop.report(&order, "payment.authorized", json!({"amount": try_(10_000)})).await;
        shop.report(&order, "payment.captured", json!({"amount": try_(9_000)})).await;
    };
    let (amount, ()) = tokio::join!(returned(&shop, &path, &session_id, "A-1"), psp);
    assert_eq!(amount, "90.00");
}

/// An order here lives for a second.
mod expiring {
    use super::*;

    daybook_tests::in_each_world! {
        crate::setup(20_000, 1);
        an_order_that_expires_is_rejected,
    }

    async fn an_order_that_expires_is_rejected(world: World) {
        let shop = world.shop();
        let order = start(&shop, "SALE").await;
        let reply = call(&shop, "/purchase", &about(&order.name, json!({}))).await.expect(200);
        is(&reply, "REJECTED", "PROCESSING_ERROR");
        let closed = call(&shop, "/start-session", &session(&order.name, "SALE")).await;
        error(&closed, 409, "attempt_refused", "");
        let told = history(&shop, &order.name, json!({})).await;
        assert_eq!(
            steps(&told),
            expected(&[("START", "PROCESSING_ERROR"), ("PURCHASE", "PROCESSING_ERROR")])
        );
        assert_eq!(told.text("/paymentTransactionHistory/0/statusDetail"), "expired");
        // The buyer's money came too late: it is counted, and a void gives it back.
        shop.report(&order.id, "payment.captured", json!({"amount": try_(10_000)})).await;
        let told = history(&shop, &order.name, json!({})).await.body();
        assert!(told.contains("\"balance\":100.00,"), "{told}");
        let body = about(&order.name, json!({}));
        let psp = async {
            let id = eventually("the refund", async || requested(&shop, &order.id, "refund").await).await;
            let settled = json!({"refund_id": id, "amount": try_(10_000), "reference": "ref_1"});
            shop.report(&order.id, "refund.settled", settled).await;
        };
        let (reply, ()) = tokio::join!(call(&shop, "/void", &body), psp);
        is(&reply.expect(200), "RESOLVED", "RESOLVED");
    }
}
