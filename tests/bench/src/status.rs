//! Status polls: beside a constant answer, with few orders and with many, and with checkouts coming in meanwhile.
//!
//! The servers that are compared run at the same time and are asked in turns; whoever is not asked does nothing.

use std::time::{Duration, Instant};

use daybook_tests::World;

use crate::ingest::{address, caught_up, checkouts, first_answer};
use crate::limit::Limit;
use crate::load::{self, Requests};
use crate::report::{Goal, Report, Row, Side};
use crate::table::thousands;
use crate::versus::{Target, compare};
use crate::{Options, name, orders};

/// Orders that are asked for in turn, from all over the log; all of them if there are fewer.
const ASKED: u64 = 50_000;

/// What can be chosen about this suite.
#[derive(clap::Args, Clone)]
pub(crate) struct Choice {
    #[command(flatten)]
    options: Options,
    /// How many orders there are; several times for several sizes, the smallest first.
    #[arg(long)]
    orders: Vec<u64>,
}

pub(crate) async fn run(choice: Choice) {
    // Of the suites this one has the most rounds, and a second is some 40,000 polls.
    let options = &Options { quick_round: Duration::from_secs(1), ..choice.options };
    let sizes = match (choice.orders.is_empty(), options.quick) {
        (false, _) => choice.orders,
        (true, true) => vec![10_000, 100_000],
        (true, false) => vec![10_000, 1_000_000, 10_000_000],
    };
    let mut rows = Vec::new();
    for kind in options.kinds() {
        let small = orders::world(kind, sizes[0]).await;
        let few = polls(&small, sizes[0]);
        let bare = Bare::start(&small, &few).await;
        rows.extend(beside_bare(options, &few, &bare.target).await.map(|row| row.on(name(kind))));
        rows.extend(beside_ingest(options, &small, &few).await.map(|row| row.on(name(kind))));
        for &size in &sizes[1..] {
            let large = orders::world(kind, size).await;
            let many = polls(&large, size);
            rows.extend(beside_bare(options, &many, &bare.target).await.map(|row| row.on(name(kind))));
            let (ours, other) = compare(options, 64, async || many.clone(), &few, async || ()).await;
            let row = Row::new(&format!("{} beside few", many.name), "req/s", ours);
            rows.push(row.on(name(kind)).over(64).against(other).goal(Goal::PercentAtLeast(90)));
            rows.extend(beside_ingest(options, &large, &many).await.map(|row| row.on(name(kind))));
        }
    }
    Report::new("status", "Status: `GET /v1/orders/{id}/status`", options.quick, rows)
        .publish(&options.out());
}

/// A bare server with a constant answer of the same size.
struct Bare {
    target: Target,
    /// It ends when this is dropped.
    _process: Limit,
}

impl Bare {
    async fn start(world: &World, ours: &Target) -> Self {
        let Requests::InTurn(requests) = &ours.requests else { unreachable!("polls are sent in turn") };
        let answer = first_answer(&ours.address, &requests[0], 200).await;
        let body = world.directory().join("status.json");
        std::fs::write(&body, answer).expect("a file");
        let process = Limit::start(&["constant", &body.display().to_string()]).await;
        let target = Target {
            name: "bare axum, constant body".to_owned(),
            address: process.said.clone(),
            // The same header, so that the same is parsed.
            requests: Requests::InTurn(vec![load::render("GET", "/", &orders::credentials(), "")]),
            expected: 200,
        };
        Bare { target, _process: process }
    }
}

/// Polls of orders from all over a log of so many.
pub(crate) fn polls(world: &World, size: u64) -> Target {
    let asked = ASKED.min(size);
    // In an order that has nothing to do with that of the log.
    let mut numbers: Vec<u64> = (0..asked).map(|index| index * size / asked).collect();
    fastrand::Rng::with_seed(size).shuffle(&mut numbers);
    let requests = numbers.into_iter().map(|number| orders::poll(number, "", "")).collect();
    Target {
        name: format!("{} orders", thousands(size)),
        address: address(world),
        requests: Requests::InTurn(requests),
        expected: 200,
    }
}

async fn beside_bare(options: &Options, ours: &Target, bare: &Target) -> impl Iterator<Item = Row> {
    let mut rows = Vec::new();
    for connections in [64, 256] {
        let (side, other) = compare(options, connections, async || ours.clone(), bare, async || ()).await;
        let row = Row::new(&ours.name, "req/s", side).over(connections);
        rows.push(row.against(other).goal(Goal::PercentAtLeast(85)));
    }
    rows.into_iter()
}

/// Polls at a tenth of what the server can answer, first alone, then with checkouts at half of what it can take for long:
/// with the time that its views need to catch up. A poll that comes by itself costs more than one of many that come at
/// once, so a larger share would be an overload, and its latencies those of a queue.
async fn beside_ingest(options: &Options, world: &World, polls: &Target) -> impl Iterator<Item = Row> {
    const CONNECTIONS: usize = 64;
    let (round, checkouts) = (options.round(), checkouts(world));
    let poll_rate = polls.closed(CONNECTIONS, round).await.rate() / 10;
    let warming = Instant::now();
    let warm = checkouts.closed(CONNECTIONS, round * 2).await;
    caught_up(world).await;
    let ingest_rate = load::per_second(warm.answers, warming.elapsed()) / 2;
    let (mut idle, mut busy) = (Side::new("Daybook, polls alone"), Side::new("Daybook"));
    for _ in 0..options.rounds() {
        let alone = polls.open(CONNECTIONS, round, poll_rate).await;
        idle.add(alone.latency.value_at_quantile(0.99));
        idle.add_latency(poll_rate, &alone);
        let (beside, _) = tokio::join!(
            polls.open(CONNECTIONS, round, poll_rate),
            checkouts.open(CONNECTIONS, round, ingest_rate)
        );
        busy.add(beside.latency.value_at_quantile(0.99));
        busy.add_latency(poll_rate, &beside);
        caught_up(world).await;
    }
    let what = format!("{}, p99 beside {} checkouts/s", polls.name, thousands(ingest_rate));
    let row = Row::new(&what, "µs", busy).over(CONNECTIONS).against(idle);
    [row.goal(Goal::PercentAtMost(200))].into_iter()
}
