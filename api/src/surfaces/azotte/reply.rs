//! Azotte's replies: one shape for results, and within it one for refusals.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ledger::ids::TrackingNumber;
use ledger::order::{Challenge, Order, Status};
use serde::Serialize;

use super::request::InvalidField;
use crate::cards;
use crate::http::problem::{Code, Problem};
use crate::orders::OrderError;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/clientOutput+Json");
/// After how many seconds it is worth asking again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// What a checkout is at. The vendor's `CheckoutResult`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckoutResult {
    tracking_number: String,
    status: StatusBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_instructions: Option<RedirectInstructions>,
    follow_up_instructions: FollowUpInstructions,
    #[serde(skip)]
    http_status: StatusCode,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusBody {
    message_code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct RedirectInstructions {
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html_content: Option<String>,
    #[serde(rename = "threeDIdentifier", skip_serializing_if = "Option::is_none")]
    three_d_identifier: Option<String>,
    is_redirect_required: bool,
    has_next_steps: bool,
    show_html_content: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FollowUpInstructions {
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
    can_follow_up: bool,
}

impl CheckoutResult {
    /// The answer to a submission. It depends on the tracking number alone, so a repeated submission gets the
    /// same bytes whatever has happened since.
    pub(super) fn accepted(tracking: TrackingNumber) -> Self {
        CheckoutResult {
            http_status: StatusCode::ACCEPTED,
            ..CheckoutResult::new(tracking, "CHECK_OUT_PROCESSING", false)
        }
    }

    /// Where an order stands.
    pub(super) fn of(tracking: TrackingNumber, order: &Order) -> Self {
        let status = order.status();
        let mut result = CheckoutResult::new(tracking, message_code(status), status.is_terminal());
        if message_code(status) == "CHECK_OUT_FAILED" {
            result.status.message = Some(failure(order, status));
        }
        if status == Status::ActionRequired {
            let challenge = order.shown_attempt().and_then(|attempt| attempt.challenge.as_ref());
            result.redirect_instructions = challenge.map(RedirectInstructions::from);
        }
        result
    }

    fn new(tracking: TrackingNumber, message_code: &'static str, is_terminal: bool) -> Self {
        CheckoutResult {
            tracking_number: tracking.to_string(),
            status: StatusBody { message_code, message: None, field: None },
            redirect_instructions: None,
            follow_up_instructions: FollowUpInstructions {
                retry_after_seconds: (!is_terminal).then_some(RETRY_AFTER_SECONDS),
                can_follow_up: !is_terminal,
            },
            http_status: StatusCode::OK,
        }
    }
}

/// The vendor's word for a status. Done is what was captured, whatever was refunded later.
pub(super) fn message_code(status: Status) -> &'static str {
    match status {
        Status::Processing | Status::Authorized => "CHECK_OUT_PROCESSING",
        Status::ActionRequired => "CHECK_OUT_3DS_REQUIRED",
        Status::PartiallyCaptured | Status::Captured | Status::PartiallyRefunded | Status::Refunded => {
            "CHECK_OUT_DONE"
        }
        Status::Failed | Status::Canceled | Status::Expired => "CHECK_OUT_FAILED",
    }
}

fn failure(order: &Order, status: Status) -> String {
    let reason = order.shown_attempt().and_then(|attempt| attempt.failure.clone());
    reason.filter(|_| status == Status::Failed).unwrap_or_else(|| format!("the order is {}", status.as_str()))
}

impl From<&Challenge> for RedirectInstructions {
    fn from(challenge: &Challenge) -> Self {
        RedirectInstructions {
            redirect_url: challenge.url.clone(),
            html_content: challenge.html.clone(),
            three_d_identifier: challenge.id.clone(),
            is_redirect_required: true,
            has_next_steps: true,
            show_html_content: challenge.url.is_none() && challenge.html.is_some(),
        }
    }
}

impl IntoResponse for CheckoutResult {
    fn into_response(self) -> Response {
        let retry_after = self.follow_up_instructions.retry_after_seconds;
        respond(self.http_status, retry_after, &self)
    }
}

/// A request that was refused; nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    http_status: StatusCode,
    status: StatusBody,
}

#[derive(Serialize)]
struct RefusalBody<'a> {
    status: &'a StatusBody,
}

impl Refusal {
    /// A refusal that is about no field in particular. The message never shows a card number that was in the
    /// wrong place.
    pub(super) fn new(http_status: StatusCode, message_code: &'static str, message: impl AsRef<str>) -> Self {
        let message = Some(cards::redacted(message.as_ref()).into_owned());
        Refusal { http_status, status: StatusBody { message_code, message, field: None } }
    }

    /// With the field at fault.
    pub(super) fn at(mut self, field: impl AsRef<str>) -> Self {
        self.status.field = Some(cards::redacted(field.as_ref()).into_owned());
        self
    }

    /// The body is not what it should be.
    pub(super) fn invalid(message: impl AsRef<str>) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
    }

    /// No such order for this tenant.
    pub(super) fn not_found() -> Self {
        Refusal::new(StatusCode::NOT_FOUND, "ORDERED_ITEM_NOT_FOUND", "there is no such checkout")
    }

    /// No credentials, or wrong ones.
    pub(super) fn unauthorized() -> Self {
        Refusal::new(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "send x-tn, and x-api-key with a key of that tenant",
        )
    }
}

impl From<InvalidField> for Refusal {
    fn from(invalid: InvalidField) -> Self {
        Refusal::invalid(invalid.message).at(invalid.field)
    }
}

impl From<OrderError> for Refusal {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NotFound => Refusal::not_found(),
            OrderError::KeyReused => Refusal::new(
                StatusCode::CONFLICT,
                "CORRELATION_ID_REUSED",
                "this correlationId came with other content before; that checkout stands as it was",
            )
            .at("order.correlationId"),
            other @ (OrderError::Rejected(_)
            | OrderError::TooLarge { .. }
            | OrderError::Unavailable(_)
            | OrderError::Unknown(_)
            | OrderError::Internal(_)) => Problem::from(other).into(),
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let field = problem.field();
        let status = problem.code.status();
        let refusal = match (problem.code, status.as_u16()) {
            (Code::BodyTooLarge, _) => Refusal::new(status, "REQUEST_TOO_LARGE", problem.detail),
            (Code::UnsupportedMediaType, _) => Refusal::new(status, "UNSUPPORTED_MEDIA_TYPE", problem.detail),
            (Code::OutcomeUnknown, _) => Refusal::new(
                status,
                "OUTCOME_UNKNOWN",
                "it may have been stored; send it again with the same correlationId",
            ),
            (_, 400 | 422) => Refusal::invalid(problem.detail),
            (_, 404) => Refusal::not_found(),
            (_, 503) => Refusal::new(status, "SERVICE_UNAVAILABLE", problem.detail),
            (_, 500..) => Refusal::new(status, "INTERNAL_ERROR", problem.detail),
            (_, _) => Refusal::new(status, "REQUEST_REFUSED", problem.detail),
        };
        match field {
            Some(field) => refusal.at(field),
            None => refusal,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let retry_after =
            (self.http_status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_SECONDS);
        respond(self.http_status, retry_after, &RefusalBody { status: &self.status })
    }
}

fn respond(status: StatusCode, retry_after: Option<u32>, body: &impl Serialize) -> Response {
    let mut response = (status, axum::Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
