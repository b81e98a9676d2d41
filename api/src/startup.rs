//! Building the server, for `main` and for tests alike: journal, views, projector, routes, and the way down.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use ledger::execute::{Ledger, RetryPolicy};
use ledger::ids::Position;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::jetstream::{Credentials, JetStreamConfig, JetStreamJournal};
use ledger::journal::read_only::ReadOnly;
use ledger::journal::{Journal, OpenError};
use projections::{Projector, ProjectorOptions, Reader, RebuildRefused, Rebuilds, StoreOptions, Views};
use replay::audit::key::{self, KeyFileError};
use replay::audit::{Keeper, KeeperOptions, OpenKeeperError};
use replay::copy::Moved;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::app::{Accepted, App};
use crate::config::{Config, DEMO_KEY, DEMO_TENANT, NatsConfig, SwapMode};
use crate::connections::{self, ConnectionLimits};
use crate::feed::Renderings;
use crate::http::layers::{self, Surround};
use crate::http::{Code, Problem, Routes};
use crate::tenants::Tenants;
use crate::tokens::TokenSigner;
use crate::{
    admin, audit, health, metrics, notifications, openapi, personal_data, sandbox, surfaces, timers, v1,
    webhooks,
};

/// How long to wait for a journal that cannot be reached when the server starts.
const PATIENCE_AT_START: Duration = Duration::from_secs(30);
/// How long requests in flight may take to end once the server is going down, beyond a request's own limit.
const PATIENCE_AT_END: Duration = Duration::from_secs(5);
/// Pages of the journal that feeds may read at the same time. Each has up to 4 MiB, and a nats-server cuts off a connection,
/// appends and all, on which 64 MiB wait.
const CATCH_UPS: usize = 8;
const UPKEEP: Duration = Duration::from_secs(5);
/// How often to look whether the ledger has moved; `daybook copy` waits several times as long.
pub const LOOK_FOR_MOVE: Duration = Duration::from_secs(2);
const PAUSE_AFTER_PANIC: Duration = Duration::from_secs(1);

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

/// Why a server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The directory for the data cannot be made.
    #[error("the data directory {} cannot be made: {source}", path.display())]
    DataDirectory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal can be reached and must not be used, or could not be reached in time.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The views cannot be opened, or could not be made durable at the end.
    #[error(transparent)]
    Store(#[from] projections::StoreError),
    /// The projector refuses to follow the log.
    #[error(transparent)]
    Projector(#[from] projections::StartError),
    /// The ledger is in another journal now, and commits stored here would be lost to it.
    #[error("the ledger in this journal has moved to {} (at {})", .0.to, .0.at)]
    Moved(Moved),
    /// Whether the ledger has moved cannot be found out.
    #[error("the journal cannot be read")]
    Unreadable(#[from] ledger::journal::ReadError),
    /// There is no key to sign the log's tree with.
    #[error(transparent)]
    AuditKey(#[from] KeyFileError),
    /// The log's tree cannot be kept, or the log is not what was signed.
    #[error(transparent)]
    Audit(#[from] OpenKeeperError),
    /// A rebuild that was under way cannot be taken up.
    #[error(transparent)]
    Rebuild(#[from] RebuildRefused),
    /// Tenants cannot be notified as it is configured, or the journal does not say from where on.
    #[error(transparent)]
    Notifications(#[from] notifications::BeginError),
}

/// What the embedded journal is called in the data directory.
pub const JOURNAL_FILE: &str = "journal.sqlite";

/// Where the embedded journal is.
pub fn journal_path(config: &Config) -> PathBuf {
    config.data_dir.join(JOURNAL_FILE)
}

/// Where the views are.
pub fn views_path(config: &Config) -> PathBuf {
    config.data_dir.join("views")
}

/// Where the log's tree and its signed heads are, a folder for each partition.
pub fn audit_path(config: &Config) -> PathBuf {
    config.data_dir.join("audit")
}

/// Where the key is that signs them.
pub fn audit_key_path(config: &Config) -> PathBuf {
    config.audit.key_file.clone().unwrap_or_else(|| audit_path(config).join("key"))
}

/// Opens the journal to write it: the JetStream one where it is configured, else the embedded one.
pub async fn open_journal(config: &Config) -> Result<Arc<dyn Journal>, OpenError> {
    match &config.nats {
        Some(nats) => Ok(Arc::new(JetStreamJournal::connect(jetstream(nats)).await?)),
        None => {
            let journal = EmbeddedJournal::open(journal_path(config), EmbeddedOptions::default()).await?;
            Ok(Arc::new(journal))
        }
    }
}

/// Opens the journal to read it, also beside a running server. One that is not there is refused, not created.
pub async fn open_journal_read_only(config: &Config) -> Result<Arc<dyn Journal>, OpenError> {
    match &config.nats {
        Some(nats) => Ok(Arc::new(JetStreamJournal::connect_existing(jetstream(nats)).await?)),
        None => Ok(Arc::new(EmbeddedJournal::open_read_only(journal_path(config)).await?)),
    }
}

fn jetstream(nats: &NatsConfig) -> JetStreamConfig {
    let credentials = match &nats.credentials_file {
        Some(path) => Credentials::File(path.clone()),
        None => Credentials::None,
    };
    JetStreamConfig {
        credentials,
        prefix: nats.prefix.clone(),
        partitions: nats.partitions,
        replicas: nats.replicas,
        compression: nats.compression,
        ..JetStreamConfig::new(nats.url.reveal())
    }
}

/// Opens the journal as this server uses it: a replica reads, and cannot do anything else.
async fn open_journal_to_serve(config: &Config) -> Result<Arc<dyn Journal>, OpenError> {
    if config.replica {
        return Ok(Arc::new(ReadOnly::new(open_journal_read_only(config).await?)));
    }
    open_journal(config).await
}

/// Opens the journal, patiently where it cannot be reached: servers start in any order.
async fn open_journal_patiently(config: &Config) -> Result<Arc<dyn Journal>, OpenError> {
    let deadline = Instant::now() + PATIENCE_AT_START;
    let mut wait = Duration::from_millis(200);
    loop {
        match open_journal_to_serve(config).await {
            Err(OpenError::Unavailable(error)) if Instant::now() + wait < deadline => {
                tracing::warn!(error = %error, "the journal cannot be reached; trying again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(2));
            }
            outcome => return outcome,
        }
    }
}

/// Opens the journal and the views and starts the projector. `address` is where the server listens.
pub async fn open(config: Config, address: SocketAddr) -> Result<Arc<App>, ServerError> {
    let path = config.data_dir.clone();
    std::fs::create_dir_all(&path).map_err(|source| ServerError::DataDirectory { path, source })?;
    let journal = open_journal_patiently(&config).await?;
    open_on(journal, config, address).await
}

/// The same on a journal that is open already.
pub async fn open_on(
    journal: Arc<dyn Journal>,
    config: Config,
    address: SocketAddr,
) -> Result<Arc<App>, ServerError> {
    metrics::install();
    if let Some(moved) = replay::copy::moved(journal.as_ref()).await? {
        return Err(ServerError::Moved(moved));
    }
    let views = open_views(views_path(&config)).await?;
    let projector =
        Projector::start(Arc::clone(&journal), views.clone(), ProjectorOptions::default()).await?;
    let audit = if config.replica { None } else { Some(open_audit(&journal, &config).await?) };
    let rebuilds =
        Rebuilds::open(views.clone(), projector.clone(), config.rebuild_swap == SwapMode::Manual).await?;
    if !config.replica {
        notifications::begin(&journal, &config).await?;
    }
    let retry = RetryPolicy::default();
    // A caller should hear how it ended, not that the time was up.
    let give_up_after = retry.give_up_after.min(config.limits.request_timeout * 2 / 3);
    let partitions = journal.partitions();
    let ledger = Ledger::new(journal, RetryPolicy { give_up_after, ..retry });
    let public_url = config.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    let sandbox_page = || format!("{public_url}/sandbox/pay/{{tracking_number}}?token={{token}}");
    let payment_page_url =
        config.payment_page_url.clone().or_else(|| config.sandbox.enabled.then(sandbox_page));
    let reader = Reader::new(ledger.clone(), views.clone());
    for (partition, status) in (0..).zip(projector.partitions()) {
        reader.note_log_end(Position { partition, sequence: status.last });
    }
    Ok(Arc::new(App {
        address,
        payment_page_url,
        reader,
        ledger,
        views,
        projector,
        audit,
        rebuilds,
        accepted: Accepted::new(partitions),
        tenants: Tenants::new(config.tenants.clone()),
        tokens: TokenSigner::new(config.token_secret.clone()),
        catch_ups: Semaphore::new(CATCH_UPS),
        renderings: Renderings::default(),
        statuses: v1::StatusAnswers::default(),
        batched: Semaphore::new(v1::batch::ALL_UNDER_WAY),
        folds: Semaphore::new(1),
        shutdown: Shutdown::default(),
        public_url,
        config,
    }))
}

async fn open_views(path: PathBuf) -> Result<Views, projections::StoreError> {
    let opened = tokio::task::spawn_blocking(move || Views::open(&path, &StoreOptions::default())).await;
    opened.unwrap_or_else(|error| Err(projections::StoreError::Disk(io::Error::other(error))))
}

async fn open_audit(journal: &Arc<dyn Journal>, config: &Config) -> Result<Keeper, ServerError> {
    let signer = key::load_or_make(
        &audit_key_path(config),
        config.audit.origin.as_deref(),
        &default_origin(config.public_url.as_deref()),
    )?;
    let options = KeeperOptions {
        commits: config.audit.checkpoint_commits,
        every: config.audit.checkpoint_every,
        ..KeeperOptions::default()
    };
    let keeper = Keeper::open(Arc::clone(journal), &audit_path(config), &signer, options).await?;
    for partition in 0..journal.partitions() {
        if let Ok(key) = keeper.verifier(partition) {
            tracing::info!(partition, %key, "checkpoints of the log are signed with this key");
        }
    }
    Ok(keeper)
}

/// What a new log is called: the public URL without its scheme, where that can be a name.
fn default_origin(public_url: Option<&str>) -> String {
    let name = public_url.and_then(|url| url.split_once("://")).map(|(_scheme, rest)| rest);
    name.filter(|name| key::is_origin(name)).unwrap_or("daybook").to_owned()
}

/// The routes of `/v1`, of audits, of administration and of operations: those that stand in the OpenAPI document.
pub fn native_routes() -> Routes {
    [v1::routes(), audit::routes(), admin::routes(), health::routes(), metrics::routes(), openapi::routes()]
        .into_iter()
        .flatten()
        .collect()
}

/// Every route, with the layers around them.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, methods) in native_routes() {
        router = router.route(path, methods);
    }
    let mut doors = surfaces::routes();
    for (path, methods) in webhooks::routes() {
        doors = doors.route(path, methods);
    }
    router = router.merge(doors).merge(sandbox_routes(&app));
    if app.config.replica {
        router =
            router.route_layer(from_fn(|request, next| layers::refuse_writes(only_reads, request, next)));
    }
    router
        .fallback(async || Problem::new(Code::NotFound, "there is no such route"))
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "the header Allow names the methods that are")
        })
        .layer(Surround { limit: app.config.limits.request_timeout, unlimited: v1::WAITING })
        .with_state(app)
}

/// Whether a route writes nothing into the ledger, whatever it is asked with. Administration is about this server's own
/// views.
fn only_reads(route: &str) -> bool {
    surfaces::READS.contains(&route) || route.starts_with("/admin/")
}

/// Starts what runs beside the requests; on a replica, nothing that could write.
pub fn spawn_tasks(app: &Arc<App>) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![keep_running("upkeep", app, upkeep), keep_running("moved", app, stop_when_moved)];
    if !app.config.replica {
        tasks.extend(spawn_writers(app));
    }
    tasks
}

/// Starts what writes, or sends, by itself: timers, the log's tree, the release of quarantined webhooks,
/// notifications, the sandbox. Each task ends by itself when the shutdown begins.
fn spawn_writers(app: &Arc<App>) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![
        keep_running("expiry", app, timers::run_expiry),
        keep_running("audit", app, keep_trees),
        keep_running("release", app, webhooks::run_release),
        keep_running("notifications", app, notifications::run),
        keep_running("personal-data", app, personal_data::run),
    ];
    if let Some(settings) = sandbox_settings(app) {
        tasks.push(keep_running("sandbox", app, move |app| {
            sandbox::run(settings.clone(), async move { app.shutdown.begun().await })
        }));
    }
    tasks
}

/// Runs a task until it ends by itself. One that panics is started again: without it orders would never expire, or
/// webhooks never be released, and nobody would notice.
fn keep_running<F>(
    name: &'static str,
    app: &Arc<App>,
    task: impl Fn(Arc<App>) -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let app = Arc::clone(app);
    tokio::spawn(async move {
        while let Err(error) = tokio::spawn(task(Arc::clone(&app))).await {
            if app.shutdown.has_begun() {
                return;
            }
            tracing::error!(task = name, %error, "INTERNAL: a task of the server panicked; it is started again");
            tokio::time::sleep(PAUSE_AFTER_PANIC).await;
        }
    })
}

async fn keep_trees(app: Arc<App>) {
    if let Some(keeper) = &app.audit {
        keeper.run(app.shutdown.begun()).await;
    }
}

async fn upkeep(app: Arc<App>) {
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            _ = tick.tick() => metrics::run_upkeep(),
            () = app.shutdown.begun() => return,
        }
    }
}

/// Stops the server when its ledger moves to another journal while it runs: what it would store from then on would be
/// lost to the ledger.
async fn stop_when_moved(app: Arc<App>) {
    let mut tick = tokio::time::interval(LOOK_FOR_MOVE);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = app.shutdown.begun() => return,
        }
        // A journal that is away says so elsewhere; it is asked again.
        if let Ok(Some(moved)) = replay::copy::moved(app.ledger.journal().as_ref()).await {
            tracing::error!(
                to = moved.to,
                at = moved.at,
                "the ledger is moving to another journal; stopping"
            );
            app.shutdown.begin();
            return;
        }
    }
}

/// Serves until the shutdown begins, then drains: no new connections, requests end, those that wait are answered,
/// feeds end, the views are made durable.
pub async fn serve(app: Arc<App>, listener: TcpListener) -> Result<(), ServerError> {
    let tasks = spawn_tasks(&app);
    let polled = Arc::clone(&app);
    let serving = connections::serve(
        listener,
        move |request: &_| v1::poll_at_once(&polled, request),
        router(Arc::clone(&app)),
        ConnectionLimits::default(),
        app.shutdown.clone(),
    );
    let too_late = async {
        app.shutdown.begun().await;
        tokio::time::sleep(app.config.limits.request_timeout + PATIENCE_AT_END).await;
    };
    tokio::select! {
        () = serving => {}
        () = too_late => tracing::warn!("some connections did not end in time and are cut"),
    }
    futures::future::join_all(tasks).await;
    app.rebuilds.shutdown().await;
    app.projector.shutdown().await?;
    tracing::info!("stopped");
    Ok(())
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
