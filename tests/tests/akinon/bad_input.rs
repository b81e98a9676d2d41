//! Whatever is wrong with a call is said in the vendor's shape, and leaves nothing in the log.

use daybook_tests::client::unique;
use daybook_tests::{Reply, World, eur};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::*;

daybook_tests::in_each_world! {
    crate::impatient();
    whatever_is_wrong_with_a_body_is_listed_and_leaves_nothing_in_the_log,
    a_bad_request_is_answered_in_the_vendors_shape,
    another_tenants_order_does_not_exist,
}

/// What is wrong: the call, its body's pointer and value (None: left out), and the code and field of its error.
type Bad = (&'static str, &'static str, Option<Value>, &'static str, &'static str);

fn bad_bodies() -> Vec<Bad> {
    let long = |length: usize| Some(Value::from("x".repeat(length)));
    let mut table: Vec<Bad> = Vec::new();
    for path in ["/start-session", "/purchase", "/void", "/refund", "/history"] {
        for (pointer, field) in [("/version", "version"), ("/guid", "guid"), ("/orderId", "orderId")] {
            for value in [None, Some(json!(null)), Some(json!(""))] {
                table.push((path, pointer, value, "missing_field", field));
            }
            for value in [json!(7), json!(true), json!([]), json!({}), json!("a\u{1}b"), json!("   ")] {
                table.push((path, pointer, Some(value), "invalid_field", field));
            }
            table.push((
                path,
                pointer,
                Some(json!("4242 4242 4242 4242")),
                match field {
                    "guid" => "invalid_field",
                    _ => "card_number_refused",
                },
                field,
            ));
        }
        table.push((path, "/guid", Some(json!("4242424242424242")), "card_number_refused", "guid"));
        table.push((path, "/guid", Some(json!("zwei Wörter")), "invalid_field", "guid"));
        table.push((path, "/version", long(33), "invalid_field", "version"));
        table.push((path, "/guid", long(256), "invalid_field", "guid"));
        table.push((path, "/orderId", long(129), "invalid_field", "orderId"));
        table.push((path, "/extra", Some(json!(1)), "unknown_field", "extra"));
    }
    for (path, pointer, field) in [
        ("/start-session", "/orderAmount", "orderAmount"),
        ("/refund", "/amount", "amount"),
        ("/purchase", "/orderAmount", "orderAmount"),
    ] {
        for (value, code) in [
            (json!(0), "amount_zero"),
            (json!(0.00), "amount_zero"),
            (json!(-1.00), "amount_negative"),
            (json!("100.00"), "amount_not_a_number"),
            (json!([100]), "amount_not_a_number"),
            (json!(true), "amount_not_a_number"),
            (json!(1e30), "amount_not_a_number"),
            (json!(0.001), "amount_fractional"),
            (json!(10_000_000_000_000_u64), "amount_too_large"),
        ] {
            table.push((path, pointer, Some(value), code, field));
        }
    }
    for (path, pointer, field) in
        [("/start-session", "/orderAmount", "orderAmount"), ("/refund", "/amount", "amount")]
    {
        table.push((path, pointer, None, "missing_field", field));
        for value in ["try", "TRYY", "XXX", "XAU"] {
            table.push((path, "/currency", Some(json!(value)), "unknown_currency", "currency"));
        }
        table.push((path, "/currency", None, "missing_field", "currency"));
    }
    for (pointer, field) in [
        ("/locale", "locale"),
        ("/returnUrl", "returnUrl"),
        ("/type", "type"),
        ("/customer", "customer"),
        ("/customer/firstName", "customer.firstName"),
        ("/customer/lastName", "customer.lastName"),
        ("/customer/phoneNumber", "customer.phoneNumber"),
        ("/customer/email", "customer.email"),
    ] {
        table.push(("/start-session", pointer, None, "missing_field", field));
        table.push(("/start-session", pointer, Some(json!(7)), "invalid_field", field));
    }
    let too_long = |host: &str| Some(json!(format!("https://{host}/{}", "x".repeat(2048))));
    for (pointer, value, field) in [
        ("/locale", Some(json!("tr_TR")), "locale"),
        ("/locale", Some(json!("t")), "locale"),
        ("/locale", Some(json!("tr-")), "locale"),
        ("/locale", Some(json!("tr-verylongsubtag")), "locale"),
        ("/returnUrl", Some(json!("shop.example/back")), "returnUrl"),
        ("/returnUrl", Some(json!("javascript:alert(1)")), "returnUrl"),
        ("/returnUrl", Some(json!("/back")), "returnUrl"),
        ("/returnUrl", too_long("shop.example"), "returnUrl"),
        ("/type", Some(json!("sale")), "type"),
        ("/type", Some(json!("CAPTURE")), "type"),
        ("/clientIp", Some(json!("localhost")), "clientIp"),
        ("/customer", Some(json!([])), "customer"),
        ("/customer/firstName", long(129), "customer.firstName"),
        ("/customer/lastName", long(129), "customer.lastName"),
        ("/customer/phoneNumber", long(33), "customer.phoneNumber"),
        ("/customer/email", Some(json!("ada")), "customer.email"),
        ("/customer/email", Some(json!("ada@")), "customer.email"),
        ("/customer/email", Some(json!("a da@shop.example")), "customer.email"),
        ("/customer/email", Some(json!(format!("{}@shop.example", "x".repeat(254)))), "customer.email"),
        ("/customer/clientIp", Some(json!("999.1.1.1")), "customer.clientIp"),
        ("/targetProvider", long(129), "targetProvider"),
    ] {
        table.push(("/start-session", pointer, value, "invalid_field", field));
    }
    for field in ["customer.firstName", "customer.lastName", "customer.phoneNumber", "targetProvider"] {
        let pointer: &'static str = match field {
            "customer.firstName" => "/customer/firstName",
            "customer.lastName" => "/customer/lastName",
            "customer.phoneNumber" => "/customer/phoneNumber",
            _ => "/targetProvider",
        };
        let card = Some(json!("4242-4242-4242-4242"));
        table.push(("/start-session", pointer, card, "card_number_refused", field));
    }
    table.push(("/start-session", "/customer/age", Some(json!(7)), "unknown_field", "customer.age"));
    for (pointer, field) in [("/type", "type"), ("/status", "status"), ("/subStatus", "subStatus")] {
        for value in [json!("OTHER"), json!("start"), json!(1)] {
            table.push(("/history", pointer, Some(value), "invalid_field", field));
        }
    }
    table.push(("/history", "/transactionId", long(129), "invalid_field", "transactionId"));
    table
}

/// A good body of this call about an order.
fn good(path: &str, order: &str) -> Value {
    match path {
        "/start-session" => session(order, "SALE"),
        "/refund" => about(order, json!({"amount": 10.00, "currency": "TRY"})),
        "/purchase" => about(order, json!({"orderAmount": 100.00})),
        _ => about(order, json!({})),
    }
}

async fn whatever_is_wrong_with_a_body_is_listed_and_leaves_nothing_in_the_log(world: World) {
    let shop = world.shop();
    let order = paid(&shop).await;
    let before = world.log().await.len();
    for (path, pointer, value, code, field) in bad_bodies() {
        let mut body = good(path, &order.name);
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        let parent = body.pointer_mut(parent).and_then(Value::as_object_mut).expect("a parent");
        match value {
            Some(value) => parent.insert(name.to_owned(), value),
            None => parent.remove(name),
        };
        println!("{path} {body}");
        let reply = call(&shop, path, &body).await;
        error(&reply, 400, code, field);
        assert!(!reply.body().contains("4242"), "{}", reply.body());
        if field != "orderId" {
            // The order is what it was, and so is its status.
            is(&reply, "RESOLVED", "RESOLVED");
            assert_eq!(reply.text("/transactionId"), order.id);
        } else {
            is(&reply, "REJECTED", "PROCESSING_ERROR");
        }
    }
    // All of it at once, in the vendor's shape.
    let empty = call(&shop, "/start-session", &json!({"4242424242424242": 1, "customer": {}})).await;
    assert_eq!(empty.status, 400);
    insta::assert_snapshot!("everything_is_wrong", golden(&empty, &[]));
    // A SALE is paid as it was ordered.
    let other = call(&shop, "/purchase", &about(&order.name, json!({"orderAmount": 99.99}))).await;
    error(&other, 400, "invalid_field", "orderAmount");
    let foreign = call(&shop, "/refund", &about(&order.name, json!({"amount": 10, "currency": "EUR"}))).await;
    error(&foreign, 400, "currency_mismatch", "currency");
    // Either address will do while there are two of them.
    for (outer, inner) in [(false, true), (true, false)] {
        let mut body = session(&unique("ord"), "SALE");
        if !outer {
            body.as_object_mut().expect("an object").remove("clientIp");
        }
        if !inner {
            body["customer"].as_object_mut().expect("an object").remove("clientIp");
        }
        assert_eq!(world.log().await.len(), before + usize::from(outer));
        call(&shop, "/start-session", &body).await.expect(200);
    }
    let mut neither = session(&order.name, "SALE");
    neither.as_object_mut().expect("an object").remove("clientIp");
    neither["customer"].as_object_mut().expect("an object").remove("clientIp");
    error(&call(&shop, "/start-session", &neither).await, 400, "missing_field", "customer.clientIp");
}

async fn a_bad_request_is_answered_in_the_vendors_shape(world: World) {
    let shop = world.shop();
    let order = paid(&shop).await;
    let before = world.log().await.len();
    let to = |method: Method, path: &str| {
        let request =
            shop.anonymous(method, &format!("/akinon{path}")).header("x-akinon-request-id", "req-7");
        request.basic_auth(shop.tenant.id, Some(shop.tenant.key))
    };
    let json = |request: RequestBuilder| request.header("content-type", "application/json");
    let check = async |request: RequestBuilder, status: u16, code: &str, field: &str| {
        let reply = Reply::to(request).await;
        error(&reply, status, code, field);
        assert_eq!(reply.header("x-akinon-request-id"), Some("req-7"), "{code}");
        is(&reply, "REJECTED", "PROCESSING_ERROR");
        reply
    };
    for path in ["/start-session", "/purchase", "/void", "/refund", "/history"] {
        let text = good(path, &order.name).to_string();
        let post = || to(Method::POST, path);
        check(json(post()).body("{"), 400, "malformed_json", "").await;
        check(json(post()).body(""), 400, "malformed_json", "").await;
        check(json(post()).body("[]"), 400, "invalid_field", "").await;
        check(json(post()).body("7"), 400, "invalid_field", "").await;
        check(json(post()).body(r#"{"guid":"a","guid":"b"}"#), 400, "invalid_field", "guid").await;
        check(json(post()).body(b"{\"guid\":\"\xff\"}".to_vec()), 400, "invalid_utf8", "").await;
        check(json(post()).body(" ".repeat(70_000)), 413, "body_too_large", "").await;
        check(post().body(text.clone()), 415, "unsupported_media_type", "").await;
        let plain = post().header("content-type", "text/plain").body(text.clone());
        check(plain, 415, "unsupported_media_type", "").await;
        let refused = check(to(Method::GET, path), 405, "method_not_allowed", "").await;
        assert_eq!(refused.header("allow"), Some("POST"));
        let anonymous = || {
            let request = shop.anonymous(Method::POST, &format!("/akinon{path}"));
            json(request.header("x-akinon-request-id", "req-7")).body(text.clone())
        };
        let wrong = [
            anonymous(),
            anonymous().bearer_auth(shop.tenant.key),
            anonymous().basic_auth(shop.tenant.id, Some("wrong")),
            anonymous().basic_auth(shop.tenant.id, None::<&str>),
            anonymous().basic_auth("globex", Some(shop.tenant.key)),
            anonymous().basic_auth("No Tenant", Some(shop.tenant.key)),
            anonymous().header("authorization", "Basic !!!"),
            anonymous().header("authorization", "Basic"),
            anonymous().header("authorization", "Basic YWNtZQ=="),
        ];
        for request in wrong {
            let reply = check(request, 401, "unauthenticated", "").await;
            let challenge = reply.header("www-authenticate").expect("a challenge");
            assert!(challenge.starts_with("Basic "), "{challenge}");
        }
    }
    check(to(Method::POST, "/cancel"), 404, "no_such_route", "").await;
    let closed = shop.anonymous(Method::POST, "/akinon/history").basic_auth("initech", Some("initech-key"));
    let closed = closed.header("x-akinon-request-id", "req-7").json(&good("/history", &order.name));
    check(closed, 403, "not_enabled", "").await;
    for path in ["/purchase", "/void", "/refund", "/history"] {
        let reply = call(&shop, path, &good(path, "nobody")).await;
        error(&reply, 404, "order_not_found", "orderId");
        is(&reply, "REJECTED", "PROCESSING_ERROR");
        assert_eq!(reply.text("/transactionId"), "");
    }
    // A request id that is not fit for a log is not carried.
    for id in ["", "a b", "4242424242424242", &"x".repeat(129)] {
        let body = about(&order.name, json!({}));
        let reply = Reply::to(request(&shop, "/history", &body).header("x-akinon-request-id", id)).await;
        assert_eq!(reply.expect(200).header("x-akinon-request-id"), None, "{id:?}");
    }
    assert_eq!(world.log().await.len(), before);
}

async fn another_tenants_order_does_not_exist(world: World) {
    let (shop, other) = (world.shop(), world.other_shop());
    let order = paid(&shop).await;
    let before = world.log().await.len();
    for path in ["/purchase", "/void", "/refund", "/history"] {
        let theirs = call(&other, path, &good(path, &order.name)).await;
        error(&theirs, 404, "order_not_found", "orderId");
        assert!(!theirs.body().contains(&order.id), "{}", theirs.body());
    }
    assert_eq!(world.log().await.len(), before);
    // The same name is another order of another tenant, under the same guid as well.
    let mut body = session(&order.name, "SALE");
    let mine = call(&other, "/start-session", &body).await.expect(200);
    assert_ne!(mine.text("/transactionId"), order.id);
    body["orderId"] = unique("ord").into();
    call(&shop, "/start-session", &body).await.expect(200);
    // Nor is an order that came in by another door.
    let native = unique("ref");
    shop.submit(&json!({"amount": eur(100), "merchant_reference": native})).await;
    error(&call(&shop, "/history", &about(&native, json!({}))).await, 404, "order_not_found", "orderId");
    assert_eq!(shop.figure(&order.id, "balance").await, 10_000);
}
