//! Copies between numbers of partitions, over random logs whose clocks go back and forth.

mod streams;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ledger::codec;
use ledger::ids::{CommitId, RecordId, TenantId};
use ledger::journal::{Stored, Subject};
use projections::ScratchViews;
use projections::compare::{Disagreement, Meaning, compare_meaning};
use proptest::prelude::*;

use super::*;
use crate::as_of::tests::properties::{log, steps};
use streams::Streams;

type Chains = BTreeMap<(TenantId, RecordId), Vec<Bytes>>;

/// Each record's commits in their order, as a journal has them.
fn chains(journal: &Streams) -> Chains {
    let mut chains = Chains::new();
    for stored in journal.all().into_iter().flatten() {
        chains.entry((stored.subject.tenant, stored.subject.id)).or_default().push(stored.bytes);
    }
    chains
}

async fn copy(source: &Streams, target: &Streams) -> Result<u64, CopyError> {
    catch_up_repartitioned(source, target, |_| {}).await
}

async fn proven(source: &Streams, target: &Streams, wanted: Wanted) -> Result<ChainComparison, CopyError> {
    compare_chains(source, target, wanted, |_| {}).await
}

fn add(journal: &Streams, commits: &[ledger::commit::Recorded]) {
    for recorded in commits {
        journal.add(recorded.commit.subject(), codec::encode_sealed(&recorded.commit, None));
    }
}

fn folded(journal: &Streams) -> ScratchViews {
    let mut views = ScratchViews::new().unwrap();
    let read = |stored: Stored| {
        let (commit, sealed) = codec::decode_sealed(&stored.bytes).unwrap();
        (ledger::commit::Recorded { position: stored.position, commit }, sealed, stored.bytes)
    };
    let impossible = views.fold(journal.all().into_iter().flatten().map(read)).unwrap();
    assert_eq!(impossible, []);
    views
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Copied while it grows, and cut short in the middle: every record has its commits, in their order, once; and what is
    /// folded from either side says the same.
    #[test]
    fn a_copy_into_any_number_of_partitions_has_every_chain(
        steps in steps(),
        from in 1_u16..5,
        to in 1_u16..5,
        grown in 0_usize..60,
        room in 0_usize..60,
    ) {
        let (source, target) = (Streams::new(from), Streams::new(to));
        let commits = log(&steps);
        let (early, late) = commits.split_at(grown.min(commits.len()));
        add(&source, early);
        runtime().block_on(async {
            target.with_room_for(room);
            let first = copy(&source, &target).await;
            let cut_short = matches!(first, Err(CopyError::Append { .. }));
            assert_eq!(cut_short, room < early.len());
            add(&source, late);
            target.with_room_for(usize::MAX);
            copy(&source, &target).await.unwrap();
            assert_eq!(copy(&source, &target).await.unwrap(), 0);
            let comparison = proven(&source, &target, Wanted::default()).await.unwrap();
            assert_eq!(comparison.commits, commits.len() as u64);
        });
        prop_assert_eq!(chains(&source), chains(&target));
        let meaning = compare_meaning(folded(&source).views(), folded(&target).views()).unwrap();
        prop_assert_eq!(meaning, Meaning { orders: chains(&source).len() as u64, disagreements: BTreeSet::new() });
    }

    /// One commit less, and the two do not mean the same, whichever of them lacks it.
    #[test]
    fn a_commit_that_is_missing_is_seen(steps in steps().prop_filter("a log", |steps| !steps.is_empty())) {
        let (whole, shorter) = (Streams::new(1), Streams::new(3));
        let commits = log(&steps);
        let (last, others) = commits.split_last().unwrap();
        add(&whole, &commits);
        add(&shorter, others);
        let (whole, shorter) = (folded(&whole), folded(&shorter));
        let Subject { tenant, id } = last.commit.subject();
        for (from, to) in [(&whole, &shorter), (&shorter, &whole)] {
            let found = compare_meaning(from.views(), to.views()).unwrap().disagreements;
            prop_assert!(found.contains(&Disagreement::Order(tenant.clone(), id)), "{found:?}");
        }
    }

    /// A reader who goes on where it is told misses nothing; from one partition, it reads nothing twice either.
    #[test]
    fn a_place_in_one_log_is_found_in_the_other(
        steps in steps(),
        from in 1_u16..4,
        to in 1_u16..4,
        come in proptest::collection::vec(0_u64..30, 3),
    ) {
        let (source, target) = (Streams::new(from), Streams::new(to));
        add(&source, &log(&steps));
        let ends: Vec<u64> = source.all().iter().zip(&come).map(|(all, come)| *come.min(&(all.len() as u64))).collect();
        let commits: BTreeSet<Position> = source.all().iter().flatten().map(|stored| stored.position).collect();
        let (places, looked_up) = runtime().block_on(async {
            copy(&source, &target).await.unwrap();
            let wanted = Wanted { commits: commits.clone(), readers: vec![ends.clone()] };
            let places = proven(&source, &target, wanted.clone()).await.unwrap().places;
            (places, find_places(&source, &target, wanted).await.unwrap())
        });
        prop_assert_eq!(&places, &looked_up);
        let by_position = |journal: &Streams| -> BTreeMap<Position, Bytes> {
            journal.all().into_iter().flatten().map(|stored| (stored.position, stored.bytes)).collect()
        };
        let (here, there) = (by_position(&source), by_position(&target));
        prop_assert_eq!(places.commits.len(), commits.len());
        for (one, other) in &places.commits {
            prop_assert_eq!(&here[one], &there[other]);
        }
        let read = |ends: &[u64], log: &BTreeMap<Position, Bytes>| -> BTreeSet<Bytes> {
            let is_read = |position: &Position| position.sequence <= ends[usize::from(position.partition)];
            log.iter().filter(|(position, _)| is_read(position)).map(|(_, bytes)| bytes.clone()).collect()
        };
        let (before, after) = (read(&ends, &here), read(&places.readers[0], &there));
        prop_assert!(after.is_subset(&before));
        if from == 1 {
            prop_assert_eq!(before, after);
        }
    }
}

fn subject(number: u128) -> Subject {
    Subject { tenant: "demo".parse().unwrap(), id: RecordId(uuid::Uuid::from_u128(number)) }
}

/// A log of one partition in which every order has two commits.
fn source(orders: u128) -> Streams {
    let journal = Streams::new(1);
    for part in 0..2 {
        for order in 0..orders {
            journal.add(subject(order), commit_bytes(order, part));
        }
    }
    journal
}

fn commit_bytes(order: u128, part: i64) -> Vec<u8> {
    let Subject { tenant, id: record } = subject(order);
    let commit = ledger::commit::Commit {
        id: CommitId(uuid::Uuid::from_u128(order * 2 + part as u128)),
        tenant,
        record,
        decided_at: jiff::Timestamp::from_second(1_800_000_000 + part).unwrap(),
        cause: ledger::commit::Cause::Timer { name: "test".to_owned() },
        changes: ledger::commit::Changes::Order(vec![ledger::order::Event::OrderExpired]),
    };
    codec::encode(&commit)
}

#[tokio::test]
async fn what_is_not_the_source_is_found() {
    let source = source(20);
    let copied = async || {
        let target = Streams::new(3);
        copy(&source, &target).await.unwrap();
        target
    };
    let differs = async |target: &Streams| match proven(&source, target, Wanted::default()).await {
        Err(CopyError::Differs { position }) => position.to_string(),
        other => panic!("{other:?}"),
    };
    // One byte; two commits of one order exchanged; one less; one twice.
    let target = copied().await;
    target.change(1, |stored| stored[4].bytes = [&stored[4].bytes[..], b" "].concat().into());
    assert_eq!(differs(&target).await, "1-5");
    let target = copied().await;
    target.change(1, |stored| {
        let second = stored.iter().rposition(|other| other.subject == stored[0].subject).unwrap();
        let bytes = stored[second].bytes.clone();
        stored[second].bytes = std::mem::replace(&mut stored[0].bytes, bytes);
    });
    assert_eq!(differs(&target).await, "1-1");
    let target = copied().await;
    let mut end = 0;
    target.change(2, |stored| {
        stored.pop();
        end = stored.len() as u64;
    });
    assert_eq!(differs(&target).await, format!("2-{}", end + 1));
    let target = copied().await;
    let again = target.all()[0][0].clone();
    target.add(again.subject, again.bytes.to_vec());
    assert!(differs(&target).await.starts_with("0-"));
}

#[tokio::test]
async fn a_wrong_target_is_refused_before_anything_is_added() {
    let log = source(20);
    let refused = async |target: &Streams, word: &str| {
        let before = target.all();
        let error = copy(&log, target).await.unwrap_err().to_string();
        assert!(error.contains("is not a copy of the source") && error.contains(word), "{error}");
        assert_eq!(target.all(), before);
    };
    let target = Streams::new(3);
    add_one(&target, 100);
    refused(&target, "no note").await;
    // A copy that goes on by itself.
    let target = Streams::new(3);
    copy(&log, &target).await.unwrap();
    add_one(&target, 100);
    refused(&target, "goes on by itself").await;
    // A copy of another log, of a longer one, and of one that was partitioned otherwise.
    let target = Streams::new(3);
    copy(&source(19), &target).await.unwrap();
    refused(&target, "another log").await;
    let target = Streams::new(3);
    copy(&source(21), &target).await.unwrap();
    refused(&target, "another log").await;
    let (target, other) = (Streams::new(3), Streams::new(2));
    add_one(&other, 1);
    copy(&other, &target).await.unwrap();
    refused(&target, "from 2 partition(s)").await;
}

fn add_one(journal: &Streams, order: u128) {
    journal.add(subject(order), commit_bytes(order, 0));
}

#[tokio::test]
async fn partitions_are_merged_by_time_then_by_partition() {
    let (source, target) = (Streams::new(3), Streams::new(1));
    // Decided at 3, 1, 3, 2, 1 and so on: within a partition nothing is moved, whatever the clock said.
    for order in 0..30 {
        source.add(subject(order), commit_bytes(order, [3, 1, 3, 2, 1, 2][order as usize % 6]));
    }
    copy(&source, &target).await.unwrap();
    let mut heads = source.all();
    heads.iter_mut().for_each(|partition| partition.reverse());
    let mut merged = Vec::new();
    let decided_at = |stored: &Stored| codec::decode(&stored.bytes).unwrap().decided_at;
    while let Some(next) =
        (0..3).filter(|&p| !heads[p].is_empty()).min_by_key(|&p| decided_at(heads[p].last().unwrap()))
    {
        merged.push(heads[next].pop().unwrap().bytes);
    }
    assert_eq!(target.all()[0].iter().map(|stored| stored.bytes.clone()).collect::<Vec<_>>(), merged);
}
