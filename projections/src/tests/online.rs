//! A rebuild beside a running projector: what is live changes between two batches, and nothing that was promised is
//! missed.

use std::sync::Arc;
use std::time::Duration;

use ledger::ids::RecordId;

use super::faulty::{Fault, Faulty};
use super::{DEADLINE, Shop, quick, reached, tenant};
use crate::store::keys;
use crate::{
    Projector, RebuildKind, RebuildRefused, RebuildState, RebuildStatus, Rebuilds, Views, fresh_digest,
};

/// A shop with views that follow its journal.
struct Server {
    shop: Shop,
    journal: Arc<Faulty>,
    views: Views,
    projector: Projector,
    rebuilds: Rebuilds,
}

impl Server {
    async fn start() -> Self {
        let shop = Shop::open().await;
        shop.fill().await;
        Self::on(shop).await
    }

    async fn on(shop: Shop) -> Self {
        let journal = Faulty::new(&shop.journal, &[]);
        let views = shop.views();
        let projector = Projector::start(Arc::clone(&journal) as _, views.clone(), quick()).await.unwrap();
        reached(&projector, shop.last().await).await;
        let rebuilds = Rebuilds::open(views.clone(), projector.clone(), false).await.unwrap();
        Server { shop, journal, views, projector, rebuilds }
    }

    async fn stop(self) -> Shop {
        self.rebuilds.shutdown().await;
        self.projector.shutdown().await.unwrap();
        self.shop
    }

    /// Another process on the same data.
    async fn restart(self) -> Self {
        Self::on(self.stop().await).await
    }

    async fn is(&self, state: RebuildState) -> RebuildStatus {
        let mut statuses = self.rebuilds.statuses();
        let reached = tokio::time::timeout(DEADLINE, statuses.wait_for(|status| status.state == state)).await;
        let status = reached.unwrap_or_else(|_| panic!("{:?} is never {state:?}", self.rebuilds.status()));
        status.unwrap().clone()
    }

    /// A rebuild that has folded three commits and hears no more of the log.
    async fn half_way(&self, is_manual: bool) {
        self.journal.next_tail(Fault::SilentFrom(4));
        self.rebuilds.start(is_manual).await.unwrap();
        let mut statuses = self.rebuilds.statuses();
        let half = statuses.wait_for(|status| status.progress.done == 3);
        tokio::time::timeout(DEADLINE, half).await.expect("it gets there").unwrap();
    }

    /// The views are what the log says, and follow it.
    async fn check(&self, generation: u64) {
        let (id, position) = self.shop.submit(&RecordId::random().to_string()).await;
        reached(&self.projector, position).await;
        assert!(self.views.order(&tenant(), id).unwrap().is_some());
        assert_eq!(self.views.generation(), generation);
        let fresh = fresh_digest(self.shop.journal.as_ref(), None).await.unwrap();
        assert_eq!(self.views.digest(), fresh);
        assert_eq!(self.views.digest_by_scan().unwrap(), fresh);
    }

    fn numbers(&self) -> Vec<u64> {
        self.views.generations().unwrap().iter().map(|generation| generation.number).collect()
    }

    /// What a wrong rule would have written: a row that says something else, counted like any other.
    async fn miswrite(&self) {
        let (told, heard) = tokio::sync::oneshot::channel();
        let key = keys::totals(&tenant(), "EUR".parse().unwrap());
        self.projector
            .between_batches(Box::new(move |writer| {
                writer.generation().miswrite(&key);
                told.send(()).unwrap();
                writer
            }))
            .await;
        heard.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_takes_the_place_of_the_live_views_and_the_projector_goes_on_with_it() {
    let server = Server::start().await;
    let begun = server.rebuilds.start(false).await.unwrap();
    assert_eq!((begun.kind, begun.generation, begun.resumed_at), (RebuildKind::Rebuild, Some(2), 0));
    let done = server.is(RebuildState::Done).await;
    let compared = done.compared.expect("they were compared");
    assert!(compared.is_same() && compared.is_same_version);
    assert_eq!(compared.checkpoint, [server.shop.last().await.sequence]);
    assert_eq!(done.progress.done, done.progress.total);
    server.check(2).await;
    assert_eq!(server.numbers(), [1, 2]);
    let server = server.restart().await;
    server.check(2).await;
    assert_eq!(server.rebuilds.status().state, RebuildState::Idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_told_that_a_commit_is_applied_finds_it_across_every_swap() {
    let server = Server::start().await;
    for round in 0..5 {
        server.rebuilds.start(false).await.unwrap();
        let mut commits = 0;
        while server.rebuilds.status().state.is_running() || commits < 5 {
            // On a busy machine a rebuild may get less of it than those who commit, and would never catch up.
            if commits == 1000 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            let (id, position) = server.shop.submit(&format!("B-{round}-{commits}")).await;
            reached(&server.projector, position).await;
            assert!(server.views.checkpoint(0) >= position.sequence, "never less than was promised");
            assert!(server.views.order(&tenant(), id).unwrap().is_some());
            commits += 1;
        }
        assert_eq!(server.rebuilds.status().state, RebuildState::Done);
        assert!(server.rebuilds.status().compared.unwrap().is_same());
    }
    server.check(6).await;
    assert_eq!(server.numbers(), [5, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_rebuild_is_refused_while_one_is_under_way() {
    let server = Server::start().await;
    server.half_way(false).await;
    for refused in [server.rebuilds.start(false).await, server.rebuilds.rollback().await] {
        assert!(matches!(refused, Err(RebuildRefused::UnderWay(RebuildState::Folding))), "{refused:?}");
    }
    let refused = server.rebuilds.swap().await;
    assert!(matches!(refused, Err(RebuildRefused::NotCompared(_))), "{refused:?}");
    server.rebuilds.cancel().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_can_be_told_to_a_rebuild_that_is_not_there() {
    let server = Server::start().await;
    let Server { rebuilds, .. } = &server;
    let refused =
        [rebuilds.pause().await, rebuilds.resume().await, rebuilds.cancel().await, rebuilds.swap().await];
    for refused in refused {
        assert!(matches!(refused, Err(RebuildRefused::NotUnderWay)), "{refused:?}");
    }
    assert!(matches!(rebuilds.rollback().await, Err(RebuildRefused::NothingBefore)));
    server.check(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_is_canceled_leaves_nothing_behind() {
    let server = Server::start().await;
    server.half_way(false).await;
    let canceled = server.rebuilds.cancel().await.unwrap();
    assert_eq!(canceled.state, RebuildState::Canceled);
    assert_eq!(server.numbers(), [1]);
    let server = server.restart().await;
    assert_eq!(server.rebuilds.status().state, RebuildState::Idle);
    server.check(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_rebuild_stands_still_also_in_the_next_process_until_it_is_resumed() {
    let server = Server::start().await;
    server.half_way(false).await;
    assert_eq!(server.rebuilds.pause().await.unwrap().state, RebuildState::Paused);
    let server = server.restart().await;
    let status = server.is(RebuildState::Paused).await;
    assert_eq!((status.generation, status.resumed_at), (Some(2), 3));
    server.check(1).await;
    assert_eq!(server.rebuilds.resume().await.unwrap().state, RebuildState::Folding);
    assert!(server.is(RebuildState::Done).await.compared.unwrap().is_same());
    server.check(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_goes_on_in_the_next_process_from_where_it_was() {
    let server = Server::start().await;
    server.half_way(false).await;
    let server = server.restart().await;
    let done = server.is(RebuildState::Done).await;
    assert_eq!((done.generation, done.resumed_at), (Some(2), 3));
    assert!(done.compared.unwrap().is_same());
    server.check(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_a_crash_has_cut_short_is_completed_at_the_next_start() {
    let server = Server::start().await;
    server.half_way(false).await;
    server.rebuilds.pause().await.unwrap();
    let views = server.views.clone();
    let shop = server.stop().await;
    let half = views.of_generation(2).unwrap().unwrap();
    let complete = half.digest_by_scan().unwrap();
    assert_eq!(half.digest(), complete);
    views.store().tear();
    assert_ne!(half.digest_by_scan().unwrap(), complete, "it is torn");
    drop((half, views));

    let views = shop.views();
    let half = views.of_generation(2).unwrap().unwrap();
    assert_eq!(half.digest(), complete);
    assert_eq!(half.digest_by_scan().unwrap(), complete);
    drop((half, views));
    let server = Server::on(shop).await;
    server.rebuilds.resume().await.unwrap();
    assert!(server.is(RebuildState::Done).await.compared.unwrap().is_same());
    server.check(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_fails_holds_a_rebuild_up_but_does_not_end_it() {
    let server = Server::start().await;
    for fault in [Fault::FailsAt(3), Fault::Skips(5), Fault::EndsAt(6), Fault::CannotOpen] {
        server.journal.next_tail(fault);
    }
    server.rebuilds.start(false).await.unwrap();
    assert!(server.is(RebuildState::Done).await.compared.unwrap().is_same());
    server.check(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_waits_to_be_swapped_in_where_that_was_asked_for_and_keeps_up() {
    let server = Server::start().await;
    server.rebuilds.start(true).await.unwrap();
    server.is(RebuildState::Waiting).await;
    assert_eq!(server.views.generation(), 1);
    let (id, position) = server.shop.submit("A-9").await;
    let beside = server.views.of_generation(2).unwrap().expect("it can be read before the swap");
    reached(&server.projector, position).await;
    tokio::time::timeout(DEADLINE, async {
        while beside.order(&tenant(), id).unwrap().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it keeps up");
    assert_eq!(server.rebuilds.swap().await.unwrap().state, RebuildState::Done);
    server.check(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_that_differ_raise_an_alarm_and_are_not_swapped() {
    let server = Server::start().await;
    server.miswrite().await;
    server.rebuilds.start(false).await.unwrap();
    let alarm = server.is(RebuildState::Alarm).await;
    assert!(!alarm.compared.expect("they were compared").is_same());
    assert!(alarm.reason.is_some());
    assert_eq!(server.views.generation(), 1, "nothing was swapped");

    // The next process comes to the same end, and a person decides.
    let server = server.restart().await;
    server.is(RebuildState::Alarm).await;
    assert_eq!(server.rebuilds.swap().await.unwrap().state, RebuildState::Done);
    server.check(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_of_another_version_are_replaced_without_an_alarm() {
    let server = Server::start().await;
    server.miswrite().await;
    server.views.store().pretend_version(1, &[7; 32]).unwrap();
    server.rebuilds.start(false).await.unwrap();
    let compared = server.is(RebuildState::Done).await.compared.unwrap();
    assert!(!compared.is_same() && !compared.is_same_version);
    server.check(2).await;
    let refused = server.rebuilds.rollback().await;
    assert!(matches!(refused, Err(RebuildRefused::OtherVersion)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_versions_views_are_served_while_this_versions_are_folded() {
    let server = Server::start().await;
    let (id, position) = server.shop.submit("A-9").await;
    reached(&server.projector, position).await;
    server.miswrite().await;
    server.views.store().pretend_version(1, &[7; 32]).unwrap();
    let shop = server.stop().await;
    let views = shop.views();
    assert_eq!(views.generation(), 1, "they can be read");
    assert!(views.order(&tenant(), id).unwrap().is_some());
    drop(views);
    // Folded by this version into what the other has left.
    shop.submit("A-10").await;
    let server = Server::on(shop).await;
    let compared = server.is(RebuildState::Done).await.compared.unwrap();
    assert!(!compared.is_same() && !compared.is_same_version);
    server.check(2).await;
    let generations = server.views.generations().unwrap();
    assert!(!generations[0].fingerprint_is_current && generations[1].fingerprint_is_current);
    let refused = server.rebuilds.rollback().await;
    assert!(matches!(refused, Err(RebuildRefused::OtherVersion)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_brings_the_generation_before_up_to_date_and_back() {
    let server = Server::start().await;
    server.rebuilds.start(false).await.unwrap();
    server.is(RebuildState::Done).await;
    server.check(2).await;
    server.rebuilds.rollback().await.unwrap();
    let done = server.is(RebuildState::Done).await;
    assert_eq!((done.kind, done.generation), (RebuildKind::Rollback, Some(1)));
    assert!(done.resumed_at > 0, "it goes on from where it stopped");
    server.check(1).await;
    assert_eq!(server.numbers(), [1, 2], "and there and back again");
    server.rebuilds.rollback().await.unwrap();
    server.is(RebuildState::Done).await;
    server.check(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_is_canceled_keeps_the_generation_before() {
    let server = Server::start().await;
    server.rebuilds.start(false).await.unwrap();
    server.is(RebuildState::Done).await;
    server.shop.submit("A-9").await;
    server.journal.next_tail(Fault::SilentFrom(1));
    let last = server.shop.last().await;
    reached(&server.projector, last).await;
    for number in 0..300 {
        server.shop.submit(&format!("C-{number}")).await;
    }
    reached(&server.projector, server.shop.last().await).await;
    server.rebuilds.rollback().await.unwrap();
    assert_eq!(server.rebuilds.cancel().await.unwrap().state, RebuildState::Canceled);
    assert_eq!(server.numbers(), [1, 2]);
    server.check(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_half_folded_from_another_log_fails_and_is_dropped() {
    let server = Server::start().await;
    server.half_way(false).await;
    let shop = server.stop().await;
    // The half-folded rows remember another commit than the one that stands in the log.
    let views = shop.views();
    views.store().generation(2).unwrap().unwrap().forget_hash(0);
    drop(views);
    let server = Server::on(shop).await;
    let failed = server.is(RebuildState::Failed).await;
    assert!(failed.reason.unwrap().contains("is not the one"));
    assert_eq!(server.numbers(), [1]);
    server.check(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_that_is_read_is_not_dropped_under_the_reader() {
    let server = Server::start().await;
    let first = server.views.of_generation(1).unwrap().unwrap();
    let seen = first.orders(None, 100).unwrap();
    for generation in 2..4 {
        server.rebuilds.start(false).await.unwrap();
        server.is(RebuildState::Done).await;
        assert_eq!(server.views.generation(), generation);
    }
    assert_eq!(first.orders(None, 100).unwrap(), seen);
    assert_eq!(server.numbers(), [1, 2, 3]);
    drop(first);
    server.rebuilds.start(false).await.unwrap();
    server.is(RebuildState::Done).await;
    assert_eq!(server.numbers(), [3, 4]);
}
