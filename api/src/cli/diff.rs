//! `daybook diff`: which orders two generations of the views, or the views and the log, do not agree on, and by how
//! much money. Reads the views of a stopped server, or asks a running one.

mod csv;
mod people;

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use ledger::ids::TenantId;
use ledger::journal::Journal;
use projections::compare::{Generations, SideError, Which};
use projections::{Progress, RebuildError, StoreError, StoreOptions};
use replay::diff::Sides;
use tokio::sync::mpsc;

use self::csv::Csv;
use self::people::People;
use super::progress::ProgressReport;
use super::remote::Remote;
use super::{Failure, chain, print};
use crate::config::Config;
use crate::diff::{EndLine, Line, ProgressLine, Request, send};
use crate::startup;

/// How many orders people are shown, unless they ask for more.
const FOR_PEOPLE: usize = 20;
/// Lines that may wait to be written.
const QUEUE: usize = 256;

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// One side: live, previous, rebuilding, fresh (the log, folded anew), or the number of a generation
    #[arg(long, value_name = "SIDE", default_value = "live")]
    from: Which,
    /// The other side; what it has more counts as plus
    #[arg(long, value_name = "SIDE", default_value = "fresh")]
    to: Which,
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<TenantId>,
    /// List so many orders and so many other rows; sums are of all [default: 20, with --json and --csv all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Ask a running server, which has its views open; its admin key is in DAYBOOK_ADMIN_KEY
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// For programs: JSON Lines
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// For spreadsheets: a line for each field that differs
    #[arg(long)]
    csv: bool,
}

impl Diff {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let sides = Sides::new(self.from, self.to)
            .map_err(|error| Failure::usage(format!("--from, --to: {error}")))?;
        let default = if self.json || self.csv { usize::MAX } else { FOR_PEOPLE };
        let request = Request { sides, tenant: self.tenant, limit: self.limit.unwrap_or(default) };
        let output = match (self.json, self.csv) {
            (true, _) => Output::Json,
            (false, true) => Output::Csv(Csv::default()),
            (false, false) => Output::People(Box::default()),
        };
        let mut shown = Shown { output, progress: None, is_json: self.json, end: None };
        let result = match self.server {
            Some(server) => ask(&server, config, &request, &mut shown).await,
            None => read(config, request, &mut shown).await,
        };
        shown.finish_progress();
        result?;
        shown.finish()
    }
}

/// Compares what is in this machine's directory.
async fn read(config: &Config, request: Request, shown: &mut Shown) -> Result<(), Failure> {
    let journal: Arc<dyn Journal> = startup::open_journal_read_only(config).await?;
    let path = startup::views_path(config);
    let generations = {
        let path = path.clone();
        let opened = tokio::task::spawn_blocking(move || Generations::open(&path, &StoreOptions::default()));
        opened.await.map_err(|error| Failure::new(error.to_string()))?
    };
    let generations = generations.map_err(|error| explain(error.into()))?.ok_or_else(|| no_views(&path))?;
    let (sender, mut lines) = mpsc::channel(QUEUE);
    let comparing = tokio::spawn(send(request, generations, journal, sender));
    while let Some(line) = lines.recv().await {
        shown.line(line)?;
    }
    let compared = comparing.await.map_err(|error| Failure::new(format!("comparing panicked: {error}")))?;
    compared.map_err(explain)
}

/// Has a running server compare what it has open.
async fn ask(server: &str, config: &Config, request: &Request, shown: &mut Shown) -> Result<(), Failure> {
    let key = config
        .admin_key
        .as_ref()
        .ok_or_else(|| Failure::usage("DAYBOOK_ADMIN_KEY is not set").hint("it is the server's admin.key"))?;
    let mut query = vec![("from", request.sides.from.to_string()), ("to", request.sides.to.to_string())];
    query.extend(request.tenant.as_ref().map(|tenant| ("tenant", tenant.to_string())));
    query.extend((request.limit != usize::MAX).then(|| ("limit", request.limit.to_string())));
    let each = |line: &[u8]| {
        let line: Line = serde_json::from_slice(line)
            .map_err(|error| Failure::new(format!("the server's answer cannot be read: {error}")))?;
        shown.line(line)
    };
    Remote::new(server, key.reveal())?.lines("/admin/diff", &query, each).await
}

fn no_views(path: &Path) -> Failure {
    Failure::new(format!("there are no views in {}", path.display()))
        .hint("give the settings that the server has; it makes the views when it first starts")
}

fn explain(error: SideError) -> Failure {
    let failure = Failure::new(chain(&error));
    match &error {
        SideError::Store(StoreError::Locked { .. })
        | SideError::Fold(RebuildError::Store(StoreError::Locked { .. })) => {
            failure.hint("a running server compares them itself: --server http://127.0.0.1:8080")
        }
        SideError::Missing(_) => failure.hint("the store keeps the live generation and one before it"),
        SideError::Log(_) => failure.hint("give the settings that the server has"),
        SideError::Store(_) | SideError::Fold(_) => failure,
    }
}

/// What is made of the lines.
enum Output {
    Json,
    Csv(Csv),
    People(Box<People>),
}

/// The lines as they come in, and where they go.
struct Shown {
    output: Output,
    progress: Option<(String, ProgressReport)>,
    is_json: bool,
    end: Option<EndLine>,
}

impl Shown {
    fn line(&mut self, line: Line) -> Result<(), Failure> {
        match line {
            Line::Progress(progress) => {
                self.progress(&progress);
                return Ok(());
            }
            Line::Error { detail } => return Err(Failure::new(detail)),
            Line::Sides { .. }
            | Line::Order(_)
            | Line::Sum(_)
            | Line::Rows(_)
            | Line::Row(_)
            | Line::End(_) => {}
        }
        // A bar and what is printed would stand in each other's way.
        self.finish_progress();
        match &mut self.output {
            Output::Json => {
                let text = serde_json::to_string(&line);
                print(&(text.map_err(|error| Failure::new(error.to_string()))? + "\n"))?;
            }
            Output::Csv(csv) => print(&csv.line(&line))?,
            Output::People(people) => people.line(&line),
        }
        if let Line::End(end) = line {
            self.end = Some(end);
        }
        Ok(())
    }

    fn progress(&mut self, line: &ProgressLine) {
        let known = self.progress.as_ref().is_some_and(|(unit, _)| *unit == line.unit);
        if !known {
            self.finish_progress();
            let unit = if line.unit == "commits" { "commits" } else { "orders" };
            self.progress = Some((line.unit.clone(), ProgressReport::new(unit, self.is_json)));
        }
        let ProgressLine { done, total, rate_per_s, eta_s, .. } = *line;
        let eta = eta_s.map(std::time::Duration::from_secs);
        if let Some((_, report)) = &mut self.progress {
            report.update(Progress { done, total, rate_per_s, eta });
        }
    }

    fn finish_progress(&mut self) {
        if let Some((_, report)) = self.progress.take() {
            report.finish();
        }
    }

    /// The exit code says whether anything differs.
    fn finish(self) -> Result<(), Failure> {
        let end = self.end.ok_or_else(|| Failure::new("the comparison broke off before its end"))?;
        match self.output {
            Output::People(people) => print(&people.text(&end))?,
            Output::Json | Output::Csv(_) => {}
        }
        if end.same { Ok(()) } else { Err(Failure::found()) }
    }
}
