//! The tails of one partition. Those that are up with the log, as most are, share one consumer.
//!
//! A tail begins with a consumer of its own, unless it can join the others at once. When it has come near the end of the
//! log it joins them and lets its consumer go; the first to get there gives them its own. Each takes what it has not had
//! yet from the newest commits in memory, at its own pace. Who falls behind what is kept there, and everybody when the
//! shared consumer fails, goes on with a consumer of its own and comes back.
//!
//! What must stay true: a tail gives the commit after the last that it gave, wherever that comes from; and nobody waits
//! for a tail that is slow.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::stream::Stream;
use futures::{TryStreamExt, stream};
use tokio::sync::watch;

use super::delivery::Delivery;
use super::{message_at, newest_of, unavailable, while_connected};
use crate::ids::Position;
use crate::journal::pages::Pages;
use crate::journal::recent::Recent;
use crate::journal::{ReadError, Stored, Tail};

/// Who is at most so many commits behind the end of the log is near it. Fewer than are kept in memory, so that nobody
/// joins only to fall behind.
pub(super) const NEAR: u64 = 1024;
/// Most commits that are handed on together.
pub(super) const AT_A_TIME: usize = 256;
/// How long the shared consumer may take to deliver what the stream has for sure.
const PATIENCE: Duration = Duration::from_secs(1);

/// What reading a partition takes, and the consumer that its tails share.
pub(super) struct Tails {
    pub(super) client: Client,
    pub(super) stream: Stream<()>,
    /// How often the connection was lost.
    pub(super) losses: watch::Receiver<u64>,
    /// What the subjects of the partition's commits begin with.
    pub(super) subjects: String,
    pub(super) partitions: u16,
    pub(super) partition: u16,
    shared: Mutex<Option<Arc<Shared>>>,
    pub(super) pages: Pages,
}

/// What the shared consumer has delivered.
struct Shared {
    recent: Arc<Recent>,
    /// The sequence of the newest. Closed when nothing more will come.
    newest: watch::Sender<u64>,
}

impl std::fmt::Debug for Tails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tails").field("subjects", &self.subjects).finish_non_exhaustive()
    }
}

impl Tails {
    pub(super) fn new(
        client: Client,
        stream: Stream<()>,
        losses: watch::Receiver<u64>,
        subjects: String,
        (partition, partitions): (u16, u16),
    ) -> Self {
        let (shared, pages) = (Mutex::default(), Pages::new(partitions));
        Tails { client, stream, losses, subjects, partitions, partition, shared, pages }
    }

    /// A tail that begins after a sequence.
    pub(super) async fn open(self: &Arc<Self>, after: u64) -> Result<Tail, ReadError> {
        let source = match self.join_at_once(after).await? {
            Some(shared) => Source::Shared(shared),
            None => Source::Own(Delivery::open(self, after).await?),
        };
        let follow = Follow { tails: Arc::clone(self), source, last: after };
        let batches = stream::try_unfold(follow, |follow| async { follow.next().await.map(Some) });
        Ok(Box::pin(batches.map_ok(|commits| stream::iter(commits.into_iter().map(Ok))).try_flatten()))
    }

    /// Up to so many commits after a sequence that the shared consumer has delivered; none unless the next one is among
    /// them.
    pub(super) fn recent_after(&self, after: u64, most: usize) -> Option<VecDeque<Stored>> {
        let recent = Arc::clone(&self.shared().as_ref()?.recent);
        Some(recent.after(after, most)).filter(|commits| !commits.is_empty())
    }

    /// A consumer that starts over is a nuisance, a stream with a hole in it a catastrophe: which one is it, when it
    /// gave one commit where another was due?
    pub(super) async fn out_of_order(&self, due: u64, found: Position) -> ReadError {
        match message_at(&self.stream, due).await {
            Ok(None) if found.sequence > due => {
                let reason = format!("sequence {due} is missing before it");
                ReadError::Foreign { position: found, reason }
            }
            Ok(_) => unavailable(format!("the consumer gave {found}, not {due}")),
            Err(error) => ReadError::Unavailable(error),
        }
    }

    /// A reader opens its tail again when it suspects it of having fallen silent. So the shared consumer has to prove
    /// that it has delivered what there is.
    async fn join_at_once(&self, after: u64) -> Result<Option<Follower>, ReadError> {
        if !self.shared().as_ref().is_some_and(|shared| shared.reaches(after)) {
            return Ok(None);
        }
        let newest = self.newest().await?;
        Ok(self.join(after, newest).await)
    }

    /// The newest sequence, as the leader has it.
    pub(super) async fn newest(&self) -> Result<u64, ReadError> {
        let newest = while_connected(&self.losses, pin!(newest_of(&self.stream, ">"))).await.flatten();
        Ok(newest.map_err(ReadError::Unavailable)?.map_or(0, |message| message.sequence))
    }

    /// Joins those who share a consumer, unless there are none, or they are too far ahead, or their consumer does not
    /// deliver what is known to be in the stream.
    async fn join(&self, after: u64, known: u64) -> Option<Follower> {
        let (shared, mut follower) = {
            let shared = self.shared();
            let shared = shared.as_ref().filter(|shared| shared.reaches(after))?;
            (Arc::downgrade(shared), shared.follower())
        };
        let arrival = async { follower.newest.wait_for(|newest| *newest >= known).await.is_ok() };
        if let Ok(has_arrived) = tokio::time::timeout(PATIENCE, arrival).await {
            return has_arrived.then_some(follower);
        }
        tracing::warn!(partition = self.partition, "the shared consumer has fallen silent");
        if let Some(shared) = shared.upgrade() {
            self.forget(&shared);
        }
        None
    }

    /// Once a consumer has come near the end of the log, there is no need for two of them.
    async fn settle(self: &Arc<Self>, delivery: Delivery) -> Source {
        if !delivery.is_near_the_end() {
            return Source::Own(delivery);
        }
        match self.join(delivery.last(), delivery.last()).await {
            Some(follower) => {
                delivery.retire();
                Source::Shared(follower)
            }
            None => self.share(delivery),
        }
    }

    /// Shares a consumer, unless one is shared already.
    fn share(self: &Arc<Self>, delivery: Delivery) -> Source {
        let mut slot = self.shared();
        if slot.is_some() {
            return Source::Own(delivery);
        }
        let newest = watch::Sender::new(delivery.last());
        let shared = Arc::new(Shared { recent: Arc::default(), newest });
        let follower = shared.follower();
        *slot = Some(Arc::clone(&shared));
        tokio::spawn(deliver(Arc::clone(self), shared, delivery));
        Source::Shared(follower)
    }

    /// Nobody joins it from now on.
    fn forget(&self, shared: &Arc<Shared>) {
        self.shared().take_if(|current| Arc::ptr_eq(current, shared));
    }

    /// The same, if nobody listens.
    fn forget_unheard(&self, shared: &Arc<Shared>) -> bool {
        let mut slot = self.shared();
        let is_unheard = shared.newest.is_closed();
        if is_unheard {
            slot.take_if(|current| Arc::ptr_eq(current, shared));
        }
        is_unheard
    }

    fn shared(&self) -> MutexGuard<'_, Option<Arc<Shared>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Whether who has come so far can go on from here, and has some time to.
    fn reaches(&self, after: u64) -> bool {
        let newest = *self.newest.borrow();
        after >= newest || (newest - after <= NEAR && !self.recent.after(after, 1).is_empty())
    }

    fn follower(&self) -> Follower {
        Follower { recent: Arc::clone(&self.recent), newest: self.newest.subscribe() }
    }
}

/// Puts what the shared consumer delivers where everybody finds it, until it fails or nobody listens.
async fn deliver(tails: Arc<Tails>, shared: Arc<Shared>, mut delivery: Delivery) {
    loop {
        let commits = tokio::select! {
            commits = delivery.next() => commits,
            () = shared.newest.closed() => {
                if tails.forget_unheard(&shared) {
                    delivery.retire();
                    return;
                }
                continue;
            }
        };
        match commits {
            Ok(commits) => {
                commits.into_iter().for_each(|stored| shared.recent.add(stored));
                shared.newest.send_replace(delivery.last());
            }
            Err(error) => {
                tracing::debug!(partition = tails.partition, %error, "the shared consumer has ended");
                tails.forget(&shared);
                return;
            }
        }
    }
}

/// One who shares the consumer.
struct Follower {
    recent: Arc<Recent>,
    newest: watch::Receiver<u64>,
}

impl Follower {
    /// Commits after a sequence, once there are any. None when they will not be found here.
    async fn next(&mut self, after: u64) -> Option<VecDeque<Stored>> {
        self.newest.wait_for(|newest| *newest > after).await.ok()?;
        Some(self.recent.after(after, AT_A_TIME)).filter(|commits| !commits.is_empty())
    }
}

/// A tail.
struct Follow {
    tails: Arc<Tails>,
    source: Source,
    /// The sequence of the last commit that it gave, or after which it began.
    last: u64,
}

/// Where a tail's next commits come from.
enum Source {
    Own(Delivery),
    Shared(Follower),
}

impl Follow {
    async fn next(self) -> Result<(VecDeque<Stored>, Follow), ReadError> {
        let Follow { tails, mut source, last } = self;
        loop {
            let (commits, source) = match source {
                Source::Shared(mut follower) => match follower.next(last).await {
                    Some(commits) => (commits, Source::Shared(follower)),
                    None => {
                        source = Source::Own(Delivery::open(&tails, last).await?);
                        continue;
                    }
                },
                Source::Own(delivery) => match tails.settle(delivery).await {
                    Source::Own(mut delivery) => (delivery.next().await?, Source::Own(delivery)),
                    shared @ Source::Shared(_) => {
                        source = shared;
                        continue;
                    }
                },
            };
            let last = commits.back().map_or(last, |newest| newest.position.sequence);
            return Ok((commits, Follow { tails, source, last }));
        }
    }
}
