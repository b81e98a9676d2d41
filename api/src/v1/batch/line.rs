//! One line of a batch: a command, as its caller writes it.

use ledger::ids::{RecordId, TenantId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::body::parse;
use crate::http::id::{OrderId, is_idempotency_key};
use crate::http::{Code, Problem};
use crate::orders::operation;
use crate::v1::{cancellations, captures, checkouts, refunds};

/// Characters that a line's name for itself may have.
const LONGEST_REF: usize = 128;

/// One command.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BatchCommand)]
pub(crate) struct LineBody {
    op: Operation,
    /// The caller's own name for the line, up to 128 characters: its result repeats it.
    r#ref: Option<String>,
    /// 1 to 255 visible ASCII characters, of the same scope as that of the single route.
    idempotency_key: String,
    /// The order: its id or tracking number. For everything but a checkout.
    order_id: Option<String>,
    /// In place of `order_id`: the idempotency key of the checkout that opened it, on `/v1/checkouts` or in a batch.
    checkout_key: Option<String>,
    /// What the single route takes as its body.
    #[schema(value_type = Option<Object>)]
    body: Option<Box<RawValue>>,
}

/// Which single route it stands for.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BatchOperation)]
enum Operation {
    Checkout,
    Capture,
    Refund,
    Cancellation,
}

/// A command whose body is yet to be read.
#[derive(Debug)]
pub(super) struct Command {
    /// The order that it is about, also one that it opens.
    pub(super) order: RecordId,
    operation: Operation,
    key: String,
    body: Option<Box<RawValue>>,
}

/// What the line calls itself, as far as that can be read, and its command.
pub(super) fn read(tenant: &TenantId, text: &[u8]) -> (Option<String>, Result<Command, Problem>) {
    match parse::<LineBody>(text) {
        Ok(line) if line.r#ref.as_ref().is_some_and(|name| name.chars().count() > LONGEST_REF) => {
            (None, Err(Problem::at(Code::InvalidField, "/ref", "at most 128 characters")))
        }
        Ok(mut line) => (line.r#ref.take(), line.check(tenant)),
        Err(problem) => (None, Err(problem)),
    }
}

impl LineBody {
    fn check(self, tenant: &TenantId) -> Result<Command, Problem> {
        let LineBody { op: operation, r#ref: _, idempotency_key: key, order_id, checkout_key, body } = self;
        check_key("/idempotency_key", &key)?;
        let opened_by = |key: &str| RecordId::for_key(tenant, operation::CHECKOUT, key);
        let order = match (operation, order_id, checkout_key) {
            (Operation::Checkout, None, None) => opened_by(&key),
            (Operation::Checkout, Some(_), _) => {
                return Err(Problem::at(Code::InvalidField, "/order_id", "a checkout makes its order's id"));
            }
            (Operation::Checkout, None, Some(_)) => {
                return Err(Problem::at(Code::InvalidField, "/checkout_key", "it is the line's own key"));
            }
            (_, Some(id), None) => OrderId::parse(&id).ok_or_else(Problem::not_found)?,
            (_, None, Some(key)) => {
                check_key("/checkout_key", &key)?;
                opened_by(&key)
            }
            (_, None, None) => {
                return Err(Problem::at(Code::MissingField, "/order_id", "order_id is required"));
            }
            (_, Some(_), Some(_)) => {
                return Err(Problem::at(
                    Code::InvalidField,
                    "/checkout_key",
                    "order_id names the order already",
                ));
            }
        };
        Ok(Command { order, operation, key, body })
    }
}

fn check_key(pointer: &str, key: &str) -> Result<(), Problem> {
    if is_idempotency_key(key.as_bytes()) {
        return Ok(());
    }
    Err(Problem::at(Code::InvalidIdempotencyKey, pointer, "1 to 255 visible ASCII characters"))
}

impl Command {
    /// What its single route does, and answers.
    pub(super) async fn perform(self, app: &App, tenant: &TenantId) -> Result<Box<RawValue>, Problem> {
        let Command { order, operation, key, body } = self;
        let (tenant, key) = (tenant.clone(), Some(key));
        let limit = app.config.limits.body_bytes;
        if body.as_ref().is_some_and(|body| body.get().len() > limit) {
            return Err(Problem::at(Code::BodyTooLarge, "/body", format!("at most {limit} bytes")));
        }
        match operation {
            Operation::Checkout => {
                let missing = || Problem::at(Code::MissingField, "/body", "body is required");
                let body = read_body(&body.ok_or_else(missing)?)?;
                let accepted = checkouts::accept(app, tenant, key, &body).await;
                answer(&accepted.map_err(in_body)?.document)
            }
            Operation::Capture => {
                let body = read_body_or_nothing(body.as_deref())?;
                let accepted = captures::accept(app, tenant, key, order, &body).await;
                answer(&accepted.map_err(in_body)?.document)
            }
            Operation::Refund => {
                let body = read_body_or_nothing(body.as_deref())?;
                let accepted = refunds::accept(app, tenant, key, order, &body).await;
                answer(&accepted.map_err(in_body)?.document)
            }
            Operation::Cancellation => {
                let body = read_body_or_nothing(body.as_deref())?;
                let accepted = cancellations::accept(app, tenant, key, order, &body).await;
                answer(&accepted.map_err(in_body)?.document)
            }
        }
    }
}

fn read_body<T: DeserializeOwned>(body: &RawValue) -> Result<T, Problem> {
    parse(body.get().as_bytes()).map_err(in_body)
}

fn read_body_or_nothing<T: DeserializeOwned + Default>(body: Option<&RawValue>) -> Result<T, Problem> {
    body.map_or_else(|| Ok(T::default()), read_body)
}

/// The fields of a body, as seen from its line.
fn in_body(problem: Problem) -> Problem {
    problem.within("/body")
}

fn answer(document: &impl Serialize) -> Result<Box<RawValue>, Problem> {
    to_raw_value(document).map_err(|_| Problem::internal())
}
