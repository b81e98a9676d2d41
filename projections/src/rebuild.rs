//! Folding a whole log anew: into a new generation beside the live one, or somewhere else to compare.
//!
//! Reading and decoding, and folding and writing, are the projector's own code; only what is around them differs.

mod background;
mod online;
mod status;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use ledger::ids::Position;
use ledger::journal::{Journal, ReadError, Tail};
pub use online::{RebuildRefused, Rebuilds};
pub use status::{Comparison, RebuildKind, RebuildState, RebuildStatus};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::progress::Progress;
use crate::projector::{Chunk, End, StartError, check_log, chunks};
use crate::store::{
    Digest, Entry, Generation, Goal, Intent, Stopped, Store, StoreError, StoreOptions, Views, ViewsDigest,
    Writer,
};

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildReport {
    /// The generation that is live now.
    pub generation: u64,
    /// Digest of its rows.
    pub digest: Digest,
    /// Digest of the generation that was live before; none when there was none, or when it was folded up to
    /// another place in the log or by another version, so that the two cannot be compared.
    pub previous_digest: Option<Digest>,
    /// Commits that an earlier rebuild had folded before it was cut short; 0 when there was none.
    pub resumed_at: u64,
    /// Commits in the generation.
    pub commits: u64,
}

/// Why a rebuild did not happen. What was live before still is.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[from] ReadError),
    /// The log holds something that cannot be.
    #[error("the log cannot be folded at {position}: {reason}")]
    Unreadable {
        /// Where.
        position: Position,
        /// What is wrong.
        reason: String,
    },
    /// The view store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Folds the whole log into a new generation of the store at `path` and makes it live.
///
/// Offline: the store must not be open elsewhere. The generation that was live before is kept, older ones are not.
/// Until the end what was live still is. A rebuild whose process dies, or whose journal goes away, is gone on with by
/// the next one, from where it was; so is one that a server began.
pub async fn rebuild(
    journal: &dyn Journal,
    path: &Path,
    options: &StoreOptions,
    progress: impl FnMut(Progress),
) -> Result<RebuildReport, RebuildError> {
    let (path, options) = (path.to_owned(), options.clone());
    let views = blocking(move || Views::open(&path, &options)).await?;
    let store = Arc::clone(views.store());
    let generation = resume_or_begin(journal, &store).await?;
    let resumed_at = generation.folded();
    let upto = ends(journal).await?;
    let writer = Writer::bulk(Arc::clone(&store), Arc::clone(&generation));
    let folded = match fold_log(journal, writer, &upto, progress).await {
        Ok(folded) => folded,
        Err(error) => {
            if !matches!(error, RebuildError::Journal(_)) {
                // Another try would end in the same place.
                drop(generation);
                blocking(move || give_up(&store)).await?;
            }
            return Err(error);
        }
    };
    let finished = blocking(move || {
        let ViewsDigest { digest, checkpoint } = generation.digest();
        let previous = store.live();
        let is_comparable =
            store.is_of_this_version(previous.number)? && previous.checkpoints()? == checkpoint;
        // By a scan, which finds what the disk did to the rows too: nobody waits for it here.
        let previous_digest = if is_comparable { Some(previous.digest_by_scan()?.digest) } else { None };
        let number = generation.number;
        store.swap(generation)?;
        drop(previous);
        store.drop_unused()?;
        Ok(RebuildReport {
            generation: number,
            digest,
            previous_digest,
            resumed_at,
            commits: resumed_at + folded,
        })
    });
    Ok(finished.await?)
}

/// The generation of a rebuild that was cut short, if this log can follow what it holds; else a new one.
async fn resume_or_begin(journal: &dyn Journal, store: &Arc<Store>) -> Result<Arc<Generation>, RebuildError> {
    let noted = {
        let store = Arc::clone(store);
        blocking(move || match store.intent()? {
            Some(Intent { generation, goal: Goal::Rebuild, .. })
                if store.is_of_this_version(generation)? =>
            {
                store.generation(generation)
            }
            Some(_) | None => Ok(None),
        })
        .await?
    };
    if let Some(generation) = noted {
        match check_log(journal, &generation).await {
            Ok(_) => return Ok(generation),
            Err(StartError::LogWentBackwards(reason)) => {
                tracing::warn!(reason, "the half-folded views are of another log; folding from the start");
            }
            Err(StartError::Journal(error)) => return Err(error.into()),
            Err(StartError::Store(error)) => return Err(error.into()),
            Err(StartError::Thread(error)) => return Err(StoreError::Disk(error).into()),
        }
    }
    let store = Arc::clone(store);
    let begun = blocking(move || {
        let generation = store.new_generation()?;
        store.note_intent(Some(Intent::rebuild(generation.number)))?;
        store.drop_unused()?;
        Ok(generation)
    });
    Ok(begun.await?)
}

fn give_up(store: &Store) -> Result<(), StoreError> {
    store.note_intent(None)?;
    store.drop_unused()
}

/// The digest of views folded afresh from the log, up to a sequence per partition, or to its present end.
///
/// The views are kept in the system's directory for temporary files while they are needed.
pub async fn fresh_digest(journal: &dyn Journal, upto: Option<&[u64]>) -> Result<ViewsDigest, RebuildError> {
    let upto = match upto {
        Some(upto) => upto.to_vec(),
        None => ends(journal).await?,
    };
    Ok(fresh_views(journal, &upto, |_| {}).await?.views().digest())
}

/// Views that were folded afresh from the log. They are gone when this is.
pub struct FreshViews {
    // Dropped first: the store lets go of its files before they are removed.
    views: Views,
    _scratch: Scratch,
}

impl FreshViews {
    /// The views.
    pub fn views(&self) -> &Views {
        &self.views
    }
}

/// Views folded afresh from the log, up to a sequence per partition.
///
/// They are kept in the system's directory for temporary files.
pub async fn fresh_views(
    journal: &dyn Journal,
    upto: &[u64],
    progress: impl FnMut(Progress),
) -> Result<FreshViews, RebuildError> {
    let scratch = Scratch::new("fresh");
    let path = scratch.path("views");
    let views = blocking(move || Views::open(&path, &StoreOptions::default())).await?;
    let writer = Writer::bulk(Arc::clone(views.store()), views.store().live());
    fold_log(journal, writer, upto, progress).await?;
    Ok(FreshViews { views, _scratch: scratch })
}

/// A directory that is gone when this is.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// In the system's directory for temporary files; made when something is put into it.
    pub(crate) fn new(purpose: &str) -> Self {
        Scratch(std::env::temp_dir().join(format!("daybook-{purpose}-{}", Uuid::now_v7())))
    }

    /// A place in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a temporary directory is left behind");
        }
    }
}

pub(crate) async fn ends(journal: &dyn Journal) -> Result<Vec<u64>, ReadError> {
    let mut ends = Vec::new();
    for partition in 0..journal.partitions() {
        ends.push(journal.last_sequence(partition).await?);
    }
    Ok(ends)
}

/// Chunks that may wait for the writer.
const QUEUE: usize = 4;
/// Commits decoded together.
const BATCH: usize = 1000;
/// Commits written together. Nobody reads meanwhile, so batches are larger than a projector's: an order that
/// changes several times in one is written once.
const WRITE: usize = 5_000;
/// A tail that brings nothing for so long although there is more has failed.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// Folds each partition from where the writer's generation is up to a sequence. Returns how many commits that were.
pub(crate) async fn fold_log(
    journal: &dyn Journal,
    writer: Writer,
    upto: &[u64],
    mut progress: impl FnMut(Progress),
) -> Result<u64, RebuildError> {
    let (works, waiting) = mpsc::channel(QUEUE);
    let from: Vec<u64> =
        (0..journal.partitions()).map(|partition| writer.generation().reached(partition)).collect();
    let folded = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&folded);
    let thread = tokio::task::spawn_blocking(move || write_all(writer, waiting, &counter));

    let (started, last) = (Instant::now(), upto.iter().sum::<u64>());
    let there = from.iter().sum::<u64>();
    let mut report = || {
        let done = folded.load(Ordering::Relaxed);
        let of_this_run = Progress::at(done, last.saturating_sub(there), started.elapsed());
        progress(Progress { done: there + done, total: last, ..of_this_run });
    };
    let fed = feed(journal, works, &from, upto, &mut report).await;
    // Whatever the writer stumbled over came before what the reader did.
    thread.await.map_err(|error| StoreError::Damaged(format!("the writer panicked: {error}")))??;
    fed?;
    report();
    Ok(folded.load(Ordering::Relaxed))
}

/// Reads and decodes all partitions at once, ahead of the writer. Ends early when the writer is gone.
async fn feed(
    journal: &dyn Journal,
    works: mpsc::Sender<Vec<Entry>>,
    from: &[u64],
    upto: &[u64],
    report: &mut impl FnMut(),
) -> Result<(), RebuildError> {
    let mut partitions = Vec::new();
    for (partition, (&from, &upto)) in (0..journal.partitions()).zip(from.iter().zip(upto)) {
        if from < upto {
            let tail = journal.tail(partition, from).await?;
            partitions.push(Box::pin(entries(tail, partition, from, upto)));
        }
    }
    // Each in its order, and none for longer than its turn.
    let mut partitions = futures::stream::select_all(partitions);
    while let Some(entries) = partitions.next().await {
        if works.send(entries?).await.is_err() {
            return Ok(());
        }
        report();
    }
    Ok(())
}

/// The commits of a partition after one sequence and up to another; an error is the last item.
fn entries(
    tail: Tail,
    partition: u16,
    from: u64,
    upto: u64,
) -> impl Stream<Item = Result<Vec<Entry>, RebuildError>> {
    let begin = (chunks(tail, partition, from, BATCH), from, None);
    futures::stream::unfold(begin, move |(mut chunks, mut reached, failed)| async move {
        if let Some(failed) = failed {
            return Some((Err(failed), (chunks, upto, None)));
        }
        if reached >= upto {
            return None;
        }
        let Chunk { mut entries, end } = match next(&mut chunks).await {
            Ok(chunk) => chunk,
            Err(error) => return Some((Err(error.into()), (chunks, upto, None))),
        };
        entries.truncate(usize::try_from(upto - reached).unwrap_or(usize::MAX));
        reached += entries.len() as u64;
        let failed = end.filter(|_| reached < upto).map(|end| failure(partition, end));
        Some((Ok(entries), (chunks, reached, failed)))
    })
}

async fn next(chunks: &mut (impl Stream<Item = Chunk> + Unpin)) -> Result<Chunk, ReadError> {
    match tokio::time::timeout(LONGEST_SILENCE, chunks.next()).await {
        Ok(Some(chunk)) => Ok(chunk),
        Ok(None) => Err(ReadError::Unavailable("the journal's tail ended".into())),
        Err(_elapsed) => Err(ReadError::Unavailable("the journal's tail has fallen silent".into())),
    }
}

fn failure(partition: u16, end: End) -> RebuildError {
    match end {
        End::Failed(error) => error.into(),
        End::Unreadable(stopped) => stopped.into(),
        End::Gap { due, found } => RebuildError::Unreadable {
            position: Position { partition, sequence: due },
            reason: format!("the log goes on with {found} instead"),
        },
    }
}

fn write_all(
    mut writer: Writer,
    mut waiting: mpsc::Receiver<Vec<Entry>>,
    folded: &AtomicU64,
) -> Result<(), RebuildError> {
    while let Some(mut entries) = waiting.blocking_recv() {
        while entries.len() < WRITE
            && let Some(more) = waiting.blocking_recv()
        {
            entries.extend(more);
        }
        if let Some(stopped) = writer.write(&entries)? {
            return Err(stopped.into());
        }
        folded.fetch_add(entries.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

impl From<Stopped> for RebuildError {
    fn from(Stopped { position, reason }: Stopped) -> Self {
        RebuildError::Unreadable { position, reason }
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::Disk(std::io::Error::other(error))),
    }
}
