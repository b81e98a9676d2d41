//! A ledger moves between journals: position for position, while it is used, through kills, and to no wrong place.

use std::sync::Arc;

use daybook_tests::client::ACME;
use daybook_tests::copying::{begin, copy, document, embedded, filled, jetstream, scratch};
use daybook_tests::fill::{COMMITS, fill};
use daybook_tests::load::Load;
use daybook_tests::{Client, Kind, Server, World, checkout, eur, eventually};
use ledger::journal::conformance::nats::{self, NatsServer};
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::jetstream::{JetStreamConfig, JetStreamJournal};
use ledger::journal::{Journal, OpenError};
use projections::fresh_digest;
use serde_json::json;

async fn digest(journal: &Arc<dyn Journal>) -> projections::ViewsDigest {
    fresh_digest(journal.as_ref(), None).await.expect("a fold")
}

/// Starts a server on one process and data directory that nobody else uses.
async fn serve(world: &World, data: &str, further: &[&str]) -> Server {
    let directory = world.directory();
    let config = directory.join("daybook.toml").display().to_string();
    let data = directory.join(data).display().to_string();
    let mut arguments = vec!["--config", &config, "--data-dir", &data];
    arguments.extend(further);
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    Server::start(directory, &arguments).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_used_moves_to_jetstream_and_back() {
    let mut world = World::start(Kind::Embedded).await;
    let directory = world.directory().to_owned();
    let nats = NatsServer::start(nats::newest(), directory.join("nats")).await;
    let target = format!("{}?prefix=moved-ledger", nats.url());
    let shop = world.shop();
    let order = shop.submit(&checkout(1_999)).await;
    shop.report(&order, "payment.captured", json!({"amount": eur(1_999), "reference": "cap-1"})).await;
    shop.wait_for(&order, "captured").await;

    // Beside the running server, under load, again and again.
    let load = Load::start((0..4).map(|_| world.client(0, ACME)), 7);
    for _ in 0..2 {
        let copied = document(&copy(&directory, "node-0", &target, &[]).await);
        assert_eq!(copied["moved"], false, "{copied}");
    }
    let mut moving = begin(&directory, "node-0", &target, &["--switch-over"]);
    let at = load.acknowledged();
    eventually("orders during the move", async || (load.acknowledged() > at + 50).then_some(())).await;
    assert!(moving.try_wait().expect("a process of ours").is_none(), "it waits for the server");
    let witness = load.finish().await;
    let shown = world.shop().get(&format!("/v1/orders/{order}")).await.expect(200).bytes;
    world.servers[0].stop().await;
    let moved = document(&moving.wait_with_output().expect("the move ends"));
    assert_eq!(moved["moved"], true, "{moved}");

    let source = embedded(&directory, "node-0").await;
    let config = || JetStreamConfig { prefix: "moved-ledger".to_owned(), ..JetStreamConfig::new(nats.url()) };
    let there = jetstream(config()).await;
    assert_eq!(digest(&source).await, digest(&there).await);
    let log = daybook_tests::Log::read(Arc::clone(&there)).await;
    log.assert_nothing_is_there_twice();
    witness.assert_all_is_in(&log);

    // The old journal is closed, the new one is open, and says the same.
    let refused = world.run("serve", &["--listen", "127.0.0.1:0"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("has moved to nats://") && said.contains("prefix=moved-ledger"), "{said}");
    let mut node =
        serve(&world, "node-1", &["--nats-url", &nats.url(), "--nats-prefix", "moved-ledger"]).await;
    let shop = Client::new(node.url(), ACME);
    assert_eq!(shop.get(&format!("/v1/orders/{order}")).await.expect(200).bytes, shown);
    shop.submit(&checkout(100)).await;

    // And back into the file that it came from: the running node stops by itself.
    let back = document(&copy(&directory, &target, "node-0", &["--switch-over"]).await);
    assert_eq!((&back["copied"], &back["moved"]), (&json!(1), &json!(true)), "{back}");
    let status = node.ended().await;
    assert!(status.success(), "it stopped in good order: {status}");
    assert_eq!(digest(&embedded(&directory, "node-0").await).await, digest(&there).await);
    world.servers[0].restart().await;
    assert_eq!(world.shop().get(&format!("/v1/orders/{order}")).await.expect(200).bytes, shown);
    world.shop().submit(&checkout(100)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_on_a_cluster_and_back_is_the_same_ledger() {
    let directory = scratch();
    let directory = directory.path();
    let commits = filled(directory, 500).await;
    let nodes = NatsServer::start_cluster(nats::newest(), directory.join("nats"), 3).await;
    let urls = nodes.iter().map(NatsServer::url).collect::<Vec<_>>().join(",");
    let config = JetStreamConfig { replicas: 3, ..JetStreamConfig::new(&urls) };
    // A cluster takes a moment to choose its leader.
    eventually("the cluster is there", async || match JetStreamJournal::connect(config.clone()).await {
        Ok(_) => Some(()),
        Err(OpenError::Unavailable(_) | OpenError::Refused(_)) => None,
    })
    .await;
    let cluster = format!("{urls}?replicas=3");
    let there = document(&copy(directory, "data", &cluster, &[]).await);
    let back = document(&copy(directory, &cluster, "back/journal.sqlite", &[]).await);
    assert_eq!((&there["copied"], &back["copied"]), (&json!(commits), &json!(commits)));
    assert_eq!(there["merkle_roots"], back["merkle_roots"]);
    let source = digest(&embedded(directory, "data").await).await;
    assert_eq!(digest(&jetstream(config).await).await, source);
    assert_eq!(digest(&embedded(directory, "back").await).await, source);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_killed_goes_on() {
    let directory = scratch();
    let directory = directory.path();
    let commits = filled(directory, 4_000).await;
    let nats = NatsServer::start(nats::oldest_supported(), directory.join("nats")).await;
    let there = jetstream(JetStreamConfig::new(nats.url())).await;
    for (from, to, journal) in
        [("data", nats.url(), Some(there)), (nats.url().as_str(), "back".to_owned(), None)]
    {
        let mut process = begin(directory, from, &to, &[]);
        let reached = eventually("some commits are copied", async || {
            let reached = match &journal {
                Some(journal) => journal.last_sequence(0).await.expect("readable"),
                None if !directory.join("back/journal.sqlite").is_file() => 0,
                None => match EmbeddedJournal::open_read_only(directory.join("back/journal.sqlite")).await {
                    Ok(journal) => journal.last_sequence(0).await.unwrap_or(0),
                    Err(_) => 0,
                },
            };
            (reached > 0).then_some(reached)
        })
        .await;
        process.kill().expect("a process of ours can be killed");
        process.wait().expect("a killed process ends");
        assert!(reached < commits, "it was killed in the middle");
        let rest = document(&copy(directory, from, &to, &[]).await);
        let copied = rest["copied"].as_u64().expect("a number");
        assert!(copied <= commits - reached, "{copied} of {commits} after {reached}");
        assert_eq!(rest["ends"], json!([commits]));
        let again = document(&copy(directory, from, &to, &[]).await);
        assert_eq!((&again["copied"], &again["merkle_roots"]), (&json!(0), &rest["merkle_roots"]));
    }
    let source = digest(&embedded(directory, "data").await).await;
    assert_eq!(digest(&embedded(directory, "back").await).await, source);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_target_is_refused_and_stays_as_it_is() {
    let directory = scratch();
    let directory = directory.path();
    filled(directory, 3).await;
    let refused = async |from: &str, to: &str, code: i32, word: &str| {
        let output = copy(directory, from, to, &[]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(word) && output.stdout.is_empty(), "{said}");
    };
    let open = async |name: &str| {
        let path = directory.join(name).join("journal.sqlite");
        Arc::new(EmbeddedJournal::open(path, EmbeddedOptions::default()).await.expect("a journal"))
    };

    // Another ledger.
    fill(open("other").await, 100..102).await;
    refused("data", "other", 1, "is another one").await;
    assert_eq!(embedded(directory, "other").await.last_sequence(0).await.expect("readable"), 2 * COMMITS);
    // A copy that went on by itself.
    document(&copy(directory, "data", "further", &[]).await);
    fill(open("further").await, 200..201).await;
    refused("data", "further", 1, "goes on after").await;
    // One that has another commit somewhere before its end: the root tells.
    document(&copy(directory, "data", "altered", &[]).await);
    let file = directory.join("altered/journal.sqlite");
    let altered =
        std::process::Command::new("python3").args(["-c", ALTER, &file.display().to_string()]).status();
    if altered.is_ok_and(|status| status.success()) {
        refused("data", "altered", 1, "the commit at 0-5 is another one").await;
    } else {
        println!("skipped: there is no Python with SQLite here to alter a commit");
    }
    // Positions that could not be kept.
    let nats = NatsServer::start(nats::newest(), directory.join("nats")).await;
    let config = JetStreamConfig { partitions: 3, ..JetStreamConfig::new(nats.url()) };
    fill(jetstream(config).await, 0..3).await;
    let partitioned = format!("{}?partitions=3", nats.url());
    refused(&partitioned, "fresh", 1, "3 partition").await;
    refused("data", &partitioned, 1, "positions cannot be kept").await;
    // What nobody can mean.
    refused("data", "data/journal.sqlite", 2, "the same journal").await;
    refused("nowhere", "fresh", 1, "no journal").await;
    refused("data", "nats://127.0.0.1:1?color=red", 2, "color").await;
    // A journal that is written.
    let held = open("held").await;
    refused("data", "held", 1, "another process writes").await;
    drop(held);
}

/// Changes one byte of a commit, past the triggers that forbid it.
const ALTER: &str = "
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute('DROP TRIGGER commits_never_change')
connection.execute(\"UPDATE commits SET bytes = replace(bytes, '1999', '1998') || ' ' WHERE sequence = 5\")
connection.commit()
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memos_and_keys_come_along() {
    let mut world = World::start(Kind::Embedded).await;
    let directory = world.directory().to_owned();
    let shop = world.shop();
    let mut named = checkout(500);
    named["customer"] = json!({"name": "Ada Lovelace", "email": "ada@example.org"});
    let order = shop.submit(&named).await;
    world.servers[0].stop().await;
    let source = EmbeddedJournal::open(directory.join("node-0/journal.sqlite"), EmbeddedOptions::default())
        .await
        .expect("the journal opens");
    source.put_memo("note", 0, "first".into()).await.expect("stored");
    let moved = document(&copy(&directory, "node-0", "copy", &[]).await);
    assert!(moved["pages_of_keys"].as_u64().is_some_and(|pages| pages > 0), "{moved}");
    let revision = source.memo("note").await.expect("readable").expect("a memo").revision;
    source.put_memo("note", revision, "second".into()).await.expect("stored");
    drop(source);
    let moved = document(&copy(&directory, "node-0", "copy", &["--switch-over"]).await);
    assert_eq!((&moved["copied"], &moved["memos"]), (&json!(0), &json!(1)), "{moved}");
    let there = embedded(&directory, "copy").await;
    assert_eq!(there.memo("note").await.expect("readable").expect("a memo").bytes, "second");
    drop(there);
    // The person is still known where the keys came along.
    let node = serve(&world, "copy", &[]).await;
    let shown = Client::new(node.url(), ACME).get(&format!("/v1/orders/{order}")).await.expect(200);
    assert_eq!(shown.text("/customer/name"), "Ada Lovelace");
}
