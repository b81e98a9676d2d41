//! What holds whatever anybody sends, in whatever order.

use proptest::prelude::*;

use super::strategies::{command, notification};
use super::{about, fold, submitted};
use crate::order::{CaptureMode, Command, Fact, Notification, Order, Status, decide};

/// The order after those of `commands` that were not refused, and after each step.
pub(super) fn run(
    capture: CaptureMode,
    commands: &[Command],
    mut each: impl FnMut(&Order, &Command, &Order),
) -> Order {
    let mut order = submitted(capture);
    for command in commands {
        if let Ok(events) = decide(Some(&order), command) {
            let next = fold(Some(order.clone()), &events).unwrap();
            each(&order, command, &next);
            order = next;
        }
    }
    order
}

/// What must be the same however the webhooks came in.
fn numbers(order: &Order) -> impl PartialEq + std::fmt::Debug {
    let mut anomalies: Vec<String> = order.anomalies().iter().map(|a| format!("{a:?}")).collect();
    anomalies.sort();
    let shown = order.balance();
    (shown.balance_minor, shown.captured_minor, shown.refunded_minor, shown.charged_back_minor)
}

/// How far a status is along; the ends are as far as it goes without money.
fn is_back(before: Status, after: Status) -> bool {
    if before.is_end() { after != before } else { after < before && !after.is_end() }
}

pub(super) fn capture_mode() -> impl Strategy<Value = CaptureMode> {
    prop_oneof![Just(CaptureMode::Automatic), Just(CaptureMode::Manual)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    // `fold` panics on an event that `evolve` does not accept.
    #[test]
    fn every_decision_can_be_folded(
        capture in capture_mode(),
        commands in proptest::collection::vec(command(), 0..40),
    ) {
        run(capture, &commands, |_, _, _| {});
    }

    #[test]
    fn no_figure_of_a_balance_is_ever_below_zero(
        capture in capture_mode(),
        commands in proptest::collection::vec(command(), 0..40),
    ) {
        run(capture, &commands, |_, _, order| {
            let balance = order.balance();
            for figure in [
                balance.authorized_minor,
                balance.captured_minor,
                balance.capture_pending_minor,
                balance.refunded_minor,
                balance.refund_pending_minor,
                balance.charged_back_minor,
                balance.balance_minor,
                balance.available_to_capture_minor,
                balance.available_to_refund_minor,
            ] {
                assert!(figure >= 0, "{balance:?}");
            }
        });
    }

    #[test]
    fn the_status_of_an_attempt_never_goes_back(
        capture in capture_mode(),
        commands in proptest::collection::vec(command(), 0..40),
    ) {
        run(capture, &commands, |before, command, after| {
            for (was, is) in before.attempts.iter().zip(&after.attempts) {
                assert!(!is_back(was.status, is.status), "{:?} -> {:?} by {command:?}", was.status, is.status);
            }
        });
    }

    #[test]
    fn the_status_of_an_order_goes_back_only_by_a_new_attempt(
        capture in capture_mode(),
        commands in proptest::collection::vec(command(), 0..40),
    ) {
        run(capture, &commands, |before, command, after| {
            let same_attempt = before.shown_attempt().map(|a| a.number) == after.shown_attempt().map(|a| a.number);
            if same_attempt {
                assert!(!is_back(before.status(), after.status()), "{command:?}");
            }
        });
    }

    #[test]
    fn requested_refunds_never_add_up_to_more_than_was_captured(
        commands in proptest::collection::vec(command(), 0..60),
    ) {
        run(CaptureMode::Automatic, &commands, |before, command, after| {
            if let Command::Refund { .. } | Command::RefundAttempt { .. } = command {
                let (was, is) = (before.balance(), after.balance());
                let refunded = is.refunded_minor + is.refund_pending_minor + is.charged_back_minor;
                assert!(refunded <= is.captured_minor || was.available_to_refund_minor > 0);
                let asked = is.refund_pending_minor - was.refund_pending_minor;
                assert!(asked > 0 && asked <= was.available_to_refund_minor);
            }
        });
    }

    #[test]
    fn only_a_notification_or_a_confirmation_captures(
        capture in capture_mode(),
        commands in proptest::collection::vec(command(), 0..40),
    ) {
        run(capture, &commands, |before, command, after| {
            if !matches!(command, Command::Record(_) | Command::Confirm { .. }) {
                assert_eq!(before.balance().captured_minor, after.balance().captured_minor, "{command:?}");
            }
        });
    }

    #[test]
    fn any_interleaving_of_duplicated_webhooks_ends_in_the_same_balance(
        reports in proptest::collection::vec(notification(), 0..12),
        seed in any::<u64>(),
    ) {
        let reports: Vec<Notification> = reports.into_iter().map(consistent).collect();
        let in_order: Vec<Command> = reports.iter().cloned().map(Command::Record).collect();
        let shuffled = shuffled_with_duplicates(&in_order, seed);
        let (one, other) = (
            run(CaptureMode::Automatic, &in_order, |_, _, _| {}),
            run(CaptureMode::Automatic, &shuffled, |_, _, _| {}),
        );
        prop_assert_eq!(numbers(&one), numbers(&other));
    }

    #[test]
    fn a_payment_that_goes_well_ends_the_same_whatever_order_its_webhooks_come_in(seed in any::<u64>()) {
        let reference = |name: &str| name.to_owned();
        let story = [
            about("pay", Fact::ActionRequired { challenge: Default::default() }),
            about("pay", Fact::Authorized { amount: super::eur(100) }),
            about("pay", Fact::Captured { capture_id: None, reference: reference("c1"), amount: super::eur(60) }),
            about("pay", Fact::Captured { capture_id: None, reference: reference("c2"), amount: super::eur(40) }),
            about("pay", Fact::RefundSettled { refund_id: None, reference: reference("r1"), amount: super::eur(30) }),
            about("pay", Fact::ChargebackOpened { reference: reference("d1"), amount: super::eur(70), reason: String::new() }),
            about("pay", Fact::ChargebackWon { reference: reference("d1"), amount: super::eur(70) }),
        ];
        let in_order = run(CaptureMode::Automatic, &story, |_, _, _| {});
        let shuffled = run(CaptureMode::Automatic, &shuffled_with_duplicates(&story, seed), |_, _, _| {});
        prop_assert_eq!(in_order.status(), Status::PartiallyRefunded);
        prop_assert_eq!(in_order.status(), shuffled.status());
        prop_assert_eq!(in_order.balance(), shuffled.balance());
        prop_assert_eq!(in_order.anomalies(), vec![]);
        prop_assert_eq!(shuffled.anomalies(), vec![]);
    }
}

/// Makes the reports of one sender agree with each other, as a PSP's do: a reference names one movement of one
/// payment with one amount, and a payment is always named.
fn consistent(report: Notification) -> Notification {
    let payment = report.payment_reference.unwrap_or_else(|| "pay-1".to_owned());
    let amount_of =
        |reference: &str| super::eur(10 * i64::from(reference.bytes().last().unwrap_or(b'0') - b'0'));
    let own = |reference: &str| format!("{payment}/{reference}");
    let fact = match report.fact {
        Fact::Captured { reference, .. } => {
            Fact::Captured { capture_id: None, amount: amount_of(&reference), reference: own(&reference) }
        }
        Fact::CaptureFailed { reference, reason, .. } => Fact::CaptureFailed {
            capture_id: None,
            amount: amount_of(&reference),
            reference: own(&reference),
            reason,
        },
        Fact::RefundSettled { reference, .. } => {
            Fact::RefundSettled { refund_id: None, amount: amount_of(&reference), reference: own(&reference) }
        }
        Fact::RefundFailed { reference, reason, .. } => Fact::RefundFailed {
            refund_id: None,
            amount: amount_of(&reference),
            reference: own(&reference),
            reason,
        },
        Fact::ChargebackOpened { reference, reason, .. } => {
            Fact::ChargebackOpened { amount: amount_of(&reference), reference: own(&reference), reason }
        }
        Fact::ChargebackWon { reference, .. } => {
            Fact::ChargebackWon { amount: amount_of(&reference), reference: own(&reference) }
        }
        Fact::ChargebackLost { reference, .. } => {
            Fact::ChargebackLost { amount: amount_of(&reference), reference: own(&reference) }
        }
        other @ (Fact::ActionRequired { .. }
        | Fact::Authorized { .. }
        | Fact::Failed { .. }
        | Fact::Voided
        | Fact::AuthorizationExpired
        | Fact::Other { .. }) => other,
    };
    Notification { payment_reference: Some(payment), attempt: None, fact }
}

/// Each command one to three times, in an order that `seed` gives.
fn shuffled_with_duplicates(commands: &[Command], seed: u64) -> Vec<Command> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut all: Vec<Command> = Vec::new();
    for command in commands {
        all.extend(std::iter::repeat_n(command.clone(), random.usize(1..=3)));
    }
    random.shuffle(&mut all);
    all
}
