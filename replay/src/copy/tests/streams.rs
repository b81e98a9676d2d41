//! A journal of several partitions in memory: what a copy needs of one, and no more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use ledger::ids::Position;
use ledger::journal::{
    AppendError, Description, Draft, Journal, Memo, PutMemoError, ReadError, Stored, Subject, Tail,
};
use ledger::keys::KeyStore;

pub(super) struct Streams {
    partitions: Vec<Mutex<Vec<Stored>>>,
    memos: Mutex<BTreeMap<String, Memo>>,
    /// How many more commits it takes.
    room: AtomicUsize,
}

impl Streams {
    pub(super) fn new(partitions: u16) -> Self {
        Streams {
            partitions: (0..partitions).map(|_| Mutex::new(Vec::new())).collect(),
            memos: Mutex::new(BTreeMap::new()),
            room: AtomicUsize::new(usize::MAX),
        }
    }

    /// From now on takes so many commits, and refuses the next for good.
    pub(super) fn with_room_for(&self, commits: usize) {
        self.room.store(commits, Ordering::SeqCst);
    }

    /// Adds a commit where it belongs.
    pub(super) fn add(&self, subject: Subject, bytes: Vec<u8>) {
        let partition = subject.partition(self.partitions());
        let mut stored = self.partition(partition).lock().unwrap();
        let sequence = stored.len() as u64 + 1;
        stored.push(Stored { position: Position { partition, sequence }, subject, bytes: bytes.into() });
    }

    /// Every commit, by partition.
    pub(super) fn all(&self) -> Vec<Vec<Stored>> {
        self.partitions.iter().map(|partition| partition.lock().unwrap().clone()).collect()
    }

    /// Changes what is stored.
    pub(super) fn change(&self, partition: u16, change: impl FnOnce(&mut Vec<Stored>)) {
        change(&mut self.partition(partition).lock().unwrap());
    }

    fn partition(&self, partition: u16) -> &Mutex<Vec<Stored>> {
        &self.partitions[usize::from(partition)]
    }
}

#[async_trait]
impl Journal for Streams {
    fn partitions(&self) -> u16 {
        self.partitions.len() as u16
    }

    async fn append(&self, _draft: &Draft, _expected: u64) -> Result<Position, AppendError> {
        unimplemented!("a copy appends nothing")
    }

    async fn restore(&self, commits: &[Stored]) -> Result<(), AppendError> {
        for commit in commits {
            let Position { partition, sequence } = commit.position;
            assert_eq!(commit.subject.partition(self.partitions()), partition);
            let mut stored = self.partition(partition).lock().unwrap();
            let last = stored.len() as u64;
            if stored.get(sequence as usize - 1) == Some(commit) {
                continue;
            }
            if last + 1 != sequence {
                return Err(AppendError::Conflict { actual: Position { partition, sequence: last } });
            }
            let room = self.room.load(Ordering::SeqCst);
            if room == 0 {
                return Err(AppendError::TooLarge { size: 1, limit: 0 });
            }
            self.room.store(room - 1, Ordering::SeqCst);
            stored.push(commit.clone());
        }
        Ok(())
    }

    async fn load(&self, _subject: &Subject) -> Result<Vec<Stored>, ReadError> {
        unimplemented!("a copy loads nothing")
    }

    async fn at(&self, position: Position) -> Result<Option<Stored>, ReadError> {
        let stored = self.partition(position.partition).lock().unwrap();
        Ok(stored.iter().find(|stored| stored.position == position).cloned())
    }

    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        Ok(self.partition(partition).lock().unwrap().len() as u64)
    }

    async fn tail(&self, partition: u16, after: u64) -> Result<Tail, ReadError> {
        let stored = self.partition(partition).lock().unwrap().clone();
        let there = stream::iter(stored.into_iter().skip(after as usize).map(Ok));
        Ok(there.chain(stream::pending()).boxed())
    }

    async fn page(&self, _partition: u16, _after: u64) -> Result<Vec<Stored>, ReadError> {
        unimplemented!("a copy reads by tails")
    }

    async fn memo(&self, name: &str) -> Result<Option<Memo>, ReadError> {
        Ok(self.memos.lock().unwrap().get(name).cloned())
    }

    async fn put_memo(&self, name: &str, expected: u64, bytes: Bytes) -> Result<u64, PutMemoError> {
        let mut memos = self.memos.lock().unwrap();
        let revision = memos.get(name).map_or(0, |memo| memo.revision);
        if revision != expected {
            return Err(PutMemoError::Conflict);
        }
        memos.insert(name.to_owned(), Memo { revision: revision + 1, bytes });
        Ok(revision + 1)
    }

    fn keys(&self) -> Arc<dyn KeyStore> {
        unimplemented!("these commits have no keys")
    }

    async fn describe(&self) -> Result<Description, ReadError> {
        unimplemented!("nobody looks")
    }
}
