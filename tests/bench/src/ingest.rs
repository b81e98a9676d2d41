//! Checkouts: from the request to the 202 that says that the commit is stored.

use daybook_tests::client::ACME;
use daybook_tests::{Kind, Setup, World};
use ledger::codec;

use crate::limit::Limit;
use crate::load::{self, Connection, Requests};
use crate::online::wait_until_ready;
use crate::report::{Goal, Report, Row};
use crate::versus::{Target, compare};
use crate::{Options, name};

/// What a shop sends: small, and with what most shops have to say.
const CHECKOUT: &str = r#"{"amount":{"value":1999,"currency":"EUR"},"merchant_reference":"A-1001","payment_method":{"type":"card","token":"tok_visa"}}"#;
/// Where a new key goes.
const KEY: &str = "00000000000000000000000000000000";

pub(crate) async fn run(options: Options) {
    let mut rows = Vec::new();
    for kind in options.kinds() {
        let world = World::with(kind, Setup::default()).await;
        let ours = checkouts(&world);
        let answer = first_answer(&ours.address, &checkout(KEY), 202).await;
        let payload = codec::encode(&world.log().await.commits[0].commit);
        let limit = storing(&world, kind, &payload, &answer, 202).await;
        let bare = Target {
            name: limit_name(kind).to_owned(),
            address: limit.said.clone(),
            requests: Requests::InTurn(vec![load::render("POST", "/", "", CHECKOUT)]),
            expected: 202,
        };
        for connections in [64, 256] {
            let settle = async || wait_until_ready(&world.shop()).await;
            let (ours, bare) = compare(&options, connections, async || ours.clone(), &bare, settle).await;
            let row = Row::new("POST /v1/checkouts", "req/s", ours).on(name(kind)).over(connections);
            rows.push(row.against(bare).goal(Goal::PercentAtLeast(80)));
        }
    }
    let title = "Ingest: a checkout, stored before its 202";
    Report::new("ingest", title, options.quick, rows).publish(&options.out());
}

/// Checkouts, each under a new key, for the first API process.
pub(crate) fn checkouts(world: &World) -> Target {
    let template = checkout(KEY);
    let at = template.find(KEY).expect("the key");
    Target {
        name: "Daybook".to_owned(),
        address: address(world),
        requests: Requests::Unique { template, at },
        expected: 202,
    }
}

/// A checkout under this key.
pub(crate) fn checkout(key: &str) -> String {
    let headers = format!("authorization: Bearer {}\r\nidempotency-key: {key}\r\n", ACME.key);
    load::render("POST", "/v1/checkouts", &headers, CHECKOUT)
}

/// The host and port of the first API process.
pub(crate) fn address(world: &World) -> String {
    world.shop().url().trim_start_matches("http://").to_owned()
}

/// The body that a request is answered with.
pub(crate) async fn first_answer(address: &str, request: &str, expected: u16) -> Vec<u8> {
    let mut connection = Connection::open(address).await;
    let status = connection.exchange(request.as_bytes()).await;
    assert_eq!(status, expected, "{}", String::from_utf8_lossy(&connection.buffer));
    connection.body().to_vec()
}

/// A bare server that stores these bytes for each request as Daybook's journal does, and answers with those.
pub(crate) async fn storing(world: &World, kind: Kind, payload: &[u8], answer: &[u8], status: u16) -> Limit {
    let file = |name: &str, bytes: &[u8]| {
        let file = world.directory().join(name);
        std::fs::write(&file, bytes).expect("a file");
        file.display().to_string()
    };
    let (payload, answer) = (file("payload", payload), file("answer", answer));
    let status = status.to_string();
    match &world.nats {
        Some(nats) if kind != Kind::Embedded => {
            Limit::start(&["publish", &nats.url(), &payload, &answer, &status]).await
        }
        _ => {
            let database = world.directory().join("limit.sqlite").display().to_string();
            Limit::start(&["insert", &database, &payload, &answer, &status]).await
        }
    }
}

/// What that server is called.
pub(crate) fn limit_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Embedded => "bare axum and SQLite",
        Kind::JetStreamNewest | Kind::JetStreamOldest => "bare axum and JetStream",
    }
}
