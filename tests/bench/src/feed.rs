//! The feed: events delivered a second, to all readers together: to those who catch up, and to those who wait for what
//! comes. Beside it a bare server that sends the same bytes, rendered already, over as many connections.

use daybook_tests::client::ACME;
use daybook_tests::{Setup, World, checkout};
use reqwest::Method;

use crate::batch::checkouts;
use crate::ingest::{address, caught_up, first_answer};
use crate::limit::Limit;
use crate::load::{self, Load, Readers, Requests};
use crate::online::wait_until_ready;
use crate::report::{Goal, Report, Row, Side};
use crate::{Options, log, name};

/// Readers who catch up, and readers who are live.
const CATCHING_UP: [u64; 2] = [1, 100];
const LIVE: [u64; 2] = [100, 1000];
/// What the live readers get is written in batches of so many commands, since single requests come no faster than a
/// hundred readers are served: that would measure the writers.
const BATCH: u64 = 100;
/// Batches under way at the same time.
const WRITERS: usize = 4;

pub(crate) async fn run(options: Options) {
    let mut rows = Vec::new();
    for kind in options.kinds() {
        let mut world = World::with(kind, Setup::default()).await;
        world.servers[0].stop().await;
        let events = log::fill(&world, options.commits()).await;
        world.servers[0].respawn();
        wait_until_ready(&world.shop()).await;
        for readers in CATCHING_UP {
            // One reads all of the log, far more than is kept in memory; a crowd the same part of it together.
            let events = events / readers;
            rows.push(catch_up(&world, &options, readers, events).await);
        }
        for readers in LIVE {
            rows.push(live(&world, &options, readers, options.commits() / readers).await);
        }
    }
    let title = "Feed: server-sent events, delivered to all readers together";
    Report::new("feed", title, options.quick, rows).publish(&options.out());
}

/// The log's first events, as fast as each reader gets them.
async fn catch_up(world: &World, options: &Options, readers: u64, events: u64) -> Row {
    let limit = serving(world, "0-0", events).await;
    let bare = Readers {
        address: limit.said.clone(),
        request: ask("/"),
        readers: usize::try_from(readers).expect("a number of readers"),
        events,
    };
    let daybook = Readers { address: address(world), request: ask("/v1/feed?after=0-0"), ..bare.clone() };
    let (mut ours, mut theirs) = sides();
    for _ in 0..options.rounds() {
        theirs.add_rate(readers * events, bare.read().await.since_asked);
        ours.add_rate(readers * events, daybook.read().await.since_asked);
    }
    row(world, "catching up", readers, ours, theirs)
}

/// Commits that are made while the readers wait for them, from the first event to the last.
async fn live(world: &World, options: &Options, readers: u64, events: u64) -> Row {
    let (mut ours, mut theirs) = sides();
    // The first round is not counted.
    for round in 0..=options.rounds() {
        let after = position(world).await;
        caught_up(world).await;
        let daybook = Readers {
            address: address(world),
            request: ask(&format!("/v1/feed?after={after}")),
            readers: usize::try_from(readers).expect("a number of readers"),
            events,
        };
        let mut running = daybook.connect().await;
        let batches = (0..events.div_ceil(BATCH)).map(|_| checkouts("/v1/batch", BATCH));
        let writers = Requests::Once(batches.collect());
        Load::closed(&daybook.address, &writers, WRITERS, options.round()).run().await;
        let delivered: load::Delivered = running.line().await.expect("a line from the readers");
        caught_up(world).await;
        if round > 0 {
            ours.add_rate(readers * events, delivered.since_first);
        }

        let limit = serving(world, &after, events).await;
        let bare = Readers { address: limit.said.clone(), request: ask("/gated"), ..daybook };
        let mut running = bare.connect().await;
        first_answer(&limit.said, &load::render("POST", "/open", "", ""), 200).await;
        let delivered: load::Delivered = running.line().await.expect("a line from the readers");
        if round > 0 {
            theirs.add_rate(readers * events, delivered.since_first);
        }
    }
    row(world, "live", readers, ours, theirs)
}

fn sides() -> (Side, Side) {
    (Side::new("Daybook"), Side::new("bare axum, the same bytes"))
}

fn row(world: &World, what: &str, readers: u64, ours: Side, theirs: Side) -> Row {
    let readers = usize::try_from(readers).expect("a number of readers");
    let row = Row::new(&format!("GET /v1/feed, {what}"), "events/s", ours).on(name(world.kind()));
    row.over(readers).against(theirs).goal(Goal::PercentAtLeast(50))
}

fn ask(path: &str) -> String {
    load::render("GET", path, &format!("authorization: Bearer {}\r\n", ACME.key), "")
}

/// The position of a commit that was made just now.
async fn position(world: &World) -> String {
    world.shop().post("/v1/checkouts", &checkout(1_999)).await.expect(202).text("/position")
}

/// A bare server that sends what the feed sends after a position, so many events.
async fn serving(world: &World, after: &str, events: u64) -> Limit {
    let request = world.shop().request(Method::GET, &format!("/v1/feed?after={after}"));
    let mut response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let (mut rendered, mut seen) = (Vec::new(), 0);
    while seen < events {
        let chunk = response.chunk().await.expect("a feed that goes on").expect("a feed without an end");
        for byte in chunk {
            // What is more than was asked for is left out.
            if seen < events {
                rendered.push(byte);
                seen += u64::from(rendered.ends_with(b"\n\n"));
            }
        }
    }
    let file = world.directory().join("events");
    std::fs::write(&file, rendered).expect("a file");
    Limit::start(&["feed", &file.display().to_string()]).await
}
