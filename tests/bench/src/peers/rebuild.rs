//! The read model anew from all events: ours by `daybook rebuild`, theirs as the library does it and as fast as one could.

use std::time::{Duration, Instant};

use daybook_tests::{Kind, Setup, World};

use super::postgres::Postgres;
use super::process::{Rebuilt, fill, rebuild};
use super::{Job, Peer};
use crate::bulk::Life;
use crate::report::{Goal, Side};
use crate::{Options, log};

/// What each order of the fill has had.
const CAPTURED: u64 = 1_999;
const REFUNDED: u64 = 500;

/// A way in which a peer rebuilds.
struct Way {
    peer: Peer,
    word: &'static str,
    title: &'static str,
    /// Too slow to be measured more than once.
    once: bool,
}

const WAYS: [Way; 5] = [
    Way { peer: Peer::Plain, word: "fastest", title: "plain schema: one SQL aggregate", once: false },
    Way { peer: Peer::CqrsEs, word: "documented", title: "cqrs-es: its QueryReplay", once: true },
    Way { peer: Peer::CqrsEs, word: "fastest", title: "cqrs-es: folded in memory, COPY", once: false },
    Way { peer: Peer::Disintegrate, word: "documented", title: "disintegrate: its listener", once: true },
    Way {
        peer: Peer::Disintegrate,
        word: "fastest",
        title: "disintegrate: folded in memory, COPY",
        once: false,
    },
];

pub(super) async fn run(options: &Options, postgres: &Postgres) -> Job {
    let orders = options.commits() / Life::Refunded.commits();
    let mut worlds = Vec::new();
    for kind in options.kinds() {
        let mut world = World::with(kind, Setup::default()).await;
        world.servers[0].stop().await;
        log::fill(&world, options.commits()).await;
        worlds.push((kind, world));
    }
    let database = |peer: Peer| format!("{}_rebuild", peer.word());
    let mut databases = Vec::new();
    for peer in Peer::ALL {
        let database = postgres.database(&database(peer));
        fill(peer, &database, orders).await;
        databases.push((peer, database));
    }
    let mut ours: Vec<(Kind, Side)> = worlds.iter().map(|(kind, _)| (*kind, Side::new("Daybook"))).collect();
    let mut peers: Vec<Side> = WAYS.iter().map(|way| Side::new(way.title)).collect();
    for round in 0..options.rounds() {
        for ((kind, world), (_, side)) in worlds.iter().zip(&mut ours) {
            side.add_rate(options.commits(), by_daybook(*kind, world).await);
        }
        for (way, side) in WAYS.iter().zip(&mut peers).filter(|(way, _)| round == 0 || !way.once) {
            let of = databases.iter().find(|(peer, _)| *peer == way.peer);
            let (peer, database) = of.expect("a database for each");
            let rebuilt = rebuild(*peer, database, way.word).await;
            side.add_rate(options.commits(), checked(&rebuilt, orders));
        }
    }
    let goal = Goal::PercentAtLeast(1000);
    Job { name: "rebuild", unit: "commits/s", connections: None, goal, ours, peers }
}

async fn by_daybook(kind: Kind, world: &World) -> Duration {
    let started = Instant::now();
    let output = world.run("rebuild", &[]).await;
    assert!(output.status.success(), "{kind:?}: {}", String::from_utf8_lossy(&output.stderr));
    started.elapsed()
}

/// How long it took, if what came out is right.
fn checked(rebuilt: &Rebuilt, orders: u64) -> Duration {
    let Rebuilt { events, orders: rows, captured, refunded, micros } = rebuilt;
    let expected = (orders * Life::Refunded.commits(), orders, orders * CAPTURED, orders * REFUNDED);
    assert_eq!((*events, *rows, *captured, *refunded), expected, "a rebuild of the wrong thing");
    Duration::from_micros(*micros)
}
