//! The keys that personal data is sealed with: one for each record, kept beside the log and never in it.
//!
//! A key that is destroyed takes the data with it out of every copy of the log there is, and no stored byte has to
//! change. So that a checkout does not wait for a second write, keys are made by the page: a node stores a page of
//! random keys ahead and hands them out one by one; a record's commits name the page and the place in it.
//!
//! What must stay true: nothing is sealed with a key that is not stored yet; a destroyed key is overwritten where it
//! was stored, and never comes back.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::ids::InvalidId;
use crate::journal::{BoxError, PutMemoError, ReadError};

/// Keys on a page: enough that storing pages costs next to nothing, few enough that one is read quickly.
const KEYS: usize = 1024;
const KEY_BYTES: usize = 32;
const PAGE_BYTES: usize = KEYS * KEY_BYTES;
/// When so many keys of a page are handed out the next one is stored: long before those who need one would wait for it.
const AHEAD_AT: usize = KEYS / 4;
/// Pages kept in memory, of 32 KiB each.
const PAGES_KEPT: usize = 256;
/// How often a page is read again when another node destroys keys of it at the same time.
const TRIES: usize = 20;

/// A page of keys, by its random number; shown as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(pub u64);

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for PageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_canonical = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_canonical);
        number.map(PageId).ok_or_else(|| InvalidId::of("page of keys", text))
    }
}

/// Which key: its page and its place there; shown as `<page>.<place>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId {
    /// The page.
    pub page: PageId,
    /// From 0.
    pub place: u16,
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.page, self.place)
    }
}

impl FromStr for KeyId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::of("key", text);
        let (page, place) = text.split_once('.').ok_or_else(invalid)?;
        let is_canonical = place == "0" || !place.starts_with(['0', '+']);
        let id = KeyId { page: page.parse()?, place: place.parse().map_err(|_| invalid())? };
        Some(id).filter(|id| usize::from(id.place) < KEYS && is_canonical).ok_or_else(invalid)
    }
}

/// A key and its name. The key itself is never shown.
#[derive(Clone, Copy)]
pub struct Key {
    /// What commits call it.
    pub id: KeyId,
    pub(crate) bytes: [u8; KEY_BYTES],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// What became of a key.
#[derive(Debug, Clone, Copy)]
pub enum Found {
    /// It is there.
    Key(Key),
    /// It was destroyed, and what it sealed is to stay forgotten.
    Destroyed,
    /// Its page is missing: an accident, which the logs tell of.
    Lost,
}

impl Found {
    /// The key, if it is there.
    pub fn key(self) -> Option<Key> {
        match self {
            Found::Key(key) => Some(key),
            Found::Destroyed | Found::Lost => None,
        }
    }

    fn on(id: KeyId, keys: &[u8]) -> Self {
        key_on(id, keys).map_or(Found::Destroyed, Found::Key)
    }
}

/// A page as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Page {
    /// Grows with every change; what the next change has to name.
    pub revision: u64,
    /// Its keys, one after another; 32 zero bytes where one was destroyed.
    pub keys: Bytes,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page(revision {})", self.revision)
    }
}

/// Where pages of keys are kept: beside a journal, in a store of their own.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// A page; at least as new as any `put_page` that returned before this call began.
    async fn page(&self, page: PageId) -> Result<Option<Page>, ReadError>;

    /// Puts a page in the place of the one at revision `expected` (0: there is none), and returns the new revision.
    ///
    /// - Returns only after the page is stored as durably as a commit is.
    /// - Of several puts with one expectation, exactly one is stored; the others end in `Conflict`.
    /// - When it returns, the bytes of the page before are overwritten, as far as the store reaches.
    async fn put_page(&self, page: PageId, expected: u64, keys: Bytes) -> Result<u64, PutMemoError>;

    /// Every page there is, in no order.
    async fn pages(&self) -> Result<Vec<PageId>, ReadError>;
}

/// The keys of a journal, with those in memory that were needed lately. Cheap to clone.
#[derive(Clone)]
pub struct Keyring {
    store: Arc<dyn KeyStore>,
    cache: Arc<Mutex<Cache>>,
    /// How often what is in memory was forgotten. Changed under the cache's lock.
    forgettings: Arc<AtomicU64>,
    /// The page that keys are handed out from. Held while the next one is stored, so that one is.
    fresh: Arc<tokio::sync::Mutex<Fresh>>,
}

#[derive(Default)]
struct Cache {
    pages: HashMap<PageId, Bytes>,
    /// In the order in which they came.
    order: VecDeque<PageId>,
}

/// A page that is stored, to be handed out.
type Unused = (PageId, Bytes);

#[derive(Default)]
struct Fresh {
    page: Option<Unused>,
    next: usize,
    /// The page after it, on its way to the store.
    following: Option<JoinHandle<Result<Unused, BoxError>>>,
}

impl Keyring {
    /// The keys in a store.
    pub fn new(store: Arc<dyn KeyStore>) -> Self {
        Keyring { store, cache: Arc::default(), forgettings: Arc::default(), fresh: Arc::default() }
    }

    /// A key that nothing was sealed with yet, stored already.
    pub async fn issue(&self) -> Result<Key, BoxError> {
        let mut fresh = self.fresh.lock().await;
        if fresh.page.is_none() || fresh.next >= KEYS {
            let ahead = match &mut fresh.following {
                Some(following) => following.await.ok().and_then(Result::ok),
                None => None,
            };
            fresh.following = None;
            let (page, keys) = match ahead {
                Some(unused) => unused,
                None => store_page(Arc::clone(&self.store)).await?,
            };
            self.cache().keep(page, keys.clone());
            *fresh = Fresh { page: Some((page, keys)), next: 0, following: None };
        }
        let place = fresh.next;
        fresh.next += 1;
        if place == AHEAD_AT {
            fresh.following = Some(tokio::spawn(store_page(Arc::clone(&self.store))));
        }
        let (page, keys) = fresh.page.as_ref().ok_or("a page that was just stored is gone")?;
        let id = KeyId { page: *page, place: u16::try_from(place)? };
        key_on(id, keys).ok_or_else(|| "a new key is all zeros".into())
    }

    /// The key of this name, or what became of it.
    pub async fn find(&self, id: KeyId) -> Result<Found, ReadError> {
        if let Some(keys) = self.cache().pages.get(&id.page) {
            return Ok(Found::on(id, keys));
        }
        let forgettings = self.forgettings();
        let Some(Page { keys, .. }) = self.store.page(id.page).await? else {
            tracing::error!(page = %id.page, "a page of keys is lost, and the personal data sealed with it");
            return Ok(Found::Lost);
        };
        let found = Found::on(id, &keys);
        let mut cache = self.cache();
        // Else it may have been read before a key on it was destroyed.
        if self.forgettings() == forgettings {
            cache.keep(id.page, keys);
        }
        Ok(found)
    }

    /// Destroys a key. Whatever is sealed with it can never be read again. A second time is well, too.
    pub async fn destroy(&self, id: KeyId) -> Result<(), PutMemoError> {
        for _ in 0..TRIES {
            let page = self.store.page(id.page).await;
            let page = page.map_err(|error| PutMemoError::Unavailable(error.into()))?;
            // Without its page, the key is gone already.
            let Some(Page { revision, keys }) = page else { break };
            let mut keys = keys.to_vec();
            let start = usize::from(id.place) * KEY_BYTES;
            if let Some(key) = keys.get_mut(start..start + KEY_BYTES) {
                key.fill(0);
            }
            // Also when it was zeros before: the put sees to it that no older page is left.
            match self.store.put_page(id.page, revision, keys.into()).await {
                Ok(_revision) => break,
                // Another node was faster, or nobody knows: look again.
                Err(PutMemoError::Conflict | PutMemoError::Unknown(_)) => {}
                Err(error @ PutMemoError::Unavailable(_)) => return Err(error),
            }
        }
        self.forget_what_is_in_memory();
        match self.find(id).await {
            Ok(Found::Destroyed | Found::Lost) => Ok(()),
            Ok(Found::Key(_)) => Err(PutMemoError::Conflict),
            Err(error) => Err(PutMemoError::Unavailable(error.into())),
        }
    }

    /// Reads every page anew from now on: another node has destroyed a key.
    pub fn forget_what_is_in_memory(&self) {
        let mut cache = self.cache();
        *cache = Cache::default();
        // After the keys are gone: whoever sees the new count finds none of them any more.
        self.forgettings.fetch_add(1, Ordering::AcqRel);
    }

    /// How often keys were forgotten so far. Whatever was opened with a key and is kept in memory is good as long as
    /// this stays as it was before the key was looked up.
    pub fn forgettings(&self) -> u64 {
        self.forgettings.load(Ordering::Acquire)
    }

    /// The store that the keys are in.
    pub fn store(&self) -> &Arc<dyn KeyStore> {
        &self.store
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn keep(&mut self, page: PageId, keys: Bytes) {
        if self.pages.insert(page, keys).is_none() {
            self.order.push_back(page);
        }
        while self.order.len() > PAGES_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.pages.remove(&oldest);
        }
    }
}

/// Stores a page of new keys. One whose storing was not confirmed is left alone: the next try has another number.
async fn store_page(store: Arc<dyn KeyStore>) -> Result<Unused, BoxError> {
    let mut keys = vec![0; PAGE_BYTES];
    getrandom::fill(&mut keys).map_err(|error| format!("no randomness for keys: {error}"))?;
    let keys = Bytes::from(keys);
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(|error| format!("no randomness for keys: {error}"))?;
    let page = PageId(u64::from_be_bytes(number));
    store.put_page(page, 0, keys.clone()).await?;
    Ok((page, keys))
}

/// The key at a place; none where it was destroyed.
fn key_on(id: KeyId, keys: &[u8]) -> Option<Key> {
    let start = usize::from(id.place) * KEY_BYTES;
    let bytes: [u8; KEY_BYTES] = keys.get(start..start + KEY_BYTES)?.try_into().ok()?;
    (bytes != [0; KEY_BYTES]).then_some(Key { id, bytes })
}

/// Keys in memory, for journals that are gone after a test.
#[cfg(any(test, feature = "conformance"))]
#[derive(Default)]
pub struct MemoryKeys(Mutex<HashMap<PageId, Page>>);

#[cfg(any(test, feature = "conformance"))]
#[async_trait]
impl KeyStore for MemoryKeys {
    async fn page(&self, page: PageId) -> Result<Option<Page>, ReadError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&page).cloned())
    }

    async fn put_page(&self, page: PageId, expected: u64, keys: Bytes) -> Result<u64, PutMemoError> {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = pages.get(&page).map_or(0, |page| page.revision);
        if revision != expected {
            return Err(PutMemoError::Conflict);
        }
        pages.insert(page, Page { revision: revision + 1, keys });
        Ok(revision + 1)
    }

    async fn pages(&self) -> Result<Vec<PageId>, ReadError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_there_until_it_is_destroyed_and_its_neighbours_stay() {
        let keyring = Keyring::new(Arc::new(MemoryKeys::default()));
        let (key, neighbour) = (keyring.issue().await.unwrap(), keyring.issue().await.unwrap());
        assert_ne!((key.id, key.bytes), (neighbour.id, neighbour.bytes));
        let elsewhere = Keyring::new(Arc::clone(keyring.store()));
        assert_eq!(elsewhere.find(key.id).await.unwrap().key().unwrap().bytes, key.bytes);
        keyring.destroy(key.id).await.unwrap();
        keyring.destroy(key.id).await.unwrap();
        assert!(matches!(keyring.find(key.id).await, Ok(Found::Destroyed)));
        assert_eq!(keyring.find(neighbour.id).await.unwrap().key().unwrap().bytes, neighbour.bytes);
        elsewhere.forget_what_is_in_memory();
        assert!(matches!(elsewhere.find(key.id).await, Ok(Found::Destroyed)));
        let lost = KeyId { page: PageId(1), place: 0 };
        assert!(matches!(elsewhere.find(lost).await, Ok(Found::Lost)));
    }

    #[tokio::test]
    async fn a_full_page_is_followed_by_another() {
        let keyring = Keyring::new(Arc::new(MemoryKeys::default()));
        let mut issued = std::collections::HashSet::new();
        for _ in 0..=KEYS {
            assert!(issued.insert(keyring.issue().await.unwrap().id));
        }
        assert_eq!(keyring.store().pages().await.unwrap().len(), 2);
    }

    /// Keys in memory whose pages are stored when a permit is there, and not at all by one that is marked as faulty.
    #[derive(Default)]
    struct SlowKeys {
        keys: MemoryKeys,
        puts: Mutex<VecDeque<tokio::sync::oneshot::Receiver<bool>>>,
    }

    impl SlowKeys {
        /// The next page waits until it is said whether it can be stored.
        fn next(&self) -> tokio::sync::oneshot::Sender<bool> {
            let (say, said) = tokio::sync::oneshot::channel();
            self.puts.lock().unwrap().push_back(said);
            say
        }
    }

    #[async_trait]
    impl KeyStore for SlowKeys {
        async fn page(&self, page: PageId) -> Result<Option<Page>, ReadError> {
            self.keys.page(page).await
        }

        async fn put_page(&self, page: PageId, expected: u64, keys: Bytes) -> Result<u64, PutMemoError> {
            let put = self.puts.lock().unwrap().pop_front();
            let can_be_stored = match put {
                Some(said) => said.await.unwrap(),
                None => true,
            };
            if !can_be_stored {
                return Err(PutMemoError::Unavailable("away".into()));
            }
            self.keys.put_page(page, expected, keys).await
        }

        async fn pages(&self) -> Result<Vec<PageId>, ReadError> {
            self.keys.pages().await
        }
    }

    #[tokio::test]
    async fn the_next_page_is_stored_while_keys_of_this_one_are_handed_out() {
        use futures::FutureExt;
        let store = Arc::new(SlowKeys::default());
        let keyring = Keyring::new(Arc::clone(&store) as Arc<dyn KeyStore>);
        for round in 0..4 {
            let first = keyring.issue().await.unwrap();
            let say = store.next();
            for _ in 1..KEYS {
                // However long the next page takes, nobody waits for it yet.
                assert_eq!(keyring.issue().now_or_never().unwrap().unwrap().id.page, first.id.page);
                tokio::task::yield_now().await;
            }
            assert!(keyring.issue().now_or_never().is_none(), "its keys are not stored yet");
            // What could not be stored ahead is tried again by whoever needs it.
            say.send(round % 2 == 0).unwrap();
            assert_ne!(keyring.issue().await.unwrap().id.page, first.id.page);
            // The rest of this page, so that the next round begins with a page.
            for _ in 1..KEYS {
                keyring.issue().await.unwrap();
            }
        }
        let mut handed_out: Vec<_> = store.pages().await.unwrap();
        handed_out.sort_unstable();
        handed_out.dedup();
        assert_eq!(handed_out.len(), 8 + 1, "two a round, and the one ahead of the last");
    }

    #[tokio::test]
    async fn keys_destroyed_at_once_on_several_nodes_are_all_gone() {
        let store: Arc<dyn KeyStore> = Arc::new(MemoryKeys::default());
        let first = Keyring::new(Arc::clone(&store));
        let mut keys = Vec::new();
        for _ in 0..8 {
            keys.push(first.issue().await.unwrap().id);
        }
        let destroy = |id| {
            let node = Keyring::new(Arc::clone(&store));
            async move { node.destroy(id).await }
        };
        futures::future::try_join_all(keys.iter().copied().map(destroy)).await.unwrap();
        first.forget_what_is_in_memory();
        for id in keys {
            assert!(matches!(first.find(id).await, Ok(Found::Destroyed)));
        }
    }

    #[test]
    fn a_key_has_one_name_and_is_never_shown() {
        let key = Key { id: KeyId { page: PageId(0x2a), place: 7 }, bytes: [9; 32] };
        assert_eq!(key.id.to_string(), "000000000000002a.7");
        assert_eq!("000000000000002a.7".parse(), Ok(key.id));
        for bad in [
            "2a.7",
            "000000000000002a",
            "000000000000002a.07",
            "000000000000002a.+7",
            "000000000000002a.1024",
            "000000000000002A.7",
            "+00000000000002a.7",
        ] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
        assert_eq!(format!("{key:?}"), "Key(000000000000002a.7)");
    }
}
