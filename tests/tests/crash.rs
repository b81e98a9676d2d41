//! `kill -9` at random moments under load, of the server and of nats-server: whatever was acknowledged is in the
//! log, nothing is there twice, and the views are what a fresh fold of the log gives.
//!
//! `DAYBOOK_CRASH_ROUNDS` says how often (100), `DAYBOOK_CRASH_SEED` repeats the moments of an earlier run.
//!
//! A killed process loses none of what it has written, only what it has not: the operating system keeps written
//! pages. So these tests hold for every `sync_interval` of nats-server; what a power cut takes away from a server
//! that does not sync always is another matter, and `daybook doctor` says so.

use std::time::Duration;

use daybook_tests::client::ACME;
use daybook_tests::load::{Load, Witness};
use daybook_tests::{Client, Kind, World};
use projections::{StoreOptions, Views, ViewsDigest, fresh_digest};

/// Shops at the same time.
const WORKERS: usize = 4;

fn setting(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().unwrap_or_else(|_| panic!("{name} is a whole number")))
}

fn rounds() -> u64 {
    setting("DAYBOOK_CRASH_ROUNDS").unwrap_or(100)
}

/// Where the moments come from. Printed, so that a failure can be tried again.
fn random() -> (fastrand::Rng, u64) {
    let seed = setting("DAYBOOK_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("DAYBOOK_CRASH_SEED={seed}");
    (fastrand::Rng::with_seed(seed), seed)
}

fn shops(world: &World) -> impl Iterator<Item = Client> {
    (0..WORKERS).map(|_| world.client(0, ACME))
}

/// Waits a random time, and then for at least one more acknowledgement, so that each round sees work done.
async fn some_work(load: &Load, random: &mut fastrand::Rng) {
    let before = load.acknowledged();
    tokio::time::sleep(Duration::from_millis(random.u64(20..400))).await;
    daybook_tests::eventually("an acknowledgement", async || (load.acknowledged() > before).then_some(()))
        .await;
}

async fn stored_digest(world: &World) -> ViewsDigest {
    let path = world.data_dir(0).join("views");
    let views = Views::open(&path, &StoreOptions::default()).expect("the views open");
    let scanned = views.digest_by_scan().expect("the views can be read");
    assert_eq!(views.digest(), scanned, "the digest that is kept is that of the rows");
    scanned
}

/// Holds what the workers were told, and what the views say, against the log.
async fn hold_to_account(world: &mut World, witness: Witness) {
    // As the last kill leaves them: some way behind, and yet exact.
    world.servers[0].kill();
    let log = world.log().await;
    println!("commits: {}", log.len());
    log.assert_nothing_is_there_twice();
    witness.assert_all_is_in(&log);
    let behind = stored_digest(world).await;
    let fresh = fresh_digest(&*log.journal, Some(&behind.checkpoint)).await.expect("a fold");
    assert_eq!(behind, fresh, "the views as the kill left them");

    world.servers[0].restart().await;
    world.servers[0].stop().await;
    let log = world.log().await;
    let fresh = fresh_digest(&*log.journal, None).await.expect("a fold");
    assert_eq!(stored_digest(world).await, fresh, "the views after a start and a stop in good order");
}

async fn the_server_is_killed(kind: Kind) {
    let (mut random, seed) = random();
    let mut world = World::start(kind).await;
    let load = Load::start(shops(&world), seed);
    for _ in 0..rounds() {
        some_work(&load, &mut random).await;
        world.servers[0].kill();
        if random.u8(..) < 64 {
            // Not even the start is safe.
            world.servers[0].respawn();
            tokio::time::sleep(Duration::from_millis(random.u64(0..150))).await;
        }
        world.servers[0].restart().await;
    }
    let witness = load.finish().await;
    hold_to_account(&mut world, witness).await;
}

async fn nats_is_killed(kind: Kind) {
    let (mut random, seed) = random();
    let mut world = World::start(kind).await;
    let load = Load::start(shops(&world), seed);
    for _ in 0..rounds() {
        some_work(&load, &mut random).await;
        let nats = world.nats.as_mut().expect("a nats-server");
        nats.kill();
        tokio::time::sleep(Duration::from_millis(random.u64(0..100))).await;
        nats.restart().await;
    }
    let witness = load.finish().await;
    hold_to_account(&mut world, witness).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_on_the_embedded_journal() {
    the_server_is_killed(Kind::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_on_jetstream() {
    the_server_is_killed(Kind::JetStreamNewest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_is_killed_under_the_server() {
    nats_is_killed(Kind::JetStreamNewest).await;
}
