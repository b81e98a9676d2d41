//! Load, decide, append: the one way anything gets into the log.
//!
//! A decision is made on what the journal holds and is stored only if the journal still holds exactly that, so
//! rules hold across any number of nodes without a lock. What must stay true: nothing is reported as done before
//! the journal has stored it, and a retry finds what the first try did. Nothing is refused because of what this node
//! remembers: [`recent`] may be behind, and only an append can find that out.

mod recent;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::codec::{self, DecodeError, Sealed};
use crate::commit::{Cause, Changes, Commit, Recorded};
use crate::ids::{CommitId, Position, RecordId, TenantId};
use crate::journal::{AppendError, BoxError, Draft, Journal, ReadError, Stored, Subject};
use crate::keys::{Found, Key, KeyId, Keyring};
use crate::order::ImpossibleEvent;
use crate::{offer, order, quarantine};
use recent::{Recent, Written};

/// A kind of record that commands can change: pure rules, and its place in a commit.
pub trait Aggregate: Sized + Clone + Send + Sync + 'static {
    /// What can be asked.
    type Command: Send + Sync;
    /// What can happen.
    type Event: Send + Sync;
    /// Why a command is refused.
    type Rejection: std::error::Error + Send + Sync + 'static;

    /// What `command` makes happen; no events when there is nothing to change.
    fn decide(state: Option<&Self>, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Rejection>;
    /// The record after `event`.
    fn evolve(state: Option<Self>, event: &Self::Event) -> Result<Self, ImpossibleEvent>;
    /// The events as a commit's changes.
    fn to_changes(events: Vec<Self::Event>) -> Changes;
    /// The commit's changes, if they are about this kind of record.
    fn from_changes(changes: &Changes) -> Option<&[Self::Event]>;
}

impl Aggregate for order::Order {
    type Command = order::Command;
    type Event = order::Event;
    type Rejection = order::Rejection;

    fn decide(state: Option<&Self>, command: &order::Command) -> Result<Vec<order::Event>, order::Rejection> {
        order::decide(state, command)
    }

    fn evolve(state: Option<Self>, event: &order::Event) -> Result<Self, ImpossibleEvent> {
        order::evolve(state, event)
    }

    fn to_changes(events: Vec<order::Event>) -> Changes {
        Changes::Order(events)
    }

    fn from_changes(changes: &Changes) -> Option<&[order::Event]> {
        match changes {
            Changes::Order(events) => Some(events),
            Changes::Offer(_) | Changes::Quarantine(_) => None,
        }
    }
}

impl Aggregate for offer::Offer {
    type Command = offer::Command;
    type Event = offer::Event;
    type Rejection = std::convert::Infallible;

    fn decide(
        state: Option<&Self>,
        command: &offer::Command,
    ) -> Result<Vec<offer::Event>, std::convert::Infallible> {
        Ok(offer::decide(state, command))
    }

    fn evolve(state: Option<Self>, event: &offer::Event) -> Result<Self, ImpossibleEvent> {
        Ok(offer::evolve(state, event))
    }

    fn to_changes(events: Vec<offer::Event>) -> Changes {
        Changes::Offer(events)
    }

    fn from_changes(changes: &Changes) -> Option<&[offer::Event]> {
        match changes {
            Changes::Offer(events) => Some(events),
            Changes::Order(_) | Changes::Quarantine(_) => None,
        }
    }
}

impl Aggregate for quarantine::Quarantined {
    type Command = quarantine::Command;
    type Event = quarantine::Event;
    type Rejection = quarantine::Rejection;

    fn decide(
        state: Option<&Self>,
        command: &quarantine::Command,
    ) -> Result<Vec<quarantine::Event>, quarantine::Rejection> {
        quarantine::decide(state, command)
    }

    fn evolve(state: Option<Self>, event: &quarantine::Event) -> Result<Self, ImpossibleEvent> {
        quarantine::evolve(state, event)
            .ok_or_else(|| ImpossibleEvent("a webhook is quarantined once, and closed after that".to_owned()))
    }

    fn to_changes(events: Vec<quarantine::Event>) -> Changes {
        Changes::Quarantine(events)
    }

    fn from_changes(changes: &Changes) -> Option<&[quarantine::Event]> {
        match changes {
            Changes::Quarantine(events) => Some(events),
            Changes::Order(_) | Changes::Offer(_) => None,
        }
    }
}

/// A command on its way to one record.
#[derive(Debug, Clone)]
pub struct Request<C> {
    /// Whose record.
    pub tenant: TenantId,
    /// Which record.
    pub record: RecordId,
    /// Why.
    pub cause: Cause,
    /// What is asked.
    pub command: C,
    /// Now.
    pub at: Timestamp,
    /// The record most likely does not exist yet: decide without loading, and load only on a conflict.
    pub is_new: bool,
}

/// How a request ended well.
#[derive(Debug, Clone)]
pub enum Outcome<A> {
    /// It was stored now.
    Committed(Done<A>),
    /// The same cause was stored before; this is what it did then.
    Repeated(Done<A>),
    /// There was nothing to change, and nothing was stored.
    Unchanged(Option<A>),
}

/// A stored commit and the record as that commit left it, so that a retry can be given the first answer again.
#[derive(Debug, Clone)]
pub struct Done<A> {
    /// The commit with its position.
    pub recorded: Recorded,
    /// The record after that commit, whatever came later. When the cause is a webhook or a timer, without the personal
    /// data of earlier commits: nobody asked for it.
    pub state: A,
}

/// How a request ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<R: std::error::Error + 'static> {
    /// The rules refuse it; nothing was stored.
    #[error(transparent)]
    Rejected(R),
    /// Its idempotency key was used for another request; nothing was stored.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// It is larger than the journal takes; nothing was stored.
    #[error("the commit has {size} bytes; the journal takes {limit}")]
    TooLarge {
        /// Bytes needed.
        size: usize,
        /// Bytes possible.
        limit: usize,
    },
    /// The journal did not store it in time; nothing was stored. Try again later.
    #[error("the journal is unavailable")]
    Unavailable(#[source] BoxError),
    /// The journal never said whether it was stored. Trying again with the same key is safe.
    #[error("it is unknown whether the commit was stored")]
    Unknown(#[source] BoxError),
    /// The log holds something that cannot be. A bug or damage; a person has to look.
    #[error("the log cannot be folded at {position}: {reason}")]
    Corrupt {
        /// Where.
        position: Position,
        /// What is wrong.
        reason: String,
    },
}

/// A record as its commits leave it. The record after each single commit is not kept: an order may have
/// thousands of commits, and many requests look at it at once. Who needs it has [`fold`].
#[derive(Debug, Clone)]
pub struct History<A> {
    /// Its commits, oldest first.
    pub commits: Vec<Recorded>,
    /// The record after the last of them; none when there is none.
    pub state: Option<A>,
}

/// Why a record's history could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The journal cannot be read now.
    #[error("the journal is unavailable")]
    Unavailable(#[source] BoxError),
    /// The log holds something that cannot be.
    #[error("the log cannot be folded at {position}: {reason}")]
    Corrupt {
        /// Where.
        position: Position,
        /// What is wrong.
        reason: String,
    },
}

/// Why personal data was not forgotten, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// A commit from before personal data was sealed has some that no key can take away.
    #[error("the commit at {position} holds personal data that was never sealed")]
    NotSealed {
        /// Where.
        position: Position,
    },
    /// The journal or its keys cannot be read or written now. Trying again is safe.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl From<ReadError> for LoadError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(source) => LoadError::Unavailable(source),
            ReadError::Foreign { position, reason } => LoadError::Corrupt { position, reason },
        }
    }
}

impl<R: std::error::Error + 'static> From<LoadError> for ExecuteError<R> {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Unavailable(source) => ExecuteError::Unavailable(source),
            LoadError::Corrupt { position, reason } => ExecuteError::Corrupt { position, reason },
        }
    }
}

/// How long `execute` tries, and how it waits in between.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// After this long a request ends in `Unavailable` or `Unknown`.
    pub give_up_after: Duration,
    /// The first wait after a failure; doubled each time, up to a second.
    pub first_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy { give_up_after: Duration::from_secs(10), first_wait: Duration::from_millis(5) }
    }
}

/// The write side: rules in front of a journal.
#[derive(Clone)]
pub struct Ledger {
    journal: Arc<dyn Journal>,
    keyring: Keyring,
    recent: Arc<Recent>,
    retry: RetryPolicy,
}

impl Ledger {
    /// A ledger that writes to `journal`.
    pub fn new(journal: Arc<dyn Journal>, retry: RetryPolicy) -> Self {
        let keyring = Keyring::new(journal.keys());
        Ledger { journal, keyring, recent: Arc::default(), retry }
    }

    /// The keys of the personal data in the journal.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The journal it writes to.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }

    /// After how long a request ends in `Unavailable` or `Unknown` at the latest.
    pub fn gives_up_after(&self) -> Duration {
        self.retry.give_up_after
    }

    /// A record's commits, oldest first, with their personal data as long as there is a key to it.
    pub async fn commits(&self, tenant: &TenantId, record: RecordId) -> Result<Vec<Recorded>, LoadError> {
        let subject = Subject { tenant: tenant.clone(), id: record };
        let mut commits = Vec::new();
        for stored in self.journal.load(&subject).await? {
            commits.push(self.open(&stored).await?);
        }
        Ok(commits)
    }

    /// A stored commit with its personal data, as long as there is a key to it.
    pub async fn open(&self, stored: &Stored) -> Result<Recorded, LoadError> {
        self.opened(stored.position, &stored.bytes).await
    }

    async fn opened(&self, position: Position, bytes: &[u8]) -> Result<Recorded, LoadError> {
        let (mut recorded, sealed) = decode(position, bytes)?;
        self.unseal(&mut recorded, sealed.as_ref()).await?;
        Ok(recorded)
    }

    /// Puts back what is sealed of a commit that was decoded without it, as long as there is a key to it.
    pub async fn unseal(&self, recorded: &mut Recorded, sealed: Option<&Sealed>) -> Result<(), LoadError> {
        let Some(sealed) = sealed else { return Ok(()) };
        let Some(key) = self.keyring.find(sealed.key).await?.key() else { return Ok(()) };
        open(sealed, &key, recorded)
    }

    /// The commits, and what their record's next one is to be sealed with.
    async fn read(
        &self,
        written: &[Written],
        opening: Opening,
    ) -> Result<(Vec<Recorded>, Sealing), LoadError> {
        let mut commits = Vec::new();
        let mut sealing = Sealing::NewKey;
        for (position, bytes) in written {
            let (mut recorded, sealed) = decode(*position, bytes)?;
            if let Some(sealed) = &sealed {
                let found = self.keyring.find(sealed.key).await?;
                if let (Opening::Everything, Some(key)) = (opening, found.key()) {
                    open(sealed, &key, &mut recorded)?;
                }
                sealing = match (sealing, found) {
                    (Sealing::Nothing, _) | (_, Found::Destroyed) => Sealing::Nothing,
                    (_, Found::Key(key)) => Sealing::Key(key),
                    (before, Found::Lost) => before,
                };
            }
            commits.push(recorded);
        }
        Ok((commits, sealing))
    }

    /// To be told of commits as they appear in the log: those of other nodes make what this one remembers of their
    /// records old. Without it decisions are as right, and more of them are made twice.
    pub fn heard_of(&self, recorded: &Recorded) {
        self.recent.heard_of(&recorded.commit.subject(), recorded.position);
    }

    /// Destroys the keys of a record's personal data: it can never be read again, in no copy of the log. Money,
    /// status and references stay. Returns how many commits had something sealed; none when there is no such record.
    ///
    /// An order is then to be told, by [`order::Command::ForgetPersonalData`], so that every node hears of it.
    pub async fn destroy_keys(
        &self,
        tenant: &TenantId,
        record: RecordId,
    ) -> Result<Option<usize>, ForgetError> {
        let subject = Subject { tenant: tenant.clone(), id: record };
        let stored = self.journal.load(&subject).await.map_err(LoadError::from)?;
        if stored.is_empty() {
            return Ok(None);
        }
        let mut keys: Vec<KeyId> = Vec::new();
        let mut sealed_commits = 0;
        for Stored { position, bytes, .. } in &stored {
            let (recorded, sealed) = decode(*position, bytes)?;
            match sealed {
                Some(sealed) => {
                    sealed_commits += 1;
                    if !keys.contains(&sealed.key) {
                        keys.push(sealed.key);
                    }
                }
                None if codec::holds_open_personal_data(&recorded.commit) => {
                    return Err(ForgetError::NotSealed { position: *position });
                }
                None => {}
            }
        }
        for key in keys {
            self.keyring.destroy(key).await.map_err(|error| LoadError::Unavailable(error.into()))?;
        }
        Ok(Some(sealed_commits))
    }

    /// A record's commits, and the record after the last of them.
    pub async fn history<A: Aggregate>(
        &self,
        tenant: &TenantId,
        record: RecordId,
    ) -> Result<History<A>, LoadError> {
        let mut commits = Vec::new();
        let state = fold(self.commits(tenant, record).await?, |recorded, _| commits.push(recorded))?;
        Ok(History { commits, state })
    }

    /// Makes `request` happen once, however often it is sent and whatever races with it.
    pub async fn execute<A: Aggregate>(
        &self,
        request: Request<A::Command>,
    ) -> Result<Outcome<A>, ExecuteError<A::Rejection>> {
        let mut patience = Patience::new(self.retry);
        let mut record = Loaded::nothing();
        let mut is_loaded = request.is_new;
        let mut source = Source::Memory;
        let mut tried: Vec<CommitId> = Vec::new();
        loop {
            if !is_loaded {
                // In a box, since every new record would have room for it and copy that around.
                record = Box::pin(self.load_patiently(&request, source, &tried, &mut patience)).await?;
                if let Some(done) = record.done.take() {
                    return done_before(done, &request.cause, &tried);
                }
            }
            let Loaded { state: before, last_sequence: expected, done: _, sealing, may_be_behind } = record;
            let events = match A::decide(before.as_ref(), &request.command) {
                Ok(events) if !events.is_empty() => events,
                // Another node may have stored more meanwhile, and nothing is appended that would find it out.
                Ok(_) | Err(_) if may_be_behind => {
                    record = Loaded::nothing();
                    source = Source::Journal;
                    continue;
                }
                Ok(_) => return Ok(Outcome::Unchanged(before)),
                Err(rejection) => return Err(ExecuteError::Rejected(rejection)),
            };
            let (commit, state) = prepare(&request, before, events, expected)?;
            let key = self.key_patiently(sealing, &mut patience).await?;
            if let Some(position) =
                self.append_patiently(&commit, key.as_ref(), expected, &mut patience).await?
            {
                return Ok(Outcome::Committed(Done { recorded: Recorded { position, commit }, state }));
            }
            // A conflict. What was decided is void: look again, decide again, under a new commit id.
            tried.push(commit.id);
            patience.after_conflict().await?;
            record = Loaded::nothing();
            source = Source::Journal;
            is_loaded = false;
        }
    }

    async fn load_patiently<A: Aggregate>(
        &self,
        request: &Request<A::Command>,
        source: Source,
        tried: &[CommitId],
        patience: &mut Patience,
    ) -> Result<Loaded<A>, ExecuteError<A::Rejection>> {
        loop {
            match self.load(request, source, tried).await {
                Ok(loaded) => return Ok(loaded),
                Err(LoadError::Unavailable(source)) => {
                    patience.after_failure(source).await.map_err(ExecuteError::Unavailable)?;
                }
                Err(corrupt @ LoadError::Corrupt { .. }) => return Err(corrupt.into()),
            }
        }
    }

    async fn load<A: Aggregate>(
        &self,
        request: &Request<A::Command>,
        source: Source,
        tried: &[CommitId],
    ) -> Result<Loaded<A>, LoadError> {
        let subject = Subject { tenant: request.tenant.clone(), id: request.record };
        let remembered = match source {
            Source::Memory => self.recent.of(&subject),
            Source::Journal => None,
        };
        let may_be_behind = remembered.is_some();
        let written = match remembered {
            Some(written) => written,
            None => {
                let commits = self.journal.load(&subject).await?;
                self.recent.loaded(&subject, &commits);
                commits.into_iter().map(|stored| (stored.position, stored.bytes)).collect()
            }
        };
        let opening = Opening::of(&request.cause);
        let (commits, sealing) = self.read(&written, opening).await?;
        let (mut last_sequence, mut done) = (0, None);
        let state = fold(commits, |recorded, state: &A| {
            last_sequence = recorded.position.sequence;
            let Commit { id, cause, .. } = &recorded.commit;
            if done.is_none() && (tried.contains(id) || cause.is_repeated_by(&request.cause)) {
                done = Some(Done { recorded, state: state.clone() });
            }
        })?;
        if let (Some(Done { recorded, .. }), Opening::Nothing) = (&mut done, opening) {
            let same = written.iter().find(|(position, _)| *position == recorded.position);
            if let Some((position, bytes)) = same {
                *recorded = self.opened(*position, bytes).await?;
            }
        }
        Ok(Loaded { state, last_sequence, done, sealing, may_be_behind })
    }

    /// The key to seal a commit with; none for a record whose key was destroyed.
    async fn key_patiently<R: std::error::Error + 'static>(
        &self,
        sealing: Sealing,
        patience: &mut Patience,
    ) -> Result<Option<Key>, ExecuteError<R>> {
        match sealing {
            Sealing::Key(key) => return Ok(Some(key)),
            Sealing::Nothing => return Ok(None),
            Sealing::NewKey => {}
        }
        loop {
            match self.keyring.issue().await {
                Ok(key) => return Ok(Some(key)),
                Err(source) => patience.after_failure(source).await.map_err(ExecuteError::Unavailable)?,
            }
        }
    }

    /// Sends one draft with one expectation until the journal gives a clear answer: its position, or `None`
    /// for a conflict.
    async fn append_patiently<R: std::error::Error + 'static>(
        &self,
        commit: &Commit,
        key: Option<&Key>,
        expected: u64,
        patience: &mut Patience,
    ) -> Result<Option<Position>, ExecuteError<R>> {
        let bytes = codec::encode_sealed(commit, key).into();
        let draft = Draft { subject: commit.subject(), commit_id: commit.id, bytes };
        let mut in_doubt = false;
        loop {
            let source = match self.journal.append(&draft, expected).await {
                Ok(position) => {
                    self.recent.stored(&draft, expected, position);
                    return Ok(Some(position));
                }
                Err(AppendError::Conflict { .. }) => return Ok(None),
                Err(AppendError::TooLarge { size, limit }) => {
                    return Err(ExecuteError::TooLarge { size, limit });
                }
                Err(AppendError::Unknown(source)) => {
                    in_doubt = true;
                    source
                }
                Err(AppendError::Unavailable(source)) => source,
            };
            let give_up = if in_doubt { ExecuteError::Unknown } else { ExecuteError::Unavailable };
            patience.after_failure(source).await.map_err(give_up)?;
        }
    }
}

/// A record as one request needs it.
struct Loaded<A> {
    state: Option<A>,
    /// The sequence of its last commit, 0 when there is none: what the next append expects.
    last_sequence: u64,
    /// The commit that this very request has made before, and the record after it.
    done: Option<Done<A>>,
    sealing: Sealing,
    /// It comes from this node's memory, and other nodes may have stored more.
    may_be_behind: bool,
}

/// Where a record is looked for.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// In this node's memory, and in the journal if it is not there.
    Memory,
    /// In the journal.
    Journal,
}

impl<A> Loaded<A> {
    fn nothing() -> Self {
        Loaded { state: None, last_sequence: 0, done: None, sealing: Sealing::NewKey, may_be_behind: false }
    }
}

/// What the next commit of a record is sealed with.
enum Sealing {
    /// A new key: nothing of the record is sealed yet, or its key was lost.
    NewKey,
    /// The record's key.
    Key(Key),
    /// The record's key was destroyed: nothing personal is written down any more.
    Nothing,
}

/// How much of a record a decision on it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// All of it: a command is compared with the hashes of those before it, and answered with the record.
    Everything,
    /// Nothing: no rule asks for personal data, and neither who sent a webhook nor a clock is answered with any.
    Nothing,
}

impl Opening {
    fn of(cause: &Cause) -> Self {
        match cause {
            Cause::Command { .. } => Opening::Everything,
            Cause::Webhook { .. } | Cause::Timer { .. } => Opening::Nothing,
        }
    }
}

fn open(sealed: &Sealed, key: &Key, recorded: &mut Recorded) -> Result<(), LoadError> {
    let opened = sealed.open(key, &mut recorded.commit);
    opened.map_err(|DecodeError(reason)| LoadError::Corrupt { position: recorded.position, reason })
}

fn decode(position: Position, bytes: &[u8]) -> Result<(Recorded, Option<Sealed>), LoadError> {
    match codec::decode_sealed(bytes) {
        Ok((commit, sealed)) => Ok((Recorded { position, commit }, sealed)),
        Err(DecodeError(reason)) => Err(LoadError::Corrupt { position, reason }),
    }
}

/// Folds a record's commits, oldest first; `each` gets every one of them with the record after it. None when they
/// are about another kind of record: to whoever asks for this kind, there is none of this id.
pub fn fold<A: Aggregate>(
    commits: impl IntoIterator<Item = Recorded>,
    mut each: impl FnMut(Recorded, &A),
) -> Result<Option<A>, LoadError> {
    let mut state = None;
    for recorded in commits {
        let position = recorded.position;
        let Some(events) = A::from_changes(&recorded.commit.changes) else { return Ok(None) };
        let after = after_events(state, events)
            .map_err(|ImpossibleEvent(reason)| LoadError::Corrupt { position, reason })?;
        each(recorded, &after);
        state = Some(after);
    }
    Ok(state)
}

fn after_events<A: Aggregate>(before: Option<A>, events: &[A::Event]) -> Result<A, ImpossibleEvent> {
    let mut state = before;
    for event in events {
        state = Some(A::evolve(state, event)?);
    }
    state.ok_or_else(|| ImpossibleEvent("a commit without events".to_owned()))
}

/// What a request that was stored before is answered.
fn done_before<A: Aggregate>(
    done: Done<A>,
    cause: &Cause,
    tried: &[CommitId],
) -> Result<Outcome<A>, ExecuteError<A::Rejection>> {
    // Just after a change of leaders a journal may call a commit a conflict that it has stored.
    if tried.contains(&done.recorded.commit.id) {
        return Ok(Outcome::Committed(done));
    }
    match (&done.recorded.commit.cause, cause) {
        (Cause::Command { request_hash: first, .. }, Cause::Command { request_hash: now, .. })
            if !first.is_repeated_by(*now) =>
        {
            Err(ExecuteError::KeyReused)
        }
        _ => Ok(Outcome::Repeated(done)),
    }
}

/// The commit that `events` make, and the record after it. Folding before storing keeps out of the log whatever
/// could never be folded again.
fn prepare<A: Aggregate>(
    request: &Request<A::Command>,
    before: Option<A>,
    events: Vec<A::Event>,
    expected: u64,
) -> Result<(Commit, A), ExecuteError<A::Rejection>> {
    let state = after_events(before, &events).map_err(|ImpossibleEvent(reason)| ExecuteError::Corrupt {
        position: Position { partition: 0, sequence: expected },
        reason: format!("a decision cannot be folded: {reason}"),
    })?;
    let commit = Commit {
        id: CommitId::random(),
        tenant: request.tenant.clone(),
        record: request.record,
        decided_at: request.at,
        cause: request.cause.clone(),
        changes: A::to_changes(events),
    };
    Ok((commit, state))
}

/// The time one request has left, and the pauses in it.
struct Patience {
    deadline: Instant,
    wait: Duration,
    conflicts: u32,
}

impl Patience {
    fn new(policy: RetryPolicy) -> Self {
        let deadline = Instant::now() + policy.give_up_after;
        Patience { deadline, wait: policy.first_wait, conflicts: 0 }
    }

    /// Pauses, or gives the failure back when the time is up.
    async fn after_failure(&mut self, source: BoxError) -> Result<(), BoxError> {
        if Instant::now() + self.wait >= self.deadline {
            return Err(source);
        }
        tracing::warn!(error = %source, wait_ms = self.wait.as_millis() as u64, "journal failed; trying again");
        tokio::time::sleep(jittered(self.wait)).await;
        self.wait = (self.wait * 2).min(Duration::from_secs(1));
        Ok(())
    }

    /// Steps aside for a moment that grows with the crowd. A conflict means that somebody else got on.
    async fn after_conflict<R: std::error::Error + 'static>(&mut self) -> Result<(), ExecuteError<R>> {
        if Instant::now() >= self.deadline {
            return Err(ExecuteError::Unavailable("too many others write to this record".into()));
        }
        self.conflicts += 1;
        tokio::time::sleep(jittered(Duration::from_millis(u64::from(self.conflicts.min(20))))).await;
        Ok(())
    }
}

/// Between nothing and all of `wait`, so that those who failed together do not come back together.
fn jittered(wait: Duration) -> Duration {
    Duration::from_micros(fastrand::u64(0..=wait.as_micros() as u64))
}

#[cfg(test)]
mod tests;
