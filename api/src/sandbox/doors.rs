//! The public doors, from outside: orders, their events, the status route, cancellations and webhooks, over HTTP.
//!
//! At most [`CONCURRENT_REQUESTS`] requests of the worker are under way at once; whoever waits to try again does
//! not count. No error says a URL, since URLs carry tokens.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::names::{self, Note};
use super::scenario::{self, CaptureMode};
use super::{Backoff, SOURCE, Settings};

/// How many requests of the worker are under way at once.
const CONCURRENT_REQUESTS: usize = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a door did not open.
#[derive(Debug, thiserror::Error)]
pub(super) enum DoorError {
    /// No answer; what was asked may have happened.
    #[error("no answer: {0}")]
    Unreachable(reqwest::Error),
    /// An answer that says no.
    #[error("answered {0}")]
    Refused(StatusCode),
    /// An answer that cannot be read.
    #[error("unreadable answer: {0}")]
    Unreadable(serde_json::Error),
}

impl From<reqwest::Error> for DoorError {
    fn from(error: reqwest::Error) -> Self {
        DoorError::Unreachable(error.without_url())
    }
}

impl DoorError {
    /// Whether the same request will be answered the same for ever.
    pub(super) fn is_final(&self) -> bool {
        match self {
            DoorError::Unreachable(_) | DoorError::Unreadable(_) => false,
            DoorError::Refused(status) => {
                let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_client_error() && !passing.contains(status)
            }
        }
    }

    /// Whether the request cannot be understood there.
    pub(super) fn is_bad_request(&self) -> bool {
        matches!(self, DoorError::Refused(StatusCode::BAD_REQUEST))
    }

    /// Whether there is no such order for us.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, DoorError::Refused(StatusCode::NOT_FOUND))
    }
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Amount {
    /// Minor units. The API calls it `value`, an event in the log `minor`.
    #[serde(alias = "minor")]
    pub(super) value: i64,
    /// ISO 4217.
    pub(super) currency: String,
}

/// An order as the API shows it: what the sandbox needs of it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Order {
    pub(super) order_id: String,
    pub(super) tracking_number: String,
    pub(super) status: String,
    pub(super) amount: Amount,
    pub(super) merchant_reference: String,
    capture: String,
    #[serde(default)]
    pub(super) return_urls: Option<ReturnUrls>,
    #[serde(default)]
    pub(super) attempts: Vec<Attempt>,
    /// Of the answer, for waiting for a change.
    #[serde(skip)]
    pub(super) etag: Option<String>,
}

/// Where the buyer's browser goes afterwards.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct ReturnUrls {
    pub(super) success: Option<String>,
    pub(super) failure: Option<String>,
    pub(super) cancel: Option<String>,
}

/// A payment attempt as the API shows it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Attempt {
    pub(super) attempt: u32,
    pub(super) status: String,
    #[serde(default)]
    pub(super) payment_reference: Option<String>,
    #[serde(default)]
    pub(super) payment_method: Option<PaymentMethod>,
    #[serde(default)]
    pub(super) failure_reason: Option<String>,
    #[serde(default)]
    pub(super) challenge: Option<Challenge>,
    /// Minor units.
    #[serde(default)]
    pub(super) authorized: i64,
    #[serde(default)]
    pub(super) captures: Vec<Movement>,
    #[serde(default)]
    pub(super) refunds: Vec<Movement>,
}

/// What the buyer pays with.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PaymentMethod {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) token: Option<String>,
}

/// The buyer's challenge.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Challenge {
    #[serde(default)]
    pub(super) id: Option<String>,
}

/// A capture or a refund.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Movement {
    #[serde(default)]
    pub(super) reference: Option<String>,
    pub(super) status: String,
}

impl Movement {
    /// The PSP has answered.
    pub(super) fn is_answered(&self) -> bool {
        self.status != "pending"
    }
}

impl Order {
    pub(super) fn capture_mode(&self) -> CaptureMode {
        if self.capture == "manual" { CaptureMode::Manual } else { CaptureMode::Automatic }
    }

    /// The attempt with this number.
    pub(super) fn attempt(&self, number: u32) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.attempt == number)
    }

    /// Daybook has ended the order, or it was given up.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "canceled" | "expired")
    }

    /// The buyer has paid.
    pub(super) fn is_paid(&self) -> bool {
        let paid = ["authorized", "partially_captured", "captured", "partially_refunded", "refunded"];
        paid.contains(&self.status.as_str())
    }
}

impl Attempt {
    /// The token that came with the checkout, or that its kind of payment method stands for.
    pub(super) fn token(&self) -> Option<&str> {
        let method = self.payment_method.as_ref()?;
        scenario::token(&method.kind, method.token.as_deref())
    }

    /// Whether this payment is the sandbox's: nobody else has put a name on it.
    pub(super) fn is_ours(&self, order_id: &str) -> bool {
        let ours = names::payment_reference(order_id, self.attempt);
        self.payment_reference.as_ref().is_none_or(|reference| *reference == ours)
    }

    /// The id of the challenge that the buyer was last sent to.
    pub(super) fn challenge_id(&self) -> Option<&str> {
        self.challenge.as_ref()?.id.as_deref()
    }

    /// Money was taken.
    pub(super) fn is_captured(&self) -> bool {
        self.captures.iter().any(|capture| capture.status == "settled")
    }
}

/// What an order's history tells beyond the order itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trail {
    /// What the buyer did on the page.
    pub(super) notes: Vec<Note>,
    /// The shop has asked to give the order up.
    pub(super) cancellation_requested: bool,
    /// Digits after the point in the order's currency.
    pub(super) exponent: Option<usize>,
}

impl Trail {
    /// The token of the card that was used on the page for this attempt.
    pub(super) fn token(&self, number: u32) -> Option<&str> {
        self.notes.iter().find_map(|note| match note {
            Note::Pay { attempt, token } if *attempt == number => Some(token.as_str()),
            Note::Pay { .. } | Note::Answer { .. } => None,
        })
    }

    /// Whether this attempt's challenge was answered.
    pub(super) fn is_answered(&self, number: u32) -> bool {
        self.notes.iter().any(|note| matches!(note, Note::Answer { attempt, .. } if *attempt == number))
    }

    /// Every attempt that was paid on the page, with its card's token.
    pub(super) fn paid(&self) -> impl Iterator<Item = (u32, &str)> {
        self.notes.iter().filter_map(|note| match note {
            Note::Pay { attempt, token } => Some((*attempt, token.as_str())),
            Note::Answer { .. } => None,
        })
    }

    fn of(events: Events) -> Trail {
        let mut trail = Trail::default();
        for commit in &events.commits {
            let is_ours = commit.cause.is_from_the_sandbox();
            for event in &commit.events {
                if event["type"] == "cancellation_requested.v1" {
                    trail.cancellation_requested = true;
                }
                let exponent = event["amount"]["exponent"].as_u64().and_then(|n| usize::try_from(n).ok());
                trail.exponent = trail.exponent.or(exponent);
                trail.notes.extend(note_of(event).filter(|_| is_ours));
            }
        }
        trail
    }

    #[cfg(test)]
    pub(super) fn with(notes: Vec<Note>) -> Trail {
        Trail { notes, ..Trail::default() }
    }
}

/// What an event says of a buyer on the page, if it does.
pub(super) fn note_of(event: &Value) -> Option<Note> {
    if event["type"] == "webhook_noted.v1" { Note::from_kind(event["kind"].as_str()?) } else { None }
}

/// An order's events, as the API shows them.
#[derive(Debug, Deserialize)]
struct Events {
    commits: Vec<EventsCommit>,
}

#[derive(Debug, Deserialize)]
struct EventsCommit {
    cause: Cause,
    events: Vec<Value>,
}

/// What caused a commit.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Cause {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    source: Option<String>,
}

impl Cause {
    /// Only what came in by the sandbox's own signed webhooks is taken for the page's word.
    pub(super) fn is_from_the_sandbox(&self) -> bool {
        self.kind == "webhook" && self.source.as_deref() == Some(SOURCE)
    }
}

/// A webhook to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Webhook {
    /// The webhook id; the same for the same statement, always.
    pub(super) id: String,
    /// Its type.
    pub(super) kind: String,
    /// When it happened, which is not when it is sent.
    pub(super) at: Timestamp,
    /// What it says.
    pub(super) data: Value,
    /// How often it is sent.
    pub(super) copies: u32,
}

impl Webhook {
    /// The report of what a buyer did on the page.
    pub(super) fn of_note(order_id: &str, note: &Note, at: Timestamp) -> Webhook {
        // Without a payment reference: it is about the order, and begins no attempt.
        let data = json!({"order_id": order_id, "attempt": note.attempt()});
        Webhook { id: note.event_id(order_id), kind: note.kind(), at, data, copies: 1 }
    }

    fn body(&self) -> String {
        json!({"type": self.kind, "timestamp": format!("{:.3}", self.at), "data": self.data}).to_string()
    }
}

/// Daybook, as seen from outside.
#[derive(Debug)]
pub(super) struct Doors {
    client: Client,
    settings: Settings,
    permits: Semaphore,
}

impl Doors {
    /// Connects to nothing yet.
    pub(super) fn new(settings: Settings) -> Result<Doors, DoorError> {
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()?;
        Ok(Doors { client, settings, permits: Semaphore::new(CONCURRENT_REQUESTS) })
    }

    /// How this sandbox is set up.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Begins to follow the feed after `cursor`, or from the beginning of the log.
    pub(super) async fn feed(&self, cursor: Option<&str>) -> Result<Response, DoorError> {
        let mut request = self.get("/v1/feed").header(ACCEPT, "text/event-stream");
        if let Some(cursor) = cursor {
            request = request.query(&[("after", cursor)]);
        }
        accepted(request.send().await?)
    }

    /// An order, by its id or tracking number.
    pub(super) async fn order(&self, id: &str) -> Result<Order, DoorError> {
        let response = self.send(self.get(&format!("/v1/orders/{id}"))).await?;
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        Ok(Order { etag, ..read(response).await? })
    }

    /// What an order's events tell.
    pub(super) async fn trail(&self, id: &str) -> Result<Trail, DoorError> {
        let response = self.send(self.get(&format!("/v1/orders/{id}/events"))).await?;
        Ok(Trail::of(read(response).await?))
    }

    /// Whether a status token opens this order.
    pub(super) async fn status_token_opens(&self, token: &str, id: &str) -> Result<bool, DoorError> {
        let request =
            self.client.get(self.url(&format!("/v1/orders/{id}/status"))).query(&[("token", token)]);
        match self.send(request).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_final() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns when the order is no longer the one of this answer, or after `wait`.
    pub(super) async fn wait_for_change(&self, order: &Order, wait: Duration) -> Result<(), DoorError> {
        let path = format!("/v1/orders/{}/status", order.order_id);
        let mut request = self.get(&path).query(&[("wait", format!("{}ms", wait.as_millis()))]);
        if let Some(etag) = &order.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.timeout(wait + CONNECT_TIMEOUT).send().await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(());
        }
        accepted(response).map(drop)
    }

    /// Asks to give the order up. Asking again is the same request. `false`: it cannot be given up.
    pub(super) async fn cancel(&self, order_id: &str) -> Result<bool, DoorError> {
        let request = self
            .client
            .post(self.url(&format!("/v1/orders/{order_id}/cancellations")))
            .bearer_auth(self.settings.api_key.reveal())
            .header("Idempotency-Key", "sandbox-page-cancel");
        match self.send(request).await {
            Ok(_) => Ok(true),
            Err(DoorError::Refused(StatusCode::CONFLICT)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a webhook once, freshly signed.
    pub(super) async fn send_webhook(&self, webhook: &Webhook) -> Result<(), DoorError> {
        let body = webhook.body();
        let now = Timestamp::now().as_second();
        let signature = self.settings.webhook_secret.signature(&webhook.id, now, body.as_bytes());
        let request = self
            .client
            .post(self.url(&format!("/webhooks/{}/{SOURCE}", self.settings.tenant)))
            .header("Content-Type", "application/json")
            .header("webhook-id", &webhook.id)
            .header("webhook-timestamp", now.to_string())
            .header("webhook-signature", signature)
            .body(body);
        let response = self.send(request).await?;
        if response.status() == StatusCode::ACCEPTED {
            tracing::warn!(id = webhook.id, kind = webhook.kind, "sandbox: a webhook was quarantined");
        }
        Ok(())
    }

    /// Sends a webhook as often as it says, each until it is taken. One that never will be is given up, loudly.
    pub(super) async fn deliver(&self, webhook: &Webhook) {
        for _ in 0..webhook.copies {
            let mut backoff = Backoff::default();
            loop {
                match self.send_webhook(webhook).await {
                    Ok(()) => break,
                    Err(error) if error.is_final() => {
                        tracing::error!(id = webhook.id, %error, "sandbox: a webhook was refused; giving it up");
                        return;
                    }
                    Err(error) => {
                        tracing::debug!(id = webhook.id, %error, "sandbox: a webhook will be sent again");
                        backoff.wait().await;
                    }
                }
            }
        }
    }

    /// Reads until it works; `None` if there is no such order.
    pub(super) async fn insist<T, F>(&self, read: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, DoorError>>,
    {
        let mut backoff = Backoff::default();
        loop {
            match read().await {
                Ok(value) => return Some(value),
                Err(error) if error.is_not_found() => return None,
                Err(error) => {
                    tracing::debug!(%error, "sandbox: an order will be read again");
                    backoff.wait().await;
                }
            }
        }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path)).bearer_auth(self.settings.api_key.reveal())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.base_url.trim_end_matches('/'))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, DoorError> {
        // The semaphore is never closed; without a permit the request would only be one too many.
        let _permit = self.permits.acquire().await;
        accepted(request.timeout(REQUEST_TIMEOUT).send().await?)
    }
}

fn accepted(response: Response) -> Result<Response, DoorError> {
    let status = response.status();
    if status.is_success() { Ok(response) } else { Err(DoorError::Refused(status)) }
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, DoorError> {
    serde_json::from_slice(&response.bytes().await?).map_err(DoorError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sandboxs_own_webhooks_are_the_pages_word() {
        let noted = |source: &str, kind: &str| {
            json!({"position": "0-2", "cause": {"type": "webhook", "source": source, "event_id": "e"},
                   "events": [{"type": "webhook_noted.v1", "kind": kind}]})
        };
        let commits = json!({"commits": [
            {"position": "0-1", "cause": {"type": "command", "operation": "checkout", "idempotency_key": null},
             "events": [{"type": "checkout_submitted.v1", "amount": {"minor": 1, "currency": "KWD", "exponent": 3}}]},
            noted("other", "sandbox.pay.1.tok_success"),
            noted("sandbox", "sandbox.pay.1.tok_3ds"),
            noted("sandbox", "sandbox.challenge.1.passed"),
        ]});
        let trail = Trail::of(serde_json::from_value(commits).unwrap());
        assert_eq!(trail.token(1), Some("tok_3ds"));
        assert!(trail.is_answered(1));
        assert_eq!(trail.token(2), None);
        assert!(!trail.cancellation_requested);
        assert_eq!(trail.exponent, Some(3));
    }

    #[test]
    fn a_webhook_body_is_the_same_whenever_it_is_sent() {
        let at = "2026-11-20T10:00:01Z".parse().unwrap();
        let note = Note::Pay { attempt: 1, token: "tok_success".to_owned() };
        let webhook = Webhook::of_note("o", &note, at);
        let expect = r#"{"data":{"attempt":1,"order_id":"o"},"timestamp":"2026-11-20T10:00:01.000Z","type":"sandbox.pay.1.tok_success"}"#;
        assert_eq!(webhook.body(), expect);
    }
}
