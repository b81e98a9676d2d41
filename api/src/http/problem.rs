//! Problem documents (RFC 9457): the one shape of every error on `/v1`.
//!
//! What must stay true: a [`Code`] never changes its word, every code stands in the table of the reference page,
//! and a document holds nothing that its caller did not know or may not know.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ledger::money::MoneyError;
use ledger::order::Rejection;
use serde::Serialize;

use super::layers;
use crate::orders::OrderError;

/// Declares the codes: word, status, title.
macro_rules! codes {
    ($($variant:ident $word:literal $status:ident $title:literal)*) => {
        /// What went wrong, as a stable word that programs read.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The stable word.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $word,)* }
            }

            /// The HTTP status it is sent with.
            pub fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status,)* }
            }

            /// The same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }
        }
    };
}

codes! {
    MalformedJson "malformed_json" BAD_REQUEST "The body is not JSON"
    InvalidUtf8 "invalid_utf8" BAD_REQUEST "The body is not UTF-8"
    InvalidQuery "invalid_query" BAD_REQUEST "The query string is invalid"
    InvalidIdempotencyKey "invalid_idempotency_key" BAD_REQUEST "The idempotency key is invalid"
    Unauthenticated "unauthenticated" UNAUTHORIZED "The credentials are missing or wrong"
    NotFound "not_found" NOT_FOUND "There is nothing here"
    AdminNotConfigured "admin_not_configured" NOT_FOUND "Administration is not configured"
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The method is not allowed here"
    RequestTimeout "request_timeout" REQUEST_TIMEOUT "The request took too long"
    NothingToCapture "nothing_to_capture" CONFLICT "Nothing is left to capture"
    ExceedsCapturable "exceeds_capturable" CONFLICT "Exceeds what can be captured"
    CaptureIsAutomatic "capture_is_automatic" CONFLICT "The order is captured automatically"
    NothingToRefund "nothing_to_refund" CONFLICT "Nothing is left to refund"
    ExceedsRefundable "exceeds_refundable" CONFLICT "Exceeds what can be refunded"
    NotCancelable "not_cancelable" CONFLICT "The order cannot be canceled"
    CancellationPending "cancellation_pending" CONFLICT "The order is being canceled"
    CapturePending "capture_pending" CONFLICT "A capture is pending"
    AttemptRefused "attempt_refused" CONFLICT "The order takes no new payment attempt"
    WebhookClosed "webhook_closed" CONFLICT "The webhook was released or discarded before"
    WebhookNotApplied "webhook_not_applied" CONFLICT "The webhook cannot be applied"
    PersonalDataNotSealed "personal_data_not_sealed" CONFLICT "The personal data was never sealed"
    IdTaken "id_taken" CONFLICT "The id is taken"
    TooManyEntries "too_many_entries" CONFLICT "The order holds as many entries as it can"
    DiffUnderWay "diff_under_way" CONFLICT "A comparison is under way"
    RebuildUnderWay "rebuild_under_way" CONFLICT "A rebuild is under way"
    NoRebuildUnderWay "no_rebuild_under_way" CONFLICT "No rebuild is under way"
    RebuildNotCompared "rebuild_not_compared" CONFLICT "The rebuild has not caught up"
    NothingToRollBackTo "nothing_to_roll_back_to" CONFLICT "There is nothing to go back to"
    ReadOnlyReplica "read_only_replica" MISDIRECTED_REQUEST "This server only reads"
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE "The body is too large"
    TooManyCommands "too_many_commands" PAYLOAD_TOO_LARGE "The batch holds too many commands"
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "The media type is not supported"
    MissingField "missing_field" UNPROCESSABLE_ENTITY "A field is missing"
    UnknownField "unknown_field" UNPROCESSABLE_ENTITY "A field is not known"
    InvalidField "invalid_field" UNPROCESSABLE_ENTITY "A field is invalid"
    AmountNotANumber "amount_not_a_number" UNPROCESSABLE_ENTITY "The amount is not a number"
    AmountFractional "amount_fractional" UNPROCESSABLE_ENTITY "The amount is not a whole number of minor units"
    AmountNegative "amount_negative" UNPROCESSABLE_ENTITY "The amount is negative"
    AmountZero "amount_zero" UNPROCESSABLE_ENTITY "The amount is zero"
    AmountTooLarge "amount_too_large" UNPROCESSABLE_ENTITY "The amount is too large"
    UnknownCurrency "unknown_currency" UNPROCESSABLE_ENTITY "The currency is not known"
    WrongExponent "wrong_exponent" UNPROCESSABLE_ENTITY "The currency has another exponent"
    CurrencyMismatch "currency_mismatch" UNPROCESSABLE_ENTITY "The order is in another currency"
    CardNumberRefused "card_number_refused" UNPROCESSABLE_ENTITY "Card numbers are refused"
    IdempotencyKeyReused "idempotency_key_reused" UNPROCESSABLE_ENTITY "The idempotency key was used for another request"
    LogAltered "log_altered" INTERNAL_SERVER_ERROR "The log is not what was signed"
    Internal "internal" INTERNAL_SERVER_ERROR "Something went wrong on our side"
    JournalUnavailable "journal_unavailable" SERVICE_UNAVAILABLE "The journal is unavailable"
    TreeIncomplete "tree_incomplete" SERVICE_UNAVAILABLE "The log's tree is being made again"
    OutcomeUnknown "outcome_unknown" SERVICE_UNAVAILABLE "It is unknown whether the request was stored"
    Busy "busy" SERVICE_UNAVAILABLE "The server is busy"
    ShuttingDown "shutting_down" SERVICE_UNAVAILABLE "The server is shutting down"
}

/// After how many seconds a caller may try again what ended in a 503.
pub const RETRY_AFTER: u64 = 1;

/// One error, on its way to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What went wrong.
    pub code: Code,
    /// This occurrence, in a sentence without secrets.
    pub detail: String,
    /// JSON pointer of the field at fault.
    pub pointer: Option<String>,
}

/// The document as it is sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct Document {
    /// `urn:daybook:problem:` and the code.
    r#type: String,
    /// The same for every occurrence of the code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This occurrence, in a sentence.
    detail: String,
    /// What went wrong, as a stable word.
    code: &'static str,
    /// JSON pointer of the field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// Stands in the server's logs as well.
    request_id: String,
}

impl Problem {
    /// A problem that is about no field in particular.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem { code, detail: detail.into(), pointer: None }
    }

    /// A problem with the field at this JSON pointer.
    pub fn at(code: Code, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Problem { code, detail: detail.into(), pointer: Some(pointer.into()) }
    }

    /// The same about a document that stands at this JSON pointer of another one.
    pub fn within(self, pointer: &str) -> Self {
        Problem { pointer: self.pointer.map(|inner| format!("{pointer}{inner}")), ..self }
    }

    /// The field at fault as a path, as most vendors write them: `/order/items/0/quantity` is
    /// `order.items[0].quantity`.
    pub fn field(&self) -> Option<String> {
        let mut path = String::new();
        for step in self.pointer.as_ref()?.split('/').skip(1) {
            if !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit()) {
                path.push_str(&format!("[{step}]"));
                continue;
            }
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&step.replace("~1", "/").replace("~0", "~"));
        }
        Some(path)
    }

    /// What is asked for does not exist for this caller.
    pub fn not_found() -> Self {
        Problem::new(Code::NotFound, "there is no such thing for this caller")
    }

    /// No credentials, or wrong ones.
    pub fn unauthenticated() -> Self {
        Problem::new(Code::Unauthenticated, "send `Authorization: Bearer <api key>`")
    }

    /// No admin key, or a wrong one.
    pub fn not_admin() -> Self {
        Problem::new(Code::Unauthenticated, "send `Authorization: Bearer <admin key>`")
    }

    /// Our fault; what happened stands in the logs alone.
    pub fn internal() -> Self {
        Problem::new(Code::Internal, "the request id names this failure in our logs")
    }

    /// A problem with the amount at this JSON pointer.
    pub fn money(pointer: &str, error: &MoneyError) -> Self {
        let (code, field) = match error {
            MoneyError::UnknownCurrency(_) => (Code::UnknownCurrency, "currency"),
            MoneyError::WrongExponent { .. } => (Code::WrongExponent, "exponent"),
            MoneyError::NotANumber => (Code::AmountNotANumber, "value"),
            MoneyError::FractionalMinorUnit(_) => (Code::AmountFractional, "value"),
            MoneyError::Negative => (Code::AmountNegative, "value"),
            MoneyError::Zero => (Code::AmountZero, "value"),
            MoneyError::TooLarge => (Code::AmountTooLarge, "value"),
        };
        Problem::at(code, format!("{pointer}/{field}"), error.to_string())
    }
}

impl From<&Rejection> for Problem {
    fn from(rejection: &Rejection) -> Self {
        let code = match rejection {
            Rejection::NotFound => return Problem::not_found(),
            Rejection::CurrencyMismatch { .. } => {
                return Problem::at(Code::CurrencyMismatch, "/amount/currency", rejection.to_string());
            }
            Rejection::AlreadyExists => {
                // Ids are made from keys or at random, and a key is looked up before it decides anything.
                tracing::error!(%rejection, "INTERNAL: an id is taken that nobody can have asked for");
                return Problem::internal();
            }
            // A sender of webhooks can name an id before the shop has asked for it; another key makes another id.
            Rejection::IdTaken => Code::IdTaken,
            Rejection::CaptureIsAutomatic => Code::CaptureIsAutomatic,
            Rejection::NothingToCapture { .. } => Code::NothingToCapture,
            Rejection::ExceedsCapturable { .. } | Rejection::ExceedsOrder { .. } => Code::ExceedsCapturable,
            Rejection::NothingToRefund { .. } => Code::NothingToRefund,
            Rejection::ExceedsRefundable { .. } => Code::ExceedsRefundable,
            Rejection::NotCancelable { .. } => Code::NotCancelable,
            Rejection::CancellationPending => Code::CancellationPending,
            Rejection::CapturePending => Code::CapturePending,
            Rejection::AttemptRefused { .. } | Rejection::NotConfirmable { .. } => Code::AttemptRefused,
            Rejection::TooManyEntries => Code::TooManyEntries,
        };
        Problem::new(code, rejection.to_string())
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        match &error {
            OrderError::Rejected(rejection) => Problem::from(rejection),
            OrderError::NotFound => Problem::not_found(),
            OrderError::KeyReused => Problem::new(
                Code::IdempotencyKeyReused,
                "this key came with other content before; that request stands as it was",
            ),
            OrderError::TooLarge { size, limit } => {
                Problem::new(Code::BodyTooLarge, format!("it takes {size} bytes in the log; {limit} fit"))
            }
            OrderError::Unavailable(_) => {
                Problem::new(Code::JournalUnavailable, "nothing was stored; try again")
            }
            OrderError::Unknown(_) => Problem::new(
                Code::OutcomeUnknown,
                "it may have been stored; send it again with the same idempotency key",
            ),
            OrderError::Internal(_) => Problem::internal(),
        }
    }
}

impl From<Problem> for Document {
    /// To be called within the request, whose id it names.
    fn from(problem: Problem) -> Self {
        let Problem { code, detail, pointer } = problem;
        Document {
            r#type: format!("urn:daybook:problem:{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            detail,
            code: code.as_str(),
            pointer,
            request_id: layers::request_id(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let mut response = (status, axum::Json(Document::from(self))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_in_the_reference_with_its_status() {
        let page = include_str!("../../../docs/src/reference/http-api.md");
        for code in Code::ALL {
            let row = format!("| {} |", code.status().as_u16());
            let found = page
                .lines()
                .any(|line| line.starts_with(&row) && line.contains(&format!("`{}`", code.as_str())));
            assert!(found, "{} is not under {}", code.as_str(), code.status());
        }
    }
}
