//! The hosted page: where a buyer pays, passes a challenge, and learns the outcome. No script, no cookies.
//!
//! It holds nothing: what it shows follows from the order, and what a buyer does goes out as a signed webhook that
//! the worker acts on. A card number is turned into its token as it arrives and is never kept, shown again,
//! logged, or put into a URL. The token in every form is what proves that the buyer sent it.

mod html;
mod links;
mod stage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, RawForm, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use jiff::Timestamp;
use reqwest::Url;
use serde::Deserialize;

use self::html::Alert;
use self::stage::{Outcome, Stage, outcome, stage};
use super::cards::{self, CardRefused};
use super::doors::{DoorError, Doors, Order, Trail, Webhook};
use super::names::{self, Note};
use super::{Backoff, Settings, signing};

/// How long a buyer's request waits for the outcome before the waiting page is shown.
const PATIENCE: Duration = Duration::from_secs(8);
/// How often a buyer's webhook is tried before the buyer is told.
const TRIES: u32 = 4;
const FORM_LIMIT: usize = 16 * 1024;

/// The routes under `/sandbox`.
pub(super) fn router(settings: Arc<Settings>) -> Router {
    let doors = match Doors::new(Settings::clone(&settings)) {
        Ok(doors) => Arc::new(doors),
        Err(error) => {
            tracing::error!(%error, "sandbox: cannot make requests; there is no hosted page");
            return Router::new();
        }
    };
    Router::new()
        .route("/sandbox/pay/{tracking_number}", get(show_payment).post(pay_or_cancel))
        .route("/sandbox/challenge/{tracking_number}", get(show_challenge).post(answer_challenge))
        .route("/sandbox/result/{tracking_number}", get(show_result))
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
        .with_state(doors)
}

type Page = State<Arc<Doors>>;

/// What the pages' links carry.
#[derive(Debug, Default, Deserialize)]
struct Link {
    #[serde(default)]
    token: String,
    #[serde(default)]
    payment: String,
    #[serde(default)]
    attempt: u32,
}

/// Why there is nothing to show. Never says whether an order exists.
enum Refused {
    NotFound,
    Unavailable(DoorError),
}

impl From<DoorError> for Refused {
    fn from(error: DoorError) -> Self {
        if error.is_not_found() { Refused::NotFound } else { Refused::Unavailable(error) }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Refused::NotFound => {
                let html = html::page("Not found", None, "<p>There is no payment behind this link.</p>");
                page(StatusCode::NOT_FOUND, "'none'", html)
            }
            Refused::Unavailable(error) => {
                tracing::warn!(%error, "sandbox: the page cannot reach Daybook");
                let text =
                    "<p>The sandbox cannot reach the shop's ledger. Nothing is lost; please try again.</p>";
                let html = html::page("One moment", None, text);
                page(StatusCode::SERVICE_UNAVAILABLE, "'none'", html)
            }
        }
    }
}

/// An order that a buyer was let in to.
struct Visit {
    order: Order,
    trail: Trail,
    /// What let the buyer in; it goes into the page's own links.
    token: String,
}

async fn show_payment(
    State(doors): Page,
    Path(id): Path<String>,
    Query(link): Query<Link>,
) -> Result<Response, Refused> {
    let visit = admit(&doors, &id, link.token).await?;
    Ok(match stage(&visit.order, &visit.trail) {
        Stage::Form { attempt, failed } => {
            visit.form(StatusCode::OK, attempt, failed.as_deref().map(Alert::Failed))
        }
        Stage::Challenge { attempt } => see_other(&visit.challenge_link(attempt)),
        Stage::Waiting { .. } => visit.show(html::waiting(&visit.order, &visit.trail)),
        Stage::Paid => visit.tell(Outcome::Success),
        Stage::Canceled => visit.tell(Outcome::Cancel),
        Stage::Expired => visit.tell(Outcome::Failure),
    })
}

async fn pay_or_cancel(
    State(doors): Page,
    Path(id): Path<String>,
    RawForm(body): RawForm,
) -> Result<Response, Refused> {
    let form = Form::parse(&body);
    let visit = admit(&doors, &id, form.get("token")).await?;
    if form.get("action") == "cancel" {
        return cancel(&doors, visit).await;
    }
    let attempt: u32 = form.get("attempt").parse().unwrap_or_default();
    match stage(&visit.order, &visit.trail) {
        Stage::Form { attempt: due, .. } if due == attempt => {
            let token = match cards::token_of(&form.get("number")) {
                Ok(token) => token.to_owned(),
                Err(refused) => {
                    let alert = match refused {
                        CardRefused::Invalid => "This is not a card number. Is there a typing error?",
                        CardRefused::NotATestCard => "Only the test cards below work here.",
                    };
                    return Ok(visit.form(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        attempt,
                        Some(Alert::Input(alert)),
                    ));
                }
            };
            report(&doors, &visit, Note::Pay { attempt, token }).await?;
        }
        // A second click, or an old tab: what became of the first is all there is to say.
        Stage::Form { .. }
        | Stage::Waiting { .. }
        | Stage::Challenge { .. }
        | Stage::Paid
        | Stage::Canceled
        | Stage::Expired => {}
    }
    follow(&doors, visit, attempt).await
}

async fn cancel(doors: &Doors, visit: Visit) -> Result<Response, Refused> {
    // An order that cannot be given up may be paid by now, or have failed; the buyer leaves either way.
    let is_given_up = doors.cancel(&visit.order.order_id).await?;
    let visit = visit.again(doors).await?;
    let paid = !is_given_up && visit.order.is_paid();
    Ok(visit.leave(if paid { Outcome::Success } else { Outcome::Cancel }))
}

async fn show_challenge(
    State(doors): Page,
    Path(id): Path<String>,
    Query(link): Query<Link>,
) -> Result<Response, Refused> {
    let visit = admit(&doors, &id, link.token).await?;
    let attempt = visit.attempt_of(&link.payment).ok_or(Refused::NotFound)?;
    if stage(&visit.order, &visit.trail) == (Stage::Challenge { attempt }) {
        return Ok(visit.show(html::challenge(&visit.order, &visit.trail, &visit.token, &link.payment)));
    }
    Ok(see_other(&visit.link("result", &[("attempt", &attempt.to_string())])))
}

async fn answer_challenge(
    State(doors): Page,
    Path(id): Path<String>,
    RawForm(body): RawForm,
) -> Result<Response, Refused> {
    let form = Form::parse(&body);
    let visit = admit(&doors, &id, form.get("token")).await?;
    let attempt = visit.attempt_of(&form.get("payment")).ok_or(Refused::NotFound)?;
    if stage(&visit.order, &visit.trail) == (Stage::Challenge { attempt }) {
        let passed = form.get("answer") == "pass";
        report(&doors, &visit, Note::Answer { attempt, passed }).await?;
    }
    follow(&doors, visit, attempt).await
}

async fn show_result(
    State(doors): Page,
    Path(id): Path<String>,
    Query(link): Query<Link>,
) -> Result<Response, Refused> {
    let visit = admit(&doors, &id, link.token).await?;
    Ok(match outcome(&visit.order, &visit.trail, link.attempt) {
        Outcome::Open => visit.show(html::waiting(&visit.order, &visit.trail)),
        Outcome::Challenge => see_other(&visit.challenge_link(link.attempt)),
        known @ (Outcome::Success | Outcome::Failure | Outcome::Cancel) => match visit.return_url(known) {
            Some(url) => see_other(&url),
            None => visit.tell(known),
        },
    })
}

/// Lets a buyer in who holds the order's status token, or a link that the sandbox made.
async fn admit(doors: &Doors, id: &str, token: String) -> Result<Visit, Refused> {
    // The id becomes part of a path; nothing that could lead elsewhere gets there.
    let is_plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !is_plain || !(1..=64).contains(&id.len()) {
        return Err(Refused::NotFound);
    }
    let Settings { tenant, webhook_secret, .. } = doors.settings();
    let opens = if token.starts_with(signing::PAGE_TOKEN_PREFIX) {
        webhook_secret.opens_page(&token, tenant, id)
    } else {
        doors.status_token_opens(&token, id).await?
    };
    if !opens {
        return Err(Refused::NotFound);
    }
    let (order, trail) = tokio::try_join!(doors.order(id), doors.trail(id))?;
    Ok(Visit { order, trail, token })
}

/// Reports what the buyer did. Doing it again is the same report.
async fn report(doors: &Doors, visit: &Visit, note: Note) -> Result<(), DoorError> {
    let webhook = Webhook::of_note(&visit.order.order_id, &note, Timestamp::now());
    let mut backoff = Backoff::default();
    let mut tries = 1;
    loop {
        match doors.send_webhook(&webhook).await {
            Err(error) if !error.is_final() && tries < TRIES => {
                tracing::debug!(%error, "sandbox: a buyer's webhook will be sent again");
                tries += 1;
                backoff.wait().await;
            }
            done => return done,
        }
    }
}

/// Waits for what becomes of an attempt, for a while, and leads the buyer on.
async fn follow(doors: &Doors, mut visit: Visit, attempt: u32) -> Result<Response, Refused> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        visit = visit.again(doors).await?;
        match outcome(&visit.order, &visit.trail, attempt) {
            Outcome::Open => {}
            Outcome::Challenge => return Ok(see_other(&visit.challenge_link(attempt))),
            known @ (Outcome::Success | Outcome::Failure | Outcome::Cancel) => return Ok(visit.leave(known)),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(see_other(&visit.link("result", &[("attempt", &attempt.to_string())])));
        }
        doors.wait_for_change(&visit.order, left).await?;
    }
}

impl Visit {
    /// The same order, read again. The order comes first: a change that the trail does not show yet is then a
    /// change to the order's `etag` as well, and waiting for one ends at once.
    async fn again(self, doors: &Doors) -> Result<Visit, DoorError> {
        let order = doors.order(&self.order.order_id).await?;
        let trail = doors.trail(&self.order.order_id).await?;
        Ok(Visit { order, trail, ..self })
    }

    /// The attempt that the sandbox calls by this payment reference.
    fn attempt_of(&self, payment: &str) -> Option<u32> {
        let order_id = &self.order.order_id;
        let mut attempts = self.order.attempts.iter().map(|attempt| attempt.attempt);
        attempts.find(|attempt| names::payment_reference(order_id, *attempt) == payment)
    }

    fn link(&self, page: &str, more: &[(&str, &str)]) -> String {
        let mut query = String::new();
        for (name, value) in [("token", self.token.as_str())].iter().chain(more) {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(name);
            query.push('=');
            query.extend(percent_encoded(value));
        }
        format!("/sandbox/{page}/{}{query}", self.order.tracking_number)
    }

    fn challenge_link(&self, attempt: u32) -> String {
        let payment = names::payment_reference(&self.order.order_id, attempt);
        self.link("challenge", &[("payment", &payment)])
    }

    /// The shop's URL for this outcome.
    fn return_url(&self, outcome: Outcome) -> Option<String> {
        let urls = self.order.return_urls.as_ref()?;
        let url = match outcome {
            Outcome::Success => &urls.success,
            Outcome::Failure => &urls.failure,
            Outcome::Cancel => &urls.cancel,
            Outcome::Open | Outcome::Challenge => &None,
        };
        links::with_result(url.as_deref()?, &self.order)
    }

    /// Back to the shop, or to the page that tells the outcome.
    fn leave(&self, outcome: Outcome) -> Response {
        see_other(&self.return_url(outcome).unwrap_or_else(|| self.link("pay", &[])))
    }

    fn tell(&self, outcome: Outcome) -> Response {
        let (title, text) = match (outcome, self.order.status.as_str()) {
            (Outcome::Success, _) => ("Thank you", "Your payment went through."),
            (Outcome::Cancel, _) => ("Canceled", "The payment was canceled."),
            (_, "expired") => ("Too late", "The time to pay this order has run out."),
            (_, _) => ("The payment failed", "The payment did not go through."),
        };
        let mut links = Vec::new();
        if let Some(url) = self.return_url(outcome) {
            links.push(("Back to the shop", url));
        }
        if self.order.status == "failed" {
            links.push(("Try again", self.link("pay", &[])));
        }
        self.show(html::outcome(&self.order, &self.trail, title, text, &links))
    }

    fn form(&self, status: StatusCode, attempt: u32, alert: Option<Alert<'_>>) -> Response {
        let html = html::card_form(&self.order, &self.trail, &self.token, attempt, alert);
        page(status, links::form_action(&self.order), html)
    }

    fn show(&self, html: String) -> Response {
        page(StatusCode::OK, links::form_action(&self.order), html)
    }
}

fn page(status: StatusCode, form_action: &str, html: String) -> Response {
    let policy = HeaderValue::from_str(&html::content_security_policy(form_action));
    let mut headers = confidential();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // An origin is ASCII without control characters, so this cannot fail; if it did, nothing would be allowed.
    let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    (status, headers, Html(html)).into_response()
}

fn see_other(url: &str) -> Response {
    (confidential(), Redirect::to(url)).into_response()
}

/// URLs here carry tokens: no cache keeps them and no other site is told them.
fn confidential() -> HeaderMap {
    let no_store: (HeaderName, _) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let no_referrer = (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    HeaderMap::from_iter([no_store, no_referrer])
}

/// The fields of a form. Without `Debug`: there may be a card number among them.
struct Form(Vec<(String, String)>);

impl Form {
    fn parse(body: &[u8]) -> Form {
        let mut url = Url::parse("form:").ok();
        if let Some(url) = &mut url {
            url.set_query(std::str::from_utf8(body).ok());
        }
        let fields = url.iter().flat_map(|url| url.query_pairs().into_owned());
        Form(fields.collect())
    }

    /// A field's value; empty where there is none.
    fn get(&self, name: &str) -> String {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

/// `value` with everything but letters, digits and `-._~` percent-encoded.
fn percent_encoded(value: &str) -> impl Iterator<Item = char> {
    value.bytes().flat_map(|byte| {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let text = if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        text.chars().collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_browsers_send_it() {
        let form = Form::parse(b"number=4242+4242%204242&token=st_demo.a-b%2B&name=%C3%84da&empty=");
        assert_eq!(form.get("number"), "4242 4242 4242");
        assert_eq!(form.get("token"), "st_demo.a-b+");
        assert_eq!(form.get("name"), "Äda");
        assert_eq!(form.get("empty"), "");
        assert_eq!(form.get("missing"), "");
        assert_eq!(Form::parse(&[0xff, b'=', b'x']).get("x"), "");
        assert_eq!(Form::parse(b"token=a#b").get("token"), "a#b");
    }

    #[test]
    fn what_goes_into_a_link_cannot_leave_its_place() {
        let encoded: String = percent_encoded("st_demo.a&b=c#d\r\nä").collect();
        assert_eq!(encoded, "st_demo.a%26b%3Dc%23d%0D%0A%C3%A4");
    }
}
