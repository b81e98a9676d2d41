//! One tenant's worker: waits until nobody else delivers, then follows the log and delivers, until it is told to
//! stop or cannot say that it still may.
//!
//! Who may deliver is agreed on through the document alone. Its owner saves it, or says again that it is there, every
//! few seconds, and stops by itself when it could not for as long as the lease. Others take over when they have seen
//! no change for longer than that, each by its own clock: no clock has to agree with another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use ledger::execute::LoadError;
use ledger::ids::{Position, TenantId};
use ledger::journal::PutMemoError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use super::document::Document;
use super::message::{Change, NotificationId};
use super::queue::Queue;
use super::reader::{Read, Reader};
use super::sender::Sender;
use super::store::{Store, StoreError};
use crate::app::App;
use crate::metrics;
use crate::orders::now;

/// How long an owner may deliver after the last time it said that it is there.
const LEASE: Duration = Duration::from_secs(10);
/// How much longer others wait.
const MARGIN: Duration = Duration::from_secs(2);
/// How often an owner says so when there is nothing else to save, and how often when there is.
const RENEW: Duration = Duration::from_secs(3);
const SAVE: Duration = Duration::from_secs(1);
/// How often others look.
const LOOK: Duration = Duration::from_secs(2);
/// The longest wait of others while the journal is away.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Messages of one tenant on their way at the same time.
const AT_ONCE: usize = 16;
/// Commits that are read ahead.
const READ_AHEAD: usize = 64;
/// How long attempts under way may take to end when the server shuts down; and then the last save.
const PATIENCE_AT_END: Duration = Duration::from_secs(2);

pub(super) struct Worker {
    /// Names this worker in the document; no other has ever had it or will have it.
    owner: Uuid,
    app: Arc<App>,
    tenant: TenantId,
    sender: Arc<Sender>,
    store: Store,
}

/// The document as its new owner has put it.
struct Taken {
    revision: u64,
    since: Instant,
    queue: Queue,
}

impl Worker {
    pub(super) fn new(app: Arc<App>, tenant: TenantId, sender: Sender) -> Self {
        let store = Store::new(&tenant, Arc::clone(app.ledger.journal()));
        Worker { owner: Uuid::new_v4(), app, tenant, sender: Arc::new(sender), store }
    }

    pub(super) async fn run(self) {
        let shutdown = self.app.shutdown.clone();
        while !shutdown.has_begun() {
            let taken = tokio::select! {
                taken = self.stand_by() => taken,
                () = shutdown.begun() => return,
            };
            let (tenant, pending) = (&self.tenant, taken.queue.pending().len());
            tracing::info!(%tenant, pending, "this node delivers the tenant's notifications");
            if let Some(reason) = Delivery::new(&self, taken).run().await {
                tracing::warn!(%tenant, reason, "this node stops delivering the tenant's notifications");
            }
            metrics::notifications_pending(tenant.as_str(), 0, 0);
            tokio::select! {
                () = sleep(LOOK) => {}
                () = shutdown.begun() => return,
            }
        }
    }

    /// Waits until the document is free, and takes it.
    async fn stand_by(&self) -> Taken {
        let mut seen = None;
        let mut wait = LOOK;
        loop {
            match self.look(&mut seen).await {
                Ok(Some(taken)) => return taken,
                Ok(None) => wait = LOOK,
                Err(error) => {
                    let tenant = &self.tenant;
                    tracing::warn!(%tenant, %error, "notifications wait for the journal");
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
            sleep(wait).await;
        }
    }

    /// Takes the document if it has no owner, or one that has not been heard of for too long. `seen` is the revision
    /// that was found first, and when.
    async fn look(&self, seen: &mut Option<(u64, Instant)>) -> Result<Option<Taken>, StoreError> {
        let Some((revision, document)) = self.store.read().await? else {
            self.store.begin().await?;
            return Ok(None);
        };
        let since = match *seen {
            Some((same, since)) if same == revision => since,
            Some(_) | None => Instant::now(),
        };
        *seen = Some((revision, since));
        let is_anothers = document.owner.is_some_and(|owner| owner != self.owner);
        if is_anothers && since.elapsed() < LEASE + MARGIN {
            return Ok(None);
        }
        let document = self.within_the_log(document).await?;
        let since = Instant::now();
        let queue = document.into_queue();
        match self.store.put(revision, &Document::of(&queue, Some(self.owner))).await {
            Ok(revision) => Ok(Some(Taken { revision, since, queue })),
            Err(PutMemoError::Conflict) => Ok(None),
            Err(error @ (PutMemoError::Unknown(_) | PutMemoError::Unavailable(_))) => Err(error.into()),
        }
    }

    /// A document that is ahead of the log was of a log that is gone, one that knows fewer partitions of one that grew.
    async fn within_the_log(&self, mut document: Document) -> Result<Document, StoreError> {
        let journal = self.app.ledger.journal();
        document.read.resize(usize::from(journal.partitions()), 0);
        for (partition, read) in (0..).zip(&mut document.read) {
            let end = journal.last_sequence(partition).await?;
            if *read > end {
                tracing::error!(
                    tenant = %self.tenant, partition, read = *read, end,
                    "the log ends before the place of the notifications; they go on at its end"
                );
                *read = end;
            }
        }
        Ok(document)
    }
}

/// How an attempt ended.
enum Attempt {
    Delivered,
    Refused(String),
    /// The message could not be made again from the log; nothing was sent.
    Unread(LoadError),
    /// The log says that there is no such change.
    Void,
}

/// How a save ended.
enum Saved {
    /// It is stored.
    Done { revision: u64, began: Instant },
    /// It may not be, but the document is still ours: as found, others may have asked for something.
    Found { revision: u64, requested: Vec<Position> },
    /// Somebody else has it.
    Lost,
    /// Nobody knows.
    Failed(PutMemoError),
}

/// A worker while it delivers.
struct Delivery<'a> {
    worker: &'a Worker,
    revision: u64,
    /// When this node has to stop, unless a save comes through before.
    lease_ends: Instant,
    queue: Queue,
    /// Messages that were read and not sent yet; others are made again when it is their turn.
    bodies: HashMap<Position, Bytes>,
    /// There is something that the next process should know.
    unsaved: bool,
    /// The receiver did not take the last message, or the log could not be read: said once, not for each of what may
    /// be a thousand messages.
    failing: bool,
    unread: bool,
    dice: fastrand::Rng,
}

impl<'a> Delivery<'a> {
    fn new(worker: &'a Worker, taken: Taken) -> Self {
        let Taken { revision, since, queue } = taken;
        Delivery {
            worker,
            revision,
            lease_ends: since + LEASE,
            queue,
            bodies: HashMap::new(),
            unsaved: false,
            failing: false,
            unread: false,
            dice: fastrand::Rng::new(),
        }
    }

    /// Delivers until the shutdown, or until this node may not any more: then the reason.
    async fn run(mut self) -> Option<&'static str> {
        let (reads, mut read) = mpsc::channel(READ_AHEAD);
        // Dropped, and so ended, together with this function's other futures.
        let mut readers = self.readers(&reads);
        let mut attempts = FuturesUnordered::new();
        let mut saves = FuturesUnordered::new();
        let mut save_began = Instant::now();
        let shutdown = self.worker.app.shutdown.clone();
        loop {
            while attempts.len() < AT_ONCE
                && let Some(id) = self.queue.take(now())
            {
                attempts.push(self.attempt(id));
            }
            self.report();
            let has_slot = attempts.len() < AT_ONCE;
            tokio::select! {
                Some((id, attempt)) = attempts.next() => self.settle(id, attempt),
                Some(read) = read.recv(), if self.queue.has_room() => self.note(read),
                () = sleep(self.until_next()), if has_slot => {}
                () = sleep_until(save_began + if self.unsaved { SAVE } else { RENEW }), if saves.is_empty() => {
                    save_began = Instant::now();
                    saves.push(self.save());
                }
                Some(saved) = saves.next() => if !self.note_save(saved) {
                    return Some("another node does");
                },
                () = sleep_until(self.lease_ends) => return Some("it cannot reach the journal"),
                Some(ended) = readers.join_next() => {
                    tracing::error!(?ended, "INTERNAL: a reader of the log has ended");
                    return Some("it cannot read the log");
                }
                () = shutdown.begun() => break,
            }
        }
        drop(readers);
        let settle_rest = async {
            while let Some((id, attempt)) = attempts.next().await {
                self.settle(id, attempt);
            }
        };
        // What is still under way then is sent again by whoever comes next.
        let _in_time = timeout(PATIENCE_AT_END, settle_rest).await;
        let let_go = async {
            while let Some(saved) = saves.next().await {
                self.note_save(saved);
            }
            self.release().await
        };
        if !timeout(PATIENCE_AT_END, let_go).await.unwrap_or(false) {
            tracing::warn!("the place of the notifications is not saved; some may be sent once more");
        }
        None
    }

    fn readers(&self, reads: &mpsc::Sender<Read>) -> JoinSet<()> {
        let app = &self.worker.app;
        let reader = |(partition, &after): (u16, &u64)| Reader {
            ledger: app.ledger.clone(),
            tenant: self.worker.tenant.clone(),
            partition,
            after,
            reads: reads.clone(),
        };
        (0..).zip(self.queue.read()).map(reader).map(Reader::run).collect()
    }

    fn note(&mut self, read: Read) {
        if let Some(Change { id, at, body }) = read.change {
            self.queue.add(id, at, now());
            self.bodies.insert(id.position, body);
            self.unsaved = true;
        }
        self.queue.pass(read.position);
    }

    fn attempt(&mut self, id: NotificationId) -> BoxFuture<'static, (NotificationId, Attempt)> {
        let body = self.bodies.remove(&id.position);
        let Worker { app, tenant, sender, owner: _, store: _ } = self.worker;
        let (ledger, tenant, sender) = (app.ledger.clone(), tenant.clone(), Arc::clone(sender));
        Box::pin(async move {
            let body = match body {
                Some(body) => body,
                None => match Change::load(&ledger, &tenant, id).await {
                    Ok(Some(change)) => change.body,
                    Ok(None) => return (id, Attempt::Void),
                    Err(error) => return (id, Attempt::Unread(error)),
                },
            };
            match sender.send(id, body).await {
                Ok(()) => (id, Attempt::Delivered),
                Err(reason) => (id, Attempt::Refused(reason)),
            }
        })
    }

    fn settle(&mut self, id: NotificationId, attempt: Attempt) {
        let tenant = &self.worker.tenant;
        self.unsaved = true;
        match attempt {
            Attempt::Delivered => {
                self.unread = false;
                if std::mem::take(&mut self.failing) {
                    tracing::info!(%tenant, "the tenant's endpoint takes notifications again");
                }
                self.queue.delivered(id.position);
                metrics::notification("delivered");
            }
            Attempt::Refused(reason) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%tenant, notification = %id, reason, "the tenant's endpoint does not take notifications");
                }
                metrics::notification("failed");
                let given_up = self.queue.failed(id.position, reason, now(), &mut self.dice);
                if let Some(entry) = given_up {
                    let (attempts, reason) = (entry.attempts, entry.last_error);
                    tracing::error!(
                        %tenant, notification = %id, attempts, reason,
                        "a notification was given up: the tenant does not know of this status change"
                    );
                    metrics::notification("given_up");
                }
            }
            Attempt::Unread(error) => {
                if !std::mem::replace(&mut self.unread, true) {
                    tracing::warn!(%tenant, notification = %id, %error, "notifications cannot be made from the log");
                }
                self.queue.postpone(id.position, now());
            }
            Attempt::Void => {
                tracing::error!(%tenant, notification = %id, "INTERNAL: a pending notification is of no status change");
                self.queue.delivered(id.position);
            }
        }
    }

    /// How long until there is something to send, as far as is known now.
    fn until_next(&self) -> Duration {
        let wait = self.queue.next_at().map(|at| at.duration_since(now()));
        wait.map_or(LEASE, |wait| Duration::try_from(wait).unwrap_or_default())
    }

    fn save(&mut self) -> BoxFuture<'static, Saved> {
        let (store, owner, revision) = (self.worker.store.clone(), self.worker.owner, self.revision);
        let document = Document::of(&self.queue, Some(owner));
        self.unsaved = false;
        Box::pin(async move {
            let began = Instant::now();
            let error = match store.put(revision, &document).await {
                Ok(revision) => return Saved::Done { revision, began },
                Err(error) => error,
            };
            match store.read().await {
                Ok(Some((revision, found))) if found.owner == Some(owner) => {
                    Saved::Found { revision, requested: found.requested }
                }
                Ok(_) => Saved::Lost,
                Err(_) => Saved::Failed(error),
            }
        })
    }

    /// False when the document is somebody else's.
    fn note_save(&mut self, saved: Saved) -> bool {
        match saved {
            Saved::Done { revision, began } => {
                self.revision = revision;
                self.lease_ends = began + LEASE;
            }
            Saved::Found { revision, requested } => self.note_requests(revision, requested),
            Saved::Failed(error) => {
                tracing::warn!(tenant = %self.worker.tenant, %error, "the place of the notifications is not saved");
                self.unsaved = true;
            }
            Saved::Lost => return false,
        }
        true
    }

    fn note_requests(&mut self, revision: u64, requested: Vec<Position>) {
        self.revision = revision;
        self.unsaved = true;
        for position in requested {
            self.queue.retry(position, now());
        }
    }

    /// Saves for the last time, and lets go of the document, so that whoever comes next need not wait.
    async fn release(&mut self) -> bool {
        loop {
            let document = Document::of(&self.queue, None);
            match self.worker.store.put(self.revision, &document).await {
                Ok(_) => return true,
                Err(PutMemoError::Conflict) => {}
                Err(PutMemoError::Unknown(_) | PutMemoError::Unavailable(_)) => return false,
            }
            match self.worker.store.read().await {
                Ok(Some((revision, found))) if found.owner == Some(self.worker.owner) => {
                    self.note_requests(revision, found.requested);
                }
                Ok(_) | Err(_) => return false,
            }
        }
    }

    fn report(&self) {
        let oldest = self.queue.pending().map(|entry| entry.changed_at).min();
        let age = oldest.map_or(0, |oldest| now().duration_since(oldest).as_secs().max(0));
        metrics::notifications_pending(
            self.worker.tenant.as_str(),
            self.queue.pending().len(),
            age.unsigned_abs(),
        );
    }
}
