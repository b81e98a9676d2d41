//! The past, asked for later, against what the server said at the time.

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use daybook_tests::{Client, Reply, World, eur};
use jiff::Timestamp;
use ledger::commit::{Cause, Recorded};
use ledger::execute::{Ledger, Outcome, Request, RetryPolicy};
use ledger::ids::{Position, RecordId, RequestHash, TenantId};
use ledger::journal::Journal;
use ledger::journal::conformance::nats::{self, NatsServer};
use ledger::journal::jetstream::{JetStreamConfig, JetStreamJournal};
use ledger::money::Money;
use ledger::order::{CaptureMode, Checkout, Command, Order};
use replay::{AsOf, Moment, Snapshot};
use reqwest::Method;
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    the_past_is_what_it_was_when_it_was_now,
    the_command_line_says_what_the_server_says,
    a_list_of_the_past_can_be_paged_while_orders_come_in,
    a_history_shows_what_each_commit_changed,
    a_moment_that_is_none_is_refused,
    the_past_of_a_journal_that_is_away_is_an_outage,
    a_caller_who_goes_away_gives_up_the_turn,
    what_was_forgotten_is_forgotten_at_every_moment,
);

/// A moment, and what the server said then of everything that can be asked about it later.
struct Then {
    last: Recorded,
    answers: Vec<(String, Vec<u8>)>,
}

/// What can be asked about the past.
fn questions(orders: &[String]) -> Vec<String> {
    let mut paths = vec!["/v1/totals".to_owned(), "/v1/trial-balance".to_owned()];
    for filter in ["limit=100", "status=captured", "status=authorized", "reference=A-2"] {
        paths.push(format!("/v1/orders?{filter}"));
    }
    for order in orders {
        paths.push(format!("/v1/orders/{order}"));
        for part in ["status", "balance", "history", "history?steps=full", "events"] {
            paths.push(format!("/v1/orders/{order}/{part}"));
        }
    }
    paths
}

fn as_of(path: &str, moment: &str) -> String {
    format!("{path}{}as_of={moment}", if path.contains('?') { "&" } else { "?" })
}

async fn now(world: &World, orders: &[String]) -> Then {
    let last = world.log().await.commits.pop().expect("a commit");
    let mut answers = Vec::new();
    for path in questions(orders) {
        let bytes = world.shop().get(&path).await.expect(200).bytes;
        answers.push((path, bytes));
    }
    Then { last, answers }
}

fn checkout(minor: i64, reference: &str, capture: &str) -> Value {
    json!({
        "amount": eur(minor),
        "merchant_reference": reference,
        "capture": capture,
        "customer": {"name": "Ada Lovelace", "email": "ada@example.com"},
        "items": [{"identifier": "book"}],
    })
}

/// Two orders and a third in yen, whose money moves in every way there is. Returns what was said after each step.
async fn a_day(world: &World) -> Vec<Then> {
    let shop = world.shop();
    let mut orders = vec![shop.submit(&checkout(1_999, "A-1", "automatic")).await];
    let mut day = vec![now(world, &orders).await];
    orders.push(shop.submit(&checkout(5_000, "A-2", "manual")).await);
    day.push(now(world, &orders).await);
    let (first, second) = (orders[0].clone(), orders[1].clone());
    let captured = json!({"amount": eur(1_999), "reference": "cap-1"});
    shop.report(&first, "payment.captured", captured).await;
    day.push(now(world, &orders).await);
    shop.report(&second, "payment.authorized", json!({"amount": eur(5_000)})).await;
    day.push(now(world, &orders).await);
    // Another tenant's order is in the same log, and in none of these answers.
    world.other_shop().submit(&checkout(777, "A-2", "automatic")).await;
    shop.post(&format!("/v1/orders/{second}/captures"), &json!({"amount": eur(3_000)})).await.expect(202);
    day.push(now(world, &orders).await);
    shop.report(&second, "payment.captured", json!({"amount": eur(3_000), "reference": "cap-2"})).await;
    orders.push(
        shop.submit(&json!({"amount": {"value": 300, "currency": "JPY"}, "merchant_reference": "A-3"})).await,
    );
    day.push(now(world, &orders).await);
    let refund = json!({"amount": eur(500)});
    let refund = shop.post(&format!("/v1/orders/{first}/refunds"), &refund).await.expect(202);
    day.push(now(world, &orders).await);
    let settled = json!({"amount": eur(500), "reference": "ref-1", "refund_id": refund.text("/refund_id")});
    shop.report(&first, "refund.settled", settled).await;
    day.push(now(world, &orders).await);
    let dispute = json!({"amount": eur(1_999), "reference": "dis-1", "reason": "fraud"});
    shop.report(&first, "chargeback.opened", dispute).await;
    day.push(now(world, &orders).await);
    shop.report(&first, "chargeback.won", json!({"amount": eur(1_999), "reference": "dis-1"})).await;
    day.push(now(world, &orders).await);
    day
}

/// The moments that name the end of this step: its last position, and its last time if nothing else was decided then.
fn names(then: &Then, next: Option<&Then>) -> Vec<String> {
    let mut names = vec![then.last.position.to_string()];
    let at = then.last.commit.decided_at;
    if next.is_none_or(|next| next.last.commit.decided_at > at) {
        names.push(at.to_string());
    }
    names
}

async fn the_past_is_what_it_was_when_it_was_now(world: World) {
    let day = a_day(&world).await;
    let shop = world.shop();
    for (index, then) in day.iter().enumerate() {
        for (path, said) in &then.answers {
            for moment in names(then, day.get(index + 1)) {
                let path = as_of(path, &moment);
                let says = shop.get(&path).await.expect(200);
                assert_eq!(says.body(), String::from_utf8_lossy(said), "{path}");
            }
        }
    }
    // The future is now, and before the first order there is nothing.
    let last = day.last().expect("a day");
    for (path, said) in &last.answers {
        for moment in ["0-99999", "2999-01-01T00:00:00Z"] {
            assert_eq!(shop.get(&as_of(path, moment)).await.expect(200).bytes, *said, "{path}");
        }
    }
    for (path, _) in last.answers.iter().filter(|(path, _)| path.starts_with("/v1/orders/")) {
        for moment in ["0-0", "1999-01-01T00:00:00Z"] {
            shop.get(&as_of(path, moment)).await.problem(404, "not_found");
        }
    }
    // Another tenant's past is its own: here, nothing until the fifth step.
    let (other, moment) = (world.other_shop(), &day[3].last.position.to_string());
    for (path, _) in &day[3].answers {
        let reply = other.get(&as_of(path, moment)).await;
        match path.strip_prefix("/v1/orders/") {
            Some(_order) => drop(reply.problem(404, "not_found")),
            None => assert!(reply.expect(200).json().as_object().is_some_and(|d| d.values().all(is_nothing))),
        }
    }
    assert_eq!(shop.get("/v1/totals?as_of=0-0").await.json(), json!({"totals": []}));
    assert_eq!(shop.get("/v1/trial-balance?as_of=0-0").await.json(), json!({"trial_balances": []}));
    assert_eq!(shop.get("/v1/orders?as_of=0-0").await.json(), json!({"orders": [], "next_cursor": null}));
}

/// An empty list, or no cursor.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// What a command printed on stdout. It must have ended with this code.
#[track_caller]
fn printed(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

async fn the_command_line_says_what_the_server_says(world: World) {
    let day = a_day(&world).await;
    let then = &day[day.len() / 2];
    let moment = then.last.position.to_string();
    let said = |path: &str| -> Value {
        let (_, bytes) = then.answers.iter().find(|(asked, _)| asked == path).expect("an answer");
        serde_json::from_slice(bytes).expect("JSON")
    };
    for (command, path) in
        [("orders", "/v1/orders?limit=100"), ("totals", "/v1/totals"), ("trial-balance", "/v1/trial-balance")]
    {
        let of_acme = ["--tenant", "acme", "--as-of", &moment];
        let output = world.run(command, &[&of_acme[..], &["--json"]].concat()).await;
        let document: Value = serde_json::from_str(&printed(&output, 0)).expect("JSON");
        assert_eq!(document, said(path), "daybook {command}");
        let text = printed(&world.run(command, &of_acme).await, 0);
        assert!(text.contains("50.00") || text.contains("EUR"), "{text}");
        let now = world.run(command, &["--tenant", "acme", "--json"]).await;
        let document: Value = serde_json::from_str(&printed(&now, 0)).expect("JSON");
        assert_eq!(document, world.shop().get(path).await.json(), "daybook {command}");
        printed(&world.run(command, &["--json"]).await, 2);
        printed(&world.run(command, &["--tenant", "acme", "--as-of", "yesterday"]).await, 2);
        printed(&world.run(command, &["--tenant", "acme", "--as-of", "7-1"]).await, 2);
    }
    let page = world.run("orders", &["--tenant", "acme", "--limit", "1", "--json"]).await;
    let page: Value = serde_json::from_str(&printed(&page, 0)).expect("JSON");
    assert_eq!(page, world.shop().get("/v1/orders?limit=1").await.json());
    let filtered = world.run("orders", &["--tenant", "acme", "--status", "captured", "--json"]).await;
    let filtered: Value = serde_json::from_str(&printed(&filtered, 0)).expect("JSON");
    assert_eq!(filtered, world.shop().get("/v1/orders?status=captured").await.json());
    printed(&world.run("orders", &["--tenant", "acme", "--status", "lost"]).await, 2);

    let csv =
        printed(&world.run("trial-balance", &["--tenant", "acme", "--as-of", &moment, "--csv"]).await, 0);
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("currency,account,kind,debit,credit"));
    let mut sums = [0_i64; 2];
    for line in lines {
        for (sum, cell) in sums.iter_mut().zip(line.split(',').skip(3)) {
            *sum += cell.parse::<i64>().expect("minor units");
        }
    }
    let books = said("/v1/trial-balance");
    assert_eq!(sums, [1_999 + 3_000; 2], "{csv}");
    assert_eq!(books["trial_balances"][0]["debit"], 4_999, "{books}");
}

async fn a_list_of_the_past_can_be_paged_while_orders_come_in(world: World) {
    let shop = world.shop();
    let mut expected = Vec::new();
    for number in 0..5 {
        expected.insert(0, shop.submit(&checkout(100, &format!("P-{number}"), "automatic")).await);
    }
    let moment = world.log().await.commits.pop().expect("a commit").position;
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = shop.get(&format!("/v1/orders?as_of={moment}&limit=2{cursor}")).await.expect(200).json();
        let orders = page["orders"].as_array().expect("orders").clone();
        listed.extend(orders.iter().map(|order| order["order_id"].as_str().expect("an id").to_owned()));
        shop.submit(&checkout(100, "late", "automatic")).await;
        shop.report(&expected[4], "payment.captured", json!({"amount": eur(100), "reference": "c"})).await;
        assert!(orders.iter().all(|order| order["status"] == "processing"), "{page}");
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, expected);
}

async fn a_history_shows_what_each_commit_changed(world: World) {
    a_day(&world).await;
    let shop = world.shop();
    let listed = shop.get("/v1/orders?reference=A-1").await.expect(200);
    let order = listed.text("/orders/0/order_id");
    let plain = shop.history(&order).await.json();
    let full = shop.get(&format!("/v1/orders/{order}/history?steps=full")).await.expect(200).json();
    let (plain, full) =
        (plain["entries"].as_array().expect("entries"), full["entries"].as_array().expect("entries"));
    let steps: Vec<&Value> = full.iter().map(|entry| &entry["step"]).collect();
    assert_eq!(plain.len(), steps.len());
    for (plain, full) in plain.iter().zip(full) {
        let mut without = full.clone();
        without.as_object_mut().expect("an object").remove("step");
        assert_eq!(*plain, without, "steps add to an entry and change nothing of it");
    }
    assert_eq!(steps[0]["before"], Value::Null);
    for pair in steps.windows(2) {
        assert_eq!(pair[1]["before"], pair[0]["after"], "one step begins where the one before ends");
    }
    let postings: Vec<Value> = steps.iter().map(|step| step["postings"].clone()).collect();
    let posting =
        |debit: &str, credit: &str, amount: i64| json!({"debit": debit, "credit": credit, "amount": amount});
    // Disputed in full after a part was refunded: the buyer has 5.00 too much until the dispute is won.
    assert_eq!(
        postings,
        [
            json!([]),
            json!([posting("psp_clearing", "merchant_payable", 1_999)]),
            json!([posting("merchant_payable", "refunds_payable", 500)]),
            json!([posting("refunds_payable", "refunds_paid", 500)]),
            json!([
                posting("merchant_payable", "disputes", 1_999),
                posting("customer_receivable", "merchant_payable", 500)
            ]),
            json!([
                posting("disputes", "merchant_payable", 1_999),
                posting("merchant_payable", "customer_receivable", 500)
            ]),
        ]
    );
    assert_eq!(
        steps[1]["changed"],
        json!(["status", "captured", "balance", "available_to_refund"]),
        "{}",
        steps[1]
    );
    let output = world.run("history", &[&order, "--tenant", "acme", "--steps", "--json"]).await;
    let document: Value = serde_json::from_str(&printed(&output, 0)).expect("JSON");
    assert_eq!(document["entries"].as_array(), Some(full), "the command answers as the server does");
    let text = printed(&world.run("history", &[&order, "--tenant", "acme", "--steps"]).await, 0);
    for line in
        ["processing -> captured", "0.00 -> 19.99", "debit psp_clearing, credit merchant_payable: 19.99"]
    {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    shop.get(&format!("/v1/orders/{order}/history?steps=some")).await.problem(400, "invalid_query");
}

async fn a_moment_that_is_none_is_refused(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(100, "A-1", "automatic")).await;
    for path in questions(std::slice::from_ref(&order)) {
        for moment in ["", "yesterday", "42", "2026-11-20", "0-01", "1-1", "65535-1", "0-1&as_of=0-2"] {
            let reply = shop.get(&as_of(&path, moment)).await.problem(400, "invalid_query");
            let is_partition = ["1-1", "65535-1"].contains(&moment);
            assert!(!is_partition || reply.body().contains("there is no partition"), "{}", reply.body());
        }
    }
    shop.get(&format!("/v1/orders/{order}/status?wait=1s&as_of=0-1")).await.problem(400, "invalid_query");
    let nobody = Client::new(shop.url(), daybook_tests::client::Tenant { key: "no", ..shop.tenant });
    nobody.get("/v1/trial-balance").await.problem(401, "unauthenticated");
    nobody.get("/v1/totals?as_of=0-1").await.problem(401, "unauthenticated");
}

async fn the_past_of_a_journal_that_is_away_is_an_outage(mut world: World) {
    let order = world.shop().submit(&checkout(100, "A-1", "automatic")).await;
    let Some(nats) = &mut world.nats else { return };
    nats.kill();
    let shop = world.shop();
    let paths = ["/v1/totals".to_owned(), "/v1/orders".to_owned(), format!("/v1/orders/{order}")];
    let asked = paths.iter().map(|path| {
        let shop = shop.clone();
        async move { shop.get(&as_of(path, "0-1")).await }
    });
    for reply in futures::future::join_all(asked).await {
        let reply = reply.problem(503, "journal_unavailable");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
}

async fn a_caller_who_goes_away_gives_up_the_turn(mut world: World) {
    let shop = world.shop();
    shop.submit(&checkout(100, "A-1", "automatic")).await;
    let moment = as_of("/v1/totals", "2999-01-01T00:00:00Z");
    let Some(nats) = &mut world.nats else { return };
    // The journal says nothing, so whoever has the turn keeps it.
    nats.pause();
    let impatient = shop.request(Method::GET, &moment).timeout(Duration::from_millis(300));
    assert!(Reply::of(impatient).await.is_err(), "there is nothing to answer with");
    let mut patient = std::pin::pin!(shop.get(&moment));
    let early = tokio::time::timeout(Duration::from_secs(2), patient.as_mut()).await;
    assert!(early.is_err(), "the turn was not free: {early:?}");
    nats.resume();
    assert_eq!(patient.await.expect(200).number("/totals/0/orders"), 1);
}

async fn what_was_forgotten_is_forgotten_at_every_moment(world: World) {
    let shop = world.shop();
    let orders = [shop.submit(&checkout(100, "A-1", "automatic")).await];
    shop.report(&orders[0], "payment.captured", json!({"amount": eur(100), "reference": "c"})).await;
    let then = now(&world, &orders).await;
    let moment = then.last.position.to_string();
    let by_command = async || {
        let arguments = ["--tenant", "acme", "--as-of", &moment, "--json"];
        printed(&world.run("orders", &arguments).await, 0)
    };
    assert!(by_command().await.contains("Ada Lovelace"));
    let path = format!("/v1/orders/{}/personal-data", orders[0]);
    Reply::to(shop.request(Method::DELETE, &path)).await.expect(200);
    let (mut with_a_name, mut unchanged) = (0, 0);
    for (path, said) in &then.answers {
        let says = shop.get(&as_of(path, &moment)).await.expect(200);
        assert!(!says.body().contains("Ada") && !says.body().contains("ada@example.com"), "{}", says.body());
        if String::from_utf8_lossy(said).contains("Ada") {
            with_a_name += 1;
        } else {
            assert_eq!(says.body(), String::from_utf8_lossy(said), "{path}");
            unchanged += 1;
        }
        let (is, folded) = (shop.get(path).await, shop.get(&as_of(path, "2999-01-01T00:00:00Z")).await);
        assert_eq!(is.expect(200).body(), folded.expect(200).body(), "{path}: now, and folded up to now");
    }
    assert!(with_a_name > 0 && unchanged > 0, "{with_a_name}, {unchanged}");
    assert!(!by_command().await.contains("Ada"));
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

async fn submit(ledger: &Ledger, tenant: &TenantId, second: i64) -> Position {
    let checkout = Checkout {
        amount: Money::of(100, "EUR".parse().expect("a currency")).expect("money"),
        merchant_reference: "A".to_owned(),
        capture: CaptureMode::Automatic,
        payment_method: None,
        items: Vec::new(),
        customer: Default::default(),
        return_urls: Default::default(),
        metadata: Default::default(),
        expires_at: at(100_000),
        surface: Default::default(),
    };
    let cause =
        Cause::Command { operation: "test".to_owned(), key: None, request_hash: RequestHash::of(b"") };
    let command = Command::Submit(Box::new(checkout));
    let (tenant, record) = (tenant.clone(), RecordId::random());
    let request = Request { tenant, record, cause, command, at: at(second), is_new: true };
    match ledger.execute::<Order>(request).await.expect("a ledger that works") {
        Outcome::Committed(done) => done.recorded.position,
        Outcome::Repeated(_) | Outcome::Unchanged(_) => panic!("nothing was stored"),
    }
}

/// A position cuts its own partition there, and the others at the time of that commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_cuts_every_partition() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = NatsServer::start(nats::newest(), directory.path().join("nats")).await;
    let config = JetStreamConfig { partitions: 3, ..JetStreamConfig::new(server.url()) };
    let journal: Arc<dyn Journal> = Arc::new(JetStreamJournal::connect(config).await.expect("a journal"));
    let ledger = Ledger::new(Arc::clone(&journal), RetryPolicy::default());
    let tenant: TenantId = "acme".parse().expect("a tenant");
    let mut positions = Vec::new();
    for second in 0..30 {
        positions.push(submit(&ledger, &tenant, second).await);
    }
    assert!((0..3).all(|partition| positions.iter().any(|at| at.partition == partition)), "each has some");
    let orders = async |as_of: Option<AsOf>| -> i64 {
        let moment = Moment::find(journal.as_ref(), as_of).await.expect("a moment");
        let snapshot = Snapshot::read(journal.as_ref(), &tenant, moment, |_| {}).await.expect("a snapshot");
        snapshot.totals().values().map(|totals| totals.orders).sum()
    };
    assert_eq!(orders(None).await, 30);
    for (before, (second, &position)) in (0..).zip((0..).zip(&positions)) {
        assert_eq!(orders(Some(AsOf::Position(position))).await, before + 1, "{position}");
        assert_eq!(orders(Some(AsOf::Time(at(second)))).await, before + 1, "second {second}");
    }
    assert_eq!(orders(Some(AsOf::Position(Position { partition: 2, sequence: 99 }))).await, 30);
    assert_eq!(orders(Some(AsOf::Position(Position { partition: 2, sequence: 0 }))).await, 0);
}
