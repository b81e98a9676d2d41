//! A long time at half the limit: whether memory and latency stay what they were.

use std::process::Command;
use std::time::{Duration, Instant};

use daybook_tests::{Kind, Setup, World};

use crate::ingest::checkouts;
use crate::load::{Load, Round, Running, histogram};
use crate::process::{self, disk_bytes};
use crate::report::{Goal, Latency, Report, Row, Sample, Side};
use crate::table::thousands;
use crate::versus::Target;
use crate::{Options, name};

const CONNECTIONS: usize = 64;
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
}

pub(crate) async fn run(choice: Choice) {
    let options = &choice.options;
    let minutes = choice.minutes.unwrap_or(if options.quick { 2 } else { 60 });
    let length = Duration::from_secs(60 * minutes);
    let (mut rows, mut samples) = (Vec::new(), Vec::new());
    for kind in options.kinds() {
        let world = World::with(kind, Setup::default()).await;
        let target = checkouts(&world);
        let warm = target.closed(CONNECTIONS, options.round() * 2).await;
        let affordable = affordable(&world, warm.answers, length);
        let rate = choice.rate.unwrap_or_else(|| {
            let half = warm.rate() / 2;
            if affordable < half {
                eprintln!("the disk has room for {affordable} checkouts/s, and not for {half}");
            }
            half.min(affordable)
        });
        let seen = soak(&world, &target, length, rate).await;
        rows.extend(judged(&seen, rate).map(|row| row.on(name(kind)).over(CONNECTIONS)));
        samples.extend(seen.samples);
    }
    let title = format!("Soak: {minutes} min at half the limit, or what was asked for");
    let mut report = Report::new("soak", &title, options.quick, rows);
    report.samples = samples;
    report.publish(&options.out());
}

/// What a soak saw.
struct Seen {
    samples: Vec<Sample>,
    /// All windows together.
    whole: Round,
}

async fn soak(world: &World, target: &Target, length: Duration, rate: u64) -> Seen {
    let load = Load { window: Some(WINDOW), ..target.load(CONNECTIONS, length).open(rate) };
    let mut running: Running = load.start().await;
    let started = Instant::now();
    let mut seen =
        Seen { samples: Vec::new(), whole: Round { answers: 0, elapsed: length, latency: histogram() } };
    while let Some(round) = running.line::<Round>().await {
        seen.whole.answers += round.answers;
        seen.whole.latency.add(&round.latency).expect("histograms alike");
        // What is left at the end is too short to be compared.
        if round.elapsed < WINDOW / 2 {
            continue;
        }
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
        seen.samples.push(sample);
    }
    seen
}

/// The last half beside the first half.
fn judged(seen: &Seen, rate: u64) -> impl Iterator<Item = Row> {
    let (first, last) = seen.samples.split_at(seen.samples.len() / 2);
    let side = |name: &str, samples: &[Sample], of: fn(&Sample) -> u64| {
        let mut side = Side::new(name);
        samples.iter().for_each(|sample| side.add(of(sample)));
        side
    };
    let halves = |what: &str, unit: &str, of: fn(&Sample) -> u64| {
        let row = Row::new(what, unit, side("Daybook, last half", last, of));
        row.against(side("first half", first, of))
    };
    let mut kept = side("Daybook", &seen.samples, |sample| sample.rate);
    kept.latency = Some(Latency::of(rate, seen.whole.latency.clone()));
    [
        Row::new("checkouts", "req/s", kept).against(Side::once("due", rate)).goal(Goal::PercentAtLeast(99)),
        halves("p50 over time", "µs", |sample| sample.p50).goal(Goal::PercentAtMost(110)),
        halves("p99 over time", "µs", |sample| sample.p99).goal(Goal::PercentAtMost(120)),
        halves("resident memory over time", "MiB", |sample| sample.rss_kib / 1024)
            .goal(Goal::PercentAtMost(110)),
    ]
    .into_iter()
}

/// Checkouts a second that half of the free disk has room for, after what these took.
fn affordable(world: &World, checkouts: u64, length: Duration) -> u64 {
    let (journal, views) = disk(world);
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(world.directory()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let free: Option<u64> = text.lines().nth(1).and_then(|line| line.trim().parse().ok());
    let each = (journal + views) / checkouts.max(1);
    free.map_or(u64::MAX, |free| free / 2 / each.max(1) / length.as_secs().max(1))
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
