//! A journal whose tails, and answers about its end, can be made to go wrong. Everything else is the real one's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use ledger::ids::Position;
use ledger::journal::{
    AppendError, Description, Draft, Journal, Memo, PutMemoError, ReadError, Stored, Subject, Tail,
};

/// What goes wrong with one tail.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// It leaves a commit out.
    Skips(u64),
    /// It gives a commit twice.
    Repeats(u64),
    /// It fails instead of giving this commit.
    FailsAt(u64),
    /// It ends instead of giving this commit.
    EndsAt(u64),
    /// It never gives this commit, nor anything after it.
    SilentFrom(u64),
    /// It cannot be opened.
    CannotOpen,
}

pub(super) struct Faulty {
    pub(super) inner: Arc<dyn Journal>,
    /// The faults of the next tails; after those, tails are as they should be.
    faults: Mutex<VecDeque<Fault>>,
    /// A commit that is missing from the log; 0: none.
    pub(super) hole: AtomicU64,
    /// How many commits at the end are missing.
    pub(super) cut: AtomicU64,
    /// How many tails were opened.
    pub(super) tails: AtomicUsize,
}

impl Faulty {
    pub(super) fn new(inner: &Arc<dyn Journal>, faults: &[Fault]) -> Arc<Self> {
        Arc::new(Faulty {
            inner: Arc::clone(inner),
            faults: Mutex::new(faults.iter().copied().collect()),
            hole: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            tails: AtomicUsize::new(0),
        })
    }
}

impl Faulty {
    /// What goes wrong with the next tail.
    pub(super) fn next_tail(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }
}

#[async_trait]
impl Journal for Faulty {
    fn partitions(&self) -> u16 {
        self.inner.partitions()
    }

    async fn append(&self, draft: &Draft, expected: u64) -> Result<Position, AppendError> {
        self.inner.append(draft, expected).await
    }

    async fn load(&self, subject: &Subject) -> Result<Vec<Stored>, ReadError> {
        self.inner.load(subject).await
    }

    async fn at(&self, position: Position) -> Result<Option<Stored>, ReadError> {
        if position.sequence == self.hole.load(Ordering::SeqCst) {
            return Ok(None);
        }
        self.inner.at(position).await
    }

    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        Ok(self.inner.last_sequence(partition).await? - self.cut.load(Ordering::SeqCst))
    }

    async fn tail(&self, partition: u16, after: u64) -> Result<Tail, ReadError> {
        self.tails.fetch_add(1, Ordering::SeqCst);
        let tail = self.inner.tail(partition, after).await?;
        let hole = self.hole.load(Ordering::SeqCst);
        let fault = self.faults.lock().unwrap().pop_front();
        let fault = fault.or((hole > 0).then_some(Fault::Skips(hole)));
        let is = |of: u64| move |stored: &Stored| stored.position.sequence == of;
        Ok(match fault {
            None => tail,
            Some(Fault::CannotOpen) => return Err(failure()),
            Some(Fault::Skips(of)) => {
                tail.filter(move |result| futures::future::ready(!result.as_ref().is_ok_and(is(of)))).boxed()
            }
            Some(Fault::Repeats(of)) => tail
                .flat_map(move |result| {
                    let again = result.as_ref().ok().filter(|stored| is(of)(stored)).cloned().map(Ok);
                    futures::stream::iter([Some(result), again].into_iter().flatten())
                })
                .boxed(),
            Some(Fault::FailsAt(of)) => tail
                .map(move |result| if result.as_ref().is_ok_and(is(of)) { Err(failure()) } else { result })
                .boxed(),
            Some(Fault::EndsAt(of)) => tail
                .take_while(move |result| futures::future::ready(!result.as_ref().is_ok_and(is(of))))
                .boxed(),
            Some(Fault::SilentFrom(of)) => tail
                .take_while(move |result| futures::future::ready(!result.as_ref().is_ok_and(is(of))))
                .chain(futures::stream::pending())
                .boxed(),
        })
    }

    async fn page(&self, partition: u16, after: u64) -> Result<Vec<Stored>, ReadError> {
        self.inner.page(partition, after).await
    }

    async fn memo(&self, name: &str) -> Result<Option<Memo>, ReadError> {
        self.inner.memo(name).await
    }

    async fn put_memo(&self, name: &str, expected: u64, bytes: Bytes) -> Result<u64, PutMemoError> {
        self.inner.put_memo(name, expected, bytes).await
    }

    fn keys(&self) -> Arc<dyn ledger::keys::KeyStore> {
        self.inner.keys()
    }

    async fn describe(&self) -> Result<Description, ReadError> {
        self.inner.describe().await
    }
}

fn failure() -> ReadError {
    ReadError::Unavailable("the server went away".into())
}
