//! To another tenant an order is not forbidden: it does not exist. On every route there is.

use std::collections::BTreeSet;

use daybook_tests::client::{Client, SOURCE, about, unique};
use daybook_tests::{Reply, World, checkout, eur};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    another_tenants_order_does_not_exist_on_any_route,
    the_table_of_routes_is_the_whole_api,
    no_route_with_data_answers_without_a_key,
    a_status_token_reads_the_status_of_its_own_order_alone,
    a_webhook_cannot_reach_another_tenants_order,
    another_tenants_feed_and_lists_hold_nothing_of_an_order,
);

/// What another tenant must see at a route.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Seen {
    /// It names one order or offer: 404.
    NotFound,
    /// It lists: 200, and nothing of the order in it.
    Nothing,
    /// It makes something new, which is the caller's own.
    Own,
    /// It has no tenant's data.
    Public,
    /// It authenticates by signature; a test of its own.
    Signed,
    /// It goes on without end; a test of its own.
    Feed,
    /// It asks for the key of whoever runs the server, which is no tenant's.
    Admin,
}

/// Every route: the path as `/openapi.json` has it, without the names of its parameters.
const ROUTES: &[(&str, &str, Seen)] = &[
    ("POST", "/v1/checkouts", Seen::Own),
    ("POST", "/v1/batch", Seen::Own),
    ("GET", "/v1/orders", Seen::Nothing),
    ("GET", "/v1/orders/{}", Seen::NotFound),
    ("GET", "/v1/orders/{}/status", Seen::NotFound),
    ("GET", "/v1/orders/{}/balance", Seen::NotFound),
    ("GET", "/v1/orders/{}/history", Seen::NotFound),
    ("GET", "/v1/orders/{}/events", Seen::NotFound),
    ("POST", "/v1/orders/{}/captures", Seen::NotFound),
    ("POST", "/v1/orders/{}/refunds", Seen::NotFound),
    ("POST", "/v1/orders/{}/cancellations", Seen::NotFound),
    ("DELETE", "/v1/orders/{}/personal-data", Seen::NotFound),
    ("GET", "/v1/orders/{}/proofs", Seen::NotFound),
    ("GET", "/audit/checkpoint", Seen::Nothing),
    ("GET", "/audit/consistency", Seen::Nothing),
    ("GET", "/audit/key", Seen::Nothing),
    ("GET", "/v1/totals", Seen::Nothing),
    ("GET", "/v1/trial-balance", Seen::Nothing),
    ("PUT", "/v1/offers/{}", Seen::Own),
    ("GET", "/v1/offers/{}", Seen::NotFound),
    ("GET", "/v1/feed", Seen::Feed),
    ("GET", "/v1/quarantine", Seen::Nothing),
    ("GET", "/v1/quarantine/{}", Seen::NotFound),
    ("POST", "/v1/quarantine/{}/retry", Seen::NotFound),
    ("POST", "/v1/quarantine/{}/discard", Seen::NotFound),
    ("GET", "/v1/notifications", Seen::Nothing),
    ("POST", "/v1/notifications/{}/retry", Seen::NotFound),
    ("POST", "/webhooks/{}/{}", Seen::Signed),
    ("POST", "/azotte/api/c2a/offer/checkout", Seen::NotFound),
    ("GET", "/azotte/api/c2a/offer/checkout/{}/status", Seen::NotFound),
    ("POST", "/kronor/v1/graphql", Seen::Nothing),
    ("GET", "/kronor/v1/graphql/schema.graphql", Seen::Public),
    ("GET", "/kronor/sca", Seen::Signed),
    ("GET", "/kronor/sca/challenge", Seen::Signed),
    ("GET", "/kronor/sca/return/{}", Seen::Signed),
    ("POST", "/akinon/start-session", Seen::Own),
    ("POST", "/akinon/purchase", Seen::NotFound),
    ("POST", "/akinon/void", Seen::NotFound),
    ("POST", "/akinon/refund", Seen::NotFound),
    ("POST", "/akinon/history", Seen::NotFound),
    ("GET", "/akinon/return/{}/{}", Seen::Signed),
    ("POST", "/orkestapay/v1/oauth/tokens", Seen::Signed),
    ("POST", "/orkestapay/v1/checkouts", Seen::Own),
    ("GET", "/orkestapay/v1/orders/ord_{}", Seen::NotFound),
    ("GET", "/orkestapay/v1/orders/ord_{}/payments", Seen::NotFound),
    ("GET", "/orkestapay/v1/payments/pay_{}1", Seen::NotFound),
    ("POST", "/orkestapay/v1/payments/pay_{}1/refund", Seen::NotFound),
    ("GET", "/orkestapay/return/acme/chk_{}/completed/seal", Seen::Signed),
    ("POST", "/carat/v1/transactions", Seen::Own),
    ("GET", "/carat/v1/transactions/{}", Seen::NotFound),
    ("PUT", "/carat/v1/payments/{}?confirm=true", Seen::NotFound),
    ("GET", "/admin/diff", Seen::Admin),
    ("GET", "/admin/rebuild", Seen::Admin),
    ("POST", "/admin/rebuild", Seen::Admin),
    ("POST", "/admin/rebuild/cancel", Seen::Admin),
    ("POST", "/admin/rebuild/pause", Seen::Admin),
    ("POST", "/admin/rebuild/resume", Seen::Admin),
    ("POST", "/admin/rebuild/rollback", Seen::Admin),
    ("POST", "/admin/rebuild/swap", Seen::Admin),
    ("GET", "/healthz", Seen::Public),
    ("GET", "/readyz", Seen::Public),
    ("GET", "/metrics", Seen::Public),
    ("GET", "/openapi.json", Seen::Public),
    ("GET", "/docs", Seen::Public),
];

/// What one tenant made, and the other must not see.
struct Made {
    order: String,
    tracking: String,
    position: String,
    reference: String,
    token: String,
    offer: String,
    quarantined: String,
    /// The digits of its OrkestaPay ids.
    orkestapay: String,
    /// Its Carat transaction.
    nit: String,
}

async fn make(shop: &Client) -> Made {
    let (body, offer) = (checkout(10_000), unique("offer"));
    let reply = shop.post("/v1/checkouts", &body).await.expect(202);
    let order = reply.text("/order_id");
    shop.report(&order, "payment.captured", json!({"amount": eur(10_000)})).await;
    shop.wait_for(&order, "captured").await;
    shop.put(&format!("/v1/offers/{offer}"), &json!({"amount": eur(100)})).await.expect(201);
    shop.webhook_bytes(&unique("evt"), b"unreadable").await.expect(202);
    let quarantined = shop.get("/v1/quarantine").await.expect(200).text("/webhooks/0/id");
    let orkestapay = shop.anonymous(Method::POST, "/orkestapay/v1/checkouts").json(&orkestapay_checkout());
    let orkestapay = orkestapay.bearer_auth(orkestapay_token(shop).await);
    let orkestapay = Reply::to(orkestapay).await.expect(201).text("/order/order_id").replace("ord_", "");
    let transaction =
        json!({"amount": 1, "transaction_type": "confirmation", "is_transaction_origin_external": true});
    let transaction = request(shop, "POST", "/carat/v1/transactions", Some(&transaction)).await;
    let nit = Reply::to(transaction).await.expect(201).text("/payment/nit");
    Made {
        tracking: reply.text("/tracking_number"),
        position: reply.text("/position"),
        reference: body["merchant_reference"].as_str().expect("text").to_owned(),
        token: reply.text("/status_token"),
        order,
        offer,
        quarantined,
        orkestapay,
        nit,
    }
}

async fn orkestapay_token(client: &Client) -> String {
    let tenant = client.tenant;
    let credentials =
        json!({"client_id": tenant.id, "client_secret": tenant.key, "grant_type": "client_credentials"});
    let request = client.anonymous(Method::POST, "/orkestapay/v1/oauth/tokens").json(&credentials);
    Reply::to(request).await.expect(200).text("/access_token")
}

fn orkestapay_checkout() -> Value {
    json!({
        "completed_redirect_url": "https://shop.example/ok", "canceled_redirect_url": "https://shop.example/no",
        "order": {
            "merchant_order_id": unique("A"), "currency": "MXN", "country_code": "MX",
            "subtotal_amount": 990, "total_amount": 990,
            "products": [{"name": "plan", "quantity": 1, "unit_price": 990}],
            "customer": {"first_name": "John", "last_name": "Doe", "email": "john@example.com"},
        }
    })
}

/// A route's request in a tenant's name: with the vendor's headers where the vendor has its own.
async fn request(client: &Client, method: &str, path: &str, body: Option<&Value>) -> RequestBuilder {
    let method = method.parse::<Method>().expect("a method");
    let request = match path.split('/').nth(1) {
        Some("azotte") => client
            .anonymous(method, path)
            .header("x-api-key", client.tenant.key)
            .header("x-tn", client.tenant.id),
        Some("akinon") => {
            client.anonymous(method, path).basic_auth(client.tenant.id, Some(client.tenant.key))
        }
        Some("orkestapay") => client.anonymous(method, path).bearer_auth(orkestapay_token(client).await),
        Some("carat") => client
            .anonymous(method, path)
            .header("merchant_key", client.tenant.key)
            .header("merchant_id", client.tenant.id),
        _ => client.request(method, path),
    };
    match body {
        Some(body) => request.json(body),
        None => request,
    }
}

/// The paths to ask for at a route, one for each name that the other tenant's order goes by.
fn paths(route: &str, made: &Made) -> Vec<String> {
    let names = match route {
        _ if route.contains("/offers/") => vec![&made.offer],
        _ if route.contains("/quarantine/") => vec![&made.quarantined],
        _ if route.starts_with("/azotte") => vec![&made.tracking],
        _ if route.starts_with("/orkestapay") => vec![&made.orkestapay],
        _ if route.starts_with("/carat") => vec![&made.nit],
        _ => vec![&made.order, &made.tracking],
    };
    names.into_iter().map(|name| route.replace("{}", name)).collect()
}

fn body(route: &str, made: &Made) -> Option<Value> {
    let items = json!([{"itemIdentifier": "plan"}]);
    match route {
        _ if route.ends_with("/captures") || route.ends_with("/refunds") => Some(json!({"amount": eur(1)})),
        _ if route.ends_with("/cancellations") || route.ends_with("/retry") => Some(json!({})),
        _ if route.ends_with("/discard") => Some(json!({"reason": "not mine"})),
        _ if route.starts_with("/akinon") => {
            let mut body = json!({"version": "1", "guid": unique("guid"), "orderId": made.reference});
            if route.ends_with("/refund") {
                body["amount"] = 1.into();
                body["currency"] = "EUR".into();
            }
            Some(body)
        }
        "/azotte/api/c2a/offer/checkout" => Some(json!({
            "order": {"offerIdentifier": made.offer, "correlationId": unique("cor"), "items": items},
            "paymentMethod": {"paymentChannel": "PayPal"},
        })),
        "/orkestapay/v1/oauth/tokens" => {
            Some(json!({"client_id": "acme", "client_secret": "wrong", "grant_type": "client_credentials"}))
        }
        "/orkestapay/v1/payments/pay_{}1/refund" => Some(json!({"amount": 1})),
        _ if route.starts_with("/carat/v1/payments") => {
            Some(json!({"authorizer_id": "2", "acquirer": {"routing_id": "1"}}))
        }
        _ => None,
    }
}

async fn another_tenants_order_does_not_exist_on_any_route(world: World) {
    let (shop, other) = (world.shop(), world.other_shop());
    let made = make(&shop).await;
    let before = world.log().await.len();
    for (method, route, seen) in ROUTES {
        for path in paths(route, &made) {
            println!("{method} {path}");
            let body = body(route, &made);
            match seen {
                Seen::NotFound => {
                    let theirs =
                        Reply::to(request(&other, method, &path, body.as_ref()).await).await.expect(404);
                    // The same answer as for something that nobody has.
                    assert!(!theirs.body().contains(&made.reference), "{}", theirs.body());
                    // And the header that asks for a position opens nothing either.
                    let sent = request(&other, method, &path, body.as_ref()).await;
                    Reply::to(sent.header("daybook-position", &made.position)).await.expect(404);
                }
                Seen::Nothing => {
                    for query in [
                        "",
                        &format!("?merchant_reference={}", made.reference),
                        &format!("?cursor={}", made.position),
                        &format!("?as_of={}", made.position),
                    ] {
                        let theirs =
                            Reply::to(request(&other, method, &format!("{path}{query}"), None).await).await;
                        let text = theirs.body();
                        let names = [&made.order, &made.tracking, &made.reference];
                        assert!(names.iter().all(|name| !text.contains(name.as_str())), "{text}");
                        assert!(!text.contains("10000"), "{text}");
                    }
                }
                Seen::Admin => {
                    for tenant in [&shop, &other] {
                        let status =
                            Reply::to(request(tenant, method, &path, body.as_ref()).await).await.status;
                        assert!([401, 404].contains(&status), "{status}");
                    }
                }
                Seen::Own | Seen::Public | Seen::Signed | Seen::Feed => {}
            }
        }
    }
    assert_eq!(world.log().await.len(), before, "nothing was written");
    assert_eq!(shop.figure(&made.order, "balance").await, 10_000);
    // A key of one tenant under the name of another opens neither.
    let path = format!("/azotte/api/c2a/offer/checkout/{}/status", made.tracking);
    let mixed = other
        .anonymous(Method::GET, &path)
        .header("x-api-key", other.tenant.key)
        .header("x-tn", shop.tenant.id);
    Reply::to(mixed).await.expect(401);
}

async fn the_table_of_routes_is_the_whole_api(world: World) {
    let document = Reply::to(world.shop().anonymous(Method::GET, "/openapi.json")).await.expect(200).json();
    let mut documented = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let mut route = String::new();
        for (index, part) in path.split('{').enumerate() {
            match index {
                0 => route.push_str(part),
                _ => route.push_str(&format!("{{}}{}", part.split_once('}').expect("a parameter").1)),
            }
        }
        for method in operations.as_object().expect("operations").keys() {
            if ["get", "put", "post", "delete", "patch"].contains(&method.as_str()) {
                documented.insert((method.to_uppercase(), route.clone()));
            }
        }
    }
    let table: BTreeSet<_> =
        ROUTES.iter().map(|(method, route, _)| (method.to_string(), route.to_string())).collect();
    let missing: Vec<_> = documented.difference(&table).collect();
    assert!(missing.is_empty(), "routes that this test does not know: {missing:?}");
    let gone: Vec<_> = table.difference(&documented).filter(|(_, route)| route.starts_with("/v1")).collect();
    assert!(gone.is_empty(), "routes that /openapi.json does not know: {gone:?}");
}

async fn no_route_with_data_answers_without_a_key(world: World) {
    let shop = world.shop();
    let made = make(&shop).await;
    for (method, route, seen) in ROUTES {
        let path = paths(route, &made).remove(0);
        println!("{method} {path}");
        let request = shop.anonymous(method.parse().expect("a method"), &path);
        let request = body(route, &made).iter().fold(request, |request, body| request.json(body));
        let status = Reply::to(request).await.status;
        match seen {
            Seen::Public => assert!(status < 400, "{status}"),
            Seen::Signed | Seen::Admin => assert!([401, 404].contains(&status), "{status}"),
            Seen::NotFound | Seen::Nothing | Seen::Own | Seen::Feed => assert_eq!(status, 401),
        }
    }
}

async fn a_status_token_reads_the_status_of_its_own_order_alone(world: World) {
    let shop = world.shop();
    let (made, second) = (make(&shop).await, make(&shop).await);
    let theirs = make(&world.other_shop()).await;
    let with_token = |method: &str, path: &str, token: &str| {
        Reply::to(shop.anonymous(method.parse().expect("a method"), path).bearer_auth(token))
    };
    for name in [&made.order, &made.tracking] {
        let path = format!("/v1/orders/{name}/status");
        assert_eq!(with_token("GET", &path, &made.token).await.expect(200).text("/status"), "captured");
        let asked = shop.anonymous(Method::GET, &format!("{path}?token={}", made.token));
        assert_eq!(Reply::to(asked).await.expect(200).text("/status"), "captured");
        for token in [
            &second.token,
            &theirs.token,
            &format!("{}x", made.token),
            &made.token[..made.token.len() - 1].to_owned(),
        ] {
            let status = with_token("GET", &path, token).await.status;
            assert!([401, 404].contains(&status), "{status} for {token}");
        }
    }
    for (method, route, seen) in ROUTES {
        if matches!(seen, Seen::Public | Seen::Signed | Seen::Admin) || route.ends_with("{}/status") {
            continue;
        }
        let path = paths(route, &made).remove(0);
        println!("{method} {path}");
        with_token(method, &path, &made.token).await.expect(401);
    }
}

async fn a_webhook_cannot_reach_another_tenants_order(world: World) {
    let (shop, other) = (world.shop(), world.other_shop());
    let made = make(&shop).await;
    for (name, value) in [
        ("order_id", &made.order),
        ("tracking_number", &made.tracking),
        ("merchant_reference", &made.reference),
    ] {
        let mut webhook = about("", "refund.settled", json!({"amount": eur(10_000)}));
        webhook["data"].as_object_mut().expect("an object").remove("order_id");
        webhook["data"][name] = value.as_str().into();
        let reply = other.webhook(&unique("evt"), &webhook).await.expect(202);
        assert_eq!(reply.text("/reason"), "unknown_order", "{name}");
        // The other tenant's signature does not open this tenant's door.
        let bytes = webhook.to_string().into_bytes();
        Reply::to(shop.signed(&unique("evt"), &bytes, daybook_tests::client::now(), other.tenant.secret))
            .await
            .expect(401);
    }
    assert_eq!(shop.figure(&made.order, "balance").await, 10_000);
    let crossed = shop.anonymous(Method::POST, &format!("/webhooks/{}/{SOURCE}x", shop.tenant.id)).body("{}");
    Reply::to(crossed).await.expect(404);
}

async fn another_tenants_feed_and_lists_hold_nothing_of_an_order(world: World) {
    let (shop, other) = (world.shop(), world.other_shop());
    let made = make(&shop).await;
    let theirs = other.submit(&checkout(55)).await;
    for after in [None, Some(made.position.as_str())] {
        let first = other.feed(after).await.next_commit().await.expect("a connection that stands");
        assert_eq!(first.data["order_id"], theirs.as_str(), "after {after:?}");
    }
    let lists =
        [other.get("/v1/orders").await, other.get("/v1/totals").await, other.get("/v1/quarantine").await];
    let [orders, totals, quarantine] = lists.map(|list| list.expect(200).json());
    assert_eq!(orders["orders"].as_array().map(Vec::len), Some(1));
    assert_eq!(orders["orders"][0]["order_id"], theirs.as_str());
    assert_eq!(totals["totals"][0]["orders"], 1);
    assert_eq!(quarantine["webhooks"], json!([]));
}
