//! The Akinon surface, by its vendor's own words.

mod bad_input;
mod guids;
mod returns;
mod sandbox;
mod stories;
mod waiting;

use daybook_tests::client::unique;
use daybook_tests::{Client, Reply, Setup};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// SHA-256 of `initech-key`: the key of a tenant that has no hash-key.
const INITECH_KEY_HASH: &str = "cf431095981b6f3bdae39e36631f50b0b3e11b0e6c412276a8f6a71d2b91bee4";

/// A server with a hosted page that nobody serves, a wait for the PSP, and a life of an order.
fn setup(psp_wait_ms: u32, order_life_seconds: u32) -> Setup {
    let config = format!(
        "payment_page_url = \"https://pay.example/{{tracking_number}}?token={{token}}\"\n\
         order_life_seconds = {order_life_seconds}\n[akinon]\npsp_wait_ms = {psp_wait_ms}\n\
         [[tenants]]\nid = \"initech\"\napi_key_hashes = [\"{INITECH_KEY_HASH}\"]\n"
    );
    Setup { config, ..Setup::default() }
}

/// Does not wait for the PSP: a call is PENDING exactly when its webhook was not in before.
fn impatient() -> Setup {
    setup(0, 86_400)
}

/// Waits for as long as it can.
fn patient() -> Setup {
    setup(20_000, 86_400)
}

fn request(shop: &Client, path: &str, body: &Value) -> RequestBuilder {
    let request = shop.anonymous(Method::POST, &format!("/akinon{path}"));
    request.basic_auth(shop.tenant.id, Some(shop.tenant.key)).json(body)
}

async fn call(shop: &Client, path: &str, body: &Value) -> Reply {
    Reply::to(request(shop, path, body)).await
}

/// A session as Akinon asks for it.
fn session(order: &str, kind: &str) -> Value {
    json!({
        "version": "1.0", "guid": unique("guid"), "orderId": order, "orderAmount": 100.00, "locale": "tr-TR",
        "returnUrl": "https://shop.example/orders/redirection/?page=OrderNotePage", "type": kind,
        "currency": "TRY", "clientIp": "203.0.113.7",
        "customer": {"firstName": "Ada", "lastName": "Buyer", "phoneNumber": "+905551112233",
                     "email": "ada@shop.example", "clientIp": "203.0.113.7"},
        "targetProvider": "bank-1"
    })
}

/// Any other call.
fn about(order: &str, more: Value) -> Value {
    let mut body = json!({"version": "1.0", "guid": unique("guid"), "orderId": order});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

fn try_(minor: i64) -> Value {
    json!({"value": minor, "currency": "TRY"})
}

/// An order that has a session: Akinon's name for it, and ours.
struct Started {
    name: String,
    id: String,
}

async fn start(shop: &Client, kind: &str) -> Started {
    let name = unique("ord");
    let id = call(shop, "/start-session", &session(&name, kind)).await.expect(200).text("/transactionId");
    Started { name, id }
}

/// A SALE of 100.00 that was paid.
async fn paid(shop: &Client) -> Started {
    let order = start(shop, "SALE").await;
    shop.report(&order.id, "payment.captured", json!({"amount": try_(10_000)})).await;
    order
}

/// An AUTH of 100.00 that was authorized.
async fn authorized(shop: &Client) -> Started {
    let order = start(shop, "AUTH").await;
    shop.report(&order.id, "payment.authorized", json!({"amount": try_(10_000)})).await;
    order
}

/// Status and subStatus.
#[track_caller]
fn pair(reply: &Reply) -> (String, String) {
    (reply.text("/status"), reply.text("/subStatus"))
}

#[track_caller]
fn is(reply: &Reply, status: &str, sub_status: &str) {
    assert_eq!(pair(reply), (status.to_owned(), sub_status.to_owned()), "{}", reply.body());
}

/// The code and field of each error; the shape of the rest.
#[track_caller]
fn errors(reply: &Reply, status: u16) -> Vec<(String, String)> {
    assert_eq!(reply.status, status, "{}", reply.body());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let body = reply.json();
    let members: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["errors", "status", "subStatus", "transactionId"]);
    let text = |error: &Value, name: &str| error[name].as_str().expect(name).to_owned();
    let errors = body["errors"].as_array().expect("errors");
    assert!(!errors.is_empty() && errors.iter().all(|error| !text(error, "message").is_empty()), "{body}");
    errors.iter().map(|error| (text(error, "code"), text(error, "field"))).collect()
}

#[track_caller]
fn error(reply: &Reply, status: u16, code: &str, field: &str) {
    assert_eq!(errors(reply, status), [(code.to_owned(), field.to_owned())], "{}", reply.body());
}

/// The reply byte for byte, a member a line, with what differs each time replaced.
fn golden(reply: &Reply, names: &[(&str, &str)]) -> String {
    let mut text = reply.body();
    for (value, name) in names {
        text = text.replace(value, name);
    }
    for (at, _) in text.clone().match_indices("+03:00") {
        text.replace_range(at - "2026-11-21T12:00:00.000".len()..at, "yyyy-mm-ddThh:mm:ss.fff");
    }
    text.replace(",\"", ",\n\"").replace(":[{", ":[\n{").replace("},{", "},\n{")
}

/// The newest event of a type; None while there is none.
async fn event(shop: &Client, order: &str, kind: &str) -> Option<Value> {
    let events = shop.get(&format!("/v1/orders/{order}/events")).await.expect(200).json();
    let commits = events["commits"].as_array().expect("commits").clone();
    let mut events = commits.iter().flat_map(|commit| commit["events"].as_array().expect("events"));
    events.rfind(|event| event["type"] == kind).cloned()
}

/// The id of the newest capture or refund that was asked for; None while there is none.
async fn requested(shop: &Client, order: &str, what: &str) -> Option<String> {
    let event = event(shop, order, &format!("{what}_requested.v1")).await?;
    Some(event[format!("{what}_id")].as_str().expect("an id").to_owned())
}

async fn history(shop: &Client, order: &str, filters: Value) -> Reply {
    call(shop, "/history", &about(order, filters)).await.expect(200)
}

/// The type and status of each step.
fn steps(history: &Reply) -> Vec<(String, String)> {
    let text = |step: &Value, name: &str| step[name].as_str().expect(name).to_owned();
    let history = history.json();
    let steps = history["paymentTransactionHistory"].as_array().expect("steps");
    steps.iter().map(|step| (text(step, "type"), text(step, "subStatusCode"))).collect()
}

fn expected(steps: &[(&str, &str)]) -> Vec<(String, String)> {
    steps.iter().map(|(action, sub_status)| (action.to_string(), sub_status.to_string())).collect()
}
