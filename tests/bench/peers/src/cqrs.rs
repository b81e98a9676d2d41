//! `cqrs-es` with `postgres-es`: an aggregate per order in the event store, and a view per order that the framework
//! writes after each commit.
//!
//! The framework's own tables, repositories and replay are used as they are. Tuned: the first event of an order writes its
//! view without looking for an older one, and connections are not pinged before each use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{QueryReplay, ViewContext, ViewRepository};
use cqrs_es::{Aggregate, AggregateError, DomainEvent, EventEnvelope, Query, View};
use postgres_es::{PostgresCqrs, PostgresEventRepository, PostgresViewRepository, postgres_cqrs};
use sqlx::postgres::{PgPool, PgPoolOptions};
use uuid::Uuid;

use crate::Way;
use crate::copy::{connect, copy, escaped, number};
use crate::events::OrderEvent;
use crate::fill::events;
use crate::order::{Order, Summary, Verdict};
use crate::peer::{Ask, Opened, POOL, Peer, Rebuilt, Refused, Report, Reported, Standing, order_for_key};

/// How often a command is decided anew after another one was stored first.
const RETRIES: usize = 10;
/// What the replay may have read and not yet applied.
const REPLAY_CHANNEL: usize = 10_000;

type Views = PostgresViewRepository<Summary, Order>;

/// What an order can be told.
pub(crate) enum Command {
    Open { order: Uuid, ask: Arc<Ask> },
    Report(Arc<Report>),
}

/// What the aggregate says instead of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Answer {
    #[error("the key stands for other content")]
    KeyReused,
    #[error("opened before, at {0}")]
    OpenedBefore(i64),
    #[error("no such order")]
    UnknownOrder,
    #[error("reported before")]
    Duplicate,
}

impl DomainEvent for OrderEvent {
    fn event_type(&self) -> String {
        disintegrate::Event::name(self).to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Command = Command;
    type Event = OrderEvent;
    type Error = Answer;
    type Services = ();

    async fn handle(&mut self, command: Command, _: &(), sink: &EventSink<Self>) -> Result<(), Answer> {
        let event = match command {
            Command::Open { ask, .. } if self.exists() => {
                let same = self.request_hash == ask.hash;
                return Err(if same { Answer::OpenedBefore(self.opened_at) } else { Answer::KeyReused });
            }
            Command::Open { order, ask } => OrderEvent::opened(order, &ask),
            Command::Report(report) => match self.judge(&report) {
                Verdict::Record(event) => *event,
                Verdict::Duplicate => return Err(Answer::Duplicate),
                Verdict::UnknownOrder => return Err(Answer::UnknownOrder),
            },
        };
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: OrderEvent) {
        Order::apply(self, &event);
    }
}

impl View<Order> for Summary {
    fn update(&mut self, event: &EventEnvelope<Order>) {
        self.apply(&event.payload, i64::try_from(event.sequence).unwrap_or(i64::MAX));
    }
}

/// The framework's `GenericQuery`, but for an order's first event, whose view cannot be there yet.
struct Summaries(Arc<Views>);

#[async_trait]
impl Query<Order> for Summaries {
    async fn dispatch(&self, order: &str, events: &[EventEnvelope<Order>]) {
        let is_new = events.first().is_some_and(|event| event.sequence == 1);
        let found = if is_new { None } else { self.0.load_with_context(order).await.expect("a view") };
        let (mut view, context) =
            found.unwrap_or_else(|| (Summary::default(), ViewContext::new(order.to_owned(), 0)));
        events.iter().for_each(|event| view.update(event));
        self.0.update_view(view, context).await.expect("a view that is written");
    }
}

/// The server's side.
pub(crate) struct CqrsEs {
    cqrs: PostgresCqrs<Order>,
    views: Arc<Views>,
}

impl CqrsEs {
    /// Connects, and creates the framework's tables where there are none.
    pub(crate) async fn open(database: &str) -> Self {
        create(database).await;
        let pool = pool(database, POOL).await;
        let views = Arc::new(Views::new("order_summaries", pool.clone()));
        let cqrs = postgres_cqrs(pool, vec![Box::new(Summaries(Arc::clone(&views)))], ());
        CqrsEs { cqrs, views }
    }

    /// Decides anew as long as another command for the same order gets there first.
    async fn execute(
        &self,
        order: Uuid,
        command: impl Fn() -> Command,
    ) -> Result<(), AggregateError<Answer>> {
        let id = order.to_string();
        for _ in 0..RETRIES {
            match self.cqrs.execute(&id, command()).await {
                Err(AggregateError::AggregateConflict) => {}
                done => return done,
            }
        }
        Err(AggregateError::AggregateConflict)
    }
}

impl Peer for CqrsEs {
    async fn checkout(&self, ask: Ask) -> Result<Opened, Refused> {
        let (order, at, ask) = (order_for_key(&ask.key), ask.at, Arc::new(ask));
        let done = self.execute(order, || Command::Open { order, ask: Arc::clone(&ask) }).await;
        match done {
            Ok(()) => Ok(Opened { order, at, position: 1 }),
            Err(AggregateError::UserError(Answer::OpenedBefore(at))) => Ok(Opened { order, at, position: 1 }),
            Err(AggregateError::UserError(Answer::KeyReused)) => Err(Refused::KeyReused),
            Err(e) => Err(Refused::Unavailable(e.to_string())),
        }
    }

    async fn status(&self, order: Uuid) -> Option<Standing> {
        let view = self.views.load(&order.to_string()).await.ok()??;
        Some(Standing { status: view.status, updated_at: view.updated_at, position: view.position })
    }

    async fn report(&self, report: Report) -> Reported {
        let (order, report) = (report.order, Arc::new(report));
        match self.execute(order, || Command::Report(Arc::clone(&report))).await {
            Ok(()) => Reported::Recorded(2),
            Err(AggregateError::UserError(Answer::Duplicate)) => Reported::Duplicate,
            Err(AggregateError::UserError(Answer::UnknownOrder)) => Reported::UnknownOrder,
            Err(e) => Reported::Unavailable(e.to_string()),
        }
    }

    async fn caught_up(&self) -> bool {
        // Views are written before the answer.
        true
    }
}

/// Connections of `sqlx`, all of them open.
pub(crate) async fn pool(database: &str, size: u32) -> PgPool {
    // sqlx reads URLs; the words of a connection string are a URL's parameters.
    let parameters: Vec<String> = database.split(' ').map(str::to_owned).collect();
    let url = format!("postgres://localhost/?{}", parameters.join("&"));
    let options = PgPoolOptions::new().max_connections(size).min_connections(size).test_before_acquire(false);
    options.connect(&url).await.expect("a database")
}

/// The tables of the library's `db/init.sql` that it says are needed, without snapshots: orders have few events.
async fn create(database: &str) {
    let schema = "
        CREATE TABLE IF NOT EXISTS events (
            aggregate_type text                         NOT NULL,
            aggregate_id   text                         NOT NULL,
            sequence       bigint CHECK (sequence >= 0) NOT NULL,
            event_type     text                         NOT NULL,
            event_version  text                         NOT NULL,
            payload        json                         NOT NULL,
            metadata       json                         NOT NULL,
            PRIMARY KEY (aggregate_type, aggregate_id, sequence));
        CREATE TABLE IF NOT EXISTS order_summaries (
            view_id text                        NOT NULL,
            version bigint CHECK (version >= 0) NOT NULL,
            payload json                        NOT NULL,
            PRIMARY KEY (view_id));";
    connect(database).await.batch_execute(schema).await.expect("a schema");
}

/// Writes the events of so many orders, as the framework stores them.
pub(crate) async fn fill(database: &str, orders: u64) {
    create(database).await;
    let client = connect(database).await;
    copy(&client, "COPY events FROM STDIN", events(orders), |line, filled| {
        line.push_str("order\t");
        line.push_str(&filled.event.order().to_string());
        number(line, filled.sequence);
        line.push('\t');
        line.push_str(&filled.event.event_type());
        line.push_str("\t1\t");
        escaped(line, &serde_json::to_string(&filled.event).expect("JSON"));
        line.push_str("\t{}");
    })
    .await;
    client.batch_execute("VACUUM ANALYZE events").await.expect("a vacuum");
}

/// Replays all events into an empty view table, and swaps it in.
pub(crate) async fn rebuild(database: &str, way: Way) -> Rebuilt {
    // Rows of a table that nobody reads yet need not wait for the disk: the swap does, after all of them.
    let unhurried = format!("{database} options=-csynchronous_commit=off");
    let (client, pool) = (connect(database).await, pool(&unhurried, 4).await);
    let repository = PostgresEventRepository::new(pool.clone()).with_streaming_channel_size(REPLAY_CHANNEL);
    let started = Instant::now();
    let new = "DROP TABLE IF EXISTS summaries_new;
               CREATE TABLE summaries_new (view_id text NOT NULL, version bigint NOT NULL, payload json NOT NULL)";
    client.batch_execute(new).await.expect("a table");
    let key = "ALTER TABLE summaries_new ADD CONSTRAINT summaries_new_pkey PRIMARY KEY (view_id)";
    match way {
        Way::Documented => {
            client.batch_execute(key).await.expect("a key");
            let views = Summaries(Arc::new(Views::new("summaries_new", pool)));
            QueryReplay::new(repository, views).replay_all().await.expect("a replay");
        }
        Way::Fastest => {
            let folded = Arc::new(Folded::default());
            QueryReplay::new(repository, Fold(Arc::clone(&folded))).replay_all().await.expect("a replay");
            let views = std::mem::take(&mut *folded.lock().unwrap_or_else(PoisonError::into_inner));
            copy(&client, "COPY summaries_new FROM STDIN", views.into_iter(), |line, (order, view)| {
                line.push_str(&order);
                number(line, view.position);
                line.push('\t');
                escaped(line, &serde_json::to_string(&view).expect("JSON"));
            })
            .await;
            client.batch_execute(key).await.expect("a key");
        }
    }
    let swap = "BEGIN; DROP TABLE order_summaries; ALTER TABLE summaries_new RENAME TO order_summaries;
                ALTER INDEX summaries_new_pkey RENAME TO order_summaries_pkey; COMMIT";
    client.batch_execute(swap).await.expect("a swap");
    let elapsed = started.elapsed();
    let sums = "SELECT count(*), sum((payload ->> 'captured')::bigint)::bigint,
                       sum((payload ->> 'refunded')::bigint)::bigint, (SELECT count(*) FROM events)
                FROM order_summaries";
    let row = client.query_one(sums, &[]).await.expect("sums");
    Rebuilt { events: row.get(3), orders: row.get(0), captured: row.get(1), refunded: row.get(2), elapsed }
}

type Folded = Mutex<HashMap<String, Summary>>;

/// Keeps the views in memory: the events come sorted by sequence, so an order's lie far apart.
struct Fold(Arc<Folded>);

#[async_trait]
impl Query<Order> for Fold {
    async fn dispatch(&self, order: &str, events: &[EventEnvelope<Order>]) {
        let mut folded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !folded.contains_key(order) {
            folded.insert(order.to_owned(), Summary::default());
        }
        let view = folded.get_mut(order).expect("it was put there");
        events.iter().for_each(|event| view.update(event));
    }
}
