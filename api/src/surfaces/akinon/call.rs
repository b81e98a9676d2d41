//! Who calls, and with what body: what every call of Akinon's has in common.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use data_encoding::BASE64;
use ledger::commit::Cause;
use ledger::ids::{RecordId, TenantId};
use serde::Serialize;

use super::fields::{Fields, Members};
use super::reply::{Failure, Refused};
use super::request::{Body, guid, prose};
use crate::app::App;
use crate::http::body;
use crate::orders::{self, Ask, OrderError, operation};

/// Which version of its API Akinon speaks.
const API_VERSION: &str = "x-akinon-api-version";

/// A call that may be made, with a body that can be used.
#[derive(Debug)]
pub(super) struct Call<T> {
    /// The caller.
    pub(super) tenant: TenantId,
    /// The vendor's version, where it said so in a way that can be kept.
    pub(super) api_version: Option<String>,
    /// The version of the service that Akinon thinks it calls.
    pub(super) version: String,
    /// The idempotency key.
    pub(super) guid: String,
    /// Akinon's name for the order.
    pub(super) order_id: String,
    /// The order that has this name, if it exists.
    pub(super) order: RecordId,
    /// The call's own fields.
    pub(super) body: T,
}

impl<T> Call<T> {
    /// What is asked, with `content` as what tells a retry from another request under the same guid. The versions
    /// are no part of it: an upgrade may come between two tries.
    pub(super) fn ask(&self, content: &impl Serialize) -> Result<Ask, OrderError> {
        let content = (&self.order_id, content);
        Ask::new(self.tenant.clone(), Some(self.guid.clone()), &content)
    }

    /// Whether this cause is the operation under this call's guid.
    pub(super) fn is_cause(&self, operation: &str, cause: &Cause) -> bool {
        match cause {
            Cause::Command { operation: made, key, .. } => {
                made == operation && key.as_ref() == Some(&self.guid)
            }
            Cause::Webhook { .. } | Cause::Timer { .. } => false,
        }
    }

    /// Refuses a guid that the operation has for another order. Two orders may still get the same one at the same
    /// time; then the retry of either gets its own answer, and each order is its own.
    pub(super) async fn refuse_anothers_guid(&self, app: &App, operation: &str) -> Result<(), OrderError> {
        let views = orders::fresh_views(app, None).await;
        let first = views.idempotency(&self.tenant, operation, &self.guid)?;
        if first.is_none_or(|entry| entry.record == self.order) {
            return Ok(());
        }
        let commits = match orders::commits(app, &self.tenant, self.order).await {
            Err(OrderError::NotFound) => Vec::new(),
            commits => commits?,
        };
        let is_repeated = commits.iter().any(|recorded| self.is_cause(operation, &recorded.commit.cause));
        if is_repeated { Ok(()) } else { Err(OrderError::KeyReused) }
    }

    /// The answer to a call that was not done.
    pub(super) async fn failure(&self, app: &App, refused: Refused) -> Failure {
        Failure::about(app, &self.tenant, self.order, refused).await
    }
}

impl<T: Body> FromRequest<Arc<App>> for Call<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let tenant = authenticate(&parts.headers, app)?;
        let bytes = body::read(body, app.config.limits.body_bytes).await?;
        body::expect_json(&parts.headers)?;
        let mut fields = Fields::new(body::parse::<Members>(&bytes)?);
        let version = fields.text("version", |text| prose(text, 32));
        let guid = fields.text("guid", guid);
        let order_id = fields.text("orderId", |text| prose(text, 128));
        let body = T::read(&mut fields);
        let invalid = fields.finish();
        let record = |id: &String| RecordId::for_key(&tenant, operation::AKINON_ORDER, id);
        let order = order_id.as_ref().map(record);
        match (version, guid, order_id, order, body) {
            (Some(version), Some(guid), Some(order_id), Some(order), Some(body)) if invalid.is_empty() => {
                let api_version = api_version(&parts.headers);
                Ok(Call { tenant, api_version, version, guid, order_id, order, body })
            }
            (.., Some(order), _) => Err(Failure::about(app, &tenant, order, Refused::Fields(invalid)).await),
            _ => Err(Failure::invalid(invalid)),
        }
    }
}

/// The tenant whose name and API key the call carries.
fn authenticate(headers: &HeaderMap, app: &App) -> Result<TenantId, Failure> {
    let tenant = basic(headers)
        .and_then(|(name, key)| Some((name.parse::<TenantId>().ok()?, key)))
        .filter(|(tenant, key)| app.tenants.is_key_of(tenant, key))
        .map(|(tenant, _)| tenant)
        .ok_or_else(Failure::unauthenticated)?;
    let is_enabled = app.tenants.get(&tenant).is_some_and(|config| config.akinon_hash_key.is_some());
    if is_enabled { Ok(tenant) } else { Err(Failure::not_enabled()) }
}

/// Name and password of `Authorization: Basic` (RFC 7617).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let decoded = BASE64.decode(credentials.trim().as_bytes()).ok()?;
    let text = String::from_utf8(decoded).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
}

/// Kept as it came, if it is fit to be kept.
fn api_version(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(API_VERSION)?.to_str().ok()?;
    prose(text, 32).ok()
}
