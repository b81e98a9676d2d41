//! The note that a ledger has moved: a memo in the journal that it left. A server that finds it does not start, and one
//! that is running stops.

use bytes::Bytes;
use ledger::journal::{Journal, PutMemoError, ReadError};
use serde::{Deserialize, Serialize};

use super::CopyError;

/// What the memo is called.
pub(super) const NAME: &str = "moved";

/// Where a ledger has moved to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The journal that it is in now, without credentials.
    pub to: String,
    /// When, as RFC 3339.
    pub at: String,
    /// The newest sequence of each partition when it was proven that all of it is there; none while it is not.
    pub ends: Option<Vec<u64>>,
}

/// Whether the ledger in this journal has moved, and where to.
///
/// An operator takes the note away by emptying or deleting the memo `moved`.
pub async fn moved(journal: &dyn Journal) -> Result<Option<Moved>, ReadError> {
    let memo = journal.memo(NAME).await?.filter(|memo| !memo.bytes.is_empty());
    // A note that cannot be read still says that somebody has put it there.
    let read = |bytes: &[u8]| {
        serde_json::from_slice(bytes).unwrap_or_else(|_| Moved {
            to: "an unknown place".to_owned(),
            at: "an unknown time".to_owned(),
            ends: None,
        })
    };
    Ok(memo.map(|memo| read(&memo.bytes)))
}

/// Notes in a journal that its ledger has moved.
pub async fn note_moved(journal: &dyn Journal, moved: &Moved) -> Result<(), CopyError> {
    let text = serde_json::to_vec(moved).expect("texts and numbers are always JSON");
    put(journal, NAME, text.into(), "the note in the source", CopyError::Source).await
}

/// Takes the note away: the journal is the ledger's again.
pub async fn open_again(journal: &dyn Journal) -> Result<(), CopyError> {
    match moved(journal).await.map_err(CopyError::Target)? {
        Some(_) => put(journal, NAME, Bytes::new(), "the note in the target", CopyError::Target).await,
        None => Ok(()),
    }
}

/// Puts a memo into the target, in the place of the one that is there.
pub async fn put_memo(target: &dyn Journal, name: &str, bytes: Bytes) -> Result<(), CopyError> {
    put(target, name, bytes, &format!("the memo {name}"), CopyError::Target).await
}

/// Puts a memo that nobody else writes.
pub(super) async fn put(
    journal: &dyn Journal,
    name: &str,
    bytes: Bytes,
    what: &str,
    unread: fn(ReadError) -> CopyError,
) -> Result<(), CopyError> {
    // Once more when it is unknown whether it was stored: putting the same again harms nobody.
    for is_last in [false, true] {
        let expected = journal.memo(name).await.map_err(unread)?.map_or(0, |memo| memo.revision);
        match journal.put_memo(name, expected, bytes.clone()).await {
            Ok(_) => return Ok(()),
            Err(PutMemoError::Conflict | PutMemoError::Unknown(_)) if !is_last => {}
            Err(source) => return Err(CopyError::Beside { what: what.to_owned(), source }),
        }
    }
    Ok(())
}
