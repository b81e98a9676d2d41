//! The memo of one tenant's notifications: who delivers them, how far the log was read, and what is not settled.
//!
//! It is changed by compare-and-set alone. While there is an owner, others change nothing but `requested` and the
//! entries that it names.

use bytes::Bytes;
use jiff::Timestamp;
use ledger::ids::{InvalidId, Position};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::message::NotificationId;
use super::queue::{Entry, Queue};

/// The only form there has been so far.
const VERSION: u32 = 1;

/// The document, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Who delivers: a worker of one process, whose id is never used again. None: nobody, and whoever comes may.
    pub owner: Option<Uuid>,
    /// How far the log was read, by partition.
    pub read: Vec<u64>,
    /// What is to be delivered, in the order of the log.
    pub pending: Vec<Entry>,
    /// What was given up, oldest first.
    pub given_up: Vec<Entry>,
    /// Messages that were given up and are to be tried again: already under `pending`, and not yet known to the
    /// owner.
    pub requested: Vec<Position>,
}

/// A memo that is not such a document, or one of another version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the memo of the notifications cannot be read: {0}")]
pub struct DocumentError(String);

#[derive(Serialize, Deserialize)]
struct DocumentJson {
    version: u32,
    owner: Option<String>,
    read: Vec<u64>,
    pending: Vec<EntryJson>,
    given_up: Vec<EntryJson>,
    requested: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct EntryJson {
    id: String,
    changed_at: String,
    attempts: u32,
    next_at: String,
    last_at: Option<String>,
    last_error: Option<String>,
}

impl Document {
    /// Of a tenant that nobody has delivered to yet.
    pub fn beginning(read: Vec<u64>) -> Self {
        Document { owner: None, read, pending: Vec::new(), given_up: Vec::new(), requested: Vec::new() }
    }

    /// A queue as it is now, and who delivers it from now on.
    pub(super) fn of(queue: &Queue, owner: Option<Uuid>) -> Self {
        Document {
            owner,
            read: queue.read().to_vec(),
            pending: queue.pending().cloned().collect(),
            given_up: queue.given_up().cloned().collect(),
            requested: Vec::new(),
        }
    }

    /// The queue to go on with.
    pub(super) fn into_queue(self) -> Queue {
        let Document { owner: _, read, pending, given_up, requested: _ } = self;
        Queue::new(read, pending, given_up)
    }

    /// Puts a message that was given up back among the pending ones. False when it is not listed as given up.
    pub fn request(&mut self, id: NotificationId, now: Timestamp) -> bool {
        let Some(index) = self.given_up.iter().position(|entry| entry.id == id) else { return false };
        let mut entry = self.given_up.remove(index);
        entry.next_at = now;
        self.pending.push(entry);
        self.pending.sort_by_key(|entry| entry.id.position);
        self.requested.push(id.position);
        true
    }

    /// The commits that it names.
    pub fn positions(&self) -> impl Iterator<Item = Position> {
        let entries = self.pending.iter().chain(&self.given_up).map(|entry| entry.id.position);
        entries.chain(self.requested.iter().copied())
    }

    /// The same of a log in which commits stand elsewhere: where each is, and how far that one was read. Nobody owns it.
    /// A commit that is nowhere is an error.
    pub fn relocated(
        self,
        read: Vec<u64>,
        place: impl Fn(Position) -> Option<Position>,
    ) -> Result<Self, DocumentError> {
        let to = |position| -> Result<Position, DocumentError> {
            place(position).ok_or_else(|| DocumentError(format!("it names {position}, which was not copied")))
        };
        let moved = |mut entry: Entry| -> Result<Entry, DocumentError> {
            entry.id.position = to(entry.id.position)?;
            Ok(entry)
        };
        let mut pending = self.pending.into_iter().map(moved).collect::<Result<Vec<_>, _>>()?;
        pending.sort_by_key(|entry| entry.id.position);
        Ok(Document {
            owner: None,
            read,
            pending,
            given_up: self.given_up.into_iter().map(moved).collect::<Result<_, _>>()?,
            requested: self.requested.into_iter().map(to).collect::<Result<_, _>>()?,
        })
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Bytes {
        let json = DocumentJson {
            version: VERSION,
            owner: self.owner.map(|owner| owner.to_string()),
            read: self.read.clone(),
            pending: self.pending.iter().map(EntryJson::of).collect(),
            given_up: self.given_up.iter().map(EntryJson::of).collect(),
            requested: self.requested.iter().map(ToString::to_string).collect(),
        };
        // Texts and numbers are always JSON.
        serde_json::to_vec(&json).unwrap_or_default().into()
    }

    /// What is stored.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let unreadable = |error: String| DocumentError(error);
        let json: DocumentJson = serde_json::from_slice(bytes).map_err(|e| unreadable(e.to_string()))?;
        if json.version != VERSION {
            return Err(DocumentError(format!(
                "it has version {}, this Daybook knows {VERSION}",
                json.version
            )));
        }
        let owner = json.owner.map(|owner| owner.parse().map_err(|e: uuid::Error| unreadable(e.to_string())));
        let entries =
            |list: Vec<EntryJson>| list.into_iter().map(EntryJson::read).collect::<Result<Vec<_>, _>>();
        let position = |text: String| text.parse().map_err(DocumentError::from);
        Ok(Document {
            owner: owner.transpose()?,
            read: json.read,
            pending: entries(json.pending)?,
            given_up: entries(json.given_up)?,
            requested: json.requested.into_iter().map(position).collect::<Result<_, _>>()?,
        })
    }
}

impl EntryJson {
    fn of(entry: &Entry) -> Self {
        EntryJson {
            id: entry.id.to_string(),
            changed_at: entry.changed_at.to_string(),
            attempts: entry.attempts,
            next_at: entry.next_at.to_string(),
            last_at: entry.last_at.map(|at| at.to_string()),
            last_error: entry.last_error.clone(),
        }
    }

    fn read(self) -> Result<Entry, DocumentError> {
        Ok(Entry {
            id: self.id.parse()?,
            changed_at: at(&self.changed_at)?,
            attempts: self.attempts,
            next_at: at(&self.next_at)?,
            last_at: self.last_at.as_deref().map(at).transpose()?,
            last_error: self.last_error,
        })
    }
}

fn at(text: &str) -> Result<Timestamp, DocumentError> {
    text.parse().map_err(|error: jiff::Error| DocumentError(error.to_string()))
}

impl From<InvalidId> for DocumentError {
    fn from(error: InvalidId) -> Self {
        DocumentError(error.to_string())
    }
}

#[cfg(test)]
mod tests;
