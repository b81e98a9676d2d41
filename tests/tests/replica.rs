//! A read replica: every read, no write, no state, and credentials with which it could not write if it tried.

use std::path::Path;

use daybook_tests::client::{ACME, Client, DEMO};
use daybook_tests::{DEADLINE, Log, Reply, Server, checkout, eur, eventually, server, worlds};
use ledger::journal::Journal;
use ledger::journal::conformance::nats::{self, NatsServer, NatsSettings};
use ledger::journal::jetstream::{JetStreamConfig, JetStreamJournal};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

/// The permissions that the guide shows.
fn permissions() -> String {
    let guide = include_str!("../../docs/src/guides/read-replicas.md");
    let block = guide.split("```conf\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("the guide shows the permissions").to_owned()
}

async fn start_nats(directory: &Path) -> NatsServer {
    let settings = NatsSettings { server: permissions(), ..NatsSettings::default() };
    NatsServer::start_with(nats::newest(), directory.join("nats"), settings).await
}

fn url(nats: &NatsServer, user: &str) -> String {
    nats.url().replace("://", &format!("://{user}:{user}-password@"))
}

fn arguments(directory: &Path, nats: &NatsServer, user: &str, name: &str, further: &[&str]) -> Vec<String> {
    let file = directory.join("daybook.toml");
    std::fs::write(&file, worlds::configuration("")).expect("a configuration file");
    let file = file.display().to_string();
    let url = url(nats, user);
    let all = [&["--data-dir", name, "--config", &file, "--nats-url", &url], further].concat();
    all.into_iter().map(str::to_owned).collect()
}

async fn start(directory: &Path, nats: &NatsServer, user: &str, name: &str, further: &[&str]) -> Server {
    Server::start(directory, &arguments(directory, nats, user, name, further)).await
}

fn scratch() -> TempDir {
    TempDir::with_prefix("daybook-test-").expect("a directory for the test")
}

/// What the nats-server noted of clients that did what they may not.
fn violations(directory: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(directory.join("nats/log")).expect("the server's log");
    log.lines().filter(|line| line.contains("Violation")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_may_not_publish_serves_every_read_and_takes_no_write() {
    let directory = scratch();
    let directory = directory.path();
    let nats = start_nats(directory).await;
    let mut writer = start(directory, &nats, "ledger", "writer", &[]).await;
    let mut replica = start(directory, &nats, "replica", "replica", &["--replica"]).await;
    let (shop, reader) = (Client::new(writer.url(), ACME), Client::new(replica.url(), ACME));

    // What is written there is seen here: by a long poll, in the feed, with its personal data.
    let mut feed = reader.feed(None).await;
    let mut named = checkout(1_999);
    named["customer"] = json!({"name": "Ada Lovelace", "email": "ada@example.org"});
    let order = shop.submit(&named).await;
    let waiting = tokio::spawn({
        let (reader, order) = (reader.clone(), order.clone());
        async move {
            let seen =
                async || (reader.get(&format!("/v1/orders/{order}")).await.status == 200).then_some(());
            eventually("the order is seen", seen).await;
            reader.wait_for(&order, "captured").await
        }
    });
    shop.report(&order, "payment.captured", json!({"amount": eur(1_999), "reference": "cap-1"})).await;
    waiting.await.expect("it is captured here too");
    let told = tokio::time::timeout(DEADLINE, feed.next_commit()).await.expect("a commit in the feed");
    assert!(told.is_some_and(|entry| entry.data.to_string().contains(&order)));
    let paths = [
        format!("/v1/orders/{order}"),
        format!("/v1/orders/{order}/balance"),
        format!("/v1/orders/{order}/history"),
        format!("/v1/orders/{order}/events"),
        format!("/v1/orders/{order}?as_of=0-1"),
        "/v1/orders?status=captured".to_owned(),
        "/v1/totals".to_owned(),
        "/v1/totals?as_of=0-1".to_owned(),
        "/v1/trial-balance".to_owned(),
        "/v1/quarantine".to_owned(),
        "/v1/notifications".to_owned(),
    ];
    for path in &paths {
        let (one, other) = (shop.get(path).await, reader.get(path).await);
        assert_eq!((one.status, one.body()), (other.status, other.body()), "{path}");
    }
    assert_eq!(reader.get(&paths[0]).await.text("/customer/name"), "Ada Lovelace");
    let readiness = reader.get("/readyz").await.expect(200).json();
    assert_eq!((&readiness["lag"], &readiness["ready"]), (&json!(0), &json!(true)), "{readiness}");

    // Nothing is written, by any door.
    let commits = Log::jetstream(&url(&nats, "ledger"), 1).await.len();
    let capture = format!("/v1/orders/{order}/captures");
    let personal = format!("/v1/orders/{order}/personal-data");
    let doors = [
        (Method::POST, "/v1/checkouts"),
        (Method::POST, &capture),
        (Method::DELETE, &personal),
        (Method::PUT, "/v1/offers/offer-1"),
        (Method::POST, "/webhooks/acme/psp"),
        (Method::POST, "/azotte/api/c2a/offer/checkout"),
        (Method::POST, "/akinon/start-session"),
        (Method::POST, "/orkestapay/v1/checkouts"),
        (Method::PUT, "/carat/v1/payments/1"),
    ];
    for (method, path) in doors {
        let reply = Reply::to(reader.request(method, path).json(&checkout(100))).await;
        let problem = reply.problem(421, "read_only_replica").json();
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains("nothing was stored")), "{path}");
    }
    let cancel = r#"mutation { purchaseOrderCancel(cancel: {purchaseOrderId: "none"}) { result } }"#;
    let canceled = reader.post("/kronor/v1/graphql", &json!({"query": cancel})).await.json();
    assert!(canceled["errors"].is_array(), "{canceled}");
    let queried = reader.post("/kronor/v1/graphql", &json!({"query": "{ purchaseOrders { id } }"})).await;
    assert!(queried.expect(200).json()["data"]["purchaseOrders"].is_array());
    // Nor is anything signed.
    for path in [&format!("/v1/orders/{order}/proofs"), "/audit/checkpoint", "/audit/key"] {
        reader.get(path).await.problem(421, "read_only_replica");
    }
    assert_eq!(Log::jetstream(&url(&nats, "ledger"), 1).await.len(), commits);
    assert!(!directory.join("replica/audit").exists());

    // It keeps nothing that it cannot fold again, and needs no server but the log's.
    let shown = reader.get(&paths[0]).await.expect(200).bytes;
    writer.stop().await;
    replica.kill();
    std::fs::remove_dir_all(directory.join("replica")).expect("its directory");
    replica.restart().await;
    assert_eq!(reader.get(&paths[0]).await.expect(200).bytes, shown);
    // With its views still there it follows the log from the end, and a feed reads from the journal what was before.
    replica.stop().await;
    replica.restart().await;
    let told = reader.feed(None).await.next_commit().await.expect("a connection that stands");
    assert!(told.data.to_string().contains(&order));
    // And it did not even try to write.
    assert_eq!(violations(directory), [""; 0]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_makes_nothing_and_stops_when_its_ledger_moves() {
    let directory = scratch();
    let directory = directory.path();
    let nats = start_nats(directory).await;
    let refused = async |arguments: &[&str]| -> (Option<i32>, String) {
        let output =
            server::run(directory, &[&["serve", "--listen", "127.0.0.1:0"], arguments].concat()).await;
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // There is no ledger yet, and it makes none.
    let (ledger, replica) = (url(&nats, "ledger"), url(&nats, "replica"));
    for url in [&ledger, &replica] {
        let (code, said) = refused(&["--replica", "--nats-url", url]).await;
        assert!(code == Some(1) && said.contains("there is no stream daybook-0"), "{said}");
    }
    // An embedded journal has one server.
    let (code, said) = refused(&["--replica"]).await;
    assert!(code == Some(2) && said.contains("replica") && said.contains("embedded"), "{said}");

    // A demo's replica pays for nothing, and is gone when its ledger is.
    let all = |name: &'static str, further: &[&str]| {
        let all = [&["--data-dir", name, "--nats-url", &ledger], further].concat();
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let writer = Server::start(directory, &all("writer", &["--replica"][..0])).await;
    let mut replica = Server::start(directory, &all("replica", &["--replica"])).await;
    let order = Client::new(writer.url(), DEMO).submit(&checkout(100)).await;
    let reader = Client::new(replica.url(), DEMO);
    let seen = async || (reader.get(&format!("/v1/orders/{order}")).await.status == 200).then_some(());
    eventually("the order is seen", seen).await;
    reader.get("/sandbox/pay/x").await.expect(404);
    let journal = JetStreamJournal::connect(JetStreamConfig::new(&ledger)).await.expect("the journal opens");
    let note = json!({"to": "elsewhere", "at": "2026-11-20T10:00:00Z", "ends": [1]}).to_string();
    journal.put_memo("moved", 0, note.into()).await.expect("stored");
    assert!(replica.ended().await.success(), "it stopped in good order");
}
