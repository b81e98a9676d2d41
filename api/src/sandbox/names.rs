//! The names that the sandbox gives things. Each follows from what it names, so that saying a thing again says it
//! under the same name, and Daybook counts it once.

/// What the sandbox calls the payment of this attempt.
pub(super) fn payment_reference(order_id: &str, attempt: u32) -> String {
    format!("pay_{order_id}_{attempt}")
}

/// The webhook id under which `what` is said of this attempt.
pub(super) fn event_id(order_id: &str, attempt: u32, what: &str) -> String {
    format!("evt_{order_id}_{attempt}_{what}")
}

/// The reference of the capture that the sandbox makes by itself.
pub(super) fn automatic_capture(order_id: &str, attempt: u32) -> String {
    format!("cap_{order_id}_{attempt}")
}

/// The reference of a capture that the shop asked for.
pub(super) fn capture(capture_id: &str) -> String {
    format!("cap_{capture_id}")
}

/// The reference of a refund.
pub(super) fn refund(refund_id: &str) -> String {
    format!("ref_{refund_id}")
}

/// The id of an attempt's 3-D Secure challenge.
pub(super) fn challenge(order_id: &str, attempt: u32) -> String {
    format!("chl_{order_id}_{attempt}")
}

/// The id of the challenge that sends the buyer to the hosted page.
pub(super) fn page_visit(order_id: &str, attempt: u32) -> String {
    format!("page_{order_id}_{attempt}")
}

/// What a buyer did on the hosted page. Daybook writes it down as a webhook without meaning; the feed brings it
/// back to the worker, which acts on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// Paid, with the card of this token.
    Pay {
        /// For which attempt.
        attempt: u32,
        /// The card's token.
        token: String,
    },
    /// Answered the challenge.
    Answer {
        /// For which attempt.
        attempt: u32,
        /// Pass or fail.
        passed: bool,
    },
}

impl Note {
    /// The webhook type that carries it.
    pub(super) fn kind(&self) -> String {
        match self {
            Note::Pay { attempt, token } => format!("sandbox.pay.{attempt}.{token}"),
            Note::Answer { attempt, passed: true } => format!("sandbox.challenge.{attempt}.passed"),
            Note::Answer { attempt, passed: false } => format!("sandbox.challenge.{attempt}.failed"),
        }
    }

    /// What a webhook type says, if the page sent it.
    pub(super) fn from_kind(kind: &str) -> Option<Note> {
        let mut words = kind.strip_prefix("sandbox.")?.splitn(3, '.');
        let (what, attempt, rest) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
        match (what, rest) {
            ("pay", token) => Some(Note::Pay { attempt, token: token.to_owned() }),
            ("challenge", "passed") => Some(Note::Answer { attempt, passed: true }),
            ("challenge", "failed") => Some(Note::Answer { attempt, passed: false }),
            _ => None,
        }
    }

    /// Which attempt it is about.
    pub(super) fn attempt(&self) -> u32 {
        match self {
            Note::Pay { attempt, .. } | Note::Answer { attempt, .. } => *attempt,
        }
    }

    /// The webhook id. It does not depend on the card or the answer: the first one counts.
    pub(super) fn event_id(&self, order_id: &str) -> String {
        match self {
            Note::Pay { attempt, .. } => event_id(order_id, *attempt, "paid_on_page"),
            Note::Answer { attempt, .. } => event_id(order_id, *attempt, "challenge_answered"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_as_it_writes() {
        for note in [
            Note::Pay { attempt: 2, token: "tok_3ds".to_owned() },
            Note::Answer { attempt: 1, passed: true },
            Note::Answer { attempt: 12, passed: false },
        ] {
            assert_eq!(Note::from_kind(&note.kind()), Some(note));
        }
        for other in ["payment_captured", "sandbox", "sandbox.pay.x.tok", "sandbox.challenge.1.maybe", ""] {
            assert_eq!(Note::from_kind(other), None, "{other}");
        }
    }

    #[test]
    fn the_first_card_and_the_first_answer_count() {
        let pay = |token: &str| Note::Pay { attempt: 1, token: token.to_owned() }.event_id("o");
        assert_eq!(pay("tok_success"), pay("tok_declined"));
        let answer = |passed| Note::Answer { attempt: 1, passed }.event_id("o");
        assert_eq!(answer(true), answer(false));
        assert_ne!(pay("tok_success"), answer(true));
    }
}
