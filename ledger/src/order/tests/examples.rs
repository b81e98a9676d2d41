//! Given these reports, when this is asked, then that.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{about, after, checkout, eur, expiry, fold, submitted};
use crate::ids::{CaptureId, RefundId};
use crate::order::{
    Anomaly, CaptureMode, Challenge, Command, Event, Fact, Order, Rejection, Status, decide, evolve,
};

fn authorized(amount: i64) -> Command {
    about("pay", Fact::Authorized { amount: eur(amount) })
}

fn captured(reference: &str, amount: i64) -> Command {
    captured_by("pay", reference, amount)
}

fn captured_by(payment: &str, reference: &str, amount: i64) -> Command {
    about(payment, Fact::Captured { capture_id: None, reference: reference.to_owned(), amount: eur(amount) })
}

fn refunded(reference: &str, amount: i64) -> Command {
    about(
        "pay",
        Fact::RefundSettled { refund_id: None, reference: reference.to_owned(), amount: eur(amount) },
    )
}

fn declined() -> Command {
    about("pay", Fact::Failed { reason: "card_declined".to_owned() })
}

fn refund(id: u128, amount: i64) -> Command {
    Command::Refund { id: RefundId(Uuid::from_u128(id)), amount: Some(eur(amount)), reason: None }
}

fn capture(id: u128, amount: i64) -> Command {
    Command::Capture { id: CaptureId(Uuid::from_u128(id)), amount: Some(eur(amount)) }
}

fn automatic(commands: &[Command]) -> Order {
    after(submitted(CaptureMode::Automatic), commands)
}

fn manual(commands: &[Command]) -> Order {
    after(submitted(CaptureMode::Manual), commands)
}

#[track_caller]
fn refuses(order: &Order, command: &Command, expect: Rejection) {
    assert_eq!(decide(Some(order), command), Err(expect));
}

#[test]
fn a_payment_goes_from_processing_to_refunded() {
    let challenge = about("pay", Fact::ActionRequired { challenge: Challenge::default() });
    let steps = [
        (challenge, Status::ActionRequired, 0),
        (authorized(100), Status::Authorized, 0),
        (captured("c1", 40), Status::PartiallyCaptured, 40),
        (captured("c2", 60), Status::Captured, 100),
        (refunded("r1", 30), Status::PartiallyRefunded, 70),
        (refunded("r2", 70), Status::Refunded, 0),
    ];
    let mut order = submitted(CaptureMode::Automatic);
    assert_eq!(order.status(), Status::Processing);
    for (command, status, balance) in steps {
        order = after(order, std::slice::from_ref(&command));
        assert_eq!((order.status(), order.balance().balance_minor), (status, balance), "{command:?}");
    }
    assert_eq!(order.anomalies(), []);
}

#[test]
fn a_refund_cannot_exceed_what_is_captured_less_what_is_pending() {
    let order = automatic(&[captured("c1", 100), refund(1, 60)]);
    refuses(&order, &refund(2, 50), Rejection::ExceedsRefundable { available_minor: 40 });
    let order = after(order, &[refund(2, 40)]);
    refuses(&order, &refund(3, 1), Rejection::NothingToRefund { status: Status::Captured });
}

#[test]
fn a_refund_that_failed_can_be_asked_for_again() {
    let failed = about(
        "pay",
        Fact::RefundFailed {
            refund_id: Some(RefundId(Uuid::from_u128(1))),
            reference: "r1".to_owned(),
            amount: eur(100),
            reason: "account closed".to_owned(),
        },
    );
    let order = automatic(&[captured("c1", 100), refund(1, 100), failed]);
    assert_eq!(order.balance().refund_pending_minor, 0);
    assert!(decide(Some(&order), &refund(2, 100)).is_ok());
}

#[test]
fn a_refund_that_settles_answers_its_request_and_is_not_counted_beside_it() {
    let settled = about(
        "pay",
        Fact::RefundSettled {
            refund_id: Some(RefundId(Uuid::from_u128(1))),
            reference: "r1".to_owned(),
            amount: eur(60),
        },
    );
    let order = automatic(&[captured("c1", 100), refund(1, 60), settled]);
    let balance = order.balance();
    assert_eq!((balance.refunded_minor, balance.refund_pending_minor), (60, 0));
    assert_eq!(order.attempts[0].refunds.len(), 1);
}

#[test]
fn one_movement_reported_under_two_event_ids_is_counted_once() {
    let order = automatic(&[captured("c1", 100)]);
    let again = decide(Some(&order), &captured("c1", 100));
    assert_eq!(again, Ok(vec![Event::WebhookNoted { kind: "payment_captured".to_owned() }]));
}

#[test]
fn a_refund_without_an_amount_is_all_that_is_left() {
    let order = automatic(&[captured("c1", 100), refund(1, 60)]);
    let rest = Command::Refund { id: RefundId(Uuid::from_u128(2)), amount: None, reason: None };
    let order = after(order, &[rest]);
    assert_eq!(order.balance().refund_pending_minor, 100);
}

#[test]
fn a_refund_of_a_named_payment_takes_nothing_from_another() {
    let order = automatic(&[captured_by("pay", "c1", 100), captured_by("pay_2", "c2", 60)]);
    let of = |attempt, amount| Command::RefundAttempt {
        attempt,
        id: RefundId(Uuid::from_u128(1)),
        amount: eur(amount),
        reason: None,
    };
    refuses(&order, &of(2, 61), Rejection::ExceedsRefundable { available_minor: 60 });
    refuses(&order, &of(3, 1), Rejection::NothingToRefund { status: Status::Captured });
    let order = after(order, &[of(2, 60)]);
    let left: Vec<i64> = order.attempts.iter().map(|a| a.available_to_refund_minor()).collect();
    assert_eq!(left, [100, 0]);
}

#[test]
fn captures_are_asked_for_up_to_what_is_authorized() {
    let order = manual(&[authorized(100), capture(1, 60)]);
    refuses(&order, &capture(2, 41), Rejection::ExceedsCapturable { available_minor: 40 });
    assert_eq!(order.status(), Status::Authorized, "a request captures nothing");
    let order = after(order, &[capture(2, 40)]);
    refuses(&order, &capture(3, 1), Rejection::NothingToCapture { status: Status::Authorized });
}

#[test]
fn nothing_is_captured_on_request_before_it_is_authorized_or_when_the_psp_captures_by_itself() {
    refuses(&manual(&[]), &capture(1, 1), Rejection::NothingToCapture { status: Status::Processing });
    refuses(&automatic(&[authorized(100)]), &capture(1, 1), Rejection::CaptureIsAutomatic);
}

#[test]
fn an_order_is_canceled_at_once_when_nothing_is_authorized() {
    let order = automatic(&[Command::Cancel]);
    assert_eq!(order.status(), Status::Canceled);
    refuses(&order, &Command::Cancel, Rejection::NotCancelable { status: Status::Canceled });
}

#[test]
fn an_authorized_order_is_canceled_when_the_psp_has_let_go() {
    let order = manual(&[authorized(100), Command::Cancel]);
    assert_eq!(order.status(), Status::Authorized);
    refuses(&order, &Command::Cancel, Rejection::CancellationPending);
    refuses(&order, &capture(1, 1), Rejection::NothingToCapture { status: Status::Authorized });
    let order = after(order, &[about("pay", Fact::Voided)]);
    assert_eq!(order.status(), Status::Canceled);
}

#[test]
fn an_order_with_money_or_a_capture_under_way_cannot_be_canceled() {
    let order = automatic(&[captured("c1", 100)]);
    refuses(&order, &Command::Cancel, Rejection::NotCancelable { status: Status::Captured });
    let order = manual(&[authorized(100), capture(1, 100)]);
    refuses(&order, &Command::Cancel, Rejection::CapturePending);
}

#[test]
fn an_order_expires_when_its_time_has_come_and_nothing_is_authorized() {
    let early = jiff::Timestamp::from_second(expiry().as_second() - 1).unwrap();
    let order = automatic(&[]);
    assert_eq!(decide(Some(&order), &Command::Expire { now: early }), Ok(vec![]));
    let due = Command::Expire { now: expiry() };
    assert_eq!(decide(Some(&order), &due), Ok(vec![Event::OrderExpired]));
    assert_eq!(decide(Some(&automatic(&[authorized(100)])), &due), Ok(vec![]));
    let expired = after(order, std::slice::from_ref(&due));
    assert_eq!(decide(Some(&expired), &due), Ok(vec![]));
}

#[test]
fn money_that_comes_after_the_end_is_counted_and_flagged_and_the_status_stays() {
    let order = automatic(&[Command::Expire { now: expiry() }, captured("c1", 100)]);
    assert_eq!(order.status(), Status::Expired);
    assert_eq!(order.balance().balance_minor, 100);
    assert_eq!(order.anomalies(), [Anomaly::CapturedAfterEnd { attempt: 1 }]);
    assert!(decide(Some(&order), &refund(1, 100)).is_ok(), "it can be given back");
}

#[test]
fn a_capture_of_a_failed_payment_is_counted_and_flagged_and_the_status_stays() {
    let order = automatic(&[declined(), captured("c1", 100)]);
    assert_eq!((order.status(), order.balance().balance_minor), (Status::Failed, 100));
    assert_eq!(order.anomalies(), [Anomaly::CapturedAndFailed { attempt: 1 }]);
}

#[test]
fn an_authorization_after_the_end_is_flagged_until_it_is_voided() {
    let order = automatic(&[Command::Cancel, authorized(100)]);
    assert_eq!(order.anomalies(), [Anomaly::AuthorizedAfterEnd { attempt: 1 }]);
    assert_eq!(after(order, &[about("pay", Fact::Voided)]).anomalies(), []);
}

#[test]
fn a_late_authorization_changes_nothing_of_what_came_after_it() {
    let order = automatic(&[captured("c1", 100), authorized(100)]);
    assert_eq!((order.status(), order.anomalies()), (Status::Captured, vec![]));
}

#[test]
fn a_refund_that_overtakes_its_capture_is_flagged_until_the_capture_is_in() {
    let order = automatic(&[refunded("r1", 30)]);
    assert_eq!(order.balance().balance_minor, 0);
    assert_eq!(order.anomalies(), [Anomaly::OverRefunded { excess_minor: 30 }]);
    let order = after(order, &[captured("c1", 100)]);
    assert_eq!((order.balance().balance_minor, order.anomalies()), (70, vec![]));
    assert_eq!(order.status(), Status::PartiallyRefunded);
}

#[test]
fn a_buyer_retries_with_another_card() {
    let order = automatic(&[declined(), captured_by("pay-2", "c1", 100)]);
    assert_eq!(order.status(), Status::Captured);
    let statuses: Vec<Status> = order.attempts.iter().map(|a| a.status).collect();
    assert_eq!(statuses, [Status::Failed, Status::Captured]);
    assert_eq!(order.anomalies(), []);
}

#[test]
fn a_new_attempt_is_refused_once_the_order_is_captured_canceled_or_expired() {
    let now = jiff::Timestamp::from_second(0).unwrap();
    let retry = Command::StartAttempt { payment_method: None, now, data: BTreeMap::new() };
    let cases = [
        (captured("c1", 100), Status::Captured),
        (Command::Cancel, Status::Canceled),
        (Command::Expire { now: expiry() }, Status::Expired),
    ];
    for (command, status) in cases {
        refuses(&automatic(&[command]), &retry, Rejection::AttemptRefused { status });
    }
    let too_late = Command::StartAttempt { payment_method: None, now: expiry(), data: BTreeMap::new() };
    refuses(&automatic(&[]), &too_late, Rejection::AttemptRefused { status: Status::Expired });
    assert!(decide(Some(&automatic(&[declined()])), &retry).is_ok());
}

#[test]
fn a_failed_attempt_does_not_hide_an_authorized_one_whichever_is_reported_first() {
    let refused = about("other card", Fact::Failed { reason: "card_declined".to_owned() });
    for commands in [[authorized(1_000), refused.clone()], [refused, authorized(1_000)]] {
        let order = manual(&commands);
        assert_eq!(order.status(), Status::Authorized);
        assert_eq!(order.balance().available_to_capture_minor, 1_000);
        assert!(decide(Some(&order), &capture(1, 1_000)).is_ok());
    }
}

#[test]
fn two_captured_attempts_are_an_anomaly_and_count_in_full() {
    let order = automatic(&[captured("c1", 100), captured_by("pay-2", "c2", 100)]);
    assert_eq!(order.balance().balance_minor, 200);
    let expect = [Anomaly::SeveralAttemptsCaptured, Anomaly::OverCaptured { excess_minor: 100 }];
    assert_eq!(order.anomalies(), expect);
}

#[test]
fn a_reversed_capture_leaves_the_balance_but_not_the_status() {
    let reversed = about(
        "pay",
        Fact::CaptureFailed {
            capture_id: None,
            reference: "c1".to_owned(),
            amount: eur(100),
            reason: "returned".to_owned(),
        },
    );
    let order = automatic(&[captured("c1", 100), reversed]);
    assert_eq!((order.status(), order.balance().balance_minor), (Status::Captured, 0));
    assert_eq!(order.anomalies(), [Anomaly::CaptureReversed { reference: "c1".to_owned() }]);
}

#[test]
fn a_dispute_takes_the_money_from_its_opening_until_it_is_won() {
    let opened = about(
        "pay",
        Fact::ChargebackOpened { reference: "d".into(), amount: eur(100), reason: "fraud".into() },
    );
    let won = about("pay", Fact::ChargebackWon { reference: "d".into(), amount: eur(100) });
    let order = automatic(&[captured("c1", 100), opened]);
    assert_eq!((order.status(), order.balance().balance_minor), (Status::Captured, 0));
    refuses(&order, &refund(1, 1), Rejection::NothingToRefund { status: Status::Captured });
    assert_eq!(after(order, &[won]).balance().balance_minor, 100);
}

#[test]
fn another_currency_is_refused() {
    let usd = crate::money::Money::of(100, "USD".parse().unwrap()).unwrap();
    let expected = eur(1).currency();
    let order = automatic(&[captured("c1", 100)]);
    refuses(
        &order,
        &about("pay", Fact::Authorized { amount: usd }),
        Rejection::CurrencyMismatch { expected },
    );
    let refund = Command::Refund { id: RefundId(Uuid::nil()), amount: Some(usd), reason: None };
    refuses(&order, &refund, Rejection::CurrencyMismatch { expected });
}

#[test]
fn nothing_but_a_checkout_begins_an_order_and_only_once() {
    assert_eq!(decide(None, &Command::Cancel), Err(Rejection::NotFound));
    let submit = Command::Submit(Box::new(checkout(CaptureMode::Automatic)));
    refuses(&automatic(&[]), &submit, Rejection::AlreadyExists);
    assert!(evolve(None, &Event::OrderExpired).is_err());
    let order = fold(None, &decide(None, &submit).unwrap());
    assert!(
        evolve(order, &Event::AttemptStarted { attempt: 3, payment_reference: None, payment_method: None })
            .is_err()
    );
}

#[test]
fn an_order_holds_no_more_than_it_can() {
    let mut order = automatic(&[]);
    for n in 0..crate::order::MAX_MOVEMENTS {
        order = after(order, &[captured(&format!("c{n}"), 1)]);
    }
    refuses(&order, &captured("one more", 1), Rejection::TooManyEntries);
    assert!(decide(Some(&order), &captured("c1", 1)).is_ok(), "what is known is still noted");
}

#[test]
fn an_order_paid_outside_is_captured_by_its_confirmation_once_and_in_time() {
    let data = BTreeMap::from([("authorization".to_owned(), "A1".to_owned())]);
    let confirm = |amount, now| Command::Confirm {
        payment_reference: Some("host-1".to_owned()),
        reference: "confirmation".to_owned(),
        amount: eur(amount),
        now,
        data: data.clone(),
    };
    let in_time = expiry() - jiff::SignedDuration::from_secs(1);
    let order = submitted(CaptureMode::Manual);
    refuses(&order, &confirm(101, in_time), Rejection::ExceedsOrder { amount_minor: 100 });
    refuses(&order, &confirm(100, expiry()), Rejection::NotConfirmable { status: Status::Expired });
    let decided = decide(Some(&order), &confirm(100, in_time)).unwrap();
    assert_eq!(decided.last(), Some(&Event::SurfaceNoted { data: data.clone() }));
    let confirmed = after(order, &[confirm(100, in_time)]);
    assert_eq!((confirmed.status(), confirmed.balance().balance_minor), (Status::Captured, 100));
    assert_eq!(confirmed.anomalies(), []);
    refuses(&confirmed, &confirm(100, in_time), Rejection::NotConfirmable { status: Status::Captured });
    let canceled = manual(&[Command::Cancel]);
    refuses(&canceled, &confirm(100, in_time), Rejection::NotConfirmable { status: Status::Canceled });
}

#[test]
fn what_a_surface_notes_changes_nothing() {
    let order = manual(&[authorized(100)]);
    let note = Command::Note { data: BTreeMap::from([("answer".to_owned(), "PENDING".to_owned())]) };
    assert_eq!(after(order.clone(), &[note]), order);
    assert_eq!(decide(Some(&order), &Command::Note { data: BTreeMap::new() }), Ok(Vec::new()));
}
