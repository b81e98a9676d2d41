//! Rows that were tampered with, one at a time: a comparison names exactly the orders that they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use ledger::ids::{Position, TenantId};
use proptest::prelude::*;
use proptest::sample::Index;

use super::fold::{Step, fold, log, steps};
use super::{Shop, captured, euros, notification, open, reached, webhook};
use crate::compare::{
    Change, Compared, Found, Generations, OrderDifference, RowDifference, RowKind, Seen, Side, SideError,
    Which, compare, fresh,
};
use crate::fold::order_index;
use crate::rules::{Release, Rules, fold_by};
use crate::store::{Entry, StoreOptions, Writer, keys};
use crate::views::ListFilter;
use crate::{StartError, Views, rebuild};

/// What a comparison came upon.
struct Seens {
    compared: Compared,
    orders: Vec<OrderDifference>,
    rows: Vec<RowDifference>,
}

fn compared(from: &Side, to: &Side, tenant: Option<&TenantId>) -> Seens {
    let (mut orders, mut rows) = (Vec::new(), Vec::new());
    let each = |seen| {
        match seen {
            Seen::Order(order) => orders.push(*order),
            Seen::Row(row) => rows.push(row),
            Seen::Progress(_) => {}
        }
        ControlFlow::Continue(())
    };
    let compared = compare(from, to, tenant, each).unwrap().expect("nobody ended it");
    Seens { compared, orders, rows }
}

fn live(views: &Views) -> Side {
    Generations::of(views).side(Which::Live).unwrap()
}

fn tenants() -> [TenantId; 2] {
    ["demo".parse().unwrap(), "other".parse().unwrap()]
}

/// An order's tenant and first position.
type Name = (TenantId, Position);

fn names(orders: &[OrderDifference]) -> Vec<Name> {
    orders.iter().map(|order| (order.tenant.clone(), order.first)).collect()
}

/// Which order each row belongs to, by its key; rows of no order are not in it.
fn owners(views: &Views) -> BTreeMap<Vec<u8>, Name> {
    let mut owners = BTreeMap::new();
    for tenant in tenants() {
        for view in views.list(&tenant, &ListFilter::default(), None, 1000).unwrap().orders {
            let name = (tenant.clone(), view.first);
            owners.insert(keys::orders(&tenant).at(view.first).as_ref().to_vec(), name.clone());
            for part in 0..=view.commits {
                owners.insert(keys::history(&tenant, view.first, part).as_ref().to_vec(), name.clone());
            }
            for (key, _) in order_index(&view) {
                owners.insert(key.as_ref().to_vec(), name.clone());
            }
        }
    }
    owners
}

/// How a row is tampered with.
#[derive(Debug, Clone)]
enum Damage {
    Remove,
    Flip(Index),
    /// As by a version with other rows.
    Garble,
}

fn damage() -> impl Strategy<Value = (Index, Damage)> {
    let how = prop_oneof![Just(Damage::Remove), any::<Index>().prop_map(Damage::Flip), Just(Damage::Garble),];
    (any::<Index>(), how)
}

fn damaged(row: &[u8], damage: &Damage) -> Option<Vec<u8>> {
    match damage {
        Damage::Remove => None,
        Damage::Flip(index) => {
            let mut row = row.to_vec();
            let index = index.index(row.len());
            row[index] ^= 1;
            Some(row)
        }
        Damage::Garble => Some([&[0xff], row].concat()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn exactly_the_orders_whose_rows_were_tampered_with_are_named(
        steps in steps(),
        damages in prop::collection::vec(damage(), 0..6),
    ) {
        let (_, _right_dir, right) = fold(log(&steps), &[7], false);
        let (_, _wrong_dir, wrong) = fold(log(&steps), &[3], false);
        let owners = owners(&right);
        let rows: Vec<_> = right.store().live().rows.rows().map(Result::unwrap).collect();
        let rows: Vec<_> = rows.into_iter().filter(|(key, _)| !keys::is_bookkeeping(key)).collect();
        let mut touched = BTreeSet::new();
        for (index, damage) in damages.iter().filter(|_| !rows.is_empty()) {
            let (key, row) = &rows[index.index(rows.len())];
            touched.insert(key.to_vec());
            wrong.store().live().rows.apply([(key.as_ref(), damaged(row, damage))]).unwrap();
        }
        let expected: BTreeSet<Name> = touched.iter().filter_map(|key| owners.get(key).cloned()).collect();

        let seen = compared(&live(&wrong), &live(&right), None);
        // Tenants in order, then arrival: as the rows lie.
        let mut in_order: Vec<Name> = expected.iter().cloned().collect();
        in_order.sort_by_key(|(tenant, first)| keys::orders(tenant).at(*first));
        prop_assert_eq!(&names(&seen.orders), &in_order);
        prop_assert_eq!(seen.compared.newer, 0);
        let of_no_order: BTreeSet<_> = touched.iter().filter(|key| !owners.contains_key(*key)).collect();
        prop_assert_eq!(seen.rows.len(), of_no_order.len());
        let counts = seen.compared.rows.expect("both sides stand still");
        let counted: u64 = counts.values().map(|c| c.only_from + c.only_to + c.changed).sum();
        prop_assert_eq!(counted, touched.len() as u64);

        for tenant in tenants() {
            let seen = compared(&live(&wrong), &live(&right), Some(&tenant));
            let of_tenant: Vec<Name> = in_order.iter().filter(|(whose, _)| *whose == tenant).cloned().collect();
            prop_assert_eq!(names(&seen.orders), of_tenant);
        }
    }

    #[test]
    fn an_order_with_commits_that_one_side_has_not_seen_is_left_out(
        steps in steps(),
        cut in any::<Index>(),
    ) {
        let entries = log(&steps);
        let cut = cut.index(entries.len() + 1);
        let newer: BTreeSet<_> = entries[cut..].iter().map(|entry| entry.recorded.commit.record).collect();
        let (_, _dir, whole) = fold(log(&steps), &[5], false);
        let mut prefix = entries;
        prefix.truncate(cut);
        let (_, _dir, part) = fold(prefix, &[5], false);
        let seen = compared(&live(&part), &live(&whole), None);
        prop_assert!(seen.orders.is_empty());
        prop_assert_eq!(seen.compared.newer, newer.len() as u64);
        prop_assert_eq!(seen.compared.rows.is_none(), !newer.is_empty());
    }
}

/// Three orders of two tenants.
fn three() -> Vec<Entry> {
    let submit = |order| Step { order, action: 0, attempt: 0, minor: 1 };
    log(&[submit(0), submit(1), submit(2)])
}

#[test]
fn what_is_on_one_side_only_or_cannot_be_read_is_said_to_be() {
    let (_, _dir, right) = fold(three(), &[1], false);
    let (_, _dir, wrong) = fold(three(), &[1], false);
    let orders: Vec<_> = tenants()
        .iter()
        .flat_map(|tenant| right.list(tenant, &ListFilter::default(), None, 10).unwrap().orders)
        .collect();
    let rows = &wrong.store().live().rows;
    let all_of = |index: usize| {
        let name = (orders[index].tenant.clone(), orders[index].first);
        owners(&right).into_iter().filter(move |(_, owner)| *owner == name).map(|(key, _)| (key, None))
    };
    rows.apply(all_of(0)).unwrap();
    let own = |index: usize| keys::orders(&orders[index].tenant).at(orders[index].first);
    rows.apply([(own(1), Some(vec![99]))]).unwrap();

    let seen = compared(&live(&wrong), &live(&right), None);
    let by_name = |index: usize| {
        seen.orders
            .iter()
            .find(|order| order.first == orders[index].first && order.tenant == orders[index].tenant)
    };
    let gone = by_name(0).unwrap();
    assert_eq!(gone.from, Found::Missing);
    assert!(matches!(&gone.to, Found::Order(rows) if rows.view == orders[0] && rows.history.len() == 1));
    assert!(gone.indexes.contains(&RowKind::ByStatus) && gone.indexes.contains(&RowKind::Expiry));
    assert!(matches!(by_name(1).unwrap().from, Found::Unreadable(_)));
    assert!(by_name(2).is_none());
}

#[test]
fn an_order_that_only_an_index_puts_elsewhere_is_named_once() {
    let (_, _dir, right) = fold(three(), &[1], false);
    let (_, _dir, wrong) = fold(three(), &[1], false);
    let [tenant, _] = tenants();
    let view = right.list(&tenant, &ListFilter::default(), None, 1).unwrap().orders.remove(0);
    let moved = order_index(&view).into_iter().flat_map(|(key, row)| {
        let mut stray = key.as_ref().to_vec();
        // Another status, another reference, another day: the position at the end stays.
        stray[view.tenant.as_str().len() + 2] ^= 1;
        [(key.as_ref().to_vec(), None), (stray, Some(row))]
    });
    wrong.store().live().rows.apply(moved).unwrap();
    let seen = compared(&live(&wrong), &live(&right), None);
    assert_eq!(names(&seen.orders), [(tenant, view.first)]);
    assert_eq!(seen.orders[0].from, seen.orders[0].to);
    assert!(seen.orders[0].indexes.len() >= 4, "{:?}", seen.orders[0].indexes);
}

#[test]
fn rows_of_no_order_are_named_in_words() {
    let (_, _dir, right) = fold(three(), &[1], false);
    let (_, _dir, wrong) = fold(three(), &[1], false);
    let [tenant, _] = tenants();
    wrong.store().live().rows.apply([(keys::totals(&tenant, euros(1).currency()), None)]).unwrap();
    let seen = compared(&live(&wrong), &live(&right), None);
    let row = RowDifference {
        kind: RowKind::Totals,
        tenant: Some(tenant.clone()),
        name: "EUR".to_owned(),
        change: Change::OnlyTo,
    };
    assert_eq!((seen.orders.len(), seen.rows), (0, vec![row]));
    let [_, other] = tenants();
    assert!(compared(&live(&wrong), &live(&right), Some(&other)).rows.is_empty());
}

#[test]
fn a_comparison_can_be_ended_early() {
    let (_, _dir, right) = fold(three(), &[1], false);
    let dir = tempfile::tempdir().unwrap();
    let none = open(&dir.path().join("views"));
    let mut writer = Writer::new(Arc::clone(none.store()), none.store().live());
    writer.write(&three()).unwrap();
    let rows: Vec<_> = none.store().live().rows.rows().map(|row| row.unwrap().0).collect();
    let rows = rows.into_iter().filter(|key| !keys::is_bookkeeping(key));
    none.store().live().rows.apply(rows.map(|key| (key, None))).unwrap();
    let mut seen = 0;
    let ended = compare(&live(&none), &live(&right), None, |_| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!((ended.unwrap(), seen), (None, 1));
}

/// A capture that came before is forgotten.
fn forgetful() -> Rules {
    Rules {
        order: |view, recorded| {
            let mut view = crate::views::order::apply(view, recorded)?;
            for attempt in &mut view.order.attempts {
                let kept = attempt.captures.len().saturating_sub(1);
                attempt.captures.drain(..kept);
            }
            Ok(view)
        },
    }
}

#[tokio::test]
async fn a_store_of_an_earlier_release_is_looked_at_as_it_was_left() {
    let shop = Shop::open().await;
    for key in ["A-1", "A-2", "A-3"] {
        let (id, _) = shop.submit(key).await;
        if key != "A-3" {
            let payment = format!("pay-{key}");
            let authorized = notification(&payment, ledger::order::Fact::Authorized { amount: euros(1000) });
            shop.order(id, webhook(&format!("{key}-0")), authorized).await;
            let capture = |n: i32| notification(&payment, captured(&format!("{key}-{n}"), euros(300)));
            shop.order(id, webhook(&format!("{key}-1")), capture(1)).await;
            if key == "A-2" {
                shop.order(id, webhook(&format!("{key}-2")), capture(2)).await;
            }
        }
    }
    let journal = shop.journal.as_ref();
    fold_by(forgetful(), journal, &shop.views_path(), Release::Earlier).await.unwrap();

    let look = || Generations::open(&shop.views_path(), &StoreOptions::default()).unwrap().expect("a store");
    for _ in 0..2 {
        let generations = look();
        let from = generations.side(Which::Live).unwrap();
        assert_eq!((from.number(), from.is_of_this_version()), (Some(1), false));
        assert!(matches!(generations.side(Which::Previous), Err(SideError::Missing(Which::Previous))));
        assert!(matches!(generations.side(Which::Number(7)), Err(SideError::Missing(Which::Number(7)))));
        let to = fresh(journal, &from, |_| {}).await.unwrap();
        let seen = compared(&from, &to, None);
        assert_eq!(seen.orders.len(), 1, "looking changes nothing");
        let captured = |found: &Found| match found {
            Found::Order(rows) => rows.view.order.balance().captured_minor,
            Found::Missing | Found::Unreadable(_) => panic!("it is there"),
        };
        assert_eq!((captured(&seen.orders[0].from), captured(&seen.orders[0].to)), (300, 600));
    }

    rebuild(journal, &shop.views_path(), &StoreOptions::default(), |_| {}).await.unwrap();
    let views = shop.views();
    let generations = Generations::of(&views);
    let (from, to) = (generations.side(Which::Previous).unwrap(), generations.side(Which::Live).unwrap());
    assert_eq!((from.number(), from.is_of_this_version()), (Some(1), false));
    assert_eq!((to.number(), to.is_of_this_version()), (Some(2), true));
    assert_eq!(compared(&from, &to, None).orders.len(), 1);
}

#[tokio::test]
async fn a_log_that_the_views_were_not_folded_from_is_refused() {
    let shop = Shop::open().await;
    shop.fill().await;
    fold_by(Rules::default(), shop.journal.as_ref(), &shop.views_path(), Release::This).await.unwrap();
    let views = shop.views();
    for longer in [false, true] {
        let other = Shop::open().await;
        other.submit("B-1").await;
        if longer {
            other.fill().await;
        }
        let refused = fresh(other.journal.as_ref(), &live(&views), |_| {}).await.err();
        assert!(matches!(refused, Some(SideError::Log(StartError::LogWentBackwards(_)))), "{refused:?}");
    }
}

#[test]
fn where_there_is_no_store_there_is_nothing_to_look_at() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("views");
    assert!(Generations::open(&path, &StoreOptions::default()).unwrap().is_none());
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_that_go_on_being_written_differ_in_nothing_but_what_is_newer() {
    let shop = Arc::new(Shop::open().await);
    let views = shop.views();
    let projector = shop.projector(&views).await;
    for number in 0..40 {
        shop.submit(&format!("A-{number}")).await;
    }
    reached(&projector, shop.last().await).await;
    let writing = {
        let shop = Arc::clone(&shop);
        tokio::spawn(async move {
            for number in 0..40 {
                shop.settle(&format!("A-{number}")).await;
                shop.submit(&format!("B-{number}")).await;
            }
        })
    };
    let mut newer = 0;
    while !writing.is_finished() {
        let from = live(&views);
        let to = fresh(shop.journal.as_ref(), &from, |_| {}).await.unwrap();
        let seen = tokio::task::spawn_blocking(move || compared(&from, &to, None)).await.unwrap();
        assert_eq!(names(&seen.orders), []);
        newer += seen.compared.newer;
    }
    writing.await.unwrap();
    assert!(newer > 0, "some comparison saw the views move");
    projector.shutdown().await.unwrap();
}
