//! Exports: the log and its views as JSON Lines, CSV and Parquet, for auditors, analysts and archives.
//!
//! In reading order: `table` says what a table is; `events`, `orders` and `archive` make rows and lines of what there
//! is; `lines` and `parquet` write them; `manifest` remembers how far that has come; `output` puts the three together.
//!
//! What must stay true: memory does not grow with the log; an export is of the log as it was when it began, however
//! often it is resumed; what the manifest tells of is on disk. Personal data is in no export but the archive of commits,
//! which is the log itself.

mod archive;
mod events;
mod lines;
mod manifest;
mod orders;
mod output;
mod parquet;
mod table;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use ledger::codec;
use ledger::ids::{Position, TenantId};
use ledger::journal::{Journal, ReadError, Stored};
use ledger::money::Currency;
use projections::{FreshViews, Progress, RebuildError, StoreError, StoreOptions, Views, fresh_views};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub use archive::archive_line;
pub use manifest::{ExportedFile, Manifest, Reached, Request};

use crate::AsOf;
use crate::audit::Frontier;
use crate::audit::leaf::leaf_of;
use crate::scan::{Scan, ends};
use orders::Sums;
use output::Output;

/// What can be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The commits exactly as they are stored.
    Commits,
    /// A row for each event.
    Events,
    /// A row for each order, as it is now.
    Orders,
    /// A row for each tenant and currency: sums over the orders.
    Totals,
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON Lines.
    Jsonl,
    /// CSV as of RFC 4180, with a header.
    Csv,
    /// A directory of Parquet files.
    Parquet,
}

/// What to export, and where to.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// What.
    pub what: What,
    /// How.
    pub format: Format,
    /// The file to write; for Parquet, the directory.
    pub out: PathBuf,
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only what was decided at this time or later, or stands at this position or after it. An order counts by its
    /// first commit.
    pub from: Option<AsOf>,
    /// Only what was decided before this time, or stands at this position or before it.
    pub to: Option<AsOf>,
    /// Go on with an export that was cut short; begin it where there is none.
    pub resume: bool,
    /// Rows of a Parquet file, after which the next one begins.
    pub part_rows: u64,
    /// Where the live views are. They are used for `orders` and `totals` when nobody else has them open and they are
    /// as new as the log.
    pub live_views: Option<PathBuf>,
}

impl ExportOptions {
    /// An export of everything.
    pub fn new(what: What, format: Format, out: impl Into<PathBuf>) -> Self {
        ExportOptions {
            what,
            format,
            out: out.into(),
            tenant: None,
            from: None,
            to: None,
            resume: false,
            part_rows: 256 * 1024,
            live_views: None,
        }
    }
}

/// Why an export did not end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It was asked for in a way that cannot be. Nothing was written.
    #[error("{0}")]
    Refused(String),
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[from] ReadError),
    /// The log holds something that cannot be read.
    #[error("the commit at {position} cannot be read: {reason}")]
    Unreadable {
        /// Where.
        position: Position,
        /// What is wrong.
        reason: String,
    },
    /// The log cannot be folded.
    #[error(transparent)]
    Fold(#[from] RebuildError),
    /// The views failed.
    #[error(transparent)]
    Views(#[from] StoreError),
    /// A sum does not fit 64 bits.
    #[error("a sum of tenant {tenant} in {currency} does not fit 64 bits")]
    TooLarge {
        /// Whose.
        tenant: TenantId,
        /// In what.
        currency: Currency,
    },
    /// What was exported before is not what the manifest tells of any more.
    #[error("{} is not as the export left it; delete it and its manifest, and export anew", path.display())]
    Changed {
        /// Which file.
        path: PathBuf,
    },
    /// A file cannot be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ExportError {
    fn file(path: &Path, source: io::Error) -> Self {
        ExportError::File { path: path.to_owned(), source }
    }
}

/// Exports, and returns what there is now. Reads the journal alone, so a server may run beside it.
///
/// Progress is told in commits, and for orders, once the views are there, in orders.
pub async fn export(
    journal: Arc<dyn Journal>,
    options: &ExportOptions,
    mut progress: impl FnMut(Progress),
) -> Result<Manifest, ExportError> {
    let selection = Selection::of(options, journal.partitions())?;
    let manifest = begin(journal.as_ref(), options).await?;
    if manifest.is_done {
        return Ok(manifest);
    }
    match options.what {
        What::Commits | What::Events => commits(journal, options, selection, manifest, &mut progress).await,
        What::Orders | What::Totals => views(journal, options, selection, manifest, &mut progress).await,
    }
}

/// The manifest to go on with: that of a resumed export, else a new one.
async fn begin(journal: &dyn Journal, options: &ExportOptions) -> Result<Manifest, ExportError> {
    let ExportOptions { what, format, out, tenant, from, to, resume, .. } = options;
    if (*what, *format) == (What::Commits, Format::Csv)
        || (*what, *format) == (What::Commits, Format::Parquet)
    {
        return Err(ExportError::Refused("commits are archived as JSON Lines only".to_owned()));
    }
    let request = Request {
        what: *what,
        format: *format,
        tenant: tenant.as_ref().map(TenantId::to_string),
        from: from.map(|from| from.to_string()),
        to: to.map(|to| to.to_string()),
    };
    let found = Manifest::read(out)?;
    let shown = out.display();
    let end = ends(journal).await?;
    match found {
        Some(_) if !resume => Err(ExportError::Refused(format!(
            "{shown} has been exported to before: give it another name, or go on with it by --resume"
        ))),
        Some(found) if found.request != request => Err(ExportError::Refused(format!(
            "{shown} was begun as another export; its manifest says which: give this one another name"
        ))),
        Some(found) if found.upto.len() != end.len() || found.upto.iter().zip(&end).any(|(a, b)| a > b) => {
            Err(ExportError::Refused(format!(
                "{shown} is an export of a log that reaches further than this one: is this the right journal?"
            )))
        }
        Some(found) => Ok(found),
        None if out.exists() && !is_empty_directory(out) => Err(ExportError::Refused(format!(
            "{shown} is there already, without a manifest: give it another name"
        ))),
        None => Ok(Manifest::new(request, end)),
    }
}

fn is_empty_directory(path: &Path) -> bool {
    path.read_dir().is_ok_and(|mut entries| entries.next().is_none())
}

/// Which commits, or orders by their first commit, are asked for.
#[derive(Debug, Clone)]
struct Selection {
    tenant: Option<TenantId>,
    from: Option<AsOf>,
    to: Option<AsOf>,
}

impl Selection {
    fn of(options: &ExportOptions, partitions: u16) -> Result<Self, ExportError> {
        let ExportOptions { tenant, from, to, .. } = options;
        for moment in [from, to].into_iter().flatten() {
            if let AsOf::Position(position) = moment
                && (partitions > 1 || position.partition >= partitions)
            {
                return Err(ExportError::Refused(format!(
                    "the position {position} says nothing of the journal's other partitions: give a time"
                )));
            }
        }
        Ok(Selection { tenant: tenant.clone(), from: *from, to: *to })
    }

    /// Everything there is.
    fn is_whole(&self) -> bool {
        self.tenant.is_none() && self.is_always()
    }

    fn is_always(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    fn is_of_tenant(&self, tenant: &TenantId) -> bool {
        self.tenant.as_ref().is_none_or(|wanted| wanted == tenant)
    }

    /// Whether something that was decided then and stands there is within the period.
    fn includes(&self, position: Position, at: Timestamp) -> bool {
        let begun = self.from.is_none_or(|from| match from {
            AsOf::Time(from) => from <= at,
            AsOf::Position(from) => from.sequence <= position.sequence,
        });
        let ended = self.to.is_some_and(|to| match to {
            AsOf::Time(to) => to <= at,
            AsOf::Position(to) => to.sequence < position.sequence,
        });
        begun && !ended
    }

    /// The sequences that need to be read at all, of a partition that ends at `upto`: after the first of these, up to
    /// the second. Clocks differ from node to node, so a time leaves nothing out.
    fn stretch(&self, upto: u64) -> (u64, u64) {
        let after = match self.from {
            Some(AsOf::Position(from)) => from.sequence.saturating_sub(1).min(upto),
            Some(AsOf::Time(_)) | None => 0,
        };
        let upto = match self.to {
            Some(AsOf::Position(to)) => to.sequence.min(upto),
            Some(AsOf::Time(_)) | None => upto,
        };
        (after, upto)
    }
}

// Commits and events ----------------------------------------------------------------------------------------

/// Chunks that may wait for the one who writes.
const QUEUE: usize = 4;

async fn commits(
    journal: Arc<dyn Journal>,
    options: &ExportOptions,
    selection: Selection,
    manifest: Manifest,
    progress: &mut impl FnMut(Progress),
) -> Result<Manifest, ExportError> {
    let Reached::Commits(reached) = manifest.reached.clone() else {
        return Err(ExportError::Refused("the manifest does not say after which commit to go on".to_owned()));
    };
    let is_archive = options.what == What::Commits;
    // Of an archive of everything, the root is told as well; what is in the file already counts.
    let mut roots = (is_archive && selection.is_whole()).then(Vec::new);
    let upto = manifest.upto.clone();
    let stretches: Vec<(u64, u64)> = (0_u16..)
        .zip(upto.iter().zip(&reached))
        .map(|(_, (&upto, &reached))| {
            let (after, upto) = selection.stretch(upto);
            (after.max(reached), upto)
        })
        .collect();
    let total: u64 = stretches.iter().map(|(after, upto)| upto.saturating_sub(*after)).sum();

    let output = open_output(options, manifest).await?;
    let (chunks, waiting) = mpsc::channel(QUEUE);
    let done = Arc::new(AtomicU64::new(0));
    let writer = {
        let (selection, done) = (selection.clone(), Arc::clone(&done));
        tokio::task::spawn_blocking(move || write_commits(output, waiting, &selection, is_archive, &done))
    };
    let started = Instant::now();
    let mut report = || progress(Progress::at(done.load(Ordering::Relaxed), total, started.elapsed()));
    let read = async {
        for (partition, &(after, upto)) in (0_u16..).zip(&stretches) {
            let mut frontier = Frontier::default();
            // The root is over all commits; those that were written by an earlier run are only hashed.
            let begin = if roots.is_some() { 0 } else { after };
            let mut scan = Scan::new(journal.as_ref(), partition, begin, upto);
            loop {
                let mut chunk = scan.next().await?;
                if chunk.is_empty() {
                    break;
                }
                if roots.is_some() {
                    chunk.iter().for_each(|stored| frontier.push(leaf_of(stored)));
                    chunk.retain(|stored| stored.position.sequence > after);
                }
                if chunks.send(chunk).await.is_err() {
                    // The writer says why.
                    return Ok(());
                }
                report();
            }
            if let Some(roots) = &mut roots {
                roots.push(frontier.root().to_string());
            }
        }
        Ok::<(), ReadError>(())
    };
    let read = read.await;
    drop(chunks);
    let output = joined(writer.await)?;
    read?;
    report();
    finish(output, Reached::Commits(upto), roots).await
}

fn write_commits(
    mut output: Output,
    mut waiting: mpsc::Receiver<Vec<Stored>>,
    selection: &Selection,
    is_archive: bool,
    done: &AtomicU64,
) -> Result<Output, ExportError> {
    let Reached::Commits(mut reached) = output.reached().clone() else {
        return Err(ExportError::Refused("the manifest does not say after which commit to go on".to_owned()));
    };
    while let Some(chunk) = waiting.blocking_recv() {
        for stored in &chunk {
            let is_wanted = selection.is_of_tenant(&stored.subject.tenant);
            if is_archive {
                let is_wanted = is_wanted && (selection.is_always() || is_in_period(selection, stored)?);
                if is_wanted {
                    output.write_line(&archive_line(stored))?;
                }
            } else if is_wanted {
                let commit = decode(stored)?;
                if selection.includes(stored.position, commit.decided_at) {
                    for row in events::rows(stored.position, &commit) {
                        output.write(&row)?;
                    }
                }
            }
            if let Some(sequence) = reached.get_mut(usize::from(stored.position.partition)) {
                *sequence = stored.position.sequence;
            }
            if output.is_due() {
                output.save(Reached::Commits(reached.clone()))?;
            }
        }
        done.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    }
    Ok(output)
}

fn is_in_period(selection: &Selection, stored: &Stored) -> Result<bool, ExportError> {
    Ok(selection.includes(stored.position, decode(stored)?.decided_at))
}

fn decode(stored: &Stored) -> Result<ledger::commit::Commit, ExportError> {
    codec::decode(&stored.bytes)
        .map_err(|error| ExportError::Unreadable { position: stored.position, reason: error.to_string() })
}

// Orders and totals -----------------------------------------------------------------------------------------

/// The views of the log up to a place: the live ones, or others that were folded for this.
enum Source {
    Live(Views),
    Fresh(FreshViews),
}

impl Source {
    fn views(&self) -> &Views {
        match self {
            Source::Live(views) => views,
            Source::Fresh(fresh) => fresh.views(),
        }
    }
}

async fn views(
    journal: Arc<dyn Journal>,
    options: &ExportOptions,
    selection: Selection,
    manifest: Manifest,
    progress: &mut impl FnMut(Progress),
) -> Result<Manifest, ExportError> {
    let upto = manifest.upto.clone();
    let live = options.live_views.clone().filter(|path| path.exists());
    let live = match live {
        Some(path) => {
            let upto = upto.clone();
            joined(tokio::task::spawn_blocking(move || Ok(live_views(&path, &upto))).await)?
        }
        None => None,
    };
    let source = match live {
        Some(views) => Source::Live(views),
        None => Source::Fresh(fresh_views(journal.as_ref(), &upto, &mut *progress).await?),
    };
    let output = open_output(options, manifest).await?;
    let (started, is_totals) = (Instant::now(), options.what == What::Totals);
    let done = Arc::new(AtomicU64::new(0));
    let (told, of_all) = (Arc::clone(&done), Arc::new(AtomicU64::new(0)));
    let total = Arc::clone(&of_all);
    let mut writer = tokio::task::spawn_blocking(move || {
        let orders = orders::count_orders(source.views(), selection.tenant.as_ref())?;
        total.store(orders, Ordering::Relaxed);
        write_orders(output, source.views(), &selection, is_totals, &told)
    });
    let written = loop {
        tokio::select! {
            written = &mut writer => break joined(written)?,
            () = tokio::time::sleep(TELL_EVERY) => {
                let (done, total) = (done.load(Ordering::Relaxed), of_all.load(Ordering::Relaxed));
                progress(Progress::at(done, total, started.elapsed()));
            }
        }
    };
    let (output, reached) = written;
    finish(output, reached, None).await
}

const TELL_EVERY: std::time::Duration = std::time::Duration::from_millis(250);

/// The live views, if nobody else has them open and they show the log up to exactly this place.
fn live_views(path: &Path, upto: &[u64]) -> Option<Views> {
    let views = Views::open(path, &StoreOptions::default()).ok()?;
    let is_there = (0_u16..).zip(upto).all(|(partition, &upto)| views.checkpoint(partition) == upto);
    is_there.then_some(views)
}

fn write_orders(
    mut output: Output,
    views: &Views,
    selection: &Selection,
    is_totals: bool,
    done: &AtomicU64,
) -> Result<(Output, Reached), ExportError> {
    let after = match output.reached() {
        Reached::Commits(_) => None,
        Reached::Order { tenant, first } => match (tenant.parse(), first.parse()) {
            (Ok(tenant), Ok(first)) => Some((tenant, first)),
            (Err(_), _) | (_, Err(_)) => {
                return Err(ExportError::Refused("the manifest names no order to go on after".to_owned()));
            }
        },
    };
    let mut reached = output.reached().clone();
    let mut sums = Sums::default();
    orders::each_order(views, selection.tenant.as_ref(), after, |view| {
        if selection.includes(view.first, view.created_at) {
            if is_totals {
                sums.add(&view);
            } else {
                output.write(&orders::order_row(&view))?;
            }
        }
        if !is_totals {
            reached = Reached::Order { tenant: view.tenant.to_string(), first: view.first.to_string() };
            if output.is_due() {
                output.save(reached.clone())?;
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })?;
    // Sums are few and are written at once, so a resumed export of totals begins again.
    for row in sums.rows()? {
        output.write(&row)?;
    }
    Ok((output, reached))
}

// Both ------------------------------------------------------------------------------------------------------

async fn open_output(options: &ExportOptions, manifest: Manifest) -> Result<Output, ExportError> {
    let options = options.clone();
    joined(tokio::task::spawn_blocking(move || Output::open(&options, manifest)).await)
}

async fn finish(
    output: Output,
    reached: Reached,
    merkle_roots: Option<Vec<String>>,
) -> Result<Manifest, ExportError> {
    joined(tokio::task::spawn_blocking(move || output.finish(reached, merkle_roots)).await)
}

fn joined<T>(outcome: Result<Result<T, ExportError>, tokio::task::JoinError>) -> Result<T, ExportError> {
    outcome.unwrap_or_else(|error| {
        Err(ExportError::Refused(format!("INTERNAL: the export's writer panicked: {error}")))
    })
}
