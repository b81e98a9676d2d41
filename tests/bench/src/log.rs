//! The log of a world whose server may be down: opened past it, read to its end, and how long that takes at least.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daybook_tests::{Kind, World};
use ledger::journal::Journal;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::jetstream::{JetStreamConfig, JetStreamJournal};

use crate::bulk::{self, Life};
use crate::limit::Limit;

/// Opens the journal to write it; no server may have it open.
pub(crate) async fn open(world: &World) -> Arc<dyn Journal> {
    match &world.nats {
        Some(nats) if world.kind() != Kind::Embedded => {
            let journal = JetStreamJournal::connect(JetStreamConfig::new(nats.url())).await;
            Arc::new(journal.expect("the journal opens"))
        }
        _ => {
            let journal = EmbeddedJournal::open(database(world), EmbeddedOptions::default()).await;
            Arc::new(journal.expect("the journal opens"))
        }
    }
}

/// The file of an embedded journal.
pub(crate) fn database(world: &World) -> PathBuf {
    world.data_dir(0).join("journal.sqlite")
}

/// Writes whole lives of orders until the log of a world has about so many commits. Only what was written so before is
/// there already. Returns how many commits there are.
pub(crate) async fn fill(world: &World, commits: u64) -> u64 {
    let journal = open(world).await;
    let there = journal.last_sequence(0).await.expect("the journal can be read");
    let per_order = Life::Refunded.commits();
    bulk::fill(journal.as_ref(), there / per_order..commits / per_order, Life::Refunded).await;
    journal.last_sequence(0).await.expect("the journal can be read")
}

/// How long it takes to read the log and drop it, in a process of its own.
pub(crate) async fn drained(world: &World) -> Duration {
    let limit = match &world.nats {
        Some(nats) if world.kind() != Kind::Embedded => Limit::start(&["drain", &nats.url()]).await,
        _ => Limit::start(&["scan", &database(world).display().to_string()]).await,
    };
    Duration::from_micros(limit.said.parse().expect("microseconds"))
}
