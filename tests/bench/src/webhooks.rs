//! Webhooks: verified, matched to their orders, decided, and stored before the 200.

use std::sync::atomic::{AtomicU64, Ordering};

use daybook_tests::client::{ACME, SOURCE, now};
use ledger::codec;
use standardwebhooks::Webhook;

use crate::ingest::{address, first_answer, limit_name, storing};
use crate::load::{self, Requests};
use crate::online::wait_until_ready;
use crate::report::{Goal, Report, Row};
use crate::versus::{Target, compare};
use crate::{Options, bulk, name, orders};

const CONNECTIONS: [usize; 2] = [64, 256];

pub(crate) async fn run(options: Options) {
    let mut rows = Vec::new();
    let a_round = if options.quick { 5_000 } else { 50_000 };
    // A round to get warm, and two kinds of rounds.
    let rounds = CONNECTIONS.len() * (1 + 2 * options.rounds());
    let signer = Webhook::new(ACME.secret).expect("a secret");
    for kind in options.kinds() {
        let world = orders::world(kind, 1 + a_round * rounds as u64).await;
        let first = capture(&signer, 0);
        let answer = first_answer(&address(&world), &first, 200).await;
        let payload = codec::encode(&world.log().await.commits.last().expect("a commit").commit);
        let limit = storing(&world, kind, &payload, &answer, 200).await;
        let bare = Target {
            name: limit_name(kind).to_owned(),
            address: limit.said.clone(),
            requests: Requests::InTurn(vec![first.replacen(&path(), "/", 1)]),
            expected: 200,
        };
        let next = AtomicU64::new(1);
        // Each round captures orders that were not captured yet; all is signed before its clock runs.
        let ours = async || {
            let start = next.fetch_add(a_round, Ordering::Relaxed);
            let requests = (start..start + a_round).map(|number| capture(&signer, number)).collect();
            let (name, address) = ("Daybook".to_owned(), address(&world));
            Target { name, address, requests: Requests::Once(requests), expected: 200 }
        };
        for connections in CONNECTIONS {
            let settle = async || wait_until_ready(&world.shop()).await;
            let (ours, bare) = compare(&options, connections, &ours, &bare, settle).await;
            let row = Row::new("payment.captured", "req/s", ours).on(name(kind)).over(connections);
            rows.push(row.against(bare).goal(Goal::PercentAtLeast(70)));
        }
    }
    let title = "Webhooks: a signed capture of an order, stored before its 200";
    Report::new("webhooks", title, options.quick, rows).publish(&options.out());
}

fn path() -> String {
    format!("/webhooks/{}/{SOURCE}", ACME.id)
}

/// What a PSP sends when the money of an order is taken, signed now.
pub(crate) fn capture(signer: &Webhook, number: u64) -> String {
    let (order, key) = (bulk::order(number), bulk::key(number));
    let body = format!(
        r#"{{"type":"payment.captured","timestamp":"{}","data":{{"order_id":"{order}","payment_reference":"pay_{key}","reference":"cap_{key}","amount":{{"value":1999,"currency":"EUR"}}}}}}"#,
        jiff::Timestamp::now()
    );
    let (id, at) = (format!("evt_{key}"), now());
    let signature = signer.sign(&id, at, body.as_bytes()).expect("a signature");
    let headers =
        format!("webhook-id: {id}\r\nwebhook-timestamp: {at}\r\nwebhook-signature: {signature}\r\n");
    load::render("POST", &path(), &headers, &body)
}
