//! Folding the whole log anew, as `daybook rebuild` does: how fast, whether a log ten times as long is folded as fast,
//! and with how much memory.

use daybook_tests::{Setup, World, server};

use crate::report::{Goal, Report, Row, Side};
use crate::table::thousands;
use crate::{Options, log, name, process};

/// How many times as long the long log is.
const TIMES: u64 = 10;

pub(crate) async fn run(options: Options) {
    let mut rows = Vec::new();
    for kind in options.kinds() {
        let mut world = World::with(kind, Setup::default()).await;
        world.servers[0].stop().await;
        let (short, _) = measure(&world, options.commits(), options.rounds(), &mut rows).await;
        // One round takes as long as all of the short ones.
        let rounds = options.rounds().div_ceil(3);
        let (long, peak) = measure(&world, options.commits() * TIMES, rounds, &mut rows).await;
        let flat = Row::new("the long log beside the short one", "commits/s", long).on(name(kind));
        rows.push(flat.against(short).goal(Goal::PercentAtLeast(90)));
        let memory = Row::new("most memory of the long rebuild", "MiB", peak).on(name(kind));
        rows.push(memory.goal(Goal::AtMost(512)));
    }
    let title = "Rebuild: `daybook rebuild`, from its start to its end";
    Report::new("rebuild", title, options.quick, rows).publish(&options.out());
}

/// Adds a row of a log of so many commits; returns its rate, and the most memory in MiB.
async fn measure(world: &World, commits: u64, rounds: usize, rows: &mut Vec<Row>) -> (Side, Side) {
    let commits = log::fill(world, commits).await;
    let name_of = |what: &str| format!("{what}, {} commits", thousands(commits));
    let (mut ours, mut peak) = (Side::new(&name_of("Daybook")), Side::new("Daybook"));
    let mut limit = Side::new("the same log drained");
    for _ in 0..rounds {
        limit.add_rate(commits, log::drained(world).await);
        let mut command = server::command(world.directory());
        command.args(world.command("rebuild", &["--json"]));
        let ran = process::run(command).await;
        ours.add_rate(commits, ran.elapsed);
        peak.add(ran.peak_kib.div_ceil(1024));
    }
    let row = Row::new(&name_of("daybook rebuild"), "commits/s", ours.clone()).on(name(world.kind()));
    rows.push(row.against(limit).goal(Goal::PercentAtLeast(60)));
    (ours, peak)
}
