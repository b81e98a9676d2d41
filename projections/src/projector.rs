//! The projector: follows the journal and keeps the views up with it.
//!
//! One task a partition reads and decodes ahead; one thread folds and writes for all of them, so that there is one
//! writer. What must stay true: a commit is folded once, in its place, or the projector stops in front of it and
//! says so. It never skips, and it refuses a log that is not the one it has folded so far.

mod chunks;
mod follow;
mod waiters;
mod watchdog;
mod write;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ledger::codec::Sealed;
use ledger::commit::Recorded;
use ledger::ids::{Position, RecordId};
use ledger::journal::{Journal, ReadError};
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::JoinSet;

pub(crate) use chunks::{Chunk, End, chunks, chunks_here};
pub use waiters::Waiter;
use waiters::Waiters;
pub(crate) use write::Between;
use write::Message;

use crate::store::{Generation, Stopped, StoreError, Views, Writer, hash};

/// What can be chosen about a projector.
#[derive(Debug, Clone)]
pub struct ProjectorOptions {
    /// Most commits that are made visible together.
    pub batch: usize,
    /// How often the journal's end is compared with the views.
    pub watchdog: Duration,
    /// The first wait before a failed tail is opened again; doubled each time.
    pub first_wait: Duration,
    /// The longest such wait.
    pub longest_wait: Duration,
    /// How many commits a receiver of changes may fall behind.
    pub changes_kept: usize,
}

impl Default for ProjectorOptions {
    fn default() -> Self {
        ProjectorOptions {
            batch: 1000,
            watchdog: Duration::from_secs(2),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(5),
            changes_kept: 4096,
        }
    }
}

/// Why a projector refused to start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log is not the one that the views were folded from, or a part of it is gone. The text says what to do.
    #[error("{0}")]
    LogWentBackwards(String),
    /// The journal cannot be read now.
    #[error("the journal cannot be read")]
    Journal(#[from] ReadError),
    /// The view store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no thread.
    #[error("the projector's thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// What a projector, or a partition of it, is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is behind the end of the log that it found when it started, or when its tail last fell silent.
    CatchingUp,
    /// It follows the log as it grows.
    Live,
    /// It met something that it cannot read or apply, and stands in front of it. A person has to look.
    Halted {
        /// What it stands in front of.
        position: Position,
        /// What is wrong with it.
        reason: String,
    },
}

/// How far a projector, or a partition of it, has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectorStatus {
    /// What it is at.
    pub state: State,
    /// Commits in the views.
    pub applied: u64,
    /// Commits known to be in the log.
    pub last: u64,
    /// Commits known to be in the log and not yet in the views.
    pub lag: u64,
}

/// A commit that has become visible in the views.
#[derive(Debug, Clone)]
pub struct Change {
    /// The commit, without its personal data.
    pub recorded: Recorded,
    /// The personal data, to be opened with its key.
    pub sealed: Option<Sealed>,
}

/// A running projector. Cheap to clone; it runs until `shutdown`, or until the last clone is gone.
#[derive(Clone)]
pub struct Projector {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    /// To the writer, which ends when those who follow the log are gone.
    works: mpsc::WeakSender<Message>,
    stop: watch::Sender<bool>,
    running: Mutex<Option<Running>>,
}

struct Running {
    tasks: JoinSet<()>,
    writer: std::thread::JoinHandle<()>,
}

/// What the projector's tasks and its users both see.
pub(crate) struct Shared {
    journal: Arc<dyn Journal>,
    options: ProjectorOptions,
    partitions: Vec<Partition>,
    applied: watch::Sender<Vec<u64>>,
    changes: broadcast::Sender<Arc<Change>>,
    waiters: Arc<Waiters>,
}

struct Partition {
    /// The highest sequence known to be in the log.
    last: AtomicU64,
    /// The highest sequence handed to the writer.
    received: AtomicU64,
    /// When this sequence is applied, the partition is live.
    target: AtomicU64,
    /// Told that the tail has fallen silent.
    silent: Notify,
    /// Where the partition stopped for good.
    halted: OnceLock<Stopped>,
}

impl Projector {
    /// Checks the log against the views' checkpoint, then follows it from there until shut down.
    ///
    /// There must be one projector for a store. Needs a tokio runtime.
    pub async fn start(
        journal: Arc<dyn Journal>,
        views: Views,
        options: ProjectorOptions,
    ) -> Result<Projector, StartError> {
        let generation = views.store().live();
        let ends = check_log(journal.as_ref(), &generation).await?;
        let applied: Vec<u64> = ends.iter().map(|end| end.applied).collect();
        let partitions = ends.iter().map(|end| Partition {
            last: AtomicU64::new(end.last),
            received: AtomicU64::new(end.applied),
            target: AtomicU64::new(end.last),
            silent: Notify::new(),
            halted: OnceLock::new(),
        });
        let shared = Arc::new(Shared {
            journal,
            partitions: partitions.collect(),
            applied: watch::Sender::new(applied),
            changes: broadcast::Sender::new(options.changes_kept.max(1)),
            waiters: Arc::default(),
            options,
        });
        for end in &ends {
            tracing::info!(partition = end.partition, applied = end.applied, last = end.last, "projecting");
            shared.report(end.partition);
        }

        let stop = watch::Sender::new(false);
        let writer = Writer::new(Arc::clone(views.store()), generation);
        let (works, writer) = write::spawn(Arc::clone(&shared), writer, views).map_err(StartError::Thread)?;
        let mut tasks = JoinSet::new();
        for end in &ends {
            tasks.spawn(follow::follow(Arc::clone(&shared), end.partition, works.clone(), stop.subscribe()));
            tasks.spawn(watchdog::watch(Arc::clone(&shared), end.partition, stop.subscribe()));
        }
        let running = Mutex::new(Some(Running { tasks, writer }));
        let works = works.downgrade();
        Ok(Projector { handle: Arc::new(Handle { shared, works, stop, running }) })
    }

    /// All partitions together: the worst state, the sums of the numbers.
    pub fn status(&self) -> ProjectorStatus {
        let mut sum = ProjectorStatus { state: State::Live, applied: 0, last: 0, lag: 0 };
        for one in self.partitions() {
            sum.applied += one.applied;
            sum.last += one.last;
            sum.lag += one.lag;
            sum.state = match (sum.state, one.state) {
                (halted @ State::Halted { .. }, _) | (_, halted @ State::Halted { .. }) => halted,
                (State::CatchingUp, _) | (_, State::CatchingUp) => State::CatchingUp,
                (State::Live, State::Live) => State::Live,
            };
        }
        sum
    }

    /// Each partition by itself.
    pub fn partitions(&self) -> Vec<ProjectorStatus> {
        let shared = &self.handle.shared;
        (0..).zip(&shared.partitions).map(|(partition, _)| shared.status(partition)).collect()
    }

    /// The sequence applied per partition, as it grows. What it says is visible in the views.
    pub fn applied(&self) -> watch::Receiver<Vec<u64>> {
        self.handle.shared.applied.subscribe()
    }

    /// Waits until the commit at this position is visible in the views. For ever, if the projector halts first.
    pub async fn reached(&self, position: Position) {
        let mut applied = self.applied();
        let reached = |applied: &Vec<u64>| {
            applied.get(usize::from(position.partition)).is_some_and(|applied| *applied >= position.sequence)
        };
        if applied.wait_for(reached).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Commits as they become visible in the views, those of a catch-up included. A receiver that falls behind is
    /// told so (`Lagged`) and reads what it missed from the journal.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Change>> {
        self.handle.shared.changes.subscribe()
    }

    /// A waiter for the record's next change. Get it first, then read the view, then wait: no change between
    /// the reading and the waiting is missed.
    pub fn watch(&self, record: RecordId) -> Waiter {
        Waiters::watch(&self.handle.shared.waiters, record)
    }

    /// Has something done by the writer between two batches. Nothing when it has stopped, and then `between` is dropped.
    pub(crate) async fn between_batches(&self, between: Between) {
        if let Some(works) = self.handle.works.upgrade()
            && works.send(Message::Between(between)).await.is_err()
        {
            tracing::debug!("the projector's writer has stopped");
        }
    }

    pub(crate) fn journal(&self) -> &Arc<dyn Journal> {
        &self.handle.shared.journal
    }

    /// Finishes what is being written, makes it durable, and stops. A second call does nothing.
    pub async fn shutdown(&self) -> Result<(), StoreError> {
        self.handle.stop.send_replace(true);
        let running = self.handle.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { mut tasks, writer }) = running else { return Ok(()) };
        while tasks.join_next().await.is_some() {}
        let joined = tokio::task::spawn_blocking(move || writer.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            return Err(StoreError::Damaged("the projector's writer panicked".to_owned()));
        }
        tracing::info!("projector stopped");
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Shared {
    fn partition(&self, partition: u16) -> &Partition {
        &self.partitions[usize::from(partition)]
    }

    fn applied(&self, partition: u16) -> u64 {
        self.applied.borrow().get(usize::from(partition)).copied().unwrap_or(0)
    }

    fn status(&self, partition: u16) -> ProjectorStatus {
        let applied = self.applied(partition);
        let of = self.partition(partition);
        let last = of.last.load(Ordering::Relaxed).max(applied);
        let state = match of.halted.get() {
            Some(Stopped { position, reason }) => {
                State::Halted { position: *position, reason: reason.clone() }
            }
            None if applied < of.target.load(Ordering::Relaxed) => State::CatchingUp,
            None => State::Live,
        };
        ProjectorStatus { state, applied, last, lag: last - applied }
    }

    /// Stops a partition for good. Only the first reason counts.
    fn halt(&self, stopped: Stopped) {
        let Stopped { position, reason } = stopped.clone();
        if self.partition(position.partition).halted.set(stopped).is_ok() {
            tracing::error!(
                %position, reason,
                "the projector stops in front of a commit that it cannot read or apply; the views stay as they are"
            );
        }
    }

    /// Publishes a partition's numbers as gauges.
    fn report(&self, partition: u16) {
        let status = self.status(partition);
        let label = partition.to_string();
        metrics::gauge!("daybook_projector_applied_sequence", "partition" => label.clone())
            .set(status.applied as f64);
        metrics::gauge!("daybook_projector_lag_commits", "partition" => label).set(status.lag as f64);
    }
}

/// Where a partition of the views and of the log ends.
pub(crate) struct PartitionEnd {
    pub(crate) partition: u16,
    pub(crate) applied: u64,
    pub(crate) last: u64,
}

/// Makes sure that the views were folded from this log: it reaches as far as they do, and the commit that they
/// stand on is the one they remember.
pub(crate) async fn check_log(
    journal: &dyn Journal,
    generation: &Generation,
) -> Result<Vec<PartitionEnd>, StartError> {
    let folded = generation.checkpoints()?;
    let partitions = journal.partitions();
    if folded.len() > usize::from(partitions) {
        return Err(backwards(format!(
            "the views were folded from a log of at least {} partitions; this one has {partitions}",
            folded.len()
        )));
    }
    let mut ends = Vec::new();
    for partition in 0..partitions {
        let last = journal.last_sequence(partition).await?;
        let Some(checkpoint) = generation.checkpoint(partition)? else {
            ends.push(PartitionEnd { partition, applied: 0, last });
            continue;
        };
        let applied = checkpoint.sequence;
        if last < applied {
            return Err(backwards(format!(
                "partition {partition} of the log ends at {last}, but the views hold its commits up to {applied}"
            )));
        }
        let stored = journal.at(Position { partition, sequence: applied }).await?;
        if stored.is_none_or(|stored| hash(&stored.bytes) != checkpoint.hash) {
            return Err(backwards(format!(
                "the commit at {partition}-{applied} of the log is not the one that the views were folded from"
            )));
        }
        ends.push(PartitionEnd { partition, applied, last });
    }
    Ok(ends)
}

fn backwards(what: String) -> StartError {
    StartError::LogWentBackwards(format!(
        "the log is not the one that the views were folded from: {what}. Either this is another journal (check its \
         path or address, and the views' directory), or it was restored from an older backup and acknowledged \
         commits are missing (bring them back from a newer copy before anything is served). If the log is right \
         as it is, fold the views anew with `daybook rebuild`."
    ))
}
