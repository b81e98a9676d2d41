//! Who is calling: `POST /v1/oauth/tokens` trades a tenant and its API key for an access token (RFC 6749, client
//! credentials), and every other route wants one.
//!
//! A token is a JWT (HS256) under a key that follows from `token_secret`, so it is good on every node and after a
//! restart. It ends with its life, with no leeway, and with the API key that it was given for: it is bound to that
//! key's hash by an HMAC, which tells nothing about either.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ledger::ids::TenantId;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::NAME;
use super::refusal::Refusal;
use crate::app::App;
use crate::cards::Secret;
use crate::http::auth::bearer;
use crate::http::body;
use crate::http::problem::Code;
use crate::orders::OrderError;
use crate::tenants::hash_of;
use crate::tokens::TokenSigner;

const ISSUER: &str = "daybook";
const GRANT: &str = "client_credentials";
/// What the signing key is derived for.
const KEY_PURPOSE: &str = "orkestapay.access_token";
/// What a token is bound to an API key for.
const BINDING_PURPOSE: &str = "orkestapay.client_secret";

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    /// The tenant.
    sub: String,
    /// The same, by the name of RFC 9068.
    client_id: String,
    /// Seconds since 1970.
    iat: i64,
    /// Seconds since 1970; from then on the token is not valid.
    exp: i64,
    jti: String,
    /// Binds the token to the API key.
    binding: String,
}

/// A caller with a valid access token; their tenant is all that exists for them.
pub(super) struct Caller(pub TenantId);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let token = bearer(&parts.headers).ok_or_else(Refusal::no_token)?;
        verify(app, token).map(Caller).ok_or_else(Refusal::bad_token)
    }
}

/// Client credentials, as JSON (the seed) or as a form (RFC 6749, and the vendor's older plugins). Parameters that
/// are not known are ignored, as RFC 6749 asks.
#[derive(Deserialize)]
struct TokenRequest {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
}

#[derive(Serialize)]
struct TokenReply {
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
    access_token: String,
}

/// `POST /v1/oauth/tokens`.
pub(super) async fn issue(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let request = read(&app, &headers, body).await.map_err(|refusal| refusal.oauth("invalid_request"))?;
    let missing = |name: &str| {
        Refusal::of(Code::MissingField, format!("{name} is required")).at(name).oauth("invalid_request")
    };
    let grant_type = request.grant_type.ok_or_else(|| missing("grant_type"))?;
    let client_id = request.client_id.ok_or_else(|| missing("client_id"))?;
    let client_secret = request.client_secret.ok_or_else(|| missing("client_secret"))?;
    if grant_type != GRANT {
        let message = format!("grant_type is always {GRANT}");
        return Err(Refusal::invalid("grant_type", message).oauth("unsupported_grant_type"));
    }
    let tenant = client_id.parse::<TenantId>().ok();
    let tenant = tenant.filter(|tenant| app.tenants.is_key_of(tenant, client_secret.expose()));
    let Some(tenant) = tenant else {
        let message = "client_id or client_secret is wrong";
        return Err(Refusal::of(Code::Unauthenticated, message).oauth("invalid_client"));
    };
    let life = app.config.orkestapay.token_life;
    let access_token = sign(&app.tokens, &tenant, client_secret.expose(), Timestamp::now(), life)?;
    let reply = TokenReply { token_type: "Bearer", expires_in: life.as_secs(), access_token };
    let not_kept = [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];
    Ok((StatusCode::OK, AppendHeaders(not_kept), axum::Json(reply)).into_response())
}

async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<TokenRequest, Refusal> {
    let bytes = body::read(body, app.config.limits.body_bytes).await?;
    if is_form(headers) {
        return from_form(&bytes);
    }
    body::expect_json(headers)?;
    Ok(body::parse(&bytes)?)
}

fn is_form(headers: &HeaderMap) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn from_form(bytes: &[u8]) -> Result<TokenRequest, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::of(Code::InvalidUtf8, "not UTF-8"))?;
    let mut url = Url::parse("form:").map_err(|e| OrderError::internal(e.into()))?;
    url.set_query(Some(text));
    let mut fields = serde_json::Map::new();
    // A parameter without a value counts as left out (RFC 6749, 3.2).
    for (name, value) in url.query_pairs().filter(|(_, value)| !value.is_empty()) {
        if fields.insert(name.to_string(), value.into()).is_some() {
            return Err(Refusal::invalid(name, "is there twice"));
        }
    }
    serde_json::from_value(fields.into()).map_err(|e| OrderError::internal(e.into()).into())
}

fn sign(
    signer: &TokenSigner,
    tenant: &TenantId,
    api_key: &str,
    now: Timestamp,
    life: Duration,
) -> Result<String, OrderError> {
    // Rounded up, so that a token lives no shorter than its `expires_in`.
    let exp = now.as_second() + i64::try_from(life.as_secs()).unwrap_or(i64::MAX / 2) + 1;
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: NAME.to_owned(),
        sub: tenant.to_string(),
        client_id: tenant.to_string(),
        iat: now.as_second(),
        exp,
        jti: Uuid::now_v7().to_string(),
        binding: signer.sign(BINDING_PURPOSE, &[tenant.as_str(), &HEXLOWER.encode(&hash_of(api_key))]),
    };
    let key = EncodingKey::from_secret(signer.sign(KEY_PURPOSE, &[]).as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|e| OrderError::internal(e.into()))
}

/// Whose token this is, if it is valid now: ours, unaltered, in time, and for a tenant's key that is still one.
fn verify(app: &App, token: &str) -> Option<TenantId> {
    // HS256 and nothing else; least of all `none`.
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 0;
    // At the second of `exp` itself the token has ended (RFC 7519, 4.1.4).
    validation.reject_tokens_expiring_in_less_than = 1;
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[NAME]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let key = DecodingKey::from_secret(app.tokens.sign(KEY_PURPOSE, &[]).as_bytes());
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation).ok()?.claims;
    let tenant: TenantId = claims.sub.parse().ok()?;
    let is_bound_to = |hash: &[u8; 32]| {
        app.tokens.verify(BINDING_PURPOSE, &[tenant.as_str(), &HEXLOWER.encode(hash)], &claims.binding)
    };
    app.tenants.get(&tenant)?.api_key_hashes.iter().any(is_bound_to).then_some(tenant)
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;
    use crate::config::{DEMO_KEY, Secret};
    use crate::webhooks::tests::server::{OTHER_KEY, Server, demo};

    #[tokio::test]
    async fn a_token_is_good_for_its_life_its_key_and_its_secret_alone() {
        let dir = tempdir().unwrap();
        let server = Server::open(dir.path()).await;
        let app = &server.app;
        let now = Timestamp::now();
        let life = Duration::from_secs(60);
        let made = |signer: &TokenSigner, key: &str, at: Timestamp, life: Duration| {
            verify(app, &sign(signer, &demo(), key, at, life).unwrap())
        };
        assert_eq!(made(&app.tokens, DEMO_KEY, now, life), Some(demo()));
        let ended = now.checked_sub(life + Duration::from_secs(1)).unwrap();
        assert_eq!(made(&app.tokens, DEMO_KEY, ended, life), None, "the second it ended");
        let lives = now.checked_sub(life - Duration::from_secs(10)).unwrap();
        assert_eq!(made(&app.tokens, DEMO_KEY, lives, life), Some(demo()));
        assert_eq!(
            made(&app.tokens, "a key that was", now, life),
            None,
            "a key that is no longer configured"
        );
        assert_eq!(made(&app.tokens, OTHER_KEY, now, life), None, "another tenant's key");
        let elsewhere = TokenSigner::new(Secret::new("another secret"));
        assert_eq!(made(&elsewhere, DEMO_KEY, now, life), None);
        let nobody = "nobody".parse().unwrap();
        assert_eq!(verify(app, &sign(&app.tokens, &nobody, DEMO_KEY, now, life).unwrap()), None);
        server.stop().await;
    }
}
