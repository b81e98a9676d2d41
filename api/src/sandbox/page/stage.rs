//! Where a buyer stands with an order, from the order and its trail alone. Pure.

use super::super::doors::{Attempt, Order, Trail};
use super::super::names;

/// Where a buyer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// To pay, as this attempt.
    Form {
        /// Its number.
        attempt: u32,
        /// Why the attempt before it failed, if there was one.
        failed: Option<String>,
    },
    /// Has paid; the outcome is not known yet.
    Waiting {
        /// Which attempt.
        attempt: u32,
    },
    /// Has a challenge to pass.
    Challenge {
        /// Which attempt.
        attempt: u32,
    },
    /// Is done: the money is reserved or taken.
    Paid,
    /// Is done: the order was given up.
    Canceled,
    /// Is done: out of time.
    Expired,
}

/// Where the buyer of this order stands.
pub(super) fn stage(order: &Order, trail: &Trail) -> Stage {
    match order.status.as_str() {
        _ if order.is_paid() => return Stage::Paid,
        "canceled" => return Stage::Canceled,
        "expired" => return Stage::Expired,
        _ => {}
    }
    let last = order.attempts.last();
    let (attempt, failed) = match last {
        None => (1, None),
        Some(last) if has_ended(last) => {
            let reason = last.failure_reason.clone().unwrap_or_else(|| last.status.clone());
            (last.attempt + 1, Some(reason))
        }
        Some(last) => (last.attempt, None),
    };
    let begun = order.attempt(attempt);
    let is_ours = begun.is_none_or(|begun| begun.is_ours(&order.order_id));
    let has_token = trail.token(attempt).is_some() || begun.is_some_and(|begun| begun.token().is_some());
    let challenge = names::challenge(&order.order_id, attempt);
    let is_challenged = begun.is_some_and(|begun| begun.challenge_id() == Some(challenge.as_str()));
    if is_challenged && !trail.is_answered(attempt) {
        Stage::Challenge { attempt }
    } else if is_ours && !has_token {
        Stage::Form { attempt, failed }
    } else {
        Stage::Waiting { attempt }
    }
}

fn has_ended(attempt: &Attempt) -> bool {
    matches!(attempt.status.as_str(), "failed" | "canceled" | "expired")
}

/// What became of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Not known yet.
    Open,
    /// There is a challenge to pass first.
    Challenge,
    /// The order is paid.
    Success,
    /// The attempt failed, or came too late.
    Failure,
    /// The order was given up.
    Cancel,
}

/// What became of this attempt.
pub(super) fn outcome(order: &Order, trail: &Trail, attempt: u32) -> Outcome {
    match stage(order, trail) {
        Stage::Paid => Outcome::Success,
        Stage::Canceled => Outcome::Cancel,
        Stage::Expired => Outcome::Failure,
        Stage::Challenge { attempt: now } if now == attempt => Outcome::Challenge,
        Stage::Form { attempt: now, .. }
        | Stage::Waiting { attempt: now }
        | Stage::Challenge { attempt: now }
            if now > attempt =>
        {
            Outcome::Failure
        }
        Stage::Form { .. } | Stage::Waiting { .. } | Stage::Challenge { .. } => Outcome::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::names::Note;
    use serde_json::{Value, json};

    fn order(status: &str, attempts: Value) -> Order {
        let order = json!({
            "order_id": "o", "tracking_number": "trk_o", "status": status, "capture": "automatic",
            "amount": {"value": 1999, "currency": "EUR"}, "merchant_reference": "A-1", "attempts": attempts,
        });
        serde_json::from_value(order).unwrap()
    }

    fn paid(attempt: u32) -> Note {
        Note::Pay { attempt, token: "tok_3ds".to_owned() }
    }

    #[track_caller]
    fn check(status: &str, attempts: Value, notes: &[Note], expect: Stage) {
        assert_eq!(stage(&order(status, attempts), &Trail::with(notes.to_vec())), expect);
    }

    #[test]
    fn a_buyer_pays_waits_passes_the_challenge_and_is_done() {
        let form = |attempt| Stage::Form { attempt, failed: None };
        check("processing", json!([]), &[], form(1));
        check("processing", json!([]), &[paid(1)], Stage::Waiting { attempt: 1 });
        let challenged = json!([{"attempt": 1, "status": "action_required", "challenge": {"id": "chl_o_1"}, "payment_reference": "pay_o_1"}]);
        check("action_required", challenged.clone(), &[paid(1)], Stage::Challenge { attempt: 1 });
        let answered = [paid(1), Note::Answer { attempt: 1, passed: true }];
        check("action_required", challenged, &answered, Stage::Waiting { attempt: 1 });
        check("authorized", json!([{"attempt": 1, "status": "authorized"}]), &answered, Stage::Paid);
        check("expired", json!([]), &[], Stage::Expired);
        check("canceled", json!([]), &[], Stage::Canceled);
    }

    #[test]
    fn a_buyer_who_was_invited_pays_the_attempt_that_is_there() {
        let invited = json!([{"attempt": 1, "status": "action_required", "payment_method": {"type": "paypal"},
            "challenge": {"id": "page_o_1"}, "payment_reference": "pay_o_1"}]);
        check("action_required", invited.clone(), &[], Stage::Form { attempt: 1, failed: None });
        check("action_required", invited, &[paid(1)], Stage::Waiting { attempt: 1 });
    }

    #[test]
    fn a_buyer_on_invoice_passes_a_challenge_and_types_no_card() {
        let invoice = |status: &str| {
            json!([{"attempt": 1, "status": status, "payment_method": {"type": "invoice"},
                "challenge": {"id": "chl_o_1"}, "payment_reference": "pay_o_1"}])
        };
        check("action_required", invoice("action_required"), &[], Stage::Challenge { attempt: 1 });
        let answered = [Note::Answer { attempt: 1, passed: true }];
        check("action_required", invoice("action_required"), &answered, Stage::Waiting { attempt: 1 });
        check("authorized", invoice("authorized"), &answered, Stage::Paid);
    }

    #[test]
    fn after_a_failure_the_buyer_may_try_again() {
        let failed = json!([{"attempt": 1, "status": "failed", "failure_reason": "card_declined"}]);
        let again = Stage::Form { attempt: 2, failed: Some("card_declined".to_owned()) };
        check("failed", failed.clone(), &[paid(1)], again);
        check("failed", failed, &[paid(1), paid(2)], Stage::Waiting { attempt: 2 });
    }

    #[test]
    fn nobody_pays_beside_a_payment_that_is_under_way() {
        let with_token = json!([{"attempt": 1, "status": "processing", "payment_method": {"type": "card", "token": "tok_late_webhook"}}]);
        check("processing", with_token, &[], Stage::Waiting { attempt: 1 });
        let elsewhere = json!([{"attempt": 1, "status": "processing", "payment_reference": "pi_1"}]);
        check("processing", elsewhere, &[], Stage::Waiting { attempt: 1 });
    }

    #[test]
    fn an_attempt_has_failed_when_the_next_one_is_due() {
        let failed = order("failed", json!([{"attempt": 1, "status": "failed"}]));
        assert_eq!(outcome(&failed, &Trail::default(), 1), Outcome::Failure);
        assert_eq!(outcome(&failed, &Trail::default(), 2), Outcome::Open, "not visible yet");
        assert_eq!(outcome(&failed, &Trail::with(vec![paid(2)]), 2), Outcome::Open);
        assert_eq!(outcome(&order("captured", json!([])), &Trail::default(), 1), Outcome::Success);
    }
}
