//! The plain schema: `orders` as they stand, `payments`, `refunds`, and an outbox, on `tokio-postgres`.
//!
//! Each request is one prepared statement, hence one round trip and one transaction.

use std::fmt::Write;
use std::time::Instant;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use serde_json::json;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::copy::{connect, copy, escaped, number};
use crate::events::OrderEvent;
use crate::fill::events;
use crate::peer::{
    Ask, Fact, Opened, POOL, Peer, Rebuilt, Refused, Report, Reported, SOURCE, Standing, TENANT,
};

const SCHEMA: &str = include_str!("../sql/plain.sql");
const REBUILD: &str = include_str!("../sql/plain_rebuild.sql");

const OPEN: &str = "
    WITH opened AS (
        INSERT INTO orders (id, tenant, idempotency_key, request_hash, merchant_reference, amount, currency,
                            checkout, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
        ON CONFLICT (tenant, idempotency_key) DO NOTHING RETURNING id)
    INSERT INTO outbox (order_id, kind, amount, payload, at)
    SELECT id, 'opened', $6, $8, $9 FROM opened RETURNING id";
const OPENED_BEFORE: &str =
    "SELECT id, created_at, request_hash FROM orders WHERE tenant = $1 AND idempotency_key = $2";
const STATUS: &str = "SELECT status, updated_at, version FROM orders WHERE id = $1";
/// The guard is in the update; the unique index is what a webhook that comes twice at once runs into.
const CAPTURE: &str = "
    WITH paid AS (
        UPDATE orders SET captured = captured + $2, version = version + 1, updated_at = $8
        WHERE id = $1 AND currency = $3 AND captured + $2 <= amount
          AND NOT EXISTS (SELECT 1 FROM payments WHERE source = $4 AND event_id = $5)
        RETURNING id),
    payment AS (
        INSERT INTO payments (order_id, source, event_id, reference, amount, body, at)
        SELECT id, $4, $5, $6, $2, $7, $8 FROM paid)
    INSERT INTO outbox (order_id, kind, amount, payload, at)
    SELECT id, 'captured', $2, $9, $8 FROM paid RETURNING id";
const SETTLE: &str = "
    WITH paid AS (
        UPDATE orders SET refunded = refunded + $2, refund_pending = greatest(refund_pending - $2, 0),
                          version = version + 1, updated_at = $8
        WHERE id = $1 AND currency = $3 AND refunded + $2 <= captured
          AND NOT EXISTS (SELECT 1 FROM refunds WHERE source = $4 AND event_id = $5)
        RETURNING id),
    refund AS (
        INSERT INTO refunds (order_id, source, event_id, reference, amount, body, at)
        SELECT id, $4, $5, $6, $2, $7, $8 FROM paid)
    INSERT INTO outbox (order_id, kind, amount, payload, at)
    SELECT id, 'refund_settled', $2, $9, $8 FROM paid RETURNING id";
/// Why a webhook changed nothing: whether the order is there, and whether the webhook is.
const WHY_NOT: &str = "
    SELECT EXISTS (SELECT 1 FROM orders WHERE id = $1),
           EXISTS (SELECT 1 FROM payments WHERE source = $2 AND event_id = $3
                   UNION ALL SELECT 1 FROM refunds WHERE source = $2 AND event_id = $3
                   UNION ALL SELECT 1 FROM quarantine WHERE source = $2 AND event_id = $3)";
const SET_ASIDE: &str = "
    INSERT INTO quarantine (source, event_id, reason, body, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";

/// The server's side.
pub(crate) struct Plain {
    pool: Pool,
}

impl Plain {
    /// Connects, and creates the schema where there is none.
    pub(crate) async fn open(database: &str) -> Self {
        create(database).await;
        let config = database.parse().expect("a connection string");
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, NoTls, recycling);
        Plain { pool: Pool::builder(manager).max_size(POOL as usize).build().expect("a pool") }
    }

    async fn why_not(&self, report: &Report) -> Result<Reported, Failure> {
        let client = self.pool.get().await?;
        let why = client.prepare_cached(WHY_NOT).await?;
        let row = client.query_one(&why, &[&report.order, &SOURCE, &report.event_id]).await?;
        let (known, seen): (bool, bool) = (row.get(0), row.get(1));
        if !known {
            return Ok(Reported::UnknownOrder);
        }
        if seen {
            return Ok(Reported::Duplicate);
        }
        let aside = client.prepare_cached(SET_ASIDE).await?;
        let row: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&SOURCE, &report.event_id, &"refused", &report.body, &report.at];
        client.execute(&aside, &row).await?;
        Ok(Reported::SetAside("refused"))
    }

    async fn store(&self, report: &Report) -> Result<Reported, Failure> {
        let client = self.pool.get().await?;
        let statement = client
            .prepare_cached(match report.fact {
                Fact::Captured => CAPTURE,
                Fact::RefundSettled => SETTLE,
            })
            .await?;
        let Report { event_id, order, reference, amount, body, at, .. } = report;
        let message = Json(json!({"amount": amount, "reference": reference}));
        let row: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
            [order, &amount.value, &amount.currency, &SOURCE, event_id, reference, body, at, &message];
        match client.query_opt(&statement, &row).await {
            Ok(Some(row)) => Ok(Reported::Recorded(row.get(0))),
            Ok(None) => {
                drop(client);
                self.why_not(report).await
            }
            Err(e) if e.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(Reported::Duplicate),
            Err(e) => Err(e.into()),
        }
    }

    async fn open_order(&self, ask: &Ask) -> Result<Result<Opened, Refused>, Failure> {
        let client = self.pool.get().await?;
        let (open, order) = (client.prepare_cached(OPEN).await?, Uuid::now_v7());
        let checkout = &ask.checkout;
        let (amount, reference) = (&checkout.amount, &checkout.merchant_reference);
        let row: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
            &order,
            &TENANT,
            &ask.key,
            &ask.hash,
            reference,
            &amount.value,
            &amount.currency,
            &Json(checkout),
            &ask.at,
        ];
        if let Some(row) = client.query_opt(&open, &row).await? {
            return Ok(Ok(Opened { order, at: ask.at, position: row.get(0) }));
        }
        let before = client.prepare_cached(OPENED_BEFORE).await?;
        let row = client.query_one(&before, &[&TENANT, &ask.key]).await?;
        let same = row.get::<_, &str>(2) == ask.hash;
        Ok(same.then(|| Opened { order: row.get(0), at: row.get(1), position: 1 }).ok_or(Refused::KeyReused))
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Pool(#[from] deadpool_postgres::PoolError),
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
}

impl Peer for Plain {
    async fn checkout(&self, ask: Ask) -> Result<Opened, Refused> {
        self.open_order(&ask).await.unwrap_or_else(|e| Err(Refused::Unavailable(e.to_string())))
    }

    async fn status(&self, order: Uuid) -> Option<Standing> {
        let client = self.pool.get().await.ok()?;
        let status = client.prepare_cached(STATUS).await.ok()?;
        let row = client.query_opt(&status, &[&order]).await.ok()??;
        Some(Standing { status: row.get(0), updated_at: row.get(1), position: row.get(2) })
    }

    async fn report(&self, report: Report) -> Reported {
        self.store(&report).await.unwrap_or_else(|e| Reported::Unavailable(e.to_string()))
    }

    async fn caught_up(&self) -> bool {
        true
    }
}

async fn create(database: &str) {
    let client = connect(database).await;
    let there = client.query_one("SELECT to_regclass('outbox') IS NOT NULL", &[]).await.expect("an answer");
    if !there.get::<_, bool>(0) {
        client.batch_execute(SCHEMA).await.expect("a schema");
    }
}

/// Writes the outbox of so many orders: all that the rebuild reads.
pub(crate) async fn fill(database: &str, orders: u64) {
    create(database).await;
    let client = connect(database).await;
    let statement = "COPY outbox (order_id, kind, amount, payload, at) FROM STDIN";
    copy(&client, statement, events(orders), |line, filled| {
        let event = filled.event;
        let (kind, amount, payload) = match &event {
            OrderEvent::Opened { checkout, .. } => ("opened", &checkout.amount, json!(checkout)),
            OrderEvent::Captured { amount, reference, .. } => {
                ("captured", amount, json!({"amount": amount, "reference": reference}))
            }
            OrderEvent::RefundRequested { amount, key, .. } => {
                ("refund_requested", amount, json!({"amount": amount, "key": key}))
            }
            OrderEvent::RefundSettled { amount, reference, .. } => {
                ("refund_settled", amount, json!({"amount": amount, "reference": reference}))
            }
            OrderEvent::SetAside { .. } => unreachable!("orders are filled without mistakes"),
        };
        write!(line, "{}\t{kind}\t{}\t", event.order(), amount.value).expect("a string takes everything");
        escaped(line, &payload.to_string());
        number(line, event.at());
    })
    .await;
    client.batch_execute("VACUUM ANALYZE outbox").await.expect("a vacuum");
}

/// Aggregates the outbox into a new summary table in one transaction, and swaps it in.
pub(crate) async fn rebuild(database: &str) -> Rebuilt {
    let client = connect(database).await;
    let started = Instant::now();
    client.batch_execute(REBUILD).await.expect("a rebuild");
    let elapsed = started.elapsed();
    let sums = "SELECT count(*), sum(captured)::bigint, sum(refunded)::bigint,
                       (SELECT count(*) FROM outbox) FROM order_summaries";
    let row = client.query_one(sums, &[]).await.expect("sums");
    Rebuilt { events: row.get(3), orders: row.get(0), captured: row.get(1), refunded: row.get(2), elapsed }
}
