//! From the first call to the last: paid, challenged, refused, given up, refunded, and what the history tells.

use daybook_tests::client::unique;
use daybook_tests::{Reply, World, eventually};
use serde_json::{Value, json};

use super::*;

daybook_tests::in_each_world! {
    crate::impatient();
    a_sale_is_challenged_paid_and_refunded_in_parts,
    an_authorization_is_captured_in_part,
    a_payment_that_is_refused_is_rejected_and_a_suspected_one_is_risky,
    a_void_before_the_capture_releases_and_one_after_it_refunds,
    an_order_may_have_several_sessions,
    what_happens_elsewhere_shows_in_the_history,
    a_history_can_be_filtered,
    a_currency_keeps_its_own_digits,
    an_outage_is_told_in_the_vendors_shape,
}

async fn a_sale_is_challenged_paid_and_refunded_in_parts(world: World) {
    let shop = world.shop();
    let name = unique("ord");
    let body = session(&name, "SALE");
    let sent = request(&shop, "/start-session", &body);
    let sent = sent.header("x-akinon-request-id", "req-1").header("x-akinon-api-version", "2.1");
    let started = Reply::to(sent).await.expect(200);
    assert_eq!(started.header("x-akinon-request-id"), Some("req-1"));
    let (order, session_id) = (started.text("/transactionId"), started.text("/sessionId"));
    let native = shop.get(&format!("/v1/orders/{order}")).await.expect(200).json();
    assert_eq!(native["merchant_reference"], name.as_str());
    assert_eq!(native["amount"], try_(10_000));
    assert_eq!(native["customer"]["name"], "Ada Buyer");
    let submitted = event(&shop, &order, "checkout_submitted.v2").await.expect("the first event");
    for kept in ["\"apiVersion\":\"2.1\"", "\"targetProvider\":\"bank-1\"", "\"locale\":\"tr-TR\""] {
        assert!(submitted.to_string().contains(kept), "{submitted}");
    }
    let url = started.text("/redirectUrl");
    let token = url.split_once("token=").expect("a token").1.to_owned();
    let tracking = native["tracking_number"].as_str().expect("a tracking number").to_owned();
    let names =
        [(session_id.as_str(), "[session]"), (&order, "[order]"), (&token, "[token]"), (&tracking, "[trk]")];
    insta::assert_snapshot!("start_session", golden(&started, &names));

    let pay = json!({"payment_reference": unique("pay")});
    let with = |more: Value| {
        let mut data = pay.clone();
        for (name, value) in more.as_object().expect("an object") {
            data[name] = value.clone();
        }
        data
    };
    let challenge = json!({"challenge": {"url": "https://bank.example/3ds"}});
    shop.report(&order, "payment.action_required", with(challenge)).await;
    let challenged = call(&shop, "/purchase", &about(&name, json!({}))).await.expect(200);
    insta::assert_snapshot!("purchase_pending", golden(&challenged, &[(&order, "[order]")]));
    shop.report(&order, "payment.authorized", with(json!({"amount": try_(10_000)}))).await;
    let reserved = call(&shop, "/purchase", &about(&name, json!({}))).await.expect(200);
    is(&reserved, "PENDING", "PAYMENT_WAITING");
    shop.report(&order, "payment.captured", with(json!({"amount": try_(10_000), "reference": "cap_1"})))
        .await;
    let done = call(&shop, "/purchase", &about(&name, json!({"orderAmount": 100.0}))).await.expect(200);
    insta::assert_snapshot!("purchase_resolved", golden(&done, &[(&order, "[order]")]));

    // Two parts: one settles, one fails.
    let part = |amount: &str| {
        let amount: Value = serde_json::from_str(amount).expect("a number");
        about(&name, json!({"amount": amount, "currency": "TRY"}))
    };
    let first = call(&shop, "/refund", &part("30.10")).await.expect(200);
    is(&first, "PENDING", "PAYMENT_WAITING");
    let refund = first.text("/transactionId");
    insta::assert_snapshot!("refund_pending", golden(&first, &[(&refund, "[refund]")]));
    let settled = json!({"refund_id": refund, "amount": try_(3_010), "reference": "ref_1"});
    shop.report(&order, "refund.settled", settled).await;
    let second = call(&shop, "/refund", &part("20")).await.expect(200);
    let second_refund = second.text("/transactionId");
    let failed = json!({"refund_id": second_refund, "amount": try_(2_000), "reference": "ref_2", "reason": "account_closed"});
    shop.report(&order, "refund.failed", failed).await;

    let before = world.log().await.len();
    let over = call(&shop, "/refund", &part("69.91")).await;
    error(&over, 409, "exceeds_refundable", "amount");
    insta::assert_snapshot!("over_refund", golden(&over, &[(&order, "[order]")]));
    assert_eq!(world.log().await.len(), before, "nothing was stored");

    let figures = shop.balance(&order).await;
    assert_eq!(figures.number("/balance"), 6_990);
    let told = history(&shop, &name, json!({})).await;
    let steps = told.json()["paymentTransactionHistory"].clone();
    let guids: Vec<String> = steps.as_array().expect("steps").iter().map(|s| s["guid"].to_string()).collect();
    assert_eq!(guids[0], body["guid"].to_string());
    let mut names = vec![(pay["payment_reference"].as_str().expect("text"), "[payment]")];
    names.extend(guids.iter().map(|guid| (guid.as_str(), "\"[guid]\"")));
    insta::assert_snapshot!("history", golden(&told, &names));
    world.log().await.assert_nothing_is_there_twice();
}

async fn an_authorization_is_captured_in_part(world: World) {
    let shop = world.shop();
    let order = start(&shop, "AUTH").await;
    // Before the authorization there is nothing to capture, and nothing is rejected either.
    let early = about(&order.name, json!({"orderAmount": 40.00}));
    let waiting = call(&shop, "/purchase", &early).await;
    error(&waiting, 409, "nothing_to_capture", "");
    is(&waiting, "PENDING", "PAYMENT_WAITING");
    shop.report(&order.id, "payment.authorized", json!({"amount": try_(10_000)})).await;
    let too_much = call(&shop, "/purchase", &about(&order.name, json!({"orderAmount": 100.01}))).await;
    error(&too_much, 409, "exceeds_capturable", "orderAmount");
    is(&too_much, "REJECTED", "PROCESSING_ERROR");
    // The same guid: nothing was stored under it before.
    let asked = call(&shop, "/purchase", &early).await.expect(200);
    is(&asked, "PENDING", "PAYMENT_WAITING");
    let capture = asked.text("/transactionId");
    assert_eq!(requested(&shop, &order.id, "capture").await.as_ref(), Some(&capture));
    let captured = json!({"capture_id": capture, "amount": try_(4_000), "reference": "cap_1"});
    shop.report(&order.id, "payment.captured", captured).await;
    assert_eq!(shop.figure(&order.id, "balance").await, 4_000);
    // A capture that was made is no rejection of the payment, even where there is nothing left to do.
    let whole = authorized(&shop).await;
    shop.report(&whole.id, "payment.captured", json!({"amount": try_(10_000)})).await;
    let done = call(&shop, "/purchase", &about(&whole.name, json!({}))).await;
    error(&done, 409, "nothing_to_capture", "");
    is(&done, "RESOLVED", "RESOLVED");
    // All that is left, which the PSP refuses.
    let rest = call(&shop, "/purchase", &about(&order.name, json!({}))).await.expect(200);
    let capture = rest.text("/transactionId");
    let failed =
        json!({"capture_id": capture, "amount": try_(6_000), "reference": "cap_2", "reason": "too_late"});
    shop.report(&order.id, "payment.capture_failed", failed).await;
    let told = history(&shop, &order.name, json!({})).await;
    let expect =
        expected(&[("START", "RESOLVED"), ("PURCHASE", "RESOLVED"), ("PURCHASE", "PROCESSING_ERROR")]);
    assert_eq!(steps(&told), expect);
    let told = told.json();
    let sub_steps = |step: usize| {
        let sub_steps = told["paymentTransactionHistory"][step]["subSteps"].as_array().expect("sub-steps");
        sub_steps.iter().map(|s| s["statusCode"].as_str().expect("a code").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sub_steps(0), ["payment_authorized"]);
    assert_eq!(sub_steps(1), ["payment_captured"]);
    assert_eq!(sub_steps(2), ["capture_failed"]);
    assert_eq!(told["paymentTransactionHistory"][2]["statusDetail"], "too_late");
    assert!(told.to_string().contains("\"balance\":40.0"), "{told}");
}

async fn a_payment_that_is_refused_is_rejected_and_a_suspected_one_is_risky(world: World) {
    let shop = world.shop();
    for kind in ["SALE", "AUTH"] {
        for (reason, sub_status) in [
            ("insufficient_funds", "PROCESSING_ERROR"),
            ("suspected_fraud", "RISKY"),
            ("blocked: RISK score 92", "RISKY"),
        ] {
            let order = start(&shop, kind).await;
            shop.report(&order.id, "payment.failed", json!({"reason": reason})).await;
            let reply = call(&shop, "/purchase", &about(&order.name, json!({}))).await.expect(200);
            is(&reply, "REJECTED", sub_status);
            assert_eq!(reply.text("/transactionId"), order.id);
            let told = history(&shop, &order.name, json!({})).await;
            assert_eq!(steps(&told), expected(&[("START", sub_status), ("PURCHASE", sub_status)]));
            assert_eq!(told.text("/substatus"), sub_status);
            let refused = call(&shop, "/void", &about(&order.name, json!({}))).await;
            error(&refused, 409, "not_cancelable", "");
            is(&refused, "REJECTED", "PROCESSING_ERROR");
        }
    }
}

async fn a_void_before_the_capture_releases_and_one_after_it_refunds(world: World) {
    let shop = world.shop();
    // Before anything is authorized it is over at once.
    let order = start(&shop, "SALE").await;
    let body = about(&order.name, json!({}));
    let done = call(&shop, "/void", &body).await.expect(200);
    insta::assert_snapshot!("void", golden(&done, &[(&order.id, "[order]")]));
    assert_eq!(call(&shop, "/void", &body).await.expect(200).bytes, done.bytes);
    error(&call(&shop, "/void", &about(&order.name, json!({}))).await, 409, "not_cancelable", "");
    is(&call(&shop, "/purchase", &about(&order.name, json!({}))).await, "REJECTED", "PROCESSING_ERROR");

    // What is authorized is released by the PSP.
    let order = authorized(&shop).await;
    let asked = call(&shop, "/void", &about(&order.name, json!({}))).await.expect(200);
    is(&asked, "PENDING", "PAYMENT_WAITING");
    let again = call(&shop, "/void", &about(&order.name, json!({}))).await;
    error(&again, 409, "cancellation_pending", "");
    is(&again, "PENDING", "PAYMENT_WAITING");
    shop.report(&order.id, "payment.voided", json!({})).await;
    let told = history(&shop, &order.name, json!({})).await;
    assert_eq!(steps(&told), expected(&[("START", "RESOLVED"), ("VOID", "RESOLVED")]));
    assert_eq!(told.text("/paymentTransactionHistory/1/subSteps/0/statusCode"), "payment_voided");

    // A capture that the PSP made before it heard of the void stands.
    let order = authorized(&shop).await;
    call(&shop, "/void", &about(&order.name, json!({}))).await.expect(200);
    shop.report(&order.id, "payment.captured", json!({"amount": try_(10_000)})).await;
    let told = history(&shop, &order.name, json!({})).await;
    assert_eq!(steps(&told)[1], ("VOID".to_owned(), "PROCESSING_ERROR".to_owned()));

    // What is captured is given back, less what was before.
    let order = paid(&shop).await;
    let part = about(&order.name, json!({"amount": 25.00, "currency": "TRY"}));
    let refund = call(&shop, "/refund", &part).await.expect(200).text("/transactionId");
    let settled = json!({"refund_id": refund, "amount": try_(2_500), "reference": "ref_1"});
    shop.report(&order.id, "refund.settled", settled).await;
    let body = about(&order.name, json!({}));
    let asked = call(&shop, "/void", &body).await.expect(200);
    is(&asked, "PENDING", "PAYMENT_WAITING");
    assert_eq!(shop.figure(&order.id, "refund_pending").await, 7_500);
    assert_eq!(call(&shop, "/void", &body).await.expect(200).bytes, asked.bytes);
    let rest =
        json!({"refund_id": asked.text("/transactionId"), "amount": try_(7_500), "reference": "ref_2"});
    shop.report(&order.id, "refund.settled", rest).await;
    let told = history(&shop, &order.name, json!({})).await;
    let expect = expected(&[("START", "RESOLVED"), ("REFUND", "RESOLVED"), ("VOID", "RESOLVED")]);
    assert_eq!(steps(&told), expect);
    assert!(told.body().contains("\"balance\":0.00,"), "{}", told.body());
    error(&call(&shop, "/void", &about(&order.name, json!({}))).await, 409, "not_cancelable", "");
}

async fn an_order_may_have_several_sessions(world: World) {
    let shop = world.shop();
    let name = unique("ord");
    let first = call(&shop, "/start-session", &session(&name, "SALE")).await.expect(200);
    let id = first.text("/transactionId");
    shop.report(&id, "payment.failed", json!({"payment_reference": "pay_1", "reason": "card_declined"}))
        .await;
    let second_body = session(&name, "SALE");
    let second = call(&shop, "/start-session", &second_body).await.expect(200);
    assert_eq!(second.text("/transactionId"), id, "the same order");
    assert_ne!(second.text("/sessionId"), first.text("/sessionId"), "another session");
    assert_eq!(call(&shop, "/start-session", &second_body).await.expect(200).bytes, second.bytes);
    let waiting = history(&shop, &name, json!({})).await;
    assert_eq!(steps(&waiting), expected(&[("START", "PROCESSING_ERROR"), ("START", "PAYMENT_WAITING")]));
    let captured = json!({"payment_reference": "pay_2", "amount": try_(10_000)});
    shop.report(&id, "payment.captured", captured).await;
    // The first bank changes its mind about what it says; that is still about the first session.
    shop.report(&id, "payment.failed", json!({"payment_reference": "pay_1", "reason": "card_declined"}))
        .await;
    let told = history(&shop, &name, json!({})).await;
    assert_eq!(steps(&told), expected(&[("START", "PROCESSING_ERROR"), ("START", "RESOLVED")]));
    let told = told.json();
    let count = |step: usize| told["paymentTransactionHistory"][step]["subSteps"].as_array().map(Vec::len);
    assert_eq!((count(0), count(1)), (Some(2), Some(1)));

    let closed = call(&shop, "/start-session", &session(&name, "SALE")).await;
    error(&closed, 409, "attempt_refused", "");
    is(&closed, "REJECTED", "PROCESSING_ERROR");
    assert_eq!(closed.text("/transactionId"), id);

    // Another basket is another order; every difference is named.
    let open = start(&shop, "SALE").await;
    let mut other = session(&open.name, "AUTH");
    other["currency"] = "EUR".into();
    other["orderAmount"] = json!(99.00);
    let refused = call(&shop, "/start-session", &other).await;
    let expect = ["currency", "orderAmount", "type"].map(|f| ("invalid_field".to_owned(), f.to_owned()));
    assert_eq!(errors(&refused, 400), expect);
    is(&refused, "PENDING", "PAYMENT_WAITING");

    // A new session does not lose what an earlier one reserved.
    let reserved = authorized(&shop).await;
    call(&shop, "/start-session", &session(&reserved.name, "AUTH")).await.expect(200);
    let done = call(&shop, "/purchase", &about(&reserved.name, json!({}))).await.expect(200);
    assert_eq!(Some(done.text("/transactionId")), requested(&shop, &reserved.id, "capture").await);
}

async fn what_happens_elsewhere_shows_in_the_history(world: World) {
    let shop = world.shop();
    let order = paid(&shop).await;
    let asked = json!({"amount": try_(1_000)});
    let path = format!("/v1/orders/{}/refunds", order.id);
    let refund = shop.post_with_key(&path, "native-1", &asked).await.expect(202).text("/refund_id");
    let settled = json!({"refund_id": refund, "amount": try_(1_000), "reference": "ref_1"});
    shop.report(&order.id, "refund.settled", settled).await;
    // Nobody asked for these.
    shop.report(&order.id, "refund.settled", json!({"amount": try_(500), "reference": "ref_2"})).await;
    let dispute = json!({"amount": try_(2_000), "reference": "dis_1", "reason": "fraudulent"});
    shop.report(&order.id, "chargeback.opened", dispute).await;
    shop.report(&order.id, "payout.paid", json!({})).await;
    let before = world.log().await.len();
    let told = history(&shop, &order.name, json!({})).await;
    assert_eq!(world.log().await.len(), before, "asking leaves no trace");
    assert_eq!(shop.figure(&order.id, "balance").await, 6_500);
    assert!(told.body().contains("\"balance\":65.00,\"currency\":\"TRY\""), "{}", told.body());
    assert_eq!(told.text("/lastAction"), "REFUND");
    assert_eq!(steps(&told), expected(&[("START", "RESOLVED"), ("REFUND", "RESOLVED")]));
    assert_eq!(told.text("/paymentTransactionHistory/1/guid"), "native-1");
    let told = told.json();
    let sub_steps = told["paymentTransactionHistory"][1]["subSteps"].as_array().expect("sub-steps");
    let said: Vec<_> =
        sub_steps.iter().map(|s| (s["statusCode"].as_str(), s["statusDetail"].as_str())).collect();
    let expect = [
        (Some("refund_settled"), Some("10.00 TRY, ref_1")),
        (Some("refund_settled"), Some("5.00 TRY, ref_2")),
        (Some("chargeback_opened"), Some("20.00 TRY, dis_1, fraudulent")),
        (Some("webhook_noted"), Some("payout.paid")),
    ];
    assert_eq!(said, expect);
}

async fn a_history_can_be_filtered(world: World) {
    let shop = world.shop();
    let order = paid(&shop).await;
    let body = about(&order.name, json!({"amount": 10.00, "currency": "TRY"}));
    let refund = call(&shop, "/refund", &body).await.expect(200).text("/transactionId");
    call(&shop, "/purchase", &about(&order.name, json!({}))).await.expect(200);
    let all = expected(&[("START", "RESOLVED"), ("REFUND", "PAYMENT_WAITING"), ("PURCHASE", "RESOLVED")]);
    for (filters, kept) in [
        (json!({}), vec![0, 1, 2]),
        (json!({"type": "", "transactionId": "", "status": "", "subStatus": null}), vec![0, 1, 2]),
        (json!({"type": "REFUND"}), vec![1]),
        (json!({"type": "HISTORY"}), vec![]),
        (json!({"transactionId": refund}), vec![1]),
        (json!({"transactionId": order.id}), vec![0, 2]),
        (json!({"status": "RESOLVED"}), vec![0, 2]),
        (json!({"status": "REJECTED"}), vec![]),
        (json!({"subStatus": "PAYMENT_WAITING"}), vec![1]),
        (json!({"type": "PURCHASE", "status": "RESOLVED"}), vec![2]),
    ] {
        let told = history(&shop, &order.name, filters.clone()).await;
        let expect: Vec<_> = kept.into_iter().map(|index: usize| all[index].clone()).collect();
        assert_eq!(steps(&told), expect, "{filters}");
        assert_eq!(told.text("/lastAction"), "PURCHASE", "the last of all, whatever is shown");
    }
}

async fn a_currency_keeps_its_own_digits(world: World) {
    let shop = world.shop();
    for (currency, amount, minor, balance) in [
        ("JPY", "1000.00", 1000, "1000.00"),
        ("KWD", "12.345", 12_345, "12.345"),
        ("EUR", "0.29", 29, "0.29"),
    ] {
        let name = unique("ord");
        let mut body = session(&name, "SALE");
        body["currency"] = currency.into();
        body["orderAmount"] = json!(7);
        // By its digits: no JSON library between the test and the server.
        let text = body.to_string().replace("\"orderAmount\":7", &format!("\"orderAmount\":{amount}"));
        let sent = request(&shop, "/start-session", &json!({})).body(text);
        let order = Reply::to(sent).await.expect(200).text("/transactionId");
        let captured = json!({"amount": {"value": minor, "currency": currency}});
        shop.report(&order, "payment.captured", captured).await;
        assert_eq!(shop.figure(&order, "balance").await, minor);
        let told = history(&shop, &name, json!({})).await.body();
        assert!(told.contains(&format!("\"balance\":{balance},\"currency\":\"{currency}\"")), "{told}");
    }
}

async fn an_outage_is_told_in_the_vendors_shape(mut world: World) {
    let shop = world.shop();
    let order = paid(&shop).await;
    shop.wait_for(&order.id, "captured").await;
    let Some(nats) = world.nats.as_mut() else { return };
    nats.kill();
    let body = about(&order.name, json!({"amount": 10.00, "currency": "TRY"}));
    let reply = call(&shop, "/refund", &body).await;
    error(&reply, 503, "service_unavailable", "");
    assert!(reply.header("retry-after").is_some());
    assert!(!reply.body().contains("nats"), "{}", reply.body());
    is(&reply, "RESOLVED", "RESOLVED");
    nats.restart().await;
    let done = eventually("the journal's return", async || {
        let reply = call(&shop, "/refund", &body).await;
        (reply.status == 200).then_some(reply)
    })
    .await;
    is(&done, "PENDING", "PAYMENT_WAITING");
    assert_eq!(shop.figure(&order.id, "refund_pending").await, 1_000, "once");
}
