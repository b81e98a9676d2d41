//! Carat's shape of a failure, `{code, message}`, and the codes.
//!
//! The vendor's pages say that every code other than 0 is a failure; its list is not public as a whole, so the
//! numbers are ours. They never change; a test holds them against the table in `docs/src/guides/carat.md`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ledger::order::{Rejection, Status};
use serde::Serialize;

use crate::cards;
use crate::http::problem::{Code as ProblemCode, Problem};
use crate::orders::OrderError;

/// The longest message that the vendor's table allows.
const LONGEST_MESSAGE: usize = 500;

/// Declares the codes: number, HTTP status, meaning.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $number:literal $status:ident)*) => {
        /// What went wrong, as a stable number of four digits.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code.
            #[cfg(test)]
            pub(super) const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The number, as the vendor sends numbers: as text.
            pub(super) fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $number,)* }
            }

            /// The HTTP status: one of those on the vendor's pages, or HTTP's own where they have none.
            pub(super) fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status,)* }
            }
        }
    };
}

codes! {
    /// The body is not an object in JSON in UTF-8.
    MalformedBody "1001" BAD_REQUEST
    /// A field is missing.
    MissingField "1002" BAD_REQUEST
    /// There is no such field.
    UnknownField "1003" BAD_REQUEST
    /// A field breaks its format or length.
    InvalidField "1004" BAD_REQUEST
    /// `merchant_id` or `merchant_key` is missing or wrong.
    Unauthorized "1101" UNAUTHORIZED
    /// No such transaction of this merchant.
    NotFound "1201" NOT_FOUND
    /// No such route.
    NoRoute "1202" NOT_FOUND
    /// Another method is needed.
    MethodNotAllowed "1203" METHOD_NOT_ALLOWED
    /// More bytes than a body may have.
    TooLarge "1204" PAYLOAD_TOO_LARGE
    /// Not `application/json` in UTF-8.
    UnsupportedMediaType "1205" UNSUPPORTED_MEDIA_TYPE
    /// The `merchant_usn` or `order_id` came with other content before.
    Reused "1301" BAD_REQUEST
    /// The transaction was effectuated before, with other content.
    Effectuated "1302" BAD_REQUEST
    /// The transaction's life is over.
    Expired "1303" BAD_REQUEST
    /// The transaction was undone or canceled.
    Canceled "1304" BAD_REQUEST
    /// The transaction was paid by other means.
    Paid "1305" BAD_REQUEST
    /// The payment was denied.
    Denied "1306" BAD_REQUEST
    /// More than the transaction's amount.
    ExceedsAmount "1307" BAD_REQUEST
    /// The rules refuse it for another reason.
    Refused "1308" BAD_REQUEST
    /// Our failure.
    Internal "1901" INTERNAL_SERVER_ERROR
    /// Nothing was stored; try again.
    Unavailable "1902" SERVICE_UNAVAILABLE
    /// It may have been stored; try again with the same content.
    OutcomeUnknown "1903" SERVICE_UNAVAILABLE
}

/// A request that was refused; nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What went wrong.
    pub(super) code: Code,
    /// In a sentence.
    pub(super) message: String,
}

#[derive(Serialize)]
struct Body<'a> {
    code: &'static str,
    message: &'a str,
}

impl Refusal {
    /// A refusal that is about no field in particular. The message never shows a card number that was in the
    /// wrong place.
    pub(super) fn new(code: Code, message: impl AsRef<str>) -> Self {
        let message = cards::redacted(message.as_ref()).chars().take(LONGEST_MESSAGE).collect();
        Refusal { code, message }
    }

    /// With the field at fault, by its dotted name.
    pub(super) fn at(code: Code, field: &str, message: impl AsRef<str>) -> Self {
        Refusal::new(code, format!("{field}: {}", message.as_ref()))
    }

    /// No such transaction of this merchant.
    pub(super) fn not_found() -> Self {
        Refusal::at(Code::NotFound, "nit", "there is no such transaction")
    }

    /// No credentials, or wrong ones.
    pub(super) fn unauthorized() -> Self {
        Refusal::new(Code::Unauthorized, "send merchant_id, and merchant_key with a key of that merchant")
    }
}

impl From<OrderError> for Refusal {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NotFound => Refusal::not_found(),
            OrderError::KeyReused => Refusal::new(
                Code::Effectuated,
                "the transaction was confirmed or undone before, by a request with other content",
            ),
            OrderError::Rejected(rejection) => rejection.into(),
            other @ (OrderError::TooLarge { .. }
            | OrderError::Unavailable(_)
            | OrderError::Unknown(_)
            | OrderError::Internal(_)) => Problem::from(other).into(),
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        match &rejection {
            Rejection::NotConfirmable { status } | Rejection::NotCancelable { status } => ended(*status),
            Rejection::CancellationPending => ended(Status::Canceled),
            Rejection::ExceedsOrder { amount_minor } => Refusal::at(
                Code::ExceedsAmount,
                "amount",
                format!("more than the transaction's amount of {amount_minor} cents"),
            ),
            Rejection::NotFound => Refusal::not_found(),
            Rejection::AlreadyExists
            | Rejection::CurrencyMismatch { .. }
            | Rejection::CaptureIsAutomatic
            | Rejection::NothingToCapture { .. }
            | Rejection::ExceedsCapturable { .. }
            | Rejection::NothingToRefund { .. }
            | Rejection::ExceedsRefundable { .. }
            | Rejection::CapturePending
            | Rejection::IdTaken
            | Rejection::AttemptRefused { .. }
            | Rejection::TooManyEntries => Refusal::new(Code::Refused, rejection.to_string()),
        }
    }
}

/// A transaction that is past its effectuation.
fn ended(status: Status) -> Refusal {
    match status {
        Status::Expired => Refusal::at(Code::Expired, "nit", "the transaction has expired"),
        Status::Failed => Refusal::at(Code::Denied, "nit", "the payment was denied"),
        Status::PartiallyCaptured | Status::Captured | Status::PartiallyRefunded | Status::Refunded => {
            Refusal::at(Code::Paid, "nit", "the transaction was paid by other means")
        }
        // An order that is none of these is refused only while it is being canceled.
        Status::Processing | Status::ActionRequired | Status::Authorized | Status::Canceled => {
            Refusal::at(Code::Canceled, "nit", "the transaction was undone or canceled")
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let status = problem.code.status();
        let code = match (problem.code, status.as_u16()) {
            (ProblemCode::BodyTooLarge, _) => Code::TooLarge,
            (ProblemCode::UnsupportedMediaType, _) => Code::UnsupportedMediaType,
            (ProblemCode::OutcomeUnknown, _) => {
                return Refusal::new(
                    Code::OutcomeUnknown,
                    "it may have been stored; send it again as it was",
                );
            }
            (_, 400 | 422) => Code::MalformedBody,
            (_, 404) => return Refusal::not_found(),
            (_, 503) => Code::Unavailable,
            (_, 500..) => Code::Internal,
            (_, _) => Code::Refused,
        };
        Refusal::new(code, problem.detail)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let body = Body { code: self.code.as_str(), message: &self.message };
        let mut response = (status, axum::Json(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
