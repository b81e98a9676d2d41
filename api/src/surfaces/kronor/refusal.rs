//! Every refusal's shape: a GraphQL error with `extensions.type`, and the HTTP status that goes with it.

use async_graphql::{ErrorExtensionValues, ServerError};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::cards;
use crate::http::problem::Problem;
use crate::orders::OrderError;

/// Why something was refused: the stable word in `extensions.type`. The page for users lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorType {
    /// No credentials, or wrong ones.
    Unauthenticated,
    /// The credentials are good, for something else.
    Forbidden,
    /// Not JSON, not UTF-8, or not a GraphQL request.
    InvalidRequest,
    /// Not GraphQL, not of this schema, or too expensive.
    InvalidGraphql,
    /// A value breaks a rule; `extensions.field` names it.
    InvalidInput,
    /// The idempotency key came with other data before.
    IdempotencyKeyReused,
    /// There is no such thing for this caller.
    NotFound,
    /// Not this method.
    MethodNotAllowed,
    /// Too many bytes.
    RequestTooLarge,
    /// Not `application/json`.
    UnsupportedMediaType,
    /// More operations at once than a socket may have.
    TooManyOperations,
    /// Try again. With the same idempotency key that is safe.
    TemporaryFailure,
    /// Our fault.
    InternalError,
}

impl ErrorType {
    /// Every type.
    #[cfg(test)]
    pub(super) const ALL: [ErrorType; 13] = [
        ErrorType::Unauthenticated,
        ErrorType::Forbidden,
        ErrorType::InvalidRequest,
        ErrorType::InvalidGraphql,
        ErrorType::InvalidInput,
        ErrorType::IdempotencyKeyReused,
        ErrorType::NotFound,
        ErrorType::MethodNotAllowed,
        ErrorType::RequestTooLarge,
        ErrorType::UnsupportedMediaType,
        ErrorType::TooManyOperations,
        ErrorType::TemporaryFailure,
        ErrorType::InternalError,
    ];

    /// The word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            ErrorType::Unauthenticated => "UNAUTHENTICATED",
            ErrorType::Forbidden => "FORBIDDEN",
            ErrorType::InvalidRequest => "INVALID_REQUEST",
            ErrorType::InvalidGraphql => "INVALID_GRAPHQL",
            ErrorType::InvalidInput => "INVALID_INPUT",
            ErrorType::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            ErrorType::NotFound => "NOT_FOUND",
            ErrorType::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            ErrorType::RequestTooLarge => "REQUEST_TOO_LARGE",
            ErrorType::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            ErrorType::TooManyOperations => "TOO_MANY_OPERATIONS",
            ErrorType::TemporaryFailure => "TEMPORARY_FAILURE",
            ErrorType::InternalError => "INTERNAL_ERROR",
        }
    }

    /// The HTTP status of a request that came to nothing for this reason. What the schema's own resolvers refuse
    /// is an answer like any other, and so 200, unless it is our fault.
    fn status(self) -> StatusCode {
        match self {
            ErrorType::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorType::InvalidRequest => StatusCode::BAD_REQUEST,
            ErrorType::NotFound => StatusCode::NOT_FOUND,
            ErrorType::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ErrorType::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorType::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorType::TemporaryFailure => StatusCode::SERVICE_UNAVAILABLE,
            ErrorType::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorType::Forbidden
            | ErrorType::InvalidGraphql
            | ErrorType::InvalidInput
            | ErrorType::IdempotencyKeyReused
            | ErrorType::TooManyOperations => StatusCode::OK,
        }
    }
}

/// A refusal. Deliberately without `Display`: it becomes a GraphQL error by its own conversion alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Why.
    pub(super) kind: ErrorType,
    /// In a sentence for people, without secrets.
    pub(super) message: String,
    /// The input at fault, such as `purchase.purchaseLines[0].name`.
    pub(super) field: Option<String>,
}

impl Refusal {
    /// A refusal that is about no field in particular.
    pub(super) fn new(kind: ErrorType, message: impl Into<String>) -> Self {
        Refusal { kind, message: message.into(), field: None }
    }

    /// A value that cannot be used.
    pub(super) fn input(field: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal { field: Some(field.into()), ..Refusal::new(ErrorType::InvalidInput, message) }
    }

    /// No credentials, or wrong ones.
    pub(super) fn unauthenticated() -> Self {
        Refusal::new(ErrorType::Unauthenticated, "send `Authorization: Bearer <API key or waitToken>`")
    }

    /// No such purchase order; the same for one of another tenant.
    pub(super) fn not_found() -> Self {
        Refusal::new(ErrorType::NotFound, "there is no such purchase order")
    }

    /// It took too long.
    pub(super) fn too_late() -> Self {
        Refusal::new(
            ErrorType::TemporaryFailure,
            "it took too long, and may have been stored; send it again with the same idempotency key",
        )
    }

    /// Damage or a bug, said loudly in the log and to nobody else.
    pub(super) fn internal(reason: &str) -> Self {
        OrderError::internal(reason.into()).into()
    }
}

impl From<OrderError> for Refusal {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NotFound => Refusal::not_found(),
            OrderError::KeyReused => Refusal {
                field: Some("purchase.idempotencyKey".to_owned()),
                ..Refusal::new(
                    ErrorType::IdempotencyKeyReused,
                    "this key came with other data before; that operation stands as it was",
                )
            },
            OrderError::TooLarge { size, limit } => Refusal::new(
                ErrorType::RequestTooLarge,
                format!("it takes {size} bytes in the log; {limit} fit"),
            ),
            OrderError::Unavailable(_) => {
                Refusal::new(ErrorType::TemporaryFailure, "nothing was stored; try again")
            }
            OrderError::Unknown(_) => Refusal::new(
                ErrorType::TemporaryFailure,
                "it may have been stored; send it again with the same idempotency key",
            ),
            // Ids come from keys, and a cancellation that is refused is answered where it is asked for.
            OrderError::Rejected(rejection) => Refusal::internal(&format!("unexpected: {rejection}")),
            OrderError::Internal(_) => {
                Refusal::new(ErrorType::InternalError, "something went wrong on our side")
            }
        }
    }
}

impl From<Problem> for Refusal {
    /// What reading the body can end with.
    fn from(problem: Problem) -> Self {
        let kind = match problem.code.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ErrorType::RequestTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorType::UnsupportedMediaType,
            status if status.is_client_error() => ErrorType::InvalidRequest,
            _ => ErrorType::InternalError,
        };
        let field = problem.pointer.filter(|pointer| !pointer.is_empty());
        Refusal { kind, message: cards::redacted(&problem.detail).into_owned(), field }
    }
}

impl From<Refusal> for async_graphql::Error {
    fn from(refusal: Refusal) -> Self {
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("type", refusal.kind.as_str());
        if let Some(field) = refusal.field {
            extensions.set("field", field);
        }
        async_graphql::Error { extensions: Some(extensions), ..async_graphql::Error::new(refusal.message) }
    }
}

impl From<Refusal> for ServerError {
    fn from(refusal: Refusal) -> Self {
        async_graphql::Error::from(refusal).into_server_error(Default::default())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut extensions = json!({"type": self.kind.as_str()});
        if let Some(field) = self.field {
            extensions["field"] = field.into();
        }
        let error = json!({"message": self.message, "extensions": extensions});
        let status = self.kind.status();
        let mut response = (status, axum::Json(json!({"errors": [error]}))).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The executor's answer, with a type for each of its own errors and without anything like a card number.
pub(super) fn finished(mut response: async_graphql::Response) -> async_graphql::Response {
    for error in &mut response.errors {
        error.message = cards::redacted(&error.message).into_owned();
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("type").is_none() {
            extensions.set("type", ErrorType::InvalidGraphql.as_str());
        }
    }
    response
}

/// The executor's answer over HTTP: 200, or what our own failures are answered with.
pub(super) fn answer(response: async_graphql::Response) -> Response {
    let response = finished(response);
    let has = |kind: ErrorType| {
        let word = async_graphql::Value::from(kind.as_str());
        let types = response.errors.iter().filter_map(|error| error.extensions.as_ref()?.get("type"));
        types.into_iter().any(|found| *found == word)
    };
    let ours = [ErrorType::TemporaryFailure, ErrorType::InternalError];
    let status = ours.into_iter().find(|kind| has(*kind)).map_or(StatusCode::OK, ErrorType::status);
    let mut reply = (status, axum::Json(response)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    reply
}
