//! The use cases that every surface shares: domain in, domain out.
//!
//! A surface translates its words to these and back, and decides nothing. What must stay true: an answer is built
//! from the stored commit alone, so a retry gets the first answer again; whatever was accepted here is shown by
//! every later read on this node.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{Timestamp, Unit};
use ledger::commit::{Cause, Changes, Commit, Recorded};
use ledger::execute::{Aggregate, Done, ExecuteError, History, LoadError, Outcome, Request, fold};
use ledger::ids::{CaptureId, Position, RecordId, RefundId, RequestHash, TenantId};
use ledger::journal::BoxError;
use ledger::money::Money;
use ledger::offer::{self, Offer};
use ledger::order::{self, Checkout, Command, Notification, Order, PaymentMethod};
use projections::views::{HistoryEntry, OrderView};
use projections::{ReadError, Views};
use serde::Serialize;
use tokio::time::Instant;

use crate::app::App;

/// Operation kinds: the scopes of idempotency keys. They are part of every derived id and never change.
pub mod operation {
    /// A checkout on `/v1`.
    pub const CHECKOUT: &str = "checkout";
    /// A capture of an order.
    pub const CAPTURE: &str = "capture";
    /// A refund of an order.
    pub const REFUND: &str = "refund";
    /// A cancellation of an order.
    pub const CANCELLATION: &str = "cancellation";
    /// Forgetting an order's personal data.
    pub const FORGET: &str = "forget";
    /// Trying a quarantined webhook again.
    pub const QUARANTINE_RETRY: &str = "quarantine.retry";
    /// Discarding a quarantined webhook.
    pub const QUARANTINE_DISCARD: &str = "quarantine.discard";
    /// The registration of an offer.
    pub const OFFER: &str = "offer";
    /// A checkout on the Azotte surface.
    pub const AZOTTE_CHECKOUT: &str = "azotte.checkout";
    /// An order on the Akinon surface, by Akinon's `orderId`: the scope of its id.
    pub const AKINON_ORDER: &str = "akinon.order";
    /// A session of an Akinon order.
    pub const AKINON_SESSION: &str = "akinon.session";
    /// The completion of an Akinon order.
    pub const AKINON_PURCHASE: &str = "akinon.purchase";
    /// The cancellation of an Akinon order.
    pub const AKINON_VOID: &str = "akinon.void";
    /// A refund of an Akinon order.
    pub const AKINON_REFUND: &str = "akinon.refund";
    /// What a purchase on the Akinon surface was answered.
    pub const AKINON_PURCHASE_ANSWER: &str = "akinon.purchase.answer";
    /// What a void on the Akinon surface was answered.
    pub const AKINON_VOID_ANSWER: &str = "akinon.void.answer";
    /// What a refund on the Akinon surface was answered.
    pub const AKINON_REFUND_ANSWER: &str = "akinon.refund.answer";
    /// A checkout on the OrkestaPay surface.
    pub const ORKESTAPAY_CHECKOUT: &str = "orkestapay.checkout";
    /// A refund on the OrkestaPay surface.
    pub const ORKESTAPAY_REFUND: &str = "orkestapay.refund";
    /// What the caller was told of a refund on the OrkestaPay surface.
    pub const ORKESTAPAY_REFUND_ANSWER: &str = "orkestapay.refund_answer";
    /// A transaction on the Carat surface.
    pub const CARAT_TRANSACTION: &str = "carat.transaction";
    /// The effectuation of a Carat transaction: its confirmation, or its undoing.
    pub const CARAT_EFFECTUATION: &str = "carat.effectuation";
    /// A purchase order on the Kronor surface.
    pub const KRONOR_PURCHASE_ORDER: &str = "kronor.purchase_order";
    /// The cancellation of a Kronor purchase order.
    pub const KRONOR_CANCELLATION: &str = "kronor.cancellation";
}

/// How long a list waits for views that are behind.
const PATIENCE_WITH_LISTS: Duration = Duration::from_secs(1);

/// Who asks, under which idempotency key, for what content, and when.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The caller.
    pub tenant: TenantId,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// Hash of the content, to tell a retry from another request under the same key.
    pub hash: RequestHash,
    /// Now, in whole milliseconds.
    pub at: Timestamp,
}

impl Ask {
    /// An ask for `content`: the request in its canonical form, without what was left out and without defaults
    /// that depend on the clock.
    pub fn new(tenant: TenantId, key: Option<String>, content: &impl Serialize) -> Result<Self, OrderError> {
        let canonical = serde_json::to_vec(content).map_err(|e| OrderError::internal(e.into()))?;
        Ok(Ask { tenant, key, hash: RequestHash::of(&canonical), at: now() })
    }

    /// Why a commit of this operation comes about.
    pub fn cause(&self, operation: &str) -> Cause {
        Cause::Command { operation: operation.to_owned(), key: self.key.clone(), request_hash: self.hash }
    }
}

/// The clock, in whole milliseconds: what the log can hold.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now)
}

/// How a use case ended badly.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The rules refuse it; nothing was stored.
    #[error(transparent)]
    Rejected(order::Rejection),
    /// There is no such thing for this tenant.
    #[error("there is no such order")]
    NotFound,
    /// The idempotency key was used for another request; nothing was stored.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// It does not fit into the log; nothing was stored.
    #[error("the commit has {size} bytes; the journal takes {limit}")]
    TooLarge {
        /// Bytes needed.
        size: usize,
        /// Bytes possible.
        limit: usize,
    },
    /// Nothing was stored, or nothing could be read. Try again later.
    #[error("the journal is unavailable")]
    Unavailable(#[source] BoxError),
    /// It may have been stored. Trying again with the same key is safe.
    #[error("it is unknown whether the commit was stored")]
    Unknown(#[source] BoxError),
    /// A bug, or damage. A person has to look; logged where it was met.
    #[error("internal: {0}")]
    Internal(#[source] BoxError),
}

impl From<ExecuteError<order::Rejection>> for OrderError {
    fn from(error: ExecuteError<order::Rejection>) -> Self {
        OrderError::of(error, |rejection| {
            if rejection == order::Rejection::NotFound {
                OrderError::NotFound
            } else {
                OrderError::Rejected(rejection)
            }
        })
    }
}

impl From<ExecuteError<std::convert::Infallible>> for OrderError {
    fn from(error: ExecuteError<std::convert::Infallible>) -> Self {
        OrderError::of(error, |never| match never {})
    }
}

impl From<LoadError> for OrderError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Unavailable(source) => OrderError::unavailable(source),
            corrupt @ LoadError::Corrupt { .. } => OrderError::internal(corrupt.into()),
        }
    }
}

impl From<ReadError> for OrderError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Load(error) => error.into(),
            ReadError::Store(error) => error.into(),
        }
    }
}

impl From<projections::StoreError> for OrderError {
    fn from(error: projections::StoreError) -> Self {
        OrderError::internal(error.into())
    }
}

impl OrderError {
    /// How `execute` ended, with what its rules refused in this module's words.
    pub fn of<R: std::error::Error + Send + Sync + 'static>(
        error: ExecuteError<R>,
        rejected: impl FnOnce(R) -> OrderError,
    ) -> Self {
        match error {
            ExecuteError::Rejected(rejection) => rejected(rejection),
            ExecuteError::KeyReused => OrderError::KeyReused,
            ExecuteError::TooLarge { size, limit } => OrderError::TooLarge { size, limit },
            ExecuteError::Unavailable(source) => OrderError::unavailable(source),
            ExecuteError::Unknown(source) => OrderError::unknown(source),
            corrupt @ ExecuteError::Corrupt { .. } => OrderError::internal(corrupt.into()),
        }
    }

    /// Damage or a bug, said loudly in the log.
    pub fn internal(source: BoxError) -> Self {
        tracing::error!(error = %source, "INTERNAL: damage or a bug; a person has to look");
        OrderError::Internal(source)
    }

    fn unavailable(source: BoxError) -> Self {
        tracing::warn!(error = %source, "the journal is unavailable");
        OrderError::Unavailable(source)
    }

    fn unknown(source: BoxError) -> Self {
        tracing::warn!(error = %source, "nobody knows whether a commit was stored");
        OrderError::Unknown(source)
    }
}

/// Opens an order. The same key of the same operation is the same order, for ever.
pub async fn submit(
    app: &App,
    ask: Ask,
    operation: &str,
    checkout: Checkout,
) -> Result<Done<Order>, OrderError> {
    let record = match &ask.key {
        Some(key) => RecordId::for_key(&ask.tenant, operation, key),
        None => RecordId::random(),
    };
    submit_as(app, ask, operation, record, checkout).await
}

/// The same for an order whose id does not come from the request's own key.
pub async fn submit_as(
    app: &App,
    ask: Ask,
    operation: &str,
    record: RecordId,
    checkout: Checkout,
) -> Result<Done<Order>, OrderError> {
    let command = Command::Submit(Box::new(checkout));
    execute(app, &ask, operation, record, command, true).await
}

/// What the same request did before, for a request that could no longer be made now.
pub async fn submitted_before(
    app: &App,
    ask: &Ask,
    operation: &str,
) -> Result<Option<Done<Order>>, OrderError> {
    let Some(key) = &ask.key else { return Ok(None) };
    let record = RecordId::for_key(&ask.tenant, operation, key);
    let mut first = None;
    fold(app.ledger.commits(&ask.tenant, record).await?.into_iter().take(1), |recorded, state: &Order| {
        first = Some(Done { recorded, state: state.clone() });
    })?;
    let Some(first) = first else { return Ok(None) };
    match &first.recorded.commit.cause {
        Cause::Command { request_hash, .. } if request_hash.is_repeated_by(ask.hash) => {
            note(app, &first);
            Ok(Some(first))
        }
        Cause::Command { .. } | Cause::Webhook { .. } | Cause::Timer { .. } => Err(OrderError::KeyReused),
    }
}

/// Asks for a capture; of all that is left without an amount.
pub async fn capture(
    app: &App,
    ask: Ask,
    operation: &str,
    order: RecordId,
    amount: Option<Money>,
) -> Result<Done<Order>, OrderError> {
    let id = CaptureId::for_key(order, scoped(operation, operation::CAPTURE, &ask).as_deref());
    execute(app, &ask, operation, order, Command::Capture { id, amount }, false).await
}

/// Asks for a refund; of all that is left without an amount.
pub async fn refund(
    app: &App,
    ask: Ask,
    operation: &str,
    order: RecordId,
    amount: Option<Money>,
    reason: Option<String>,
) -> Result<Done<Order>, OrderError> {
    let id = RefundId::for_key(order, scoped(operation, operation::REFUND, &ask).as_deref());
    execute(app, &ask, operation, order, Command::Refund { id, amount, reason }, false).await
}

/// Asks for a refund of one attempt's payment, where the caller names it.
pub async fn refund_attempt(
    app: &App,
    ask: Ask,
    operation: &str,
    order: RecordId,
    refund: AttemptRefund,
) -> Result<Done<Order>, OrderError> {
    let AttemptRefund { attempt, amount, reason } = refund;
    let id = RefundId::for_key(order, scoped(operation, operation::REFUND, &ask).as_deref());
    let command = Command::RefundAttempt { attempt, id, amount, reason };
    execute(app, &ask, operation, order, command, false).await
}

/// What is to be given back of one attempt's payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRefund {
    /// Which attempt.
    pub attempt: u32,
    /// How much.
    pub amount: Money,
    /// The shop's reason, for people.
    pub reason: Option<String>,
}

/// The key that a movement's id is made of: two doors may be given the same key for different things.
fn scoped(operation: &str, native: &str, ask: &Ask) -> Option<String> {
    let key = ask.key.as_ref()?;
    Some(if operation == native { key.clone() } else { format!("{operation}/{key}") })
}

/// Gives an order up.
pub async fn cancel(
    app: &App,
    ask: Ask,
    operation: &str,
    order: RecordId,
) -> Result<Done<Order>, OrderError> {
    execute(app, &ask, operation, order, Command::Cancel, false).await
}

/// Begins another try to pay an order, with what its surface has to remember of it.
pub async fn start_attempt(
    app: &App,
    ask: Ask,
    operation: &str,
    order: RecordId,
    payment_method: Option<PaymentMethod>,
    data: BTreeMap<String, String>,
) -> Result<Done<Order>, OrderError> {
    let command = Command::StartAttempt { payment_method, now: ask.at, data };
    execute(app, &ask, operation, order, command, false).await
}

/// Writes down that an order was paid outside, on the caller's word.
pub async fn confirm(
    app: &App,
    ask: Ask,
    operation: &str,
    order: RecordId,
    confirmation: Confirmation,
) -> Result<Done<Order>, OrderError> {
    let Confirmation { payment_reference, reference, amount, data } = confirmation;
    let command = Command::Confirm { payment_reference, reference, amount, now: ask.at, data };
    execute(app, &ask, operation, order, command, false).await
}

/// A payment that was made outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// The caller's name for the payment.
    pub payment_reference: Option<String>,
    /// Names this movement of money.
    pub reference: String,
    /// How much.
    pub amount: Money,
    /// What the surface has to remember of it.
    pub data: BTreeMap<String, String>,
}

/// Writes down what only a surface understands; at least one field. The same key gets back what the first one
/// noted: whoever comes second reads it from [`noted`].
pub async fn note_for_surface(
    app: &App,
    ask: Ask,
    operation: &str,
    order: RecordId,
    data: BTreeMap<String, String>,
) -> Result<Done<Order>, OrderError> {
    execute(app, &ask, operation, order, Command::Note { data }, false).await
}

/// What a surface noted in a commit.
pub fn noted(commit: &Commit) -> Option<&BTreeMap<String, String>> {
    let Changes::Order(events) = &commit.changes else { return None };
    events.iter().find_map(|event| {
        let order::Event::SurfaceNoted { data } = event else { return None };
        Some(data)
    })
}

/// An order's commits, oldest first, from the journal itself; with all that was noted.
pub async fn commits(app: &App, tenant: &TenantId, order: RecordId) -> Result<Vec<Recorded>, OrderError> {
    let commits = app.ledger.commits(tenant, order).await?;
    let is_order = |recorded: &Recorded| matches!(recorded.commit.changes, Changes::Order(_));
    if commits.first().is_some_and(is_order) { Ok(commits) } else { Err(OrderError::NotFound) }
}

/// The order once `is_over` says so, or as it is when the time is up. Asks at once, then after every change.
pub async fn wait_until(
    app: &App,
    tenant: &TenantId,
    id: RecordId,
    at_least: Option<Position>,
    wait: Duration,
    mut is_over: impl FnMut(&OrderView) -> bool,
) -> Result<OrderView, OrderError> {
    // First the watch, then the reading: no change in between is missed.
    let mut waiter = app.projector.watch(id);
    let deadline = Instant::now() + wait;
    let mut view = order(app, tenant, id, at_least).await?;
    while !is_over(&view) {
        tokio::select! {
            () = waiter.changed() => view = order(app, tenant, id, at_least).await?,
            () = tokio::time::sleep_until(deadline) => break,
            () = app.shutdown.begun() => break,
        }
    }
    Ok(view)
}

/// What became of a webhook that was given to its order.
#[derive(Debug, Clone)]
pub enum WebhookOutcome {
    /// It is in the order's log now.
    Recorded(Done<Order>),
    /// It was there already: the same source and event id.
    Duplicate(Done<Order>),
}

/// Writes down what a *verified* webhook says about an order. `Rejected` and `NotFound` mean quarantine.
pub async fn record_webhook(
    app: &App,
    tenant: &TenantId,
    order: RecordId,
    cause: Cause,
    notification: Notification,
) -> Result<WebhookOutcome, OrderError> {
    let request = Request {
        tenant: tenant.clone(),
        record: order,
        cause,
        command: Command::Record(notification),
        at: now(),
        is_new: false,
    };
    match app.ledger.execute::<Order>(request).await? {
        Outcome::Committed(done) => {
            note(app, &done);
            Ok(WebhookOutcome::Recorded(done))
        }
        Outcome::Repeated(done) => {
            note(app, &done);
            Ok(WebhookOutcome::Duplicate(done))
        }
        Outcome::Unchanged(_) => Err(OrderError::internal("a recorded webhook left no event".into())),
    }
}

/// An offer after it was registered.
#[derive(Debug, Clone)]
pub struct Registered {
    /// As it stands now.
    pub offer: Offer,
    /// Its newest commit.
    pub position: Position,
    /// There was none of this name before.
    pub is_new: bool,
}

/// Registers an offer, or replaces what was registered under its name.
pub async fn register_offer(app: &App, ask: Ask, offer: Offer) -> Result<Registered, OrderError> {
    let record = Offer::record_id(&ask.tenant, &offer.identifier);
    let request = Request {
        tenant: ask.tenant.clone(),
        record,
        cause: ask.cause(operation::OFFER),
        command: offer::Command::Register(offer),
        at: ask.at,
        is_new: false,
    };
    let committed = match app.ledger.execute::<Offer>(request).await? {
        Outcome::Committed(done) | Outcome::Repeated(done) => Some(done),
        Outcome::Unchanged(_) => None,
    };
    let History { mut commits, state } = app.ledger.history::<Offer>(&ask.tenant, record).await?;
    let first = commits.first().map(|first| first.position);
    let is_new = committed.as_ref().is_some_and(|done| Some(done.recorded.position) == first);
    let newest = commits.pop().zip(state).map(|(recorded, state)| Done { recorded, state });
    let Some(done) = committed.or(newest) else {
        return Err(OrderError::internal("a registered offer is not in the log".into()));
    };
    note(app, &done);
    Ok(Registered { position: done.recorded.position, offer: done.state, is_new })
}

/// An offer by the shop's name for it.
pub async fn offer(
    app: &App,
    tenant: &TenantId,
    identifier: &str,
) -> Result<Option<(Offer, Position)>, OrderError> {
    Ok(app.reader.offer(tenant, identifier).await?)
}

/// An order, at least as new as `at_least` and as everything this node accepted.
pub async fn order(
    app: &App,
    tenant: &TenantId,
    id: RecordId,
    at_least: Option<Position>,
) -> Result<OrderView, OrderError> {
    app.reader.order(tenant, id, at_least).await?.ok_or(OrderError::NotFound)
}

/// An order's history, oldest first, likewise.
pub async fn history(
    app: &App,
    tenant: &TenantId,
    id: RecordId,
    at_least: Option<Position>,
) -> Result<Vec<HistoryEntry>, OrderError> {
    let entries = app.reader.history(tenant, id, at_least).await?;
    if entries.is_empty() { Err(OrderError::NotFound) } else { Ok(entries) }
}

/// The views, once they show what this node accepted and what the caller has seen elsewhere. A projector that is
/// far behind is not waited for: lists are then older, and `/readyz` says so.
pub async fn fresh_views(app: &App, at_least: Option<Position>) -> &Views {
    let ours = app.accepted.newest();
    let wanted = ours.into_iter().chain(at_least.filter(|position| position.partition < app.partitions()));
    let caught_up = futures::future::join_all(wanted.map(|position| app.projector.reached(position)));
    if tokio::time::timeout(PATIENCE_WITH_LISTS, caught_up).await.is_err() {
        tracing::warn!("the views are behind; a list may be older than what its reader has seen");
    }
    &app.views
}

async fn execute(
    app: &App,
    ask: &Ask,
    operation: &str,
    record: RecordId,
    command: Command,
    is_new: bool,
) -> Result<Done<Order>, OrderError> {
    let request = Request {
        tenant: ask.tenant.clone(),
        record,
        cause: ask.cause(operation),
        command,
        at: ask.at,
        is_new,
    };
    match app.ledger.execute::<Order>(request).await? {
        // A retry is answered from the same stored commit as the first time.
        Outcome::Committed(done) | Outcome::Repeated(done) => {
            note(app, &done);
            Ok(done)
        }
        Outcome::Unchanged(_) => Err(OrderError::internal("an accepted command left no event".into())),
    }
}

/// To be called for whatever is acknowledged: later reads on this node show it.
pub fn note<A: Aggregate>(app: &App, done: &Done<A>) {
    app.reader.note_accepted(done.recorded.commit.record, done.recorded.position);
    app.accepted.note(done.recorded.position);
}
