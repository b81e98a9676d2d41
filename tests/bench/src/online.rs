//! What readers notice of a rebuild: status polls at full speed, first with nothing else going on, then while the
//! server folds its whole log anew beside them. Every answer must be a 200.

use std::time::{Duration, Instant};

use daybook_tests::client::{ACME, Client};
use daybook_tests::{Reply, Setup, World};
use hdrhistogram::Histogram;
use reqwest::Method;
use serde_json::Value;

use crate::bulk::Life;
use crate::load::{self, Load, Requests, Round};
use crate::machine::Machine;
use crate::{Options, bulk, log, name};

const ADMIN_KEY: &str = "an admin key for benchmarks alone, long enough";
/// Orders that are asked for in turn, from all over the log.
const ORDERS: u64 = 1000;
const CONNECTIONS: usize = 64;

/// Rounds of load under one condition, together.
struct Side {
    latency: Histogram<u64>,
    answers: u64,
    elapsed: Duration,
}

impl Side {
    fn new() -> Self {
        Side { latency: load::histogram(), answers: 0, elapsed: Duration::ZERO }
    }

    fn add(&mut self, round: Round) {
        self.answers += round.answers;
        self.elapsed += round.elapsed;
        self.latency.add(round.latency).expect("histograms alike");
    }

    fn row(&self, what: &str) -> String {
        let at = |quantile| self.latency.value_at_quantile(quantile);
        let rate = u128::from(self.answers) * 1_000_000 / self.elapsed.as_micros().max(1);
        format!("| {what} | {rate} | {} | {} | {} |", at(0.5), at(0.99), at(0.999))
    }
}

pub(crate) async fn run(options: Options) {
    for kind in options.kinds() {
        let setup = Setup { config: format!("admin.key = \"{ADMIN_KEY}\"\n"), ..Setup::default() };
        let mut world = World::with(kind, setup).await;
        world.servers[0].stop().await;
        log::fill(&world, options.commits()).await;
        world.servers[0].respawn();
        wait_until_ready(&world.shop()).await;

        let shop = world.shop();
        let address = shop.url().trim_start_matches("http://").to_owned();
        let requests = requests(options.commits());
        let half = options.round() / 2;
        Load::closed(&address, &requests, CONNECTIONS, half).run().await;
        let (mut idle, mut beside) = (Side::new(), Side::new());
        for _ in 0..options.rounds() {
            idle.add(Load::closed(&address, &requests, CONNECTIONS, options.round()).run().await);
        }
        let began = Instant::now();
        admin(&shop, Method::POST).await;
        let status = loop {
            beside.add(Load::closed(&address, &requests, CONNECTIONS, half).run().await);
            let status = admin(&shop, Method::GET).await;
            if !["folding", "comparing"].contains(&status["state"].as_str().unwrap_or_default()) {
                break status;
            }
        };
        assert_eq!(status["state"], "done", "{status}");
        let folded = status["done"].as_u64().unwrap_or_default();
        let p99 = |side: &Side| side.latency.value_at_quantile(0.99);
        let percent = p99(&beside) * 100 / p99(&idle).max(1);
        println!(
            "## Status polls beside a rebuild: {}, {CONNECTIONS} connections\n\n{}\n\n\
             | | req/s | p50 µs | p99 µs | p99.9 µs |\n|---|--:|--:|--:|--:|\n{}\n{}\n\n\
             p99 beside a rebuild: {percent} % of idle. {folded} commits folded within {} s, no answer but 200.\n",
            name(kind),
            Machine::here(),
            idle.row("idle"),
            beside.row("beside a rebuild"),
            began.elapsed().as_secs(),
        );
    }
}

/// The views of a whole log take longer than any server is otherwise waited for.
pub(crate) async fn wait_until_ready(shop: &Client) {
    loop {
        let asked = Reply::of(shop.anonymous(Method::GET, "/readyz")).await;
        if asked.is_ok_and(|reply| reply.status == 200) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn admin(shop: &Client, method: Method) -> Value {
    Reply::to(shop.anonymous(method, "/admin/rebuild").bearer_auth(ADMIN_KEY)).await.json()
}

fn requests(commits: u64) -> Requests {
    let headers = format!("authorization: Bearer {}\r\n", ACME.key);
    let orders = commits / Life::Refunded.commits();
    let request = |number: u64| {
        let order = bulk::order(number * orders / ORDERS);
        load::render("GET", &format!("/v1/orders/{order}/status"), &headers, "")
    };
    Requests::InTurn((0..ORDERS).map(request).collect())
}
