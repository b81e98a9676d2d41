//! ETags: the position of an order's newest commit says which version of it a reader has.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ledger::ids::Position;
use serde::Serialize;

use super::body;
use crate::app::App;

/// The versions a caller has already.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IfNoneMatch {
    tags: Vec<String>,
    any: bool,
}

impl IfNoneMatch {
    /// Whether the caller said anything about versions.
    pub fn is_given(&self) -> bool {
        self.any || !self.tags.is_empty()
    }

    /// Whether the caller has this version.
    pub fn matches(&self, position: Position) -> bool {
        self.any || (!self.tags.is_empty() && self.tags.contains(&position.to_string()))
    }

    /// What a request says.
    pub fn of(headers: &HeaderMap) -> Self {
        Self::read(headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()))
    }

    /// Reads the header's values. Weak tags compare like strong ones (RFC 9110, 13.1.2).
    fn read<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut read = IfNoneMatch::default();
        for tag in values.flat_map(|value| value.split(',')).map(str::trim) {
            if tag == "*" {
                read.any = true;
                continue;
            }
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            if let Some(text) = strong.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                read.tags.push(text.to_owned());
            }
        }
        read
    }
}

impl FromRequestParts<Arc<App>> for IfNoneMatch {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Self::Rejection> {
        Ok(IfNoneMatch::of(&parts.headers))
    }
}

/// The document with its ETag, or 304 for a caller who has it.
pub fn versioned(position: Position, has: &IfNoneMatch, document: impl Serialize) -> Response {
    let mut response =
        if has.matches(position) { StatusCode::NOT_MODIFIED.into_response() } else { body::json(&document) };
    // Digits, a hyphen and quotes are always a header value.
    if let Ok(tag) = HeaderValue::try_from(format!("\"{position}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, matches: bool) {
        let read = IfNoneMatch::read([header].into_iter());
        assert_eq!(read.matches(Position { partition: 0, sequence: 7 }), matches, "{header}");
    }

    #[test]
    fn one_of_a_list_is_enough_and_a_star_is_all() {
        check("\"0-7\"", true);
        check("\"0-6\"", false);
        check("\"0-6\", \"0-7\"", true);
        check("W/\"0-7\"", true);
        check("*", true);
        check("0-7", false);
        check("", false);
        assert!(!IfNoneMatch::read(std::iter::empty()).is_given());
    }
}
