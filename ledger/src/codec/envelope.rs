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
use super::sealed::Sealed;
use super::{DecodeError, stored_events};
use crate::commit::{Cause, Changes, Commit};
use crate::ids::{CommitId, RecordId, RequestHash, TenantId};
use crate::keys::{Key, KeyId};
use crate::{offer, order, quarantine};

/// A commit whose personal data, if any, can be read by everybody. Nothing writes it into a log any more.
const OPEN: u32 = 1;
/// A commit whose personal data is sealed, or was left out because it is to be forgotten.
const SEALED: u32 = 2;

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
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    sealed: Option<StoredSeal<'a>>,
}

/// What only the holder of the key can read; see `sealed`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSeal<'a> {
    key: Text<KeyId>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    cause: Option<Base64<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    events: Option<Base64<'a>>,
}

/// Bytes as text, which is not copied before it is decoded.
#[derive(Debug, Serialize, Deserialize)]
struct Base64<'a>(#[serde(borrow)] Str<'a>);

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
        /// Sealed since format 2: who has the hash can try out what was in the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        request_hash: Option<Text<RequestHash>>,
    },
    Webhook {
        source: Str<'a>,
        event_id: Str<'a>,
        /// The body, where it is UTF-8. Sealed since format 2.
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

impl<'a> Envelope<'a> {
    /// A commit that everybody can read.
    pub(super) fn open(commit: &'a Commit) -> Self {
        let personal = personal::of(&commit.changes);
        Envelope { format: OPEN, personal, cause: (&commit.cause).into(), ..Envelope::bare(commit) }
    }

    /// A commit whose personal data only the key opens.
    pub(super) fn sealed(commit: &'a Commit, key: &Key) -> Self {
        let Sealed { key, cause, events } = Sealed::seal(commit, key);
        let base64 = |bytes: Bytes| Base64(Str::Owned(BASE64.encode(&bytes)));
        let events = events.map(|events| base64(events.bytes));
        Envelope {
            sealed: Some(StoredSeal { key: Text(key), cause: cause.map(base64), events }),
            ..Envelope::bare(commit)
        }
    }

    /// A commit without its personal data.
    pub(super) fn bare(commit: &'a Commit) -> Self {
        let Commit { id, tenant, record, decided_at, cause, changes } = commit;
        Envelope {
            commit: Text(*id),
            format: SEALED,
            tenant: Text(tenant.clone()),
            record: match changes {
                Changes::Order(_) => RecordKind::Order,
                Changes::Offer(_) => RecordKind::Offer,
                Changes::Quarantine(_) => RecordKind::Quarantine,
            },
            id: Text(*record),
            decided_at: Moment(*decided_at),
            cause: StoredCause::bare(cause),
            events: stored_events(changes),
            personal: BTreeMap::new(),
            sealed: None,
        }
    }
}

impl Envelope<'_> {
    /// The commit, and what of it is sealed.
    pub(super) fn into_commit(self) -> Result<(Commit, Option<Sealed>), DecodeError> {
        let is_open = match self.format {
            OPEN => true,
            SEALED => false,
            other => return Err(other_format(other)),
        };
        if is_open && self.sealed.is_some() {
            return Err(DecodeError("format 1 with a seal".to_owned()));
        }
        if !is_open && !self.personal.is_empty() {
            return Err(DecodeError("format 2 with personal data that is not sealed".to_owned()));
        }
        let commit = Commit {
            id: self.commit.0,
            tenant: self.tenant.0,
            record: self.id.0,
            decided_at: self.decided_at.0,
            cause: self.cause.into_cause(is_open)?,
            changes: changes(self.record, self.events, self.personal)?,
        };
        let sealed = self.sealed.map(|seal| seal.into_sealed(&commit)).transpose()?;
        Ok((commit, sealed))
    }
}

impl StoredSeal<'_> {
    fn into_sealed(self, commit: &Commit) -> Result<Sealed, DecodeError> {
        let StoredSeal { key: Text(key), cause, events } = self;
        let bytes = |base64: Option<Base64<'_>>| {
            let decode = |Base64(text)| BASE64.decode(text.as_bytes()).map(Bytes::from);
            let bytes = base64.map(decode).transpose();
            bytes.map_err(|error| DecodeError(format!("sealed: {error}")))
        };
        Ok(Sealed::of(commit, key, bytes(cause)?, bytes(events)?))
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
        let mut event = stored.into_domain();
        if let Some(personal) = personal.remove(&index) {
            let put_back = match &mut event {
                AnyEvent::Order(event) => personal.put_back(event),
                AnyEvent::Offer(_) | AnyEvent::Quarantine(_) => Err("anything"),
            };
            put_back.map_err(|_| {
                DecodeError(format!("personal data that event {index}, {name}, has no place for"))
            })?;
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
                request_hash: Some(Text(*request_hash)),
            },
            Cause::Webhook { source, event_id, body } => {
                let (body, body_base64) = body_as_text(body);
                StoredCause::Webhook { source: text(source), event_id: text(event_id), body, body_base64 }
            }
            Cause::Timer { name } => StoredCause::Timer { name: text(name) },
        }
    }
}

impl<'a> StoredCause<'a> {
    /// A cause without what is sealed of it.
    fn bare(cause: &'a Cause) -> Self {
        match cause {
            Cause::Command { operation, key, request_hash: _ } => {
                StoredCause::Command { operation: text(operation), key: some_text(key), request_hash: None }
            }
            Cause::Webhook { source, event_id, body: _ } => StoredCause::Webhook {
                source: text(source),
                event_id: text(event_id),
                body: None,
                body_base64: None,
            },
            Cause::Timer { name } => StoredCause::Timer { name: text(name) },
        }
    }
}

/// A body as text where it is readable and stays short enough as such, else in base 64.
pub(super) fn body_as_text(body: &[u8]) -> (Option<Str<'_>>, Option<Str<'_>>) {
    match std::str::from_utf8(body) {
        Ok(readable) if escaped_length(body) <= MAX_READABLE => (Some(text(readable)), None),
        Ok(_) | Err(_) => (None, Some(Cow::Owned(BASE64.encode(body)))),
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
    /// The cause; `is_open`: with everything that it has.
    fn into_cause(self, is_open: bool) -> Result<Cause, DecodeError> {
        let sealed_in_open = || DecodeError("a cause that is neither whole nor sealed".to_owned());
        Ok(match self {
            StoredCause::Command { operation, key, request_hash } => {
                if request_hash.is_some() != is_open {
                    return Err(sealed_in_open());
                }
                let request_hash = request_hash.map_or(RequestHash::UNKNOWN, |Text(hash)| hash);
                Cause::Command { operation: operation.into_owned(), key: owned(key), request_hash }
            }
            StoredCause::Webhook { source, event_id, body, body_base64 } => {
                if body.is_none() && body_base64.is_none() && is_open {
                    return Err(DecodeError("a webhook without a body".to_owned()));
                }
                if (body.is_some() || body_base64.is_some()) && !is_open {
                    return Err(sealed_in_open());
                }
                let body = body_of(body, body_base64)?.unwrap_or_default();
                Cause::Webhook { source: source.into_owned(), event_id: event_id.into_owned(), body }
            }
            StoredCause::Timer { name } => Cause::Timer { name: name.into_owned() },
        })
    }
}

/// The body that one of the two forms holds, if any does.
pub(super) fn body_of(
    body: Option<Str<'_>>,
    body_base64: Option<Str<'_>>,
) -> Result<Option<Bytes>, DecodeError> {
    match (body, body_base64) {
        (Some(text), None) => Ok(Some(text.into_owned().into())),
        (None, Some(base64)) => BASE64
            .decode(base64.as_bytes())
            .map(|body| Some(Bytes::from(body)))
            .map_err(|error| DecodeError(format!("body_base64: {error}"))),
        (Some(_), Some(_)) => Err(DecodeError("a webhook with two bodies".to_owned())),
        (None, None) => Ok(None),
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
        Ok(Version { format }) if ![OPEN, SEALED].contains(&format) => other_format(format),
        Ok(_) | Err(_) => DecodeError(error.to_string()),
    }
}

fn other_format(format: u32) -> DecodeError {
    DecodeError(format!("format {format}; this Daybook reads formats {OPEN} and {SEALED}"))
}
