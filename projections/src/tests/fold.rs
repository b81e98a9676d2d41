//! Whatever the log holds, the views depend on it alone: not on where batches are cut, not on how partitions are
//! interleaved, not on what is kept in memory between.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use ledger::codec;
use ledger::commit::{Cause, Changes, Commit, Recorded};
use ledger::ids::{CaptureId, CommitId, Position, RecordId, RefundId, TenantId};
use ledger::journal::Subject;
use ledger::order::{Challenge, Command, Fact, Order, decide, evolve};
use proptest::prelude::*;
use uuid::Uuid;

use super::{at, captured, checkout, euros, keyed, notification, open, webhook};
use crate::store::{Entry, Writer};
use crate::{Digest, Views, ViewsDigest};

/// A command for one of a few orders; most that make no sense are refused, and leave no commit.
#[derive(Debug, Clone)]
struct Step {
    order: u8,
    action: u8,
    attempt: u8,
    minor: i64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..5_u8, 0..14_u8, 0..2_u8, 1..1500_i64).prop_map(|(order, action, attempt, minor)| Step {
        order,
        action,
        attempt,
        minor,
    });
    prop::collection::vec(step, 1..60)
}

/// The commits that the steps make, in a log of two partitions.
fn log(steps: &[Step]) -> Vec<Entry> {
    let tenants: [TenantId; 2] = ["demo".parse().unwrap(), "other".parse().unwrap()];
    let mut orders: HashMap<RecordId, Order> = HashMap::new();
    let mut ends = [0_u64; 2];
    let mut entries = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let id = RecordId(Uuid::from_u128(u128::from(step.order) + 1));
        let tenant = tenants[usize::from(step.order) % 2].clone();
        let (cause, command) = request(index, step);
        let Ok(events) = decide(orders.get(&id), &command) else { continue };
        if events.is_empty() {
            continue;
        }
        let mut order = orders.remove(&id);
        for event in &events {
            order = Some(evolve(order, event).unwrap());
        }
        orders.extend(order.map(|order| (id, order)));
        let partition = Subject { tenant: tenant.clone(), id }.partition(2);
        let sequence = &mut ends[usize::from(partition)];
        *sequence += 1;
        let commit = Commit {
            id: CommitId(Uuid::from_u128(index as u128)),
            tenant,
            record: id,
            decided_at: at(index as i64),
            cause,
            changes: Changes::Order(events),
        };
        let bytes = Bytes::from(codec::encode(&commit));
        let position = Position { partition, sequence: *sequence };
        entries.push(Entry { recorded: Recorded { position, commit }, sealed: None, bytes });
    }
    entries
}

fn request(index: usize, step: &Step) -> (Cause, Command) {
    let key = format!("key-{index}");
    let id = Uuid::from_u128(index as u128);
    let amount = euros(step.minor);
    let payment = format!("pay-{}-{}", step.order, step.attempt);
    let fact = |fact| (webhook(&key), notification(&payment, fact));
    let reference = format!("ref-{index}");
    let reason = || "because".to_owned();
    match step.action {
        0..=3 => {
            let shared = format!("A-{}", step.order / 2);
            (keyed("checkout", &key), Command::Submit(Box::new(checkout(&shared, euros(1000)))))
        }
        4 => fact(Fact::Authorized { amount }),
        5 => fact(captured(&reference, amount)),
        6 => fact(Fact::Failed { reason: reason() }),
        7 => fact(Fact::RefundSettled { refund_id: None, reference, amount }),
        8 => fact(Fact::ChargebackOpened { reference, amount, reason: reason() }),
        9 => fact(Fact::ActionRequired { challenge: Challenge::default() }),
        10 => {
            let command = Command::Refund { id: RefundId(id), amount: Some(amount), reason: None };
            (keyed("refund", &key), command)
        }
        11 => (keyed("cancel", &key), Command::Cancel),
        12 => {
            let command = Command::Capture { id: CaptureId(id), amount: Some(amount) };
            (keyed("capture", &key), command)
        }
        _ => (Cause::Timer { name: "expiry".to_owned() }, Command::Expire { now: at(i64::from(u16::MAX)) }),
    }
}

/// Folds the log in batches of the given sizes, over and over; `forget` starts a new writer with every batch.
fn fold(entries: Vec<Entry>, sizes: &[usize], forget: bool) -> (ViewsDigest, tempfile::TempDir, Views) {
    let dir = tempfile::tempdir().unwrap();
    let views = open(&dir.path().join("views"));
    let new = || Writer::new(Arc::clone(views.store()), views.store().live());
    let mut writer = new();
    let mut rest = entries;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let after = rest.split_off((*size).min(rest.len()));
        assert_eq!(writer.write(&rest).unwrap(), None);
        assert_eq!(views.digest(), views.digest_by_scan().unwrap(), "after each batch");
        if forget {
            writer = new();
        }
        rest = after;
    }
    (views.digest_by_scan().unwrap(), dir, views)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn batches_of_any_size_leave_the_same_rows_as_one_by_one(
        steps in steps(),
        sizes in prop::collection::vec(1..40_usize, 1..8),
    ) {
        let (one_by_one, _dir, _views) = fold(log(&steps), &[1], true);
        let (in_batches, _dir, _views) = fold(log(&steps), &sizes, false);
        prop_assert_eq!(&one_by_one, &in_batches);
        let (with_new_writers, _dir, _views) = fold(log(&steps), &sizes, true);
        prop_assert_eq!(one_by_one, with_new_writers);
    }

    #[test]
    fn partitions_folded_one_after_the_other_leave_the_same_rows_as_side_by_side(steps in steps()) {
        let (side_by_side, _dir, _views) = fold(log(&steps), &[3], false);
        let mut sorted = log(&steps);
        sorted.sort_by_key(|entry| entry.recorded.position);
        let (one_after_the_other, _dir, _views) = fold(sorted, &[7], false);
        prop_assert_eq!(side_by_side, one_after_the_other);
    }

    #[test]
    fn totals_and_lists_agree_with_the_orders(steps in steps()) {
        let (_, _dir, views) = fold(log(&steps), &[4], false);
        for tenant in ["demo", "other"] {
            let tenant: TenantId = tenant.parse().unwrap();
            let all = views.list(&tenant, &Default::default(), None, 100).unwrap().orders;
            let balance: i128 = all.iter().map(|view| i128::from(view.order.balance().balance_minor)).sum();
            let totals = views.totals(&tenant).unwrap();
            prop_assert_eq!(totals.iter().map(|(_, totals)| totals.balance_minor).sum::<i128>(), balance);
            prop_assert_eq!(totals.iter().map(|(_, totals)| totals.orders).sum::<i64>(), all.len() as i64);
            for view in &all {
                prop_assert_eq!(views.order(&tenant, view.id).unwrap(), Some(view.clone()));
                let last = views.history(&tenant, view.id).unwrap().pop().unwrap();
                prop_assert_eq!(last.position, view.last);
                prop_assert_eq!(last.status, view.order.status());
                prop_assert_eq!(last.balance, view.order.balance());
            }
        }
    }
}

#[test]
fn an_impossible_event_stops_the_fold_in_front_of_it() {
    let submit = Step { order: 0, action: 0, attempt: 0, minor: 1 };
    let mut entries =
        log(&[submit.clone(), Step { order: 2, ..submit.clone() }, Step { order: 4, ..submit }]);
    let again = |entry: &Entry, sequence: u64| {
        let position = Position { sequence, ..entry.recorded.position };
        let recorded = Recorded { position, ..entry.recorded.clone() };
        Entry { recorded, sealed: None, bytes: entry.bytes.clone() }
    };
    for (sequence, entry) in (1..).zip(&mut entries) {
        entry.recorded.position = Position { partition: 0, sequence };
    }
    let second = again(&entries[0], 3);
    entries.insert(2, second);
    entries[3].recorded.position.sequence = 4;

    let dir = tempfile::tempdir().unwrap();
    let views = open(&dir.path().join("views"));
    let mut writer = Writer::new(Arc::clone(views.store()), views.store().live());
    let stopped = writer.write(&entries).unwrap().unwrap();
    assert_eq!(stopped.position, Position { partition: 0, sequence: 3 });
    assert!(stopped.reason.contains("submitted a second time"), "{}", stopped.reason);
    assert_eq!(views.checkpoint(0), 2);
    entries.truncate(2);
    let (expected, _dir, _views) = fold(entries, &[1], false);
    assert_eq!(views.digest_by_scan().unwrap(), expected);
    assert_eq!(views.digest(), expected);
    assert_ne!(expected.digest, Digest::default());
}
