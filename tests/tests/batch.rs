//! Many commands in one request: each for itself, in the order of the lines where they are about one order, and never
//! twice.

use std::collections::BTreeMap;

use daybook_tests::client::unique;
use daybook_tests::{Client, Kind, Reply, World, checkout, eur, eventually};
use ledger::commit::Cause;
use reqwest::Method;
use serde_json::value::RawValue;
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    each_line_has_the_answer_of_its_single_route,
    lines_about_one_order_take_effect_in_their_order,
    a_line_that_is_wrong_has_its_own_problem_and_leaves_the_others_alone,
    a_batch_that_is_wrong_as_a_whole_changes_nothing,
    a_batch_sent_again_has_the_same_answers_and_stores_nothing,
    another_tenants_orders_do_not_exist_in_a_batch,
    a_batch_equals_the_same_commands_one_by_one,
);

/// The result of one line, its parts byte for byte.
type Line = BTreeMap<String, Box<RawValue>>;

fn text_of(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

async fn send_text(client: &Client, text: impl Into<reqwest::Body>) -> Reply {
    let request = client.request(Method::POST, "/v1/batch").header("content-type", "application/x-ndjson");
    Reply::to(request.body(text)).await
}

async fn send(client: &Client, lines: &[Value]) -> Vec<Line> {
    let reply = send_text(client, text_of(lines)).await.expect(200);
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    let results = results(&reply);
    assert_eq!(results.len(), lines.len());
    results
}

fn results(reply: &Reply) -> Vec<Line> {
    reply.body().lines().map(|line| serde_json::from_str(line).expect("JSON in each line")).collect()
}

fn status(line: &Line) -> u16 {
    line["status"].get().parse().expect("a status")
}

fn value(part: &RawValue) -> Value {
    serde_json::from_str(part.get()).expect("JSON")
}

#[track_caller]
fn accepted(line: &Line) -> Value {
    assert_eq!(status(line), 202, "{line:?}");
    assert!(!line.contains_key("problem") && !line.contains_key("retry_after"), "{line:?}");
    value(&line["body"])
}

/// Its status and code.
#[track_caller]
fn refused(line: &Line) -> (u16, String) {
    assert!(!line.contains_key("body"), "{line:?}");
    let problem = value(&line["problem"]);
    assert_eq!(problem["status"], status(line), "{problem}");
    (status(line), problem["code"].as_str().expect("a code").to_owned())
}

fn opens(key: &str, body: &Value) -> Value {
    json!({"op": "checkout", "idempotency_key": key, "body": body})
}

/// A new order of so many cents, which the PSP has captured.
async fn captured(shop: &Client, minor: i64) -> String {
    let order = shop.submit(&checkout(minor)).await;
    shop.report(&order, "payment.captured", json!({"amount": eur(minor)})).await;
    order
}

async fn each_line_has_the_answer_of_its_single_route(world: World) {
    let shop = world.shop();
    let paid = captured(&shop, 1_000).await;
    let mut manual = checkout(700);
    manual["capture"] = "manual".into();
    let authorized = shop.submit(&manual).await;
    shop.report(&authorized, "payment.authorized", json!({"amount": eur(700)})).await;
    let tracking = shop.get(&format!("/v1/orders/{paid}")).await.expect(200).text("/tracking_number");
    let (key, body) = (unique("key"), checkout(1_999));
    let lines = [
        json!({"op": "checkout", "ref": "first", "idempotency_key": key, "body": body}),
        json!({"op": "refund", "idempotency_key": key, "order_id": tracking,
            "body": {"amount": eur(300), "reason": "broken"}}),
        json!({"op": "capture", "idempotency_key": key, "order_id": authorized}),
        json!({"op": "cancellation", "idempotency_key": key, "checkout_key": key, "body": {}}),
    ];
    let results = send(&shop, &lines).await;
    let numbers: Vec<&str> = results.iter().map(|line| line["line"].get()).collect();
    assert_eq!(numbers, ["1", "2", "3", "4"]);
    assert_eq!(results[0]["ref"].get(), "\"first\"");
    assert!(results[1..].iter().all(|line| !line.contains_key("ref")));

    // The single routes, asked the same, answer the same.
    let order = accepted(&results[0])["order_id"].as_str().expect("an id").to_owned();
    let refund = json!({"amount": eur(300), "reason": "broken"});
    for (result, path, body) in [
        (&results[0], "/v1/checkouts".to_owned(), &body),
        (&results[1], format!("/v1/orders/{paid}/refunds"), &refund),
        (&results[2], format!("/v1/orders/{authorized}/captures"), &json!({})),
        (&results[3], format!("/v1/orders/{order}/cancellations"), &json!({})),
    ] {
        accepted(result);
        let single = shop.post_with_key(&path, &key, body).await.expect(202);
        assert_eq!(single.body(), result["body"].get(), "{path}");
    }
    // And what was accepted is seen at once.
    assert_eq!(shop.status(&order).await.text("/status"), "canceled");
    assert_eq!(shop.figure(&paid, "refund_pending").await, 300);
    assert_eq!(shop.figure(&authorized, "capture_pending").await, 700);
}

async fn lines_about_one_order_take_effect_in_their_order(world: World) {
    let shop = world.shop();
    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(captured(&shop, 1_000).await);
    }
    // Ten refunds of rising amounts for each order, the lines of the orders mixed: 10 + 20 + … + 130 is the last one
    // that fits in whole, and each of those after it is refused.
    let mut lines = Vec::new();
    for step in 1..=20 {
        for order in &orders {
            lines.push(json!({"op": "refund", "idempotency_key": format!("r-{step}"), "order_id": order,
                "body": {"amount": eur(step * 10)}}));
        }
    }
    let results = send(&shop, &lines).await;
    for (index, order) in orders.iter().enumerate() {
        let of_order: Vec<&Line> = results.iter().skip(index).step_by(3).collect();
        let mut before = 0;
        for (step, line) in (1..).zip(of_order) {
            if step <= 13 {
                let position = accepted(line)["position"].as_str().expect("a position").to_owned();
                let sequence =
                    position.rsplit('-').next().expect("a number").parse::<u64>().expect("a number");
                assert!(sequence > before, "{sequence} comes after {before}");
                before = sequence;
            } else if step == 14 {
                assert_eq!(refused(line), (409, "exceeds_refundable".to_owned()));
            }
        }
        assert_eq!(shop.figure(order, "refund_pending").await, 910);
    }
}

async fn a_line_that_is_wrong_has_its_own_problem_and_leaves_the_others_alone(world: World) {
    let shop = world.shop();
    let good = opens(&unique("key"), &checkout(1_000)).to_string();
    let paid = captured(&shop, 100).await;
    let before = world.log().await.len();
    let line = |fields: Value| {
        let mut line = json!({"op": "checkout", "idempotency_key": "k", "body": checkout(5)});
        for (name, value) in fields.as_object().expect("an object") {
            line[name] = value.clone();
        }
        line.to_string()
    };
    let bare = |fields: Value| fields.to_string();
    let huge = format!(r#"{{"op":"checkout","idempotency_key":"k","body":{{{}}}}}"#, " ".repeat(70_000));
    let cases = [
        ("{".to_owned(), 400, "malformed_json", None),
        ("7".to_owned(), 422, "invalid_field", Some("")),
        ("[]".to_owned(), 422, "invalid_field", Some("")),
        (bare(json!({"op": "checkout"})), 422, "missing_field", Some("/idempotency_key")),
        (bare(json!({"idempotency_key": "k"})), 422, "missing_field", Some("/op")),
        (bare(json!({"op": "checkout", "idempotency_key": "k"})), 422, "missing_field", Some("/body")),
        (line(json!({"op": "payout"})), 422, "invalid_field", Some("/op")),
        (line(json!({"idempotency_key": ""})), 400, "invalid_idempotency_key", Some("/idempotency_key")),
        (line(json!({"idempotency_key": "a b"})), 400, "invalid_idempotency_key", Some("/idempotency_key")),
        (line(json!({"order_id": paid})), 422, "invalid_field", Some("/order_id")),
        (line(json!({"checkout_key": "k"})), 422, "invalid_field", Some("/checkout_key")),
        (line(json!({"priority": 1})), 422, "unknown_field", Some("/priority")),
        (line(json!({"ref": "x".repeat(129)})), 422, "invalid_field", Some("/ref")),
        (line(json!({"body": []})), 422, "invalid_field", Some("/body")),
        (
            line(json!({"body": {"amount": eur(0), "merchant_reference": "A"}})),
            422,
            "amount_zero",
            Some("/body/amount/value"),
        ),
        (line(json!({"body": {"amount": eur(5)}})), 422, "missing_field", Some("/body/merchant_reference")),
        (line(json!({"op": "refund", "body": {}})), 422, "missing_field", Some("/order_id")),
        (
            line(json!({"op": "refund", "body": {}, "order_id": paid, "checkout_key": "k"})),
            422,
            "invalid_field",
            Some("/checkout_key"),
        ),
        (
            line(json!({"op": "refund", "body": {"amount": eur(101)}, "order_id": paid})),
            409,
            "exceeds_refundable",
            None,
        ),
        (
            line(
                json!({"op": "refund", "order_id": paid, "body": {"amount": {"value": 1, "currency": "USD"}}}),
            ),
            422,
            "currency_mismatch",
            Some("/body/amount/currency"),
        ),
        (line(json!({"op": "capture", "body": null, "order_id": paid})), 409, "capture_is_automatic", None),
        (line(json!({"op": "cancellation", "body": null, "checkout_key": "nobody"})), 404, "not_found", None),
        (line(json!({"op": "cancellation", "body": null, "order_id": "x"})), 404, "not_found", None),
        (huge, 413, "body_too_large", Some("/body")),
    ];
    // Each stands between an empty line and a good one.
    let text: String = cases.iter().map(|(text, ..)| format!("\r\n{text}\r\n{good}\n")).collect();
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(b"{\"op\":\"\xff\"}");
    let reply = send_text(&shop, bytes).await.expect(200);
    let results = results(&reply);
    assert_eq!(results.len(), 2 * cases.len() + 1);
    for (index, (text, status, code, pointer)) in cases.iter().enumerate() {
        let (wrong, right) = (&results[2 * index], &results[2 * index + 1]);
        assert_eq!(refused(wrong), (*status, (*code).to_owned()), "{text}");
        assert_eq!(value(&wrong["problem"])["pointer"].as_str(), *pointer, "{text}");
        assert_eq!(wrong["line"].get(), (3 * index + 2).to_string());
        assert_eq!(right["line"].get(), (3 * index + 3).to_string());
        accepted(right);
    }
    assert_eq!(refused(&results[2 * cases.len()]), (400, "invalid_utf8".to_owned()));
    assert_eq!(world.log().await.len(), before + 1, "the good line, once");
}

async fn a_batch_that_is_wrong_as_a_whole_changes_nothing(world: World) {
    let shop = world.shop();
    let before = world.log().await.len();
    let one = text_of(&[opens("k", &checkout(1_000))]);
    let request = || shop.request(Method::POST, "/v1/batch").header("content-type", "application/x-ndjson");
    Reply::to(shop.anonymous(Method::POST, "/v1/batch").body(one.clone()))
        .await
        .problem(401, "unauthenticated");
    for other in ["application/json", "text/plain", "application/x-ndjson; charset=latin1"] {
        let request = shop.request(Method::POST, "/v1/batch").header("content-type", other);
        Reply::to(request.body(one.clone())).await.problem(415, "unsupported_media_type");
    }
    Reply::to(request().body(one.repeat(10_001))).await.problem(413, "too_many_commands");
    let large = format!("{}\n{one}", " ".repeat(16 * 1024 * 1024));
    Reply::to(request().body(large)).await.problem(413, "body_too_large");
    Reply::to(shop.request(Method::GET, "/v1/batch")).await.problem(405, "method_not_allowed");
    assert_eq!(Reply::to(request().body("\n \n")).await.expect(200).body(), "");
    assert_eq!(world.log().await.len(), before);

    let jsonl = shop.request(Method::POST, "/v1/batch").header("content-type", "application/jsonl");
    let reply = Reply::to(jsonl.body("{\n".repeat(10_000))).await.expect(200);
    let results = results(&reply);
    assert_eq!(results.len(), 10_000);
    assert!(results.iter().all(|line| refused(line).1 == "malformed_json"));
    assert_eq!(world.log().await.len(), before);
}

async fn a_batch_sent_again_has_the_same_answers_and_stores_nothing(world: World) {
    let shop = world.shop();
    let paid = captured(&shop, 1_000).await;
    let mut lines: Vec<Value> = (0..50).map(|_| opens(&unique("key"), &checkout(1_000))).collect();
    lines.push(json!({"op": "refund", "idempotency_key": "r", "order_id": paid}));
    let first = send_text(&shop, text_of(&lines)).await.expect(200);
    let before = world.log().await.len();
    // Spelled otherwise, and after the money has gone.
    lines[50]["body"] = json!({});
    let again = send_text(&shop, text_of(&lines)).await.expect(200);
    assert_eq!(again.body(), first.body());
    // The same key for something else is refused, and the first stays.
    lines[0]["body"]["amount"] = eur(1_001);
    let other = send(&shop, &lines).await;
    assert_eq!(refused(&other[0]), (422, "idempotency_key_reused".to_owned()));
    assert!(other[1..].iter().all(|line| status(line) == 202));
    assert_eq!(world.log().await.len(), before);
}

async fn another_tenants_orders_do_not_exist_in_a_batch(world: World) {
    let (shop, other) = (world.shop(), world.other_shop());
    let key = unique("key");
    let body = checkout(1_000);
    let ours = accepted(&send(&shop, &[opens(&key, &body)]).await[0])["order_id"].clone();
    let before = world.log().await.len();
    let lines = [
        json!({"op": "cancellation", "idempotency_key": "c", "order_id": ours}),
        json!({"op": "cancellation", "idempotency_key": "c", "checkout_key": key}),
    ];
    for line in send(&other, &lines).await {
        assert_eq!(refused(&line), (404, "not_found".to_owned()));
    }
    assert_eq!(world.log().await.len(), before);
    let theirs = accepted(&send(&other, &[opens(&key, &body)]).await[0])["order_id"].clone();
    assert_ne!(ours, theirs);
}

/// What two shops can be told alike: without ids, positions, times and tokens.
fn alike(mut answer: Value) -> Value {
    let own = [
        "order_id",
        "tracking_number",
        "position",
        "created_at",
        "expires_at",
        "status_token",
        "capture_id",
        "refund_id",
        "request_id",
    ];
    for name in own {
        answer.as_object_mut().expect("an object").remove(name);
    }
    if let Some(pointer) = answer.get("pointer").and_then(Value::as_str) {
        answer["pointer"] = pointer.trim_start_matches("/body").into();
    }
    answer
}

/// A command, and the order that it is about if it opens none.
fn any_command(random: &mut fastrand::Rng) -> (Value, Option<usize>) {
    let key = format!("k-{}", random.u8(0..12));
    let (order, amount) = (random.usize(0..4), eur(random.i64(0..500)));
    let body = if random.bool() { json!({"amount": amount}) } else { json!({}) };
    match random.u8(0..5) {
        0 | 1 => {
            // The same content under one key, most of the time.
            let minor = if random.u8(..) < 32 { random.i64(0..9) } else { 1_000 };
            let body = json!({"amount": eur(minor), "merchant_reference": key});
            (json!({"op": "checkout", "idempotency_key": key, "body": body}), None)
        }
        2 => (json!({"op": "capture", "idempotency_key": key, "body": body}), Some(order)),
        3 => (json!({"op": "refund", "idempotency_key": key, "body": body}), Some(order)),
        _ => (json!({"op": "cancellation", "idempotency_key": key}), Some(order)),
    }
}

async fn a_batch_equals_the_same_commands_one_by_one(world: World) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let commands: Vec<_> = (0..120).map(|_| any_command(&mut random)).collect();
    let (one_by_one, in_a_batch) = (world.shop(), world.other_shop());

    let mut orders = Vec::new();
    for shop in [&one_by_one, &in_a_batch] {
        let mut of_shop = Vec::new();
        for kind in ["payment.captured", "payment.captured", "payment.authorized", "payment.authorized"] {
            let mut body = checkout(1_000);
            body["capture"] = if kind == "payment.captured" { "automatic" } else { "manual" }.into();
            let order = shop.submit(&body).await;
            shop.report(&order, kind, json!({"amount": eur(1_000)})).await;
            of_shop.push(order);
        }
        orders.push(of_shop);
    }

    let mut singles = Vec::new();
    for (command, order) in &commands {
        let key = command["idempotency_key"].as_str().expect("a key");
        let op = command["op"].as_str().expect("an operation");
        let path = match order {
            None => "/v1/checkouts".to_owned(),
            Some(order) => format!("/v1/orders/{}/{op}s", orders[0][*order]),
        };
        let body = command.get("body").cloned().unwrap_or(json!({}));
        singles.push(one_by_one.post_with_key(&path, key, &body).await);
    }
    let lines = |of_shop: &[String]| -> Vec<Value> {
        let line = |(command, order): &(Value, Option<usize>)| {
            let mut line = command.clone();
            if let Some(order) = order {
                line["order_id"] = of_shop[*order].as_str().into();
            }
            line
        };
        commands.iter().map(line).collect()
    };
    // What one shop asks for one by one, the other asks for in a batch, and both are told the same.
    let batched = send(&in_a_batch, &lines(&orders[1])).await;
    let mut answers = [0, 0];
    for ((command, single), line) in commands.iter().zip(&singles).zip(&batched) {
        let part = if single.status == 202 { "body" } else { "problem" };
        answers[usize::from(single.status == 202)] += 1;
        assert_eq!(status(line), single.status, "{command:?}: {} and {line:?}", single.body());
        assert_eq!(alike(value(&line[part])), alike(single.json()), "{command:?}");
    }
    assert!(answers.iter().all(|&count| count > 0), "some accepted, some refused: {answers:?}");
    for (ours, theirs) in orders[0].iter().zip(&orders[1]) {
        let balance = [one_by_one.balance(ours).await, in_a_batch.balance(theirs).await];
        let [ours, theirs] = balance.map(|balance| alike(balance.json()));
        assert_eq!(ours, theirs);
    }
    // And a batch of what was accepted one by one has the very same answers.
    let before = world.log().await.len();
    for (single, line) in singles.iter().zip(send(&one_by_one, &lines(&orders[0])).await) {
        if single.status == 202 {
            assert_eq!(line["body"].get(), single.body());
        }
    }
    assert_eq!(world.log().await.len(), before);
}

/// Sends a batch until no line is told to come again.
async fn insist(shop: &Client, lines: &[Value]) -> Vec<Line> {
    eventually("an answer to every line", async || {
        let results = send(shop, lines).await;
        results.iter().all(|line| status(line) != 503).then_some(results)
    })
    .await
}

/// `kill -9` in the middle of a batch, then the same batch again.
async fn a_batch_survives_the_server(kind: Kind) {
    let mut world = World::start(kind).await;
    let mut lines = vec![opens("told", &checkout(1_000))];
    let told = send(&world.shop(), &lines).await;
    // On a busy machine a batch may be over before its first order is seen.
    let mut is_cut = false;
    for round in 0..5 {
        let round = format!("round-{round}");
        let mut batch = Vec::new();
        for number in 0..1_000 {
            let key = format!("{round}-{number}");
            batch.push(opens(&key, &json!({"amount": eur(1_000), "merchant_reference": round})));
            batch.push(json!({"op": "cancellation", "idempotency_key": key, "checkout_key": key}));
        }
        let shop = world.shop();
        let request = shop.request(Method::POST, "/v1/batch").header("content-type", "application/x-ndjson");
        let sent = tokio::spawn(Reply::of(request.body(text_of(&batch))));
        eventually("an order of the batch", async || {
            let page = shop.get(&format!("/v1/orders?limit=1&merchant_reference={round}")).await;
            page.expect(200).json()["orders"]
                .as_array()
                .is_some_and(|orders| !orders.is_empty())
                .then_some(())
        })
        .await;
        world.servers[0].kill();
        is_cut = sent.await.expect("a task").is_err();
        world.servers[0].restart().await;
        lines.extend(batch);
        if is_cut {
            break;
        }
    }
    assert!(is_cut, "every batch was over before the kill: give it more lines");

    let first = insist(&world.shop(), &lines).await;
    let log = world.log().await;
    log.assert_nothing_is_there_twice();
    assert_eq!(log.len(), lines.len());
    assert_eq!(first[0]["body"].get(), told[0]["body"].get(), "what was acknowledged before");
    let by_position = log.by_position();
    for (line, sent) in first.iter().zip(&lines) {
        let position = accepted(line)["position"].as_str().expect("a position").to_owned();
        let Cause::Command { operation, key, .. } = &by_position[&position].commit.cause else {
            panic!("{position} is no command");
        };
        assert_eq!(
            (Some(operation.as_str()), key.as_deref()),
            (sent["op"].as_str(), sent["idempotency_key"].as_str())
        );
    }
    for (again, first) in insist(&world.shop(), &lines).await.iter().zip(&first) {
        assert_eq!(again["body"].get(), first["body"].get());
    }
    assert_eq!(world.log().await.len(), lines.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_survives_the_server_on_the_embedded_journal() {
    a_batch_survives_the_server(Kind::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_survives_the_server_on_jetstream() {
    a_batch_survives_the_server(Kind::JetStreamNewest).await;
}
