//! `disintegrate` with `disintegrate-postgres`: a decision per command over the order's events, and a read model that a
//! listener keeps.
//!
//! Tuned: identifiers are UUIDs; the listener polls, so the trigger that makes each commit wait for PostgreSQL's one
//! notification lock is dropped; the listener's rows are written without waiting for the disk, since its own
//! checkpoint comes after them in the same write-ahead log; and there are no statistics of event ids. With them the check
//! for events since the decision goes over the newest ids, where every transaction writes: all of them conflict.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use disintegrate::serde::json::Json;
use disintegrate::{
    Decision, Event, EventListener, EventStore, NoSnapshot, PersistedEvent, StateMutate, StateQuery,
    StreamItem, StreamQuery, query,
};
use disintegrate_postgres::{
    Error, Migrator, PgDecisionMaker, PgEventId, PgEventListener, PgEventListenerConfig, PgEventStore,
    decision_maker,
};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use crate::Way;
use crate::copy::{connect, copy, escaped, number};
use crate::cqrs::{Answer, pool};
use crate::events::OrderEvent;
use crate::fill::events;
use crate::order::{Order, Summary, Verdict};
use crate::peer::{Ask, Opened, POOL, Peer, Rebuilt, Refused, Report, Reported, Standing, order_for_key};

/// How often a command is decided anew when the database could not order it with others.
const RETRIES: usize = 200;
/// How often the listener looks.
const POLL: Duration = Duration::from_millis(10);
/// Connections of the listener.
const LISTENERS: u32 = 3;

type Store = PgEventStore<OrderEvent, Json<OrderEvent>>;

/// An order's events, folded.
#[derive(Debug, Clone, Default, StateQuery, Serialize, Deserialize)]
#[state_query(OrderEvent)]
struct OrderState {
    #[id]
    order_id: Uuid,
    order: Order,
}

impl OrderState {
    fn of(order_id: Uuid) -> Self {
        OrderState { order_id, order: Order::default() }
    }
}

impl StateMutate for OrderState {
    fn mutate(&mut self, event: OrderEvent) {
        self.order.apply(&event);
    }
}

struct Open {
    order: Uuid,
    ask: Arc<Ask>,
}

impl Decision for Open {
    type Event = OrderEvent;
    type StateQuery = OrderState;
    type Error = Answer;

    fn state_query(&self) -> OrderState {
        OrderState::of(self.order)
    }

    fn process(&self, state: &OrderState) -> Result<Vec<OrderEvent>, Answer> {
        let before = &state.order;
        match (before.exists(), before.request_hash == self.ask.hash) {
            (false, _) => Ok(vec![OrderEvent::opened(self.order, &self.ask)]),
            (true, true) => Err(Answer::OpenedBefore(before.opened_at)),
            (true, false) => Err(Answer::KeyReused),
        }
    }
}

struct Told(Arc<Report>);

impl Decision for Told {
    type Event = OrderEvent;
    type StateQuery = OrderState;
    type Error = Answer;

    fn state_query(&self) -> OrderState {
        OrderState::of(self.0.order)
    }

    fn process(&self, state: &OrderState) -> Result<Vec<OrderEvent>, Answer> {
        match state.order.judge(&self.0) {
            Verdict::Record(event) => Ok(vec![*event]),
            Verdict::Duplicate => Err(Answer::Duplicate),
            Verdict::UnknownOrder => Err(Answer::UnknownOrder),
        }
    }
}

/// The server's side.
pub(crate) struct Disintegrate {
    decisions: PgDecisionMaker<OrderEvent, Json<OrderEvent>, NoSnapshot>,
    pool: PgPool,
}

impl Disintegrate {
    /// Connects, creates the library's tables where there are none, and starts the listener.
    pub(crate) async fn open(database: &str) -> Self {
        let pool = pool(database, POOL).await;
        let store = create(database, pool.clone()).await;
        tokio::spawn(listen("order_summaries", listeners_pool(database).await));
        Disintegrate { decisions: decision_maker(store, NoSnapshot), pool }
    }

    /// Decides anew as long as the database says that another transaction is in the way.
    async fn make<D>(&self, decision: impl Fn() -> D) -> Result<PgEventId, Failure>
    where
        D: Decision<Event = OrderEvent, StateQuery = OrderState, Error = Answer>,
    {
        for _ in 0..RETRIES {
            match self.decisions.make(decision()).await {
                Ok(events) => return Ok(events.first().map_or(0, PersistedEvent::id)),
                Err(disintegrate::DecisionError::Domain(answer)) => return Err(Failure::Answer(answer)),
                Err(
                    disintegrate::DecisionError::EventStore(e) | disintegrate::DecisionError::StateStore(e),
                ) if !in_the_way(&e) => return Err(Failure::Unavailable(e.to_string())),
                Err(_) => {}
            }
        }
        Err(Failure::Unavailable("others were always in the way".to_owned()))
    }
}

enum Failure {
    Answer(Answer),
    Unavailable(String),
}

/// Whether another transaction was, so that it is worth trying again.
fn in_the_way(e: &disintegrate::BoxDynError) -> bool {
    const SERIALIZATION_FAILURE: &str = "40001";
    match e.downcast_ref::<Error>() {
        Some(Error::Concurrency) => true,
        Some(Error::Database(sqlx::Error::Database(e))) => e.code().as_deref() == Some(SERIALIZATION_FAILURE),
        _ => false,
    }
}

impl Peer for Disintegrate {
    async fn checkout(&self, ask: Ask) -> Result<Opened, Refused> {
        let (order, at, ask) = (order_for_key(&ask.key), ask.at, Arc::new(ask));
        match self.make(|| Open { order, ask: Arc::clone(&ask) }).await {
            Ok(position) => Ok(Opened { order, at, position }),
            Err(Failure::Answer(Answer::OpenedBefore(at))) => Ok(Opened { order, at, position: 0 }),
            Err(Failure::Answer(Answer::KeyReused)) => Err(Refused::KeyReused),
            Err(Failure::Answer(answer)) => Err(Refused::Unavailable(answer.to_string())),
            Err(Failure::Unavailable(why)) => Err(Refused::Unavailable(why)),
        }
    }

    async fn status(&self, order: Uuid) -> Option<Standing> {
        let row = sqlx::query("SELECT status, updated_at, position FROM order_summaries WHERE order_id = $1");
        let row = row.bind(order).fetch_optional(&self.pool).await.ok()??;
        Some(Standing { status: row.get(0), updated_at: row.get(1), position: row.get(2) })
    }

    async fn report(&self, report: Report) -> Reported {
        let report = Arc::new(report);
        match self.make(|| Told(Arc::clone(&report))).await {
            Ok(position) => Reported::Recorded(position),
            Err(Failure::Answer(Answer::Duplicate)) => Reported::Duplicate,
            Err(Failure::Answer(Answer::UnknownOrder)) => Reported::UnknownOrder,
            Err(Failure::Answer(answer)) => Reported::Unavailable(answer.to_string()),
            Err(Failure::Unavailable(why)) => Reported::Unavailable(why),
        }
    }

    async fn caught_up(&self) -> bool {
        is_caught_up(&self.pool, "order_summaries").await
    }
}

async fn is_caught_up(pool: &PgPool, listener: &str) -> bool {
    let behind = sqlx::query_scalar::<_, bool>(
        "SELECT last_processed_event_id >= (SELECT coalesce(max(event_id), 0) FROM event)
         FROM event_listener WHERE id = $1",
    );
    behind.bind(listener).fetch_optional(pool).await.expect("an answer").unwrap_or(false)
}

/// Whoever follows all events reads them by their id, and its own transactions wait for no disk.
async fn listeners_pool(database: &str) -> PgPool {
    let options = "-csynchronous_commit=off%20-cenable_seqscan=off%20-cenable_bitmapscan=off";
    pool(&format!("{database} options={options}"), LISTENERS).await
}

/// The read model: a table that follows the events.
struct Summaries {
    name: &'static str,
    query: StreamQuery<PgEventId, OrderEvent>,
    pool: PgPool,
    open: String,
    add: String,
}

impl Summaries {
    fn new(name: &'static str, pool: PgPool) -> Self {
        let open = format!(
            "INSERT INTO {name} (order_id, amount, currency, merchant_reference, updated_at, position)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"
        );
        // An event may come twice; its position says so.
        let add = format!(
            "UPDATE {name} SET captured = captured + $2, refunded = refunded + $3,
                    refund_pending = greatest(refund_pending + $4, 0), updated_at = $5, position = $6
             WHERE order_id = $1 AND position < $6"
        );
        Summaries { name, query: query!(OrderEvent), pool, open, add }
    }
}

#[async_trait]
impl EventListener<PgEventId, OrderEvent> for Summaries {
    type Error = sqlx::Error;

    fn id(&self) -> &'static str {
        self.name
    }

    fn query(&self) -> &StreamQuery<PgEventId, OrderEvent> {
        &self.query
    }

    async fn handle(&self, event: PersistedEvent<PgEventId, OrderEvent>) -> Result<(), sqlx::Error> {
        let position = event.id();
        let (captured, refunded, pending) = match &*event {
            OrderEvent::Opened { order_id, checkout, at, .. } => {
                let row = sqlx::query(&self.open).bind(order_id).bind(checkout.amount.value);
                let row = row.bind(&checkout.amount.currency).bind(&checkout.merchant_reference);
                return row.bind(at).bind(position).execute(&self.pool).await.map(drop);
            }
            OrderEvent::Captured { amount, .. } => (amount.value, 0, 0),
            OrderEvent::RefundRequested { amount, .. } => (0, 0, amount.value),
            OrderEvent::RefundSettled { amount, .. } => (0, amount.value, -amount.value),
            OrderEvent::SetAside { .. } => (0, 0, 0),
        };
        let row = sqlx::query(&self.add).bind(event.order()).bind(captured).bind(refunded).bind(pending);
        row.bind(event.at()).bind(position).execute(&self.pool).await.map(drop)
    }
}

/// Keeps this table until it is stopped.
async fn listen(table: &'static str, pool: PgPool) {
    let config = PgEventListenerConfig::poller(POLL);
    let summaries = Summaries::new(table, pool.clone());
    let store = PgEventStore::<OrderEvent, _>::new_uninitialized(pool, Json::<OrderEvent>::default());
    let listener = PgEventListener::builder(store).uninitialized().register_listener(summaries, config);
    listener.start().await.expect("a listener");
}

fn table(name: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (
             order_id           uuid   PRIMARY KEY,
             amount             bigint NOT NULL,
             currency           text   NOT NULL,
             merchant_reference text   NOT NULL,
             captured           bigint NOT NULL DEFAULT 0,
             refunded           bigint NOT NULL DEFAULT 0,
             refund_pending     bigint NOT NULL DEFAULT 0,
             status             text   NOT NULL GENERATED ALWAYS AS (
                 CASE WHEN captured = 0 THEN 'processing'
                      WHEN refunded = 0 AND captured < amount THEN 'partially_captured'
                      WHEN refunded = 0 THEN 'captured'
                      WHEN refunded < captured THEN 'partially_refunded'
                      ELSE 'refunded' END) STORED,
             updated_at         bigint NOT NULL,
             position           bigint NOT NULL
         ) WITH (fillfactor = 80)"
    )
}

/// What is missing after the library's migration failed on PostgreSQL 15: its function for the start of a transaction is
/// written with a hexadecimal number, which servers read from version 16 on, and the columns of the ids come after it.
const FOR_VERSION_15: &str = "
    CREATE OR REPLACE FUNCTION event_store_begin_epoch() RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        epoch bigint := (SELECT last_value FROM seq_event_event_id);
        database integer := (SELECT oid::integer FROM pg_database WHERE datname = current_database());
    BEGIN
        PERFORM pg_try_advisory_xact_lock_shared(database, 0),
                pg_try_advisory_xact_lock_shared(1, epoch::bit(32)::integer),
                pg_try_advisory_xact_lock_shared(2, (epoch >> 32)::integer);
    END $$;
    ALTER TABLE event ADD COLUMN IF NOT EXISTS order_id uuid;
    CREATE INDEX IF NOT EXISTS idx_event_order_id ON event (order_id) WHERE order_id IS NOT NULL";

async fn create(database: &str, pool: PgPool) -> Store {
    let (store, client) = (PgEventStore::new_uninitialized(pool, Json::default()), connect(database).await);
    let migrator = Migrator::new(store.clone());
    if let Err(e) = migrator.init_event_store().await {
        let version = client.query_one("SELECT current_setting('server_version_num')::integer", &[]).await;
        let version: i32 = version.expect("a version").get(0);
        assert!(version < 160_000, "{e}");
        client.batch_execute(FOR_VERSION_15).await.expect("the rest of the event store");
    }
    migrator.init_listener().await.expect("the listener's tables");
    let tuned = "DROP TRIGGER IF EXISTS event_insert_trigger ON event;
                 ALTER TABLE event ALTER COLUMN event_id SET STATISTICS 0";
    client.batch_execute(tuned).await.expect("a tuned table");
    client.batch_execute(&table("order_summaries")).await.expect("a table");
    store
}

/// Writes the events of so many orders, as the library stores them.
pub(crate) async fn fill(database: &str, orders: u64) {
    create(database, pool(database, 1).await).await;
    let client = connect(database).await;
    let statement = "COPY event (event_type, order_id, payload) FROM STDIN";
    copy(&client, statement, events(orders), |line, filled| {
        write!(line, "{}\t{}\t", filled.event.name(), filled.event.order())
            .expect("a string takes everything");
        // bytea in its hex form
        line.push_str("\\\\x");
        for byte in serde_json::to_vec(&filled.event).expect("JSON") {
            write!(line, "{byte:02x}").expect("a string takes everything");
        }
    })
    .await;
    client.batch_execute("VACUUM ANALYZE event").await.expect("a vacuum");
}

/// Folds all events into an empty table, and swaps it in.
pub(crate) async fn rebuild(database: &str, way: Way) -> Rebuilt {
    const NEW: &str = "summaries_new";
    let (client, pool) = (connect(database).await, pool(database, 4).await);
    let store = PgEventStore::<OrderEvent, _>::new_uninitialized(pool.clone(), Json::<OrderEvent>::default());
    let started = Instant::now();
    client.batch_execute(&format!("DROP TABLE IF EXISTS {NEW}; {}", table(NEW))).await.expect("a table");
    match way {
        Way::Documented => {
            let forget = "DELETE FROM event_listener WHERE id = 'summaries_new'";
            client.batch_execute(forget).await.expect("a listener that starts anew");
            let listener = tokio::spawn(listen(NEW, listeners_pool(database).await));
            while !is_caught_up(&pool, NEW).await {
                tokio::time::sleep(POLL).await;
            }
            listener.abort();
        }
        Way::Fastest => {
            let key = format!("ALTER TABLE {NEW} DROP CONSTRAINT {NEW}_pkey");
            client.batch_execute(&key).await.expect("a table without a key");
            let summaries = fold(&store).await;
            let statement = format!(
                "COPY {NEW} (order_id, amount, captured, refunded, refund_pending, updated_at, position, currency,
                             merchant_reference) FROM STDIN"
            );
            copy(&client, &statement, summaries.into_iter(), |line, (order, summary)| {
                write!(line, "{order}").expect("a string takes everything");
                let Summary { amount, captured, refunded, refund_pending, updated_at, position, .. } =
                    summary;
                for figure in [amount, captured, refunded, refund_pending, updated_at, position] {
                    number(line, figure);
                }
                line.push('\t');
                line.push_str(&summary.currency);
                line.push('\t');
                escaped(line, &summary.merchant_reference);
            })
            .await;
            let key = format!("ALTER TABLE {NEW} ADD CONSTRAINT {NEW}_pkey PRIMARY KEY (order_id)");
            client.batch_execute(&key).await.expect("a key");
        }
    }
    let swap = format!(
        "BEGIN; DROP TABLE order_summaries; ALTER TABLE {NEW} RENAME TO order_summaries;
         ALTER INDEX {NEW}_pkey RENAME TO order_summaries_pkey; COMMIT"
    );
    client.batch_execute(&swap).await.expect("a swap");
    let elapsed = started.elapsed();
    let sums = "SELECT count(*), sum(captured)::bigint, sum(refunded)::bigint,
                       (SELECT count(*) FROM event) FROM order_summaries";
    let row = client.query_one(sums, &[]).await.expect("sums");
    Rebuilt { events: row.get(3), orders: row.get(0), captured: row.get(1), refunded: row.get(2), elapsed }
}

async fn fold(store: &Store) -> HashMap<Uuid, Summary> {
    let query: StreamQuery<PgEventId, OrderEvent> = query!(OrderEvent);
    let mut stream = store.stream(&query);
    let mut summaries = HashMap::<Uuid, Summary>::new();
    while let Some(item) = stream.next().await {
        match item.expect("an event that can be read") {
            StreamItem::Event(event) => summaries.entry(event.order()).or_default().apply(&event, event.id()),
            StreamItem::End(_) => break,
        }
    }
    summaries
}
