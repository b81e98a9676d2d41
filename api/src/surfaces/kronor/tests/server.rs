//! The API on a whole server, called without a socket.

use serde_json::{Value, json};
use tempfile::tempdir;

use super::super::caller::{opened_by, wait_token};
use super::purchase;
use crate::webhooks::tests::server::{OTHER_KEY, Reply, Server, demo, other};

const PATH: &str = "/kronor/v1/graphql";
const CREATE: &str = "mutation Create($purchase: PurchaseOrderInput!) { newPurchaseOrder(purchase: $purchase) { id waitToken } }";

async fn ask(server: &Server, token: &str, query: &str, variables: Value) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    server.call("POST", PATH, &headers, json!({"query": query, "variables": variables}).to_string()).await
}

async fn create(server: &Server, key: &str, reference: &str) -> String {
    let mut purchase = purchase();
    purchase["idempotencyKey"] = key.into();
    purchase["merchantReference"] = reference.into();
    let reply = ask(server, "demo-key", CREATE, json!({"purchase": purchase})).await.expect(200).json();
    assert_eq!(reply["data"]["newPurchaseOrder"]["id"], key, "{reply}");
    reply["data"]["newPurchaseOrder"]["waitToken"].as_str().unwrap().to_owned()
}

#[track_caller]
fn kind(reply: &Reply) -> String {
    let json = reply.json();
    json["errors"][0]["extensions"]["type"].as_str().unwrap_or_else(|| panic!("{json}")).to_owned()
}

#[tokio::test]
async fn a_wait_token_is_good_for_one_order_and_one_tenant() {
    let dir = tempdir().unwrap();
    let server = Server::open(dir.path()).await;
    let order = server.submit(&demo(), "A-1", jiff::SignedDuration::from_hours(1)).await;
    let token = wait_token(&server.app, &demo(), order);
    assert_eq!(opened_by(&server.app, &token), Some((demo(), order)));
    let mac = token.rsplit('.').next().unwrap();
    let second = wait_token(&server.app, &demo(), ledger::ids::RecordId::random());
    for bad in [
        token.replace("wt_demo", "wt_other"),
        token.replace("wt_", "st_"),
        second.replace(second.rsplit('.').next().unwrap(), mac),
        server.app.tokens.status_token(&demo(), order),
        format!("{token}A"),
        token[..token.len() - 4].to_owned(),
        "wt_".to_owned(),
        "wt_demo.x.y".to_owned(),
        String::new(),
    ] {
        assert_eq!(opened_by(&server.app, &bad), None, "{bad}");
    }
    assert_ne!(token, wait_token(&server.app, &other(), order));
    // It opens an order of this surface alone, and nothing elsewhere.
    let reply = ask(&server, &token, "{ purchaseOrders { id } }", json!({})).await.expect(200).json();
    assert_eq!(reply, json!({"data": {"purchaseOrders": []}}));
    let headers = [("authorization", format!("Bearer {token}"))];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    server.call("GET", &format!("/v1/orders/{order}/status"), &headers, "").await.expect(401);
    server.stop().await;
}

/// What each `where` finds among four orders: A1 and A2 share a reference; C is canceled, the others are fresh.
#[tokio::test]
async fn every_operator_finds_what_it_says() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    create(&server, "A1", "ref-a").await;
    create(&server, "A2", "ref-a").await;
    create(&server, "B", "ref-b").await;
    create(&server, "C", "REF-C").await;
    let cancel = "mutation { purchaseOrderCancel(cancel: {purchaseOrderId: \"C\"}) { result } }";
    let reply = ask(&server, "demo-key", cancel, json!({})).await.expect(200).json();
    assert_eq!(reply, json!({"data": {"purchaseOrderCancel": {"result": true}}}));
    server.submit(&demo(), "not-kronors", jiff::SignedDuration::from_hours(1)).await;

    for (condition, expect) in [
        ("{}", "C B A2 A1"),
        ("{id: {_eq: \"B\"}}", "B"),
        ("{id: {_eq: \"nothing\"}}", ""),
        ("{id: {_eq: \"not-kronors\"}}", ""),
        ("{id: {_in: [\"A1\", \"C\", \"X\"]}}", "C A1"),
        ("{id: {_in: []}}", ""),
        ("{id: {_neq: \"B\"}}", "C A2 A1"),
        ("{id: {_nin: [\"A1\", \"C\"]}}", "B A2"),
        ("{id: {_gt: \"A2\"}}", "C B"),
        ("{id: {_gte: \"A2\", _lt: \"C\"}}", "B A2"),
        ("{id: {_lte: \"A2\"}}", "A2 A1"),
        ("{merchantReference: {_eq: \"ref-a\"}}", "A2 A1"),
        ("{merchantReference: {_eq: \"REF-A\"}}", ""),
        ("{merchantReference: {_in: [\"ref-b\", \"REF-C\"]}}", "C B"),
        ("{merchantReference: {_like: \"ref-%\"}}", "B A2 A1"),
        ("{merchantReference: {_nlike: \"ref-%\"}}", "C"),
        ("{merchantReference: {_ilike: \"ref-%\"}}", "C B A2 A1"),
        ("{merchantReference: {_nilike: \"%b\"}}", "C A2 A1"),
        ("{merchantReference: {_eq: \"ref-a\"}, id: {_neq: \"A1\"}}", "A2"),
        ("{_and: [{merchantReference: {_eq: \"ref-a\"}}, {id: {_neq: \"A1\"}}]}", "A2"),
        ("{_and: []}", "C B A2 A1"),
        ("{_or: [{id: {_eq: \"A1\"}}, {merchantReference: {_eq: \"ref-b\"}}]}", "B A1"),
        ("{_or: [{id: {_eq: \"A1\"}}, {id: {_eq: \"C\"}}]}", "C A1"),
        ("{_or: []}", ""),
        ("{_not: {id: {_eq: \"B\"}}}", "C A2 A1"),
        ("{_not: {_or: [{id: {_eq: \"B\"}}, {_not: {id: {_eq: \"A1\"}}}]}}", "A1"),
        ("{purchaseCountry: {_eq: SE}}", "C B A2 A1"),
        ("{purchaseCountry: {_nin: [SE, NO]}}", ""),
        ("{purchaseLanguage: {_in: [SV]}}", "C B A2 A1"),
        ("{purchaseTotalAmount: {_eq: 29000}}", "C B A2 A1"),
        ("{purchaseTotalAmount: {_gt: 29000}}", ""),
        ("{purchaseTaxAmount: {_lte: 5800, _gte: 5800}}", "C B A2 A1"),
        ("{createdAt: {_gt: \"2020-01-01T00:00:00Z\"}}", "C B A2 A1"),
        ("{createdAt: {_lt: \"2020-01-01T01:00:00+01:00\"}}", ""),
        ("{status: {status: {_eq: CANCELLED}}}", "C"),
        ("{status: {status: {_neq: CANCELLED}, enteredAt: {_gt: \"2020-01-01T00:00:00Z\"}}}", "B A2 A1"),
        ("{resultingPurchaseId: {_is_null: true}}", "C B A2 A1"),
        ("{resultingPurchaseId: {_is_null: false}}", ""),
        // Nothing is neither equal nor unequal to a number, as in SQL.
        ("{resultingPurchaseId: {_neq: 7}}", ""),
        ("{_not: {resultingPurchaseId: {_eq: 7}}}", ""),
        ("{_or: [{resultingPurchaseId: {_neq: 7}}, {id: {_eq: \"B\"}}]}", "B"),
        ("{id: {_is_null: true}}", ""),
    ] {
        let query = format!("{{ purchaseOrders(where: {condition}) {{ id }} }}");
        assert_eq!(ids(&server, "demo-key", &query).await, expect, "{condition}");
    }
    for (arguments, expect) in [
        ("limit: 2", "C B"),
        ("limit: 2, offset: 1", "B A2"),
        ("limit: 0", ""),
        ("offset: 4", ""),
        ("orderBy: {createdAt: ASC}", "A1 A2 B C"),
        ("orderBy: {createdAt: desc}", "C B A2 A1"),
        ("orderBy: [{merchantReference: ASC}, {id: DESC}]", "C A2 A1 B"),
        ("orderBy: [{merchantReference: DESC}], limit: 2", "B A2"),
        ("orderBy: {purchaseTotalAmount: ASC}", "C B A2 A1"),
    ] {
        let query = format!("{{ purchaseOrders({arguments}) {{ id }} }}");
        assert_eq!(ids(&server, "demo-key", &query).await, expect, "{arguments}");
    }
    assert_eq!(ids(&server, OTHER_KEY, "{ purchaseOrders { id } }").await, "");
    for bad in [
        "where: {id: {_eq: null}}",
        "where: {id: {_in: null}}",
        "where: {status: {status: {_neq: null}}}",
        "where: {resultingPurchaseId: {_is_null: null}}",
        "limit: 101",
        "limit: -1",
        "offset: -1",
        "offset: 2001",
    ] {
        let query = format!("{{ purchaseOrders({bad}) {{ id }} }}");
        let reply = ask(&server, "demo-key", &query, json!({})).await.expect(200);
        assert_eq!(kind(&reply), "INVALID_INPUT", "{bad}");
    }
    let many = json!({"where": {"id": {"_in": vec!["x"; 201]}}});
    let query = "query($where: PurchaseOrdersBoolExp) { purchaseOrders(where: $where) { id } }";
    assert_eq!(kind(&ask(&server, "demo-key", query, many).await), "INVALID_INPUT");
    server.stop().await;
}

async fn ids(server: &Server, token: &str, query: &str) -> String {
    let reply = ask(server, token, query, json!({})).await.expect(200).json();
    let orders = reply["data"]["purchaseOrders"].as_array().unwrap_or_else(|| panic!("{query}: {reply}"));
    orders.iter().map(|order| order["id"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_purchase_is_found_by_its_number() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    create(&server, "A1", "ref-a").await;
    create(&server, "A2", "ref-a").await;
    let order = ledger::ids::RecordId::for_key(&demo(), "kronor.purchase_order", "A1");
    let amount = json!({"value": 29000, "currency": "SEK"});
    server
        .report("e1", "payment.authorized", json!({"order_id": order.to_string(), "amount": amount}))
        .await
        .expect(200);
    let one = "{ purchaseOrders(where: {id: {_eq: \"A1\"}}) { resultingPurchaseId } }";
    let reply = ask(&server, "demo-key", one, json!({})).await.json();
    let number = reply["data"]["purchaseOrders"][0]["resultingPurchaseId"].as_i64().unwrap();
    for (condition, expect) in [
        ("{}".to_owned(), json!([{"id": number, "purchaseOrderId": "A1"}])),
        (format!("{{id: {{_eq: {number}}}}}"), json!([{"id": number, "purchaseOrderId": "A1"}])),
        (format!("{{id: {{_eq: \"{number}\"}}}}"), json!([{"id": number, "purchaseOrderId": "A1"}])),
        (format!("{{id: {{_in: [{}, {}]}}}}", number - 1, number + 1024), json!([])),
        (
            "{merchantReference: {_eq: \"ref-a\"}}".to_owned(),
            json!([{"id": number, "purchaseOrderId": "A1"}]),
        ),
        ("{purchaseOrderId: {_eq: \"A2\"}}".to_owned(), json!([])),
        (
            "{status: {status: {_eq: WAITING_FOR_CAPTURE}}}".to_owned(),
            json!([{"id": number, "purchaseOrderId": "A1"}]),
        ),
    ] {
        let query = format!("{{ purchases(where: {condition}) {{ id purchaseOrderId }} }}");
        let reply = ask(&server, "demo-key", &query, json!({})).await.expect(200).json();
        assert_eq!(reply, json!({"data": {"purchases": expect}}), "{condition}");
    }
    server.stop().await;
}

#[tokio::test]
async fn no_request_can_be_made_expensive() {
    let dir = tempdir().unwrap();
    let server = Server::open(dir.path()).await;
    let lists = |count: usize| {
        let list = |index| format!("a{index}: purchaseOrders {{ id }} ");
        format!("{{ {} }}", (0..count).map(list).collect::<String>())
    };
    ask(&server, "demo-key", &lists(4), json!({})).await.expect(200);
    let nested = format!("{{ purchaseOrders(where: {}{}) {{ id }} }}", "{_not: ".repeat(60), "}".repeat(60));
    let deep = format!(
        "{{ __schema {{ types {}{} }} }}",
        "{ ofType ".repeat(30),
        "{ name } ".to_owned() + &"}".repeat(30)
    );
    let spread = "query { ...F } fragment F on query_root { a: purchaseOrders { id } b: purchaseOrders { id } \
                  c: purchaseOrders { id } d: purchaseOrders { id } e: purchaseOrders { id } }";
    for expensive in [lists(5), lists(500), nested, deep, spread.to_owned(), "{".repeat(20_000)] {
        let reply = ask(&server, "demo-key", &expensive, json!({})).await.expect(200);
        assert_eq!(kind(&reply), "INVALID_GRAPHQL", "{:.80}", expensive);
    }
    // Many operations in one body are not spoken here.
    let headers = [("authorization", "Bearer demo-key"), ("content-type", "application/json")];
    let batch = json!([{"query": "{ purchaseOrders { id } }"}]).to_string();
    let reply = server.call("POST", PATH, &headers, batch).await.expect(400);
    assert_eq!(kind(&reply), "INVALID_REQUEST");
    server.stop().await;
}

/// What tools send: the query of graphql-js.
const INTROSPECTION: &str = "query IntrospectionQuery { __schema { queryType { name } mutationType { name } \
    subscriptionType { name } types { ...FullType } directives { name description locations args { ...InputValue } } } } \
    fragment FullType on __Type { kind name description fields(includeDeprecated: true) { name description \
    args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason } inputFields { ...InputValue } \
    interfaces { ...TypeRef } enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } \
    possibleTypes { ...TypeRef } } fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue } \
    fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name \
    ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }";

#[tokio::test]
async fn tools_can_look_at_the_schema() {
    let dir = tempdir().unwrap();
    let server = Server::open(dir.path()).await;
    let reply = ask(&server, "demo-key", INTROSPECTION, json!({})).await.expect(200).json();
    assert!(reply["errors"].is_null(), "{}", reply["errors"]);
    assert_eq!(reply["data"]["__schema"]["queryType"]["name"], "query_root");
    let sdl = server.call("GET", "/kronor/v1/graphql/schema.graphql", &[], "").await.expect(200);
    assert!(String::from_utf8_lossy(&sdl.bytes).contains("type PurchaseOrder {"));
    let page = server.call("GET", PATH, &[], "").await.expect(200);
    assert!(
        String::from_utf8_lossy(&page.bytes).contains("GraphiQL"),
        "the demo has a page to try queries on"
    );
    server.stop().await;
}
