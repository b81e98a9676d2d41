//! From a commit in the feed to webhooks: which commits ask something of the sandbox, and what it answers.
//!
//! [`tasks`] and [`answer`] are pure; [`Job::run`] reads and sends around them. An answer follows from the order
//! as it is shown when the job runs, so a job that runs again says nothing new.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::doors::{Amount, Attempt, Doors, Order, Trail, Webhook, note_of};
use super::feed::Commit;
use super::names::{self, Note};
use super::scenario::{self, Report, Step};

/// Something that the feed asks of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    /// An attempt began: do what its token says.
    Begin {
        /// Which attempt.
        attempt: u32,
        /// Of its payment method, or of the card that was used on the page.
        token: String,
    },
    /// An attempt began with something that has no token: the buyer has to come to the page.
    Invite {
        /// Which attempt.
        attempt: u32,
    },
    /// The buyer answered the challenge.
    Answered {
        /// Which attempt.
        attempt: u32,
        /// Pass or fail.
        passed: bool,
    },
    /// The delay is over: report what was held back.
    Delayed {
        /// Which attempt.
        attempt: u32,
        /// As in `Begin`.
        token: String,
    },
    /// The shop asked for a capture.
    Capture {
        /// Which attempt.
        attempt: u32,
        /// Which capture.
        capture_id: String,
        /// How much.
        amount: Amount,
    },
    /// The shop asked for a refund.
    Refund {
        /// Which attempt.
        attempt: u32,
        /// Which refund.
        refund_id: String,
        /// How much.
        amount: Amount,
    },
    /// The shop gave the order up: let go of what is reserved.
    Release,
    /// The order expired: let go of what is reserved; and some speak only now.
    Expired,
}

/// Work that one commit made.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// Which order.
    pub(super) order_id: String,
    /// The order's name in links.
    tracking_number: String,
    /// When the commit was decided: the time of everything that is reported because of it.
    at: Timestamp,
    /// What to do.
    tasks: Vec<Task>,
}

/// What a commit asks of the sandbox; nothing, for most.
fn tasks(commit: &Commit) -> Vec<Task> {
    let from_the_page = commit.cause.is_from_the_sandbox();
    commit.events.iter().filter_map(|event| task(event, from_the_page)).collect()
}

fn task(event: &Value, from_the_page: bool) -> Option<Task> {
    let attempt = || event["attempt"].as_u64().and_then(|number| u32::try_from(number).ok());
    let text = |field: &str| event[field].as_str().map(str::to_owned);
    let amount = || serde_json::from_value(event["amount"].clone()).ok();
    match event["type"].as_str()? {
        // A payment with a reference was begun by a PSP, by a webhook: maybe by this one, just now.
        "attempt_started.v1" if event["payment_reference"].is_string() => None,
        "attempt_started.v1" if event["payment_method"].is_object() => {
            let attempt = attempt()?;
            let method = &event["payment_method"];
            let kind = method["type"].as_str().unwrap_or_default();
            Some(match scenario::token(kind, method["token"].as_str()) {
                Some(token) => Task::Begin { attempt, token: token.to_owned() },
                None => Task::Invite { attempt },
            })
        }
        "webhook_noted.v1" if from_the_page => match note_of(event)? {
            Note::Pay { attempt, token } => Some(Task::Begin { attempt, token }),
            Note::Answer { attempt, passed } => Some(Task::Answered { attempt, passed }),
        },
        "capture_requested.v1" => {
            Some(Task::Capture { attempt: attempt()?, capture_id: text("capture_id")?, amount: amount()? })
        }
        "refund_requested.v1" => {
            Some(Task::Refund { attempt: attempt()?, refund_id: text("refund_id")?, amount: amount()? })
        }
        "cancellation_requested.v1" => Some(Task::Release),
        "order_expired.v1" => Some(Task::Expired),
        _ => None,
    }
}

/// What is to be reported, and what is to be done later.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    webhooks: Vec<Webhook>,
    later: Option<Task>,
}

impl Job {
    /// The work that `commit` makes, if it makes any.
    pub(super) fn of(commit: &Commit) -> Option<Job> {
        let tasks = tasks(commit);
        (!tasks.is_empty()).then(|| Job {
            order_id: commit.order_id.clone(),
            tracking_number: commit.tracking_number.clone(),
            at: commit.decided_at,
            tasks,
        })
    }

    /// Reports all that there is to report now; returns what is to be done later, and when.
    pub(super) async fn run(self, doors: &Doors) -> Option<(Job, Duration)> {
        let mut later = None;
        let mut is_news = false;
        for task in &self.tasks {
            let Some(order) = doors.insist(|| doors.order(&self.order_id)).await else {
                tracing::error!(
                    order_id = self.order_id,
                    "sandbox: the feed speaks of an order that is not there"
                );
                continue;
            };
            let Some(trail) = self.trail(doors, task, &order).await else { continue };
            let answer = self.answer(task, &order, &trail, doors);
            for webhook in &answer.webhooks {
                doors.deliver(webhook).await;
            }
            is_news |= !answer.webhooks.is_empty();
            later = later.or(answer.later);
        }
        let task = later?;
        let delay = doors.settings().delay;
        // The delay runs from the report. After a restart nobody knows when that was; the commit's time will do.
        let wait = if is_news { delay } else { delay.saturating_sub(since(self.at)) };
        Some((Job { tasks: vec![task], ..self }, wait))
    }

    /// The order's trail, where the order alone does not say enough.
    async fn trail(&self, doors: &Doors, task: &Task, order: &Order) -> Option<Trail> {
        let has_token = |number: &u32| order.attempt(*number).is_some_and(|a| a.token().is_some());
        let order_suffices = match task {
            Task::Begin { .. } | Task::Invite { .. } | Task::Release => true,
            Task::Answered { attempt, .. } | Task::Capture { attempt, .. } | Task::Refund { attempt, .. } => {
                has_token(attempt)
            }
            Task::Delayed { .. } => false,
            Task::Expired => false,
        };
        if order_suffices {
            return Some(Trail::default());
        }
        doors.insist(|| doors.trail(&self.order_id)).await
    }

    fn answer(&self, task: &Task, order: &Order, trail: &Trail, doors: &Doors) -> Answer {
        let settings = doors.settings();
        let page_token = settings.webhook_secret.page_token(&settings.tenant, &self.tracking_number);
        let page = Page { public_url: &settings.public_url, token: &page_token };
        answer(self, task, order, trail, &page)
    }
}

/// The time from then until now; none, if the clocks disagree.
fn since(then: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(then)).unwrap_or_default()
}

/// What links to the hosted page are made of.
struct Page<'a> {
    public_url: &'a str,
    token: &'a str,
}

fn answer(job: &Job, task: &Task, order: &Order, trail: &Trail, page: &Page<'_>) -> Answer {
    let of = |attempt: u32| About { job, order, page, attempt };
    let token_of = |number: u32| {
        trail.token(number).or_else(|| order.attempt(number)?.token()).unwrap_or_default().to_owned()
    };
    let webhooks = match task {
        // A payment of an order that is over is not even tried.
        Task::Begin { .. } | Task::Invite { .. } | Task::Answered { .. } | Task::Delayed { .. }
            if order.is_over() =>
        {
            Vec::new()
        }
        Task::Begin { attempt, token } => {
            let (later, now): (Vec<Step>, Vec<Step>) =
                scenario::scenario(token, order.capture_mode()).into_iter().partition(|step| step.delayed);
            let webhooks = of(*attempt).report(&now);
            let delayed = Task::Delayed { attempt: *attempt, token: token.clone() };
            return Answer { webhooks, later: (!later.is_empty()).then_some(delayed) };
        }
        Task::Invite { attempt } => of(*attempt).invite(),
        Task::Answered { attempt, passed } => {
            let steps = scenario::after_challenge(&token_of(*attempt), *passed, order.capture_mode());
            of(*attempt).report(&steps)
        }
        Task::Delayed { .. } if trail.cancellation_requested => Vec::new(),
        Task::Delayed { attempt, token } => {
            let steps = scenario::scenario(token, order.capture_mode());
            let delayed: Vec<Step> = steps.into_iter().filter(|step| step.delayed).collect();
            of(*attempt).report(&delayed)
        }
        Task::Capture { attempt, capture_id, amount } => {
            let copies = scenario::copies(&token_of(*attempt));
            of(*attempt).captured(capture_id, amount, copies).into_iter().collect()
        }
        Task::Refund { attempt, refund_id, amount } => {
            let copies = scenario::copies(&token_of(*attempt));
            of(*attempt).refunded(refund_id, amount, copies).into_iter().collect()
        }
        Task::Release => order.attempts.iter().filter_map(|a| of(a.attempt).voided(a)).collect(),
        Task::Expired => {
            let mut webhooks: Vec<Webhook> =
                order.attempts.iter().filter_map(|a| of(a.attempt).voided(a)).collect();
            let with_token = order.attempts.iter().filter_map(|a| Some((a.attempt, a.token()?)));
            for (attempt, token) in with_token.chain(trail.paid()) {
                webhooks.extend(of(attempt).report(&scenario::after_expiry(token)));
            }
            webhooks
        }
    };
    Answer { webhooks, later: None }
}

/// One attempt of one order, to be reported on.
struct About<'a> {
    job: &'a Job,
    order: &'a Order,
    page: &'a Page<'a>,
    attempt: u32,
}

impl About<'_> {
    /// The steps that Daybook has not been told of yet.
    fn report(&self, steps: &[Step]) -> Vec<Webhook> {
        let attempt = self.order.attempt(self.attempt);
        if attempt.is_some_and(|attempt| !attempt.is_ours(&self.order.order_id)) {
            return Vec::new();
        }
        // Repeating is the point of a step with copies, and of the one after it.
        let repeats = steps.iter().any(|step| step.copies > 1);
        let is_new = |step: &&Step| repeats || !attempt.is_some_and(|a| self.is_told(a, step.report));
        steps.iter().filter(is_new).map(|step| self.step(step)).collect()
    }

    fn is_told(&self, attempt: &Attempt, report: Report) -> bool {
        match report {
            Report::ActionRequired => {
                let challenge = names::challenge(&self.order.order_id, self.attempt);
                attempt.challenge_id() == Some(challenge.as_str())
            }
            Report::Authorized => attempt.authorized > 0,
            Report::Captured => {
                let reference = names::automatic_capture(&self.order.order_id, self.attempt);
                attempt.captures.iter().any(|c| c.reference.as_ref() == Some(&reference) && c.is_answered())
            }
            Report::Failed(_) => attempt.failure_reason.is_some(),
        }
    }

    fn step(&self, step: &Step) -> Webhook {
        let order_id = &self.order.order_id;
        let (kind, more) = match step.report {
            Report::ActionRequired => {
                let payment = names::payment_reference(order_id, self.attempt);
                let url = format!("{}&payment={payment}", self.page_url("challenge"));
                let id = names::challenge(order_id, self.attempt);
                ("payment.action_required", json!({"challenge": {"url": url, "id": id}}))
            }
            Report::Authorized => ("payment.authorized", json!({"amount": self.order.amount})),
            Report::Captured => {
                let reference = names::automatic_capture(order_id, self.attempt);
                ("payment.captured", json!({"amount": self.order.amount, "reference": reference}))
            }
            Report::Failed(reason) => ("payment.failed", json!({"reason": reason})),
        };
        self.webhook(step.name, kind, step.copies, more)
    }

    fn invite(&self) -> Vec<Webhook> {
        let id = names::page_visit(&self.order.order_id, self.attempt);
        let is_heard = self.order.attempt(self.attempt).is_some_and(|a| a.challenge.is_some());
        if is_heard {
            return Vec::new();
        }
        let challenge = json!({"challenge": {"url": self.page_url("pay"), "id": id}});
        vec![self.webhook("invited", "payment.action_required", 1, challenge)]
    }

    fn captured(&self, capture_id: &str, amount: &Amount, copies: u32) -> Option<Webhook> {
        let attempt = self.ours()?;
        let reference = names::capture(capture_id);
        if is_answered(&attempt.captures, &reference) {
            return None;
        }
        let data = json!({"amount": amount, "capture_id": capture_id, "reference": reference});
        Some(self.webhook(&reference, "payment.captured", copies, data))
    }

    fn refunded(&self, refund_id: &str, amount: &Amount, copies: u32) -> Option<Webhook> {
        let attempt = self.ours()?;
        let reference = names::refund(refund_id);
        if is_answered(&attempt.refunds, &reference) {
            return None;
        }
        let data = json!({"amount": amount, "refund_id": refund_id, "reference": reference});
        Some(self.webhook(&reference, "refund.settled", copies, data))
    }

    /// Lets go of what is reserved and not captured.
    fn voided(&self, attempt: &Attempt) -> Option<Webhook> {
        let holds = attempt.status == "authorized" && !attempt.is_captured();
        let is_ours = attempt.is_ours(&self.order.order_id);
        (holds && is_ours).then(|| self.webhook("voided", "payment.voided", 1, json!({})))
    }

    /// The attempt, if it is one that the sandbox has a say in.
    fn ours(&self) -> Option<&Attempt> {
        self.order.attempt(self.attempt).filter(|attempt| attempt.is_ours(&self.order.order_id))
    }

    fn webhook(&self, what: &str, kind: &str, copies: u32, more: Value) -> Webhook {
        let order_id = &self.order.order_id;
        let mut data = json!({
            "order_id": order_id,
            "payment_reference": names::payment_reference(order_id, self.attempt),
            "attempt": self.attempt,
        });
        if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
            data.extend(more);
        }
        let id = names::event_id(order_id, self.attempt, what);
        Webhook { id, kind: kind.to_owned(), at: self.job.at, data, copies }
    }

    fn page_url(&self, page: &str) -> String {
        let Page { public_url, token } = self.page;
        let public_url = public_url.trim_end_matches('/');
        format!("{public_url}/sandbox/{page}/{}?token={token}", self.order.tracking_number)
    }
}

fn is_answered(movements: &[super::doors::Movement], reference: &str) -> bool {
    movements.iter().any(|m| m.reference.as_deref() == Some(reference) && m.is_answered())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Page<'_> = Page { public_url: "https://pay.example/", token: "pt_x" };

    fn commit(cause: Value, event: Value) -> Commit {
        let commit = json!({
            "position": "0-2", "order_id": "o", "tracking_number": "trk_o", "status": "processing",
            "decided_at": "2026-11-20T10:00:00.123Z", "cause": cause, "events": [event],
        });
        serde_json::from_value(commit).unwrap()
    }

    fn from(source: &str) -> Value {
        json!({"type": "webhook", "source": source, "event_id": "e"})
    }

    fn begin(token: &str) -> Task {
        Task::Begin { attempt: 1, token: token.to_owned() }
    }

    fn money(value: i64) -> Value {
        json!({"minor": value, "currency": "EUR", "exponent": 2})
    }

    fn order(status: &str, attempts: Value) -> Order {
        let order = json!({
            "order_id": "o", "tracking_number": "trk_o", "status": status, "capture": "automatic",
            "amount": {"value": 1999, "currency": "EUR"}, "merchant_reference": "A-1", "attempts": attempts,
        });
        serde_json::from_value(order).unwrap()
    }

    fn attempt(status: &str, more: Value) -> Value {
        let mut attempt = json!({"attempt": 1, "status": status, "authorized": 0});
        if let (Value::Object(attempt), Value::Object(more)) = (&mut attempt, more) {
            attempt.extend(more);
        }
        json!([attempt])
    }

    fn answer_to(task: &Task, order: &Order, trail: &Trail) -> Answer {
        let job = Job {
            order_id: "o".to_owned(),
            tracking_number: "trk_o".to_owned(),
            at: "2026-11-20T10:00:00Z".parse().unwrap(),
            tasks: vec![],
        };
        answer(&job, task, order, trail, &PAGE)
    }

    #[track_caller]
    fn check(task: Task, order: &Order, trail: &Trail, expect: &[(&str, &str)]) -> Answer {
        let answer = answer_to(&task, order, trail);
        let said: Vec<(&str, &str)> =
            answer.webhooks.iter().map(|w| (w.kind.as_str(), w.id.as_str())).collect();
        assert_eq!(said, expect);
        answer
    }

    #[test]
    fn each_event_asks_for_its_task() {
        let method = |method| json!({"type": "attempt_started.v1", "attempt": 1, "payment_method": method});
        let asked = |event| tasks(&commit(from("sandbox"), event));
        assert_eq!(asked(method(json!({"type": "card", "token": "tok_3ds"}))), [begin("tok_3ds")]);
        assert_eq!(asked(method(json!({"type": "paypal"}))), [Task::Invite { attempt: 1 }]);
        assert_eq!(asked(method(json!({"type": "invoice"}))), [begin("tok_3ds")]);
        assert_eq!(
            asked(method(json!({"type": "invoice", "token": "tok_declined"}))),
            [begin("tok_declined")]
        );
        let by_a_psp = json!({"type": "attempt_started.v1", "attempt": 1, "payment_reference": "pay_1"});
        assert_eq!(asked(by_a_psp), []);
        let capture =
            json!({"type": "capture_requested.v1", "attempt": 1, "capture_id": "c", "amount": money(5)});
        let amount = Amount { value: 5, currency: "EUR".to_owned() };
        let expect = Task::Capture { attempt: 1, capture_id: "c".to_owned(), amount: amount.clone() };
        assert_eq!(asked(capture), [expect]);
        let refund =
            json!({"type": "refund_requested.v1", "attempt": 1, "refund_id": "r", "amount": money(5)});
        assert_eq!(asked(refund), [Task::Refund { attempt: 1, refund_id: "r".to_owned(), amount }]);
        assert_eq!(asked(json!({"type": "cancellation_requested.v1"})), [Task::Release]);
        assert_eq!(asked(json!({"type": "order_expired.v1"})), [Task::Expired]);
        assert_eq!(asked(json!({"type": "payment_captured.v1", "attempt": 1})), []);
        assert_eq!(asked(json!({"type": "something_new.v7"})), []);
    }

    #[test]
    fn the_pages_word_counts_only_from_the_sandboxs_own_source() {
        let noted = json!({"type": "webhook_noted.v1", "kind": "sandbox.pay.1.tok_success"});
        assert_eq!(tasks(&commit(from("sandbox"), noted.clone())), [begin("tok_success")]);
        assert_eq!(tasks(&commit(from("other"), noted)), []);
    }

    #[test]
    fn a_payment_is_told_under_names_that_follow_from_the_order() {
        let fresh = order("processing", attempt("processing", json!({})));
        let expect = [("payment.authorized", "evt_o_1_authorized"), ("payment.captured", "evt_o_1_captured")];
        let answer = check(begin("tok_success"), &fresh, &Trail::default(), &expect);
        let data = json!({"order_id": "o", "payment_reference": "pay_o_1", "attempt": 1,
            "amount": {"value": 1999, "currency": "EUR"}, "reference": "cap_o_1"});
        assert_eq!(answer.webhooks[1].data, data);
    }

    #[test]
    fn what_has_been_told_is_not_told_again_after_a_restart() {
        let told = attempt("authorized", json!({"authorized": 1999, "payment_reference": "pay_o_1"}));
        let expect = [("payment.captured", "evt_o_1_captured")];
        check(begin("tok_success"), &order("authorized", told), &Trail::default(), &expect);
        let capture = json!({"reference": "cap_o_1", "status": "settled"});
        let all = attempt("captured", json!({"authorized": 1999, "captures": [capture]}));
        check(begin("tok_success"), &order("captured", all.clone()), &Trail::default(), &[]);
        let again = answer_to(&begin("tok_duplicate_webhooks"), &order("captured", all), &Trail::default());
        assert_eq!(again.webhooks.iter().map(|w| w.copies).sum::<u32>(), 7, "repeating is its point");
    }

    #[test]
    fn a_challenge_leads_to_the_page_with_a_token_of_the_sandboxs_own() {
        let fresh = order("processing", attempt("processing", json!({})));
        let expect = [("payment.action_required", "evt_o_1_action_required")];
        let answer = check(begin("tok_3ds"), &fresh, &Trail::default(), &expect);
        let url = "https://pay.example/sandbox/challenge/trk_o?token=pt_x&payment=pay_o_1";
        assert_eq!(answer.webhooks[0].data["challenge"], json!({"url": url, "id": "chl_o_1"}));
        let expect = [("payment.action_required", "evt_o_1_invited")];
        let answer = check(Task::Invite { attempt: 1 }, &fresh, &Trail::default(), &expect);
        let url = "https://pay.example/sandbox/pay/trk_o?token=pt_x";
        assert_eq!(answer.webhooks[0].data["challenge"], json!({"url": url, "id": "page_o_1"}));
    }

    #[test]
    fn a_delayed_capture_comes_later_unless_the_order_was_given_up() {
        let fresh = order("processing", attempt("processing", json!({})));
        let expect = [("payment.authorized", "evt_o_1_authorized")];
        let answer = check(begin("tok_delayed"), &fresh, &Trail::default(), &expect);
        let later = answer.later.unwrap();
        let authorized = order("authorized", attempt("authorized", json!({"authorized": 1999})));
        let expect = [("payment.captured", "evt_o_1_captured")];
        check(later.clone(), &authorized, &Trail::default(), &expect);
        let given_up = Trail { cancellation_requested: true, ..Trail::default() };
        check(later, &authorized, &given_up, &[]);
    }

    #[test]
    fn captures_and_refunds_are_answered_once_and_only_for_own_payments() {
        let amount = Amount { value: 500, currency: "EUR".to_owned() };
        let capture = Task::Capture { attempt: 1, capture_id: "c".to_owned(), amount: amount.clone() };
        let refund = Task::Refund { attempt: 1, refund_id: "r".to_owned(), amount };
        let ours = order("authorized", attempt("authorized", json!({"payment_reference": "pay_o_1"})));
        let answer =
            check(capture.clone(), &ours, &Trail::default(), &[("payment.captured", "evt_o_1_cap_c")]);
        assert_eq!(answer.webhooks[0].data["capture_id"], "c");
        assert_eq!(answer.webhooks[0].data["amount"], json!({"value": 500, "currency": "EUR"}));
        check(refund.clone(), &ours, &Trail::default(), &[("refund.settled", "evt_o_1_ref_r")]);
        let theirs = order("authorized", attempt("authorized", json!({"payment_reference": "pi_3"})));
        check(capture, &theirs, &Trail::default(), &[]);
        let done = json!({"refunds": [{"reference": "ref_r", "status": "settled"}]});
        check(refund, &order("refunded", attempt("refunded", done)), &Trail::default(), &[]);
    }

    #[test]
    fn a_canceled_order_is_voided_if_something_was_authorized() {
        let authorized = order("authorized", attempt("authorized", json!({"authorized": 1999})));
        check(Task::Release, &authorized, &Trail::default(), &[("payment.voided", "evt_o_1_voided")]);
        let nothing = order("canceled", attempt("processing", json!({})));
        check(Task::Release, &nothing, &Trail::default(), &[]);
    }

    #[test]
    fn nothing_is_tried_for_an_order_that_is_over_and_the_late_one_speaks_only_then() {
        let over = order(
            "expired",
            attempt("processing", json!({"payment_method": {"type": "card", "token": "tok_late_webhook"}})),
        );
        check(begin("tok_success"), &over, &Trail::default(), &[]);
        check(Task::Answered { attempt: 1, passed: true }, &over, &Trail::default(), &[]);
        check(Task::Expired, &over, &Trail::default(), &[("payment.captured", "evt_o_1_captured")]);
        let on_the_page = Trail::with(vec![Note::Pay { attempt: 1, token: "tok_late_webhook".to_owned() }]);
        let expect = [("payment.captured", "evt_o_1_captured")];
        check(Task::Expired, &order("expired", json!([])), &on_the_page, &expect);
    }

    #[test]
    fn a_challenge_answer_is_read_with_the_card_that_was_used() {
        let waiting =
            order("action_required", attempt("action_required", json!({"challenge": {"id": "chl_o_1"}})));
        let paid = |token: &str| Trail::with(vec![Note::Pay { attempt: 1, token: token.to_owned() }]);
        let passed = || Task::Answered { attempt: 1, passed: true };
        let success =
            [("payment.authorized", "evt_o_1_authorized"), ("payment.captured", "evt_o_1_captured")];
        check(passed(), &waiting, &paid("tok_3ds"), &success);
        check(passed(), &waiting, &paid("tok_3ds_failed"), &[("payment.failed", "evt_o_1_failed")]);
        let failed = Task::Answered { attempt: 1, passed: false };
        check(failed, &waiting, &paid("tok_3ds"), &[("payment.failed", "evt_o_1_failed")]);
    }
}
