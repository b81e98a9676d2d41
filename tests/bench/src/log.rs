//! The log of a world whose server may be down: opened past it, read to its end, and how long that takes at least.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use daybook_tests::{Kind, World};
use ledger::ids::Position;
use ledger::journal::Journal;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::jetstream::{JetStreamConfig, JetStreamJournal};

use crate::bulk::{self, Life};
use crate::limit::Limit;

/// Opens the journal to write it; no server may have it open.
pub(crate) async fn open(world: &World) -> Arc<dyn Journal> {
    match &world.nats {
        Some(nats) if world.kind() != Kind::Embedded => {
            let partitions = world.setup().partitions;
            let config = JetStreamConfig { partitions, ..JetStreamConfig::new(nats.url()) };
            let journal = JetStreamJournal::connect(config).await;
            Arc::new(journal.expect("the journal opens"))
        }
        _ => {
            let journal = EmbeddedJournal::open(database(world), EmbeddedOptions::default()).await;
            Arc::new(journal.expect("the journal opens"))
        }
    }
}

/// The newest commit of a log in one partition, byte for byte as it is stored, also while a server writes it.
pub(crate) async fn newest(world: &World) -> Bytes {
    let journal: Arc<dyn Journal> = match world.kind() {
        Kind::Embedded => {
            let journal = EmbeddedJournal::open_read_only(database(world)).await;
            Arc::new(journal.expect("the journal opens"))
        }
        Kind::JetStreamNewest | Kind::JetStreamOldest => open(world).await,
    };
    let sequence = journal.last_sequence(0).await.expect("the journal can be read");
    let stored = journal.at(Position { partition: 0, sequence }).await.expect("the journal can be read");
    stored.expect("a commit").bytes
}

/// The file of an embedded journal.
pub(crate) fn database(world: &World) -> PathBuf {
    world.data_dir(0).join("journal.sqlite")
}

/// Writes whole lives of orders until the log of a world has about so many commits. Only what was written so before is
/// there already. Returns how many commits there are.
pub(crate) async fn fill(world: &World, commits: u64) -> u64 {
    let journal = open(world).await;
    let there = length(journal.as_ref()).await;
    let per_order = Life::Refunded.commits();
    bulk::fill(journal.as_ref(), there / per_order..commits / per_order, Life::Refunded).await;
    length(journal.as_ref()).await
}

/// Commits in all partitions.
async fn length(journal: &dyn Journal) -> u64 {
    let mut commits = 0;
    for partition in 0..journal.partitions() {
        commits += journal.last_sequence(partition).await.expect("the journal can be read");
    }
    commits
}

/// How long it takes to read a log of one partition and drop it, in a process of its own.
pub(crate) async fn drained(world: &World) -> Duration {
    let limit = match &world.nats {
        Some(nats) if world.kind() != Kind::Embedded => Limit::start(&["drain", &nats.url()]).await,
        _ => Limit::start(&["scan", &database(world).display().to_string()]).await,
    };
    Duration::from_micros(limit.said.parse().expect("microseconds"))
}
