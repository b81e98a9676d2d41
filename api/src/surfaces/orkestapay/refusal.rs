//! Every refusal of this surface: `{"code", "message", "field"?}`, of which the vendor's plugins show `message`.
//!
//! The codes are those of `/v1` in capitals, and a few of this surface's own. What goes wrong with a token request
//! has the `error` of RFC 6749 as well.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ledger::money::MoneyError;
use serde::Serialize;

use crate::cards;
use crate::http::problem::{Code, Problem};
use crate::orders::OrderError;

/// After how many seconds it is worth trying again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// A request that was refused; nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    code: Cow<'static, str>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip)]
    status: StatusCode,
    #[serde(skip)]
    challenge: &'static str,
}

impl Refusal {
    /// A refusal with a code of this surface's own. The message never shows a card number that was in the wrong
    /// place.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl AsRef<str>) -> Self {
        Refusal {
            code: Cow::Borrowed(code),
            message: cards::redacted(message.as_ref()).into_owned(),
            field: None,
            error: None,
            status,
            challenge: "Bearer realm=\"orkestapay\"",
        }
    }

    /// A refusal for a reason that `/v1` knows, too. What is wrong with a body is a plain 400 here.
    pub(super) fn of(code: Code, message: impl AsRef<str>) -> Self {
        let status = match code.status() {
            _ if code == Code::IdempotencyKeyReused => StatusCode::CONFLICT,
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            other => other,
        };
        let refusal = Refusal::new(status, "", message);
        Refusal { code: Cow::Owned(code.as_str().to_ascii_uppercase()), ..refusal }
    }

    /// A field that cannot be used as it is.
    pub(super) fn invalid(field: impl AsRef<str>, message: impl AsRef<str>) -> Self {
        Refusal::of(Code::InvalidField, message).at(field)
    }

    /// An amount that cannot be used as it is.
    pub(super) fn amount(field: impl AsRef<str>, error: &MoneyError) -> Self {
        Refusal::of(Problem::money("", error).code, error.to_string()).at(field)
    }

    /// The total is not what the other amounts come to.
    pub(super) fn amounts_do_not_add_up() -> Self {
        let message = "total_amount is not subtotal_amount less the discounts plus taxes and shipping";
        Refusal::new(StatusCode::BAD_REQUEST, "AMOUNTS_DO_NOT_ADD_UP", message)
    }

    /// A card number where none belongs.
    pub(super) fn card_number(field: impl AsRef<str>) -> Self {
        Refusal::of(Code::CardNumberRefused, "looks like a card number; the buyer enters it on the page")
            .at(field)
    }

    /// No such checkout, order or payment for this caller.
    pub(super) fn not_found() -> Self {
        Refusal::of(Code::NotFound, "there is no such thing for this caller")
    }

    /// There is no access token.
    pub(super) fn no_token() -> Self {
        Refusal::of(Code::Unauthenticated, "send Authorization: Bearer and an access token")
    }

    /// The access token opens nothing.
    pub(super) fn bad_token() -> Self {
        let refusal = Refusal::of(Code::Unauthenticated, "the access token is not valid; ask for a new one");
        Refusal { challenge: "Bearer realm=\"orkestapay\", error=\"invalid_token\"", ..refusal }
    }

    /// With the field at fault.
    pub(super) fn at(mut self, field: impl AsRef<str>) -> Self {
        self.field = Some(cards::redacted(field.as_ref()).into_owned());
        self
    }

    /// With the error code of RFC 6749.
    pub(super) fn oauth(mut self, error: &'static str) -> Self {
        self.error = Some(error);
        self
    }
}

impl From<OrderError> for Refusal {
    fn from(error: OrderError) -> Self {
        Problem::from(error).into()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let field = problem.field();
        let refusal = Refusal::of(problem.code, problem.detail);
        match field {
            Some(field) => refusal.at(field),
            None => refusal,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(self.challenge));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}
