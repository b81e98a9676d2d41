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
mod export;
mod ingest;
mod limit;
mod load;
mod machine;
mod online;
mod peers;
mod rebuild;
mod report;
mod status;
mod table;
mod versus;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use daybook_tests::Kind;

/// Every suite that writes a report, in the order in which `all` runs them and the tables show them.
const SUITES: [&str; 4] = ["ingest", "status", "rebuild", "peers"];

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
    /// Status polls a second.
    Status(Options),
    /// Commits a second when the views are folded anew.
    Rebuild(Options),
    /// What a status poll costs while the views are folded anew beside it.
    RebuildOnline(Options),
    /// Rows a second of an export, and its memory. From the embedded journal alone.
    Export(Options),
    /// The same job on a plain PostgreSQL schema, `cqrs-es` and `disintegrate`.
    Peers(Options),
    /// Prints the tables of all reports in a directory.
    Report {
        /// Where the reports are.
        #[arg(long, default_value_os_t = reports())]
        from: PathBuf,
    },
    /// Sends what it is told on standard input; started by the benchmarks themselves.
    #[command(hide = true)]
    Load,
    /// The other side of a comparison; started by the benchmarks themselves.
    #[command(hide = true)]
    Limit {
        #[command(subcommand)]
        of: limit::Of,
    },
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
    /// Where reports are written to.
    #[arg(long, default_value_os_t = reports())]
    out: PathBuf,
}

fn reports() -> PathBuf {
    PathBuf::from("target/bench")
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
        if self.quick { Duration::from_secs(2) } else { Duration::from_secs(5) }
    }

    fn out(&self) -> PathBuf {
        self.out.clone()
    }

    fn commits(&self) -> u64 {
        if self.quick { 100_000 } else { 1_000_000 }
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
    let helper = matches!(cli.what, What::Limit { .. } | What::Load | What::Report { .. });
    if !helper && std::env::var_os("DAYBOOK_BIN").is_none() {
        build_release_server();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match cli.what {
            What::All(options) => all::run(&options),
            What::Report { from } => all::report(&from),
            What::Ingest(options) => ingest::run(options).await,
            What::Status(options) => status::run(options).await,
            What::Rebuild(options) => rebuild::run(options).await,
            What::RebuildOnline(options) => online::run(options).await,
            What::Export(options) => export::run(options).await,
            What::Peers(options) => peers::run(options).await,
            What::Load => load::generate().await,
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
