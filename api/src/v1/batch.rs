//! `POST /v1/batch`: many commands in one request, as JSON Lines, each with its own result.
//!
//! A batch is no transaction: each command is its own commit under its own idempotency key, decided by the code of its
//! single route. What must stay true: commands about one order take effect in the order of their lines; a line that
//! fails leaves those of other orders alone; nothing is reported as accepted before it is stored; and one batch leaves
//! room for everybody else.

mod line;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use ledger::ids::{RecordId, TenantId};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;
use utoipa::ToSchema;

use self::line::{Command, LineBody};
use crate::app::App;
use crate::http::problem::{Document, RETRY_AFTER};
use crate::http::{Caller, Code, Problem, body};

/// Commands that a batch may hold.
const MOST_COMMANDS: usize = 10_000;
/// Bytes that a batch may have.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Orders of one batch that are worked on at the same time: enough to keep a journal busy.
const UNDER_WAY: usize = 512;
/// Orders of all batches that are worked on at the same time, of the thousand appends that a journal takes at once.
pub(crate) const ALL_UNDER_WAY: usize = 2 * UNDER_WAY;
/// Lines that are read before others get their turn.
const READ_AT_ONCE: usize = 64;

const JSON_LINES: &str = "application/x-ndjson";
const MEDIA_TYPES: &[&str] = &[JSON_LINES, "application/jsonl"];

/// What became of one line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchResult)]
struct ResultJson<'a> {
    /// The number of the line, from 1.
    line: usize,
    /// As the line has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#ref: Option<&'a str>,
    /// What the single route would have answered.
    status: u16,
    /// Seconds after which to send the line again; with every 503.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// The answer of the single route, where the command is in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    body: Option<&'a RawValue>,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Document>,
}

/// Makes up to 10 000 commands happen, each for itself, and answers with one result for each line in the order of the
/// lines. Lines about the same order take effect in their order.
#[utoipa::path(
    post, path = "/v1/batch", tag = "Orders", security(("api_key" = [])),
    request_body(content = LineBody, content_type = "application/x-ndjson",
        description = "JSON Lines of up to 16 MiB: one command a line"),
    responses(
        (status = 200, description = "One result a line: what the single route would have answered",
            body = ResultJson, content_type = "application/x-ndjson"),
        (status = "4XX", description = "Refused as a whole; nothing changed", body = Document),
        (status = 503, description = "Too many other batches are under way; nothing changed", body = Document),
    )
)]
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    request: Request,
) -> Result<Response, Problem> {
    // What has begun by then has ended before the request's time is up.
    let time = app.config.limits.request_timeout.saturating_sub(app.ledger.gives_up_after());
    let begin_by = Instant::now() + time;
    let (parts, body) = request.into_parts();
    let bytes = body::read(body, MOST_BYTES).await?;
    body::expect(&parts.headers, MEDIA_TYPES)?;
    let (mut lines, orders) = read(&tenant, &bytes).await?;
    drop(bytes);

    let room = u32::try_from(orders.len().min(UNDER_WAY)).unwrap_or(u32::MAX);
    let room = tokio::time::timeout_at(begin_by, app.batched.acquire_many(room)).await;
    let Ok(Ok(_room)) = room else {
        return Err(Problem::new(Code::Busy, "too many other batches are under way; nothing was done"));
    };
    let batch =
        Arc::new(Batch { app: Arc::clone(&app), tenant, begin_by, is_cut_short: AtomicBool::new(false) });
    for (index, outcome) in batch.perform(orders).await {
        if let Some(line) = lines.get_mut(index) {
            line.outcome = Some(outcome);
        }
    }
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, JSON_LINES)], write(lines)?).into_response())
}

/// A line's place among the lines that hold something.
type Index = usize;
/// What the single route would have answered.
type Outcome = Result<Box<RawValue>, Problem>;

/// A line that holds something.
struct Line {
    /// From 1, those that hold nothing included.
    number: usize,
    reference: Option<String>,
    /// None until it is known.
    outcome: Option<Outcome>,
}

/// The lines, and their commands by order, each order's in the order of the lines.
async fn read(tenant: &TenantId, bytes: &[u8]) -> Result<(Vec<Line>, Vec<Vec<(Index, Command)>>), Problem> {
    let filled =
        || (1..).zip(bytes.split(|&byte| byte == b'\n')).filter(|(_, text)| !text.trim_ascii().is_empty());
    let count = filled().count();
    if count > MOST_COMMANDS {
        return Err(Problem::new(
            Code::TooManyCommands,
            format!("{count} commands; at most {MOST_COMMANDS}"),
        ));
    }
    let mut lines = Vec::with_capacity(count);
    let mut orders: Vec<Vec<(Index, Command)>> = Vec::with_capacity(count);
    let mut by_id: HashMap<RecordId, usize> = HashMap::with_capacity(count);
    for (number, text) in filled() {
        let index = lines.len();
        if index % READ_AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
        let (reference, command) = line::read(tenant, text);
        let outcome = match command {
            Ok(command) => {
                let place = *by_id.entry(command.order).or_insert(orders.len());
                match orders.get_mut(place) {
                    Some(order) => order.push((index, command)),
                    None => orders.push(vec![(index, command)]),
                }
                None
            }
            Err(problem) => Some(Err(problem)),
        };
        lines.push(Line { number, reference, outcome });
    }
    Ok((lines, orders))
}

/// The results as they are sent.
fn write(lines: Vec<Line>) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    for Line { number, reference, outcome } in lines {
        // A task that ended without one panicked, which is in the log already.
        let outcome = outcome.unwrap_or_else(|| Err(Problem::internal()));
        let status = outcome.as_ref().map_or_else(|problem| problem.code.status(), |_| StatusCode::ACCEPTED);
        let (body, problem) = match outcome {
            Ok(body) => (Some(body), None),
            Err(problem) => (None, Some(Document::from(problem))),
        };
        let result = ResultJson {
            line: number,
            r#ref: reference.as_deref(),
            status: status.as_u16(),
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER),
            body: body.as_deref(),
            problem,
        };
        serde_json::to_writer(&mut bytes, &result).map_err(|_| Problem::internal())?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// A batch that is being worked on.
struct Batch {
    app: Arc<App>,
    tenant: TenantId,
    /// What has not begun by then does not begin.
    begin_by: Instant,
    /// A command ended in doubt or in an outage: those that have not begun would fare no better, and of the same order
    /// they must not overtake it.
    is_cut_short: AtomicBool,
}

impl Batch {
    /// Ends early when the caller goes away: what is in the log by then stays there.
    async fn perform(self: Arc<Self>, orders: Vec<Vec<(Index, Command)>>) -> Vec<(Index, Outcome)> {
        let mut outcomes = Vec::new();
        let mut tasks = JoinSet::new();
        for order in orders {
            if tasks.len() >= UNDER_WAY {
                keep(&mut outcomes, tasks.join_next().await);
            }
            // In a box: a task moves what it runs about ten times, and this has some kilobytes.
            tasks.spawn(Box::pin(Arc::clone(&self).perform_in_turn(order)).in_current_span());
        }
        while !tasks.is_empty() {
            keep(&mut outcomes, tasks.join_next().await);
        }
        outcomes
    }

    async fn perform_in_turn(self: Arc<Self>, commands: Vec<(Index, Command)>) -> Vec<(Index, Outcome)> {
        let mut outcomes = Vec::with_capacity(commands.len());
        for (index, command) in commands {
            outcomes.push((index, self.perform_one(command).await));
        }
        outcomes
    }

    async fn perform_one(&self, command: Command) -> Outcome {
        if self.is_cut_short.load(Ordering::Relaxed) {
            return Err(Problem::new(
                Code::JournalUnavailable,
                "not begun, since the journal failed others of this batch; nothing was stored; try again",
            ));
        }
        if Instant::now() >= self.begin_by {
            return Err(Problem::new(
                Code::Busy,
                "not begun, since the batch took too long; nothing was stored; try again",
            ));
        }
        let outcome = command.perform(&self.app, &self.tenant).await;
        if outcome.as_ref().is_err_and(|problem| problem.code.status() == StatusCode::SERVICE_UNAVAILABLE) {
            self.is_cut_short.store(true, Ordering::Relaxed);
        }
        outcome
    }
}

type Joined = Result<Vec<(Index, Outcome)>, tokio::task::JoinError>;

fn keep(outcomes: &mut Vec<(Index, Outcome)>, joined: Option<Joined>) {
    match joined {
        Some(Ok(done)) => outcomes.extend(done),
        Some(Err(error)) => tracing::error!(%error, "INTERNAL: a command of a batch panicked"),
        None => {}
    }
}
