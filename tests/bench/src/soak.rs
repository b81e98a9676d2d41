//! A long time at half the limit: whether memory and latency stay what they were. The limit is what a server takes for
//! long: with the time that its views need to catch up.
//!
//! An hour of checkouts at half of what a server can take fills a disk of a hundred gigabytes. Where there is less, there
//! are as many checkouts as it has room for, and polls make up the rest of the half.

use std::process::Command;
use std::time::{Duration, Instant};

use daybook_tests::{Kind, World};

use crate::ingest::{caught_up, checkouts};
use crate::load::{Load, Round, Running, histogram, per_second};
use crate::process::{self, disk_bytes};
use crate::report::{Goal, Latency, Report, Row, Sample, Side};
use crate::status::polls;
use crate::table::thousands;
use crate::{Options, name, orders};

const CONNECTIONS: usize = 64;
/// Orders that are asked for; they are there before anything else.
const ORDERS: u64 = 10_000;
/// How often to look.
const WINDOW: Duration = Duration::from_secs(10);

/// What can be chosen about this suite.
#[derive(clap::Args, Clone)]
pub(crate) struct Choice {
    #[command(flatten)]
    options: Options,
    /// For how long, on each journal; without it an hour, or two minutes with `--quick`.
    #[arg(long)]
    minutes: Option<u64>,
    /// Checkouts a second; without it half of what the server can take, or less if the disk would be full by the end.
    #[arg(long)]
    rate: Option<u64>,
    /// Status polls a second beside them; without it what the checkouts leave of that half.
    #[arg(long)]
    polls: Option<u64>,
}

pub(crate) async fn run(choice: Choice) {
    let options = &choice.options;
    let minutes = choice.minutes.unwrap_or(if options.quick { 2 } else { 60 });
    let length = Duration::from_secs(60 * minutes);
    let (mut rows, mut samples) = (Vec::new(), Vec::new());
    for kind in options.kinds() {
        let world = orders::world(kind, ORDERS).await;
        let (checkouts, polls) = (checkouts(&world), polls(&world, ORDERS));
        let empty = disk(&world);
        // For a while a server takes more than its views keep up with.
        let warming = Instant::now();
        let warm = checkouts.closed(CONNECTIONS, options.round() * 2).await;
        caught_up(&world).await;
        let most = per_second(warm.answers, warming.elapsed());
        let most_polls = polls.closed(CONNECTIONS, options.round()).await.rate();
        let full = disk(&world);
        let each = (full.0 + full.1 - empty.0 - empty.1) / warm.answers.max(1);
        let rate = choice.rate.unwrap_or_else(|| (most / 2).min(affordable(&world, each, length)));
        // Shares of what the server can do: those of checkouts and of polls make a half together.
        let left = most_polls * most.saturating_sub(2 * rate) / (2 * most).max(1);
        let poll_rate = choice.polls.unwrap_or(left).max(1);
        eprintln!("{} checkouts/s and {} polls/s", thousands(rate), thousands(poll_rate));
        let sent = checkouts.load(CONNECTIONS, length).open(rate);
        let asked = polls.load(CONNECTIONS, length).open(poll_rate);
        let ((accepted, looks), answered) = tokio::join!(soak(&world, sent), windows(asked, |_| ()));
        let memory = halves("resident memory over time", "MiB", &looks, |look| look.rss_kib / 1024)
            .goal(Goal::PercentAtMost(110));
        let judged =
            judged("checkouts", &accepted, rate).chain(judged("polls", &answered, poll_rate)).chain([memory]);
        rows.extend(judged.map(|row| row.on(name(kind)).over(CONNECTIONS)));
        samples.extend(looks);
    }
    let title = format!("Soak: {minutes} min at half the limit, or what was asked for");
    let mut report = Report::new("soak", &title, options.quick, rows);
    report.samples = samples;
    report.publish(&options.out());
}

/// Loads the server until the load ends, and looks at the server after each window.
async fn soak(world: &World, load: Load) -> (Vec<Round>, Vec<Sample>) {
    let started = Instant::now();
    let mut samples = Vec::new();
    let windows = windows(load, |round| {
        let (journal_bytes, views_bytes) = disk(world);
        let sample = Sample {
            journal: name(world.kind()).to_owned(),
            at: started.elapsed().as_secs(),
            rate: round.rate(),
            p50: round.latency.value_at_quantile(0.5),
            p99: round.latency.value_at_quantile(0.99),
            rss_kib: process::memory_kib(world.servers[0].id(), "VmRSS:").expect("a server that runs"),
            journal_bytes,
            views_bytes,
        };
        eprintln!(
            "{} s: {}/s, p99 {} µs, {} MiB",
            sample.at,
            thousands(sample.rate),
            thousands(sample.p99),
            thousands(sample.rss_kib / 1024)
        );
        samples.push(sample);
    });
    (windows.await, samples)
}

/// What a load saw in each window.
async fn windows(load: Load, mut look: impl FnMut(&Round)) -> Vec<Round> {
    let mut running: Running = Load { window: Some(WINDOW), ..load }.start().await;
    let mut windows = Vec::new();
    while let Some(round) = running.line::<Round>().await {
        // What is left at the end is too short to be compared.
        if round.elapsed >= WINDOW / 2 {
            look(&round);
            windows.push(round);
        }
    }
    windows
}

/// What was answered beside what was due, and the last half of the time beside the first.
fn judged(what: &str, windows: &[Round], rate: u64) -> impl Iterator<Item = Row> {
    let mut kept = Side::new("Daybook");
    windows.iter().for_each(|round| kept.add(round.rate()));
    let mut whole = histogram();
    windows.iter().for_each(|round| whole.add(&round.latency).expect("histograms alike"));
    kept.latency = Some(Latency::of(rate, whole));
    let quantile = |name: &str, quantile| {
        let what = format!("{what}, {name} over time");
        halves(&what, "µs", windows, move |round| round.latency.value_at_quantile(quantile))
    };
    [
        Row::new(what, "req/s", kept).against(Side::once("due", rate)).goal(Goal::PercentAtLeast(99)),
        quantile("p50", 0.5).goal(Goal::PercentAtMost(110)),
        quantile("p99", 0.99).goal(Goal::PercentAtMost(120)),
    ]
    .into_iter()
}

/// The last half of the time beside the first.
fn halves<T>(what: &str, unit: &str, seen: &[T], of: impl Fn(&T) -> u64) -> Row {
    let (first, last) = seen.split_at(seen.len() / 2);
    let side = |name: &str, seen: &[T]| {
        let mut side = Side::new(name);
        seen.iter().for_each(|seen| side.add(of(seen)));
        side
    };
    Row::new(what, unit, side("Daybook, last half", last)).against(side("first half", first))
}

/// Checkouts a second that three quarters of the free disk have room for, at so many bytes each.
fn affordable(world: &World, each: u64, length: Duration) -> u64 {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(world.directory()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let free: Option<u64> = text.lines().nth(1).and_then(|line| line.trim().parse().ok());
    free.map_or(u64::MAX, |free| free / 4 * 3 / each.max(1) / length.as_secs().max(1))
}

/// Bytes of the journal's files and of the views' files.
fn disk(world: &World) -> (u64, u64) {
    let (data, nats) = (world.data_dir(0), world.directory().join("nats"));
    let views = disk_bytes(&data.join("views"));
    match world.kind() {
        Kind::Embedded => {
            let files = ["journal.sqlite", "journal.sqlite-wal"].map(|file| disk_bytes(&data.join(file)));
            (files.iter().sum(), views)
        }
        Kind::JetStreamNewest | Kind::JetStreamOldest => (disk_bytes(&nats), views),
    }
}
