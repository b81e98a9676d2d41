//! Checkouts, status polls and webhooks: ours and theirs in turns, by the same load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use daybook_tests::client::{ACME, SOURCE, about, eur, now, unique};
use daybook_tests::{Kind, World};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::task::JoinSet;

use super::postgres::Postgres;
use super::process::{Served, fill};
use super::{Job, Peer};
use crate::load::{Connection, Requests, Round, render};
use crate::report::{Goal, Side};
use crate::versus::Target;
use crate::{Options, ingest, orders};

const CONNECTIONS: usize = 64;
/// Orders that are asked for in turn.
const POLLED: usize = 10_000;
/// Orders that are there before the first request: an empty database has no statistics to plan with.
const BEFORE: u64 = 10_000;
/// How long a read model may take to have everything.
const PATIENCE: Duration = Duration::from_secs(300);

/// Everything that runs at the same time, and is asked in turns.
struct Field {
    ours: Vec<(Kind, World)>,
    peers: Vec<(Peer, Served)>,
}

/// What each of the field is asked, ours first.
type Targets = Vec<Target>;

pub(super) async fn run(options: &Options, postgres: &Postgres) -> Vec<Job> {
    let mut field = Field { ours: Vec::new(), peers: Vec::new() };
    for kind in options.kinds() {
        field.ours.push((kind, orders::world(kind, BEFORE).await));
    }
    for peer in Peer::ALL {
        let database = postgres.database(peer.word());
        fill(peer, &database, BEFORE).await;
        let served = Served::start(peer, &database).await;
        caught_up(&served.address).await;
        field.peers.push((peer, served));
    }
    vec![ingest(options, &field).await, status(options, &field).await, webhooks(options, &field).await]
}

async fn ingest(options: &Options, field: &Field) -> Job {
    let requests = ingest::checkouts(&field.ours[0].1).requests;
    let targets = field.targets(|_| requests.clone(), 202);
    let sides = field.measure(options, &targets).await;
    field.job("POST /v1/checkouts", Goal::PercentAtLeast(500), sides)
}

async fn status(options: &Options, field: &Field) -> Job {
    let headers = orders::credentials();
    let mut polls = Vec::new();
    for address in field.addresses() {
        let orders = open_orders(&address, POLLED).await;
        caught_up(&address).await;
        let poll = |order: &String| render("GET", &format!("/v1/orders/{order}/status"), &headers, "");
        polls.push(Requests::InTurn(answered(&address, orders.iter().map(poll).collect()).await));
    }
    let targets = field.targets(|index| polls[index].clone(), 200);
    let sides = field.measure(options, &targets).await;
    field.job("GET …/status", Goal::PercentAtLeast(100), sides)
}

/// Each round has new orders, and captures each of them once.
async fn webhooks(options: &Options, field: &Field) -> Job {
    let count = if options.quick { 5_000 } else { 20_000 };
    let mut sides = field.sides();
    for round in 0..=options.rounds() {
        for (address, side) in field.addresses().into_iter().zip(&mut sides) {
            let orders = open_orders(&address, count).await;
            caught_up(&address).await;
            let requests = Requests::Once(orders.iter().map(|order| captured(order)).collect());
            let target =
                Target { name: side.name.clone(), address: address.clone(), requests, expected: 200 };
            let seen = target.closed(CONNECTIONS, Duration::ZERO).await;
            caught_up(&address).await;
            // The first one warms up.
            if round > 0 {
                side.add(seen.rate());
            }
        }
    }
    field.job("POST /webhooks", Goal::PercentAtLeast(100), sides)
}

impl Field {
    fn addresses(&self) -> Vec<String> {
        let ours = self.ours.iter().map(|(_, world)| ingest::address(world));
        ours.chain(self.peers.iter().map(|(_, served)| served.address.clone())).collect()
    }

    /// A side for each, ours first.
    fn sides(&self) -> Vec<Side> {
        let ours = self.ours.iter().map(|_| Side::new("Daybook"));
        ours.chain(self.peers.iter().map(|(peer, _)| Side::new(peer.title()))).collect()
    }

    fn targets(&self, requests: impl Fn(usize) -> Requests, expected: u16) -> Targets {
        let sides = self.sides().into_iter().map(|side| side.name);
        let of = |(index, (name, address))| Target { name, address, requests: requests(index), expected };
        sides.zip(self.addresses()).enumerate().map(of).collect()
    }

    /// As fast as each goes, in turns; then all at half of what the slowest of them can do.
    async fn measure(&self, options: &Options, targets: &[Target]) -> Vec<Side> {
        let mut sides = self.sides();
        for target in targets {
            settled(target, target.closed(CONNECTIONS, options.round() / 4).await).await;
        }
        for _ in 0..options.rounds() {
            for (target, side) in targets.iter().zip(&mut sides) {
                side.add(settled(target, target.closed(CONNECTIONS, options.round()).await).await.rate());
            }
        }
        let rate = sides.iter().map(|side| side.median).min().unwrap_or(0) / 2;
        for _ in 0..options.rounds() {
            for (target, side) in targets.iter().zip(&mut sides) {
                let round = target.open(CONNECTIONS, options.round(), rate).await;
                side.add_latency(rate, &settled(target, round).await);
            }
        }
        sides
    }

    fn job(&self, name: &'static str, goal: Goal, mut sides: Vec<Side>) -> Job {
        let peers = sides.split_off(self.ours.len());
        let ours = self.ours.iter().map(|(kind, _)| *kind).zip(sides).collect();
        Job { name, unit: "req/s", connections: Some(CONNECTIONS), goal, ours, peers }
    }
}

/// The round, once its server's read model has everything: nobody pays for another's work.
async fn settled(target: &Target, round: Round) -> Round {
    caught_up(&target.address).await;
    round
}

async fn caught_up(address: &str) {
    let deadline = Instant::now() + PATIENCE;
    let mut connection = Connection::open(address).await;
    while connection.exchange(render("GET", "/readyz", "", "").as_bytes()).await != 200 {
        assert!(Instant::now() < deadline, "{address}: the read model did not catch up within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Those of the polls that are answered with a status. A read model that says it has everything and does not is told of.
async fn answered(address: &str, polls: Vec<String>) -> Vec<String> {
    let (mut connection, mut found) = (Connection::open(address).await, Vec::new());
    let count = polls.len();
    for poll in polls {
        if connection.exchange(poll.as_bytes()).await == 200 {
            found.push(poll);
        }
    }
    if found.len() < count {
        eprintln!("{address}: {} of {count} orders are missing from the read model", count - found.len());
    }
    found
}

/// Opens so many orders. Returns their ids.
async fn open_orders(address: &str, count: usize) -> Vec<String> {
    let turn = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (turn, mut connection) = (Arc::clone(&turn), Connection::open(address).await);
        workers.spawn(async move {
            let mut orders = Vec::new();
            while turn.fetch_add(1, Ordering::Relaxed) < count {
                let request = ingest::checkout(&unique("key"));
                let status = connection.exchange(request.as_bytes()).await;
                let answer = String::from_utf8_lossy(connection.body());
                assert_eq!(status, 202, "{answer}");
                let answer: Value = serde_json::from_str(&answer).expect("JSON");
                orders.push(answer["order_id"].as_str().expect("an order id").to_owned());
            }
            orders
        });
    }
    workers.join_all().await.concat()
}

/// A signed webhook that says that the whole order is captured.
fn captured(order: &str) -> String {
    let (event_id, timestamp) = (unique("evt"), now());
    let mut data = serde_json::json!({"amount": eur(1_999)});
    data["reference"] = unique("cap").into();
    let body = about(order, "payment.captured", data).to_string();
    let signer = Webhook::new(ACME.secret).expect("a webhook secret");
    let signature = signer.sign(&event_id, timestamp, body.as_bytes()).expect("a signature");
    let headers = format!(
        "webhook-id: {event_id}\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: {signature}\r\n"
    );
    render("POST", &format!("/webhooks/{}/{SOURCE}", ACME.id), &headers, &body)
}
