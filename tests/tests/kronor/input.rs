//! Whatever is wrong with a request has a type of its own, and leaves nothing in the log.

use daybook_tests::client::unique;
use daybook_tests::{Reply, World};
use reqwest::Method;
use serde_json::{Value, json};

use super::buyer::{CREATE, ORDERS, PATH, ask, create, kind, purchase};

daybook_tests::in_each_world!(
    a_bad_purchase_is_refused_by_the_field_and_leaves_nothing_in_the_log,
    a_bad_request_is_refused_in_the_vendors_shape,
    a_journal_that_is_away_is_a_temporary_failure,
);

/// A purchase with the value at this JSON pointer replaced, or removed.
fn with(pointer: &str, value: Option<Value>) -> Value {
    let mut body = purchase(&unique("key"));
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = body.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    body
}

async fn a_bad_purchase_is_refused_by_the_field_and_leaves_nothing_in_the_log(world: World) {
    let shop = world.shop();
    create(&shop).await;
    let before = world.log().await.len();
    // What the schema itself knows: missing fields, wrong types, unknown words.
    let required = [
        "/idempotencyKey",
        "/merchantReference",
        "/billingAddress",
        "/purchaseCountry",
        "/purchaseLanguage",
        "/purchaseLines",
        "/purchaseTotalAmount",
        "/purchaseTaxAmount",
        "/billingAddress/city",
        "/billingAddress/country",
        "/billingAddress/email",
        "/billingAddress/firstName",
        "/billingAddress/lastName",
        "/billingAddress/phoneNumber",
        "/billingAddress/postalCode",
        "/billingAddress/streetAddress",
        "/purchaseLines/0/name",
        "/purchaseLines/0/pricePerItem",
        "/purchaseLines/0/quantity",
        "/purchaseLines/0/taxRate",
        "/purchaseLines/0/totalAmount",
        "/purchaseLines/0/totalTaxAmount",
    ];
    let missing = required.iter().flat_map(|pointer| [(*pointer, None), (*pointer, Some(Value::Null))]);
    let wrong = [
        ("/purchaseCountry", json!("XX")),
        ("/purchaseCountry", json!("se")),
        ("/purchaseLanguage", json!("swedish")),
        ("/billingAddress/country", json!("Sweden")),
        ("/billingAddress/extra", json!("x")),
        ("/extra", json!("x")),
        ("/merchantReference", json!(7)),
        ("/purchaseTotalAmount", json!("30000")),
        ("/purchaseTotalAmount", json!(300.5)),
        ("/purchaseTotalAmount", json!(3_000_000_000_i64)),
        ("/purchaseLines/0/quantity", json!(true)),
        ("/purchaseLines/0", json!(null)),
    ];
    let wrong = wrong.into_iter().filter(|(pointer, _)| *pointer != "/purchaseLines/0");
    for (pointer, value) in missing.chain(wrong.map(|(pointer, value)| (pointer, Some(value)))) {
        let body = with(pointer, value.clone());
        let reply = ask(&shop, shop.tenant.key, CREATE, json!({"purchase": body})).await.expect(200);
        assert_eq!(kind(&reply), "INVALID_GRAPHQL", "{pointer} = {value:?}: {}", reply.body());
        assert!(reply.json()["data"].is_null());
    }
    // What only its rules know: each with its field. The whole table stands beside the rules.
    for (pointer, value, field) in [
        ("/idempotencyKey", json!("a b"), "purchase.idempotencyKey"),
        ("/idempotencyKey", json!("x".repeat(65)), "purchase.idempotencyKey"),
        ("/merchantReference", json!("x".repeat(65)), "purchase.merchantReference"),
        ("/merchantReference", json!("4242 4242 4242 4242"), "purchase.merchantReference"),
        ("/billingAddress/email", json!("nobody"), "purchase.billingAddress.email"),
        ("/purchaseLines", json!([]), "purchase.purchaseLines"),
        ("/purchaseLines/0/name", json!("x".repeat(101)), "purchase.purchaseLines[0].name"),
        ("/purchaseLines/0/quantity", json!(0), "purchase.purchaseLines[0].quantity"),
        ("/purchaseLines/0/quantity", json!(2), "purchase.purchaseLines[0].totalAmount"),
        ("/purchaseLines/0/taxRate", json!(1200), "purchase.purchaseLines[0].totalTaxAmount"),
        ("/purchaseTotalAmount", json!(29_999), "purchase.purchaseTotalAmount"),
        ("/purchaseTaxAmount", json!(5_999), "purchase.purchaseTaxAmount"),
    ] {
        let body = with(pointer, Some(value.clone()));
        let reply = ask(&shop, shop.tenant.key, CREATE, json!({"purchase": body})).await.expect(200);
        assert_eq!(kind(&reply), "INVALID_INPUT", "{pointer} = {value}");
        assert_eq!(reply.text("/errors/0/extensions/field"), field);
        assert!(!reply.body().contains("4242"), "{}", reply.body());
    }
    let quoted = "mutation { newPurchaseOrder(purchase: \"4242 4242 4242 4242\") { id } }";
    let reply = ask(&shop, shop.tenant.key, quoted, json!({})).await.expect(200);
    assert!(!reply.body().contains("4242"), "{}", reply.body());
    let cancel = "mutation($id: String!) { purchaseOrderCancel(cancel: {purchaseOrderId: $id}) { result } }";
    for (id, expect) in [("nothing", "NOT_FOUND"), ("", "INVALID_INPUT"), ("a b", "INVALID_INPUT")] {
        let reply = ask(&shop, shop.tenant.key, cancel, json!({"id": id})).await.expect(200);
        assert_eq!(kind(&reply), expect, "{id:?}");
    }
    assert_eq!(world.log().await.len(), before);
}

async fn a_bad_request_is_refused_in_the_vendors_shape(world: World) {
    let shop = world.shop();
    let post = || shop.anonymous(Method::POST, PATH).header("content-type", "application/json");
    let ours = || post().bearer_auth(shop.tenant.key);
    let good = json!({"query": ORDERS}).to_string();
    let requests = [
        (ours().body("{"), 400, "INVALID_REQUEST"),
        (ours().body(""), 400, "INVALID_REQUEST"),
        (ours().body("[]"), 400, "INVALID_REQUEST"),
        (ours().body("{\"query\": 7}"), 400, "INVALID_REQUEST"),
        (ours().body(&b"{\"query\": \"\xff\"}"[..]), 400, "INVALID_REQUEST"),
        (ours().body(format!("{{\"query\": \"{}\"}}", " ".repeat(70_000))), 413, "REQUEST_TOO_LARGE"),
        (
            shop.request(Method::POST, PATH).header("content-type", "text/plain").body(good.clone()),
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        (shop.request(Method::POST, PATH).body(good.clone()), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (shop.request(Method::PUT, PATH).body(good.clone()), 405, "METHOD_NOT_ALLOWED"),
        (shop.request(Method::GET, "/kronor/v1/nothing"), 404, "NOT_FOUND"),
        (post().body(good.clone()), 401, "UNAUTHENTICATED"),
        (post().bearer_auth("nobody").body(good.clone()), 401, "UNAUTHENTICATED"),
        (post().header("authorization", shop.tenant.key).body(good.clone()), 401, "UNAUTHENTICATED"),
        (post().basic_auth(shop.tenant.id, Some(shop.tenant.key)).body(good.clone()), 401, "UNAUTHENTICATED"),
        (ours().body("{}"), 200, "INVALID_GRAPHQL"),
        (ours().body(json!({"query": "{ nothing }"}).to_string()), 200, "INVALID_GRAPHQL"),
        (
            ours().body(json!({"query": "subscription { purchases { id } }"}).to_string()),
            200,
            "INVALID_GRAPHQL",
        ),
    ];
    for (request, status, expect) in requests {
        let reply = Reply::to(request).await;
        assert_eq!((reply.status, kind(&reply).as_str()), (status, expect), "{}", reply.body());
        assert!(reply.text("/errors/0/message").len() > 3);
    }
    assert_eq!(world.log().await.len(), 0);
    // A browser asks first whether it may, from any page.
    let preflight =
        Reply::to(shop.anonymous(Method::OPTIONS, PATH).header("origin", "https://shop.example")).await;
    let allowed = |reply: &Reply| reply.header("access-control-allow-origin").map(str::to_owned);
    assert_eq!(allowed(&preflight.expect(204)).as_deref(), Some("*"));
    assert_eq!(allowed(&Reply::to(ours().body(good)).await.expect(200)).as_deref(), Some("*"));
    let sdl = Reply::to(shop.anonymous(Method::GET, "/kronor/v1/graphql/schema.graphql")).await.expect(200);
    let published = include_str!("../../../api/src/surfaces/kronor/schema.graphql");
    assert_eq!(sdl.body(), published);
}

async fn a_journal_that_is_away_is_a_temporary_failure(mut world: World) {
    let shop = world.shop();
    let created = create(&shop).await;
    created.until(&shop, "PRE_FLIGHT_SCORING").await;
    let Some(nats) = &mut world.nats else { return };
    nats.kill();
    let body = purchase(&unique("key"));
    let reply = ask(&shop, shop.tenant.key, CREATE, json!({"purchase": body})).await.expect(503);
    assert_eq!(kind(&reply), "TEMPORARY_FAILURE");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert!(reply.json()["data"].is_null());
}
