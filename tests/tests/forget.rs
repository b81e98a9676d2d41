//! A person is forgotten: their name is in no file of any server, in no answer and in no export, and what happened to
//! the order's money is as it was.

use std::path::{Path, PathBuf};
use std::process::Output;

use daybook_tests::client::unique;
use daybook_tests::{Client, Reply, World, checkout, eur, eventually, server};
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    daybook_tests::Setup::two_nodes();
    a_forgotten_person_is_found_nowhere,
    what_comes_later_leaves_no_trace_of_a_forgotten_person,
    the_command_line_forgets,
    another_tenants_buyer_cannot_be_forgotten,
);

/// Words that occur in what is said of the person, and nowhere else in the world.
const TRACES: [&str; 6] =
    ["Zebedee", "Quillfeather", "zebedee@quill.example", "zebedee%40quill", "+46 70 555 01 99", "Quillgatan"];

/// A checkout that names the person wherever a checkout can.
fn personal_checkout(reference: &str) -> Value {
    let mut body = checkout(2_000);
    body["merchant_reference"] = reference.into();
    body["customer"] = json!({
        "name": "Zebedee Quillfeather", "email": "zebedee@quill.example",
        "phone": "+46 70 555 01 99", "ip": "192.0.2.77",
    });
    body["metadata"] = json!({"deliver_to": "Quillgatan 7, Zebedee Quillfeather"});
    body["return_urls"] = json!({"success": "https://shop.example/thanks?for=zebedee%40quill.example"});
    body
}

fn paid(order: &str) -> Value {
    json!({
        "amount": eur(2_000), "payment_reference": format!("pay-{order}"), "reference": format!("cap-{order}"),
        "billing_details": {"name": "Zebedee Quillfeather", "email": "zebedee@quill.example"},
    })
}

async fn forget(shop: &Client, order: &str) -> Reply {
    Reply::to(shop.request(Method::DELETE, &format!("/v1/orders/{order}/personal-data"))).await
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory").filter_map(Result::ok) {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(_) => found.push(entry.path()),
            // It went away meanwhile, as temporary files do.
            Err(_) => {}
        }
    }
    found
}

/// The files below a directory that hold these bytes.
fn holders(directory: &Path, wanted: &[u8]) -> Vec<PathBuf> {
    let holds = |file: &PathBuf| {
        let content = std::fs::read(file).unwrap_or_default();
        content.windows(wanted.len()).any(|window| window == wanted)
    };
    files(directory).into_iter().filter(holds).collect()
}

#[track_caller]
fn check_no_trace(text: &str, of: &str) {
    for trace in TRACES {
        assert!(!text.contains(trace), "{trace} is in {of}: {text}");
    }
}

/// No file of the world, and no stored commit, holds anything of the person.
async fn check_disk(world: &World) {
    for trace in TRACES {
        assert_eq!(holders(world.directory(), trace.as_bytes()), Vec::<PathBuf>::new(), "{trace}");
    }
    // A nats-server compresses its files, so the commits are looked at one by one as well.
    let journal = world.log().await.journal;
    let last = journal.last_sequence(0).await.expect("readable");
    let mut tail = journal.tail(0, 0).await.expect("readable");
    for _ in 0..last {
        let stored = tail.next().await.expect("a tail has no end").expect("a commit");
        check_no_trace(&String::from_utf8_lossy(&stored.bytes), "a stored commit");
    }
}

/// The keys in use, as they lie on the disk: every one that seals something of the order.
async fn keys_of(world: &World, order: &str) -> Vec<Vec<u8>> {
    let journal = world.log().await.journal;
    let mut keys = Vec::new();
    for stored in journal.load(&subject(order)).await.expect("readable") {
        let (_, sealed) = ledger::codec::decode_sealed(&stored.bytes).expect("a commit");
        let id = sealed.expect("sealed").key;
        let page = journal.keys().page(id.page).await.expect("readable").expect("a page of keys");
        let start = usize::from(id.place) * 32;
        keys.push(page.keys[start..start + 32].to_vec());
    }
    keys.dedup();
    keys
}

fn subject(order: &str) -> ledger::journal::Subject {
    ledger::journal::Subject {
        tenant: "acme".parse().expect("a tenant"),
        id: order.parse().expect("an order id"),
    }
}

/// An order's figures, wherever in the log they stand.
async fn money(shop: &Client, order: &str) -> Value {
    let mut balance = shop.balance(order).await.expect(200).json();
    balance["position"] = Value::Null;
    balance
}

/// Everything that a node says about an order, in one text.
async fn told(shop: &Client, order: &str) -> String {
    let mut all = String::new();
    for view in ["", "/status", "/balance", "/history", "/events"] {
        all.push_str(&shop.get(&format!("/v1/orders/{order}{view}")).await.expect(200).body());
    }
    all.push_str(&shop.get("/v1/orders?limit=100").await.expect(200).body());
    all.push_str(&shop.get("/v1/quarantine?limit=100").await.expect(200).body());
    all
}

/// The feed from its start up to a position, as text.
async fn fed(shop: &Client, upto: &str) -> String {
    let mut feed = shop.feed(Some("0-0")).await;
    let mut all = String::new();
    loop {
        let commit = feed.next_commit().await.expect("a commit");
        all.push_str(&commit.data.to_string());
        if commit.id == upto {
            return all;
        }
    }
}

/// An order of the person: submitted, and paid by a webhook that came too early once.
async fn paid_order(shop: &Client) -> String {
    let reference = unique("A");
    // It names an order that is not there yet, and the buyer, so it waits in quarantine.
    let early = json!({"merchant_reference": reference, "buyer": "Zebedee Quillfeather"});
    let early = json!({"type": "order.note", "timestamp": jiff::Timestamp::now().to_string(), "data": early});
    shop.webhook(&unique("evt"), &early).await.expect(202);
    let order = shop.submit(&personal_checkout(&reference)).await;
    shop.report(&order, "payment.authorized", paid(&order)).await;
    shop.report(&order, "payment.captured", paid(&order)).await;
    shop.wait_for(&order, "captured").await;
    eventually("the early webhook is released", async || {
        let open = shop.get("/v1/quarantine?state=open").await.expect(200).json();
        open["webhooks"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
    order
}

async fn a_forgotten_person_is_found_nowhere(mut world: World) {
    let shop = world.shop();
    let nodes: Vec<Client> =
        (0..world.servers.len()).map(|node| world.client(node, daybook_tests::client::ACME)).collect();
    let order = paid_order(&shop).await;
    let mut other_checkout = checkout(100);
    other_checkout["customer"] = json!({"name": "Somebody Else"});
    let another = shop.submit(&other_checkout).await;
    let before = money(&shop, &order).await;

    // As long as there is a key, the shop sees it all, and no file does.
    for node in &nodes {
        node.wait_for(&order, "captured").await;
        let seen = told(node, &order).await;
        assert!(seen.contains("zebedee@quill.example") && seen.contains("Quillgatan"), "{seen}");
        // What the feed's readers share, the next one must not be given any more.
        let seen = fed(node, &node.status(&order).await.text("/position")).await;
        assert!(seen.contains("zebedee@quill.example") && seen.contains("Quillgatan"), "{seen}");
    }
    check_disk(&world).await;
    let keys = keys_of(&world, &order).await;
    assert_eq!(keys.len(), 1, "an order has one key");
    assert_ne!(holders(world.directory(), &keys[0]), Vec::<PathBuf>::new(), "the key is somewhere");

    let first = forget(&shop, &order).await.expect(200);
    assert_eq!(first.text("/order_id"), order);
    // The checkout, two webhooks and what waited in quarantine.
    assert!(first.number("/commits") >= 4, "{}", first.body());
    let position = first.text("/position");
    let again = forget(&shop, &order).await.expect(200).json();
    assert_eq!(again["position"], Value::Null);

    assert_eq!(holders(world.directory(), &keys[0]), Vec::<PathBuf>::new(), "the key is overwritten");
    for node in &nodes {
        eventually("the node knows", async || {
            let history = node.history(&order).await.body();
            history.contains("personal_data_forgotten").then_some(())
        })
        .await;
        check_no_trace(&told(node, &order).await, "an answer");
        check_no_trace(&fed(node, &position).await, "the feed");
    }
    check_disk(&world).await;
    assert_eq!(money(&shop, &order).await, before, "money stays");
    assert_eq!(shop.status(&order).await.text("/status"), "captured");
    let other = shop.get(&format!("/v1/orders/{another}")).await.expect(200);
    assert_eq!(other.text("/customer/name"), "Somebody Else");

    // Every proof still holds, of a log that nobody has changed.
    let verified = world.run("verify", &["--json"]).await;
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));
    let out = world.directory().join("exported").display().to_string();
    for what in ["commits", "events"] {
        let done =
            world.run("export", &[what, "--format", "jsonl", "--out", &format!("{out}-{what}.jsonl")]).await;
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    }
    check_disk(&world).await;

    for server in &mut world.servers {
        server.restart().await;
    }
    let shop = world.shop();
    check_no_trace(&told(&shop, &order).await, "an answer after a restart");
    assert_eq!(money(&shop, &order).await, before);
    check_disk(&world).await;
}

async fn what_comes_later_leaves_no_trace_of_a_forgotten_person(world: World) {
    let shop = world.shop();
    let body = personal_checkout("A-77");
    let created = shop.post_with_key("/v1/checkouts", "key-77", &body).await.expect(202);
    let order = created.text("/order_id");
    forget(&shop, &order).await.expect(200);
    shop.report(&order, "payment.authorized", paid(&order)).await;
    shop.report(&order, "payment.captured", paid(&order)).await;
    shop.wait_for(&order, "captured").await;
    assert_eq!(shop.figure(&order, "captured").await, 2_000);
    check_no_trace(&told(&shop, &order).await, "an answer");
    check_disk(&world).await;
    // Nobody knows any more what was in the request; its key still makes nothing new.
    let again = shop.post_with_key("/v1/checkouts", "key-77", &body).await.expect(202);
    assert_eq!(again.text("/order_id"), order);
    let other = shop.post_with_key("/v1/checkouts", "key-77", &checkout(5)).await.expect(202);
    assert_eq!((other.text("/order_id"), other.number("/amount/value")), (order, 2_000));
}

async fn the_command_line_forgets(world: World) {
    let shop = world.shop();
    let order = paid_order(&shop).await;
    let run = async |arguments: &[&str]| -> Output {
        let url = world.servers[0].url().to_owned();
        let mut all = vec!["forget"];
        all.extend(arguments);
        all.extend(["--server", &url]);
        let mut command = server::command(world.directory());
        let command = command.args(all).env("DAYBOOK_API_KEY", daybook_tests::client::ACME.key);
        command.output().expect("daybook runs")
    };
    let asked = run(&[&order]).await;
    assert_eq!(asked.status.code(), Some(2), "not without --yes");
    assert!(shop.get(&format!("/v1/orders/{order}")).await.body().contains("zebedee@quill.example"));
    let done = run(&[&order, "--yes", "--json"]).await;
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let document: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(document["order_id"], order.as_str());
    check_no_trace(&told(&shop, &order).await, "an answer");
    let history = world.run("history", &[&order, "--tenant", "acme"]).await;
    assert_eq!(history.status.code(), Some(0));
    check_no_trace(&String::from_utf8_lossy(&history.stdout), "the history");
    check_disk(&world).await;
    let unknown = run(&["bd6fdb1c-5e78-55f9-aee6-ed210905f6db", "--yes"]).await;
    assert_eq!(unknown.status.code(), Some(1));
}

async fn another_tenants_buyer_cannot_be_forgotten(world: World) {
    let shop = world.shop();
    let order = shop.submit(&personal_checkout("A-1")).await;
    forget(&world.other_shop(), &order).await.problem(404, "not_found");
    forget(&shop, "bd6fdb1c-5e78-55f9-aee6-ed210905f6db").await.problem(404, "not_found");
    let seen = shop.get(&format!("/v1/orders/{order}")).await.expect(200);
    assert_eq!(seen.text("/customer/email"), "zebedee@quill.example");
}
