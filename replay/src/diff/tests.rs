//! Every field of an order that one side has otherwise is named, and nothing else is; what is personal is not shown.

use jiff::Timestamp;
use ledger::ids::{Position, RecordId, TenantId};
use ledger::money::Money;
use ledger::order::{
    Attempt, CaptureMode, Card, Challenge, Checkout, Customer, Dispute, End, Item, Movement, Order,
    PaymentMethod, ReturnUrls, Status, Surface,
};
use projections::compare::{Found, OrderDifference, OrderRows, RowKind};
use projections::views::{CauseSummary, HistoryEntry, OrderView};
use uuid::Uuid;

use super::{Change, Difference, Field, Figures, Sums, Value};

fn euros(minor: i64) -> Money {
    Money::of(minor, "EUR".parse().unwrap()).unwrap()
}

fn position(sequence: u64) -> Position {
    Position { partition: 0, sequence }
}

fn movement(reference: &str, amount_minor: i64) -> Movement {
    Movement { id: None, reference: Some(reference.to_owned()), amount_minor, settled: true, failure: None }
}

/// 10.00 EUR, captured in two parts, 2.50 EUR of it refunded.
fn rows() -> OrderRows {
    let method = PaymentMethod {
        kind: "card".to_owned(),
        token: Some("tok_secret".to_owned()),
        card: Some(Card {
            brand: "visa".to_owned(),
            last_four: "4242".to_owned(),
            holder: Some("Ada Lovelace".to_owned()),
        }),
    };
    let order = Order {
        checkout: Checkout {
            amount: euros(1000),
            merchant_reference: "A-1".to_owned(),
            capture: CaptureMode::Manual,
            payment_method: Some(method.clone()),
            items: Vec::new(),
            customer: Customer { name: Some("Ada Lovelace".to_owned()), ..Customer::default() },
            return_urls: ReturnUrls::default(),
            metadata: Default::default(),
            expires_at: Timestamp::UNIX_EPOCH,
            surface: Surface { name: "v1".to_owned(), data: Default::default() },
        },
        attempts: vec![Attempt {
            number: 1,
            payment_reference: Some("pay-1".to_owned()),
            payment_method: Some(method),
            challenge: None,
            authorized_minor: 1000,
            captures: vec![movement("c-1", 600), movement("c-2", 400)],
            refunds: vec![movement("r-1", 250)],
            disputes: Vec::new(),
            failure: None,
            voided: false,
            authorization_expired: false,
            status: Status::PartiallyRefunded,
        }],
        cancellation_requested: false,
        end: None,
        forgotten: false,
    };
    let entry = |sequence| HistoryEntry {
        position: position(sequence),
        at: Timestamp::UNIX_EPOCH,
        cause: CauseSummary::Timer { name: "t".to_owned() },
        events: Vec::new(),
        status: order.status(),
        balance: order.balance(),
        anomalies: Vec::new(),
    };
    OrderRows {
        history: vec![entry(3), entry(5)],
        opens: false,
        view: OrderView {
            tenant: "demo".parse().unwrap(),
            id: RecordId(Uuid::from_u128(7)),
            order,
            commits: 2,
            first: position(3),
            last: position(5),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            sealed: Vec::new(),
        },
    }
}

fn between(from: Found, to: Found) -> OrderDifference {
    OrderDifference { tenant: "demo".parse().unwrap(), first: position(3), from, to, indexes: Vec::new() }
}

fn order(rows: OrderRows) -> Found {
    Found::Order(Box::new(rows))
}

#[track_caller]
fn check(change: impl FnOnce(&mut OrderRows), expect: &[&str]) {
    let mut other = rows();
    change(&mut other);
    let difference = Difference::of(&between(order(rows()), order(other)));
    assert_eq!(difference.change, Change::Fields);
    let names: Vec<&str> = difference.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, expect);
    let shown = format!("{:?}", difference.fields);
    assert!(!shown.contains("Ada") && !shown.contains("tok_"), "{shown}");
}

fn order_of(rows: &mut OrderRows) -> &mut Order {
    &mut rows.view.order
}

fn attempt(rows: &mut OrderRows) -> &mut Attempt {
    &mut rows.view.order.attempts[0]
}

fn checkout(rows: &mut OrderRows) -> &mut Checkout {
    &mut rows.view.order.checkout
}

#[test]
fn a_field_that_differs_is_named() {
    check(|rows| rows.view.commits = 9, &["commits"]);
    check(|rows| rows.view.last = position(9), &["last"]);
    check(|rows| rows.view.id = RecordId(Uuid::from_u128(8)), &["order_id"]);
    check(|rows| rows.view.created_at = Timestamp::MAX, &["created_at"]);
    check(|rows| rows.view.updated_at = Timestamp::MAX, &["updated_at"]);
    check(|rows| order_of(rows).cancellation_requested = true, &["anomalies", "cancellation_requested"]);
    check(|rows| order_of(rows).end = Some(End::Canceled), &["status", "anomalies", "end"]);
    check(|rows| checkout(rows).merchant_reference = "B".to_owned(), &["checkout.merchant_reference"]);
    check(|rows| checkout(rows).expires_at = Timestamp::MAX, &["checkout.expires_at"]);
    check(|rows| attempt(rows).payment_reference = None, &["attempts.1.payment_reference"]);
    check(|rows| attempt(rows).failure = Some("no".to_owned()), &["anomalies", "attempts.1.failure"]);
    check(|rows| rows.history[0].status = Status::Captured, &["history.0-3.status"]);
    check(|rows| rows.history[1].balance.refunded_minor = 0, &["history.0-5.refunded_minor"]);
    check(|rows| drop(rows.history.remove(0)), &["history.0-3"]);
    check(
        |rows| rows.history.push(HistoryEntry { position: position(6), ..rows.history[0].clone() }),
        &["history.0-6"],
    );
}

#[test]
fn what_is_personal_is_named_and_not_shown() {
    check(|rows| checkout(rows).customer.name = None, &["checkout.customer"]);
    check(
        |rows| drop(checkout(rows).metadata.insert("k".to_owned(), "Ada".to_owned())),
        &["checkout.metadata"],
    );
    check(|rows| checkout(rows).return_urls.success = Some("Ada".to_owned()), &["checkout.return_urls"]);
    check(
        |rows| {
            let item = Item {
                identifier: "Ada".to_owned(),
                name: None,
                quantity: 1,
                unit_price: None,
                parent_identifier: None,
            };
            checkout(rows).items.push(item);
        },
        &["checkout.items"],
    );
    check(
        |rows| drop(checkout(rows).surface.data.insert("k".to_owned(), "Ada".to_owned())),
        &["checkout.surface_data"],
    );
    let holder = |method: &mut Option<PaymentMethod>| {
        let card = method.as_mut().and_then(|method| method.card.as_mut()).unwrap();
        card.holder = None;
    };
    check(|rows| holder(&mut checkout(rows).payment_method), &["checkout.payment_method"]);
    check(|rows| holder(&mut attempt(rows).payment_method), &["attempts.1.payment_method"]);
    check(
        |rows| {
            let challenge = Challenge { url: Some("Ada".to_owned()), html: None, id: None };
            attempt(rows).challenge = Some(challenge);
        },
        &["attempts.1.challenge"],
    );
    check(
        |rows| rows.history[0].cause = CauseSummary::Timer { name: "Ada".to_owned() },
        &["history.0-3.cause"],
    );
}

#[test]
fn money_that_differs_is_named_figure_by_figure_and_summed() {
    let lost = |rows: &mut OrderRows| drop(attempt(rows).captures.remove(0));
    check(
        lost,
        &[
            "captured_minor",
            "balance_minor",
            "available_to_capture_minor",
            "available_to_refund_minor",
            "attempts.1.captures",
        ],
    );
    let (mut wrong, mut disputed) = (rows(), rows());
    lost(&mut wrong);
    let dispute =
        Dispute { reference: "d-1".to_owned(), amount_minor: 100, opened: true, won: false, lost: false };
    attempt(&mut disputed).disputes.push(dispute);
    let captured = |rows: OrderRows| {
        let difference = Difference::of(&between(order(rows), order(self::rows())));
        difference.fields.into_iter().find(|field| field.name == "captured_minor")
    };
    let expected = Field {
        name: "captured_minor".to_owned(),
        from: Some(Value::Minor(400)),
        to: Some(Value::Minor(1000)),
    };
    assert_eq!(captured(wrong.clone()), Some(expected));

    let mut sums = Sums::default();
    sums.add(&between(order(wrong), order(rows())));
    sums.add(&between(order(disputed), order(rows())));
    sums.add(&between(Found::Missing, order(rows())));
    let sums: Vec<_> = sums.iter().map(|(tenant, code, sum)| (tenant.clone(), code, *sum)).collect();
    let demo: TenantId = "demo".parse().unwrap();
    let [(tenant, code, sum)] = &sums[..] else { panic!("{sums:?}") };
    assert_eq!((tenant, *code, sum.orders), (&demo, "EUR", 3));
    let expected = Figures {
        authorized_minor: 1000,
        captured_minor: 600 + 1000,
        refunded_minor: 250,
        charged_back_minor: -100,
        balance_minor: 600 + 100 + 750,
        ..sum.more
    };
    assert_eq!(sum.more, expected);
    assert_eq!((sum.more.capture_pending_minor, sum.more.refund_pending_minor), (0, 0));
}

#[test]
fn an_order_in_two_currencies_counts_in_both() {
    let mut dollars = rows();
    checkout(&mut dollars).amount = Money::of(1000, "USD".parse().unwrap()).unwrap();
    let mut sums = Sums::default();
    sums.add(&between(order(rows()), order(dollars)));
    let balances: Vec<_> =
        sums.iter().map(|(_, code, sum)| (code, sum.orders, sum.more.balance_minor)).collect();
    assert_eq!(balances, [("EUR", 1, -750), ("USD", 1, 750)]);
}

#[test]
fn an_order_of_one_side_only_says_which() {
    let only = |from, to| {
        let difference = Difference::of(&between(from, to));
        (difference.change, difference.order, difference.fields.len() > 1)
    };
    let id = Some(RecordId(Uuid::from_u128(7)));
    assert_eq!(only(order(rows()), Found::Missing), (Change::OnlyFrom, id, true));
    assert_eq!(only(Found::Missing, order(rows())), (Change::OnlyTo, id, true));
}

#[test]
fn what_cannot_be_read_or_has_no_order_is_still_named() {
    let unreadable = Difference::of(&between(Found::Unreadable("why".to_owned()), order(rows())));
    assert_eq!((unreadable.change, unreadable.fields.len()), (Change::Unreadable, 1));
    let shown = format!("{:?}", unreadable.fields[0].from);
    assert!(shown.contains("cannot be read by this version") && shown.contains("why"), "{shown}");

    let stray = OrderDifference { indexes: vec![RowKind::Expiry], ..between(Found::Missing, Found::Missing) };
    let stray = Difference::of(&stray);
    assert_eq!((stray.change, stray.order), (Change::IndexOnly, None));
    assert_eq!(stray.fields[0].name, "index.expiry");

    // Bytes of another version that say the same.
    let encoding = Difference::of(&between(order(rows()), order(rows())));
    assert_eq!(encoding.fields[0].name, "encoding");
}
