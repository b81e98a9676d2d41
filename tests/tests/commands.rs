//! The command line beside a server and without one: what it prints, where, and how it ends.

use std::process::Output;

use daybook_tests::{World, checkout, eur};
use ledger::commit::Cause;
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    history_shows_an_order_beside_the_running_server,
    history_says_what_it_cannot_find,
    rebuild_makes_the_same_views_again,
    rebuild_is_refused_while_the_server_runs,
    doctor_finds_a_healthy_ledger_healthy,
    doctor_finds_what_is_wrong,
    doctor_misses_lost_keys_and_money_goes_on_without_them,
);

/// What a command printed on stdout. It must have ended with this code.
#[track_caller]
fn printed(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// What a command that failed said. Nothing of it is data.
#[track_caller]
fn said(output: &Output, code: i32) -> String {
    assert_eq!(printed(output, code), "");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("error: "), "{stderr}");
    stderr
}

async fn a_captured_order(world: &World) -> (String, String) {
    let shop = world.shop();
    let reply = shop.post("/v1/checkouts", &checkout(1_999)).await.expect(202);
    let (order, tracking) = (reply.text("/order_id"), reply.text("/tracking_number"));
    shop.report(&order, "payment.captured", json!({"amount": eur(1_999), "reference": "cap-cli"})).await;
    shop.wait_for(&order, "captured").await;
    (order, tracking)
}

async fn history_shows_an_order_beside_the_running_server(world: World) {
    let (order, tracking) = a_captured_order(&world).await;
    let served = world.shop().history(&order).await.json();
    for name in [&order, &tracking] {
        let output = world.run("history", &[name, "--tenant", "acme", "--json"]).await;
        let document: Value = serde_json::from_str(&printed(&output, 0)).expect("JSON");
        assert_eq!(document, served, "the command answers as the server does");
        let text = printed(&world.run("history", &[name, "--tenant", "acme"]).await, 0);
        for word in [&order, &tracking, "processing", "captured", "19.99 EUR", "payment_captured"] {
            assert!(text.contains(word), "{word} is not in:\n{text}");
        }
    }
    let first = served["entries"][0]["position"].as_str().expect("a position").to_owned();
    let output = world.run("history", &[&order, "--tenant", "acme", "--as-of", &first, "--json"]).await;
    let document: Value = serde_json::from_str(&printed(&output, 0)).expect("JSON");
    assert_eq!(document["entries"], json!([served["entries"][0]]));
}

async fn history_says_what_it_cannot_find(world: World) {
    let (order, _) = a_captured_order(&world).await;
    let unknown = uuid::Uuid::now_v7().to_string();
    let missing = said(&world.run("history", &[&unknown, "--tenant", "acme"]).await, 1);
    assert!(missing.contains(&unknown), "{missing}");
    said(&world.run("history", &[&order, "--tenant", "globex"]).await, 1);
    let whose = said(&world.run("history", &[&order]).await, 2);
    assert!(whose.contains("hint: ") && whose.contains("--tenant"), "{whose}");
    said(&world.run("history", &["A-1001", "--tenant", "acme"]).await, 2);
    said(&world.run("history", &[&order, "--tenant", "acme", "--as-of", "yesterday"]).await, 2);
}

async fn rebuild_makes_the_same_views_again(mut world: World) {
    let (order, _) = a_captured_order(&world).await;
    let before = world.shop().get(&format!("/v1/orders/{order}")).await.expect(200).bytes;
    world.servers[0].stop().await;
    let document: Value =
        serde_json::from_str(&printed(&world.run("rebuild", &["--json"]).await, 0)).expect("JSON");
    assert_eq!((&document["commits"], &document["same_as_before"]), (&json!(2), &json!(true)), "{document}");
    assert_eq!(document["digest"], document["previous_digest"]);
    let text = printed(&world.run("rebuild", &[]).await, 0);
    assert!(text.contains(document["digest"].as_str().expect("a digest")), "{text}");
    world.servers[0].restart().await;
    assert_eq!(world.shop().get(&format!("/v1/orders/{order}")).await.expect(200).bytes, before);
}

async fn rebuild_is_refused_while_the_server_runs(world: World) {
    a_captured_order(&world).await;
    let refused = said(&world.run("rebuild", &[]).await, 1);
    assert!(refused.contains("in use") || refused.contains("stop"), "{refused}");
    world.shop().submit(&checkout(100)).await;
}

async fn doctor_finds_a_healthy_ledger_healthy(mut world: World) {
    a_captured_order(&world).await;
    let kind = if world.nats.is_some() { "jetstream" } else { "embedded" };
    // Beside the server, and without it.
    for _ in 0..2 {
        let output = world.run("doctor", &["--json"]).await;
        let document: Value = serde_json::from_str(&printed(&output, 0)).expect("JSON");
        assert_eq!((&document["healthy"], &document["problems"]), (&json!(true), &json!([])), "{document}");
        assert_eq!((&document["journal"]["kind"], &document["journal"]["last"]), (&json!(kind), &json!([2])));
        let text = printed(&world.run("doctor", &[]).await, 0);
        assert!(text.contains(kind), "{text}");
        world.servers[0].kill();
    }
}

/// A log that was restored without its keys.
async fn doctor_misses_lost_keys_and_money_goes_on_without_them(mut world: World) {
    let mut body = checkout(100);
    body["customer"] = json!({"name": "Ada"});
    let order = world.shop().submit(&body).await;
    world.servers[0].stop().await;
    match &world.nats {
        Some(nats) => {
            let client = async_nats::connect(nats.url()).await.expect("a server");
            let streams = async_nats::jetstream::new(client);
            streams.delete_stream("daybook-keys").await.expect("the stream of keys");
        }
        None => std::fs::remove_file(world.data_dir(0).join("journal.keys.sqlite")).expect("the keys"),
    }
    if world.nats.is_none() {
        let said = printed(&world.run("doctor", &[]).await, 1);
        assert!(said.contains("keys: the page"), "{said}");
    }
    world.servers[0].restart().await;
    let said = printed(&world.run("doctor", &[]).await, 1);
    assert!(said.contains("keys: the page"), "{said}");
    let shop = world.shop();
    let seen = shop.get(&format!("/v1/orders/{order}")).await.expect(200);
    assert_eq!(
        (&seen.json()["customer"]["name"], seen.text("/status")),
        (&Value::Null, "processing".to_owned())
    );
    // What is said from now on is sealed with a key that is there.
    shop.report(&order, "payment.captured", json!({"amount": eur(100), "reference": "cap-1"})).await;
    shop.wait_for(&order, "captured").await;
    let bodies = world.log().await.commits.into_iter().filter_map(|recorded| match recorded.commit.cause {
        Cause::Webhook { body, .. } => Some(body),
        Cause::Command { .. } | Cause::Timer { .. } => None,
    });
    assert!(bodies.into_iter().all(|body| !body.is_empty()));
}

async fn doctor_finds_what_is_wrong(mut world: World) {
    a_captured_order(&world).await;
    world.servers[0].stop().await;
    match world.nats.as_mut() {
        Some(nats) => nats.kill(),
        None => std::fs::write(world.data_dir(0).join("journal.sqlite"), "not a database").expect("a file"),
    }
    let output = world.run("doctor", &["--json"]).await;
    let document: Value = serde_json::from_str(&printed(&output, 1)).expect("JSON");
    assert_eq!(document["healthy"], false, "{document}");
    assert!(document["problems"].as_array().is_some_and(|problems| !problems.is_empty()), "{document}");
}
