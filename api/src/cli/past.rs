//! What the commands have in common that fold a tenant's past: whose, until when, and from where. They read the log
//! beside a running server.

use clap::Args;
use ledger::execute::{Ledger, LoadError, RetryPolicy};
use ledger::ids::TenantId;
use replay::{AsOf, Moment, MomentError, Snapshot};

use super::progress::ProgressReport;
use super::{Failure, chain};
use crate::config::Config;
use crate::startup;

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Past {
    /// Whose orders; may be left out where there is one tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only up to this time (RFC 3339) or position
    #[arg(long)]
    as_of: Option<String>,
}

/// A ledger to read, and what of it was asked for.
pub(super) struct Asked {
    pub(super) ledger: Ledger,
    pub(super) tenant: TenantId,
    pub(super) moment: Moment,
}

impl Past {
    /// Opens the log and finds the moment in it.
    pub(super) async fn open(&self, config: &Config) -> Result<Asked, Failure> {
        let tenant = self.tenant(config)?;
        let as_of: Option<AsOf> = self
            .as_of
            .as_ref()
            .map(|text| text.parse().map_err(|error| Failure::usage(format!("--as-of: {error}"))))
            .transpose()?;
        let ledger = Ledger::new(startup::open_journal_read_only(config).await?, RetryPolicy::default());
        let moment = match Moment::find(ledger.journal().as_ref(), as_of).await {
            Ok(moment) => moment,
            Err(error @ MomentError::UnknownPartition { .. }) => {
                return Err(Failure::usage(format!("--as-of: {error}")));
            }
            Err(MomentError::Load(error)) => return Err(unreadable(&error)),
        };
        Ok(Asked { ledger, tenant, moment })
    }

    fn tenant(&self, config: &Config) -> Result<TenantId, Failure> {
        match (&self.tenant, config.tenants.as_slice()) {
            (Some(tenant), _) => tenant.parse().map_err(|error| Failure::usage(format!("--tenant: {error}"))),
            (None, [only]) => Ok(only.id.clone()),
            (None, _) => Err(Failure::usage("whose order?").hint("name the tenant with --tenant")),
        }
    }
}

impl Asked {
    /// Folds all orders of the tenant, and says how far it has come.
    pub(super) async fn snapshot(&self, is_json: bool) -> Result<Snapshot, Failure> {
        let mut shown = ProgressReport::new("commits", is_json);
        let journal = self.ledger.journal().as_ref();
        let read =
            Snapshot::read(journal, &self.tenant, self.moment, |progress| shown.update(progress)).await;
        shown.finish();
        read.map_err(|error| unreadable(&error))
    }
}

/// A log that could not be read.
pub(super) fn unreadable(error: &LoadError) -> Failure {
    Failure::new(chain(error))
}
