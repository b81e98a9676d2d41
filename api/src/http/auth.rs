//! Who is calling: a tenant's API key, or a status token that is good for one order's status alone.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use ledger::ids::TenantId;

use super::problem::Problem;
use crate::app::App;

/// A caller with a valid API key; their tenant is all that exists for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub TenantId);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let key = bearer(parts).ok_or_else(Problem::unauthenticated)?;
        app.tenants.by_api_key(key).map(Caller).ok_or_else(Problem::unauthenticated)
    }
}

/// The credentials of a request that may come with a status token instead of an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusCaller {
    /// A tenant: any of its orders.
    Tenant(TenantId),
    /// Somebody with a token, which is yet to be held against the order it is used for.
    Token(String),
}

impl FromRequestParts<Arc<App>> for StatusCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if let Some(key) = bearer(parts) {
            if crate::tokens::looks_like_one(key) {
                return Ok(StatusCaller::Token(key.to_owned()));
            }
            return app
                .tenants
                .by_api_key(key)
                .map(StatusCaller::Tenant)
                .ok_or_else(Problem::unauthenticated);
        }
        let query = parts.uri.query().unwrap_or_default();
        let token = query.split('&').find_map(|pair| pair.strip_prefix("token="));
        token.map(|token| StatusCaller::Token(token.to_owned())).ok_or_else(Problem::unauthenticated)
    }
}

/// The text after `Bearer `; the scheme's name is read in any case.
pub fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credentials.trim())
}
