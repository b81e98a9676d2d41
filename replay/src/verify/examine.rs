//! The whole examination: every partition's commits, what they fold to, the books, and the views.

use std::collections::BTreeSet;
use std::io;
use std::time::Instant;

use futures::{StreamExt, stream};
use ledger::commit::{Cause, Recorded};
use ledger::ids::{Position, TenantId};
use projections::{Impossible, Progress, ScratchViews, StoreError, ViewsDigest};

use super::books;
use super::duplicates::{Duplicate, Duplicates};
use super::evidence::Evidence;
use super::fault::{Fault, FaultKind};
use super::partition::{Findings, PartitionCheck, PartitionSummary, Readable};
use super::source::{Found, Source, SourceError};

/// Commits read together.
const CHUNK: usize = 1000;
/// Commits folded together, and their bytes: large batches fold faster, and have to fit into memory.
const FOLD: usize = 20_000;
const FOLD_BYTES: usize = 32 * 1024 * 1024;

/// How to verify.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many faults to describe; those beyond are counted.
    pub most_faults: usize,
    /// The digest of the views that are live, and where they stand: they must be what the log folds to up to there.
    pub views: Option<ViewsDigest>,
    /// Faults of what the log is kept in, which the caller has found; they stand in the report as well.
    pub of_medium: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Options { most_faults: 1000, views: None, of_medium: Vec::new() }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// By partition.
    pub partitions: Vec<PartitionSummary>,
    /// By position, those without one last.
    pub faults: Vec<Fault>,
    /// How many faults there are, described or not.
    pub faults_in_all: u64,
    /// Orders whose money was added up.
    pub orders: u64,
    /// What became of the comparison with the views.
    pub views: ViewsFound,
}

/// What became of the comparison with the views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewsFound {
    /// They are what the log folds to.
    AsFolded,
    /// They are not; there is a fault that says so.
    Different,
    /// There were none to compare with.
    NotGiven,
    /// The log is at fault before the place that they are folded to, so there is nothing to hold them against.
    NotComparable,
}

/// Why there is no report. Says nothing about the log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The views that the log is folded into cannot be kept.
    #[error("the log cannot be folded in the directory for temporary files")]
    Scratch(#[from] StoreError),
    /// A kept tree cannot be read, or a temporary file not written.
    #[error("a file cannot be read or written")]
    File(#[from] io::Error),
}

/// Verifies what a source holds now against the evidence, which is by partition.
pub async fn verify(
    source: &dyn Source,
    mut evidence: Vec<Evidence>,
    options: Options,
    mut progress: impl FnMut(Progress),
) -> Result<Report, VerifyError> {
    let known = u16::try_from(evidence.len()).unwrap_or(u16::MAX);
    let partitions = source.partitions().max(known);
    evidence.resize_with(usize::from(partitions), Evidence::default);
    let checkpoint = options.views.as_ref().map(|views| views.checkpoint.clone());
    for (evidence, &seen) in evidence.iter_mut().zip(checkpoint.iter().flatten()) {
        evidence.add_seen(seen, "the checkpoint of the views");
    }
    let (mut total, mut readings) = (0, Vec::new());
    for partition in 0..partitions {
        if let (Some((size, by)), Some(evidence)) =
            (source.noted(partition), evidence.get_mut(usize::from(partition)))
        {
            evidence.add_seen(size, by);
        }
        let reading = if partition < source.partitions() {
            let count = source.count(partition).await?;
            total += count.unwrap_or(0);
            source.read(partition, count).await?
        } else {
            stream::empty().boxed()
        };
        readings.push(reading.ready_chunks(CHUNK));
    }
    let mut examination = blocking(move || Examination::new(evidence, options)).await?;
    let (started, mut done) = (Instant::now(), 0);
    // First up to where the views stand, in all partitions; then the rest.
    let rounds = checkpoint.map(Round::ToViews).into_iter().chain([Round::ToEnd]);
    for round in rounds {
        for (partition, reading) in readings.iter_mut().enumerate() {
            let upto = match &round {
                Round::ToViews(checkpoint) => Some(checkpoint.get(partition).copied().unwrap_or(0)),
                Round::ToEnd => None,
            };
            while !examination.is_done(partition, upto) {
                let chunk: Option<Vec<_>> = reading.next().await;
                let found =
                    chunk.map(|chunk| chunk.into_iter().collect::<Result<Vec<_>, _>>()).transpose()?;
                done += found.as_ref().map_or(0, Vec::len) as u64;
                examination = blocking(move || {
                    examination.feed(partition, found);
                    examination.judge(partition, upto)?;
                    Ok(examination)
                })
                .await?;
                progress(Progress::at(done, total.max(done), started.elapsed()));
            }
        }
        if let Round::ToViews(_) = round {
            examination = blocking(move || examination.compare_views()).await?;
        }
    }
    blocking(move || examination.finish()).await
}

enum Round {
    /// Up to the sequences by partition.
    ToViews(Vec<u64>),
    ToEnd,
}

/// Everything that is known so far. Works on the disk; not for an async thread.
struct Examination {
    checks: Vec<PartitionCheck>,
    scratch: ScratchViews,
    /// To be folded.
    waiting: Vec<Readable>,
    waiting_bytes: usize,
    duplicates: Duplicates,
    tenants: BTreeSet<TenantId>,
    faults: Faults,
    views: Option<ViewsDigest>,
    views_found: ViewsFound,
    of_medium: Vec<Fault>,
}

impl Examination {
    fn new(evidence: Vec<Evidence>, options: Options) -> Result<Self, VerifyError> {
        let Options { most_faults, views, of_medium } = options;
        let partitions = u16::try_from(evidence.len()).unwrap_or(u16::MAX);
        let mut faults = Faults { most: most_faults, ..Faults::default() };
        let mut checks = Vec::new();
        for (partition, mut evidence) in (0..partitions).zip(evidence) {
            faults.extend(evidence.check(partition)?);
            checks.push(PartitionCheck::new(partition, partitions, evidence));
        }
        Ok(Examination {
            checks,
            scratch: ScratchViews::new()?,
            waiting: Vec::new(),
            waiting_bytes: 0,
            duplicates: Duplicates::default(),
            tenants: BTreeSet::new(),
            faults,
            views,
            views_found: ViewsFound::NotGiven,
            of_medium,
        })
    }

    /// Whether a partition is judged as far as that.
    fn is_done(&self, partition: usize, upto: Option<u64>) -> bool {
        self.checks.get(partition).is_none_or(|check| check.is_done(upto))
    }

    /// Takes what was read; None at the end.
    fn feed(&mut self, partition: usize, found: Option<Vec<Found>>) {
        let Some(check) = self.checks.get_mut(partition) else { return };
        match found {
            Some(found) => check.feed(found),
            None => check.end(),
        }
    }

    fn judge(&mut self, partition: usize, upto: Option<u64>) -> Result<(), VerifyError> {
        let Some(check) = self.checks.get_mut(partition) else { return Ok(()) };
        let mut findings = Findings::default();
        check.judge(upto, &mut findings)?;
        self.faults.extend(findings.faults);
        for (recorded, sealed, bytes) in findings.commits {
            self.note_identities(&recorded)?;
            if !self.tenants.contains(&recorded.commit.tenant) {
                self.tenants.insert(recorded.commit.tenant.clone());
            }
            self.waiting_bytes += bytes.len();
            self.waiting.push((recorded, sealed, bytes));
        }
        if self.waiting.len() >= FOLD || self.waiting_bytes >= FOLD_BYTES {
            self.fold()?;
        }
        Ok(())
    }

    /// A commit is there once, and so is what caused it: what one record was told under one key or event id.
    fn note_identities(&mut self, recorded: &Recorded) -> io::Result<()> {
        let Recorded { position, commit } = recorded;
        self.duplicates.add(&[b"commit", commit.id.0.as_bytes()], *position)?;
        let (tenant, record) = (commit.tenant.as_str().as_bytes(), commit.record.0.as_bytes());
        let cause: Option<[&[u8]; 3]> = match &commit.cause {
            Cause::Command { operation, key: Some(key), .. } => {
                Some([b"command", operation.as_bytes(), key.as_bytes()])
            }
            Cause::Webhook { source, event_id, .. } => {
                Some([b"webhook", source.as_bytes(), event_id.as_bytes()])
            }
            Cause::Command { key: None, .. } | Cause::Timer { .. } => None,
        };
        match cause {
            Some([kind, of, name]) => self.duplicates.add(&[kind, tenant, record, of, name], *position),
            None => Ok(()),
        }
    }

    fn fold(&mut self) -> Result<(), StoreError> {
        self.waiting_bytes = 0;
        for Impossible { position, reason } in self.scratch.fold(self.waiting.drain(..))? {
            self.faults.extend([Fault::at(position, FaultKind::Impossible, reason)]);
        }
        Ok(())
    }

    /// Everything up to where the views stand is judged.
    fn compare_views(mut self) -> Result<Self, VerifyError> {
        self.fold()?;
        let Some(views) = &self.views else { return Ok(self) };
        let fresh = self.scratch.views().digest();
        self.views_found = match () {
            () if self.faults.is_of_log => ViewsFound::NotComparable,
            // The log is shorter than the views, which is a fault of its own.
            () if fresh.checkpoint != views.checkpoint => ViewsFound::NotComparable,
            () if fresh.digest == views.digest => ViewsFound::AsFolded,
            () => {
                let detail = format!(
                    "the views have the digest {}; the log folded up to the same place ({}) has {}",
                    views.digest,
                    places(&views.checkpoint),
                    fresh.digest
                );
                self.faults.extend([Fault::of_all(FaultKind::ViewsDiffer, detail)]);
                ViewsFound::Different
            }
        };
        Ok(self)
    }

    fn finish(mut self) -> Result<Report, VerifyError> {
        self.fold()?;
        let mut findings = Findings::default();
        let partitions = self.checks.iter_mut().map(|check| check.finish(&mut findings)).collect();
        self.faults.extend(findings.faults);
        let faults = &mut self.faults;
        std::mem::take(&mut self.duplicates).finish(|Duplicate { first, again }| {
            let detail = format!("its id, or what caused it, is that of {first}");
            faults.extend([Fault::at(again, FaultKind::Duplicated, detail)]);
            faults.has_room()
        })?;
        let books = books::check(self.scratch.views(), &self.tenants)?;
        self.faults.extend(books.faults);
        self.faults.extend(self.of_medium);
        let (faults, faults_in_all) = self.faults.in_order();
        Ok(Report { partitions, faults, faults_in_all, orders: books.orders, views: self.views_found })
    }
}

/// Faults as they are found: some described, all counted.
#[derive(Default)]
struct Faults {
    described: Vec<Fault>,
    in_all: u64,
    most: usize,
    /// Whether one of them is about the log itself.
    is_of_log: bool,
}

impl Faults {
    fn extend(&mut self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            self.in_all += 1;
            self.is_of_log |= fault.kind != FaultKind::BadEvidence;
            if self.has_room() {
                self.described.push(fault);
            }
        }
    }

    /// By position, what says most of each first; and how many there are in all.
    fn in_order(self) -> (Vec<Fault>, u64) {
        let Faults { mut described, in_all, .. } = self;
        // These follow from most of the other things that may be wrong with a commit.
        let is_consequence = |fault: &Fault| matches!(fault.kind, FaultKind::Impossible | FaultKind::BadFile);
        described.sort_by_key(|fault| (fault.position.is_none(), fault.position, is_consequence(fault)));
        // A commit that is there twice has both its id and its cause twice.
        let found = described.len();
        described.dedup_by(|next, fault| {
            fault.position.is_some() && (next.position, next.kind) == (fault.position, fault.kind)
        });
        let repeated = (found - described.len()) as u64;
        (described, in_all - repeated)
    }

    fn has_room(&self) -> bool {
        self.described.len() < self.most
    }
}

/// Positions of a checkpoint, for people.
fn places(checkpoint: &[u64]) -> String {
    let positions =
        (0..).zip(checkpoint).map(|(partition, &sequence)| Position { partition, sequence }.to_string());
    positions.collect::<Vec<_>>().join(", ")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VerifyError> + Send + 'static,
) -> Result<T, VerifyError> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
