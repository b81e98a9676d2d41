//! A log of four partitions, and two API processes on it: an order is in one of them, and nobody who uses the API has
//! to know in which. What is told in order is told in order per order.

use std::collections::{BTreeMap, VecDeque};

use daybook_tests::client::{ACME, unique};
use daybook_tests::feed::{Entry, Feed};
use daybook_tests::fill::{COMMITS, fill};
use daybook_tests::{Client, Kind, Log, Reply, Setup, World, checkout, eur, eventually, server};
use ledger::commit::Changes;
use ledger::ids::{Position, RecordId, TenantId};
use ledger::journal::Subject;
use reqwest::Method;
use serde_json::{Value, json};

daybook_tests::in_a_partitioned_world!(
    super::setup();
    the_feed_tells_every_order_in_order_whatever_cuts_it_off,
    a_history_is_told_in_one_order_on_every_node,
    an_id_of_another_log_is_refused,
    what_one_node_acknowledged_is_read_on_the_other,
    every_partition_is_signed_proven_and_verified,
    another_number_of_partitions_stops_the_start,
    what_cannot_be_read_stops_its_partition_alone,
);

const PARTITIONS: u16 = 4;
/// That a log is filled with, of two tenants in turn.
const ORDERS: u64 = 640;

fn setup() -> Setup {
    Setup { config: "[audit]\ncheckpoint_ms = 1\n".to_owned(), ..Setup::two_nodes() }
}

/// A new idempotency key, whose order belongs into this partition.
fn key_in(partition: u16) -> String {
    let tenant: TenantId = ACME.id.parse().expect("a tenant");
    let keys = std::iter::repeat_with(|| unique("key"));
    let mut in_partition = keys.filter(|key| {
        let id = RecordId::for_key(&tenant, "checkout", key);
        Subject { tenant: tenant.clone(), id }.partition(PARTITIONS) == partition
    });
    in_partition.next().expect("one in four")
}

/// So many captured orders, in every partition and at every node in turn, and another tenant's among them.
async fn captured_orders(world: &World, count: usize) -> Vec<String> {
    let mut orders = Vec::new();
    for number in 0..count {
        let node = number % world.servers.len();
        let (shop, other) = (world.client(node, ACME), world.other_shop());
        let key = key_in(number as u16 % PARTITIONS);
        let order = shop.post_with_key("/v1/checkouts", &key, &checkout(1_000)).await.expect(202);
        let order = order.text("/order_id");
        other.submit(&checkout(5)).await;
        shop.report(&order, "payment.captured", json!({"amount": eur(1_000), "reference": unique("cap")}))
            .await;
        orders.push(order);
    }
    orders
}

/// What the tenant's feed has to tell: by order, the positions of its commits.
fn by_order(log: &Log) -> BTreeMap<String, Vec<String>> {
    let mut orders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for recorded in &log.commits {
        let commit = &recorded.commit;
        if commit.tenant.as_str() == ACME.id && matches!(commit.changes, Changes::Order(_)) {
            orders.entry(commit.record.to_string()).or_default().push(recorded.position.to_string());
        }
    }
    orders
}

fn position(entry: &Entry) -> Position {
    entry.data["position"].as_str().and_then(|text| text.parse().ok()).expect("a position")
}

/// The id of an event, a sequence for each partition.
fn vector(id: &str) -> Vec<u64> {
    let positions: Vec<Position> = id.split(',').map(|one| one.parse().expect("a position")).collect();
    assert!((0..PARTITIONS).eq(positions.iter().map(|position| position.partition)), "{id}");
    positions.iter().map(|position| position.sequence).collect()
}

async fn reconnect(shop: &Client, last: Option<&Entry>) -> Feed {
    match last {
        Some(last) if fastrand::bool() => {
            Feed::open(shop.request(Method::GET, "/v1/feed").header("last-event-id", &last.id)).await
        }
        _ => shop.feed(last.map(|last| last.id.as_str())).await,
    }
}

async fn the_feed_tells_every_order_in_order_whatever_cuts_it_off(mut world: World) {
    captured_orders(&world, 12).await;
    let mut seen: Vec<Entry> = Vec::new();
    // History, over both nodes in turn, cut off at random.
    while seen.len() < 24 {
        let shop = world.client(fastrand::usize(..2), ACME);
        let mut feed = reconnect(&shop, seen.last()).await;
        for _ in 0..fastrand::usize(1..8).min(24 - seen.len()) {
            seen.push(feed.next_commit().await.expect("a connection that stands"));
        }
    }
    // Live: what comes while a reader is connected, until its node is killed; the other one goes on.
    let mut feed = reconnect(&world.client(0, ACME), seen.last()).await;
    let more = captured_orders(&world, 6).await;
    for _ in 0..5 {
        seen.push(feed.next_commit().await.expect("a connection that stands"));
    }
    world.servers[0].kill();
    while let Some(entry) = feed.next().await {
        if entry.event == "commit" {
            seen.push(entry);
        }
    }
    let expected = by_order(&world.log().await);
    let all: usize = expected.values().map(Vec::len).sum();
    let mut feed = reconnect(&world.client(1, ACME), seen.last()).await;
    while seen.len() < all {
        seen.push(feed.next_commit().await.expect("a connection that stands"));
    }
    // And it is told nothing more: the next thing that it hears of is new.
    let newest = world.client(1, ACME).submit(&checkout(100)).await;
    assert_eq!(feed.next_commit().await.expect("a connection that stands").data["order_id"], newest.as_str());

    assert!(more.iter().all(|order| expected.contains_key(order)));
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut before = vec![0; usize::from(PARTITIONS)];
    for entry in &seen {
        let Position { partition, sequence } = position(entry);
        let now = vector(&entry.id);
        assert_eq!(now[usize::from(partition)], sequence, "the id is up to the commit: {}", entry.id);
        assert!(before[usize::from(partition)] < sequence, "the order of its partition: {}", entry.id);
        assert!(before.iter().zip(&now).all(|(before, now)| before <= now), "never back: {}", entry.id);
        let order = entry.data["order_id"].as_str().expect("an id").to_owned();
        told.entry(order).or_default().push(position(entry).to_string());
        before = now;
    }
    assert_eq!(told, expected, "each order as the log has it, without a gap or a repeat");
    assert!(before.iter().all(|&sequence| sequence > 0), "every partition has told something: {before:?}");
}

async fn a_history_is_told_in_one_order_on_every_node(world: World) {
    // More in each partition than a feed reads at a time, by many writers at once.
    fill(world.log().await.journal, 0..ORDERS).await;
    let log = world.log().await;
    let expected = merged(&log);
    for (node, cut_after) in [(0, usize::MAX), (1, 150)] {
        let shop = world.client(node, ACME);
        // Once the node's views show it all, the whole feed is history.
        eventually("views of everything", async || {
            let ready = Reply::to(shop.anonymous(Method::GET, "/readyz")).await.json();
            (ready["applied"] == json!(log.len())).then_some(())
        })
        .await;
        let mut feed = shop.feed(None).await;
        let mut told: Vec<Entry> = Vec::new();
        while told.len() < expected.len() {
            if told.len() % cut_after == cut_after - 1 {
                feed = reconnect(&shop, told.last()).await;
            }
            told.push(feed.next_commit().await.expect("a connection that stands"));
        }
        let positions: Vec<String> = told.iter().map(|entry| position(entry).to_string()).collect();
        assert_eq!(positions, expected, "what was decided first is told first, also after a cut");
    }
}

/// The tenant's commits, of the next ones of all partitions always the one that was decided first.
fn merged(log: &Log) -> Vec<String> {
    let mut partitions = vec![VecDeque::new(); usize::from(PARTITIONS)];
    for recorded in log.commits.iter().filter(|recorded| recorded.commit.tenant.as_str() == ACME.id) {
        partitions[usize::from(recorded.position.partition)]
            .push_back((recorded.commit.decided_at, recorded.position));
    }
    let mut merged = Vec::new();
    while let Some(next) =
        partitions.iter_mut().filter(|waiting| !waiting.is_empty()).min_by_key(|waiting| waiting[0])
    {
        merged.extend(next.pop_front().map(|(_, position)| position.to_string()));
    }
    assert_eq!(merged.len() as u64, ORDERS / 2 * COMMITS);
    merged
}

async fn an_id_of_another_log_is_refused(world: World) {
    let shop = world.shop();
    captured_orders(&world, 1).await;
    for after in ["0-1", "0-1,1-0,2-0", "0-0,1-0,2-0,3-0,4-0", "1-0,0-0,2-0,3-0"] {
        let refused = shop.get(&format!("/v1/feed?after={after}")).await.problem(400, "invalid_query");
        assert!(refused.body().contains("4 partitions"), "{}", refused.body());
        let by_header = shop.request(Method::GET, "/v1/feed").header("last-event-id", after);
        Reply::to(by_header).await.problem(400, "invalid_query");
    }
    let beyond = shop.get("/v1/feed?after=0-0,1-0,2-999,3-0").await.problem(400, "invalid_query");
    assert!(beyond.body().contains("the log ends at 2-"), "{}", beyond.body());
    drop(shop.feed(Some("0-0,1-0,2-0,3-0")).await);
}

async fn what_one_node_acknowledged_is_read_on_the_other(world: World) {
    let (here, there) = (world.client(0, ACME), world.client(1, ACME));
    let mut orders = Vec::new();
    for number in 0..12 {
        let key = key_in(number % PARTITIONS);
        let reply = here.post_with_key("/v1/checkouts", &key, &checkout(100)).await.expect(202);
        let (order, position) =
            (reply.text("/order_id"), reply.header("daybook-position").expect("a position").to_owned());
        // At once, and without a word about the position: never a 404.
        there.status(&order).await;
        let list = there.request(Method::GET, "/v1/orders?limit=100").header("daybook-position", &position);
        let list = Reply::to(list).await.expect(200).json();
        let listed = list["orders"].as_array().expect("orders").iter();
        let found = listed.filter(|listed| listed["order_id"] == order.as_str()).count();
        assert_eq!(found, 1, "a list that waited for {position}");
        orders.push(order);
    }
    // Page by page, each once, on every node.
    for shop in [&here, &there] {
        let mut listed = Vec::new();
        let mut path = "/v1/orders?limit=5".to_owned();
        loop {
            let page = shop.get(&path).await.expect(200).json();
            let ids = page["orders"].as_array().expect("orders").iter();
            listed.extend(ids.map(|order| order["order_id"].as_str().expect("an id").to_owned()));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/v1/orders?limit=5&cursor={cursor}");
        }
        listed.sort();
        orders.sort();
        assert_eq!(listed, orders);
    }
}

async fn every_partition_is_signed_proven_and_verified(mut world: World) {
    let orders = captured_orders(&world, 8).await;
    let key = |partition: u16| format!("/audit/key?partition={partition}");
    for order in &orders {
        let document = world.shop().get(&format!("/v1/orders/{order}/proofs")).await.expect(200).json();
        let partition = document["partition"].as_u64().and_then(|at| u16::try_from(at).ok()).expect("one");
        let key = world.shop().get(&key(partition)).await.expect(200).body();
        let file = world.directory().join("proofs.json");
        std::fs::write(&file, document.to_string()).expect("a file");
        let arguments =
            ["audit", "check-proof", &file.display().to_string(), "--key", key.trim()].map(str::to_owned);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let checked = server::run(world.directory(), &arguments).await;
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    let lengths = {
        let log = world.log().await;
        let in_partition = |at: u16| log.commits.iter().filter(|one| one.position.partition == at).count();
        (0..PARTITIONS).map(in_partition).collect::<Vec<_>>()
    };
    assert!(lengths.iter().all(|length| *length > 0), "every partition has commits: {lengths:?}");
    // Every node signs the same tree of each partition.
    for (partition, length) in (0..PARTITIONS).zip(&lengths) {
        let mut roots = Vec::new();
        for node in 0..world.servers.len() {
            let client = world.client(node, ACME);
            let path = format!("/audit/checkpoint?partition={partition}");
            let note = eventually("a signed head over all commits", async || {
                let note = client.get(&path).await;
                let is_over_all = note.body().lines().nth(1) == Some(length.to_string().as_str());
                is_over_all.then(|| note.body())
            });
            roots.push(note.await.lines().nth(2).expect("a root").to_owned());
        }
        assert_eq!(roots[0], roots[1], "partition {partition}");
    }
    // Offline: every commit, every signed head, and the views.
    world.servers[0].stop().await;
    let output = world.run("verify", &["--json"]).await;
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &document["healthy"]), (Some(0), &json!(true)), "{document:#}");
    assert_eq!(document["views"], "as_folded", "{document:#}");
    for (partition, length) in document["partitions"].as_array().expect("partitions").iter().zip(&lengths) {
        assert_eq!(partition["signed_up_to"], json!(length), "{document:#}");
    }
    let doctor = world.run("doctor", &["--json"]).await;
    let document: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    assert_eq!(document["healthy"], true, "{document:#}");
}

async fn another_number_of_partitions_stops_the_start(world: World) {
    for partitions in ["1", "2", "5"] {
        let mut arguments = world.command("serve", &["--listen", "127.0.0.1:0"]);
        *arguments.last_mut().expect("the number of partitions") = partitions.to_owned();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = server::run(world.directory(), &arguments).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let both = format!("made with 4 partitions, and {partitions} are configured");
        assert!(said.contains(&both) && said.contains("daybook copy"), "{said}");
    }
}

async fn what_cannot_be_read_stops_its_partition_alone(world: World) {
    let nats = world.nats.as_ref().expect("a nats-server").url();
    let context = async_nats::jetstream::new(async_nats::connect(nats).await.expect("a connection"));
    let subject = format!("daybook.2.acme.{}", uuid::Uuid::now_v7());
    let stored = context.publish(subject, "not a commit".into()).await.expect("sent");
    let at = Position { partition: 2, sequence: stored.await.expect("stored").sequence };
    let orders = captured_orders(&world, 8).await;
    for (number, order) in orders.iter().enumerate() {
        if number % usize::from(PARTITIONS) == 2 {
            // The node that acknowledged it reads it from the log.
            let status = world.client(number % 2, ACME).status(order).await;
            assert_eq!(status.text("/status"), "captured");
            continue;
        }
        for node in 0..2 {
            world.client(node, ACME).wait_for(order, "captured").await;
        }
    }
    for node in 0..2 {
        let reply = Reply::to(world.client(node, ACME).anonymous(Method::GET, "/readyz")).await.expect(503);
        assert!(reply.body().contains(&format!("halted in front of {at}")), "{}", reply.body());
    }
    // The feed tells of the other three, and waits in the fourth.
    let mut feed = world.shop().feed(None).await;
    for _ in 0..12 {
        let entry = feed.next_commit().await.expect("a connection that stands");
        assert_ne!(position(&entry).partition, at.partition);
        assert_eq!(vector(&entry.id)[usize::from(at.partition)], at.sequence - 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_goes_on_in_every_partition_where_it_was() {
    let setup = Setup { partitions: PARTITIONS, ..Setup::demo() };
    let mut world = World::with(Kind::JetStreamNewest, setup).await;
    let mut body = checkout(1_999);
    body["payment_method"] = json!({"type": "card", "token": "tok_success"});
    let shop = world.shop();
    let mut orders = Vec::new();
    for _ in 0..8 {
        orders.push(shop.submit(&body).await);
    }
    for order in &orders {
        shop.wait_for(order, "captured").await;
    }
    let place = world.data_dir(0).join("sandbox.position");
    eventually("a place of every partition", async || {
        let text = std::fs::read_to_string(&place).ok()?;
        let last = world.log().await.commits.len() as u64;
        (vector(text.split_whitespace().next()?).iter().sum::<u64>() == last).then_some(())
    })
    .await;
    // And where it was in a log of another number of partitions does not hold it up.
    for place_of_another_log in [false, true] {
        world.servers[0].kill();
        if place_of_another_log {
            std::fs::write(&place, format!("0-3 {}\n", orders[0])).expect("a file");
        }
        world.servers[0].restart().await;
        let order = shop.submit(&body).await;
        shop.wait_for(&order, "captured").await;
    }
    world.log().await.assert_nothing_is_there_twice();
}
