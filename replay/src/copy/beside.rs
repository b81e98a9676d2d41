//! What lies beside the log: memos, and the keys of personal data.

use bytes::Bytes;
use ledger::journal::{Journal, PutMemoError};
use ledger::keys::{KeyStore, PageId};

use super::CopyError;
use super::{moved, repartition};

/// Memos about a copy. They stay where they are.
const OWN: [&str; 2] = [moved::NAME, repartition::NAME];

/// Bytes of a key; as many zeros stand for one that was destroyed.
const KEY_BYTES: usize = 32;
/// How often something is put again when somebody else changes it at the same time.
const TRIES: u32 = 20;

/// How much of what lies beside the log was put into the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beside {
    /// Memos that were new or had changed.
    pub memos: u64,
    /// Pages of keys that were new or had changed.
    pub pages_of_keys: u64,
}

/// Copies the memos and the keys of personal data. A key that was destroyed on either side is destroyed in the target.
///
/// The notes of copies stay where they are, and so do the memos that `leave` names: those in which positions stand, where
/// positions change.
pub async fn copy_beside(
    source: &dyn Journal,
    target: &dyn Journal,
    leave: impl Fn(&str) -> bool,
) -> Result<Beside, CopyError> {
    let mut copied = Beside::default();
    for name in source.memo_names().await.map_err(CopyError::Source)? {
        if !OWN.contains(&name.as_str()) && !leave(&name) && copy_memo(source, target, &name).await? {
            copied.memos += 1;
        }
    }
    let (from, to) = (source.keys(), target.keys());
    for page in from.pages().await.map_err(CopyError::Source)? {
        if copy_page(from.as_ref(), to.as_ref(), page).await? {
            copied.pages_of_keys += 1;
        }
    }
    Ok(copied)
}

/// Whether the target's memo had to change.
async fn copy_memo(source: &dyn Journal, target: &dyn Journal, name: &str) -> Result<bool, CopyError> {
    let Some(ours) = source.memo(name).await.map_err(CopyError::Source)? else { return Ok(false) };
    for tries in 1.. {
        let theirs = target.memo(name).await.map_err(CopyError::Target)?;
        if theirs.as_ref().is_some_and(|theirs| theirs.bytes == ours.bytes) {
            return Ok(tries > 1);
        }
        let expected = theirs.map_or(0, |theirs| theirs.revision);
        match target.put_memo(name, expected, ours.bytes.clone()).await {
            Ok(_) => return Ok(true),
            Err(source) => try_again(tries, format!("the memo {name}"), source)?,
        }
    }
    Ok(true)
}

/// Whether the target's page had to change.
async fn copy_page(source: &dyn KeyStore, target: &dyn KeyStore, page: PageId) -> Result<bool, CopyError> {
    for tries in 1.. {
        // Both are read again: a key may be destroyed while this goes on.
        let Some(ours) = source.page(page).await.map_err(CopyError::Source)? else { return Ok(false) };
        let theirs = target.page(page).await.map_err(CopyError::Target)?;
        let (expected, wanted) = match &theirs {
            Some(theirs) => {
                let merged = merged(&ours.keys, &theirs.keys);
                (theirs.revision, merged.ok_or_else(|| CopyError::OtherKeys { page: page.to_string() })?)
            }
            None => (0, ours.keys.clone()),
        };
        if theirs.is_some_and(|theirs| theirs.keys == wanted) {
            return Ok(tries > 1);
        }
        match target.put_page(page, expected, wanted).await {
            Ok(_) => return Ok(true),
            Err(source) => try_again(tries, format!("the page of keys {page}"), source)?,
        }
    }
    Ok(true)
}

/// The keys of two copies of a page; none when they are not copies of each other.
fn merged(ours: &[u8], theirs: &[u8]) -> Option<Bytes> {
    if ours.len() != theirs.len() {
        return None;
    }
    let mut keys = Vec::with_capacity(ours.len());
    for (ours, theirs) in ours.chunks(KEY_BYTES).zip(theirs.chunks(KEY_BYTES)) {
        let is_destroyed = |key: &[u8]| key.iter().all(|&byte| byte == 0);
        match (is_destroyed(ours), is_destroyed(theirs)) {
            (true, _) => keys.extend_from_slice(ours),
            (false, true) => keys.extend_from_slice(theirs),
            (false, false) if ours == theirs => keys.extend_from_slice(ours),
            (false, false) => return None,
        }
    }
    Some(keys.into())
}

fn try_again(tries: u32, what: String, source: PutMemoError) -> Result<(), CopyError> {
    match source {
        PutMemoError::Conflict | PutMemoError::Unknown(_) if tries < TRIES => Ok(()),
        PutMemoError::Conflict | PutMemoError::Unknown(_) | PutMemoError::Unavailable(_) => {
            Err(CopyError::Beside { what, source })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_destroyed_on_either_side_stays_destroyed() {
        let page = |keys: [u8; 3]| keys.map(|key| [key; KEY_BYTES]).concat();
        let merge = |ours, theirs| merged(&page(ours), &page(theirs)).map(|keys| keys.to_vec());
        assert_eq!(merge([1, 2, 0], [1, 0, 3]), Some(page([1, 0, 0])));
        assert_eq!(merge([1, 2, 3], [1, 2, 4]), None);
        assert_eq!(merged(&page([1, 2, 3]), &[1; KEY_BYTES]), None);
    }
}
