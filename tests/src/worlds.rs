//! The worlds that every story is told in: each journal, each supported server, one API process or several.

use std::path::{Path, PathBuf};

use ledger::journal::conformance::nats::{self, NatsServer};
use tempfile::TempDir;

use crate::client::{ACME, Client, DEMO, GLOBEX, SOURCE, TOKEN_SECRET, Tenant};
use crate::log::Log;
use crate::psp::{ADYEN, ADYEN_KEY, STRIPE, STRIPE_SECRET};
use crate::server::Server;

/// Where the log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One SQLite file.
    Embedded,
    /// The newest nats-server.
    JetStreamNewest,
    /// The oldest nats-server that Daybook supports.
    JetStreamOldest,
}

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// API processes that share a JetStream. An embedded journal has one writer, and so one process whatever this says.
    pub servers: usize,
    /// Streams in which a JetStream keeps the log. An embedded journal is one file.
    pub partitions: u16,
    /// The demo: tenant `demo` and the sandbox PSP, without a configuration file.
    pub demo: bool,
    /// Further top-level lines of the configuration file.
    pub config: String,
    /// Further lines at its end, where they are about the tenant `globex`.
    pub globex: String,
}

impl Default for Setup {
    fn default() -> Self {
        Setup { servers: 1, partitions: 1, demo: false, config: String::new(), globex: String::new() }
    }
}

impl Setup {
    /// Two API processes on one JetStream.
    pub fn two_nodes() -> Self {
        Setup { servers: 2, ..Setup::default() }
    }

    /// What `daybook serve` runs without a configuration.
    pub fn demo() -> Self {
        Setup { demo: true, ..Setup::default() }
    }
}

/// Running servers on one log, gone when dropped.
pub struct World {
    /// The API processes.
    pub servers: Vec<Server>,
    /// The nats-server, where there is one.
    pub nats: Option<NatsServer>,
    kind: Kind,
    setup: Setup,
    /// Dropped last: the servers write into it.
    directory: TempDir,
}

impl World {
    /// One API process with the tenants `acme` and `globex`.
    pub async fn start(kind: Kind) -> Self {
        Self::with(kind, Setup::default()).await
    }

    /// What `setup` says.
    pub async fn with(kind: Kind, setup: Setup) -> Self {
        let directory = TempDir::with_prefix("daybook-test-").expect("a directory for the test");
        let store = directory.path().join("nats");
        let nats = match kind {
            Kind::Embedded => None,
            Kind::JetStreamNewest => Some(NatsServer::start(nats::newest(), store).await),
            Kind::JetStreamOldest => Some(NatsServer::start(nats::oldest_supported(), store).await),
        };
        let mut world = World { servers: Vec::new(), nats, kind, setup, directory };
        let servers = if kind == Kind::Embedded { 1 } else { world.setup.servers };
        for _ in 0..servers {
            world.add_server().await;
        }
        world
    }

    /// Starts one more API process on the same log.
    pub async fn add_server(&mut self) {
        let arguments = self.arguments(self.servers.len());
        self.servers.push(Server::start(self.directory.path(), &arguments).await);
    }

    /// What follows `daybook serve --listen …` for the API process number `index`.
    pub fn arguments(&self, index: usize) -> Vec<String> {
        let mut arguments = vec!["--data-dir".to_owned(), self.data_dir(index).display().to_string()];
        if !self.setup.demo {
            let file = self.directory.path().join("daybook.toml");
            let text = configuration(&self.setup.config) + &self.setup.globex;
            std::fs::write(&file, text).expect("a configuration file");
            arguments.extend(["--config".to_owned(), file.display().to_string()]);
        }
        if let Some(nats) = &self.nats {
            arguments.extend(["--nats-url".to_owned(), nats.url()]);
            arguments.extend(["--nats-partitions".to_owned(), self.setup.partitions.to_string()]);
        }
        arguments
    }

    /// The same arguments as text for [`crate::server::run`], after the name of a command.
    pub fn command(&self, name: &str, further: &[&str]) -> Vec<String> {
        let mut all = vec![name.to_owned()];
        all.extend(further.iter().map(|&argument| argument.to_owned()));
        all.extend(self.arguments(0));
        all
    }

    /// Runs a `daybook` command on this world's data, such as `history`.
    pub async fn run(&self, name: &str, further: &[&str]) -> std::process::Output {
        let all = self.command(name, further);
        let arguments: Vec<&str> = all.iter().map(String::as_str).collect();
        crate::server::run(self.directory(), &arguments).await
    }

    /// Where everything of this world is kept.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the API process number `index` keeps its data.
    pub fn data_dir(&self, index: usize) -> PathBuf {
        self.directory.path().join(format!("node-{index}"))
    }

    /// What it was made of.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Where the log is kept.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// A shop's view of the first API process: the demo's tenant, or `acme`.
    pub fn shop(&self) -> Client {
        self.client(0, if self.setup.demo { DEMO } else { ACME })
    }

    /// The other tenant's view of the first API process.
    pub fn other_shop(&self) -> Client {
        self.client(0, GLOBEX)
    }

    /// A tenant's view of one API process, over connections of its own.
    pub fn client(&self, server: usize, tenant: Tenant) -> Client {
        Client::new(self.servers[server].url(), tenant)
    }

    /// The log itself, read past every API.
    pub async fn log(&self) -> Log {
        match &self.nats {
            Some(nats) => Log::jetstream(&nats.url(), self.setup.partitions).await,
            None => Log::embedded(&self.data_dir(0)).await,
        }
    }
}

/// The configuration file of a server with two tenants.
pub fn configuration(further: &str) -> String {
    let mut text = format!("token_secret = \"{TOKEN_SECRET}\"\n{further}\n");
    for tenant in [ACME, GLOBEX] {
        let Tenant { id, key_hash, secret, .. } = tenant;
        text.push_str(&format!(
            "\n[[tenants]]\nid = \"{id}\"\napi_key_hashes = [\"{key_hash}\"]\n\
             [tenants.webhooks.{SOURCE}]\nscheme = \"standard_webhooks\"\nsecrets = [\"{secret}\"]\n\
             [tenants.akinon]\nhash_key = \"{id}-hash-key\"\n\
             [tenants.webhooks.{STRIPE}]\nscheme = \"stripe\"\nsecrets = [\"{STRIPE_SECRET}\"]\n\
             [tenants.webhooks.{ADYEN}]\nscheme = \"adyen\"\nsecrets = [\"{ADYEN_KEY}\"]\n"
        ));
    }
    text
}

/// Makes one test of each story for each journal: `embedded::<story>`, `jetstream_newest::<story>`,
/// `jetstream_oldest::<story>`. A story is an `async fn(World)`; a setup other than the default goes first.
#[macro_export]
macro_rules! in_each_world {
    ($($story:ident),+ $(,)?) => {
        $crate::in_each_world! { $crate::Setup::default(); $($story),+ }
    };
    ($setup:expr; $($story:ident),+ $(,)?) => {
        $crate::in_each_world! { @world embedded, Embedded, $setup; $($story),+ }
        $crate::in_each_world! { @world jetstream_newest, JetStreamNewest, $setup; $($story),+ }
        $crate::in_each_world! { @world jetstream_oldest, JetStreamOldest, $setup; $($story),+ }
    };
    (@world $name:ident, $kind:ident, $setup:expr; $($story:ident),+) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    super::$story($crate::World::with($crate::Kind::$kind, $setup).await).await;
                }
            )+
        }
    };
}

/// Makes one test of each story on a log of four partitions: `partitioned::<story>`. Its setup goes first, and says how many
/// API processes there are.
#[macro_export]
macro_rules! in_a_partitioned_world {
    ($setup:expr; $($story:ident),+ $(,)?) => {
        $crate::in_each_world! {
            @world partitioned, JetStreamNewest, $crate::Setup { partitions: 4, ..$setup }; $($story),+
        }
    };
}
