//! Who waits for which record. Thousands may wait; a commit wakes only those of its record.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ledger::ids::RecordId;
use tokio::sync::watch;

#[derive(Default)]
pub(crate) struct Waiters {
    records: Mutex<HashMap<RecordId, watch::Sender<()>>>,
    /// How many records somebody waits for, so that a writer with nobody to wake takes no lock.
    count: AtomicUsize,
}

impl Waiters {
    pub(crate) fn watch(waiters: &Arc<Self>, record: RecordId) -> Waiter {
        let mut records = waiters.records.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = records.entry(record).or_insert_with(|| watch::Sender::new(())).subscribe();
        // Before the caller reads the view: from here on the writer looks into the map.
        waiters.count.store(records.len(), Ordering::SeqCst);
        Waiter { changes, _entry: Entry { record, waiters: Arc::clone(waiters) } }
    }

    /// Called after the record's change has become visible.
    pub(crate) fn wake(&self, record: RecordId) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        if let Some(changes) = self.records.lock().unwrap_or_else(PoisonError::into_inner).get(&record) {
            changes.send_replace(());
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Waits for one record.
pub struct Waiter {
    /// Dropped before the entry, which looks whether it was the last.
    changes: watch::Receiver<()>,
    _entry: Entry,
}

impl Waiter {
    /// Returns when the record has changed in the views since this waiter was made or last returned.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The entry keeps the sender; it cannot be gone before this waiter is.
            std::future::pending::<()>().await;
        }
    }
}

struct Entry {
    record: RecordId,
    waiters: Arc<Waiters>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut records = self.waiters.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.get(&self.record).is_some_and(|changes| changes.receiver_count() == 0) {
            records.remove(&self.record);
            self.waiters.count.store(records.len(), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_change_between_reading_and_waiting_is_not_missed() {
        let waiters = Arc::<Waiters>::default();
        let (record, other) = (RecordId::random(), RecordId::random());
        let mut waiter = Waiters::watch(&waiters, record);
        waiters.wake(record);
        waiter.changed().await;

        waiters.wake(other);
        let timeout = tokio::time::timeout(Duration::from_millis(10), waiter.changed()).await;
        assert!(timeout.is_err(), "another record's change, and an old one, wake nobody");
    }

    #[tokio::test]
    async fn one_change_wakes_all_who_wait_and_leaves_nothing_behind() {
        let waiters = Arc::<Waiters>::default();
        let record = RecordId::random();
        let mut waiting: Vec<Waiter> = (0..1000).map(|_| Waiters::watch(&waiters, record)).collect();
        assert_eq!(waiters.len(), 1);
        waiters.wake(record);
        for waiter in &mut waiting {
            waiter.changed().await;
        }
        drop(waiting);
        assert_eq!(waiters.len(), 0);
        waiters.wake(record);
    }
}
