//! What a rate of orders, or a stock of them, needs: arithmetic from measured constants, and a simulation of the
//! queues that arithmetic does not see. Prints the tables of `docs/src/scale.md`.
#![expect(clippy::float_arithmetic, reason = "a model of queues; no money in sight")]

use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;
use serde::Deserialize;

use crate::table::thousands;

/// The constants that the page was last printed with.
const CONSTANTS: &str = include_str!("../../../docs/src/scale.json");
/// Orders a second.
const RATES: [u64; 3] = [1_000, 10_000, 100_000];
/// Orders in the log.
const STOCKS: [u64; 4] = [10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000];
/// Memory of a nats-server that subjects may take, in GiB.
const BUDGETS: [u64; 3] = [8, 32, 128];
/// Partitions whose queues are simulated.
const PARTITIONS: [u64; 2] = [1, 4];
/// How busy the simulated streams and nodes are, in percent of what they can do.
const LOADS: [u64; 4] = [10, 50, 80, 95];
/// How long the simulated clock runs. What came in before a tenth of it is not counted: the queues were still empty.
const SIMULATED: Duration = Duration::from_secs(20);
/// Nothing is planned above half of what it can do: the other half is for peaks, for a lost machine, and for catching up.
const HALF: u64 = 2;

const DAY: u64 = 24 * 60 * 60;
const GIB: u64 = 1 << 30;

/// What can be chosen about the arithmetic.
#[derive(Args)]
pub(crate) struct Choice {
    /// A JSON file of other constants, with the fields of `docs/src/scale.json`.
    #[arg(long)]
    constants: Option<std::path::PathBuf>,
}

/// What was measured, all on one machine; `docs/src/scale.md` says where each figure comes from.
#[derive(Deserialize)]
struct Constants {
    /// A checkout, and what PSPs and shops say about it later.
    commits_per_order: u64,
    /// Bodies of the requests that an order's commits came from.
    request_bytes_per_order: u64,
    /// On disk, on one replica of a stream.
    stream_bytes_per_commit: u64,
    /// Of the tree of the transparency log, on each node.
    tree_bytes_per_commit: u64,
    /// In the view store, on each node.
    view_bytes_per_order: u64,
    /// In each nats-server that holds a replica.
    subject_ram_bytes: u64,
    /// Most appends that one stream of three replicas stores a second, each on disk before it is acknowledged.
    append_per_second: u64,
    /// One round of the stream's flush, however many appends share it.
    flush_micros: u64,
    /// Commits that one node makes visible a second.
    fold_per_second: u64,
    /// Commits that one node folds a second when the views are folded anew.
    rebuild_per_second: u64,
    /// One batch of the projector, however many commits share it.
    fold_batch_micros: u64,
    /// Processor time of one request, from the socket to the answer.
    request_core_micros: u64,
    /// Cores of the machine that a node is planned on.
    node_cores: u64,
}

pub(crate) fn run(options: &Choice) {
    let text = match &options.constants {
        Some(path) => std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())),
        None => CONSTANTS.to_owned(),
    };
    let constants: Constants = serde_json::from_str(&text).unwrap_or_else(|e| panic!("the constants: {e}"));
    flows(&constants);
    stocks(&constants);
    periods(&constants);
    queues(&constants);
}

/// What a rate of orders needs.
struct Flow {
    commits: u64,
    partitions: u64,
    ledgers: u64,
    nodes: u64,
}

impl Flow {
    fn of(orders: u64, constants: &Constants) -> Self {
        let commits = orders * constants.commits_per_order;
        // Every node of a ledger folds all of it: what one node cannot follow is two ledgers.
        let ledgers = (commits * HALF).div_ceil(constants.fold_per_second);
        let of_one = commits.div_ceil(ledgers);
        let partitions = (of_one * HALF).div_ceil(constants.append_per_second);
        // A core folds; the others answer. Two nodes at least: one may be lost.
        let cores = (of_one * constants.request_core_micros * HALF).div_ceil(1_000_000);
        let nodes = cores.div_ceil(constants.node_cores.saturating_sub(1).max(1)).max(2);
        Flow { commits, partitions, ledgers, nodes }
    }
}

fn flows(constants: &Constants) {
    println!(
        "| orders/s | commits/s | ledgers | partitions of each | API nodes of each | stream disk a day, each replica | subjects' RAM a day, each replica |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|");
    for orders in RATES {
        let Flow { commits, partitions, ledgers, nodes } = Flow::of(orders, constants);
        println!(
            "| {} | {} | {ledgers} | {partitions} | {nodes} | {} | {} |",
            thousands(orders),
            thousands(commits),
            bytes(commits * DAY * constants.stream_bytes_per_commit),
            bytes(orders * DAY * constants.subject_ram_bytes),
        );
    }
    println!();
}

fn stocks(constants: &Constants) {
    println!(
        "| orders | raw request bodies | stream disk, each replica | views, each node | tree, each node | subjects' RAM, each replica | rebuild on one node |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|");
    for orders in STOCKS {
        let commits = orders * constants.commits_per_order;
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            thousands(orders),
            bytes(orders * constants.request_bytes_per_order),
            bytes(commits * constants.stream_bytes_per_commit),
            bytes(orders * constants.view_bytes_per_order),
            bytes(commits * constants.tree_bytes_per_commit),
            bytes(orders * constants.subject_ram_bytes),
            time(commits / constants.rebuild_per_second),
        );
    }
    println!();
}

fn periods(constants: &Constants) {
    let rates = RATES.map(|orders| format!("full at {}/s in", thousands(orders)));
    println!("| RAM for subjects | orders | {} |", rates.join(" | "));
    println!("|--:|--:|{}", "--:|".repeat(rates.len()));
    for budget in BUDGETS {
        let orders = budget * GIB / constants.subject_ram_bytes;
        let full = RATES.map(|rate| time(orders / rate));
        println!("| {budget} GiB | {} | {} |", thousands(orders), full.join(" | "));
    }
    println!();
}

fn queues(constants: &Constants) {
    println!("| partitions | commits/s | busy | stored p50 | p99 | p99.9 | visible p50 | p99 | p99.9 |");
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for partitions in PARTITIONS {
        // Whichever is full first: the streams, or the node that folds all of them.
        let most = constants.fold_per_second.min(partitions * constants.append_per_second);
        for percent in LOADS {
            let commits = most * percent / 100;
            let Simulated { stored, visible } = simulate(commits, partitions, constants);
            println!(
                "| {partitions} | {} | {percent} % | {} | {} | {} | {} | {} | {} |",
                thousands(commits),
                quantile(&stored, 0.5),
                quantile(&stored, 0.99),
                quantile(&stored, 0.999),
                quantile(&visible, 0.5),
                quantile(&visible, 0.99),
                quantile(&visible, 0.999),
            );
        }
    }
}

/// Microseconds from a commit's arrival until it is stored, and until it is visible on a node.
struct Simulated {
    stored: Histogram<u64>,
    visible: Histogram<u64>,
}

/// Commits arrive by themselves (a Poisson process), each at the partition that its order's hash picks. A stream stores all
/// that waits in one flush; then a node folds all that waits in one batch.
fn simulate(commits: u64, partitions: u64, constants: &Constants) -> Simulated {
    let mut random = fastrand::Rng::with_seed(42);
    let end = SIMULATED.as_secs_f64() * 1e6;
    let counted = end / 10.0;
    let mut arrivals = vec![Vec::new(); usize::try_from(partitions).expect("few partitions")];
    let mut now = 0.0;
    while now < end {
        now += -(1.0 - random.f64()).ln() * 1e6 / commits as f64;
        let partition = random.usize(..arrivals.len());
        arrivals[partition].push((now, now));
    }
    let each = 1e6 / constants.append_per_second as f64;
    let mut of_all: Vec<(f64, f64)> = Vec::new();
    let mut stored = waits();
    for arrivals in arrivals {
        of_all.extend(served(&arrivals, constants.flush_micros as f64, each));
    }
    of_all.sort_by(|a, b| a.0.total_cmp(&b.0));
    record(&mut stored, &of_all, counted);
    let mut visible = waits();
    let each = 1e6 / constants.fold_per_second as f64;
    record(&mut visible, &served(&of_all, constants.fold_batch_micros as f64, each), counted);
    Simulated { stored, visible }
}

/// When each of these is done, by a server that takes all that waits and needs `fixed` a batch and `each` for one of it.
/// In and out: when it came to this server (out: when it was done), and when it came into the system.
fn served(arrivals: &[(f64, f64)], fixed: f64, each: f64) -> Vec<(f64, f64)> {
    let mut done = Vec::with_capacity(arrivals.len());
    let (mut next, mut free) = (0, 0.0_f64);
    while let Some((first, _)) = arrivals.get(next) {
        let begin = free.max(*first);
        let batch = arrivals[next..].iter().take_while(|(at, _)| *at <= begin).count();
        free = begin + fixed + each * batch as f64;
        done.extend(arrivals[next..next + batch].iter().map(|(_, came)| (free, *came)));
        next += batch;
    }
    done
}

fn record(into: &mut Histogram<u64>, done: &[(f64, f64)], counted: f64) {
    for (at, came) in done.iter().filter(|(_, came)| *came >= counted) {
        into.saturating_record((at - came) as u64);
    }
}

fn quantile(of: &Histogram<u64>, quantile: f64) -> String {
    let micros = of.value_at_quantile(quantile);
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

/// Bytes in the unit that leaves one to three digits before the point.
fn bytes(bytes: u64) -> String {
    let mut value = bytes * 10;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 10_240 {
            return format!("{}.{} {unit}", value / 10, value % 10);
        }
        value /= 1024;
    }
    format!("{}.{} PiB", value / 10, value % 10)
}

fn time(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / DAY),
    }
}

/// From a microsecond to ten minutes.
fn waits() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("bounds of a histogram")
}
