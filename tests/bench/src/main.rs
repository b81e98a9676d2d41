//! What Daybook does per second, beside what this machine could do at all.
//!
//!     cargo run --release -p daybook-bench -- all|<suite> [--journal embedded|jetstream] [--quick] [--out <directory>]
//!     cargo run --release -p daybook-bench -- report|plot
//!
//! Each suite measures ours and the other side in one run, in rounds that alternate. The other side is most often the
//! limit: a server that does only what cannot be left out, with the same framework, the same load, the same bytes and
//! the same durability. A suite prints its rows as Markdown and writes them as JSON; `report` and `plot` draw tables
//! and pictures from the JSON. Nothing here is built unless it is asked for.

mod all;
mod batch;
mod bulk;
mod disk;
mod export;
mod feed;
mod ingest;
mod lag;
mod limit;
mod load;
mod log;
mod machine;
mod memory;
mod online;
mod orders;
mod partitions;
mod peers;
mod plot;
mod process;
mod rebuild;
mod replay;
mod report;
mod scale;
mod soak;
mod status;
mod table;
mod versus;
mod webhooks;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use daybook_tests::Kind;

use report::Report;

/// Every suite that writes a report, in the order in which `all` runs them and the tables show them.
const SUITES: [&str; 13] = [
    "ingest",
    "webhooks",
    "status",
    "lag",
    "batch",
    "feed",
    "replay",
    "rebuild",
    "partitions",
    "memory",
    "disk",
    "peers",
    "soak",
];

#[derive(Parser)]
#[command(about, version)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every suite that writes a report, one after another.
    All(Options),
    /// Checkouts a second, each stored before its 202.
    Ingest(Options),
    /// Webhooks a second, each verified and stored before its 200.
    Webhooks(Options),
    /// Status polls a second, with few orders and with many, alone and beside checkouts.
    Status(status::Choice),
    /// From a webhook to the long poll that waits for it.
    Lag(Options),
    /// Checkouts a second in batches, each stored before the answer.
    Batch(Options),
    /// Events a second of the feed, to few readers and to many.
    Feed(Options),
    /// A long time at half the limit.
    Soak(soak::Choice),
    /// Commits a second when every order is folded and nothing is stored.
    Replay(Options),
    /// Commits a second when the views are folded anew, and the memory that takes.
    Rebuild(Options),
    /// Checkouts and rebuilds with a log in four streams, beside one. On JetStream alone.
    Partitions(Options),
    /// Memory of an idle server with many orders.
    Memory(Options),
    /// Bytes of the journal's and the views' files.
    Disk(Options),
    /// What a status poll costs while the views are folded anew beside it.
    RebuildOnline(Options),
    /// Rows a second of an export, and its memory. From the embedded journal alone.
    Export(Options),
    /// What a rate of orders or a stock of them needs, by arithmetic from measured constants.
    Scale(scale::Choice),
    /// The same job on a plain PostgreSQL schema, `cqrs-es` and `disintegrate`.
    Peers(Options),
    /// Prints the tables of all reports in a directory.
    Report {
        /// Where the reports are.
        #[arg(long, default_value_os_t = reports())]
        from: PathBuf,
        /// Put them between the marks of this page instead.
        #[arg(long)]
        into: Option<PathBuf>,
    },
    /// Draws the plots of all reports in a directory, as SVG.
    Plot {
        /// Where the reports are.
        #[arg(long, default_value_os_t = reports())]
        from: PathBuf,
        /// Where the pictures go.
        #[arg(long, default_value_os_t = pictures())]
        to: PathBuf,
    },
    /// Sends what it is told on standard input; started by the benchmarks themselves.
    #[command(hide = true)]
    Load,
    /// The same for the suite `lag`.
    #[command(hide = true)]
    LagLoad,
    /// Reads server-sent events; started by the benchmarks themselves.
    #[command(hide = true)]
    Readers,
    /// The other side of a comparison; started by the benchmarks themselves.
    #[command(hide = true)]
    Limit {
        #[command(subcommand)]
        of: limit::Of,
    },
}

impl What {
    /// Whether it needs a server to measure.
    fn measures(&self) -> bool {
        match self {
            What::Scale(_)
            | What::Report { .. }
            | What::Plot { .. }
            | What::Load
            | What::LagLoad
            | What::Readers
            | What::Limit { .. } => false,
            What::All(_)
            | What::Ingest(_)
            | What::Webhooks(_)
            | What::Status(_)
            | What::Lag(_)
            | What::Batch(_)
            | What::Feed(_)
            | What::Soak(_)
            | What::Replay(_)
            | What::Rebuild(_)
            | What::Partitions(_)
            | What::Memory(_)
            | What::Disk(_)
            | What::RebuildOnline(_)
            | What::Export(_)
            | What::Peers(_) => true,
        }
    }
}

/// What can be chosen about a run.
#[derive(Args, Clone)]
struct Options {
    /// Which journal; both without it.
    #[arg(long, value_enum)]
    journal: Option<JournalKind>,
    /// A quarter of the work, for a first look.
    #[arg(long)]
    quick: bool,
    /// Commits of a log that is filled before it is measured; a long one has ten times as many. A million without it,
    /// or a hundred thousand with `--quick`.
    #[arg(long)]
    commits: Option<u64>,
    /// Where reports are written to.
    #[arg(long, default_value_os_t = reports())]
    out: PathBuf,
    /// How long each round of a first look is, where a suite has many of them.
    #[arg(skip = Duration::from_secs(2))]
    quick_round: Duration,
}

fn reports() -> PathBuf {
    PathBuf::from("target/bench")
}

fn pictures() -> PathBuf {
    PathBuf::from("docs/src/reference/benchmarks")
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum JournalKind {
    Embedded,
    Jetstream,
}

impl Options {
    fn kinds(&self) -> Vec<Kind> {
        match self.journal {
            Some(JournalKind::Embedded) => vec![Kind::Embedded],
            Some(JournalKind::Jetstream) => vec![Kind::JetStreamNewest],
            None => vec![Kind::Embedded, Kind::JetStreamNewest],
        }
    }

    fn rounds(&self) -> usize {
        if self.quick { 3 } else { 7 }
    }

    fn round(&self) -> Duration {
        if self.quick { self.quick_round } else { Duration::from_secs(5) }
    }

    fn out(&self) -> PathBuf {
        self.out.clone()
    }

    fn commits(&self) -> u64 {
        self.commits.unwrap_or(if self.quick { 100_000 } else { 1_000_000 })
    }
}

/// The name of a journal in the tables.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Embedded => "embedded",
        Kind::JetStreamNewest | Kind::JetStreamOldest => "jetstream",
    }
}

fn main() {
    let cli = Cli::parse();
    if cli.what.measures() && std::env::var_os("DAYBOOK_BIN").is_none() {
        build_release_server();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match cli.what {
            What::All(options) => all::run(&options),
            What::Scale(choice) => scale::run(&choice),
            What::Report { from, into } => {
                let tables = all::markdown(&Report::read_all(&from, &SUITES));
                match into {
                    Some(page) => all::put_into(&page, &tables),
                    None => print!("{tables}"),
                }
            }
            What::Plot { from, to } => plot::draw(&Report::read_all(&from, &SUITES), &to),
            What::Ingest(options) => ingest::run(options).await,
            What::Webhooks(options) => webhooks::run(options).await,
            What::Status(choice) => status::run(choice).await,
            What::Lag(options) => lag::run(options).await,
            What::Soak(choice) => soak::run(choice).await,
            What::Replay(options) => replay::run(options).await,
            What::Rebuild(options) => rebuild::run(options).await,
            What::Partitions(options) => partitions::run(options).await,
            What::Memory(options) => memory::run(options).await,
            What::Disk(options) => disk::run(options).await,
            What::RebuildOnline(options) => online::run(options).await,
            What::Export(options) => export::run(options).await,
            What::Batch(options) => batch::run(options).await,
            What::Feed(options) => feed::run(options).await,
            What::Peers(options) => peers::run(options).await,
            What::Load => load::generate().await,
            What::Readers => load::read().await,
            What::LagLoad => lag::generate().await,
            What::Limit { of } => limit::serve(of).await,
        }
    });
}

/// Builds the server as it is shipped, because nobody should measure an old or a debug one by mistake.
fn build_release_server() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = std::process::Command::new(cargo);
    build.args(["build", "--release", "--locked", "--package", "daybook"]);
    let built = build.status().expect("cargo runs");
    assert!(built.success(), "the server does not build");
}
