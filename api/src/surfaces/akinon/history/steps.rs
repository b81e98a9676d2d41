//! The steps of an order, from its commits: each thing that was asked, through this door or another, with the PSP's
//! webhooks under the step that they answer.
//!
//! A step's state is the one of now, not what its caller was answered then.

use jiff::Timestamp;
use ledger::commit::{Cause, Changes, Commit, Recorded};
use ledger::ids::{CaptureId, RefundId};
use ledger::order::{Event, Movement, Order};
use projections::views::HistoryEvent;
use uuid::Uuid;

use super::super::movements::ASKED_AT;
use super::super::request::Action;
use super::super::session;
use super::super::status::{self, State};
use crate::orders::{self, operation};

/// One thing that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The caller's key for it; empty where it had none.
    pub(super) guid: String,
    /// What was asked.
    pub(super) action: Action,
    /// When.
    pub(super) at: Timestamp,
    /// The id that the answer named.
    pub(super) transaction_id: String,
    /// How it stands now.
    pub(super) state: State,
    /// What the PSP said to it, oldest first.
    pub(super) sub_steps: Vec<SubStep>,
}

/// One webhook of the PSP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SubStep {
    /// When it was recorded.
    pub(super) at: Timestamp,
    /// What it said, in one word.
    pub(super) code: String,
    /// How much, under which name, and why, as far as it said so.
    pub(super) detail: String,
}

/// What a step asked for, to tell its answers and its state by.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// A payment, by these attempts.
    Session(Vec<u32>),
    /// That the payment be done, without anything of its own: a SALE captures by itself.
    Payment,
    Capture(CaptureId),
    Refund(RefundId),
    Cancellation,
}

struct Draft {
    guid: String,
    action: Action,
    at: Timestamp,
    asked: Asked,
    sub_steps: Vec<SubStep>,
}

/// The steps of an order, oldest first. `order` is what all of the commits together made.
pub(super) fn of(commits: &[Recorded], order: &Order) -> Vec<Step> {
    let mut drafts: Vec<Draft> = Vec::new();
    for Recorded { commit, .. } in commits {
        let Changes::Order(events) = &commit.changes else { continue };
        match &commit.cause {
            Cause::Command { operation, key, .. } => {
                let guid = key.clone().unwrap_or_default();
                let is_known = |d: &Draft| d.action == Action::Purchase && d.guid == guid;
                if operation == operation::AKINON_PURCHASE_ANSWER && drafts.iter().any(is_known) {
                    continue;
                }
                if let Some((action, asked)) = asked(commit, operation, events) {
                    drafts.push(Draft { guid, action, at: asked_at(commit), asked, sub_steps: Vec::new() });
                }
            }
            Cause::Webhook { .. } => answer(&mut drafts, commit.decided_at, events, order),
            // The clock is no PSP; what it ended shows in the steps' states.
            Cause::Timer { .. } => {}
        }
    }
    let order_id = commits.first().map(|first| first.commit.record.to_string()).unwrap_or_default();
    drafts.into_iter().map(|draft| draft.finish(order, &order_id)).collect()
}

/// What a command asked for; none for what was only written down. A capture or refund through another door is a
/// step like any other.
fn asked(commit: &Commit, operation: &str, events: &[Event]) -> Option<(Action, Asked)> {
    if session::guid(commit).is_some() {
        return Some((Action::Start, Asked::Session(started(events).into_iter().collect())));
    }
    if operation == operation::AKINON_PURCHASE_ANSWER {
        return Some((Action::Purchase, Asked::Payment));
    }
    let refund = if operation == operation::AKINON_VOID { Action::Void } else { Action::Refund };
    events.iter().find_map(|event| {
        if let Event::CaptureRequested { capture_id, .. } = event {
            return Some((Action::Purchase, Asked::Capture(*capture_id)));
        }
        if let Event::RefundRequested { refund_id, .. } = event {
            return Some((refund, Asked::Refund(*refund_id)));
        }
        (*event == Event::CancellationRequested).then_some((Action::Void, Asked::Cancellation))
    })
}

/// The attempt that began.
fn started(events: &[Event]) -> Option<u32> {
    events.iter().find_map(|event| {
        let Event::AttemptStarted { attempt, .. } = event else { return None };
        Some(*attempt)
    })
}

/// When the call came in: a note that holds an answer says so.
fn asked_at(commit: &Commit) -> Timestamp {
    let noted = orders::noted(commit).and_then(|note| note.get(ASKED_AT)?.parse().ok());
    noted.unwrap_or(commit.decided_at)
}

/// Puts a webhook under the step that it answers: the one that asked for what it reports; the session of its
/// attempt, where it reports of the payment itself; else the latest.
fn answer(drafts: &mut [Draft], at: Timestamp, events: &[Event], order: &Order) {
    let Some(event) = events.last() else { return };
    let latest_session =
        drafts.iter().rposition(|draft| matches!(draft.asked, Asked::Session(_))).unwrap_or_default();
    // The PSP began an attempt: the buyer paid in the latest session.
    if let Some(Draft { asked: Asked::Session(attempts), .. }) = drafts.get_mut(latest_session) {
        attempts.extend(started(events));
    }
    let by_session = |attempt: u32| {
        let is_of = |d: &Draft| matches!(&d.asked, Asked::Session(attempts) if attempts.contains(&attempt));
        drafts.iter().position(is_of).or(Some(latest_session))
    };
    let asking = |asked: Asked| drafts.iter().rposition(|draft| draft.asked == asked);
    let found = match event {
        Event::ActionRequired { attempt, .. }
        | Event::PaymentAuthorized { attempt, .. }
        | Event::PaymentFailed { attempt, .. } => by_session(*attempt),
        Event::PaymentCaptured { attempt, reference, .. }
        | Event::CaptureFailed { attempt, reference, .. } => {
            let captures = order.attempts.iter().flat_map(|attempt| &attempt.captures);
            let asked = asked_id(captures, reference).and_then(|id| asking(Asked::Capture(CaptureId(id))));
            asked.or_else(|| by_session(*attempt))
        }
        Event::RefundSettled { reference, .. } | Event::RefundFailed { reference, .. } => {
            let refunds = order.attempts.iter().flat_map(|attempt| &attempt.refunds);
            asked_id(refunds, reference).and_then(|id| asking(Asked::Refund(RefundId(id))))
        }
        Event::PaymentVoided { .. } => asking(Asked::Cancellation),
        Event::CheckoutSubmitted(_)
        | Event::AttemptStarted { .. }
        | Event::AttemptLinked { .. }
        | Event::CaptureRequested { .. }
        | Event::CancellationRequested
        | Event::OrderCanceled
        | Event::OrderExpired
        | Event::AuthorizationExpired { .. }
        | Event::RefundRequested { .. }
        | Event::ChargebackOpened { .. }
        | Event::ChargebackWon { .. }
        | Event::ChargebackLost { .. }
        | Event::WebhookNoted { .. }
        | Event::SurfaceNoted { .. }
        | Event::PersonalDataForgotten => None,
    };
    let index = found.unwrap_or(drafts.len().saturating_sub(1));
    if let Some(draft) = drafts.get_mut(index) {
        draft.sub_steps.push(SubStep::of(at, event));
    }
}

/// The id under which the movement of this reference was asked for.
fn asked_id<'a>(movements: impl IntoIterator<Item = &'a Movement>, reference: &str) -> Option<Uuid> {
    movements.into_iter().find(|movement| movement.reference.as_deref() == Some(reference))?.id
}

impl SubStep {
    fn of(at: Timestamp, event: &Event) -> Self {
        let HistoryEvent { name, amount, reference, detail, attempt: _ } = HistoryEvent::of(event);
        let said = [amount.map(|amount| amount.to_string()), reference, detail];
        let said: Vec<String> = said.into_iter().flatten().collect();
        SubStep { at, code: name, detail: said.join(", ") }
    }
}

impl Draft {
    fn finish(self, order: &Order, order_id: &str) -> Step {
        let state = match &self.asked {
            Asked::Session(attempts) => status::session(order, attempts),
            Asked::Payment => status::payment(order),
            Asked::Capture(id) => status::capture(order, *id),
            Asked::Refund(id) => status::refund(order, *id),
            Asked::Cancellation => status::cancellation(order),
        };
        let transaction_id = match &self.asked {
            Asked::Session(_) | Asked::Payment | Asked::Cancellation => order_id.to_owned(),
            Asked::Capture(id) => id.to_string(),
            Asked::Refund(id) => id.to_string(),
        };
        Step {
            guid: self.guid,
            action: self.action,
            at: self.at,
            transaction_id,
            state,
            sub_steps: self.sub_steps,
        }
    }
}
