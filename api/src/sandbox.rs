//! The sandbox PSP: a payment worker and a hosted payment page, for trying Daybook out and for its tests.
//!
//! It knows Daybook only through public doors: it follows the feed, reads orders, and reports by signed webhooks,
//! as any payment worker would. Nothing under here imports anything else of this workspace; a test asserts that.
//!
//! It keeps no state of its own but the place in the feed up to which everything has been delivered. What it
//! says of an order follows from the order's public history alone, and every webhook's id and every reference
//! from the order, the attempt and what is said. So whatever is done twice, by a crash, a retry or a second
//! worker, is told under the same ids and counts once. What a buyer does on the page takes the same way: the page
//! reports it by a webhook that changes nothing, and the worker acts on it when the feed brings it back.

mod cards;
mod doors;
mod feed;
mod job;
mod names;
mod page;
mod scenario;
mod signing;
mod worker;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use signing::{InvalidSecret, WebhookSecret};

/// The name of the sandbox's webhook source: it reports to `/webhooks/{tenant}/sandbox`.
pub const SOURCE: &str = "sandbox";

/// Where Daybook is, and how the sandbox proves who it is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the sandbox reaches Daybook, such as `http://127.0.0.1:8080`.
    pub base_url: String,
    /// Where buyers reach the sandbox's page: the start of challenge URLs.
    pub public_url: String,
    /// Whose orders it pays.
    pub tenant: String,
    /// That tenant's API key.
    pub api_key: ApiKey,
    /// Signs the webhooks.
    pub webhook_secret: WebhookSecret,
    /// How late `tok_delayed` captures.
    pub delay: Duration,
    /// Keeps the place in the feed across restarts.
    pub cursor_file: PathBuf,
}

/// An API key that no log shows.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// Wraps a key.
    pub fn new(key: impl Into<String>) -> Self {
        ApiKey(key.into())
    }

    fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// The worker: follows the feed until `shutdown` is done. Reconnects for ever; stopping it at any moment, by
/// whatever means, loses nothing.
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()> + Send) {
    worker::run(settings, shutdown).await;
}

/// The hosted page, under `/sandbox`.
pub fn router(settings: Settings) -> axum::Router {
    page::router(Arc::new(settings))
}

/// Waits between tries: 100 ms, then twice as long each time, up to 5 s.
#[derive(Debug, Default)]
struct Backoff {
    tries: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let wait = Duration::from_millis(100 << self.tries.min(6)).min(Duration::from_secs(5));
        self.tries += 1;
        wait
    }

    async fn wait(&mut self) {
        let wait = self.next();
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_sandbox_knows_daybook_through_public_doors_only() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut sources = vec![root.join("sandbox.rs")];
        let mut folders = vec![root.join("sandbox")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { sources.push(path) }
            }
        }
        assert!(sources.len() > 8, "the sources are where they are looked for");
        let foreign = ["ledger", "projections", "replay", "daybook"].map(|name| format!("{name}::"));
        for path in sources {
            let text = std::fs::read_to_string(&path).unwrap();
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let inside = code.replace("crate::sandbox", "").contains(concat!("crate", "::"));
                let is_foreign = inside || foreign.iter().any(|name| code.contains(name));
                assert!(!is_foreign, "{}:{}: {line}", path.display(), number + 1);
            }
        }
    }
}
