//! Outgoing notifications, with a receiver that verifies every signature: each status change once, in order per order,
//! whatever is down or killed meanwhile, and none that only comes of folding the log again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use daybook_tests::client::{GLOBEX, about, unique};
use daybook_tests::receiver::Received;
use daybook_tests::server::free_port;
use daybook_tests::{Client, Kind, Receiver, Setup, World, checkout, eur, eventually};
use ledger::ids::Position;
use ledger::journal::Journal;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::jetstream::{JetStreamConfig, JetStreamJournal};
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    super::notified(1);
    every_status_change_is_told_once_with_what_it_is,
    a_receiver_that_was_down_is_told_everything_in_order,
    an_order_whose_messages_fail_holds_up_no_other,
    a_status_change_outlives_a_kill_before_its_delivery,
    a_message_that_was_under_way_when_the_server_was_killed_is_sent_again,
    folding_the_log_again_tells_nobody,
    what_was_given_up_is_listed_and_can_be_tried_again,
    a_stop_in_good_order_repeats_nothing_and_the_next_start_does_not_wait,
);

daybook_tests::in_a_partitioned_world!(
    super::notified(1);
    every_status_change_is_told_once_with_what_it_is,
    a_stop_in_good_order_repeats_nothing_and_the_next_start_does_not_wait,
);

/// In worlds that begin without an endpoint.
mod without {
    use super::an_endpoint_that_is_added_later_is_told_what_happens_from_then_on;

    daybook_tests::in_each_world!(an_endpoint_that_is_added_later_is_told_what_happens_from_then_on);
}

/// The tenant `globex`'s secrets: the new one, and the one that it replaces.
const SECRETS: &[&str] =
    &["whsec_bm90aWZpY2F0aW9ucy1zZWNyZXQtb25l", "whsec_bm90aWZpY2F0aW9ucy1zZWNyZXQtdHdv"];

fn endpoint(port: u16) -> String {
    format!("[tenants.notifications]\nurl = \"http://127.0.0.1:{port}/hook\"\nsecrets = {SECRETS:?}\n")
}

/// Servers that tell `globex` of its orders, on a port where nobody listens yet.
fn notified(servers: usize) -> Setup {
    Setup { servers, globex: endpoint(free_port()), ..Setup::default() }
}

/// Where the receiver has to be.
fn address(world: &World) -> SocketAddr {
    let rest = world.setup().globex.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    rest.and_then(|address| address.parse().ok()).expect("an address")
}

/// What `globex` sees as not delivered.
async fn listed(shop: &Client, state: &str) -> Vec<Value> {
    let list = shop.get(&format!("/v1/notifications?state={state}")).await.expect(200).json();
    list["notifications"].as_array().expect("a list").clone()
}

/// Waits until the log is read up to this position and nothing is left to be delivered.
async fn settled(shop: &Client, position: &str) {
    let wanted: Position = position.parse().expect("a position");
    eventually("everything delivered", async || {
        let list = shop.get("/v1/notifications").await.expect(200).json();
        let read: Position = list["read_up_to"][usize::from(wanted.partition)].as_str()?.parse().ok()?;
        (read >= wanted && list["notifications"] == json!([])).then_some(())
    })
    .await;
}

async fn newest_position(shop: &Client, order: &str) -> String {
    shop.status(order).await.text("/position")
}

/// An order that is authorized and then captured: `processing`, `authorized`, `captured`.
async fn captured_order(shop: &Client) -> String {
    let order = shop.submit(&checkout(10_000)).await;
    shop.report(&order, "payment.authorized", json!({"amount": eur(10_000)})).await;
    capture(shop, &order).await;
    order
}

async fn capture(shop: &Client, order: &str) {
    shop.report(order, "payment.captured", json!({"amount": eur(10_000), "reference": unique("cap")})).await;
}

const CAPTURED: [&str; 3] = ["processing", "authorized", "captured"];

/// How often each message was taken.
fn times(received: &[Received]) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for message in received.iter().filter(|message| message.is_taken()) {
        *times.entry(message.id.clone()).or_default() += 1;
    }
    times
}

async fn every_status_change_is_told_once_with_what_it_is(world: World) {
    let receiver = Receiver::taking(address(&world), SECRETS).await;
    let shop = world.other_shop();
    let body = checkout(10_000);
    let order = shop.submit(&body).await;
    shop.report(&order, "payment.authorized", json!({"amount": eur(10_000)})).await;
    // What changes no status is told nobody: other kinds, repetitions, requests, other tenants' orders.
    shop.report(&order, "payment.something_else", json!({})).await;
    let (event, captured) = (unique("evt"), json!({"amount": eur(10_000), "reference": unique("cap")}));
    for _ in 0..3 {
        shop.webhook(&event, &about(&order, "payment.captured", captured.clone())).await.expect(200);
    }
    captured_order(&world.shop()).await;
    let refund = shop.post(&format!("/v1/orders/{order}/refunds"), &json!({"amount": eur(2_500)})).await;
    let refund = json!({"refund_id": refund.expect(202).text("/refund_id"), "amount": eur(2_500)});
    shop.report(&order, "refund.settled", refund).await;
    settled(&shop, &newest_position(&shop, &order).await).await;

    let received = receiver.received();
    let statuses = ["processing", "authorized", "captured", "partially_refunded"];
    assert_eq!(receiver.statuses(&order), statuses);
    assert_eq!(received.len(), statuses.len(), "nothing else, and nothing twice: {received:?}");
    let document = shop.get(&format!("/v1/orders/{order}")).await.expect(200).json();
    let history = shop.history(&order).await.json();
    let mut previous = Value::Null;
    for message in received {
        assert_eq!(message.signatures, SECRETS.len());
        assert_eq!(message.body["type"], "order.status_changed");
        let position = message.data("position").to_owned();
        assert_eq!(message.id, format!("ntf_{order}_{position}"));
        let entries = history["entries"].as_array().expect("entries");
        let entry = entries.iter().find(|entry| entry["position"] == position.as_str()).expect("an entry");
        assert_eq!(message.body["timestamp"], entry["at"]);
        let path = format!("/v1/orders/{order}/balance?as_of={position}");
        let expected = json!({
            "order_id": order,
            "tracking_number": document["tracking_number"],
            "merchant_reference": body["merchant_reference"],
            "surface": "v1",
            "status": entry["status"],
            "previous_status": previous,
            "position": position,
            "amount": eur(10_000),
            "balance": shop.get(&path).await.expect(200).json(),
        });
        assert_eq!(message.body["data"], expected);
        previous = entry["status"].clone();
    }
    assert_eq!(shop.metric("daybook_notifications_total", "delivered").await, 4);
    assert_eq!(shop.metric("daybook_notifications_pending", "globex").await, 0);
    let none = world.shop().get("/v1/notifications").await.expect(200).json();
    assert_eq!(none, json!({"read_up_to": [], "notifications": []}), "another tenant sees nothing of it");
    shop.get("/v1/notifications?state=lost").await.problem(400, "invalid_query");
}

async fn a_receiver_that_was_down_is_told_everything_in_order(world: World) {
    let shop = world.other_shop();
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(captured_order(&shop).await);
    }
    let pending = eventually("failed attempts", async || {
        let pending = listed(&shop, "pending").await;
        (pending.len() == 15 && pending[0]["attempts"].as_u64()? > 1).then_some(pending)
    })
    .await;
    let first = &pending[0];
    assert_eq!((&first["order_id"], &first["state"]), (&json!(orders[0]), &json!("pending")));
    assert!(first["last_error"].as_str().is_some_and(|e| e.starts_with("cannot connect")), "{first}");
    assert!(first["next_attempt_at"].is_string() && first["last_attempt_at"].is_string(), "{first}");
    assert_eq!(pending[1]["attempts"], 0, "it waits for the one before it");
    assert_eq!(shop.metric("daybook_notifications_pending", "globex").await, 15);
    assert_eq!(listed(&shop, "given_up").await, [""; 0]);

    let receiver = Receiver::taking(address(&world), SECRETS).await;
    for order in &orders {
        receiver.wait_for(order, "captured").await;
        assert_eq!(receiver.statuses(order), CAPTURED);
    }
    settled(&shop, &newest_position(&shop, &orders[4]).await).await;
    assert!(times(&receiver.received()).values().all(|times| *times == 1), "{:?}", receiver.received());
}

async fn an_order_whose_messages_fail_holds_up_no_other(world: World) {
    let shop = world.other_shop();
    let order = shop.submit(&checkout(10_000)).await;
    let (poison, receiver_address) = (order.clone(), address(&world));
    let answer = move |message: &Received| match message.data("order_id") == poison {
        true => Some(500),
        false => Some(200),
    };
    let receiver = Receiver::start(receiver_address, SECRETS, answer).await;
    capture(&shop, &order).await;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(captured_order(&shop).await);
    }
    for other in &others {
        receiver.wait_for(other, "captured").await;
        assert_eq!(receiver.statuses(other), CAPTURED);
    }
    eventually("several attempts", async || {
        let received = receiver.received();
        (received.iter().filter(|message| !message.is_taken()).count() >= 3).then_some(())
    })
    .await;
    let received = receiver.received();
    let attempts: Vec<&Received> = received.iter().filter(|message| !message.is_taken()).collect();
    assert!(attempts.iter().all(|attempt| attempt.data("status") == "processing"), "one after the other");
    assert!(
        attempts.iter().all(|attempt| (&attempt.id, &attempt.body) == (&attempts[0].id, &attempts[0].body))
    );
    let pending = listed(&shop, "pending").await;
    assert_eq!(pending.len(), 2, "{pending:?}");
    assert_eq!(pending[0]["last_error"], "answered 500");

    receiver.stop().await;
    let receiver = Receiver::taking(receiver_address, SECRETS).await;
    receiver.wait_for(&order, "captured").await;
    assert_eq!(receiver.statuses(&order), ["processing", "captured"]);
}

async fn a_status_change_outlives_a_kill_before_its_delivery(mut world: World) {
    let shop = world.other_shop();
    let order = shop.submit(&checkout(10_000)).await;
    // At once: most likely nobody has even read it from the log.
    world.servers[0].kill();
    world.servers[0].restart().await;
    capture(&shop, &order).await;
    eventually("a failed attempt", async || (!listed(&shop, "pending").await.is_empty()).then_some(())).await;
    world.servers[0].kill();
    let receiver = Receiver::taking(address(&world), SECRETS).await;
    world.servers[0].restart().await;
    receiver.wait_for(&order, "captured").await;
    assert_eq!(receiver.statuses(&order), ["processing", "captured"]);
}

async fn a_message_that_was_under_way_when_the_server_was_killed_is_sent_again(mut world: World) {
    let shop = world.other_shop();
    let holding = Receiver::start(address(&world), SECRETS, |_| None).await;
    let order = captured_order(&shop).await;
    eventually("a message under way", async || (!holding.received().is_empty()).then_some(())).await;
    world.servers[0].kill();
    let held = holding.received();
    holding.stop().await;
    let receiver = Receiver::taking(address(&world), SECRETS).await;
    world.servers[0].restart().await;
    receiver.wait_for(&order, "captured").await;
    assert_eq!(receiver.statuses(&order), CAPTURED);
    assert_eq!(held.len(), 1, "the second one waited for the first");
    let again = &receiver.received()[0];
    assert_eq!((&again.id, &again.body), (&held[0].id, &held[0].body), "the same message");
}

async fn folding_the_log_again_tells_nobody(mut world: World) {
    let receiver = Receiver::taking(address(&world), SECRETS).await;
    let shop = world.other_shop();
    let mut told = 0;
    for _ in 0..5 {
        captured_order(&shop).await;
        told += CAPTURED.len();
    }
    settled(&shop, "0-15").await;
    for deleted in [false, true] {
        world.servers[0].stop().await;
        if deleted {
            std::fs::remove_dir_all(world.data_dir(0).join("views")).expect("there are views");
        } else {
            let output = world.run("rebuild", &[]).await;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        world.servers[0].restart().await;
        // What is told after the fold is all that is told.
        let order = captured_order(&shop).await;
        told += CAPTURED.len();
        settled(&shop, &newest_position(&shop, &order).await).await;
        assert_eq!(receiver.received().len(), told, "deleted: {deleted}");
    }
    assert_eq!(times(&receiver.received()).len(), told);
}

async fn a_stop_in_good_order_repeats_nothing_and_the_next_start_does_not_wait(mut world: World) {
    let receiver = Receiver::taking(address(&world), SECRETS).await;
    let shop = world.other_shop();
    let mut orders = BTreeSet::new();
    for _ in 0..3 {
        for _ in 0..10 {
            orders.insert(captured_order(&shop).await);
        }
        world.servers[0].stop().await;
        let restarted = std::time::Instant::now();
        world.servers[0].restart().await;
        let order = captured_order(&shop).await;
        receiver.wait_for(&order, "captured").await;
        assert!(restarted.elapsed().as_secs() < 8, "the lease was let go: {:?}", restarted.elapsed());
        orders.insert(order);
    }
    for order in &orders {
        receiver.wait_for(order, "captured").await;
        assert_eq!(receiver.statuses(order), CAPTURED);
    }
    assert_eq!(receiver.received().len(), orders.len() * CAPTURED.len());
}

/// Makes the memo of `globex` say that its status changes were years ago. No server may be running.
async fn age(world: &World) {
    async fn rewrite(journal: &impl Journal) {
        let memo = journal.memo("notifications.globex").await.expect("readable").expect("a memo");
        let mut document: Value = serde_json::from_slice(&memo.bytes).expect("JSON");
        for entry in document["pending"].as_array_mut().expect("a list") {
            entry["changed_at"] = json!("2020-01-01T00:00:00Z");
        }
        let bytes = document.to_string().into();
        journal.put_memo("notifications.globex", memo.revision, bytes).await.expect("stored");
    }
    match &world.nats {
        Some(nats) => {
            let config = JetStreamConfig::new(nats.url());
            rewrite(&JetStreamJournal::connect(config).await.expect("the journal opens")).await;
        }
        None => {
            let path = world.data_dir(0).join("journal.sqlite");
            let journal = EmbeddedJournal::open(path, EmbeddedOptions::default()).await;
            rewrite(&journal.expect("the journal opens")).await;
        }
    }
}

async fn what_was_given_up_is_listed_and_can_be_tried_again(mut world: World) {
    let shop = world.other_shop();
    let order = shop.submit(&checkout(10_000)).await;
    eventually("a failed attempt", async || {
        let pending = listed(&shop, "pending").await;
        (pending.first()?["attempts"].as_u64()? >= 1).then_some(())
    })
    .await;
    world.servers[0].stop().await;
    age(&world).await;
    world.servers[0].restart().await;
    let given_up = eventually("a notification that was given up", async || {
        listed(&shop, "given_up").await.first().cloned()
    })
    .await;
    assert_eq!((&given_up["state"], &given_up["next_attempt_at"]), (&json!("given_up"), &Value::Null));
    assert_eq!((&given_up["order_id"], listed(&shop, "pending").await.len()), (&json!(order), 0));
    assert!(world.servers[0].printed().contains("a notification was given up"), "it is loud");
    assert_eq!(shop.metric("daybook_notifications_total", "given_up").await, 1);

    // The order goes on without it.
    let receiver = Receiver::taking(address(&world), SECRETS).await;
    capture(&shop, &order).await;
    receiver.wait_for(&order, "captured").await;
    assert_eq!(receiver.statuses(&order), ["captured"]);

    let id = given_up["id"].as_str().expect("an id");
    let retry = format!("/v1/notifications/{id}/retry");
    world.shop().post(&retry, &json!({})).await.problem(404, "not_found");
    shop.post(&retry.replace("_0-", "_0-9"), &json!({})).await.problem(404, "not_found");
    shop.post("/v1/notifications/x/retry", &json!({})).await.problem(404, "not_found");
    let retried = shop.post(&retry, &json!({})).await.expect(202).json();
    assert_eq!(retried, json!({"id": id, "state": "pending"}));
    receiver.wait_for(&order, "processing").await;
    eventually("an empty list", async || {
        (listed(&shop, "given_up").await.is_empty() && listed(&shop, "pending").await.is_empty())
            .then_some(())
    })
    .await;
    assert_eq!(receiver.received().len(), 2);
}

async fn an_endpoint_that_is_added_later_is_told_what_happens_from_then_on(mut world: World) {
    let shop = world.other_shop();
    let before = shop.submit(&checkout(10_000)).await;
    let port = free_port();
    let receiver = Receiver::taking(SocketAddr::from(([127, 0, 0, 1], port)), SECRETS).await;
    let file = world.directory().join("daybook.toml");
    let without = std::fs::read_to_string(&file).expect("a configuration");
    let with = without.clone() + &endpoint(port);

    world.servers[0].stop().await;
    std::fs::write(&file, &with).expect("a configuration");
    world.servers[0].restart().await;
    capture(&shop, &before).await;
    receiver.wait_for(&before, "captured").await;
    assert_eq!(receiver.statuses(&before), ["captured"]);
    assert_eq!(receiver.received()[0].data("previous_status"), "processing");

    // One that is taken away and comes back goes on where it was.
    world.servers[0].stop().await;
    std::fs::write(&file, without).expect("a configuration");
    world.servers[0].restart().await;
    let meanwhile = captured_order(&shop).await;
    world.servers[0].stop().await;
    std::fs::write(&file, with).expect("a configuration");
    world.servers[0].restart().await;
    receiver.wait_for(&meanwhile, "captured").await;
    assert_eq!(receiver.statuses(&meanwhile), CAPTURED);
}

/// More than may be pending: the log is the queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_any_length_waits_in_the_log() {
    const ORDERS: usize = 1_200;
    let world = World::with(Kind::Embedded, notified(1)).await;
    let shop = world.other_shop();
    let body = checkout(10_000);
    for _ in 0..ORDERS / 40 {
        let submits = (0..40).map(|_| shop.submit(&body));
        futures::future::join_all(submits).await;
    }
    let read = eventually("a full list", async || {
        let list = shop.get("/v1/notifications").await.expect(200).json();
        let pending = list["notifications"].as_array()?.len();
        assert!(pending <= 1_000, "{pending}");
        (pending == 1_000).then(|| list["read_up_to"][0].clone())
    })
    .await;
    assert_ne!(read, json!(format!("0-{ORDERS}")), "the log is not read on");
    let receiver = Receiver::taking(address(&world), SECRETS).await;
    eventually("all of them", async || (times(&receiver.received()).len() == ORDERS).then_some(())).await;
    assert_eq!(receiver.taken().len(), ORDERS, "each once");
}

async fn delivered_by(client: &Client) -> u64 {
    client.metric("daybook_notifications_total", "delivered").await
}

async fn one_node_delivers_and_another_takes_over_when_it_is_killed(kind: Kind) {
    let mut world = World::with(kind, notified(2)).await;
    let receiver = Receiver::taking(address(&world), SECRETS).await;
    let shops = [world.client(0, GLOBEX), world.client(1, GLOBEX)];
    for _ in 0..10 {
        for shop in &shops {
            let order = captured_order(shop).await;
            receiver.wait_for(&order, "captured").await;
        }
    }
    assert_eq!(receiver.received().len(), 20 * CAPTURED.len(), "each once");
    let delivered = [delivered_by(&shops[0]).await, delivered_by(&shops[1]).await];
    let owner = usize::from(delivered[1] > 0);
    assert_eq!(delivered[1 - owner], 0, "one of them does all of it: {delivered:?}");

    // Killed with a status change acknowledged a moment ago.
    let orders = [captured_order(&shops[owner]).await, captured_order(&shops[1 - owner]).await];
    world.servers[owner].kill();
    let after = captured_order(&shops[1 - owner]).await;
    for order in orders.iter().chain([&after]) {
        receiver.wait_for(order, "captured").await;
    }
    assert!(delivered_by(&shops[1 - owner]).await > 0);
    // At least once, and whatever was repeated is the same, in the same order.
    for order in &orders {
        let mut statuses = receiver.statuses(order);
        let mut seen = BTreeSet::new();
        statuses.retain(|status| seen.insert(status.clone()));
        assert_eq!(statuses, CAPTURED);
    }
    assert_eq!(receiver.statuses(&after), CAPTURED);

    // The one that comes back leaves it to the other; and takes over when that one goes in good order.
    world.servers[owner].restart().await;
    let order = captured_order(&shops[owner]).await;
    receiver.wait_for(&order, "captured").await;
    assert_eq!((receiver.statuses(&order).len(), delivered_by(&shops[owner]).await), (3, 0));
    world.servers[1 - owner].stop().await;
    let order = captured_order(&shops[owner]).await;
    receiver.wait_for(&order, "captured").await;
    assert_eq!((receiver.statuses(&order).len(), delivered_by(&shops[owner]).await), (3, 3));
}

/// Longer than a node may deliver without saying that it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_nats_delays_and_loses_nothing() {
    let mut world = World::with(Kind::JetStreamNewest, notified(1)).await;
    let receiver = Receiver::taking(address(&world), SECRETS).await;
    let shop = world.other_shop();
    let mut orders = vec![captured_order(&shop).await];
    world.nats.as_mut().expect("a nats-server").kill();
    eventually("the end of the lease", async || {
        world.servers[0].printed().contains("it cannot reach the journal").then_some(())
    })
    .await;
    world.nats.as_mut().expect("a nats-server").restart().await;
    world.servers[0].ready().await;
    orders.push(captured_order(&shop).await);
    for order in &orders {
        receiver.wait_for(order, "captured").await;
    }
    assert_eq!(receiver.statuses(&orders[1]), CAPTURED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_nodes_delivers_on_the_newest_server() {
    one_node_delivers_and_another_takes_over_when_it_is_killed(Kind::JetStreamNewest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_nodes_delivers_on_the_oldest_supported_server() {
    one_node_delivers_and_another_takes_over_when_it_is_killed(Kind::JetStreamOldest).await;
}
