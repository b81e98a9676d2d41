//! What each token makes the sandbox report, as data. Pure.

/// Who turns the authorization into a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CaptureMode {
    /// The sandbox, by itself.
    Automatic,
    /// The shop, by asking for it.
    Manual,
}

/// Something to report of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// The buyer must pass a challenge.
    ActionRequired,
    /// The whole amount is reserved.
    Authorized,
    /// The whole amount was taken.
    Captured,
    /// The payment was refused, for this reason.
    Failed(&'static str),
}

/// One report and how it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// What is said.
    pub(super) report: Report,
    /// The end of the webhook's id; steps with the same report and different names differ in nothing else.
    pub(super) name: &'static str,
    /// How often the webhook is sent, under the same id.
    pub(super) copies: u32,
    /// Not now, but after the configured delay.
    pub(super) delayed: bool,
}

/// The token whose webhook comes only after the order has expired.
pub(super) const LATE: &str = "tok_late_webhook";
/// The token whose webhooks come several times.
pub(super) const DUPLICATE: &str = "tok_duplicate_webhooks";
/// Why a payment with a bad card failed.
pub(super) const CARD_DECLINED: &str = "card_declined";
/// Why a challenge that was not passed failed the payment.
pub(super) const CHALLENGE_FAILED: &str = "challenge_failed";

const ACTION_REQUIRED: Step = step(Report::ActionRequired, "action_required");
const AUTHORIZED: Step = step(Report::Authorized, "authorized");
const CAPTURED: Step = step(Report::Captured, "captured");

const fn step(report: Report, name: &'static str) -> Step {
    Step { report, name, copies: 1, delayed: false }
}

const fn failed(reason: &'static str) -> Step {
    step(Report::Failed(reason), "failed")
}

/// The token that decides how a payment goes. An invoice has none: its buyer authenticates, as with `tok_3ds`.
pub(super) fn token<'a>(kind: &str, token: Option<&'a str>) -> Option<&'a str> {
    token.or((kind == "invoice").then_some("tok_3ds"))
}

/// What to report, in order, when a payment with `token` begins.
pub(super) fn scenario(token: &str, capture: CaptureMode) -> Vec<Step> {
    let thrice = |step| Step { copies: copies(DUPLICATE), ..step };
    let steps = match token {
        "tok_success" => vec![AUTHORIZED, CAPTURED],
        "tok_3ds" | "tok_3ds_failed" => vec![ACTION_REQUIRED],
        "tok_declined" => vec![failed(CARD_DECLINED)],
        "tok_delayed" => vec![AUTHORIZED, Step { delayed: true, ..CAPTURED }],
        DUPLICATE => {
            vec![thrice(AUTHORIZED), thrice(CAPTURED), step(Report::Captured, "captured_again")]
        }
        "tok_reordered_webhooks" => vec![CAPTURED, AUTHORIZED],
        LATE => vec![],
        _ => vec![failed("unknown_token")],
    };
    as_captured(steps, capture)
}

/// What to report once the buyer has answered the challenge of a payment with `token`.
pub(super) fn after_challenge(token: &str, passed: bool, capture: CaptureMode) -> Vec<Step> {
    if passed && token == "tok_3ds" {
        as_captured(vec![AUTHORIZED, CAPTURED], capture)
    } else {
        vec![failed(CHALLENGE_FAILED)]
    }
}

/// What to report of a payment with `token` once its order has expired.
pub(super) fn after_expiry(token: &str) -> Vec<Step> {
    if token == LATE { vec![CAPTURED] } else { Vec::new() }
}

/// How often a webhook about a payment with `token` is sent.
pub(super) fn copies(token: &str) -> u32 {
    if token == DUPLICATE { 3 } else { 1 }
}

/// With manual capture the sandbox captures only on request.
fn as_captured(mut steps: Vec<Step>, capture: CaptureMode) -> Vec<Step> {
    if capture == CaptureMode::Manual {
        steps.retain(|step| step.report != Report::Captured);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `authorized*3 captured(delayed)`: how the tables below write a plan.
    fn shown(steps: &[Step]) -> String {
        let word = |step: &Step| {
            let mut word = match step.report {
                Report::Failed(reason) => format!("failed:{reason}"),
                Report::ActionRequired | Report::Authorized | Report::Captured => step.name.to_owned(),
            };
            if step.copies > 1 {
                word += &format!("*{}", step.copies);
            }
            if step.delayed {
                word += "(delayed)";
            }
            word
        };
        steps.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_token_does_what_the_guide_says() {
        for (token, automatic, manual) in [
            ("tok_success", "authorized captured", "authorized"),
            ("tok_3ds", "action_required", "action_required"),
            ("tok_3ds_failed", "action_required", "action_required"),
            ("tok_declined", "failed:card_declined", "failed:card_declined"),
            ("tok_delayed", "authorized captured(delayed)", "authorized"),
            ("tok_duplicate_webhooks", "authorized*3 captured*3 captured_again", "authorized*3"),
            ("tok_reordered_webhooks", "captured authorized", "authorized"),
            ("tok_late_webhook", "", ""),
            ("tok_anything", "failed:unknown_token", "failed:unknown_token"),
        ] {
            assert_eq!(shown(&scenario(token, CaptureMode::Automatic)), automatic, "{token}, automatic");
            assert_eq!(shown(&scenario(token, CaptureMode::Manual)), manual, "{token}, manual");
        }
    }

    #[test]
    fn a_challenge_can_be_passed_only_with_the_token_that_allows_it() {
        for (token, passed, automatic, manual) in [
            ("tok_3ds", true, "authorized captured", "authorized"),
            ("tok_3ds", false, "failed:challenge_failed", "failed:challenge_failed"),
            ("tok_3ds_failed", true, "failed:challenge_failed", "failed:challenge_failed"),
            ("tok_3ds_failed", false, "failed:challenge_failed", "failed:challenge_failed"),
        ] {
            let plan = |capture| shown(&after_challenge(token, passed, capture));
            assert_eq!(plan(CaptureMode::Automatic), automatic, "{token}, passed: {passed}");
            assert_eq!(plan(CaptureMode::Manual), manual, "{token}, passed: {passed}");
        }
    }

    #[test]
    fn only_the_late_token_speaks_after_the_order_has_expired() {
        assert_eq!(shown(&after_expiry("tok_late_webhook")), "captured");
        assert_eq!(shown(&after_expiry("tok_success")), "");
    }
}
