//! The configuration: flags over environment over one TOML file over defaults, checked once, here.
//!
//! What must stay true: every name stands in `SETTINGS` once, and in the table of the reference page; the demo's
//! credentials never listen on anything but a loopback address.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use data_encoding::{BASE64, HEXLOWER};
use ledger::ids::TenantId;
use replay::audit::key::is_origin;
use serde::Deserialize;

use crate::tenants::hash_of;
use crate::webhooks;

/// Key in the file, and environment variable, of every setting. Tenants are in the file only.
const SETTINGS: &[(&str, &str)] = &[
    ("listen", "DAYBOOK_LISTEN"),
    ("public_url", "DAYBOOK_PUBLIC_URL"),
    ("data_dir", "DAYBOOK_DATA_DIR"),
    ("replica", "DAYBOOK_REPLICA"),
    ("token_secret", "DAYBOOK_TOKEN_SECRET"),
    ("log_format", "DAYBOOK_LOG_FORMAT"),
    ("admin.key", "DAYBOOK_ADMIN_KEY"),
    ("rebuild.swap", "DAYBOOK_REBUILD_SWAP"),
    ("nats.url", "DAYBOOK_NATS_URL"),
    ("nats.credentials_file", "DAYBOOK_NATS_CREDENTIALS_FILE"),
    ("nats.prefix", "DAYBOOK_NATS_PREFIX"),
    ("nats.partitions", "DAYBOOK_NATS_PARTITIONS"),
    ("nats.replicas", "DAYBOOK_NATS_REPLICAS"),
    ("nats.compression", "DAYBOOK_NATS_COMPRESSION"),
    ("limits.body_bytes", "DAYBOOK_LIMITS_BODY_BYTES"),
    ("limits.webhook_body_bytes", "DAYBOOK_LIMITS_WEBHOOK_BODY_BYTES"),
    ("limits.request_timeout_ms", "DAYBOOK_LIMITS_REQUEST_TIMEOUT_MS"),
    ("order_life_seconds", "DAYBOOK_ORDER_LIFE_SECONDS"),
    ("payment_page_url", "DAYBOOK_PAYMENT_PAGE_URL"),
    ("azotte.milpieces_per_minor_unit", "DAYBOOK_AZOTTE_MILPIECES_PER_MINOR_UNIT"),
    ("akinon.psp_wait_ms", "DAYBOOK_AKINON_PSP_WAIT_MS"),
    ("orkestapay.token_life_seconds", "DAYBOOK_ORKESTAPAY_TOKEN_LIFE_SECONDS"),
    ("carat.transaction_life_seconds", "DAYBOOK_CARAT_TRANSACTION_LIFE_SECONDS"),
    ("audit.origin", "DAYBOOK_AUDIT_ORIGIN"),
    ("audit.key_file", "DAYBOOK_AUDIT_KEY_FILE"),
    ("audit.checkpoint_commits", "DAYBOOK_AUDIT_CHECKPOINT_COMMITS"),
    ("audit.checkpoint_ms", "DAYBOOK_AUDIT_CHECKPOINT_MS"),
    ("sandbox.enabled", "DAYBOOK_SANDBOX_ENABLED"),
    ("sandbox.delay_ms", "DAYBOOK_SANDBOX_DELAY_MS"),
];

/// The demo tenant's name, and its user name on surfaces that ask for one.
pub const DEMO_TENANT: &str = "demo";
/// The demo tenant's API key.
pub const DEMO_KEY: &str = "demo-key";
/// The admin key of a demo.
pub const DEMO_ADMIN_KEY: &str = "demo-admin-key";
/// The demo tenant's webhook source, which the sandbox PSP signs for.
pub const SANDBOX_SOURCE: &str = "sandbox";
/// The demo tenant's Akinon `hash-key`.
pub const DEMO_AKINON_HASH_KEY: &str = "demo-hash-key";
const DEMO_TOKEN_SECRET: &str = "daybook demo: these tokens protect nothing";
const DEMO_WEBHOOK_SECRET_TEXT: &[u8] = b"daybook demo: protects nothing!!";

/// A node reads every partition over a consumer of its own, and a resume point of the feed names every one.
const MAX_PARTITIONS: u16 = 64;

/// A text that is never shown, not even to a debugger's log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` to itself.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// How the world reaches this server, without a slash at the end; `http://<listen>` when absent.
    pub public_url: Option<String>,
    /// Where the views, and the embedded journal, are kept.
    pub data_dir: PathBuf,
    /// Whether this server only reads: the log, and for its callers.
    pub replica: bool,
    /// Signs status tokens.
    pub token_secret: Secret,
    /// Opens `/admin`; nobody may go there when absent.
    pub admin_key: Option<Secret>,
    /// When views that a new version has folded by itself become live.
    pub rebuild_swap: SwapMode,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The JetStream journal; the embedded one when absent.
    pub nats: Option<NatsConfig>,
    /// What a request may cost.
    pub limits: Limits,
    /// How long an order may wait for its authorization when its checkout does not say.
    pub order_life: Duration,
    /// Where a buyer pays; the sandbox's page when absent and the sandbox runs.
    pub payment_page_url: Option<String>,
    /// The Azotte surface's own settings.
    pub azotte: AzotteConfig,
    /// The Akinon surface's own settings.
    pub akinon: AkinonConfig,
    /// The OrkestaPay surface's own settings.
    pub orkestapay: OrkestaPayConfig,
    /// The Carat surface's own settings.
    pub carat: CaratConfig,
    /// The log as a transparency log.
    pub audit: AuditConfig,
    /// The sandbox PSP.
    pub sandbox: SandboxConfig,
    /// Who may call.
    pub tenants: Vec<TenantConfig>,
}

/// When views that were folded anew become live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SwapMode {
    /// By themselves, when they have caught up.
    #[default]
    Automatic,
    /// When an operator says so.
    Manual,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Where the JetStream journal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsConfig {
    /// Server addresses, separated by commas. May contain credentials.
    pub url: Secret,
    /// A `.creds` file.
    pub credentials_file: Option<PathBuf>,
    /// Names the streams and their subjects.
    pub prefix: String,
    /// In how many streams the log is kept. Fixed for the life of a journal.
    pub partitions: u16,
    /// On how many servers each commit is stored.
    pub replicas: usize,
    /// Whether the servers compress what they store.
    pub compression: bool,
}

/// What a request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest body of a request, in bytes.
    pub body_bytes: usize,
    /// Largest body of a webhook, in bytes.
    pub webhook_body_bytes: usize,
    /// How long a request may take that does not wait on purpose.
    pub request_timeout: Duration,
}

/// The Azotte surface's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AzotteConfig {
    /// How Azotte's `milPieces` relate to minor units: 1 or 1000.
    pub milpieces_per_minor_unit: i64,
}

/// The Akinon surface's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AkinonConfig {
    /// How long a call waits for the PSP's webhook before it answers PENDING.
    pub psp_wait: Duration,
}

/// The OrkestaPay surface's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrkestaPayConfig {
    /// How long an access token is good for.
    pub token_life: Duration,
}

/// The Carat surface's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaratConfig {
    /// How long a transaction waits for its effectuation.
    pub transaction_life: Duration,
}

/// How the log's tree is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// Names the log in what is signed. Absent: what the key says, and for a new key the public URL's host.
    pub origin: Option<String>,
    /// Where the signing key is; `<data_dir>/audit/key` when absent.
    pub key_file: Option<PathBuf>,
    /// A tree head is signed after so many commits,
    pub checkpoint_commits: u64,
    /// or so long after the first of them.
    pub checkpoint_every: Duration,
}

/// The sandbox PSP's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxConfig {
    /// Whether it runs inside this server.
    pub enabled: bool,
    /// How late `tok_delayed` captures.
    pub delay: Duration,
}

/// A tenant: its keys and its webhook sources.
#[derive(Debug, Clone)]
pub struct TenantConfig {
    /// Its name.
    pub id: TenantId,
    /// SHA-256 of each of its keys.
    pub api_key_hashes: Vec<[u8; 32]>,
    /// Its webhook sources by name.
    pub webhooks: BTreeMap<String, WebhookSource>,
    /// Akinon's `hash-key`, with which returns to the shop are signed; without one the surface is closed to it.
    pub akinon_hash_key: Option<Secret>,
    /// Where the Kronor surface's pages send a buyer when nobody says otherwise.
    pub kronor_redirect_url: Option<String>,
    /// The only origins, such as `https://shop.example`, to which a Kronor buyer may be sent; any when empty.
    pub kronor_redirect_origins: Vec<String>,
    /// Where the tenant is told of status changes.
    pub notifications: Option<NotificationEndpoint>,
}

/// Where a tenant is told of status changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationEndpoint {
    /// An http(s) URL without credentials.
    pub url: Uri,
    /// Every message is signed with each of these: `whsec_` and base64.
    pub secrets: Vec<Secret>,
}

/// How a webhook source's messages are verified and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSource {
    /// By which rules.
    pub scheme: WebhookScheme,
    /// Any of these may have signed a message; in the scheme's own form.
    pub secrets: Vec<Secret>,
}

/// The rules by which a webhook source signs and speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookScheme {
    /// <https://www.standardwebhooks.com>, and Daybook's own words.
    StandardWebhooks,
    /// Stripe's events.
    Stripe,
    /// Adyen's standard notifications.
    Adyen {
        /// How the merchant account captures.
        capture: AdyenCapture,
    },
}

/// How an Adyen merchant account captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdyenCapture {
    /// Every capture is reported by a CAPTURE of its own.
    #[default]
    Reported,
    /// With the authorization and without a word: an AUTHORISATION is the capture.
    Immediate,
}

/// Why a configuration cannot be used. The text says which setting, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    message: String,
    /// What would help.
    pub hint: Option<String>,
}

impl ConfigError {
    fn new(message: impl Into<String>) -> Self {
        ConfigError { message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        ConfigError { hint: Some(hint.into()), ..self }
    }
}

impl Config {
    /// Whether something here opens to what everybody knows: the demo's key, or its webhook secret.
    pub fn has_demo_credentials(&self) -> bool {
        let (key, secret) = (hash_of(DEMO_KEY), Config::demo_webhook_secret());
        self.tenants.iter().any(|tenant| {
            let has_secret = |source: &WebhookSource| source.secrets.contains(&secret);
            tenant.api_key_hashes.contains(&key) || tenant.webhooks.values().any(has_secret)
        })
    }

    fn has_demo_admin_key(&self) -> bool {
        self.admin_key.as_ref().is_some_and(|key| key.reveal() == DEMO_ADMIN_KEY)
    }

    /// Whether the sandbox has what it needs: the demo tenant, the only key that is known here, and a source.
    fn can_run_the_sandbox(&self) -> bool {
        let signs_like_the_sandbox =
            |source: &WebhookSource| source.scheme == WebhookScheme::StandardWebhooks;
        self.tenants.iter().any(|tenant| {
            tenant.id.as_str() == DEMO_TENANT
                && tenant.api_key_hashes.contains(&hash_of(DEMO_KEY))
                && tenant.webhooks.get(SANDBOX_SOURCE).is_some_and(signs_like_the_sandbox)
        })
    }

    /// The demo's webhook secret, as its sender is given it.
    pub fn demo_webhook_secret() -> Secret {
        Secret(format!("whsec_{}", BASE64.encode(DEMO_WEBHOOK_SECRET_TEXT)))
    }

    /// Reads the file, then lets `environment` and `flags` (both by the file's key) overrule it.
    pub fn load(
        file: Option<&std::path::Path>,
        environment: impl Fn(&str) -> Option<String>,
        flags: &[(&str, Option<String>)],
    ) -> Result<Config, ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(path) = file {
            if !path.is_file() {
                return Err(ConfigError::new(format!("there is no configuration file {}", path.display())));
            }
            builder = builder.add_source(config::File::from(path).format(config::FileFormat::Toml));
        }
        let from_environment = SETTINGS.iter().map(|(key, name)| (*key, environment(name)));
        let from_flags = flags.iter().map(|(key, value)| (*key, value.clone()));
        for (key, value) in from_environment.chain(from_flags) {
            builder = builder
                .set_override_option(key, value)
                .map_err(|e| ConfigError::new(format!("{key}: {e}")))?;
        }
        let raw: Raw = builder
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| ConfigError::new(format!("the configuration cannot be read: {error}")))?;
        raw.check()
    }
}

/// The configuration as it is written, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    listen: Option<String>,
    public_url: Option<String>,
    data_dir: Option<PathBuf>,
    replica: Option<bool>,
    token_secret: Option<String>,
    log_format: Option<LogFormat>,
    #[serde(default)]
    admin: RawAdmin,
    #[serde(default)]
    rebuild: RawRebuild,
    #[serde(default)]
    nats: RawNats,
    #[serde(default)]
    limits: RawLimits,
    order_life_seconds: Option<u64>,
    payment_page_url: Option<String>,
    #[serde(default)]
    azotte: RawAzotte,
    #[serde(default)]
    akinon: RawAkinon,
    #[serde(default)]
    orkestapay: RawOrkestaPay,
    #[serde(default)]
    carat: RawCarat,
    #[serde(default)]
    audit: RawAudit,
    #[serde(default)]
    sandbox: RawSandbox,
    #[serde(default)]
    tenants: Vec<RawTenant>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawAdmin {
    key: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawRebuild {
    swap: Option<SwapMode>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawNats {
    url: Option<String>,
    credentials_file: Option<PathBuf>,
    prefix: Option<String>,
    partitions: Option<u64>,
    replicas: Option<usize>,
    compression: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    body_bytes: Option<usize>,
    webhook_body_bytes: Option<usize>,
    request_timeout_ms: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawAzotte {
    milpieces_per_minor_unit: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawAkinon {
    psp_wait_ms: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawOrkestaPay {
    token_life_seconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawCarat {
    transaction_life_seconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawAudit {
    origin: Option<String>,
    key_file: Option<PathBuf>,
    checkpoint_commits: Option<u64>,
    checkpoint_ms: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawSandbox {
    enabled: Option<bool>,
    delay_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTenant {
    id: String,
    #[serde(default)]
    api_key_hashes: Vec<String>,
    #[serde(default)]
    webhooks: BTreeMap<String, RawWebhookSource>,
    #[serde(default)]
    akinon: RawTenantAkinon,
    #[serde(default)]
    kronor: RawTenantKronor,
    notifications: Option<RawNotifications>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawTenantAkinon {
    hash_key: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawTenantKronor {
    redirect_url: Option<String>,
    #[serde(default)]
    redirect_origins: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNotifications {
    url: String,
    secrets: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebhookSource {
    scheme: RawWebhookScheme,
    secrets: Vec<String>,
    /// Of Adyen only.
    capture: Option<AdyenCapture>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawWebhookScheme {
    StandardWebhooks,
    Stripe,
    Adyen,
}

impl Raw {
    fn check(self) -> Result<Config, ConfigError> {
        let listen = self.listen.as_deref().unwrap_or("127.0.0.1:8080");
        let listen: SocketAddr = listen.parse().map_err(|_| {
            ConfigError::new(format!("listen: {listen:?} is not an address with a port"))
                .hint("such as 127.0.0.1:8080, or 0.0.0.0:8080 for every interface")
        })?;
        let is_demo = self.tenants.is_empty();
        let tenants: Vec<TenantConfig> = if is_demo {
            vec![demo_tenant()?]
        } else {
            self.tenants.into_iter().map(RawTenant::check).collect::<Result<_, _>>()?
        };
        let mut names: Vec<&TenantId> = tenants.iter().map(|tenant| &tenant.id).collect();
        names.sort();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ConfigError::new(format!("tenants: {} stands there twice", twice[0])));
        }
        let mut keys: Vec<[u8; 32]> = tenants.iter().flat_map(|t| t.api_key_hashes.clone()).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(ConfigError::new("tenants: one key stands there twice; a key belongs to one tenant"));
        }
        let token_secret = match self.token_secret {
            Some(secret) if secret.chars().count() < 32 => {
                return Err(ConfigError::new("token_secret: shorter than 32 characters")
                    .hint("make one with: openssl rand -base64 32"));
            }
            Some(secret) => Secret(secret),
            None if is_demo => Secret::new(DEMO_TOKEN_SECRET),
            None => {
                return Err(ConfigError::new("token_secret: required where tenants are configured")
                    .hint("make one with: openssl rand -base64 32"));
            }
        };
        let admin_key = match self.admin.key {
            Some(key) if key != DEMO_ADMIN_KEY && key.chars().count() < 32 => {
                return Err(ConfigError::new("admin.key: shorter than 32 characters")
                    .hint("make one with: openssl rand -base64 32"));
            }
            Some(key) => Some(Secret(key)),
            None => is_demo.then(|| Secret::new(DEMO_ADMIN_KEY)),
        };
        let milpieces_per_minor_unit = self.azotte.milpieces_per_minor_unit.unwrap_or(1);
        if ![1, 1000].contains(&milpieces_per_minor_unit) {
            return Err(ConfigError::new("azotte.milpieces_per_minor_unit: neither 1 nor 1000"));
        }
        let nats = self.nats.check()?;
        let replica = self.replica.unwrap_or(false);
        if replica && nats.is_none() {
            return Err(ConfigError::new(
                "replica: the embedded journal is one server's, and has no replicas",
            )
            .hint("configure nats.url, or leave `replica` out"));
        }
        if replica && self.sandbox.enabled == Some(true) {
            return Err(ConfigError::new(
                "sandbox.enabled: the sandbox PSP writes, and a replica takes nothing",
            )
            .hint("run it on a server that is no replica"));
        }
        let config = Config {
            listen,
            public_url: self.public_url.map(|url| check_url("public_url", url)).transpose()?,
            data_dir: self.data_dir.unwrap_or_else(|| PathBuf::from("daybook-data")),
            replica,
            token_secret,
            admin_key,
            rebuild_swap: self.rebuild.swap.unwrap_or_default(),
            log_format: self.log_format.unwrap_or(LogFormat::Text),
            nats,
            limits: Limits {
                body_bytes: self.limits.body_bytes.unwrap_or(64 * 1024),
                webhook_body_bytes: self.limits.webhook_body_bytes.unwrap_or(256 * 1024),
                request_timeout: Duration::from_millis(self.limits.request_timeout_ms.unwrap_or(30_000)),
            },
            order_life: Duration::from_secs(order_life(self.order_life_seconds)?),
            payment_page_url: self
                .payment_page_url
                .map(|url| check_url("payment_page_url", url))
                .transpose()?,
            azotte: AzotteConfig { milpieces_per_minor_unit },
            akinon: AkinonConfig {
                psp_wait: Duration::from_millis(within(
                    "akinon.psp_wait_ms",
                    self.akinon.psp_wait_ms,
                    5_000,
                    0..=20_000,
                )?),
            },
            orkestapay: OrkestaPayConfig {
                token_life: Duration::from_secs(within(
                    "orkestapay.token_life_seconds",
                    self.orkestapay.token_life_seconds,
                    1_800,
                    1..=86_400,
                )?),
            },
            carat: CaratConfig {
                transaction_life: Duration::from_secs(within(
                    "carat.transaction_life_seconds",
                    self.carat.transaction_life_seconds,
                    15 * 86_400,
                    1..=30 * 86_400,
                )?),
            },
            audit: self.audit.check()?,
            sandbox: SandboxConfig {
                enabled: self.sandbox.enabled.unwrap_or(is_demo && !replica),
                delay: Duration::from_millis(self.sandbox.delay_ms.unwrap_or(2000)),
            },
            tenants,
        };
        let opens_to_everybody = config.has_demo_credentials() || config.has_demo_admin_key();
        if opens_to_everybody && !config.listen.ip().is_loopback() {
            return Err(ConfigError::new(format!(
                "listen: {} is reachable by others, and everybody knows the demo's credentials",
                config.listen
            ))
            .hint("configure tenants, and an admin.key, with keys of their own, or listen on 127.0.0.1"));
        }
        if config.sandbox.enabled && !config.can_run_the_sandbox() {
            return Err(ConfigError::new(
                "sandbox.enabled: the sandbox PSP pays the orders of the demo tenant only, and there is none",
            )
            .hint(format!(
                "leave out the tenants to run the demo; or have a tenant `{DEMO_TENANT}` with the key `{DEMO_KEY}` \
                 and a webhook source `{SANDBOX_SOURCE}` of standard_webhooks; or take sandbox.enabled out and let \
                 a payment worker of your own answer the feed"
            )));
        }
        Ok(config)
    }
}

impl RawNats {
    /// None without an address: the journal is the embedded one.
    fn check(self) -> Result<Option<NatsConfig>, ConfigError> {
        let partitions = within("nats.partitions", self.partitions, 1, 1..=MAX_PARTITIONS.into())?;
        let Some(url) = self.url else {
            if partitions > 1 {
                return Err(ConfigError::new(format!(
                    "nats.partitions: {partitions} without nats.url; the embedded journal is one file with one \
                     writer, which partitions would not make faster"
                ))
                .hint("leave it out; or configure nats.url, and move the ledger there with `daybook copy`"));
            }
            return Ok(None);
        };
        Ok(Some(NatsConfig {
            url: Secret(url),
            credentials_file: self.credentials_file,
            prefix: self.prefix.unwrap_or_else(|| "daybook".to_owned()),
            partitions: u16::try_from(partitions).unwrap_or(MAX_PARTITIONS),
            replicas: self.replicas.unwrap_or(1),
            compression: self.compression.unwrap_or(true),
        }))
    }
}

impl RawAudit {
    fn check(self) -> Result<AuditConfig, ConfigError> {
        if let Some(origin) = self.origin.as_ref().filter(|origin| !is_origin(origin)) {
            return Err(ConfigError::new(format!("audit.origin: {origin:?} does not name a log"))
                .hint("a URL without its scheme, such as shop.example/orders; no spaces, no +"));
        }
        let commits = within("audit.checkpoint_commits", self.checkpoint_commits, 1_000, 1..=1_000_000_000)?;
        let every = within("audit.checkpoint_ms", self.checkpoint_ms, 10_000, 1..=86_400_000)?;
        Ok(AuditConfig {
            origin: self.origin,
            key_file: self.key_file,
            checkpoint_commits: commits,
            checkpoint_every: Duration::from_millis(every),
        })
    }
}

impl RawTenant {
    fn check(self) -> Result<TenantConfig, ConfigError> {
        let id: TenantId = self.id.parse().map_err(|e| {
            ConfigError::new(format!("tenants: {e}")).hint("1 to 32 of a-z 0-9 -, not beginning with -")
        })?;
        let hash = |text: &String| {
            let bytes = HEXLOWER.decode(text.to_ascii_lowercase().as_bytes()).ok();
            bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).ok_or_else(|| {
                ConfigError::new(format!("tenants.{id}.api_key_hashes: not a SHA-256 in hex"))
                    .hint("printf %s \"$KEY\" | sha256sum")
            })
        };
        let api_key_hashes = self.api_key_hashes.iter().map(hash).collect::<Result<_, _>>()?;
        let mut webhooks = BTreeMap::new();
        for (name, source) in self.webhooks {
            let alphabet = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
            if !(1..=64).contains(&name.len()) || !name.bytes().all(alphabet) {
                return Err(ConfigError::new(format!(
                    "tenants.{id}.webhooks: {name:?} is not 1 to 64 of a-z 0-9 - _"
                )));
            }
            webhooks.insert(name.clone(), source.check(&format!("tenants.{id}.webhooks.{name}"))?);
        }
        let akinon_hash_key = match self.akinon.hash_key {
            Some(key) if key.is_empty() => {
                return Err(ConfigError::new(format!("tenants.{id}.akinon.hash_key: empty")));
            }
            key => key.map(Secret),
        };
        let redirect_url = format!("tenants.{id}.kronor.redirect_url");
        let notifications = self.notifications.map(|endpoint| {
            let at = format!("tenants.{id}.notifications");
            let secrets = standard_secrets(&at, endpoint.secrets)?;
            Ok(NotificationEndpoint { url: endpoint_url(&format!("{at}.url"), &endpoint.url)?, secrets })
        });
        Ok(TenantConfig {
            akinon_hash_key,
            kronor_redirect_url: self
                .kronor
                .redirect_url
                .map(|url| check_url(&redirect_url, url))
                .transpose()?,
            kronor_redirect_origins: self.kronor.redirect_origins,
            notifications: notifications.transpose()?,
            id,
            api_key_hashes,
            webhooks,
        })
    }
}

impl RawWebhookSource {
    fn check(self, at: &str) -> Result<WebhookSource, ConfigError> {
        let scheme = match (self.scheme, self.capture) {
            (RawWebhookScheme::StandardWebhooks, None) => WebhookScheme::StandardWebhooks,
            (RawWebhookScheme::Stripe, None) => WebhookScheme::Stripe,
            (RawWebhookScheme::Adyen, capture) => {
                WebhookScheme::Adyen { capture: capture.unwrap_or_default() }
            }
            (RawWebhookScheme::StandardWebhooks | RawWebhookScheme::Stripe, Some(_)) => {
                return Err(ConfigError::new(format!("{at}.capture: only the scheme adyen has it")));
            }
        };
        if self.secrets.is_empty() {
            return Err(ConfigError::new(format!("{at}.secrets: at least one is needed")));
        }
        let source = WebhookSource { scheme, secrets: self.secrets.into_iter().map(Secret).collect() };
        webhooks::check(&source).map_err(|error| ConfigError::new(format!("{at}.secrets: {error}")))?;
        Ok(source)
    }
}

/// The secrets of Standard Webhooks: at least one, each `whsec_` and base64.
fn standard_secrets(at: &str, secrets: Vec<String>) -> Result<Vec<Secret>, ConfigError> {
    let scheme = RawWebhookScheme::StandardWebhooks;
    Ok(RawWebhookSource { scheme, secrets, capture: None }.check(at)?.secrets)
}

fn demo_tenant() -> Result<TenantConfig, ConfigError> {
    let sandbox = WebhookSource {
        scheme: WebhookScheme::StandardWebhooks,
        secrets: vec![Config::demo_webhook_secret()],
    };
    Ok(TenantConfig {
        id: DEMO_TENANT.parse().map_err(|e| ConfigError::new(format!("tenants: {e}")))?,
        api_key_hashes: vec![hash_of(DEMO_KEY)],
        webhooks: BTreeMap::from([(SANDBOX_SOURCE.to_owned(), sandbox)]),
        akinon_hash_key: Some(Secret::new(DEMO_AKINON_HASH_KEY)),
        kronor_redirect_url: None,
        kronor_redirect_origins: Vec::new(),
        notifications: None,
    })
}

/// An absolute http(s) URL, without slashes at the end.
fn check_url(key: &str, url: String) -> Result<String, ConfigError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if rest.is_none_or(str::is_empty) || url.contains(char::is_whitespace) {
        return Err(ConfigError::new(format!("{key}: {url:?} is not an http(s) URL")));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// An absolute http(s) URL that requests are sent to, as it is. What stands before an `@` would be shown where secrets
/// never are.
fn endpoint_url(key: &str, url: &str) -> Result<Uri, ConfigError> {
    let uri: Option<Uri> = url.parse().ok();
    let is_usable = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && !uri.authority().is_none_or(|a| a.as_str().contains('@'))
    };
    uri.filter(is_usable)
        .ok_or_else(|| ConfigError::new(format!("{key}: not an http(s) URL without user and password")))
}

fn within(
    key: &str,
    value: Option<u64>,
    default: u64,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, ConfigError> {
    match value.unwrap_or(default) {
        value if range.contains(&value) => Ok(value),
        _ => Err(ConfigError::new(format!("{key}: not between {} and {}", range.start(), range.end()))),
    }
}

fn order_life(seconds: Option<u64>) -> Result<u64, ConfigError> {
    match seconds.unwrap_or(86_400) {
        seconds @ 1..=2_592_000 => Ok(seconds),
        _ => Err(ConfigError::new("order_life_seconds: not between 1 second and 30 days")),
    }
}
