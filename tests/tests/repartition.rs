//! A ledger moves to another number of partitions, and back: while it is used, through a kill, with everything that names
//! a place in the log.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use daybook_tests::client::{ACME, GLOBEX};
use daybook_tests::copying::{self, begin, copy, document, embedded, filled, scratch};
use daybook_tests::fill::{COMMITS, fill};
use daybook_tests::load::Load;
use daybook_tests::server::free_port;
use daybook_tests::{Client, Kind, Log, Server, Setup, World, checkout, eur, eventually, server};
use futures::StreamExt;
use ledger::ids::Position;
use ledger::journal::conformance::nats::{self, NatsServer};
use ledger::journal::embedded::EmbeddedJournal;
use ledger::journal::jetstream::JetStreamConfig;
use ledger::journal::{Journal, Subject};
use projections::compare::compare_meaning;
use projections::fresh_views;
use serde_json::{Value, json};

const PARTITIONS: u16 = 4;

async fn jetstream(nats: &NatsServer, prefix: &str, partitions: u16) -> Arc<dyn Journal> {
    let prefix = prefix.to_owned();
    let config = JetStreamConfig { prefix, partitions, ..JetStreamConfig::new(nats.url()) };
    copying::jetstream(config).await
}

async fn ends(journal: &Arc<dyn Journal>) -> Vec<u64> {
    let mut ends = Vec::new();
    for partition in 0..journal.partitions() {
        ends.push(journal.last_sequence(partition).await.expect("readable"));
    }
    ends
}

/// Both logs have the same commits of every record in the same order, and folded afresh they say the same.
async fn assert_same_ledger(one: &Arc<dyn Journal>, other: &Arc<dyn Journal>) {
    let chains = async |journal: &Arc<dyn Journal>| {
        let mut chains: HashMap<Subject, Vec<Vec<u8>>> = HashMap::new();
        for (partition, end) in (0..).zip(ends(journal).await) {
            let mut tail = journal.tail(partition, 0).await.expect("readable");
            for _ in 0..end {
                let stored = tail.next().await.expect("a tail has no end").expect("a commit");
                chains.entry(stored.subject).or_default().push(stored.bytes.to_vec());
            }
        }
        chains
    };
    assert!(chains(one).await == chains(other).await, "the same chains");
    let fold = async |journal: &Arc<dyn Journal>| {
        fresh_views(journal.as_ref(), &ends(journal).await, |_| {}).await.expect("a fold")
    };
    let (one, other) = (fold(one).await, fold(other).await);
    let meaning = compare_meaning(one.views(), other.views()).expect("readable");
    assert!(meaning.disagreements.is_empty() && meaning.orders > 0, "{meaning:?}");
}

/// Starts a server on one process and data directory that nobody else uses.
async fn serve(world: &World, data: &str, further: &[&str]) -> Server {
    let directory = world.directory();
    let config = directory.join("daybook.toml").display().to_string();
    let data = directory.join(data).display().to_string();
    let arguments = [&["--config", &config, "--data-dir", &data], further].concat();
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    Server::start(directory, &arguments).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_used_moves_to_four_partitions_and_back_to_one() {
    // Its receiver is never there: what is not delivered moves along.
    let endpoint = format!(
        "[tenants.notifications]\nurl = \"http://127.0.0.1:{}/hook\"\nsecrets = [\"whsec_bm90aWZpY2F0aW9ucy1zZWNyZXQtb25l\"]\n",
        free_port()
    );
    let mut world = World::with(Kind::Embedded, Setup { globex: endpoint, ..Setup::default() }).await;
    let directory = world.directory().to_owned();
    let nats = NatsServer::start(nats::newest(), directory.join("nats")).await;
    let target = format!("{}?prefix=wide", nats.url());
    let shop = world.shop();
    let order = shop.submit(&checkout(1_999)).await;
    shop.report(&order, "payment.captured", json!({"amount": eur(1_999), "reference": "cap-1"})).await;
    shop.wait_for(&order, "captured").await;
    let told = world.other_shop().submit(&checkout(700)).await;

    let load = Load::start((0..4).map(|_| world.client(0, ACME)), 7);
    let copied = document(&copy(&directory, "node-0", &target, &["--partitions", "4"]).await);
    assert_eq!((&copied["moved"], &copied["repartitioned"]["commits"]), (&json!(false), &copied["copied"]));
    let mut moving = begin(&directory, "node-0", &target, &["--partitions", "4", "--switch-over"]);
    let at = load.acknowledged();
    eventually("orders during the move", async || (load.acknowledged() > at + 50).then_some(())).await;
    assert!(moving.try_wait().expect("a process of ours").is_none(), "it waits for the server");
    let witness = load.finish().await;
    let shown = without_positions(world.shop().get(&format!("/v1/orders/{order}")).await.expect(200).json());
    world.servers[0].stop().await;
    let moved = document(&moving.wait_with_output().expect("the move ends"));
    assert_eq!(moved["moved"], true, "{moved}");
    assert!(moved["settings"].as_array().is_some_and(|lines| lines.contains(&json!("partitions = 4"))));

    let source = embedded(&directory, "node-0").await;
    let there = jetstream(&nats, "wide", PARTITIONS).await;
    assert_same_ledger(&source, &there).await;
    Log::read(Arc::clone(&there)).await.assert_nothing_is_there_twice();
    // What was acknowledged names positions of the log that it was acknowledged from.
    witness.assert_all_is_in(&Log::read(Arc::clone(&source)).await);

    // An auditor of the old log finds its last signed head in the new one.
    let memo = there.memo("predecessors").await.expect("readable").expect("a memo");
    let predecessors: Value = serde_json::from_slice(&memo.bytes).expect("JSON");
    assert_eq!(predecessors[0]["merkle_roots"], moved["repartitioned"]["source_merkle_roots"]);
    assert_eq!(predecessors[0]["copied_merkle_roots"], moved["merkle_roots"]);
    let note = predecessors[0]["checkpoints"][0].as_str().expect("a signed head");
    let root = predecessors[0]["merkle_roots"][0].as_str().expect("a root");
    assert_eq!(note.lines().nth(2), Some(root), "{note}");

    // The old journal is closed, the new one is open, and says the same.
    let refused = world.run("serve", &["--listen", "127.0.0.1:0"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("has moved to nats://"));
    let settings = ["--nats-url", &nats.url(), "--nats-prefix", "wide", "--nats-partitions", "4"];
    let mut node = serve(&world, "node-1", &settings).await;
    let shop = Client::new(node.url(), ACME);
    let now = shop.get(&format!("/v1/orders/{order}")).await.expect(200).json();
    assert_eq!(without_positions(now), shown);
    shop.submit(&checkout(100)).await;
    // What was not delivered is still to be delivered, under the position that it has now.
    let globex = Client::new(node.url(), GLOBEX);
    let list = globex.get("/v1/notifications?state=pending").await.expect(200).json();
    let pending = list["notifications"].as_array().expect("a list");
    assert!(pending.iter().any(|entry| entry.to_string().contains(&told)), "{list}");

    // A reader of the old feed is told where to go on, also when the new log has gone on.
    let end = ends(&source).await[0];
    let place = |at: u64, there: &Value| {
        let there: Vec<Position> = there["there"]
            .as_str()
            .expect("text")
            .split(',')
            .map(|position| position.parse().expect("a position"))
            .collect();
        assert_eq!(there.iter().map(|position| position.sequence).sum::<u64>(), at, "{there:?}");
    };
    for at in [0, 1, end / 2, end] {
        let found =
            copy(&directory, "node-0", &target, &["--partitions", "4", "--at", &format!("0-{at}")]).await;
        place(at, &document(&found));
    }
    let beyond = format!("0-{}", end + 1);
    let refused = copy(&directory, "node-0", &target, &["--partitions", "4", "--at", &beyond]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));

    // And back into one partition, elsewhere: the running node stops by itself.
    let wide = format!("{target}&partitions=4");
    let back = document(&copy(&directory, &wide, "back", &["--partitions", "1", "--switch-over"]).await);
    assert_eq!((&back["moved"], back["ends"].as_array().map(Vec::len)), (&json!(true), Some(1)), "{back}");
    assert!(node.ended().await.success(), "it stopped in good order");
    assert_same_ledger(&there, &embedded(&directory, "back").await).await;
    let predecessors = embedded(&directory, "back").await.memo("predecessors").await.expect("readable");
    let predecessors: Value = serde_json::from_slice(&predecessors.expect("a memo").bytes).expect("JSON");
    assert_eq!(predecessors.as_array().map(Vec::len), Some(2), "{predecessors}");
    let node = serve(&world, "back", &[]).await;
    let shop = Client::new(node.url(), ACME);
    let now = shop.get(&format!("/v1/orders/{order}")).await.expect(200).json();
    assert_eq!(without_positions(now), shown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_into_other_partitions_that_was_killed_goes_on() {
    let directory = scratch();
    let directory = directory.path();
    let commits = filled(directory, 1_000).await;
    let nats = NatsServer::start(nats::oldest_supported(), directory.join("nats")).await;
    let places: [(&str, u16); 3] = [("data", 1), ("wide", PARTITIONS), ("back", 1)];
    let address = |(name, partitions): (&str, u16)| match partitions {
        1 => name.to_owned(),
        _ => format!("{}?prefix={name}&partitions={partitions}", nats.url()),
    };
    for pair in places.windows(2) {
        let (from, to) = (address(pair[0]), address(pair[1]));
        let partitions = pair[1].1.to_string();
        let further = ["--partitions", partitions.as_str()];
        let mut process = begin(directory, &from, &to, &further);
        let reached = eventually("some commits are copied", async || {
            let reached = match pair[1] {
                (name, 1) if !directory.join(name).join("journal.sqlite").is_file() => 0,
                (name, 1) => {
                    let path = directory.join(name).join("journal.sqlite");
                    match EmbeddedJournal::open_read_only(path).await {
                        Ok(journal) => journal.last_sequence(0).await.unwrap_or(0),
                        Err(_) => 0,
                    }
                }
                (name, partitions) => ends(&jetstream(&nats, name, partitions).await).await.iter().sum(),
            };
            (reached > 0).then_some(reached)
        })
        .await;
        process.kill().expect("a process of ours can be killed");
        process.wait().expect("a killed process ends");
        assert!(reached < commits, "it was killed in the middle");
        let rest = document(&copy(directory, &from, &to, &further).await);
        let copied = rest["copied"].as_u64().expect("a number");
        assert!(copied <= commits - reached, "{copied} of {commits} after {reached}");
        assert_eq!(rest["repartitioned"]["commits"], json!(commits));
        let again = document(&copy(directory, &from, &to, &further).await);
        assert_eq!((&again["copied"], &again["merkle_roots"]), (&json!(0), &rest["merkle_roots"]));
    }
    assert_same_ledger(&embedded(directory, "data").await, &embedded(directory, "back").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_reads_four_partitions() {
    let directory = scratch();
    let directory = directory.path();
    filled(directory, 60).await;
    let nats = NatsServer::start(nats::newest(), directory.join("nats")).await;
    document(&copy(directory, "data", &nats.url(), &["--partitions", "4"]).await);
    let narrow = ["--data-dir", "data"];
    let url = nats.url();
    let wide = ["--data-dir", "wide", "--nats-url", &url, "--nats-partitions", "4"];
    let run = async |arguments: &[&str], place: &[&str]| {
        let output = server::run(directory, &[arguments, place].concat()).await;
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), output)
    };
    let json = async |arguments: &[&str], place: &[&str]| -> Value {
        let (code, text, output) = run(arguments, place).await;
        assert_eq!(code, Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&text).expect("JSON")
    };

    // Verified from the log and from an export.
    let verified = json(&["verify", "--json"], &wide).await;
    assert_eq!(
        (&verified["healthy"], &verified["commits"]),
        (&json!(true), &json!(60 * COMMITS)),
        "{verified}"
    );
    assert_eq!(verified["partitions"].as_array().map(Vec::len), Some(4), "{verified}");
    for (what, narrow_out, wide_out) in [("orders", "narrow.csv", "wide.csv"), ("totals", "nt.csv", "wt.csv")]
    {
        for (out, place) in [(narrow_out, &narrow[..]), (wide_out, &wide[..])] {
            let (code, _, output) = run(&["export", what, "--format", "csv", "--out", out], place).await;
            assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let lines = |name: &str| {
        let text = std::fs::read_to_string(directory.join(name)).expect("an export");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines("nt.csv"), lines("wt.csv"));
    assert_eq!(lines("narrow.csv").len(), lines("wide.csv").len());
    let (code, _, output) = run(&["export", "commits", "--out", "commits.jsonl"], &wide).await;
    assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let from_export = server::run(directory, &["verify", "--export", "commits.jsonl", "--json"]).await;
    let from_export: Value = serde_json::from_slice(&from_export.stdout).expect("JSON");
    assert_eq!((&from_export["healthy"], &from_export["commits"]), (&json!(true), &json!(60 * COMMITS)));

    // Told of the past.
    let books = async |place: &[&str]| json(&["trial-balance", "--tenant", "acme", "--json"], place).await;
    assert_eq!(without_positions(books(&narrow).await), without_positions(books(&wide).await));
    let log = Log::read(jetstream(&nats, "daybook", PARTITIONS).await).await;
    let order = log.commits.iter().find(|one| one.commit.tenant.as_str() == "acme").expect("an order");
    let order = order.commit.record.to_string();
    let history = async |place: &[&str]| {
        let shown = json(&["history", &order, "--tenant", "acme", "--json"], place).await;
        without_positions(shown)
    };
    assert_eq!(history(&narrow).await, history(&wide).await);
    // A rebuild, and nothing differs from what the log says.
    let rebuilt = run(&["rebuild"], &wide).await;
    assert_eq!(rebuilt.0, Some(0), "{}", String::from_utf8_lossy(&rebuilt.2.stderr));
    let diff = run(&["diff", "--json"], &wide).await;
    assert_eq!(diff.0, Some(0), "{}{}", diff.1, String::from_utf8_lossy(&diff.2.stderr));
    let (_, _, doctor) = run(&["doctor", "--json"], &wide).await;
    let shown: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    assert!(shown.to_string().contains("daybook-3"), "{shown}");
    // Asked for wrongly.
    let (_, _, refused) = run(&["verify"], &["--nats-url", &url, "--nats-partitions", "3"]).await;
    assert!(!refused.status.success());
}

/// The same document without what says where commits stand.
fn without_positions(document: Value) -> Value {
    match document {
        Value::Object(fields) => {
            let kept: BTreeMap<String, Value> = fields
                .into_iter()
                .filter(|(name, _)| !["position", "first", "last"].contains(&name.as_str()))
                .map(|(name, value)| (name, without_positions(value)))
                .collect();
            json!(kept)
        }
        Value::Array(values) => values.into_iter().map(without_positions).collect(),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_no_such_copy_is_refused() {
    let directory = scratch();
    let directory = directory.path();
    filled(directory, 3).await;
    let nats = NatsServer::start(nats::newest(), directory.join("nats")).await;
    let refused = async |from: &str, to: &str, further: &[&str], code: i32, word: &str| {
        let output = copy(directory, from, to, further).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(word) && output.stdout.is_empty(), "{said}");
    };
    let at = |prefix: &str| format!("{}?prefix={prefix}", nats.url());
    refused("data", "elsewhere", &["--partitions", "4"], 2, "one partition").await;
    refused("data", &format!("{}&partitions=3", at("x")), &["--partitions", "4"], 2, "partitions=3").await;
    refused("data", &at("x"), &["--partitions", "0"], 2, "partitions").await;
    refused("data", &at("x"), &["--partitions", "4", "--at", "0-1,0-2"], 2, "twice").await;
    // Without being asked to, positions are not changed.
    fill(jetstream(&nats, "other", 3).await, 10..12).await;
    let other = format!("{}&partitions=3", at("other"));
    refused("data", &other, &[], 1, "--partitions 3").await;
    // Another ledger, and a copy that goes on by itself.
    refused("data", &at("other"), &["--partitions", "3"], 1, "no note of a copy").await;
    document(&copy(directory, "data", &at("further"), &["--partitions", "4"]).await);
    fill(jetstream(&nats, "further", 4).await, 20..21).await;
    refused("data", &at("further"), &["--partitions", "4"], 1, "goes on by itself").await;
}
