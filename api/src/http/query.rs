//! Query strings: a parameter that is not known is refused like one that is wrong.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::{Code, Problem};
use crate::app::App;

/// A query string of this shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Query(query))
            // The parser's words may repeat what was sent, and that may be a token.
            .map_err(|_| invalid("a parameter is unknown, there twice, or of another kind"))
    }
}

/// A query that cannot be answered, for this reason.
pub fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidQuery, detail)
}
