//! Checkouts in batches: from the request to the answer that says of every command that it is stored.

use std::fmt::Write;

use daybook_tests::client::ACME;
use daybook_tests::{Kind, Setup, World};

use crate::ingest::{address, caught_up, files, first_answer};
use crate::limit::Limit;
use crate::load::{self, Load, Requests};
use crate::report::{Goal, Report, Row, Side};
use crate::table::thousands;
use crate::{Options, log, name};

/// Commands of a batch.
const SIZES: [u64; 2] = [1_000, 10_000];
/// Batches under way at the same time.
const CONNECTIONS: usize = 2;

pub(crate) async fn run(options: Options) {
    let mut rows = Vec::new();
    for kind in options.kinds() {
        for size in SIZES {
            let world = World::with(kind, Setup::default()).await;
            rows.push(measure(&world, &options, size).await);
        }
    }
    let title = "Batches: checkouts in `POST /v1/batch`, each stored before the answer";
    Report::new("batch", title, options.quick, rows).publish(&options.out());
}

async fn measure(world: &World, options: &Options, size: u64) -> Row {
    let address = address(world);
    let first = checkouts("/v1/batch", size);
    let answer = first_answer(&address, &first, 200).await;
    let refused = answer.split(|&byte| byte == b'\n').find(|line| {
        let line = String::from_utf8_lossy(line);
        !line.is_empty() && !line.contains(r#""status":202"#)
    });
    assert!(refused.is_none(), "{}", String::from_utf8_lossy(refused.unwrap_or_default()));
    let payload = log::newest(world).await;
    let limit = storing(world, &payload, &answer, size).await;
    let (mut ours, mut bare) = (Side::new("Daybook"), Side::new(limit_name(world.kind())));
    // The first round of each is not counted.
    for round in 0..=options.rounds() {
        for (side, address, path) in
            [(&mut bare, limit.said.as_str(), "/"), (&mut ours, address.as_str(), "/v1/batch")]
        {
            let batches = (0..options.commits() / 5 / size).map(|_| checkouts(path, size)).collect();
            let load = Load::closed(address, &Requests::Once(batches), CONNECTIONS, options.round());
            let seen = load.run().await;
            if round > 0 {
                side.add_rate(seen.answers * size, seen.elapsed);
            }
        }
        caught_up(world).await;
    }
    let what = format!("POST /v1/batch, {} commands", thousands(size));
    let row = Row::new(&what, "commands/s", ours).on(name(world.kind())).over(CONNECTIONS);
    row.against(bare).goal(Goal::PercentAtLeast(60))
}

/// A request with so many checkouts, each under a new key.
pub(crate) fn checkouts(path: &str, size: u64) -> String {
    let mut body = String::new();
    for _ in 0..size {
        let key = format!("{:032x}", fastrand::u128(..));
        let line = format!(
            r#"{{"op":"checkout","idempotency_key":"{key}","body":{{"amount":{{"value":1999,"currency":"EUR"}},"merchant_reference":"A-1001","payment_method":{{"type":"card","token":"tok_visa"}}}}}}"#
        );
        writeln!(body, "{line}").expect("room for a line");
    }
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/x-ndjson\r\n", ACME.key);
    load::render("POST", path, &headers, &body)
}

/// A bare server that stores these bytes so many times for each request.
async fn storing(world: &World, payload: &[u8], answer: &[u8], size: u64) -> Limit {
    let [payload, answer] = files(world, payload, answer);
    let size = size.to_string();
    match &world.nats {
        Some(nats) if world.kind() != Kind::Embedded => {
            Limit::start(&["publish-batch", &nats.url(), &payload, &answer, "200", &size]).await
        }
        _ => {
            let database = world.directory().join("limit.sqlite").display().to_string();
            Limit::start(&["insert-batch", &database, &payload, &answer, "200", &size]).await
        }
    }
}

fn limit_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Embedded => "bare axum, a transaction a request",
        Kind::JetStreamNewest | Kind::JetStreamOldest => "bare axum, pipelined publishes",
    }
}
