//! `/admin/rebuild`: folding the views anew beside those that are live, and taking them in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use projections::{Comparison, Progress, RebuildRefused, RebuildStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::Problem;
use crate::http::auth::Admin;
use crate::http::problem::{Code, Document};
use crate::http::query::{Query, invalid};
use crate::orders::OrderError;
use crate::v1::shapes::time;

/// A rebuild, or the last one that there was since the server started.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rebuild)]
pub(crate) struct RebuildJson {
    /// `idle`, `folding`, `paused`, `comparing`, `waiting`, `alarm`, `done`, `canceled` or `failed`.
    state: &'static str,
    /// `rebuild`: a new generation from the start of the log. `rollback`: the one before, brought up to date.
    kind: &'static str,
    /// `automatic`, or `manual`: then it waits for `POST /admin/rebuild/swap` when it has caught up.
    swap: &'static str,
    /// The generation that is folded.
    generation: Option<u64>,
    /// The generation that reads see.
    live_generation: u64,
    /// Commits that were in it when this server took it up.
    resumed_at: u64,
    /// Commits in it.
    done: u64,
    /// Commits in the live views.
    total: u64,
    /// Commits a second since this server took it up.
    rate_per_s: u64,
    /// Seconds left at that rate.
    eta_s: Option<u64>,
    /// How the two compared, once they have been.
    comparison: Option<ComparisonJson>,
    /// Why it raised an alarm or failed.
    reason: Option<String>,
    /// When it was begun, or taken up by this server: RFC 3339.
    started_at: Option<String>,
    /// When it ended: RFC 3339.
    ended_at: Option<String>,
}

/// Two generations at the same place in the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RebuildComparison)]
struct ComparisonJson {
    /// Whether both hold the same rows.
    same: bool,
    /// Whether the same version of the views has folded both, so that they must not differ.
    same_version: bool,
    /// Of the generation that was folded, in hex.
    digest: String,
    /// Of the generation that was live, in hex.
    live_digest: String,
    /// Per partition, the sequence of the last commit in both.
    checkpoint: Vec<u64>,
}

impl From<Comparison> for ComparisonJson {
    fn from(comparison: Comparison) -> Self {
        ComparisonJson {
            same: comparison.is_same(),
            same_version: comparison.is_same_version,
            digest: comparison.digest.to_string(),
            live_digest: comparison.live_digest.to_string(),
            checkpoint: comparison.checkpoint,
        }
    }
}

fn shown(app: &App, status: RebuildStatus) -> axum::Json<RebuildJson> {
    let RebuildStatus {
        state,
        kind,
        is_manual,
        generation,
        resumed_at,
        progress: Progress { done, total, rate_per_s, eta },
        compared,
        reason,
        started_at,
        ended_at,
    } = status;
    axum::Json(RebuildJson {
        state: state.name(),
        kind: kind.name(),
        swap: if is_manual { "manual" } else { "automatic" },
        generation,
        live_generation: app.views.generation(),
        resumed_at,
        done,
        total,
        rate_per_s,
        eta_s: eta.map(|eta| eta.as_secs()),
        comparison: compared.map(ComparisonJson::from),
        reason,
        started_at: started_at.map(time),
        ended_at: ended_at.map(time),
    })
}

type Shown = Result<axum::Json<RebuildJson>, Problem>;

fn told(app: &App, outcome: Result<RebuildStatus, RebuildRefused>) -> Shown {
    outcome.map(|status| shown(app, status)).map_err(refused)
}

fn refused(refused: RebuildRefused) -> Problem {
    let code = match &refused {
        RebuildRefused::UnderWay(_) => Code::RebuildUnderWay,
        RebuildRefused::NotUnderWay => Code::NoRebuildUnderWay,
        RebuildRefused::NotCompared(_) => Code::RebuildNotCompared,
        RebuildRefused::NothingBefore | RebuildRefused::OtherVersion => Code::NothingToRollBackTo,
        RebuildRefused::Store(_) | RebuildRefused::Thread(_) => {
            return Problem::from(OrderError::internal(refused.into()));
        }
    };
    Problem::new(code, refused.to_string())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartQuery {
    swap: Option<String>,
}

/// What the rebuild is at, or what the last one came to.
#[utoipa::path(
    get, path = "/admin/rebuild", tag = "Administration", security(("admin_key" = [])),
    responses((status = 200, description = "The state", body = RebuildJson))
)]
pub(crate) async fn get(State(app): State<Arc<App>>, _: Admin) -> axum::Json<RebuildJson> {
    shown(&app, app.rebuilds.status())
}

/// Begins to fold the views anew beside those that are live. Reads go on, and see the old or the new, never half.
#[utoipa::path(
    post, path = "/admin/rebuild", tag = "Administration", security(("admin_key" = [])),
    params(("swap" = Option<String>, Query, description = "`automatic` (the default), or `manual`: it waits for `POST /admin/rebuild/swap`")),
    responses(
        (status = 202, description = "Begun", body = RebuildJson),
        (status = 409, description = "One is under way", body = Document),
    )
)]
pub(crate) async fn start(
    State(app): State<Arc<App>>,
    _: Admin,
    Query(query): Query<StartQuery>,
) -> Result<(StatusCode, axum::Json<RebuildJson>), Problem> {
    let is_manual = match query.swap.as_deref() {
        None | Some("automatic") => false,
        Some("manual") => true,
        Some(_) => return Err(invalid("swap: automatic or manual")),
    };
    Ok((StatusCode::ACCEPTED, told(&app, app.rebuilds.start(is_manual).await)?))
}

/// Has the rebuild stand still, also across a restart of the server.
#[utoipa::path(
    post, path = "/admin/rebuild/pause", tag = "Administration", security(("admin_key" = [])),
    responses(
        (status = 200, description = "It stands still, or will after its next batch", body = RebuildJson),
        (status = 409, description = "None is under way", body = Document),
    )
)]
pub(crate) async fn pause(State(app): State<Arc<App>>, _: Admin) -> Shown {
    told(&app, app.rebuilds.pause().await)
}

/// Has a paused rebuild go on.
#[utoipa::path(
    post, path = "/admin/rebuild/resume", tag = "Administration", security(("admin_key" = [])),
    responses(
        (status = 200, description = "It goes on", body = RebuildJson),
        (status = 409, description = "None is under way", body = Document),
    )
)]
pub(crate) async fn resume(State(app): State<Arc<App>>, _: Admin) -> Shown {
    told(&app, app.rebuilds.resume().await)
}

/// Gives the rebuild up and drops what was folded.
#[utoipa::path(
    post, path = "/admin/rebuild/cancel", tag = "Administration", security(("admin_key" = [])),
    responses(
        (status = 200, description = "It has ended: as `canceled`, or `done` if that came first", body = RebuildJson),
        (status = 409, description = "None is under way", body = Document),
    )
)]
pub(crate) async fn cancel(State(app): State<Arc<App>>, _: Admin) -> Shown {
    told(&app, app.rebuilds.cancel().await)
}

/// Makes a rebuild live that waits for it, or that has raised an alarm.
#[utoipa::path(
    post, path = "/admin/rebuild/swap", tag = "Administration", security(("admin_key" = [])),
    responses(
        (status = 200, description = "It is live", body = RebuildJson),
        (status = 409, description = "None is under way, or it has not caught up", body = Document),
    )
)]
pub(crate) async fn swap(State(app): State<Arc<App>>, _: Admin) -> Shown {
    told(&app, app.rebuilds.swap().await)
}

/// Begins to bring the generation that was live before up to date, and makes it live again.
#[utoipa::path(
    post, path = "/admin/rebuild/rollback", tag = "Administration", security(("admin_key" = [])),
    responses(
        (status = 202, description = "Begun", body = RebuildJson),
        (status = 409, description = "One is under way, or there is nothing to go back to", body = Document),
    )
)]
pub(crate) async fn rollback(
    State(app): State<Arc<App>>,
    _: Admin,
) -> Result<(StatusCode, axum::Json<RebuildJson>), Problem> {
    Ok((StatusCode::ACCEPTED, told(&app, app.rebuilds.rollback().await)?))
}
