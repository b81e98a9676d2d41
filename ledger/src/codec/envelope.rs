//! What stands around the events: whose commit it is, about what, when and why.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::convert::AnyEvent;
use super::event::StoredEvent;
use super::parts::{Str, owned, some_text, text};
use super::personal::{self, Personal};
use super::scalar::{Moment, Text};
use super::{DecodeError, stored_events};
use crate::commit::{Cause, Changes, Commit};
use crate::ids::{CommitId, RecordId, RequestHash, TenantId};
use crate::{offer, order, quarantine};

/// The shape of a commit. Another one would be another format.
const FORMAT: u32 = 1;

/// What every commit begins with, so that its id is found without reading on.
const HEAD: &[u8] = br#"{"commit":""#;
const ID_LENGTH: usize = 36;

/// The most bytes that a webhook's body may take as text. Control characters take six each: a body that every
/// sender may send must not become a commit that no journal takes.
const MAX_READABLE: usize = 512 * 1024;

/// A commit, field for field as it is stored, in this order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope<'a> {
    commit: Text<CommitId>,
    format: u32,
    tenant: Text<TenantId>,
    record: RecordKind,
    id: Text<RecordId>,
    decided_at: Moment,
    cause: StoredCause<'a>,
    events: Vec<StoredEvent<'a>>,
    /// By the index of the event that it was taken out of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    personal: BTreeMap<usize, Personal<'a>>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RecordKind {
    Order,
    Offer,
    Quarantine,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredCause<'a> {
    Command {
        operation: Str<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<Str<'a>>,
        request_hash: Text<RequestHash>,
    },
    Webhook {
        source: Str<'a>,
        event_id: Str<'a>,
        /// The body, where it is UTF-8.
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<Str<'a>>,
        /// The body, where it is not, or where it would grow too long as text.
        #[serde(skip_serializing_if = "Option::is_none")]
        body_base64: Option<Str<'a>>,
    },
    Timer {
        name: Str<'a>,
    },
}

impl<'a> From<&'a Commit> for Envelope<'a> {
    fn from(commit: &'a Commit) -> Self {
        let Commit { id, tenant, record, decided_at, cause, changes } = commit;
        Envelope {
            commit: Text(*id),
            format: FORMAT,
            tenant: Text(tenant.clone()),
            record: match changes {
                Changes::Order(_) => RecordKind::Order,
                Changes::Offer(_) => RecordKind::Offer,
                Changes::Quarantine(_) => RecordKind::Quarantine,
            },
            id: Text(*record),
            decided_at: Moment(*decided_at),
            cause: cause.into(),
            events: stored_events(changes),
            personal: personal::of(changes),
        }
    }
}

impl Envelope<'_> {
    pub(super) fn into_commit(self) -> Result<Commit, DecodeError> {
        if self.format != FORMAT {
            return Err(other_format(self.format));
        }
        Ok(Commit {
            id: self.commit.0,
            tenant: self.tenant.0,
            record: self.id.0,
            decided_at: self.decided_at.0,
            cause: self.cause.into_cause()?,
            changes: changes(self.record, self.events, self.personal)?,
        })
    }
}

fn changes(
    record: RecordKind,
    events: Vec<StoredEvent<'_>>,
    mut personal: BTreeMap<usize, Personal<'_>>,
) -> Result<Changes, DecodeError> {
    if events.is_empty() {
        return Err(DecodeError("a commit without events".to_owned()));
    }
    let mut changes = match record {
        RecordKind::Order => Changes::Order(Vec::with_capacity(events.len())),
        RecordKind::Offer => Changes::Offer(Vec::with_capacity(events.len())),
        RecordKind::Quarantine => Changes::Quarantine(Vec::with_capacity(events.len())),
    };
    for (index, stored) in events.into_iter().enumerate() {
        let name = stored.name();
        let mut own = personal.remove(&index).unwrap_or_default();
        let event = stored.into_domain(&mut own);
        if !own.is_empty() {
            return Err(DecodeError(format!("personal data that event {index}, {name}, has no place for")));
        }
        if !push(&mut changes, event) {
            return Err(DecodeError(format!("event {index}, {name}, is not about this kind of record")));
        }
    }
    match personal.keys().next() {
        None => Ok(changes),
        Some(index) => Err(DecodeError(format!("personal data of event {index}, which is not there"))),
    }
}

/// Whether the event is about this kind of record; it is added if so.
fn push(changes: &mut Changes, event: AnyEvent) -> bool {
    fn add<E>(events: &mut Vec<E>, event: E) -> bool {
        events.push(event);
        true
    }
    match (changes, event) {
        (Changes::Order(events), AnyEvent::Order(event)) => add::<order::Event>(events, event),
        (Changes::Offer(events), AnyEvent::Offer(event)) => add::<offer::Event>(events, event),
        (Changes::Quarantine(events), AnyEvent::Quarantine(event)) => add::<quarantine::Event>(events, event),
        (Changes::Order(_) | Changes::Offer(_) | Changes::Quarantine(_), _) => false,
    }
}

impl<'a> From<&'a Cause> for StoredCause<'a> {
    fn from(cause: &'a Cause) -> Self {
        match cause {
            Cause::Command { operation, key, request_hash } => StoredCause::Command {
                operation: text(operation),
                key: some_text(key),
                request_hash: Text(*request_hash),
            },
            Cause::Webhook { source, event_id, body } => {
                let (body, body_base64) = match std::str::from_utf8(body) {
                    Ok(readable) if escaped_length(body) <= MAX_READABLE => (Some(text(readable)), None),
                    Ok(_) | Err(_) => (None, Some(Cow::Owned(BASE64.encode(body)))),
                };
                StoredCause::Webhook { source: text(source), event_id: text(event_id), body, body_base64 }
            }
            Cause::Timer { name } => StoredCause::Timer { name: text(name) },
        }
    }
}

/// How many bytes a text takes within a JSON string.
fn escaped_length(text: &[u8]) -> usize {
    let length = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.iter().map(length).sum()
}

impl StoredCause<'_> {
    fn into_cause(self) -> Result<Cause, DecodeError> {
        Ok(match self {
            StoredCause::Command { operation, key, request_hash: Text(request_hash) } => {
                Cause::Command { operation: operation.into_owned(), key: owned(key), request_hash }
            }
            StoredCause::Webhook { source, event_id, body, body_base64 } => Cause::Webhook {
                source: source.into_owned(),
                event_id: event_id.into_owned(),
                body: body_of(body, body_base64)?,
            },
            StoredCause::Timer { name } => Cause::Timer { name: name.into_owned() },
        })
    }
}

fn body_of(body: Option<Str<'_>>, body_base64: Option<Str<'_>>) -> Result<Bytes, DecodeError> {
    match (body, body_base64) {
        (Some(text), None) => Ok(text.into_owned().into()),
        (None, Some(base64)) => BASE64
            .decode(base64.as_bytes())
            .map(Bytes::from)
            .map_err(|error| DecodeError(format!("body_base64: {error}"))),
        (Some(_), Some(_)) => Err(DecodeError("a webhook with two bodies".to_owned())),
        (None, None) => Err(DecodeError("a webhook without a body".to_owned())),
    }
}

/// The id that the first bytes hold. Bytes in another layout are read as JSON.
pub(super) fn commit_id(bytes: &[u8]) -> Result<CommitId, DecodeError> {
    #[derive(Deserialize)]
    struct Head {
        commit: Text<CommitId>,
    }
    let id = bytes.strip_prefix(HEAD).and_then(|rest| match rest.get(ID_LENGTH) {
        Some(b'"') => std::str::from_utf8(&rest[..ID_LENGTH]).ok(),
        Some(_) | None => None,
    });
    match id {
        Some(id) => Ok(id.parse()?),
        None => serde_json::from_slice(bytes)
            .map(|Head { commit: Text(id) }| id)
            .map_err(|error| DecodeError(error.to_string())),
    }
}

/// Why bytes could not be read: above all, whether they are in a format of the future.
pub(super) fn explain(bytes: &[u8], error: &serde_json::Error) -> DecodeError {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    match serde_json::from_slice(bytes) {
        Ok(Version { format }) if format != FORMAT => other_format(format),
        Ok(_) | Err(_) => DecodeError(error.to_string()),
    }
}

fn other_format(format: u32) -> DecodeError {
    DecodeError(format!("format {format}; this Daybook reads format {FORMAT}"))
}
