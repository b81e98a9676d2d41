//! Folding the whole log anew, as `daybook rebuild` does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use daybook_tests::{Kind, Setup, World};
use ledger::journal::Journal;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::jetstream::{JetStreamConfig, JetStreamJournal};

use crate::bulk::{self, Life};
use crate::limit::Limit;
use crate::report::{Goal, Report, Row, Side};
use crate::{Options, name};

/// Commits of each order.
pub(crate) const COMMITS: u64 = 4;

pub(crate) async fn run(options: Options) {
    let mut rows = Vec::new();
    for kind in options.kinds() {
        let mut world = World::with(kind, Setup::default()).await;
        world.servers[0].stop().await;
        fill(&world, kind, options.commits()).await;
        let commits = open(&world, kind).await.last_sequence(0).await.expect("the journal can be read");
        let (mut ours, mut limit) = (Side::new("Daybook"), Side::new("the same log drained"));
        for _ in 0..options.rounds() {
            limit.add_rate(commits, bare(&world, kind).await);
            let started = Instant::now();
            let output = world.run("rebuild", &[]).await;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            ours.add_rate(commits, started.elapsed());
        }
        let row = Row::new("daybook rebuild", "commits/s", ours).on(name(kind));
        rows.push(row.against(limit).goal(Goal::PercentAtLeast(60)));
    }
    let title = "Rebuild: `daybook rebuild`, from its start to its end";
    Report::new("rebuild", title, options.quick, rows).publish(&options.out());
}

async fn open(world: &World, kind: Kind) -> Arc<dyn Journal> {
    match &world.nats {
        Some(nats) if kind != Kind::Embedded => {
            let journal = JetStreamJournal::connect(JetStreamConfig::new(nats.url())).await;
            Arc::new(journal.expect("the journal opens"))
        }
        _ => {
            let journal = EmbeddedJournal::open(database(world), EmbeddedOptions::default()).await;
            Arc::new(journal.expect("the journal opens"))
        }
    }
}

fn database(world: &World) -> std::path::PathBuf {
    world.data_dir(0).join("journal.sqlite")
}

/// How long it takes to read the same log and drop it, in a process of its own.
async fn bare(world: &World, kind: Kind) -> Duration {
    let limit = match &world.nats {
        Some(nats) if kind != Kind::Embedded => Limit::start(&["drain", &nats.url()]).await,
        _ => Limit::start(&["scan", &database(world).display().to_string()]).await,
    };
    Duration::from_micros(limit.said.parse().expect("microseconds"))
}

/// Writes orders until there are about so many commits.
pub(crate) async fn fill(world: &World, kind: Kind, commits: u64) {
    let journal = open(world, kind).await;
    bulk::fill(journal.as_ref(), 0..commits / COMMITS, Life::Refunded).await;
}
