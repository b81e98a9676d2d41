//! Reading a body, step by step, each with its own problem: size, content type, UTF-8, JSON, shape.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::problem::{Code, Problem};
use crate::app::App;

/// A JSON body of this shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let limit = app.config.limits.body_bytes;
        let (parts, body) = request.into_parts();
        let bytes = read(body, limit).await?;
        expect_json(&parts.headers)?;
        parse(&bytes).map(Json)
    }
}

/// A JSON body of this shape, or none at all, which reads as the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonOrNothing<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<App>> for JsonOrNothing<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let limit = app.config.limits.body_bytes;
        let (parts, body) = request.into_parts();
        let bytes = read(body, limit).await?;
        if bytes.is_empty() {
            return Ok(JsonOrNothing(T::default()));
        }
        expect_json(&parts.headers)?;
        parse(&bytes).map(JsonOrNothing)
    }
}

/// All of a body, if it has at most `limit` bytes.
pub async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let _ = (body, limit);
    Err(Problem::internal())
}

/// `application/json`, with UTF-8 as the only charset there is.
pub fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let _ = text;
    Err(Problem::new(Code::UnsupportedMediaType, "send Content-Type: application/json"))
}

/// The bytes as JSON of this shape.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let _ = bytes;
    Err(Problem::internal())
}
