//! Snapshots against folds by hand, over random logs: several tenants, partitions and clocks.

use std::collections::{BTreeMap, BTreeSet};

use ledger::accounts::{TrialBalance, postings};
use ledger::commit::Commit;
use ledger::ids::CommitId;
use ledger::journal::Subject;
use ledger::money::Currency;
use ledger::order::{Fact, Notification, decide, evolve};
use projections::views::{ListFilter, Totals};
use proptest::prelude::*;
use uuid::Uuid;

use super::super::{Cut, Snapshot};
use super::*;

const PARTITIONS: u16 = 3;

/// What may happen next: to which of a few orders, what, and how the clock of the node that decides it stands.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    order: u8,
    command: Command,
    /// Seconds by which this node's clock is off.
    skew: i64,
}

fn command() -> impl Strategy<Value = Command> {
    let reference = || (1_u8..4).prop_map(|n| format!("ref-{n}"));
    let minor = || 1_i64..150;
    let fact = prop_oneof![
        minor().prop_map(|minor| Fact::Authorized { amount: euros(minor) }),
        (reference(), minor()).prop_map(|(reference, minor)| Fact::Captured {
            capture_id: None,
            reference,
            amount: euros(minor)
        }),
        (reference(), minor()).prop_map(|(reference, minor)| Fact::CaptureFailed {
            capture_id: None,
            reference,
            amount: euros(minor),
            reason: "no".to_owned()
        }),
        (reference(), minor()).prop_map(|(reference, minor)| Fact::RefundSettled {
            refund_id: None,
            reference,
            amount: euros(minor)
        }),
        (reference(), minor()).prop_map(|(reference, minor)| Fact::ChargebackOpened {
            reference,
            amount: euros(minor),
            reason: "no".to_owned()
        }),
        Just(Fact::Failed { reason: "no".to_owned() }),
        Just(Fact::Voided),
    ];
    prop_oneof![
        5 => fact.prop_map(|fact| Command::Record(Notification {
            payment_reference: Some("pay".to_owned()),
            attempt: None,
            fact,
        })),
        1 => (1_u128..9).prop_map(|n| Command::Refund {
            id: ledger::ids::RefundId(Uuid::from_u128(n)),
            amount: Some(euros(1)),
            reason: None,
        }),
        1 => Just(Command::Cancel),
    ]
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step =
        (0_u8..8, command(), -3_i64..=3).prop_map(|(order, command, skew)| Step { order, command, skew });
    proptest::collection::vec(step, 0..60)
}

fn euros(minor: i64) -> Money {
    Money::of(minor, "EUR".parse().unwrap()).unwrap()
}

/// Even orders are one tenant's, in euros and yen; odd ones are another's.
fn subject(order: u8) -> Subject {
    let tenant = if order.is_multiple_of(2) { "even" } else { "odd" };
    let id = RecordId(Uuid::from_u128(u128::from(order) + 1));
    Subject { tenant: tenant.parse().unwrap(), id }
}

/// The log that the steps write, in the order in which it was written. A step on an order that is not there yet
/// submits it instead.
pub(crate) fn log(steps: &[Step]) -> Vec<Recorded> {
    let mut orders: BTreeMap<u8, Order> = BTreeMap::new();
    let mut ends = [0; PARTITIONS as usize];
    let mut log = Vec::new();
    for (second, Step { order, command, skew }) in (0..).zip(steps) {
        let before = orders.remove(order);
        let submit = Command::Submit(Box::new(checkout(*order)));
        let asked = if before.is_some() { command } else { &submit };
        let events = decide(before.as_ref(), asked).unwrap_or_default();
        let after = events.iter().fold(before, |order, event| Some(evolve(order, event).unwrap()));
        orders.extend(after.map(|after| (*order, after)));
        if events.is_empty() {
            continue;
        }
        let Subject { tenant, id: record } = subject(*order);
        let partition = Subject { tenant: tenant.clone(), id: record }.partition(PARTITIONS);
        ends[usize::from(partition)] += 1;
        let commit = Commit {
            id: CommitId(Uuid::from_u128(second)),
            tenant,
            record,
            decided_at: at(i64::try_from(second).unwrap() + skew),
            cause: Cause::Timer { name: "test".to_owned() },
            changes: Changes::Order(events),
        };
        log.push(Recorded {
            position: Position { partition, sequence: ends[usize::from(partition)] },
            commit,
        });
    }
    log
}

fn checkout(order: u8) -> Checkout {
    let currency = if order.is_multiple_of(4) { "JPY" } else { "EUR" };
    Checkout {
        amount: Money::of(100, currency.parse().unwrap()).unwrap(),
        merchant_reference: format!("A-{}", order / 2),
        capture: CaptureMode::Automatic,
        payment_method: None,
        items: Vec::new(),
        customer: Default::default(),
        return_urls: Default::default(),
        metadata: Default::default(),
        expires_at: at(1000),
        surface: Default::default(),
    }
}

/// The moments worth asking for: each commit's time and position, and before and after everything.
fn moments(log: &[Recorded]) -> Vec<Moment> {
    let mut moments = vec![Moment::NOW, Moment(Cut::Time(at(-100))), Moment(Cut::Time(at(1000)))];
    for Recorded { position, commit } in log {
        moments.push(Moment(Cut::Time(commit.decided_at)));
        moments.push(Moment(Cut::Position { position: *position, elsewhere: Some(commit.decided_at) }));
    }
    moments
}

/// The commits of one order up to a moment, by the words of the documentation.
fn prefix<'a>(log: &'a [Recorded], subject: &Subject, moment: Moment) -> Vec<&'a Recorded> {
    let mut prefix = Vec::new();
    for recorded in log.iter().filter(|recorded| recorded.commit.subject() == *subject) {
        let (position, decided_at) = (recorded.position, recorded.commit.decided_at);
        let is_later = match moment.0 {
            Cut::Now => false,
            Cut::Time(time) => decided_at > time,
            Cut::Position { position: cut, .. } if cut.partition == position.partition => {
                position.sequence > cut.sequence
            }
            Cut::Position { elsewhere, .. } => decided_at > elsewhere.unwrap(),
        };
        if is_later {
            break;
        }
        prefix.push(recorded);
    }
    prefix
}

/// An order's views after each of its commits up to a moment, and its books, posted commit by commit.
fn folded(commits: &[&Recorded]) -> (Option<OrderView>, TrialBalance) {
    let (mut view, mut books) = (None::<OrderView>, TrialBalance::default());
    for recorded in commits {
        let figures = |view: &Option<OrderView>| {
            view.as_ref().map(|view| (&view.order.balance()).into()).unwrap_or_default()
        };
        let before = figures(&view);
        view = Some(order::apply(view, recorded).unwrap());
        postings(&before, &figures(&view)).into_iter().for_each(|posting| books.post(posting));
    }
    (view, books)
}

/// The commits in the order in which partitions might be read: one after the other, or side by side.
fn as_read(log: &[Recorded], is_interleaved: bool) -> Vec<&Recorded> {
    let mut read: Vec<&Recorded> = log.iter().collect();
    if !is_interleaved {
        read.sort_by_key(|recorded| recorded.position);
    }
    read
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_as_of_a_moment_is_a_fold_of_the_prefix(steps in steps(), is_interleaved in any::<bool>()) {
        let log = log(&steps);
        let subjects: BTreeSet<u8> = steps.iter().map(|step| step.order).collect();
        for (moment, tenant) in moments(&log).into_iter().flat_map(|moment| [(moment, "even"), (moment, "odd")]) {
            let tenant: TenantId = tenant.parse().unwrap();
            let mut snapshot = Snapshot::new(moment);
            for recorded in as_read(&log, is_interleaved) {
                if recorded.commit.tenant == tenant {
                    snapshot.apply(recorded).unwrap();
                }
            }
            let (mut totals, mut books) = (BTreeMap::<Currency, Totals>::new(), BTreeMap::<Currency, TrialBalance>::new());
            let mut listed = Vec::new();
            for subject in subjects.iter().map(|order| subject(*order)).filter(|subject| subject.tenant == tenant) {
                let (Some(view), posted) = folded(&prefix(&log, &subject, moment)) else { continue };
                let (currency, of_order) = Totals::of(&view.order);
                *totals.entry(currency).or_default() += of_order;
                *books.entry(currency).or_default() += posted;
                listed.push(view);
            }
            prop_assert_eq!(&snapshot.totals(), &totals, "{:?}", moment);
            let found = snapshot.trial_balances();
            prop_assert!(found.values().all(TrialBalance::is_balanced));
            prop_assert_eq!(&found, &books, "{:?}", moment);
            let of_totals = |totals: &Totals| TrialBalance::of(&totals.into());
            let from_totals: BTreeMap<Currency, TrialBalance> =
                totals.iter().map(|(&currency, totals)| (currency, of_totals(totals))).collect();
            prop_assert_eq!(from_totals, books, "the books of the sums are the sums of the books");
            listed.sort_by_key(|view| std::cmp::Reverse((view.first.sequence, view.first.partition)));
            for status in [None, Some(Status::Processing), Some(Status::Captured)] {
                let filter = ListFilter { status, merchant_reference: None };
                let expected: Vec<RecordId> =
                    listed.iter().filter(|view| filter.matches(view)).map(|view| view.id).collect();
                prop_assert_eq!(pages(&snapshot, &filter), expected, "{:?}", moment);
            }
        }
    }
}

/// All pages of a list, two orders at a time.
fn pages(snapshot: &Snapshot, filter: &ListFilter) -> Vec<RecordId> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = snapshot.page(filter, cursor, 2);
        ids.extend(page.ids);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return ids,
        }
    }
}
