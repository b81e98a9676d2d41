//! What anybody might send, as proptest strategies.

use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::{eur, expiry};
use crate::ids::{CaptureId, RefundId};
use crate::order::{Challenge, Command, Fact, Notification};

/// Few enough ids that sequences hit the same one often.
fn small_id() -> impl Strategy<Value = Uuid> {
    (1_u128..5).prop_map(Uuid::from_u128)
}

fn reference() -> impl Strategy<Value = String> {
    (1_u8..5).prop_map(|n| format!("ref-{n}"))
}

fn amount() -> impl Strategy<Value = crate::money::Money> {
    (1_i64..150).prop_map(eur)
}

/// Anything a PSP might report.
pub(super) fn fact() -> impl Strategy<Value = Fact> {
    let capture_id = || proptest::option::of(small_id().prop_map(CaptureId));
    let refund_id = || proptest::option::of(small_id().prop_map(RefundId));
    let reason = || Just("because".to_owned());
    prop_oneof![
        Just(Fact::ActionRequired { challenge: Challenge::default() }),
        amount().prop_map(|amount| Fact::Authorized { amount }),
        reason().prop_map(|reason| Fact::Failed { reason }),
        (capture_id(), reference(), amount()).prop_map(|(capture_id, reference, amount)| Fact::Captured {
            capture_id,
            reference,
            amount
        }),
        (capture_id(), reference(), amount(), reason()).prop_map(
            |(capture_id, reference, amount, reason)| Fact::CaptureFailed {
                capture_id,
                reference,
                amount,
                reason
            }
        ),
        Just(Fact::Voided),
        Just(Fact::AuthorizationExpired),
        (refund_id(), reference(), amount()).prop_map(|(refund_id, reference, amount)| Fact::RefundSettled {
            refund_id,
            reference,
            amount
        }),
        (refund_id(), reference(), amount(), reason()).prop_map(|(refund_id, reference, amount, reason)| {
            Fact::RefundFailed { refund_id, reference, amount, reason }
        }),
        (reference(), amount(), reason()).prop_map(|(reference, amount, reason)| Fact::ChargebackOpened {
            reference,
            amount,
            reason
        }),
        (reference(), amount()).prop_map(|(reference, amount)| Fact::ChargebackWon { reference, amount }),
        (reference(), amount()).prop_map(|(reference, amount)| Fact::ChargebackLost { reference, amount }),
        Just(Fact::Other { kind: "report.ready".to_owned() }),
    ]
}

/// A report about one of three payments, or about none that is named.
pub(super) fn notification() -> impl Strategy<Value = Notification> {
    let payment = proptest::option::of((1_u8..4).prop_map(|n| format!("pay-{n}")));
    let attempt = proptest::option::of(1_u32..4);
    (payment, attempt, fact()).prop_map(|(payment_reference, attempt, fact)| Notification {
        payment_reference,
        attempt,
        fact,
    })
}

/// Anything that an existing order can be asked.
pub(super) fn command() -> impl Strategy<Value = Command> {
    let now =
        (-5_i64..5).prop_map(|seconds| jiff::Timestamp::from_second(expiry().as_second() + seconds).unwrap());
    prop_oneof![
        6 => notification().prop_map(Command::Record),
        1 => now.clone().prop_map(|now| Command::StartAttempt {
            payment_method: None,
            now,
            data: BTreeMap::new(),
        }),
        1 => Just(Command::Note { data: BTreeMap::from([("a".to_owned(), "b".to_owned())]) }),
        1 => (reference(), amount(), now.clone()).prop_map(|(reference, amount, now)| Command::Confirm {
            payment_reference: None,
            reference,
            amount,
            now,
            data: BTreeMap::new(),
        }),
        1 => (small_id(), proptest::option::of(amount()))
            .prop_map(|(id, amount)| Command::Capture { id: CaptureId(id), amount }),
        2 => (small_id(), proptest::option::of(amount()))
            .prop_map(|(id, amount)| Command::Refund { id: RefundId(id), amount, reason: None }),
        1 => (1..=3_u32, small_id(), amount()).prop_map(|(attempt, id, amount)| Command::RefundAttempt {
            attempt,
            id: RefundId(id),
            amount,
            reason: None,
        }),
        1 => Just(Command::Cancel),
        1 => now.prop_map(|now| Command::Expire { now }),
    ]
}
