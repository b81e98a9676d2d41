//! What every request shares.

use std::net::SocketAddr;

use ledger::execute::Ledger;
use ledger::ids::{RecordId, TenantId, TrackingNumber};
use projections::{Projector, Reader, Views};

use crate::config::Config;
use crate::startup::Shutdown;
use crate::tenants::Tenants;
use crate::tokens::TokenSigner;

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
    /// Reads that see the caller's own writes.
    pub reader: Reader,
    /// Whose key is whose.
    pub tenants: Tenants,
    /// Signs status tokens.
    pub tokens: TokenSigner,
    /// Tells everybody who waits that the server is going down.
    pub shutdown: Shutdown,
}

impl App {
    /// `template` with the order's tracking number and status token in place.
    pub fn payment_url(&self, template: &str, tenant: &TenantId, order: RecordId) -> String {
        template
            .replace("{tracking_number}", &TrackingNumber(order).to_string())
            .replace("{token}", &self.tokens.status_token(tenant, order))
    }
}
