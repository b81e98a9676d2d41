//! What every request shares.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::execute::Ledger;
use ledger::ids::{Position, RecordId, TenantId, TrackingNumber};
use ledger::journal::ReadError;
use projections::{Projector, Reader, Rebuilds, Views};
use replay::audit::Keeper;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::feed::Renderings;
use crate::http::{Code, Problem};
use crate::startup::Shutdown;
use crate::tenants::Tenants;
use crate::tokens::TokenSigner;
use crate::v1::StatusAnswers;

/// The state of one server; every route has it as `State<Arc<App>>`.
pub struct App {
    /// As configured.
    pub config: Config,
    /// Where it listens, with the real port.
    pub address: SocketAddr,
    /// How the world reaches it, without a slash at the end.
    pub public_url: String,
    /// Where a buyer pays: may contain `{tracking_number}` and `{token}`. None: there is no such page.
    pub payment_page_url: Option<String>,
    /// The write side.
    pub ledger: Ledger,
    /// The views, for reads that may be a moment old: lists, totals, quarantine.
    pub views: Views,
    /// Keeps the views up with the journal.
    pub projector: Projector,
    /// Keeps the log's tree, and signs it. None on a replica, which signs nothing.
    pub audit: Option<Keeper>,
    /// Folds views anew beside those that are live.
    pub rebuilds: Rebuilds,
    /// Reads that see the caller's own writes.
    pub reader: Reader,
    /// The newest commits acknowledged here.
    pub accepted: Accepted,
    /// Whose key is whose.
    pub tenants: Tenants,
    /// Signs status tokens.
    pub tokens: TokenSigner,
    /// How many feeds may read the journal at the same time; the others wait their turn, or follow the projector.
    pub catch_ups: Semaphore,
    /// What the feed's readers share.
    pub renderings: Renderings,
    /// What was answered to polls lately.
    pub statuses: StatusAnswers,
    /// How many commands of batches may be under way at the same time; further batches wait their turn.
    pub batched: Semaphore,
    /// Who may fold a tenant's whole past: one caller at a time.
    pub folds: Semaphore,
    /// Tells everybody who waits that the server is going down.
    pub shutdown: Shutdown,
}

/// The newest position acknowledged by this node, per partition.
#[derive(Debug)]
pub struct Accepted(Vec<AtomicU64>);

impl Accepted {
    /// Nothing yet.
    pub fn new(partitions: u16) -> Self {
        Accepted((0..partitions).map(|_| AtomicU64::new(0)).collect())
    }

    /// Remembers a position.
    pub fn note(&self, position: Position) {
        if let Some(newest) = self.0.get(usize::from(position.partition)) {
            newest.fetch_max(position.sequence, Ordering::Relaxed);
        }
    }

    /// The newest of each partition that has one.
    pub fn newest(&self) -> Vec<Position> {
        let of = |(partition, newest): (u16, &AtomicU64)| Position {
            partition,
            sequence: newest.load(Ordering::Relaxed),
        };
        (0..).zip(&self.0).map(of).filter(|position| position.sequence > 0).collect()
    }
}

impl App {
    /// What keeps the log's tree; where nothing does, the problem that says so.
    pub fn keeper(&self) -> Result<&Keeper, Problem> {
        self.audit.as_ref().ok_or_else(|| {
            Problem::new(
                Code::ReadOnlyReplica,
                "a read replica signs and proves nothing; ask a server that is none",
            )
        })
    }

    /// How many partitions the journal has.
    pub fn partitions(&self) -> u16 {
        self.ledger.journal().partitions()
    }

    /// Where each partition of the log ends now; all are asked at once.
    pub async fn log_ends(&self) -> Result<Vec<Position>, ReadError> {
        let journal = self.ledger.journal();
        let end = async |partition| {
            let sequence = journal.last_sequence(partition).await?;
            Ok(Position { partition, sequence })
        };
        futures::future::try_join_all((0..journal.partitions()).map(end)).await
    }

    /// `template` with the order's tracking number and status token in place.
    pub fn payment_url(&self, template: &str, tenant: &TenantId, order: RecordId) -> String {
        template
            .replace("{tracking_number}", &TrackingNumber(order).to_string())
            .replace("{token}", &self.tokens.status_token(tenant, order))
    }
}
