//! Answers that were given to polls lately, to be given again for as long as their orders stay as they are.
//!
//! What must stay true: none is given after its order has changed. So each has the stamp of the order's row as it was
//! read, and whoever takes one from here holds that against the views first.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use ledger::ids::{Position, RecordId, TenantId};
use projections::Stamp;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::http::etag::IfNoneMatch;

/// Bytes of all answers together, about: those of some 60,000 orders.
const ROOM: u64 = 32 * 1024 * 1024;
/// What an answer takes beside its body, about.
const OVERHEAD: u64 = 256;
/// How many answers room is made for at once.
const EXPECTED: usize = 1024;

/// Answers by order.
pub struct Answers(Cache<RecordId, Arc<Known>, ByBytes>);

/// An answer, and of what it was made.
pub(super) struct Known {
    pub(super) tenant: TenantId,
    /// Of the order's row.
    pub(super) stamp: Stamp,
    pub(super) answer: Answer,
}

/// What is sent of where an order stands.
pub(super) struct Answer {
    pub(super) last: Position,
    /// The order may go on: the answer says when to ask again.
    pub(super) is_open: bool,
    pub(super) tag: HeaderValue,
    /// The document.
    pub(super) body: Bytes,
}

impl Default for Answers {
    fn default() -> Self {
        Answers(Cache::with_weighter(EXPECTED, ROOM, ByBytes))
    }
}

impl Answers {
    /// What was answered about this order of this tenant, which may have changed since.
    pub(super) fn get(&self, tenant: &TenantId, id: RecordId) -> Option<Arc<Known>> {
        self.0.get(&id).filter(|known| known.tenant == *tenant)
    }

    /// Keeps an answer, in place of another one or of some that are asked for less.
    pub(super) fn keep(&self, id: RecordId, known: Known) {
        self.0.insert(id, Arc::new(known));
    }
}

impl Answer {
    /// The document, or 304 for a caller who has it.
    pub(super) fn to(&self, has: &IfNoneMatch) -> Response {
        let mut response = Response::default();
        if has.matches(self.last) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            *response.body_mut() = Body::from(self.body.clone());
        }
        response.headers_mut().insert(header::ETAG, self.tag.clone());
        if self.is_open {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<RecordId, Arc<Known>> for ByBytes {
    fn weight(&self, _: &RecordId, known: &Arc<Known>) -> u64 {
        OVERHEAD + known.answer.body.len() as u64
    }
}
