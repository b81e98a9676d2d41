//! Outgoing notifications: a tenant with an endpoint is told of every status change of its orders.
//!
//! The log is the queue. For each tenant one node holds a lease, follows the log, and sends one signed message for
//! each commit that changed an order's status. How far it has come, and what it could not deliver yet, is a memo
//! beside the log (`document`), so that the next process, or another node, goes on from there.
//!
//! What must stay true:
//! - At least once: a commit is behind the memo's place only when its message was answered with 2xx, is listed as
//!   pending, or is listed as given up.
//! - In order per order: a message waits until the one before it of the same order is delivered or given up.
//! - Bounded: when too many messages are pending, the log is not read on.
//! - No side effect of folding: views, rebuilds and replays know nothing of this module, and it nothing of them.

mod document;
mod message;
mod queue;
mod reader;
mod sender;
mod store;
mod worker;

use std::sync::Arc;

use futures::future::join_all;
use ledger::ids::TenantId;
use ledger::journal::{Journal, PutMemoError};

pub use document::{Document, DocumentError};
pub use message::NotificationId;
pub use queue::Entry;
pub use store::StoreError;

use crate::app::App;
use crate::config::{Config, NotificationEndpoint};
use crate::orders::{self, OrderError};
use sender::Sender;
use store::Store;
use worker::Worker;

/// How often a retry is asked for again when the document changes meanwhile: its owner saves once a second.
const RETRY_CONFLICTS: usize = 5;

/// Why notifications cannot begin when the server starts.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Messages could not be sent to the endpoint as it is configured.
    #[error("tenants.{tenant}.notifications: {reason}")]
    Endpoint {
        /// Whose.
        tenant: TenantId,
        /// What is wrong.
        reason: String,
    },
    /// The journal cannot be asked, or not be told.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Sets the place of each tenant that has an endpoint for the first time: the end of the log as it is now. To be
/// called before anything is accepted, so that nothing accepted is left out.
pub async fn begin(journal: &Arc<dyn Journal>, config: &Config) -> Result<(), BeginError> {
    for (tenant, endpoint) in endpoints(config) {
        let unusable = |reason| BeginError::Endpoint { tenant: tenant.clone(), reason };
        Sender::new(endpoint).map_err(unusable)?;
        Store::new(tenant, Arc::clone(journal)).begin().await?;
    }
    Ok(())
}

/// Delivers for every tenant with an endpoint, wherever no other node does; until the server shuts down.
pub async fn run(app: Arc<App>) {
    let workers = endpoints(&app.config).filter_map(|(tenant, endpoint)| match Sender::new(endpoint) {
        Ok(sender) => Some(Worker::new(Arc::clone(&app), tenant.clone(), sender).run()),
        Err(reason) => {
            tracing::error!(%tenant, reason, "notifications cannot be sent");
            None
        }
    });
    join_all(workers).await;
}

fn endpoints(config: &Config) -> impl Iterator<Item = (&TenantId, &NotificationEndpoint)> {
    config.tenants.iter().filter_map(|tenant| Some((&tenant.id, tenant.notifications.as_ref()?)))
}

/// Whether a memo of this name is a tenant's document.
pub fn is_document(memo: &str) -> bool {
    memo.starts_with(store::PREFIX)
}

/// What there is to see of a tenant's notifications; none when it has never had an endpoint.
pub async fn document(app: &App, tenant: &TenantId) -> Result<Option<Document>, OrderError> {
    let store = Store::new(tenant, Arc::clone(app.ledger.journal()));
    Ok(store.read().await?.map(|(_, document)| document))
}

/// Tries a message again that was given up. False when it is neither that nor pending.
pub async fn retry(app: &App, tenant: &TenantId, id: NotificationId) -> Result<bool, OrderError> {
    let store = Store::new(tenant, Arc::clone(app.ledger.journal()));
    for _ in 0..RETRY_CONFLICTS {
        let Some((revision, mut document)) = store.read().await? else { return Ok(false) };
        if !document.request(id, orders::now()) {
            return Ok(document.pending.iter().any(|entry| entry.id == id));
        }
        match store.put(revision, &document).await {
            Ok(_) => return Ok(true),
            Err(PutMemoError::Conflict) => {}
            Err(PutMemoError::Unknown(error)) => return Err(OrderError::Unknown(error)),
            Err(PutMemoError::Unavailable(error)) => return Err(OrderError::Unavailable(error)),
        }
    }
    Err(OrderError::Unavailable("the notifications change all the time".into()))
}
