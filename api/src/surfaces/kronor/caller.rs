//! Who is calling: a merchant with an API key, or a buyer's browser with the `waitToken` of one purchase order.
//!
//! A wait token is `wt_<tenant>.<order id>.<base64url of HMAC-SHA256>` under a purpose of its own: the same on
//! every retry and every node, good for one order, and good nowhere else.

use axum::http::{HeaderMap, header};
use ledger::ids::{RecordId, TenantId};
use serde_json::Value;

use crate::app::App;

const PREFIX: &str = "wt_";
const PURPOSE: &str = "kronor.wait";

/// Somebody with good credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// All of this tenant's purchase orders.
    Merchant(TenantId),
    /// One purchase order: nothing else exists.
    Buyer {
        /// Whose shop.
        tenant: TenantId,
        /// Which order.
        order: RecordId,
    },
}

impl Caller {
    /// Whoever these credentials, without `Bearer`, belong to.
    fn of(app: &App, credentials: &str) -> Option<Caller> {
        match credentials.starts_with(PREFIX) {
            true => {
                let (tenant, order) = opened_by(app, credentials)?;
                Some(Caller::Buyer { tenant, order })
            }
            false => app.tenants.by_api_key(credentials).map(Caller::Merchant),
        }
    }

    /// The caller of a request. `None`: no credentials at all; `Some(None)`: wrong ones.
    pub(super) fn in_headers(app: &App, headers: &HeaderMap) -> Option<Option<Caller>> {
        let value = headers.get(header::AUTHORIZATION)?;
        Some(value.to_str().ok().and_then(bearer).and_then(|credentials| Caller::of(app, credentials)))
    }

    /// The same of the payload of a socket's `connection_init`: `{"Authorization": "Bearer …"}`, or that under
    /// `headers`, in any case of letters.
    pub(super) fn in_payload(app: &App, payload: &Value) -> Option<Option<Caller>> {
        let named = |object: &Value, name: &str| {
            let fields = object.as_object()?;
            fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        let nested = || named(&named(payload, "headers")?, "authorization");
        let value = named(payload, "authorization").or_else(nested)?;
        Some(value.as_str().and_then(bearer).and_then(|credentials| Caller::of(app, credentials)))
    }

    /// Whose orders.
    pub(super) fn tenant(&self) -> &TenantId {
        match self {
            Caller::Merchant(tenant) | Caller::Buyer { tenant, .. } => tenant,
        }
    }

    /// Whether this order may exist for the caller, if it is their tenant's.
    pub(super) fn may_see(&self, record: RecordId) -> bool {
        match self {
            Caller::Merchant(_) => true,
            Caller::Buyer { order, .. } => *order == record,
        }
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, credentials) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credentials.trim())
}

/// The token that sees and acts on this order alone.
pub(super) fn wait_token(app: &App, tenant: &TenantId, order: RecordId) -> String {
    let mac = app.tokens.sign(PURPOSE, &[tenant.as_str(), &order.to_string()]);
    format!("{PREFIX}{tenant}.{order}.{mac}")
}

/// Which order of which tenant this wait token opens.
pub(super) fn opened_by(app: &App, token: &str) -> Option<(TenantId, RecordId)> {
    let mut parts = token.strip_prefix(PREFIX)?.splitn(3, '.');
    let (tenant, order, mac) = (parts.next()?, parts.next()?, parts.next()?);
    if !app.tokens.verify(PURPOSE, &[tenant, order], mac) {
        return None;
    }
    let (tenant, order) = (tenant.parse().ok()?, order.parse().ok()?);
    // A tenant that is gone takes its tokens along.
    app.tenants.get(&tenant)?;
    Some((tenant, order))
}
