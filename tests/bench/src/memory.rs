//! What an idle server takes of memory when there are many orders: once it has folded them, and started anew.

use std::time::Duration;

use daybook_tests::{Setup, World};

use crate::bulk::{self, Life};
use crate::online::wait_until_ready;
use crate::report::{Goal, Report, Row, Side};
use crate::table::thousands;
use crate::{Options, log, name, process};

/// Memory that stays the same for so long has settled.
const SETTLED: Duration = Duration::from_secs(15);
/// The same means: no further apart than so much.
const SAME_KIB: u64 = 1024;
/// After so long it is what it is.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) async fn run(options: Options) {
    let mut rows = Vec::new();
    for kind in options.kinds() {
        let mut world = World::with(kind, Setup::default()).await;
        world.servers[0].stop().await;
        let orders = options.commits() * 10;
        bulk::fill(log::open(&world).await.as_ref(), 0..orders, Life::Opened).await;
        for how in ["once it has folded them", "started anew"] {
            world.servers[0].respawn();
            wait_until_ready(&world.shop()).await;
            let server = world.servers[0].id();
            let settled = settled_kib(server).await;
            let peak = process::memory_kib(server, "VmHWM:").expect("a server that runs");
            let row = |what: &str, kib: u64| {
                let what = format!("{what}, {} orders, {how}", thousands(orders));
                Row::new(&what, "MiB", Side::once("Daybook", kib.div_ceil(1024))).on(name(kind))
            };
            rows.push(row("idle server", settled).goal(Goal::AtMost(256)));
            rows.push(row("most until then", peak));
            world.servers[0].stop().await;
        }
    }
    Report::new("memory", "Memory of an idle server", options.quick, rows).publish(&options.out());
}

/// A process's resident memory when it does not change any more.
async fn settled_kib(process: u32) -> u64 {
    let resident = || process::memory_kib(process, "VmRSS:").expect("a server that runs");
    let (began, mut since) = (tokio::time::Instant::now(), tokio::time::Instant::now());
    let mut first = resident();
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = resident();
        if now.abs_diff(first) > SAME_KIB {
            (first, since) = (now, tokio::time::Instant::now());
        }
        if since.elapsed() >= SETTLED || began.elapsed() >= PATIENCE {
            return now;
        }
    }
}
