//! What the journal takes of the disk for each commit, and the views for each order, beside the same as plain JSON.

use std::path::PathBuf;

use daybook_tests::{Kind, Setup, World, server};
use ledger::codec;

use crate::bulk::{self, Life};
use crate::report::{Report, Row, Side};
use crate::{Options, log, name, process};

/// Orders from which the size of plain JSON is taken.
const SAMPLE: u64 = 1000;

pub(crate) async fn run(options: Options) {
    let (body, commit) = plain();
    let mut rows = vec![Row::new("bodies of the requests", "B/commit", Side::once("raw JSON", body))];
    for kind in options.kinds() {
        let mut world = World::with(kind, Setup::default()).await;
        world.servers[0].stop().await;
        let commits = log::fill(&world, options.commits()).await;
        let orders = commits / Life::Refunded.commits();
        let mut command = server::command(world.directory());
        command.args(world.command("rebuild", &["--json"]));
        process::run(command).await;
        let row = |what: &str, unit: &str, bytes: u64, of: u64| {
            Row::new(what, unit, Side::once("Daybook", bytes / of.max(1))).on(name(kind))
        };
        let bytes = |paths: &[PathBuf]| paths.iter().map(|path| process::disk_bytes(path)).sum();
        let (journal, keys) = files(&world);
        let as_json = |commits: u64| Side::once("the commits as plain JSON", commit * commits);
        rows.push(row("journal", "B/commit", bytes(&journal), commits).against(as_json(1)));
        rows.push(row("keys of personal data", "B/order", bytes(&keys), orders));
        let views = process::disk_bytes(&world.data_dir(0).join("views"));
        rows.push(row("views, rebuilt", "B/order", views, orders).against(as_json(Life::Refunded.commits())));
    }
    let title = "Disk: orders of four commits (opened, captured, refunded in part, settled)";
    Report::new("disk", title, options.quick, rows).publish(&options.out());
}

/// Bytes a commit, on average: of the body that caused it, and of the commit itself where nothing is sealed.
fn plain() -> (u64, u64) {
    let at = bulk::now();
    let steps = (0..SAMPLE).flat_map(|number| bulk::steps(number, Life::Refunded, at));
    let (mut count, mut bodies, mut commits) = (0, 0, 0);
    for step in steps {
        count += 1;
        bodies += step.body.len() as u64;
        commits += codec::encode(&step.commit).len() as u64;
    }
    (bodies / count, commits / count)
}

/// The files of the log, and those of the keys.
fn files(world: &World) -> (Vec<PathBuf>, Vec<PathBuf>) {
    match world.kind() {
        Kind::Embedded => {
            let file = |name: &str| world.data_dir(0).join(name);
            (vec![file("journal.sqlite"), file("journal.sqlite-wal")], vec![file("journal.keys.sqlite")])
        }
        Kind::JetStreamNewest | Kind::JetStreamOldest => {
            let streams = world.directory().join("nats/jetstream/$G/streams");
            (vec![streams.join("daybook-0")], vec![streams.join("KV_daybook-keys")])
        }
    }
}
