//! Buyers on the hosted page, as browsers without scripts: what they do there, where they are sent, and what the
//! shop sees of it.

use daybook_tests::{Client, Reply, World};
use reqwest::Method;
use serde_json::{Value, json};

use super::caller::{Caller, Registered, SEED_REQUEST, checkout, with};

daybook_tests::in_each_world!(
    daybook_tests::Setup::demo();
    the_seeds_example_is_answered_as_in_the_seed,
    a_buyer_pays_and_is_refunded_in_parts,
    a_buyer_passes_a_challenge,
    a_buyer_is_declined_and_tries_another_card,
    a_buyer_gives_up,
    a_buyer_comes_too_late,
    a_return_link_cannot_be_made_up,
);

const GOOD_CARD: &str = "4242424242424242";
const CHALLENGED_CARD: &str = "4000002500003155";
const DECLINED_CARD: &str = "4000000000000002";

/// Presses a button of the page at `url`, as a form without scripts: the query goes into the form.
async fn press(shop: &Client, url: &str, fields: &str) -> Reply {
    let path = url.strip_prefix(shop.url()).unwrap_or(url);
    let (path, query) = path.split_once('?').expect("a page with a token");
    let request =
        shop.anonymous(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
    Reply::to(request.body(format!("{query}&{fields}"))).await
}

async fn pay(shop: &Caller, made: &Registered, attempt: u32, card: &str) -> Reply {
    let fields = format!("attempt={attempt}&number={card}&expiry=12%2F39&cvc=123&name=&action=pay");
    press(&shop.client, &made.reply.text("/checkout_redirect_url"), &fields).await
}

/// Follows redirects within this server until one leads to the shop.
async fn back_to_the_shop(shop: &Client, mut reply: Reply) -> String {
    for _ in 0..5 {
        assert_eq!(reply.status, 303, "{}", reply.body());
        let location = reply.header("location").expect("a location").to_owned();
        let path = location.strip_prefix(shop.url()).unwrap_or(&location);
        if !path.starts_with('/') {
            assert_eq!(reply.header("cache-control"), Some("no-store"));
            assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
            return location;
        }
        reply = Reply::to(shop.anonymous(Method::GET, path)).await;
    }
    panic!("the redirects do not end")
}

async fn the_seeds_example_is_answered_as_in_the_seed(world: World) {
    let shop = Caller::new(world.shop()).await;
    let request = shop.request(Method::POST, "/checkouts").header("content-type", "application/json");
    let made = Registered::from(Reply::to(request.body(SEED_REQUEST)).await.expect(201));
    assert_eq!(made.reply.header("content-type"), Some("application/json"));
    let (reply, number) = (&made.reply, made.order.strip_prefix("ord_").expect("an order's id"));
    assert_eq!(made.checkout, format!("chk_{number}"));
    let (page, customer) = (reply.text("/checkout_redirect_url"), reply.text("/order/customer/customer_id"));
    assert!(page.starts_with(shop.client.url()), "{page}");
    assert!(customer.strip_prefix("cus_").is_some_and(|hex| hex.len() == 32), "{customer}");
    let (placed, expires) = (reply.text("/placed_at"), reply.text("/order/expires_at"));
    // The seed's reply to the byte but for spaces: every field, in its order, and no other.
    let seed = format!(
        concat!(
            r#"{{"checkout_id":"chk_{number}","checkout_redirect_url":"{page}","#,
            r#""completed_redirect_url":"https://example.com/complete","#,
            r#""canceled_redirect_url":"https://example.com/cancel","allow_save_payment_methods":false,"#,
            r#""locale":"ES_LATAM","placed_at":"{placed}","order":{{"order_id":"ord_{number}","status":"CREATED","#,
            r#""expires_at":"{expires}","merchant_order_id":"1366656595193","country":"México","#,
            r#""country_code":"MX","currency":"MXN","taxes":[],"discounts":[{{"amount":10}}],"#,
            r#""subtotal_amount":1000,"total_amount":990,"products":[{{"product_id":"7197","quantity":1,"#,
            r#""unit_price":1000,"name":"Pantalla TCL Smart TV Serie A3 A343 HD Android TV 40"}}],"#,
            r#""customer":{{"customer_id":"{customer}","first_name":"John","last_name":"Doe","#,
            r#""email":"john.doe@example.com","created_at":"{placed}","updated_at":"{placed}"}},"#,
            r#""placed_at":"{placed}","metadata":{{}}}}}}"#,
        ),
        number = number,
        page = page,
        placed = placed,
        expires = expires,
        customer = customer,
    );
    assert_eq!(reply.body(), seed);
    assert!(placed.parse::<i64>().is_ok_and(|millis| millis > 1_700_000_000_000), "{placed}");
    insta::assert_json_snapshot!("seed", reply.json(), {
        ".checkout_id" => "[checkout_id]",
        ".checkout_redirect_url" => "[page]",
        ".placed_at" => "[millis]",
        ".order.order_id" => "[order_id]",
        ".order.expires_at" => "[millis]",
        ".order.placed_at" => "[millis]",
        ".order.customer.customer_id" => "[customer_id]",
        ".order.customer.created_at" => "[millis]",
        ".order.customer.updated_at" => "[millis]",
    });
}

async fn a_buyer_pays_and_is_refunded_in_parts(world: World) {
    let shop = Caller::new(world.shop()).await;
    let urls = [
        ("/completed_redirect_url", "https://shop.example/ok?b=2&a=1&b=%C3%A9+x&order_id=mine#top?x=1"),
        ("/canceled_redirect_url", "https://shop.example/no"),
    ];
    let body = urls.iter().fold(checkout(), |body, (pointer, url)| with(body, pointer, json!(url)));
    let made = shop.register(&body).await;
    let page = made.reply.text("/checkout_redirect_url");
    let page =
        Reply::to(shop.client.anonymous(Method::GET, page.strip_prefix(shop.client.url()).expect("ours")));
    assert!(page.await.expect(200).body().contains("990.00"), "the buyer sees what to pay");
    let location = back_to_the_shop(&shop.client, pay(&shop, &made, 1, GOOD_CARD).await).await;
    let payment = shop.payments(&made).await[0]["payment_id"].as_str().expect("an id").to_owned();
    let expected = format!(
        "https://shop.example/ok?b=2&a=1&b=%C3%A9+x&order_id=mine&order_id={}&payment_id={payment}#top?x=1",
        made.order
    );
    assert_eq!(location, expected, "the shop's own parameters, in their order, and ours");
    shop.until(&made, "COMPLETED").await;
    assert_eq!(shop.get(&format!("/payments/{payment}")).await.text("/status"), "COMPLETED");

    let path = format!("/payments/{payment}/refund");
    let refund = async |amount: Value| {
        let reply = shop.post(&path, &json!({"description": "came back", "amount": amount})).await;
        assert_eq!(reply.expect(200).text("/status"), "SUCCESS", "the sandbox settles at once");
    };
    refund(json!(490.5)).await;
    assert_eq!(shop.status(&made).await, "PARTIALLY_REFUNDED");
    refund(json!(499.5)).await;
    assert_eq!(shop.status(&made).await, "REFUNDED");
    // The native API agrees to the minor unit.
    let balance = shop.client.balance(&made.id).await;
    let figures = ["/captured", "/refunded", "/balance"].map(|name| balance.number(name));
    assert_eq!(figures, [99_000, 99_000, 0]);
    shop.client.wait_for(&made.id, "refunded").await;
    for recorded in world.log().await.commits {
        let bytes = ledger::codec::encode(&recorded.commit);
        assert!(!String::from_utf8_lossy(&bytes).contains(GOOD_CARD), "a card number is in the log");
    }
}

async fn a_buyer_passes_a_challenge(world: World) {
    let shop = Caller::new(world.shop()).await;
    for (answer, status, end) in [
        ("pass", "COMPLETED", "https://example.com/complete?order_id="),
        ("fail", "FAILED", "https://example.com/cancel?order_id="),
    ] {
        let made = shop.register(&checkout()).await;
        let challenged = pay(&shop, &made, 1, CHALLENGED_CARD).await;
        assert_eq!(challenged.status, 303, "{}", challenged.body());
        assert_eq!(shop.status(&made).await, "ACTION_REQUIRED");
        let payment = shop.payments(&made).await[0].clone();
        let link = &payment["user_action_required"]["three_d_secure_specific"]["three_ds_redirect_url"];
        let link = link.as_str().expect("where the buyer passes the challenge");
        let answered = press(&shop.client, link, &format!("answer={answer}")).await;
        let location = back_to_the_shop(&shop.client, answered).await;
        assert!(location.starts_with(&format!("{end}{}", made.order)), "{location}");
        shop.until(&made, status).await;
    }
}

async fn a_buyer_is_declined_and_tries_another_card(world: World) {
    let shop = Caller::new(world.shop()).await;
    let made = shop.register(&checkout()).await;
    let location = back_to_the_shop(&shop.client, pay(&shop, &made, 1, DECLINED_CARD).await).await;
    assert!(location.starts_with("https://example.com/cancel?order_id="), "{location}");
    shop.until(&made, "FAILED").await;
    let payment = shop.payments(&made).await[0].clone();
    assert_eq!(payment["status"], "REJECTED");
    let reason = payment["transactions"][0]["provider"]["message"].as_str();
    assert!(reason.is_some_and(|reason| !reason.is_empty()), "{payment}");
    let location = back_to_the_shop(&shop.client, pay(&shop, &made, 2, GOOD_CARD).await).await;
    assert!(location.starts_with("https://example.com/complete?order_id="), "{location}");
    shop.until(&made, "COMPLETED").await;
    let payments = shop.payments(&made).await;
    let statuses: Vec<&Value> = payments.as_array().expect("payments").iter().map(|p| &p["status"]).collect();
    assert_eq!(statuses, ["REJECTED", "COMPLETED"]);
}

async fn a_buyer_gives_up(world: World) {
    let shop = Caller::new(world.shop()).await;
    let made = shop.register(&checkout()).await;
    let page = made.reply.text("/checkout_redirect_url");
    let left = press(&shop.client, &page, "action=cancel").await;
    let location = back_to_the_shop(&shop.client, left).await;
    assert_eq!(location, format!("https://example.com/cancel?order_id={}", made.order));
    shop.until(&made, "CANCELED").await;
    assert_eq!(shop.payments(&made).await, json!([]));
}

async fn a_buyer_comes_too_late(world: World) {
    let shop = Caller::new(world.shop()).await;
    let soon = jiff::Timestamp::now().as_millisecond() + 1_500;
    let made = shop.register(&with(checkout(), "/order/expires_at", json!(soon))).await;
    shop.until(&made, "EXPIRED").await;
    let location = back_to_the_shop(&shop.client, pay(&shop, &made, 1, GOOD_CARD).await).await;
    assert_eq!(location, format!("https://example.com/cancel?order_id={}", made.order));
}

async fn a_return_link_cannot_be_made_up(world: World) {
    let shop = Caller::new(world.shop()).await;
    let made = shop.register(&checkout()).await;
    let other = shop.register(&checkout()).await;
    let native = shop.client.get(&format!("/v1/orders/{}", made.id)).await.expect(200);
    let [success, failure, cancel] =
        ["success", "failure", "cancel"].map(|name| native.text(&format!("/return_urls/{name}")));
    assert_eq!(failure, cancel);
    let open = async |url: &str| {
        let path = url.strip_prefix(shop.client.url()).expect("a link of this server").to_owned();
        Reply::to(shop.client.anonymous(Method::GET, &path)).await
    };
    let led = |reply: &Reply| reply.header("location").map(str::to_owned);
    let home = open(&success).await.expect(303);
    let expected = format!("https://example.com/complete?order_id={}", made.order);
    assert_eq!(led(&home), Some(expected.clone()));
    // What the page adds changes nothing.
    assert_eq!(
        led(&open(&format!("{success}?order_id=x&status=captured")).await.expect(303)),
        Some(expected)
    );
    let mut altered = success.clone();
    altered.pop();
    for bad in [
        altered,
        success.replace("/completed/", "/canceled/"),
        success.replace("/completed/", "/elsewhere/"),
        success.replace(&made.checkout, &other.checkout),
        success.replace("/demo/", "/acme/"),
        success.replace("chk_", "ord_"),
    ] {
        assert_eq!(open(&bad).await.expect(404).text("/code"), "NOT_FOUND", "{bad}");
    }
}
