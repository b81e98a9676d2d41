//! A log in four streams beside a log in one, on the same machine: checkouts, and a rebuild of the views.

use daybook_tests::{Kind, Setup, World, server};

use crate::ingest::{caught_up, checkouts};
use crate::online::wait_until_ready;
use crate::report::{Report, Row, Side};
use crate::versus::{Target, compare};
use crate::{JournalKind, Options, log, name, process};

/// An embedded journal has one partition, always.
const KIND: Kind = Kind::JetStreamNewest;
const MANY: u16 = 4;

pub(crate) async fn run(options: Options) {
    if options.journal == Some(JournalKind::Embedded) {
        return;
    }
    let mut rows = ingest(&options).await;
    rows.push(rebuild(&options).await);
    let title = "Partitions: a log in four streams beside a log in one";
    Report::new("partitions", title, options.quick, rows).publish(&options.out());
}

async fn world(partitions: u16) -> World {
    World::with(KIND, Setup { partitions, ..Setup::default() }).await
}

fn called(partitions: u16) -> String {
    if partitions == 1 { "1 partition".to_owned() } else { format!("{partitions} partitions") }
}

async fn ingest(options: &Options) -> Vec<Row> {
    let (one, many) = (world(1).await, world(MANY).await);
    let mut rows = Vec::new();
    for connections in [64, 256] {
        let settle = async || {
            caught_up(&one).await;
            caught_up(&many).await;
        };
        let other = Target { name: called(1), ..checkouts(&one) };
        let ours = async || checkouts(&many);
        let (ours, other) = compare(options, connections, ours, &other, settle).await;
        let what = format!("POST /v1/checkouts, {}", called(MANY));
        rows.push(Row::new(&what, "req/s", ours).on(name(KIND)).over(connections).against(other));
    }
    rows
}

/// The same orders in both logs. Panics when the views of both do not give the same totals.
async fn rebuild(options: &Options) -> Row {
    let (mut one, mut many) = (world(1).await, world(MANY).await);
    let (mut ours, mut other) = (Side::new("Daybook"), Side::new(&called(1)));
    for world in [&mut one, &mut many] {
        world.servers[0].stop().await;
        log::fill(world, options.commits()).await;
    }
    for _ in 0..options.rounds() {
        for (world, side) in [(&one, &mut other), (&many, &mut ours)] {
            let mut command = server::command(world.directory());
            command.args(world.command("rebuild", &["--json"]));
            side.add_rate(options.commits(), process::run(command).await.elapsed);
        }
    }
    let mut totals = Vec::new();
    for world in [&mut one, &mut many] {
        world.servers[0].respawn();
        wait_until_ready(&world.shop()).await;
        totals.push(world.shop().get("/v1/totals").await.expect(200).json());
    }
    assert_eq!(totals[0], totals[1], "the views differ");
    let what = format!("daybook rebuild, {}", called(MANY));
    Row::new(&what, "commits/s", ours).on(name(KIND)).against(other)
}
