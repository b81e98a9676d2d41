//! Akinon's replies: what a call came to, and one shape for everything that is refused.
//!
//! What must stay true: every member is there in every reply, as a text where it says nothing, and in the order of
//! the vendor's pages.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ledger::ids::{RecordId, TenantId};
use ledger::order::Rejection;
use serde::Serialize;

use super::fields::InvalidField;
use super::status::{self, Outcome};
use crate::app::App;
use crate::cards;
use crate::http::{Code, Problem};
use crate::orders::{self, OrderError};

/// After how many seconds it is worth asking again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// What a purchase, void or refund came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    transaction_id: String,
    status: &'static str,
    sub_status: &'static str,
}

impl Answer {
    /// `transaction_id` names the movement, or the order where none was asked for.
    pub(super) fn new(transaction_id: String, outcome: Outcome) -> Self {
        Answer { transaction_id, status: outcome.status(), sub_status: outcome.sub_status() }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        axum::Json(self).into_response()
    }
}

/// Why a call was not done.
#[derive(Debug)]
pub(super) enum Refused {
    /// By the order's rules, or by the journal.
    Order(OrderError),
    /// By what is in these fields.
    Fields(Vec<InvalidField>),
    /// There is no page that a buyer could be sent to.
    NoPaymentPage,
}

impl From<OrderError> for Refused {
    fn from(error: OrderError) -> Self {
        Refused::Order(error)
    }
}

impl From<InvalidField> for Refused {
    fn from(invalid: InvalidField) -> Self {
        Refused::Fields(vec![invalid])
    }
}

/// A call that was not done, on its way to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    http_status: StatusCode,
    body: FailureBody,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureBody {
    transaction_id: String,
    status: &'static str,
    sub_status: &'static str,
    errors: Vec<ErrorItem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ErrorItem {
    code: &'static str,
    field: String,
    message: String,
}

impl Failure {
    /// The body cannot be used, for each of these reasons.
    pub(super) fn invalid(fields: Vec<InvalidField>) -> Self {
        let item = |InvalidField { code, field, message }| ErrorItem { code, field, message };
        Failure::new(StatusCode::BAD_REQUEST, fields.into_iter().map(item).collect())
    }

    /// No credentials, or wrong ones.
    pub(super) fn unauthenticated() -> Self {
        Failure::of(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "send Authorization: Basic with the tenant and one of its API keys",
        )
    }

    /// The tenant has no hash-key, without which no buyer can be sent back.
    pub(super) fn not_enabled() -> Self {
        let message = "this tenant has no hash-key; set tenants.akinon.hash_key";
        Failure::of(StatusCode::FORBIDDEN, "not_enabled", message)
    }

    /// Nothing answers at this path.
    pub(super) fn no_such_route() -> Self {
        Failure::of(StatusCode::NOT_FOUND, "no_such_route", "there is no such route")
    }

    /// Something answers at this path, but not to this method.
    pub(super) fn method_not_allowed() -> Self {
        let message = "the header Allow names the methods that are allowed here";
        Failure::of(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// What a call about this order is answered. Says how the order stands, if there is one.
    pub(super) async fn about(app: &App, tenant: &TenantId, order: RecordId, refused: Refused) -> Self {
        let (failure, kind) = match refused {
            Refused::Order(error) => Failure::by_order(error),
            Refused::Fields(fields) => (Failure::invalid(fields), About::Request),
            Refused::NoPaymentPage => {
                tracing::error!("no hosted page is configured: set payment_page_url");
                let message = "no hosted page is configured for buyers to pay on";
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                (Failure::of(status, "no_payment_page", message), About::Request)
            }
        };
        let view = match kind {
            About::Request | About::Refusal => orders::order(app, tenant, order, None).await.ok(),
            About::Outage => app.views.order(tenant, order).ok().flatten(),
        };
        let Some(view) = view else { return failure };
        let refusal = matches!(kind, About::Refusal).then_some(Outcome::ProcessingError);
        failure.with(order, refusal.unwrap_or_else(|| status::payment(&view.order).outcome))
    }

    fn by_order(error: OrderError) -> (Self, About) {
        let (field, kind) = match &error {
            OrderError::Rejected(rejection) => about_rejection(rejection),
            OrderError::KeyReused => ("guid", About::Request),
            OrderError::NotFound => ("orderId", About::Request),
            OrderError::TooLarge { .. } => ("", About::Request),
            OrderError::Unavailable(_) | OrderError::Unknown(_) | OrderError::Internal(_) => {
                ("", About::Outage)
            }
        };
        let is_unknown = matches!(error, OrderError::Unknown(_));
        let mut failure = Failure::from(Problem::from(error));
        for item in &mut failure.body.errors {
            item.field = field.to_owned();
        }
        if is_unknown {
            // It may have been stored, so nobody may say that it was rejected.
            failure.set(Outcome::PaymentWaiting);
        }
        (failure, kind)
    }

    fn of(http_status: StatusCode, code: &'static str, message: impl AsRef<str>) -> Self {
        let message = cards::redacted(message.as_ref()).into_owned();
        Failure::new(http_status, vec![ErrorItem { code, field: String::new(), message }])
    }

    fn new(http_status: StatusCode, errors: Vec<ErrorItem>) -> Self {
        let (status, sub_status) = (Outcome::ProcessingError.status(), Outcome::ProcessingError.sub_status());
        let body = FailureBody { transaction_id: String::new(), status, sub_status, errors };
        Failure { http_status, body }
    }

    fn with(mut self, order: RecordId, outcome: Outcome) -> Self {
        self.body.transaction_id = order.to_string();
        self.set(outcome);
        self
    }

    fn set(&mut self, outcome: Outcome) {
        self.body.status = outcome.status();
        self.body.sub_status = outcome.sub_status();
    }
}

/// What a failure says something of, and so whose status it shows.
enum About {
    /// The request alone: the order's status is what it was.
    Request,
    /// What was asked for, which will never be done: that is rejected, however the order stands.
    Refusal,
    /// Ourselves: the order's status as it was last seen here.
    Outage,
}

/// The field at fault, and what the refusal is about.
fn about_rejection(rejection: &Rejection) -> (&'static str, About) {
    match rejection {
        Rejection::CurrencyMismatch { .. } => ("currency", About::Request),
        Rejection::ExceedsCapturable { .. } => ("orderAmount", About::Refusal),
        Rejection::ExceedsRefundable { .. } => ("amount", About::Refusal),
        // All may be captured already, or nothing be authorized yet: neither makes the payment a rejected one.
        Rejection::NothingToCapture { .. } | Rejection::CapturePending | Rejection::CancellationPending => {
            ("", About::Request)
        }
        Rejection::NotFound
        | Rejection::AlreadyExists
        | Rejection::CaptureIsAutomatic
        | Rejection::NothingToRefund { .. }
        | Rejection::NotCancelable { .. }
        | Rejection::IdTaken
        | Rejection::NotConfirmable { .. }
        | Rejection::ExceedsOrder { .. }
        | Rejection::AttemptRefused { .. }
        | Rejection::TooManyEntries => ("", About::Refusal),
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let status = problem.code.status();
        let mut failure = match (problem.code, status.as_u16()) {
            (Code::NotFound, _) => Failure::of(status, "order_not_found", "there is no such order"),
            (Code::IdempotencyKeyReused, _) => {
                let message = "this guid came with other content before; that call stands as it was";
                Failure::of(StatusCode::CONFLICT, "guid_reused", message)
            }
            (Code::JournalUnavailable, _) => {
                Failure::of(status, "service_unavailable", "nothing was stored; try again")
            }
            (Code::OutcomeUnknown, _) => {
                let message = "it may have been stored; send it again with the same guid";
                Failure::of(status, "outcome_unknown", message)
            }
            (code, 422) => Failure::of(StatusCode::BAD_REQUEST, code.as_str(), problem.detail),
            (code, _) => Failure::of(status, code.as_str(), problem.detail),
        };
        for item in &mut failure.body.errors {
            let pointer = problem.pointer.as_deref().unwrap_or_default().trim_start_matches('/');
            item.field = cards::redacted(pointer).into_owned();
        }
        failure
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.http_status, axum::Json(self.body)).into_response();
        let headers = response.headers_mut();
        if self.http_status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        if self.http_status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Basic realm=\"akinon\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
