//! Lag: from when a webhook is acknowledged until whoever waits for its order in a long poll has been told.
//!
//! Beside it, what cannot be left out: from when the same bytes are published until a reader of the log has them.

use std::time::{Duration, Instant};

use daybook_tests::client::ACME;
use daybook_tests::{Kind, World};
use hdrhistogram::Histogram;
use ledger::codec;
use serde::{Deserialize, Serialize};
use standardwebhooks::Webhook;
use tokio::task::JoinSet;

use crate::ingest::address;
use crate::limit::Limit;
use crate::load::{self, Connection, Round, Running, buckets, histogram, wait_until};
use crate::report::{Goal, Report, Row, Side};
use crate::webhooks::capture;
use crate::{Options, name, orders};

/// Webhooks a second.
const RATE: u64 = 200;
/// Long polls that are open at the same time, each of another order.
const WAITING: usize = 32;

/// What the load's process is given.
#[derive(Serialize, Deserialize)]
pub(crate) struct Load {
    address: String,
    turns: Vec<Turn>,
}

/// One order: what to poll and what to report of it.
#[derive(Clone, Serialize, Deserialize)]
struct Turn {
    /// Its status as it is.
    now: String,
    /// A long poll, without the blank line at its end: the ETag is yet to come.
    wait: String,
    /// What changes it.
    webhook: String,
}

/// What was seen, in microseconds.
#[derive(Serialize, Deserialize)]
struct Seen {
    /// From the webhook's 200 to the long poll's answer.
    #[serde(with = "buckets")]
    acknowledged: Histogram<u64>,
    /// From when the webhook was sent to the long poll's answer.
    #[serde(with = "buckets")]
    sent: Histogram<u64>,
}

pub(crate) async fn run(options: Options) {
    let mut rows = Vec::new();
    let (rounds, a_round) = (options.rounds() as u64, RATE * options.round().as_secs());
    let signer = Webhook::new(ACME.secret).expect("a secret");
    for kind in options.kinds() {
        let world = orders::world(kind, (1 + rounds) * a_round).await;
        let payload = world.directory().join("payload");
        std::fs::write(&payload, codec::encode(&world.log().await.commits[0].commit)).expect("a file");
        let payload = payload.display().to_string();
        let mut sides: [[Side; 3]; 2] = ["p50", "p99"].map(|_| {
            let raw = match kind {
                Kind::Embedded => "SQLite commit → channel",
                Kind::JetStreamNewest | Kind::JetStreamOldest => "publish → ordered consumer",
            };
            ["Daybook", "Daybook", raw].map(Side::new)
        });
        for round in 0..=rounds {
            let raw = raw(&world, &payload, options.round()).await;
            let turns = (round * a_round..(round + 1) * a_round).map(|number| turn(&signer, number));
            let load = Load { address: address(&world), turns: turns.collect() };
            let mut running = Running::start("lag-load", &load).await;
            let seen: Seen = running.line().await.expect("what the load saw");
            // The first one only gets everything warm.
            if round > 0 {
                for (quantile, sides) in [0.5, 0.99].into_iter().zip(&mut sides) {
                    let histograms = [&seen.acknowledged, &seen.sent, &raw];
                    for (side, histogram) in sides.iter_mut().zip(histograms) {
                        side.add(histogram.value_at_quantile(quantile));
                        // Once is enough in the tables.
                        if quantile == 0.5 {
                            let (answers, latency) = (histogram.len(), histogram.clone());
                            side.add_latency(RATE, &Round { answers, elapsed: options.round(), latency });
                        }
                    }
                }
            }
        }
        for (quantile, [acknowledged, sent, raw]) in ["p50", "p99"].into_iter().zip(sides) {
            let what = format!("acknowledged → told, {quantile}");
            let row = Row::new(&what, "µs", acknowledged).on(name(kind)).against(raw.clone());
            rows.push(row.goal(Goal::PercentAtMost(200)));
            let what = format!("sent → told, {quantile}");
            rows.push(Row::new(&what, "µs", sent).on(name(kind)).against(raw));
        }
    }
    let title = "Lag: from a webhook to the long poll that waits for it";
    Report::new("lag", title, options.quick, rows).publish(&options.out());
}

async fn raw(world: &World, payload: &str, length: Duration) -> Histogram<u64> {
    let (rate, seconds) = (RATE.to_string(), length.as_secs().to_string());
    let database = world.directory().join("limit.sqlite").display().to_string();
    let limit = match &world.nats {
        Some(nats) => Limit::start(&["deliver", &nats.url(), payload, &rate, &seconds]).await,
        None => Limit::start(&["notify", &database, payload, &rate, &seconds]).await,
    };
    let mut json = serde_json::Deserializer::from_str(&limit.said);
    buckets::deserialize(&mut json).expect("a histogram")
}

fn turn(signer: &Webhook, number: u64) -> Turn {
    let mut wait = orders::poll(number, "?wait=30s", "");
    wait.truncate(wait.len() - 2);
    Turn { now: orders::poll(number, "", ""), wait, webhook: capture(signer, number) }
}

/// What the load's process does: turn `n` is due `n / RATE` seconds after the start, and its poll is open long before.
pub(crate) async fn generate() {
    let Load { address, turns } = serde_json::from_reader(std::io::stdin().lock()).expect("a load");
    // The first polls have this long to be open.
    let started = Instant::now() + Duration::from_millis(500);
    let mut workers = JoinSet::new();
    for worker in 0..WAITING {
        let mine: Vec<_> = turns.iter().cloned().enumerate().skip(worker).step_by(WAITING).collect();
        let (mut waiting, mut sending) = (Connection::open(&address).await, Connection::open(&address).await);
        workers.spawn(async move {
            let (mut acknowledged, mut sent) = (histogram(), histogram());
            for (number, turn) in mine {
                assert_eq!(waiting.exchange(turn.now.as_bytes()).await, 200);
                let etag = waiting.header("etag").expect("an ETag").to_owned();
                waiting.send(format!("{}if-none-match: {etag}\r\n\r\n", turn.wait).as_bytes()).await;
                wait_until(started + load::due(number, RATE)).await;
                let began = Instant::now();
                let (answered, told) = tokio::join!(
                    async {
                        assert_eq!(sending.exchange(turn.webhook.as_bytes()).await, 200);
                        Instant::now()
                    },
                    async {
                        assert_eq!(waiting.receive().await, 200);
                        Instant::now()
                    }
                );
                let micros = |from: Instant| {
                    u64::try_from(told.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
                };
                acknowledged.saturating_record(micros(answered));
                sent.saturating_record(micros(began));
            }
            (acknowledged, sent)
        });
    }
    let mut seen = Seen { acknowledged: histogram(), sent: histogram() };
    while let Some(worker) = workers.join_next().await {
        let (acknowledged, sent) = worker.expect("connections that hold");
        seen.acknowledged.add(acknowledged).expect("histograms alike");
        seen.sent.add(sent).expect("histograms alike");
    }
    println!("{}", serde_json::to_string(&seen).expect("JSON"));
}
