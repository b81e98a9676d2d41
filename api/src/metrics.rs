//! Numbers for Prometheus.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics::{Counter, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::http::Routes;

/// The recorder is the process's, not the server's: tests start many servers in one process.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

const LATENCY: &str = "daybook_http_request_duration_seconds";
const PENDING: &str = "daybook_notifications_pending";
const OLDEST: &str = "daybook_notifications_oldest_seconds";
const LATENCY_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Starts to record, once a process.
pub fn install() {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(LATENCY.to_owned()), &LATENCY_BUCKETS);
        match builder.map_err(|e| e.to_string()).and_then(|b| b.install_recorder().map_err(|e| e.to_string()))
        {
            Ok(handle) => {
                describe();
                Some(handle)
            }
            Err(error) => {
                tracing::error!(error, "no metrics: the recorder cannot be installed");
                None
            }
        }
    });
}

/// Tidies up what the recorder has gathered; to be called every few seconds.
pub fn run_upkeep() {
    if let Some(Some(handle)) = RECORDER.get() {
        handle.run_upkeep();
    }
}

fn describe() {
    metrics::describe_counter!("daybook_http_requests_total", "Requests by method, route and status");
    metrics::describe_histogram!(LATENCY, "How long requests took, by method and route");
    metrics::describe_gauge!(
        "daybook_projector_lag_commits",
        "Commits in the log that are not in the views yet"
    );
    metrics::describe_gauge!("daybook_projector_applied_sequence", "The newest commit in the views");
    metrics::describe_gauge!(
        "daybook_rebuild_alarm",
        "1 while a rebuild by the same rules differs from the live views and waits for a person"
    );
    metrics::describe_gauge!("daybook_rebuild_left_commits", "Commits that a rebuild has yet to fold");
    metrics::describe_counter!("daybook_webhooks_total", "Webhooks by source, result and reason");
    metrics::describe_counter!("daybook_notifications_total", "Attempts to notify tenants, by result");
    metrics::describe_gauge!(PENDING, "Notifications that this node has to deliver, by tenant");
    metrics::describe_gauge!(OLDEST, "Age of the oldest of them, by tenant");
}

thread_local! {
    /// By route: the series that this thread has counted before. To look a series up costs more than to count.
    static SERIES: RefCell<HashMap<String, Vec<Series>>> = RefCell::default();
}

struct Series {
    method: &'static str,
    status: StatusCode,
    requests: Counter,
    latency: Histogram,
}

impl Series {
    fn new(method: &'static str, route: &str, status: StatusCode) -> Self {
        let route = route.to_owned();
        Series {
            method,
            status,
            requests: metrics::counter!("daybook_http_requests_total", "method" => method, "route" => route.clone(), "status" => status.as_u16().to_string()),
            latency: metrics::histogram!(LATENCY, "method" => method, "route" => route),
        }
    }
}

/// Counts a request. `route` is one of those that the router knows.
pub fn request(method: &Method, route: &str, status: StatusCode, elapsed: Duration) {
    let method = known(method);
    SERIES.with_borrow_mut(|by_route| {
        if !by_route.contains_key(route) {
            by_route.insert(route.to_owned(), Vec::new());
        }
        let Some(of_route) = by_route.get_mut(route) else { return };
        let index = of_route.iter().position(|s| s.method == method && s.status == status);
        let index = index.unwrap_or_else(|| {
            of_route.push(Series::new(method, route, status));
            of_route.len() - 1
        });
        let series = &of_route[index];
        series.requests.increment(1);
        series.latency.record(elapsed.as_secs_f64());
    });
}

/// Anybody can invent methods; nobody may invent series.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// Counts a webhook: its configured source, `recorded`, `duplicate`, `kept`, `quarantined` or `rejected`, and why it
/// is not in an order's log.
pub fn webhook(source: &str, result: &'static str, reason: Option<&'static str>) {
    metrics::counter!("daybook_webhooks_total", "source" => source.to_owned(), "result" => result, "reason" => reason.unwrap_or(""))
        .increment(1);
}

/// Counts an attempt to notify a tenant: `delivered` or `failed`, and `given_up` besides when it was the last.
pub fn notification(result: &'static str) {
    metrics::counter!("daybook_notifications_total", "result" => result).increment(1);
}

/// What this node has to deliver to a tenant, and the age of the oldest status change among it.
pub fn notifications_pending(tenant: &str, pending: usize, oldest_seconds: u64) {
    metrics::gauge!(PENDING, "tenant" => tenant.to_owned()).set(pending as f64);
    metrics::gauge!(OLDEST, "tenant" => tenant.to_owned()).set(oldest_seconds as f64);
}

/// The one route.
pub fn routes() -> Routes {
    vec![("/metrics", get(get_metrics))]
}

/// Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "Operations", responses((status = 200, description = "Prometheus' text format")))]
pub(crate) async fn get_metrics() -> impl IntoResponse {
    let text = RECORDER.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
