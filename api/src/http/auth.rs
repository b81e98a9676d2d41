//! Who is calling: a tenant's API key, a status token that is good for one order's status alone, or the admin key.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use ledger::ids::TenantId;
use subtle::ConstantTimeEq;

use super::problem::{Code, Problem};
use crate::app::App;
use crate::tenants::hash_of;

/// A caller with a valid API key; their tenant is all that exists for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub TenantId);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let key = bearer(&parts.headers).ok_or_else(Problem::unauthenticated)?;
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
        if let Some(key) = bearer(&parts.headers) {
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

/// An operator with the admin key, for whom no tenant is another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admin;

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Some(known) = &app.config.admin_key else {
            return Err(Problem::new(Code::AdminNotConfigured, "the server has no admin key: set admin.key"));
        };
        let given = bearer(&parts.headers).ok_or_else(Problem::not_admin)?;
        // By their hashes, so that the time it takes tells nothing about the key, not even its length.
        let is_known = hash_of(given).ct_eq(&hash_of(known.reveal()));
        if bool::from(is_known) { Ok(Admin) } else { Err(Problem::not_admin()) }
    }
}

/// The text after `Bearer `; the scheme's name is read in any case.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credentials.trim())
}
