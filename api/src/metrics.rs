//! Numbers for Prometheus.

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::http::Routes;

/// The recorder is the process's, not the server's: tests start many servers in one process.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

const LATENCY: &str = "daybook_http_request_duration_seconds";
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
    metrics::describe_counter!("daybook_webhooks_total", "Webhooks by source, result and reason");
}

/// Counts a request.
pub fn request(method: &Method, route: &str, status: StatusCode, elapsed: Duration) {
    // Anybody can invent methods; nobody may invent series.
    let method = match method.as_str() {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => method.as_str().to_owned(),
        _ => "other".to_owned(),
    };
    let route = route.to_owned();
    metrics::counter!("daybook_http_requests_total", "method" => method.clone(), "route" => route.clone(), "status" => status.as_u16().to_string())
        .increment(1);
    metrics::histogram!(LATENCY, "method" => method, "route" => route).record(elapsed.as_secs_f64());
}

/// Counts a webhook: its configured source, `recorded`, `duplicate`, `quarantined` or `rejected`, and why it was
/// quarantined.
pub fn webhook(source: &str, result: &'static str, reason: Option<&'static str>) {
    metrics::counter!("daybook_webhooks_total", "source" => source.to_owned(), "result" => result, "reason" => reason.unwrap_or(""))
        .increment(1);
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
