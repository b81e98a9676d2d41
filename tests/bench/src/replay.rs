//! Folding the log without a store: `daybook totals`, from its start to its end. It decodes every commit, folds every
//! order, keeps the orders in memory and adds up their money, as an auditor does.

use daybook_tests::client::ACME;
use daybook_tests::{Setup, World, server};

use crate::report::{Goal, Report, Row, Side};
use crate::{Options, log, name, process};

pub(crate) async fn run(options: Options) {
    let mut rows = Vec::new();
    for kind in options.kinds() {
        let mut world = World::with(kind, Setup::default()).await;
        world.servers[0].stop().await;
        let commits = log::fill(&world, options.commits()).await;
        let (mut ours, mut limit) = (Side::new("Daybook"), Side::new("the same log drained"));
        for _ in 0..options.rounds() {
            limit.add_rate(commits, log::drained(&world).await);
            let mut command = server::command(world.directory());
            command.args(world.command("totals", &["--json", "--tenant", ACME.id]));
            ours.add_rate(commits, process::run(command).await.elapsed);
        }
        let row = Row::new("daybook totals", "commits/s", ours).on(name(kind));
        rows.push(row.against(limit).goal(Goal::PercentAtLeast(85)));
    }
    let title = "Replay: every order folded from the log, without a store";
    Report::new("replay", title, options.quick, rows).publish(&options.out());
}
