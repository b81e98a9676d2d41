//! The Carat surface, by its vendor's own words and tables.

use daybook_tests::client::unique;
use daybook_tests::{Client, Reply, World, eventually};
use futures::future::join_all;
use insta::assert_json_snapshot;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

daybook_tests::in_each_world!(
    daybook_tests::Setup::two_nodes();
    a_payment_made_outside_is_confirmed_and_later_refunded_in_parts,
    a_payment_made_outside_is_undone,
    less_may_be_confirmed_and_more_may_not,
    what_ended_elsewhere_cannot_be_effectuated,
    a_transaction_is_created_once,
    a_transaction_is_effectuated_once,
    of_twenty_contrary_effectuations_at_once_one_wins,
    a_body_outside_the_tables_is_refused_and_leaves_nothing_in_the_log,
    a_request_that_is_no_call_has_the_vendors_shape_of_a_failure,
    only_the_merchant_with_its_key_is_answered,
);

mod short_lives {
    use super::a_transaction_expires;

    fn setup() -> daybook_tests::Setup {
        let config = "carat.transaction_life_seconds = 4".to_owned();
        daybook_tests::Setup { config, ..daybook_tests::Setup::two_nodes() }
    }

    daybook_tests::in_each_world!(super::setup(); a_transaction_expires);
}

const TRANSACTIONS: &str = "/carat/v1/transactions";

/// A request with the merchant's headers.
fn request(shop: &Client, method: Method, path: &str, body: Option<&Value>) -> reqwest::RequestBuilder {
    let request = shop.anonymous(method, path);
    let request = request.header("merchant_id", shop.tenant.id).header("merchant_key", shop.tenant.key);
    match body {
        Some(body) => request.json(body),
        None => request,
    }
}

async fn create(shop: &Client, body: &Value) -> Reply {
    Reply::to(request(shop, Method::POST, TRANSACTIONS, Some(body))).await
}

async fn effectuate(shop: &Client, nit: &str, confirm: bool, body: &Value) -> Reply {
    let path = format!("/carat/v1/payments/{nit}?confirm={confirm}");
    Reply::to(request(shop, Method::PUT, &path, Some(body))).await
}

async fn state(shop: &Client, nit: &str) -> Reply {
    Reply::to(request(shop, Method::GET, &format!("{TRANSACTIONS}/{nit}"), None)).await
}

async fn status(shop: &Client, nit: &str) -> String {
    state(shop, nit).await.expect(200).text("/payment/status")
}

/// A transaction as the vendor's first table has it, with every field.
fn transaction(cents: i64) -> Value {
    json!({
        "amount": cents.to_string(), "merchant_usn": digits(11), "order_id": format!("A-{}", digits(9)),
        "transaction_type": "confirmation", "is_transaction_origin_external": "true"
    })
}

/// An effectuation as the vendor's second table has it, with every field.
fn effectuation() -> Value {
    json!({
        "authorizer_id": "2", "installments": "1", "installment_type": "4", "confirmation_data": "0;1;x",
        "acquirer": {
            "routing_id": "1005", "host_usn": "000000123", "authorization_number": "092423",
            "authorizer_date": "13/07/2017", "order_id": "A-1", "identification_number": "111.444.777-35",
            "terminal": "SE000001", "company_code": "00000000"
        }
    })
}

/// An effectuation with nothing but what is required.
fn least() -> Value {
    json!({"authorizer_id": "2", "acquirer": {"routing_id": "1005"}})
}

fn digits(count: usize) -> String {
    let number = Uuid::new_v4().as_u128() % 10_u128.pow(count as u32);
    format!("{number:0count$}")
}

/// The order's id on `/v1`, and the nit.
async fn created(shop: &Client, cents: i64) -> (String, String) {
    let nit = create(shop, &transaction(cents)).await.expect(201).text("/payment/nit");
    (order(&nit), nit)
}

fn order(nit: &str) -> String {
    Uuid::try_parse(&nit[..32]).expect("an order's id").to_string()
}

fn brl(minor: i64) -> Value {
    json!({"value": minor, "currency": "BRL"})
}

/// The reply, with the lengths of what differs each time.
fn golden(reply: &Reply) -> Value {
    let mut json = reply.json();
    for name in ["nit", "order_id", "merchant_usn", "host_usn", "payment_date"] {
        if let Some(Value::String(text)) = json["payment"].get_mut(name) {
            *text = format!("[{} characters]", text.chars().count());
        }
    }
    json
}

/// A failure in the vendor's shape.
#[track_caller]
fn failed(reply: &Reply, status: u16, code: &str, field: &str) {
    let body = reply.clone().expect(status).json();
    assert_eq!(body["code"], code, "{body}");
    let message = body["message"].as_str().expect("a message");
    assert!(!message.is_empty() && message.chars().count() <= 500, "{body}");
    assert!(field.is_empty() || message.starts_with(&format!("{field}: ")), "{field}: {body}");
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(2), "{body}");
}

async fn a_payment_made_outside_is_confirmed_and_later_refunded_in_parts(world: World) {
    let (shop, second) = (world.shop(), world.client(world.servers.len() - 1, world.shop().tenant));
    let body = transaction(10_000);
    let reply = create(&shop, &body).await.expect(201);
    let nit = reply.text("/payment/nit");
    assert!(nit.len() == 64 && nit.bytes().all(|b| b.is_ascii_alphanumeric()), "{nit}");
    assert_eq!(reply.text("/payment/order_id"), body["order_id"]);
    assert_eq!(reply.text("/payment/merchant_usn"), body["merchant_usn"]);
    assert_json_snapshot!("created", golden(&reply));
    // On any node, at once.
    let new = state(&second, &nit).await.expect(200);
    assert_json_snapshot!("read_new", golden(&new));

    let order = order(&nit);
    let native = shop.get(&format!("/v1/orders/{order}")).await.expect(200);
    assert_eq!((native.text("/status").as_str(), &native.json()["amount"]), ("processing", &brl(10_000)));
    assert_eq!(native.text("/merchant_reference"), body["order_id"]);

    let confirmed = effectuate(&second, &nit, true, &effectuation()).await.expect(200);
    assert_json_snapshot!("confirmed", golden(&confirmed));
    assert_eq!(confirmed.text("/payment/host_usn"), "000000123");
    let date = confirmed.text("/payment/payment_date");
    assert!(jiff::civil::DateTime::strptime("%d/%m/%YT%H:%M", &date).is_ok(), "{date}");
    let read = state(&second, &nit).await.expect(200);
    assert_json_snapshot!("read_confirmed", golden(&read));
    assert_eq!(read.text("/payment/payment_date"), date);

    // The other node follows, the native side agrees, and knows why.
    shop.wait_for(&order, "captured").await;
    assert_eq!(state(&shop, &nit).await.expect(200).bytes, read.bytes);
    let balance = shop.balance(&order).await;
    assert_eq!((balance.number("/captured"), balance.number("/balance")), (10_000, 10_000));
    let history = shop.history(&order).await.json();
    let entries = history["entries"].as_array().expect("entries");
    let operations: Vec<_> = entries.iter().map(|entry| &entry["cause"]["operation"]).collect();
    assert_eq!(operations, ["carat.transaction", "carat.effectuation"]);
    assert_eq!(shop.anomalies(&order).await, Vec::<String>::new());

    for (part, word) in [(4_000, "CON"), (6_000, "EST")] {
        let asked = json!({"amount": brl(part)});
        let refund = shop.post(&format!("/v1/orders/{order}/refunds"), &asked).await.expect(202);
        assert_eq!(status(&shop, &nit).await, "CON", "asked for is not given back");
        let settled =
            json!({"refund_id": refund.text("/refund_id"), "amount": brl(part), "reference": unique("ref")});
        shop.report(&order, "refund.settled", settled).await;
        assert_eq!(status(&shop, &nit).await, word);
    }
    shop.wait_for(&order, "refunded").await;
    assert_eq!(shop.figure(&order, "balance").await, 0);

    // Whatever has happened since, a repeated call has its first answer.
    assert_eq!(create(&second, &body).await.expect(201).bytes, reply.bytes);
    assert_eq!(effectuate(&shop, &nit, true, &effectuation()).await.expect(200).bytes, confirmed.bytes);
    assert_eq!(shop.history(&order).await.json()["entries"].as_array().map(Vec::len), Some(6));

    let log = world.log().await;
    let commits: Vec<_> = log.commits.iter().map(|stored| ledger::codec::encode(&stored.commit)).collect();
    let text = commits.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect::<String>();
    assert!(text.contains("092423"), "the authorization number is kept");
    assert!(!text.contains("111.444.777-35"), "the buyer's CPF is not");
}

async fn a_payment_made_outside_is_undone(world: World) {
    let shop = world.shop();
    let (order, nit) = created(&shop, 500).await;
    let undone = effectuate(&shop, &nit, false, &least()).await.expect(200);
    assert_json_snapshot!("undone", golden(&undone));
    let host_usn = undone.text("/payment/host_usn");
    assert!(host_usn.bytes().all(|b| b.is_ascii_digit()), "{host_usn}");
    let read = state(&shop, &nit).await.expect(200);
    assert_eq!(read.text("/payment/status"), "PPN");
    assert_eq!(read.text("/payment/payment_date"), undone.text("/payment/payment_date"));
    shop.wait_for(&order, "canceled").await;
    assert_eq!(shop.figure(&order, "balance").await, 0);
    assert_eq!(effectuate(&shop, &nit, false, &least()).await.expect(200).bytes, undone.bytes);
    failed(&effectuate(&shop, &nit, true, &least()).await, 400, "1302", "");
    assert_eq!(shop.figure(&order, "balance").await, 0);
}

async fn less_may_be_confirmed_and_more_may_not(world: World) {
    let shop = world.shop();
    let (order, nit) = created(&shop, 1_000).await;
    let with = |amount: Value| {
        let mut body = least();
        body["amount"] = amount;
        body
    };
    failed(&effectuate(&shop, &nit, true, &with(json!("1001"))).await, 400, "1307", "amount");
    assert_eq!(status(&shop, &nit).await, "NOV");
    let confirmed = effectuate(&shop, &nit, true, &with(json!(999))).await.expect(200);
    assert_eq!(confirmed.text("/payment/status"), "CON");
    shop.wait_for(&order, "partially_captured").await;
    assert_eq!(shop.figure(&order, "captured").await, 999);
    let read = state(&shop, &nit).await.expect(200);
    assert_eq!((read.text("/payment/status"), read.text("/payment/amount")), ("CON".into(), "1000".into()));
    assert_eq!(read.text("/payment/host_usn"), confirmed.text("/payment/host_usn"), "made up once");
    failed(&effectuate(&shop, &nit, true, &with(json!("1"))).await, 400, "1302", "");

    let refund = shop.post(&format!("/v1/orders/{order}/refunds"), &json!({})).await.expect(202);
    let settled = json!({"refund_id": refund.text("/refund_id"), "amount": brl(999), "reference": "r-1"});
    shop.report(&order, "refund.settled", settled).await;
    assert_eq!(status(&shop, &nit).await, "EST", "all that was captured went back");
}

async fn what_ended_elsewhere_cannot_be_effectuated(world: World) {
    let shop = world.shop();
    let amount = json!({"amount": brl(700)});
    let (canceled, canceled_nit) = created(&shop, 700).await;
    shop.post(&format!("/v1/orders/{canceled}/cancellations"), &json!({})).await.expect(202);
    let (paid, paid_nit) = created(&shop, 700).await;
    shop.report(&paid, "payment.captured", amount.clone()).await;
    let (denied, denied_nit) = created(&shop, 700).await;
    shop.report(&denied, "payment.failed", json!({"reason": "no"})).await;
    for (nit, word, code) in
        [(&canceled_nit, "CAN", "1304"), (&paid_nit, "CON", "1305"), (&denied_nit, "NEG", "1306")]
    {
        assert_eq!(status(&shop, nit).await, word);
        for confirm in [true, false] {
            failed(&effectuate(&shop, nit, confirm, &least()).await, 400, code, "nit");
        }
        assert_eq!(status(&shop, nit).await, word);
    }
    assert_eq!(shop.figure(&paid, "balance").await, 700);

    // Authorized elsewhere: it may still be undone, and is at its end when the PSP has let go of the money.
    let (authorized, nit) = created(&shop, 700).await;
    shop.report(&authorized, "payment.authorized", amount).await;
    assert_eq!(status(&shop, &nit).await, "PPC");
    effectuate(&shop, &nit, false, &least()).await.expect(200);
    assert_eq!(status(&shop, &nit).await, "PPN");
    failed(&effectuate(&shop, &nit, true, &least()).await, 400, "1302", "");
    shop.report(&authorized, "payment.voided", json!({})).await;
    shop.wait_for(&authorized, "canceled").await;
    assert_eq!(status(&shop, &nit).await, "PPN");
}

async fn a_transaction_expires(world: World) {
    let shop = world.shop();
    let (order, nit) = created(&shop, 300).await;
    let body = transaction(300);
    let confirmed_nit = create(&shop, &body).await.expect(201).text("/payment/nit");
    let confirmed = effectuate(&shop, &confirmed_nit, true, &least()).await.expect(200);
    shop.wait_for(&order, "expired").await;
    assert_eq!(status(&shop, &nit).await, "EXP");
    for confirm in [true, false] {
        failed(&effectuate(&shop, &nit, confirm, &least()).await, 400, "1303", "nit");
    }
    assert_eq!(shop.figure(&order, "balance").await, 0);
    // What was done in time is answered as it was then.
    let again = effectuate(&shop, &confirmed_nit, true, &least()).await.expect(200);
    assert_eq!(again.bytes, confirmed.bytes);
    assert_eq!(create(&shop, &body).await.expect(201).text("/payment/nit"), confirmed_nit);
    assert_eq!(status(&shop, &confirmed_nit).await, "CON");
}

async fn a_transaction_is_created_once(world: World) {
    let (shop, other) = (world.shop(), world.other_shop());
    let body = transaction(800);
    let first = create(&shop, &body).await.expect(201);
    // Numbers and flags in JSON are the same content.
    let mut written = body.clone();
    written["amount"] = json!(800);
    written["is_transaction_origin_external"] = json!(true);
    for same in [&body, &written] {
        assert_eq!(create(&shop, same).await.expect(201).bytes, first.bytes);
    }
    for (field, value) in [("amount", "801"), ("order_id", "another")] {
        let mut changed = body.clone();
        changed[field] = value.into();
        failed(&create(&shop, &changed).await, 400, "1301", "merchant_usn");
    }
    assert_eq!(create(&shop, &body).await.expect(201).bytes, first.bytes, "the first stands as it was");

    // An order's code is the key where there is no number, and neither is taken for the other.
    let mut by_code = transaction(800);
    by_code.as_object_mut().expect("an object").remove("merchant_usn");
    by_code["order_id"] = body["merchant_usn"].clone();
    let second = create(&shop, &by_code).await.expect(201);
    assert_ne!(second.text("/payment/nit"), first.text("/payment/nit"));
    assert!(second.json()["payment"].get("merchant_usn").is_none());
    assert_eq!(create(&shop, &by_code).await.expect(201).bytes, second.bytes);
    by_code["amount"] = json!("801");
    failed(&create(&shop, &by_code).await, 400, "1301", "order_id");

    // Without either, each is its own; and another merchant's keys are its own.
    let mut keyless = transaction(800);
    for name in ["merchant_usn", "order_id"] {
        keyless.as_object_mut().expect("an object").remove(name);
    }
    let nits = [create(&shop, &keyless).await, create(&shop, &keyless).await, create(&other, &body).await];
    let nits = nits.map(|reply| reply.expect(201).text("/payment/nit"));
    assert!(nits[0] != nits[1] && nits[2] != first.text("/payment/nit"));

    let body = transaction(900);
    let at_once = join_all((0..20).map(|number| {
        let shop = world.client(number % world.servers.len(), shop.tenant);
        let body = body.clone();
        async move { create(&shop, &body).await.expect(201).bytes }
    }))
    .await;
    assert!(at_once.iter().all(|bytes| *bytes == at_once[0]));
}

async fn a_transaction_is_effectuated_once(world: World) {
    let shop = world.shop();
    let (order, nit) = created(&shop, 600).await;
    let confirmed = effectuate(&shop, &nit, true, &effectuation()).await.expect(200);
    let at_once = join_all((0..20).map(|number| {
        let shop = world.client(number % world.servers.len(), shop.tenant);
        let nit = nit.clone();
        async move { effectuate(&shop, &nit, true, &effectuation()).await.expect(200).bytes }
    }))
    .await;
    assert!(at_once.iter().all(|bytes| *bytes == confirmed.bytes));
    failed(&effectuate(&shop, &nit, false, &effectuation()).await, 400, "1302", "");
    for (field, value) in [("installments", json!("2")), ("amount", json!("600"))] {
        let mut other = effectuation();
        other[field] = value;
        failed(&effectuate(&shop, &nit, true, &other).await, 400, "1302", "");
    }
    let mut other = effectuation();
    other["acquirer"]["identification_number"] = "123.456.789-09".into();
    failed(&effectuate(&shop, &nit, true, &other).await, 400, "1302", "");
    assert_eq!(shop.figure(&order, "balance").await, 600);
    assert_eq!(shop.history(&order).await.json()["entries"].as_array().map(Vec::len), Some(2));
}

async fn of_twenty_contrary_effectuations_at_once_one_wins(world: World) {
    let shop = world.shop();
    for _ in 0..3 {
        let (order, nit) = created(&shop, 600).await;
        let replies = join_all((0..20).map(|number| {
            let shop = world.client(number / 2 % world.servers.len(), shop.tenant);
            let nit = nit.clone();
            async move { (number % 2 == 0, effectuate(&shop, &nit, number % 2 == 0, &least()).await) }
        }))
        .await;
        let is_confirmed = status(&shop, &nit).await == "CON";
        let (won, lost): (Vec<_>, Vec<_>) =
            replies.into_iter().partition(|(confirm, _)| *confirm == is_confirmed);
        for (_, reply) in &won {
            assert_eq!(reply.clone().expect(200).bytes, won[0].1.bytes);
        }
        for (_, reply) in &lost {
            failed(reply, 400, "1302", "");
        }
        assert_eq!((won.len(), lost.len()), (10, 10));
        assert_eq!(shop.figure(&order, "balance").await, if is_confirmed { 600 } else { 0 });
        assert_eq!(shop.history(&order).await.json()["entries"].as_array().map(Vec::len), Some(2));
    }
    world.log().await.assert_nothing_is_there_twice();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_journal_is_away_nothing_is_acknowledged() {
    let mut world = World::start(daybook_tests::Kind::JetStreamNewest).await;
    let shop = world.shop();
    let (order, nit) = created(&shop, 400).await;
    let body = transaction(400);
    world.nats.as_mut().expect("a nats-server").kill();
    let least = least();
    let (created, confirmed) = tokio::join!(create(&shop, &body), effectuate(&shop, &nit, true, &least));
    for reply in [created, confirmed] {
        let code = reply.text("/code");
        assert!(["1902", "1903"].contains(&code.as_str()), "{}", reply.body());
        failed(&reply, 503, &code, "");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    world.nats.as_mut().expect("a nats-server").restart().await;
    eventually("the confirmation", async || {
        let reply = effectuate(&shop, &nit, true, &least).await;
        (reply.status != 503).then(|| reply.expect(200))
    })
    .await;
    create(&shop, &body).await.expect(201);
    assert_eq!(shop.figure(&order, "balance").await, 400);
    world.log().await.assert_nothing_is_there_twice();
}

/// The vendor's formats: digits, text, a date, a fixed value or one of several.
#[derive(Clone, Copy)]
enum Format {
    N,
    An,
    D,
    Fixed,
}

/// A row of the vendor's tables: name, format, whether a length is exact, the length, whether it is mandatory.
type Row = (&'static str, Format, bool, usize, bool);

const CREATION: &[Row] = &[
    ("amount", Format::N, false, 12, true),
    ("merchant_usn", Format::N, false, 12, false),
    ("order_id", Format::An, false, 40, false),
    ("transaction_type", Format::Fixed, false, 12, true),
    ("is_transaction_origin_external", Format::Fixed, false, 4, true),
];

const EFFECTUATION: &[Row] = &[
    ("amount", Format::N, false, 12, false),
    ("authorizer_id", Format::N, false, 3, true),
    ("installments", Format::N, false, 2, false),
    ("installment_type", Format::Fixed, false, 2, false),
    ("confirmation_data", Format::An, false, 128, false),
    ("acquirer.routing_id", Format::N, false, 5, true),
    ("acquirer.host_usn", Format::N, true, 9, false),
    ("acquirer.authorization_number", Format::N, false, 6, false),
    ("acquirer.authorizer_date", Format::D, true, 10, false),
    ("acquirer.order_id", Format::An, false, 40, false),
    ("acquirer.identification_number", Format::An, false, 20, false),
    ("acquirer.terminal", Format::An, true, 8, false),
    ("acquirer.company_code", Format::N, true, 8, false),
];

/// Every body that breaks one row: the field at fault, the code, the body.
fn broken(table: &[Row], good: &Value) -> Vec<(&'static str, &'static str, Value)> {
    let mut bodies = Vec::new();
    for (name, format, is_exact, length, is_mandatory) in table {
        let pointer = format!("/{}", name.replace('.', "/"));
        let (parent, member) = pointer.rsplit_once('/').expect("a pointer");
        let mut add = |code: &'static str, value: Option<Value>| {
            let mut body = good.clone();
            let members = body.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
            match value {
                Some(value) => members.insert(member.to_owned(), value),
                None => members.remove(member),
            };
            bodies.push((*name, code, body));
        };
        if *is_mandatory {
            add("1002", None);
        }
        let unit = if matches!(format, Format::N) { "1" } else { "x" };
        let mut values =
            vec![json!(unit.repeat(length + 1)), json!(""), json!([unit]), json!({}), json!(1.5)];
        if *is_exact {
            values.push(json!(unit.repeat(length - 1)));
        }
        values.extend(match format {
            Format::N => vec![json!("x"), json!("1.0"), json!("-1"), json!(-1), json!(true)],
            Format::An => vec![json!("a\tb"), json!("ção"), json!(12345678), json!("4242424242424242")],
            Format::D => {
                vec![json!("31/02/2026"), json!("2026-07-13"), json!("13/07/26xx"), json!("aa/bb/cccc")]
            }
            Format::Fixed => vec![json!("x"), json!("false"), json!(9), json!(false)],
        });
        let may_hold_anything = *name == "acquirer.identification_number";
        let values = values.into_iter().filter(|value| !(may_hold_anything && *value == "4242424242424242"));
        values.for_each(|value| add("1004", Some(value)));
    }
    bodies
}

async fn a_body_outside_the_tables_is_refused_and_leaves_nothing_in_the_log(world: World) {
    let shop = world.shop();
    let (_, nit) = created(&shop, 100).await;
    let before = world.log().await.len();
    for (field, code, body) in broken(CREATION, &transaction(100)) {
        println!("{field} {body}");
        failed(&create(&shop, &body).await, 400, code, field);
    }
    for (number, (field, code, body)) in broken(EFFECTUATION, &effectuation()).into_iter().enumerate() {
        println!("{field} {body}");
        failed(&effectuate(&shop, &nit, number % 2 == 0, &body).await, 400, code, field);
    }
    let zero = |field: &str, body: Value| {
        let mut body = body;
        body[field] = "00".into();
        body
    };
    failed(&create(&shop, &zero("amount", transaction(1))).await, 400, "1004", "amount");
    for field in ["amount", "installments"] {
        failed(&effectuate(&shop, &nit, true, &zero(field, least())).await, 400, "1004", field);
    }
    let mut more = transaction(100);
    more["currency"] = "EUR".into();
    failed(&create(&shop, &more).await, 400, "1003", "currency");
    let mut flat = least();
    flat["routing_id"] = "1005".into();
    failed(&effectuate(&shop, &nit, true, &flat).await, 400, "1003", "routing_id");
    assert_eq!(world.log().await.len(), before);
    assert_eq!(status(&shop, &nit).await, "NOV");
}

async fn a_request_that_is_no_call_has_the_vendors_shape_of_a_failure(world: World) {
    let shop = world.shop();
    let (_, nit) = created(&shop, 100).await;
    let before = world.log().await.len();
    let body = transaction(100);
    let bytes = |bytes: Vec<u8>, content_type: &'static str| {
        request(&shop, Method::POST, TRANSACTIONS, None).header("content-type", content_type).body(bytes)
    };
    let with_query = |query: &str| {
        request(&shop, Method::PUT, &format!("/carat/v1/payments/{nit}{query}"), Some(&least()))
    };
    let altered = format!("{}{}", &nit[..63], if nit.ends_with('0') { "1" } else { "0" });
    let put = |nit: &str| {
        request(&shop, Method::PUT, &format!("/carat/v1/payments/{nit}?confirm=true"), Some(&least()))
    };
    let get = |nit: &str| request(&shop, Method::GET, &format!("{TRANSACTIONS}/{nit}"), None);
    let json = "application/json";
    let cases = [
        ("no JSON", bytes(b"{".to_vec(), json), 400, "1001", ""),
        ("a list", bytes(b"[]".to_vec(), json), 400, "1001", ""),
        ("no body", bytes(Vec::new(), json), 400, "1001", ""),
        ("not UTF-8", bytes(b"{\"amount\":\"\xff\"}".to_vec(), json), 400, "1001", ""),
        ("a field twice", bytes(b"{\"amount\":1,\"amount\":2}".to_vec(), json), 400, "1004", "amount"),
        ("another type", bytes(body.to_string().into_bytes(), "text/plain"), 415, "1205", ""),
        (
            "another charset",
            bytes(body.to_string().into_bytes(), "application/json; charset=latin1"),
            415,
            "1205",
            "",
        ),
        ("too large", bytes(vec![b' '; 300_000], json), 413, "1204", ""),
        ("no confirm", with_query(""), 400, "1002", "confirm"),
        ("an empty confirm", with_query("?confirm="), 400, "1004", "confirm"),
        ("a confirm that is none", with_query("?confirm=TRUE"), 400, "1004", "confirm"),
        ("confirm twice", with_query("?confirm=true&confirm=true"), 400, "1004", "confirm"),
        ("another parameter", with_query("?confirm=true&amount=1"), 400, "1003", "amount"),
        ("an altered nit", put(&altered), 404, "1201", "nit"),
        ("a short nit", put(&nit[..63]), 404, "1201", "nit"),
        ("another spelling", put(&nit.to_uppercase()), 404, "1201", "nit"),
        ("an order's id", get(&order(&nit)), 404, "1201", "nit"),
        ("an altered nit to read", get(&altered), 404, "1201", "nit"),
        ("no UTF-8 in the path", get("%ff"), 404, "1201", "nit"),
        ("another route", request(&shop, Method::GET, "/carat/v1/cards", None), 404, "1202", ""),
        ("another method", request(&shop, Method::DELETE, TRANSACTIONS, None), 405, "1203", ""),
    ];
    for (what, request, status, code, field) in cases {
        println!("{what}");
        failed(&Reply::to(request).await, status, code, field);
    }
    assert_eq!(world.log().await.len(), before);
    assert_eq!(status(&shop, &nit).await, "NOV");
}

async fn only_the_merchant_with_its_key_is_answered(world: World) {
    let (shop, other) = (world.shop(), world.other_shop());
    let (_, nit) = created(&shop, 100).await;
    let calls = [
        (Method::POST, TRANSACTIONS.to_owned(), Some(transaction(100))),
        (Method::PUT, format!("/carat/v1/payments/{nit}?confirm=true"), Some(least())),
        (Method::GET, format!("{TRANSACTIONS}/{nit}"), None),
    ];
    let long = "k".repeat(81);
    let headers: &[&[(&str, &str)]] = &[
        &[],
        &[("merchant_id", shop.tenant.id)],
        &[("merchant_key", shop.tenant.key)],
        &[("merchant_id", shop.tenant.id), ("merchant_key", other.tenant.key)],
        &[("merchant_id", other.tenant.id), ("merchant_key", shop.tenant.key)],
        &[("merchant_id", shop.tenant.id), ("merchant_key", "")],
        &[("merchant_id", shop.tenant.id), ("merchant_key", &long)],
        &[("merchant_id", "a-merchant-too-long"), ("merchant_key", shop.tenant.key)],
        &[("merchant_id", "ACME"), ("merchant_key", shop.tenant.key)],
    ];
    let before = world.log().await.len();
    for (method, path, body) in &calls {
        for headers in headers {
            let mut request = shop.anonymous(method.clone(), path);
            for (name, value) in *headers {
                request = request.header(*name, *value);
            }
            let request = body.iter().fold(request, |request, body| request.json(body));
            failed(&Reply::to(request).await, 401, "1101", "");
        }
    }
    // With good credentials of its own, another merchant finds nothing.
    for (method, path, body) in calls.iter().skip(1) {
        let reply = Reply::to(request(&other, method.clone(), path, body.as_ref())).await;
        failed(&reply, 404, "1201", "nit");
    }
    assert_eq!(world.log().await.len(), before);
    eventually("the transaction as it was", async || (status(&shop, &nit).await == "NOV").then_some(()))
        .await;
}
