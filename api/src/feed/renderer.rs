//! What a feed says of a commit: rendered by the first reader who comes to it, and the same bytes for all others.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use ledger::codec::{self, Sealed};
use ledger::commit::{Changes, Recorded};
use ledger::ids::{Position, TenantId, TrackingNumber};
use ledger::order::Status;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::End;
use super::backlog::Missed;
use crate::app::App;
use crate::v1::shapes::{CauseJson, StatusWord, time};

/// The data of a `commit` event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeedCommit)]
pub(super) struct CommitJson {
    position: String,
    order_id: String,
    tracking_number: String,
    /// RFC 3339 in UTC.
    decided_at: String,
    cause: CauseJson,
    /// The order's status after this commit.
    #[schema(value_type = StatusWord)]
    status: &'static str,
    /// Each with its `type`, such as `payment_captured.v1`, and the fields of that type.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Value>,
}

/// Renders commits for the readers of one tenant.
#[derive(Clone)]
pub(super) struct Renderer {
    pub(super) app: Arc<App>,
    pub(super) tenant: TenantId,
}

/// A commit, as its readers are told of it.
pub(super) struct Rendered {
    pub(super) position: Position,
    /// None if it is not about an order of the tenant's.
    pub(super) event: Option<Bytes>,
    /// How often keys had been forgotten before its own was looked up.
    forgettings: u64,
}

impl Renderer {
    /// Whether it may still be handed out: no key has been destroyed since, whose data it could have.
    pub(super) fn is_good(&self, rendered: &Rendered) -> bool {
        rendered.event.is_none() || rendered.forgettings == self.forgettings()
    }

    fn forgettings(&self) -> u64 {
        self.app.ledger.keyring().forgettings()
    }

    /// Commits of the tenant's, in their order.
    pub(super) async fn rendered_group(self, group: Vec<Missed>) -> Result<Vec<Rendered>, End> {
        let mut events = Vec::with_capacity(group.len());
        for missed in group {
            events.push(self.rendered_missed(missed).await?);
        }
        Ok(events)
    }

    /// A commit of the tenant's. One that another reader has rendered is not even decoded.
    async fn rendered_missed(&self, missed: Missed) -> Result<Rendered, End> {
        let (position, forgettings) = (missed.position(), self.forgettings());
        if let Some(event) = self.app.renderings.get(position, forgettings) {
            return Ok(Rendered { position, event: Some(event), forgettings });
        }
        let (recorded, sealed) = missed.decode()?;
        self.rendered(Cow::Owned(recorded), sealed.as_ref()).await
    }

    /// Any commit, with its personal data as long as there is a key.
    pub(super) async fn rendered(
        &self,
        recorded: Cow<'_, Recorded>,
        sealed: Option<&Sealed>,
    ) -> Result<Rendered, End> {
        let is_ours = recorded.commit.tenant == self.tenant;
        let is_order = match recorded.commit.changes {
            Changes::Order(_) => true,
            Changes::Offer(_) | Changes::Quarantine(_) => false,
        };
        // Before the key is looked up: one that is destroyed from here on makes the rendering void.
        let (position, forgettings) = (recorded.position, self.forgettings());
        if !is_ours || !is_order {
            return Ok(Rendered { position, event: None, forgettings });
        }
        if let Some(event) = self.app.renderings.get(position, forgettings) {
            return Ok(Rendered { position, event: Some(event), forgettings });
        }
        let event = self.render(recorded.into_owned(), sealed).await?;
        self.app.renderings.keep(position, forgettings, event.clone());
        Ok(Rendered { position, event: Some(event), forgettings })
    }

    async fn render(&self, mut recorded: Recorded, sealed: Option<&Sealed>) -> Result<Bytes, End> {
        let status = self.status_after(&recorded)?;
        let opened = self.app.ledger.unseal(&mut recorded, sealed).await;
        opened.map_err(|error| End::failed(&error))?;
        event("commit", &CommitJson::of(&recorded, status))
    }

    /// The order's status as this commit left it, from the views, which are at least as far.
    fn status_after(&self, Recorded { position, commit }: &Recorded) -> Result<Status, End> {
        let status = self.app.views.status_after(&self.tenant, commit.record, *position)?;
        status.ok_or_else(|| End::Failed(format!("the views do not show the commit at {position}")))
    }
}

/// A server-sent event but for its id.
pub(super) fn event(name: &str, data: &impl Serialize) -> Result<Bytes, End> {
    // JSON has no line breaks of its own.
    let data = serde_json::to_string(data).map_err(|error| End::failed(&error))?;
    Ok(format!("event: {name}\ndata: {data}\n\n").into())
}

impl CommitJson {
    fn of(Recorded { position, commit }: &Recorded, status: Status) -> Self {
        CommitJson {
            position: position.to_string(),
            order_id: commit.record.to_string(),
            tracking_number: TrackingNumber(commit.record).to_string(),
            decided_at: time(commit.decided_at),
            cause: CauseJson::from(&commit.cause),
            status: status.as_str(),
            events: codec::public_events(commit),
        }
    }
}
