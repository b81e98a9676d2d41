//! The thread that folds a generation beside the live one.
//!
//! Those who read come first: it has the lowest priority, decodes and folds by itself, and writes without holding up a
//! read of any generation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::Timestamp;
use ledger::journal::ReadError;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::status::{Comparison, RebuildState, RebuildStatus};
use super::{RebuildError, failure};
use crate::progress::Progress;
use crate::projector::{Chunk, End, Projector, StartError, check_log, chunks_here};
use crate::store::{Generation, Goal, Intent, Store, StoreError, SwapWhen, ViewsDigest, Writer};

/// Commits written together.
const BATCH: usize = 64;
/// So close to the live views, the two can meet: the projector's writer waits for the rest.
const NEAR: u64 = 256;
/// The longest rest after a batch.
const LONGEST_REST: Duration = Duration::from_millis(20);
/// How long the projector's writer waits for that.
const LONGEST_MEETING: Duration = Duration::from_secs(2);
/// The wait after a failure of the journal, and between two looks at the log while there is nothing to do.
const PAUSE: Duration = Duration::from_millis(200);
/// A tail that brings nothing for so long although there is more has failed.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// What the operators want of a rebuild.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wishes {
    /// Stop where it is: the process ends.
    pub(super) stop: bool,
    pub(super) pause: bool,
    pub(super) cancel: bool,
    /// Make it live, whatever the comparison said.
    pub(super) swap: bool,
}

/// A rebuild under way.
pub(super) struct Background {
    projector: Projector,
    store: Arc<Store>,
    generation: Arc<Generation>,
    /// None while it is at a meeting, and once it is the projector's.
    writer: Option<Writer>,
    intent: Intent,
    wishes: watch::Receiver<Wishes>,
    status: Arc<watch::Sender<RebuildStatus>>,
    /// When this process took it up, and with how many commits.
    began: (Instant, u64),
}

/// How a rebuild ended.
enum Ended {
    Swapped,
    Canceled,
    Failed(String),
    /// The process ends; the next one goes on.
    Stopped,
}

/// What folding came to that did not fail.
enum Folded {
    /// It is as far as it was to come.
    There,
    /// Somebody wants something, or the journal is away for a moment.
    Interrupted,
}

/// What a meeting of the two generations came to.
enum Met {
    Swapped(Comparison),
    /// A person has to decide.
    Undecided(RebuildState, Comparison),
    /// They did not get to the same commit in time.
    Apart,
    Failed(RebuildError),
}

impl Background {
    pub(super) fn new(
        projector: Projector,
        store: Arc<Store>,
        generation: Arc<Generation>,
        intent: Intent,
        wishes: watch::Receiver<Wishes>,
        status: Arc<watch::Sender<RebuildStatus>>,
    ) -> Self {
        let writer = Some(Writer::quiet(Arc::clone(&store), Arc::clone(&generation)));
        let began = (Instant::now(), generation.folded());
        Background { projector, store, generation, writer, intent, wishes, status, began }
    }

    /// Folds until it is live, or given up, or the process ends.
    pub(super) fn run(mut self, runtime: &Handle) {
        stand_back();
        let ended = runtime.block_on(self.fold_and_swap(runtime));
        let Background { store, generation, writer, status, intent, .. } = self;
        drop((generation, writer));
        let number = intent.generation;
        let (state, reason) = match ended {
            Ended::Stopped => {
                tracing::info!(
                    generation = number,
                    "the rebuild stops here; the next process goes on with it"
                );
                return;
            }
            Ended::Swapped => (RebuildState::Done, None),
            Ended::Canceled => {
                tracing::info!(generation = number, "the rebuild was canceled");
                (RebuildState::Canceled, None)
            }
            Ended::Failed(reason) => {
                tracing::error!(
                    generation = number,
                    reason,
                    "the rebuild failed; what was live before still is"
                );
                (RebuildState::Failed, Some(reason))
            }
        };
        if let Err(error) = tidy(&store, state) {
            tracing::error!(%error, "an old view generation could not be dropped");
        }
        metrics::gauge!("daybook_rebuild_alarm").set(0.0);
        status.send_modify(|status| {
            status.state = state;
            status.reason = reason;
            status.ended_at = Some(Timestamp::now());
        });
    }

    async fn fold_and_swap(&mut self, runtime: &Handle) -> Ended {
        if let Some(ended) = self.check_log().await {
            return ended;
        }
        // What the comparison said, once there was one that left it to a person.
        let mut verdict = None;
        let mut has_caught_up = false;
        loop {
            let Wishes { stop, pause, cancel, swap } = self.wishes();
            match (stop, cancel) {
                (true, _) => return Ended::Stopped,
                (false, true) => return Ended::Canceled,
                (false, false) => {}
            }
            if pause {
                self.state(RebuildState::Paused);
                self.wait_for_wishes().await;
                continue;
            }
            self.state(verdict.unwrap_or(RebuildState::Folding));
            let behind = self.behind();
            if behind > NEAR || (behind > 0 && (verdict.is_some() || !has_caught_up)) {
                match self.fold().await {
                    Ok(Folded::There) => has_caught_up = true,
                    Ok(Folded::Interrupted) => self.pause(PAUSE).await,
                    Err(error) => return Ended::Failed(error.to_string()),
                }
                continue;
            }
            if verdict.is_some() && !swap {
                self.pause(PAUSE).await;
                continue;
            }
            match self.meet(runtime, swap).await {
                Some(Met::Swapped(comparison)) => {
                    self.compared(comparison);
                    return Ended::Swapped;
                }
                Some(Met::Undecided(state, comparison)) => {
                    self.undecided(state, comparison);
                    verdict = Some(state);
                }
                Some(Met::Apart) => self.pause(PAUSE).await,
                Some(Met::Failed(error)) => return Ended::Failed(error.to_string()),
                None if self.wishes().stop => return Ended::Stopped,
                None => {
                    return Ended::Failed(
                        "the projector has stopped, and nothing can become live".to_owned(),
                    );
                }
            }
        }
    }

    /// What was folded before must have been folded from this log.
    async fn check_log(&mut self) -> Option<Ended> {
        loop {
            let Wishes { stop, cancel, .. } = self.wishes();
            if stop {
                return Some(Ended::Stopped);
            }
            if cancel {
                return Some(Ended::Canceled);
            }
            match check_log(self.projector.journal().as_ref(), &self.generation).await {
                Ok(_) => return None,
                Err(StartError::Journal(ReadError::Unavailable(error))) => {
                    tracing::warn!(error, "the journal cannot be read for the rebuild; trying again");
                    self.pause(PAUSE).await;
                }
                Err(
                    error @ (StartError::Journal(ReadError::Foreign { .. })
                    | StartError::LogWentBackwards(_)
                    | StartError::Store(_)
                    | StartError::Thread(_)),
                ) => return Some(Ended::Failed(error.to_string())),
            }
        }
    }

    /// Folds up to where the live views are now. Never further: the log may hold what they have not shown yet.
    async fn fold(&mut self) -> Result<Folded, RebuildError> {
        let Some(mut writer) = self.writer.take() else { return Ok(Folded::Interrupted) };
        let upto = self.projector.applied().borrow().clone();
        // A wish is for the loop outside to act on. It is met between two batches, or while there is nothing to read.
        let mut wished = self.wishes.clone();
        let folding = fold_upto(self.projector.journal().as_ref(), &mut writer, &upto, |wrote| {
            self.report();
            // As long a rest as it worked: even what holds nobody up takes a core from somebody.
            std::thread::sleep(wrote.min(LONGEST_REST));
            !self.wishes.has_changed().unwrap_or(true)
        });
        let folded = tokio::select! {
            folded = folding => folded,
            _ = wished.changed() => Ok(Folded::Interrupted),
        };
        self.writer = Some(writer);
        match folded {
            Err(RebuildError::Journal(ReadError::Unavailable(error))) => {
                tracing::warn!(error, "the journal cannot be read for the rebuild; trying again");
                Ok(Folded::Interrupted)
            }
            other => other,
        }
    }

    /// Has the two generations meet between two batches of the projector. None when there is no projector any more.
    async fn meet(&mut self, runtime: &Handle, is_forced: bool) -> Option<Met> {
        self.state(RebuildState::Comparing);
        // Most of it now, so that the projector's writer need not wait for the disk.
        if let Err(error) = self.store.flush() {
            return Some(Met::Failed(error.into()));
        }
        let mut next = self.writer.take()?;
        let (store, projector, runtime) = (Arc::clone(&self.store), self.projector.clone(), runtime.clone());
        let intent = self.intent;
        let (tell, told) = oneshot::channel();
        let between = Box::new(move |live: Writer| {
            let meeting = Meeting { store: &store, projector: &projector, intent, is_forced };
            let met = meeting.hold(&runtime, &live, &mut next);
            let (goes_on, comes_back) = match met {
                Met::Swapped(_) => {
                    next.speak_up();
                    (next, live)
                }
                Met::Undecided(..) | Met::Apart | Met::Failed(_) => (live, next),
            };
            // Nobody hears it when the process ends; the writer is as good as any then.
            drop(tell.send((met, comes_back)));
            goes_on
        });
        self.projector.between_batches(between).await;
        let (met, writer) = told.await.ok()?;
        self.writer = Some(writer);
        Some(met)
    }

    fn undecided(&self, state: RebuildState, comparison: Comparison) {
        let generation = self.intent.generation;
        let Comparison { digest, live_digest, .. } = comparison;
        let is_alarm = state == RebuildState::Alarm;
        if is_alarm {
            tracing::error!(
                generation, %digest, %live_digest,
                "ALARM: the same log and the same rules gave other views than those that are live. They are not \
                 swapped: compare them with `daybook diff`, then swap or cancel the rebuild"
            );
            metrics::gauge!("daybook_rebuild_alarm").set(1.0);
        } else {
            tracing::info!(generation, %digest, %live_digest, "the rebuild has caught up and waits to be swapped in");
        }
        self.compared(comparison);
        let reason = "the same log and the same rules gave other views than those that are live";
        self.status.send_modify(|status| {
            status.state = state;
            status.reason = is_alarm.then(|| reason.to_owned());
        });
    }

    fn compared(&self, comparison: Comparison) {
        self.report();
        self.status.send_modify(|status| status.compared = Some(comparison));
    }

    fn state(&self, state: RebuildState) {
        self.status.send_if_modified(|status| std::mem::replace(&mut status.state, state) != state);
    }

    fn report(&self) {
        let (began, there) = self.began;
        let (done, live) = (self.generation.folded(), self.store.live().folded());
        let of_this_run =
            Progress::at(done.saturating_sub(there), live.saturating_sub(there), began.elapsed());
        let progress = Progress { done, total: live.max(done), ..of_this_run };
        metrics::gauge!("daybook_rebuild_left_commits").set(live.saturating_sub(done) as f64);
        self.status.send_modify(|status| status.progress = progress);
    }

    /// How many commits of the live views it lacks.
    fn behind(&self) -> u64 {
        let applied = self.projector.applied();
        let applied = applied.borrow();
        let lacks = |(partition, live): (u16, &u64)| live.saturating_sub(self.generation.reached(partition));
        (0..).zip(applied.iter()).map(lacks).sum()
    }

    /// What is wanted now. Whoever held the other end and is gone wants it to stop.
    fn wishes(&mut self) -> Wishes {
        match self.wishes.has_changed() {
            Ok(_) => *self.wishes.borrow_and_update(),
            Err(_) => Wishes { stop: true, ..Wishes::default() },
        }
    }

    async fn wait_for_wishes(&mut self) {
        // An error means that nobody is left to wish for anything, and is met by `wishes`.
        let _changed = self.wishes.changed().await;
    }

    async fn pause(&mut self, length: Duration) {
        let _over = tokio::time::timeout(length, self.wait_for_wishes()).await;
    }
}

/// Between two batches of the projector's writer: nothing moves but what is done here.
struct Meeting<'a> {
    store: &'a Arc<Store>,
    projector: &'a Projector,
    intent: Intent,
    is_forced: bool,
}

impl Meeting<'_> {
    fn hold(&self, runtime: &Handle, live: &Writer, next: &mut Writer) -> Met {
        let ViewsDigest { digest: live_digest, checkpoint } = live.generation().digest();
        let folding = fold_upto(self.projector.journal().as_ref(), next, &checkpoint, |_| true);
        match runtime.block_on(async { tokio::time::timeout(LONGEST_MEETING, folding).await }) {
            Ok(Ok(Folded::There)) => {}
            Ok(Ok(Folded::Interrupted)) | Err(_) => return Met::Apart,
            Ok(Err(RebuildError::Journal(ReadError::Unavailable(_)))) => return Met::Apart,
            Ok(Err(error)) => return Met::Failed(error),
        }
        let found = next.generation().digest();
        if found.checkpoint != checkpoint {
            return Met::Apart;
        }
        let is_same_version = match self.store.is_of_this_version(live.generation().number) {
            Ok(is_same_version) => is_same_version,
            Err(error) => return Met::Failed(error.into()),
        };
        let comparison = Comparison { checkpoint, digest: found.digest, live_digest, is_same_version };
        match self.decide(&comparison) {
            Some(state) => Met::Undecided(state, comparison),
            None => match self.store.swap(Arc::clone(next.generation())) {
                Ok(()) => Met::Swapped(comparison),
                Err(error) => Met::Failed(error.into()),
            },
        }
    }

    /// What stands in the way of the swap.
    fn decide(&self, comparison: &Comparison) -> Option<RebuildState> {
        // Who goes back to what was before expects something else than what is.
        let is_expected = match self.intent.goal {
            Goal::Rebuild => comparison.is_same() || !comparison.is_same_version,
            Goal::Rollback => true,
        };
        if self.is_forced {
            return None;
        }
        if !is_expected {
            return Some(RebuildState::Alarm);
        }
        match self.intent.swap {
            SwapWhen::CaughtUp => None,
            SwapWhen::Asked => Some(RebuildState::Waiting),
        }
    }
}

/// Folds each partition up to a sequence, a small batch at a time, as long as `goes_on`, told how long it took, says so after each.
async fn fold_upto(
    journal: &dyn ledger::journal::Journal,
    writer: &mut Writer,
    upto: &[u64],
    mut goes_on: impl FnMut(Duration) -> bool,
) -> Result<Folded, RebuildError> {
    for (partition, &upto) in (0..).zip(upto) {
        let mut reached = writer.generation().reached(partition);
        if reached >= upto {
            continue;
        }
        let mut chunks = chunks_here(journal.tail(partition, reached).await?, partition, reached, BATCH);
        while reached < upto {
            let Ok(next) = tokio::time::timeout(LONGEST_SILENCE, chunks.next()).await else {
                return Err(ReadError::Unavailable("the journal's tail has fallen silent".into()).into());
            };
            let Some(Chunk { mut entries, end }) = next else {
                return Err(ReadError::Unavailable("the journal's tail ended".into()).into());
            };
            entries.truncate(usize::try_from(upto - reached).unwrap_or(usize::MAX));
            let began = Instant::now();
            if let Some(stopped) = writer.write(&entries)? {
                return Err(stopped.into());
            }
            let wrote = began.elapsed();
            reached += entries.len() as u64;
            match end {
                None => {}
                Some(_) if reached >= upto => {}
                // The projector has passed this place: it is the tail that is out of order, not the log.
                Some(End::Gap { due, found }) => {
                    let error = format!("the journal's tail goes on with {found} instead of {due}");
                    return Err(ReadError::Unavailable(error.into()).into());
                }
                Some(end @ (End::Failed(_) | End::Unreadable(_))) => return Err(failure(partition, end)),
            }
            if !goes_on(wrote) {
                return Ok(Folded::Interrupted);
            }
        }
    }
    Ok(Folded::There)
}

/// After the end: nothing is under way, and what nobody needs is dropped.
fn tidy(store: &Store, state: RebuildState) -> Result<(), StoreError> {
    if state != RebuildState::Done {
        store.note_intent(None)?;
    }
    store.drop_unused()
}

/// Lets everything else go first, where the system lets a thread choose.
fn stand_back() {
    #[cfg(target_os = "linux")]
    {
        /// The lowest: it holds no lock that anybody else waits for.
        const NICE: i32 = 19;
        // Of this thread alone, whatever the call's name says: Linux has priorities by thread.
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "the rebuild has the priority of everything else");
        }
    }
}
