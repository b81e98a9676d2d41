//! The part of a commit that only a key opens: the personal data in its events, and of its cause the request's hash or
//! the webhook's body.
//!
//! XChaCha20-Poly1305, an authenticated cipher. The nonce is the commit's id, which is never used twice, and the name
//! of the part; the tenant and the record are authenticated, so no box opens in another order. What is inside is
//! JSON. The key destroyed, nobody opens it again, and the commit reads as if there had been no personal data.

use std::collections::BTreeMap;

use bytes::Bytes;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};

use super::DecodeError;
use super::envelope::{body_as_text, body_of};
use super::parts::Str;
use super::personal::{self, Personal};
use super::scalar::Text;
use crate::commit::{Cause, Changes, Commit};
use crate::ids::{CommitId, RecordId, RequestHash, TenantId};
use crate::keys::{Key, KeyId};
use crate::order::{self, Order};

/// What of a commit is sealed, as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which key opens it.
    pub key: KeyId,
    pub(super) cause: Option<Bytes>,
    pub(super) events: Option<SealedEvents>,
}

/// The sealed personal data of a commit's events: what a view keeps in order to show it as long as there is a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEvents {
    /// Which key opens it.
    pub key: KeyId,
    /// The commit that it stands in.
    pub commit: CommitId,
    /// Where the data of an event belongs in the folded order: the event's index, and the attempt that it began;
    /// no attempt for the checkout.
    pub places: Vec<(u32, Option<u32>)>,
    /// The box.
    pub bytes: Bytes,
}

/// What is in the box of a cause.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CauseBox<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    request_hash: Option<Text<RequestHash>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<Str<'a>>,
}

/// The two boxes of a commit.
#[derive(Clone, Copy)]
enum Part {
    Cause,
    Events,
}

impl Sealed {
    /// Seals the personal data of a commit.
    pub(super) fn seal(commit: &Commit, key: &Key) -> Self {
        let seal =
            |part, content: Vec<u8>| lid(commit.id, part, &commit.tenant, commit.record, key).seal(&content);
        let cause = match &commit.cause {
            Cause::Command { request_hash, .. } => {
                Some(CauseBox { request_hash: Some(Text(*request_hash)), ..CauseBox::default() })
            }
            Cause::Webhook { body, .. } => {
                let (body, body_base64) = body_as_text(body);
                Some(CauseBox { body, body_base64, ..CauseBox::default() })
            }
            Cause::Timer { .. } => None,
        };
        let events = personal::of(&commit.changes);
        let events = (!events.is_empty()).then(|| seal(Part::Events, json(&events)));
        Sealed::of(commit, key.id, cause.map(|cause| seal(Part::Cause, json(&cause))), events)
    }

    pub(super) fn of(commit: &Commit, key: KeyId, cause: Option<Bytes>, events: Option<Bytes>) -> Self {
        let events = events.map(|bytes| SealedEvents {
            key,
            commit: commit.id,
            places: places(&commit.changes),
            bytes,
        });
        Sealed { key, cause, events }
    }

    /// The part that views keep.
    pub fn events(&self) -> Option<&SealedEvents> {
        self.events.as_ref()
    }

    /// Puts everything back into the commit that it was taken out of.
    pub fn open(&self, key: &Key, commit: &mut Commit) -> Result<(), DecodeError> {
        let lid = |part| lid(commit.id, part, &commit.tenant, commit.record, key);
        if let Some(cause) = &self.cause {
            let content = lid(Part::Cause).open(cause)?;
            let CauseBox { request_hash: hash, body: readable, body_base64 } = parse(&content)?;
            match &mut commit.cause {
                Cause::Command { request_hash, .. } => {
                    *request_hash = hash.map_or(RequestHash::UNKNOWN, |Text(hash)| hash);
                }
                Cause::Webhook { body, .. } => *body = body_of(readable, body_base64)?.unwrap_or_default(),
                Cause::Timer { .. } => return Err(DecodeError("a timer with something sealed".to_owned())),
            }
        }
        let Some(events) = &self.events else { return Ok(()) };
        let content = lid(Part::Events).open(&events.bytes)?;
        let Changes::Order(order_events) = &mut commit.changes else { return Err(no_place("anything")) };
        for (index, personal) in parse::<BTreeMap<usize, Personal<'_>>>(&content)? {
            let event = order_events.get_mut(index).ok_or_else(|| no_place("an event"))?;
            personal.put_back(event).map_err(no_place)?;
        }
        Ok(())
    }
}

impl SealedEvents {
    /// Puts the data back into the order that was folded without it.
    pub fn open(
        &self,
        key: &Key,
        tenant: &TenantId,
        record: RecordId,
        order: &mut Order,
    ) -> Result<(), DecodeError> {
        let content = lid(self.commit, Part::Events, tenant, record, key).open(&self.bytes)?;
        for (index, personal) in parse::<BTreeMap<u32, Personal<'_>>>(&content)? {
            let place = self.places.iter().find(|(place, _)| *place == index);
            match place.ok_or_else(|| no_place("an event"))?.1 {
                None => personal.put_into_checkout(&mut order.checkout),
                Some(number) => {
                    let attempt = order.attempts.iter_mut().find(|attempt| attempt.number == number);
                    let attempt = attempt.ok_or_else(|| no_place("an attempt"))?;
                    personal.put_into_attempt(&mut attempt.payment_method)
                }
            }
            .map_err(no_place)?;
        }
        Ok(())
    }
}

/// Where the personal data of events belongs in an order.
fn places(changes: &Changes) -> Vec<(u32, Option<u32>)> {
    let Changes::Order(events) = changes else { return Vec::new() };
    let mut places = Vec::new();
    for (index, event) in (0..).zip(events) {
        if let order::Event::CheckoutSubmitted(_) = event {
            places.push((index, None));
        } else if let order::Event::AttemptStarted { attempt, .. } = event {
            places.push((index, Some(*attempt)));
        }
    }
    places
}

/// What closes and opens one box.
struct Lid {
    cipher: XChaCha20Poly1305,
    nonce: XNonce,
    about: String,
}

fn lid(commit: CommitId, part: Part, tenant: &TenantId, record: RecordId, key: &Key) -> Lid {
    let name = match part {
        Part::Cause => b"cause   ",
        Part::Events => b"events  ",
    };
    let mut nonce = [0; 24];
    nonce[..16].copy_from_slice(commit.0.as_bytes());
    nonce[16..].copy_from_slice(name);
    Lid {
        cipher: XChaCha20Poly1305::new(&key.bytes.into()),
        nonce: nonce.into(),
        about: format!("{tenant}.{record}"),
    }
}

impl Lid {
    fn seal(&self, content: &[u8]) -> Bytes {
        let payload = Payload { msg: content, aad: self.about.as_bytes() };
        let sealed = self.cipher.encrypt(&self.nonce, payload);
        sealed.expect("far less than the cipher's limit of 256 GiB").into()
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let payload = Payload { msg: sealed, aad: self.about.as_bytes() };
        let content = self.cipher.decrypt(&self.nonce, payload);
        content.map_err(|_| DecodeError("what is sealed was altered, or belongs elsewhere".to_owned()))
    }
}

fn json(content: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(content).expect("texts and numbers are always JSON")
}

fn parse<'a, T: Deserialize<'a>>(content: &'a [u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(content).map_err(|error| DecodeError(format!("what is sealed: {error}")))
}

fn no_place(what: &str) -> DecodeError {
    DecodeError(format!("personal data of {what} that the commit has no place for"))
}
