//! `/healthz` and `/readyz`: is the process alive, and can it be sent work.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use projections::{ProjectorStatus, State as ProjectorState};
use replay::audit::Keeper;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::Routes;

/// How long the journal may take to say where it ends.
const PATIENCE: Duration = Duration::from_secs(1);
/// Commits that the views may be behind while they follow a busy log.
const LAG: u64 = 10_000;

/// Both routes.
pub fn routes() -> Routes {
    vec![("/healthz", get(healthz)), ("/readyz", get(readyz))]
}

/// 200 while the process lives.
#[utoipa::path(get, path = "/healthz", tag = "Operations", responses((status = 200, description = "Alive")))]
pub(crate) async fn healthz() -> &'static str {
    "ok"
}

/// Whether this server can be sent work.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
struct Readiness {
    ready: bool,
    /// What is in the way, in words; empty when ready.
    reasons: Vec<String>,
    /// The newest sequence of each partition of the journal; null when it does not answer.
    journal: Option<Vec<u64>>,
    /// Commits in the views.
    applied: u64,
    /// Commits in the log that are not in the views yet.
    lag: u64,
    /// `catching_up`, `live` or `halted`.
    projector: &'static str,
}

/// 200 when the journal answers, the views have caught up and the log is what was signed; else 503 and the reason.
#[utoipa::path(
    get, path = "/readyz", tag = "Operations",
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "Not ready, and why", body = Readiness),
    )
)]
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let mut reasons = Vec::new();
    if app.shutdown.has_begun() {
        reasons.push("the server is going down".to_owned());
    }
    let journal = match tokio::time::timeout(PATIENCE, app.log_ends()).await {
        Ok(Ok(newest)) => Some(newest),
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "not ready: the journal does not answer");
            reasons.push("the journal answers with an error".to_owned());
            None
        }
        Err(_) => {
            reasons.push("the journal does not answer within a second".to_owned());
            None
        }
    };
    let ProjectorStatus { state, applied, lag, last: _ } = app.projector.status();
    // The projector may not have heard yet of what the journal holds already.
    let in_the_views = app.projector.applied().borrow().clone();
    let behind = journal.iter().flatten().zip(in_the_views);
    let behind = behind.map(|(end, applied)| end.sequence.saturating_sub(applied)).sum();
    let lag = lag.max(behind);
    let projector = match state {
        ProjectorState::Live if lag > LAG => {
            reasons.push(format!("the views are {lag} commits behind"));
            "live"
        }
        ProjectorState::Live => "live",
        ProjectorState::CatchingUp => {
            reasons.push(format!("the views are catching up: {lag} commits to go"));
            "catching_up"
        }
        ProjectorState::Halted { position, reason } => {
            reasons.push(format!("the projector has halted in front of {position}: {reason}"));
            "halted"
        }
    };
    if let Some(reason) = app.audit.as_ref().and_then(Keeper::halted) {
        reasons.push(format!("the log is not what was signed: {reason}"));
    }
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let journal = journal.map(|ends| ends.iter().map(|end| end.sequence).collect());
    let readiness = Readiness { ready, reasons, journal, applied, lag, projector };
    (status, axum::Json(readiness)).into_response()
}
