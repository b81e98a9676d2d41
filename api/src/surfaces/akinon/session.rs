//! `POST /start-session`: a buyer is about to pay. The first session of an order opens it; each later one is
//! another try to pay the same order.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ledger::commit::{Cause, Changes, Commit, Recorded};
use ledger::execute::Done;
use ledger::ids::{RecordId, TenantId};
use ledger::order::{Checkout, Event, Order, Rejection, ReturnUrls, Status, Surface};
use serde::Serialize;

use super::call::Call;
use super::fields::Invalid;
use super::reply::{Failure, Refused};
use super::request::{StartSession, payment_type_word};
use super::{NAME, return_page};
use crate::app::App;
use crate::orders::{self, Ask, OrderError, operation};
use crate::tokens::TokenSigner;

/// What a session id is signed for.
const PURPOSE: &str = "akinon session";
/// The hosted page as it was configured when the session began: every later answer must name it again.
const PAYMENT_PAGE: &str = "paymentPage";
const RETURN_URL: &str = "returnUrl";

/// A session of an order, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// The vendor's name for it, given out by us.
    pub(super) id: String,
    /// Where its buyer is to return to.
    pub(super) return_url: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionStarted {
    r#type: &'static str,
    redirect_url: String,
    redirect_method: &'static str,
    session_id: String,
    transaction_id: String,
}

/// `POST /start-session`.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    call: Call<StartSession>,
) -> Result<Response, Failure> {
    match begin(&app, &call).await {
        Ok(started) => Ok(axum::Json(started).into_response()),
        Err(refused) => Err(call.failure(&app, refused).await),
    }
}

async fn begin(app: &App, call: &Call<StartSession>) -> Result<SessionStarted, Refused> {
    let ask = call.ask(&Content::of(&call.body))?;
    let data = data(app, call)?;
    call.refuse_anothers_guid(app, operation::AKINON_SESSION).await?;
    let checkout = checkout(app, call, &ask, data.clone())?;
    let submitted =
        orders::submit_as(app, ask.clone(), operation::AKINON_SESSION, call.order, checkout).await;
    let done = match submitted {
        Err(OrderError::Rejected(Rejection::AlreadyExists)) => again(app, call, ask, data).await?,
        submitted => submitted?,
    };
    started(app, &done)
        .ok_or_else(|| OrderError::internal("a session's commit holds no session".into()).into())
}

/// Another session of an order that exists.
async fn again(
    app: &App,
    call: &Call<StartSession>,
    ask: Ask,
    data: BTreeMap<String, String>,
) -> Result<Done<Order>, Refused> {
    let order = orders::order(app, &call.tenant, call.order, None).await?.order;
    let asked = &call.body;
    let differs = [
        ("currency", asked.amount.currency() != order.checkout.amount.currency()),
        ("orderAmount", asked.amount.minor() != order.checkout.amount.minor()),
        ("type", asked.capture != order.checkout.capture),
    ];
    let differing = differs.into_iter().filter(|(_, differs)| *differs);
    let invalid: Vec<_> = differing
        .map(|(field, _)| Invalid::value("not that of the order's first session").at(field))
        .collect();
    if !invalid.is_empty() {
        return Err(Refused::Fields(invalid));
    }
    let is_reserved = order.status() == Status::Authorized && !order.cancellation_requested;
    let done = if is_reserved {
        // Another attempt would take the place of the one that holds the buyer's money.
        orders::note_for_surface(app, ask, operation::AKINON_SESSION, call.order, data).await?
    } else {
        orders::start_attempt(app, ask, operation::AKINON_SESSION, call.order, None, data).await?
    };
    Ok(done)
}

/// What makes two requests the same or not.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    amount_minor: i64,
    currency: &'static str,
    r#type: &'static str,
    locale: &'a str,
    return_url: &'a str,
    name: Option<&'a str>,
    phone: Option<&'a str>,
    email: Option<&'a str>,
    ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_provider: Option<&'a str>,
}

impl<'a> Content<'a> {
    fn of(session: &'a StartSession) -> Self {
        let StartSession { amount, capture, locale, return_url, customer, target_provider } = session;
        Content {
            amount_minor: amount.minor(),
            currency: amount.currency().code(),
            r#type: payment_type_word(*capture),
            locale,
            return_url,
            name: customer.name.as_deref(),
            phone: customer.phone.as_deref(),
            email: customer.email.as_deref(),
            ip: customer.ip.as_deref(),
            target_provider: target_provider.as_deref(),
        }
    }
}

/// What this session needs later on.
fn data(app: &App, call: &Call<StartSession>) -> Result<BTreeMap<String, String>, Refused> {
    let page = app.payment_page_url.clone().ok_or(Refused::NoPaymentPage)?;
    let StartSession { locale, return_url, target_provider, .. } = &call.body;
    let fields = [
        ("version", Some(call.version.clone())),
        ("apiVersion", call.api_version.clone()),
        ("locale", Some(locale.clone())),
        (RETURN_URL, Some(return_url.clone())),
        ("targetProvider", target_provider.clone()),
        (PAYMENT_PAGE, Some(page)),
    ];
    Ok(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

fn checkout(
    app: &App,
    call: &Call<StartSession>,
    ask: &Ask,
    data: BTreeMap<String, String>,
) -> Result<Checkout, OrderError> {
    let expires_at = ask.at.checked_add(app.config.order_life).map_err(|e| OrderError::internal(e.into()))?;
    let return_url = Some(return_page::url(app, &call.tenant, call.order));
    Ok(Checkout {
        amount: call.body.amount,
        merchant_reference: call.order_id.clone(),
        capture: call.body.capture,
        payment_method: None,
        items: Vec::new(),
        customer: call.body.customer.clone(),
        return_urls: ReturnUrls {
            success: return_url.clone(),
            failure: return_url.clone(),
            cancel: return_url,
        },
        metadata: BTreeMap::new(),
        expires_at,
        surface: Surface { name: NAME.to_owned(), data },
    })
}

/// Built from the stored commit alone.
fn started(app: &App, done: &Done<Order>) -> Option<SessionStarted> {
    let commit = &done.recorded.commit;
    let page = noted(commit)?.get(PAYMENT_PAGE)?;
    Some(SessionStarted {
        r#type: payment_type_word(done.state.checkout.capture),
        redirect_url: app.payment_url(page, &commit.tenant, commit.record),
        redirect_method: "GET",
        session_id: session_id(&app.tokens, &commit.tenant, commit.record, guid(commit)?),
        transaction_id: commit.record.to_string(),
    })
}

/// The order's latest session.
pub(super) fn latest(tokens: &TokenSigner, commits: &[Recorded]) -> Option<Session> {
    commits.iter().rev().find_map(|Recorded { commit, .. }| {
        let guid = guid(commit)?;
        let return_url = noted(commit)?.get(RETURN_URL)?.clone();
        Some(Session { id: session_id(tokens, &commit.tenant, commit.record, guid), return_url })
    })
}

/// The guid of the call that began a session, if this commit is one.
pub(super) fn guid(commit: &Commit) -> Option<&str> {
    match &commit.cause {
        Cause::Command { operation, key, .. } if operation == operation::AKINON_SESSION => key.as_deref(),
        Cause::Command { .. } | Cause::Webhook { .. } | Cause::Timer { .. } => None,
    }
}

/// What the session's commit keeps of it: in the checkout for the first, in a note for every other.
fn noted(commit: &Commit) -> Option<&BTreeMap<String, String>> {
    let Changes::Order(events) = &commit.changes else { return None };
    let opened = events.iter().find_map(|event| {
        let Event::CheckoutSubmitted(checkout) = event else { return None };
        Some(&checkout.surface.data)
    });
    opened.or_else(|| orders::noted(commit))
}

/// The order and what proves that it was given out for this guid.
fn session_id(tokens: &TokenSigner, tenant: &TenantId, order: RecordId, guid: &str) -> String {
    let mac = tokens.sign(PURPOSE, &[tenant.as_str(), &order.to_string(), guid]);
    format!("{order}.{mac}")
}
