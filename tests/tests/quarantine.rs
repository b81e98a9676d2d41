//! What was set aside can be looked at, tried again and discarded: through the API and from the command line.

use std::process::Output;

use daybook_tests::client::{ACME, about, now, unique};
use daybook_tests::{Client, Reply, World, checkout, eur, server};
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    webhooks_signed_with_a_secret_that_was_not_known_are_rescued,
    a_retry_says_why_it_cannot_help_and_changes_nothing,
    a_webhook_is_discarded_once_and_for_a_reason,
    the_list_is_filtered_by_state_and_reason,
    another_tenants_webhook_does_not_exist,
    the_command_line_does_the_same,
);

/// A secret that the server does not have yet.
const NEW_SECRET: &str = "whsec_YSBuZXcgc2VjcmV0IHRoYXQgbm9ib2R5IHRvbGQgdGhlIHNlcnZlcg==";

/// What is open, newest first.
async fn open(shop: &Client) -> Vec<Value> {
    let page = shop.get("/v1/quarantine?state=open").await.expect(200).json();
    page["webhooks"].as_array().expect("a list").clone()
}

/// Sets one webhook aside, and returns its id in quarantine.
async fn set_aside(shop: &Client, event_id: &str, body: &[u8]) -> String {
    shop.webhook_bytes(event_id, body).await.expect(202);
    let found = open(shop).await.into_iter().find(|webhook| webhook["event_id"] == event_id);
    found.expect("it is listed")["id"].as_str().expect("an id").to_owned()
}

async fn retry(shop: &Client, id: &str) -> Reply {
    shop.post(&format!("/v1/quarantine/{id}/retry"), &json!({})).await
}

fn bytes(body: &Value) -> Vec<u8> {
    serde_json::to_vec(body).expect("JSON")
}

async fn webhooks_signed_with_a_secret_that_was_not_known_are_rescued(mut world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(2_000)).await;
    let (authorized, captured) = (unique("evt"), unique("evt"));
    let send = async |shop: &Client, event_id: &str, kind: &str| {
        let data = json!({"amount": eur(2_000), "payment_reference": format!("pay-{order}")});
        let body = bytes(&about(&order, kind, data));
        Reply::to(shop.signed(event_id, &body, now(), NEW_SECRET)).await
    };
    send(&shop, &authorized, "payment.authorized").await.expect(401);
    send(&shop, &captured, "payment.captured").await.expect(401);
    assert_eq!(shop.status(&order).await.text("/status"), "processing");
    let kept = open(&shop).await;
    assert_eq!(kept.len(), 2);
    for webhook in &kept {
        assert_eq!(webhook["reason"], "bad_signature");
        let id = webhook["id"].as_str().expect("an id");
        retry(&shop, id).await.problem(409, "webhook_not_applied");
    }
    assert_eq!(open(&shop).await, kept, "a retry without the secret changes nothing");

    // The secret is put right.
    let file = world.directory().join("daybook.toml");
    let config = std::fs::read_to_string(&file).expect("the configuration");
    let both = format!("{}\", \"{NEW_SECRET}", ACME.secret);
    std::fs::write(&file, config.replace(ACME.secret, &both)).expect("the configuration");
    world.servers[0].restart().await;
    let shop = world.shop();
    // Its sender has sent the capture again meanwhile.
    send(&shop, &captured, "payment.captured").await.expect(200);

    for webhook in &kept {
        let id = webhook["id"].as_str().expect("an id");
        let path = format!("/v1/quarantine/{id}/retry");
        let first = shop.post_with_key(&path, "rescue", &json!({})).await.expect(200);
        assert_eq!((first.text("/outcome"), first.text("/order_id")), ("released".to_owned(), order.clone()));
        let again = shop.post_with_key(&path, "rescue", &json!({})).await.expect(200);
        assert_eq!(again.bytes, first.bytes);
        retry(&shop, id).await.problem(409, "webhook_closed");
        let details = shop.get(&format!("/v1/quarantine/{id}")).await.expect(200);
        assert_eq!(details.text("/outcome"), "released");
    }
    shop.wait_for(&order, "captured").await;
    let balance = shop.balance(&order).await;
    assert_eq!((balance.number("/captured"), balance.number("/authorized")), (2_000, 2_000), "once");
    assert_eq!(open(&shop).await, Vec::<Value>::new());
    world.log().await.assert_nothing_is_there_twice();
}

async fn a_retry_says_why_it_cannot_help_and_changes_nothing(world: World) {
    let shop = world.shop();
    let unreadable = set_aside(&shop, &unique("evt"), b"not JSON").await;
    let unknown = about(
        "bd6fdb1c-5e78-55f9-aee6-ed210905f6db",
        "payment.captured",
        json!({"amount": eur(100), "reference": "cap-1"}),
    );
    let waiting = set_aside(&shop, &unique("evt"), &bytes(&unknown)).await;
    let order = shop.submit(&checkout(100)).await;
    let yen = about(&order, "payment.captured", json!({"amount": {"value": 1, "currency": "JPY"}}));
    let refused = set_aside(&shop, &unique("evt"), &bytes(&yen)).await;
    let before = world.log().await.len();
    for id in [&unreadable, &waiting, &refused] {
        retry(&shop, id).await.problem(409, "webhook_not_applied");
    }
    assert_eq!(world.log().await.len(), before);
    assert_eq!(open(&shop).await.len(), 3);
    let details = shop.get(&format!("/v1/quarantine/{waiting}")).await.expect(200).json();
    assert_eq!(details["waits_for"], json!([{"order_id": "bd6fdb1c-5e78-55f9-aee6-ed210905f6db"}]));
    assert_eq!(details["headers"][0]["name"], "webhook-id");
    retry(&shop, "bd6fdb1c-5e78-55f9-aee6-ed210905f6db").await.problem(404, "not_found");
    retry(&shop, "nothing").await.problem(404, "not_found");
}

async fn a_webhook_is_discarded_once_and_for_a_reason(world: World) {
    let shop = world.shop();
    let id = set_aside(&shop, &unique("evt"), b"noise").await;
    let path = format!("/v1/quarantine/{id}/discard");
    let before = world.log().await.len();
    shop.post(&path, &json!({})).await.problem(422, "missing_field");
    shop.post(&path, &json!({"reason": ""})).await.problem(422, "invalid_field");
    shop.post(&path, &json!({"reason": "x".repeat(501)})).await.problem(422, "invalid_field");
    shop.post(&path, &json!({"reason": "card 4242424242424242"})).await.problem(422, "card_number_refused");
    shop.post(&path, &json!({"reason": "a", "because": "b"})).await.problem(422, "unknown_field");
    assert_eq!(world.log().await.len(), before);

    let why = json!({"reason": "sent by a load test"});
    let first = shop.post_with_key(&path, "discard-1", &why).await.expect(200);
    assert_eq!(first.text("/outcome"), "discarded");
    assert_eq!(shop.post_with_key(&path, "discard-1", &why).await.expect(200).bytes, first.bytes);
    let other = json!({"reason": "something else"});
    shop.post_with_key(&path, "discard-1", &other).await.problem(422, "idempotency_key_reused");
    shop.post(&path, &why).await.problem(409, "webhook_closed");
    retry(&shop, &id).await.problem(409, "webhook_closed");
    let details = shop.get(&format!("/v1/quarantine/{id}")).await.expect(200).json();
    assert_eq!(
        (&details["outcome"], &details["discard_reason"]),
        (&json!("discarded"), &json!("sent by a load test"))
    );
    assert_eq!(world.log().await.len(), before + 1, "and it is one event");
}

async fn the_list_is_filtered_by_state_and_reason(world: World) {
    let shop = world.shop();
    for index in 0..5 {
        set_aside(&shop, &unique("evt"), b"noise").await;
        let id = format!("bd6fdb1c-5e78-55f9-aee6-ed210905f6d{index}");
        let event = about(&id, "payment.captured", json!({"amount": eur(1)}));
        set_aside(&shop, &unique("evt"), &bytes(&event)).await;
    }
    let noise = open(&shop).await.into_iter().find(|webhook| webhook["reason"] == "unreadable");
    let noise = noise.expect("one")["id"].as_str().expect("an id").to_owned();
    shop.post(&format!("/v1/quarantine/{noise}/discard"), &json!({"reason": "noise"})).await.expect(200);
    let count = async |query: &str| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = shop.get(&format!("/v1/quarantine?limit=2&{query}{cursor}")).await.expect(200).json();
            let webhooks = page["webhooks"].as_array().expect("a list");
            assert!(webhooks.len() <= 2);
            found.extend(webhooks.iter().map(|webhook| webhook["id"].to_string()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let all = found.len();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), all, "each once");
        all
    };
    assert_eq!(count("").await, 10);
    assert_eq!(count("state=open").await, 9);
    assert_eq!(count("state=discarded").await, 1);
    assert_eq!(count("state=released").await, 0);
    assert_eq!(count("reason=unreadable").await, 5);
    assert_eq!(count("reason=unreadable&state=open").await, 4);
    assert_eq!(count("reason=unknown_order&state=open").await, 5);
    for wrong in ["state=closed", "reason=bad", "states=open"] {
        shop.get(&format!("/v1/quarantine?{wrong}")).await.problem(400, "invalid_query");
    }
}

async fn another_tenants_webhook_does_not_exist(world: World) {
    let (shop, other) = (world.shop(), world.other_shop());
    let id = set_aside(&shop, &unique("evt"), b"noise").await;
    other.get(&format!("/v1/quarantine/{id}")).await.problem(404, "not_found");
    retry(&other, &id).await.problem(404, "not_found");
    let why = json!({"reason": "not mine"});
    other.post(&format!("/v1/quarantine/{id}/discard"), &why).await.problem(404, "not_found");
    assert_eq!(open(&shop).await.len(), 1);
}

/// Runs `daybook quarantine …` against the world's first server as `acme`.
fn run(world: &World, arguments: &[&str]) -> Output {
    let mut command = server::command(world.directory());
    command.arg("quarantine").args(arguments).args(["--server", world.servers[0].url()]);
    command.env("DAYBOOK_API_KEY", ACME.key).output().expect("the command runs")
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

async fn the_command_line_does_the_same(world: World) {
    let shop = world.shop();
    let (noise, kept) = ("n\u{f6}t JSON\n".as_bytes(), unique("evt"));
    let id = set_aside(&shop, &kept, noise).await;
    let listed = printed(&run(&world, &["list"]));
    assert!(listed.contains(&id) && listed.contains("unreadable"), "{listed}");
    let json: Value = serde_json::from_str(&printed(&run(&world, &["list", "--json"]))).expect("JSON");
    assert_eq!(json["webhooks"][0]["id"], id.as_str());
    let shown = printed(&run(&world, &["show", &id]));
    assert!(shown.contains(&kept) && shown.contains("webhook-timestamp"), "{shown}");
    assert_eq!(run(&world, &["show", &id, "--raw"]).stdout, noise);

    let refused = run(&world, &["retry", &id]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty(), "what went wrong is no data");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("line 1"), "{refused:?}");
    let discarded = printed(&run(&world, &["discard", &id, "--reason", "a test's"]));
    assert!(discarded.contains("discarded"), "{discarded}");
    assert!(!printed(&run(&world, &["list"])).contains(&id), "it is not open any more");
    assert!(printed(&run(&world, &["list", "--state", "all"])).contains(&id));

    assert_eq!(run(&world, &["show", "../orders"]).status.code(), Some(2));
    let mut without_key = server::command(world.directory());
    without_key
        .args(["quarantine", "list", "--server", world.servers[0].url()])
        .env_remove("DAYBOOK_API_KEY");
    assert_eq!(without_key.output().expect("the command runs").status.code(), Some(2));
}
