//! The log itself, read past the server: the witness against which everything that the server said is held.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use ledger::commit::{Cause, Changes, Recorded};
use ledger::execute::{Ledger, RetryPolicy};
use ledger::journal::Journal;
use ledger::journal::embedded::EmbeddedJournal;
use ledger::journal::jetstream::{JetStreamConfig, JetStreamJournal};

/// Every commit of a journal, in order.
pub struct Log {
    /// The journal it was read from.
    pub journal: Arc<dyn Journal>,
    /// The commits.
    pub commits: Vec<Recorded>,
}

impl Log {
    /// Reads the embedded journal in a data directory, also while a server writes it.
    pub async fn embedded(data_dir: &Path) -> Self {
        let journal = EmbeddedJournal::open_read_only(data_dir.join("journal.sqlite")).await;
        Self::read(Arc::new(journal.expect("the journal opens"))).await
    }

    /// Reads the journal of a nats-server.
    pub async fn jetstream(url: &str, partitions: u16) -> Self {
        let config = JetStreamConfig { partitions, ..JetStreamConfig::new(url) };
        let journal = JetStreamJournal::connect(config).await;
        Self::read(Arc::new(journal.expect("the journal opens"))).await
    }

    /// Reads a journal to its present end.
    pub async fn read(journal: Arc<dyn Journal>) -> Self {
        let ledger = Ledger::new(Arc::clone(&journal), RetryPolicy::default());
        let mut commits = Vec::new();
        for partition in 0..journal.partitions() {
            let last = journal.last_sequence(partition).await.expect("the journal can be read");
            let mut tail = journal.tail(partition, 0).await.expect("the journal can be read");
            for _ in 0..last {
                let stored = tail.next().await.expect("a tail has no end").expect("a commit");
                let recorded = ledger.open(&stored).await.expect("a commit of ours");
                assert_eq!(
                    stored.subject,
                    recorded.commit.subject(),
                    "a commit is stored under its own subject"
                );
                commits.push(recorded);
            }
        }
        Log { journal, commits }
    }

    /// How many commits there are.
    pub fn len(&self) -> usize {
        self.commits.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// The positions of the commits about a tenant's orders, in order: what its feed must show.
    pub fn order_positions(&self, tenant: &str) -> Vec<String> {
        let of_orders = self.commits.iter().filter(|recorded| {
            recorded.commit.tenant.as_str() == tenant && matches!(recorded.commit.changes, Changes::Order(_))
        });
        of_orders.map(|recorded| recorded.position.to_string()).collect()
    }

    /// The commits by position.
    pub fn by_position(&self) -> HashMap<String, &Recorded> {
        self.commits.iter().map(|recorded| (recorded.position.to_string(), recorded)).collect()
    }

    /// Panics if anything is in the log twice: a commit id, an event of a source, or an idempotency key of an
    /// operation on a record.
    pub fn assert_nothing_is_there_twice(&self) {
        let mut commits = HashSet::new();
        let mut causes = BTreeMap::new();
        for Recorded { position, commit } in &self.commits {
            assert!(commits.insert(commit.id), "commit {} is at {position} a second time", commit.id);
            let (tenant, record) = (&commit.tenant, commit.record);
            let cause = match &commit.cause {
                Cause::Command { operation, key: Some(key), .. } => {
                    Some(format!("{tenant}: {operation} {key} on {record}"))
                }
                // A webhook may stand in quarantine first and be applied to its order later: once for each.
                Cause::Webhook { source, event_id, .. } => {
                    Some(format!("{tenant}: {source} {event_id} {}", kind(&commit.changes)))
                }
                Cause::Command { key: None, .. } | Cause::Timer { .. } => None,
            };
            if let Some(cause) = cause
                && let Some(first) = causes.insert(cause.clone(), *position)
            {
                panic!("{cause} is at {first} and again at {position}");
            }
        }
    }
}

fn kind(changes: &Changes) -> &'static str {
    match changes {
        Changes::Order(_) => "order",
        Changes::Offer(_) => "offer",
        Changes::Quarantine(_) => "quarantine",
    }
}
