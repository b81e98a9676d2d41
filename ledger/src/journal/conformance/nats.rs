//! Real `nats-server` processes for tests: each on its own port and directory, and gone when dropped.
//!
//! The binaries are in `<directory>/<version>/nats-server`, where the directory is `$DAYBOOK_NATS_SERVERS` or
//! `target/tools/nats-server`. A missing binary fails the test: a journal that is not tested is not skipped over.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often to ask whether it answers.
const POLL: Duration = Duration::from_millis(10);
/// The first version that Daybook supports.
const OLDEST: (u64, u64, u64) = (2, 10, 0);

/// Every `nats-server` binary there is, by version.
pub fn binaries() -> BTreeMap<(u64, u64, u64), PathBuf> {
    let directory = directory();
    let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let mut numbers = name.split('.').map(|part| part.parse().ok());
            let version = (numbers.next()??, numbers.next()??, numbers.next()??);
            Some((version, entry.path().join("nats-server"))).filter(|(_, binary)| binary.is_file())
        })
        .collect()
}

fn directory() -> PathBuf {
    std::env::var_os("DAYBOOK_NATS_SERVERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/nats-server"),
        PathBuf::from,
    )
}

/// The newest server. Panics when there is none.
pub fn newest() -> PathBuf {
    supported().pop_last().map_or_else(|| missing("any supported version"), |(_, binary)| binary)
}

/// The oldest supported server, which is a 2.10. Panics when there is none.
pub fn oldest_supported() -> PathBuf {
    match supported().pop_first() {
        Some(((2, 10, _), binary)) => binary,
        Some(_) | None => missing("version 2.10"),
    }
}

/// The newest server that is too old for Daybook, if there is one.
pub fn too_old() -> Option<PathBuf> {
    let mut binaries = binaries();
    binaries.split_off(&OLDEST);
    binaries.pop_last().map(|(_, binary)| binary)
}

fn supported() -> BTreeMap<(u64, u64, u64), PathBuf> {
    binaries().split_off(&OLDEST)
}

fn missing(what: &str) -> ! {
    panic!(
        "no nats-server of {what} under {}: run `tests/setup` to get them, or set DAYBOOK_NATS_SERVERS to a \
         directory with <version>/nats-server",
        directory().display()
    )
}

/// What a server is configured with, in the words of its own configuration file.
#[derive(Debug, Clone, Default)]
pub struct NatsSettings {
    /// Lines of the `jetstream` block, such as `sync_interval: always`.
    pub jetstream: String,
    /// Lines outside it, such as a `cluster` block.
    pub server: String,
    /// Leaves the `jetstream` block out.
    pub without_jetstream: bool,
}

/// A running `nats-server`.
#[derive(Debug)]
pub struct NatsServer {
    binary: PathBuf,
    directory: PathBuf,
    settings: NatsSettings,
    port: u16,
    /// None while it is killed.
    process: Option<Child>,
}

impl NatsServer {
    /// Starts a server with JetStream that keeps everything in `directory`, and waits until it answers.
    pub async fn start(binary: impl Into<PathBuf>, directory: impl Into<PathBuf>) -> Self {
        Self::start_with(binary, directory, NatsSettings::default()).await
    }

    /// The same, with settings.
    pub async fn start_with(
        binary: impl Into<PathBuf>,
        directory: impl Into<PathBuf>,
        settings: NatsSettings,
    ) -> Self {
        let mut server = Self::launch(binary, directory, settings);
        server.answer().await;
        server
    }

    /// Starts a cluster of `size` servers, each in its own directory under `directory`.
    pub async fn start_cluster(
        binary: impl Into<PathBuf>,
        directory: impl Into<PathBuf>,
        size: usize,
    ) -> Vec<Self> {
        let (binary, directory) = (binary.into(), directory.into());
        let ports: Vec<u16> = (0..size).map(|_| free_port()).collect();
        let routes: Vec<String> = ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let mut servers: Vec<Self> = Vec::new();
        for (index, port) in ports.iter().enumerate() {
            let cluster = format!(
                "server_name: node-{index}\ncluster {{ name: test, listen: \"127.0.0.1:{port}\", routes: [{}] }}",
                routes.join(", ")
            );
            let settings = NatsSettings { server: cluster, ..NatsSettings::default() };
            servers.push(Self::launch(&binary, directory.join(format!("node-{index}")), settings));
        }
        for server in &mut servers {
            server.answer().await;
        }
        servers
    }

    fn launch(binary: impl Into<PathBuf>, directory: impl Into<PathBuf>, settings: NatsSettings) -> Self {
        let (binary, directory, port) = (binary.into(), directory.into(), free_port());
        let mut server = NatsServer { binary, directory, settings, port, process: None };
        server.spawn();
        server
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// Kills the server as a power cut would its process: without a chance to tidy up.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a process of ours can be killed");
            process.wait().expect("a killed process ends");
        }
    }

    /// Stops the server from doing anything, while its connections stay open: a machine that hangs.
    pub fn pause(&mut self) {
        self.signal("-STOP");
        // The signal is on its way when `kill` returns; a thread on another core still answers until it gets there.
        let deadline = Instant::now() + DEADLINE;
        while !self.stands_still() {
            assert!(Instant::now() < deadline, "the server does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether each of its threads is stopped, as far as the system tells.
    fn stands_still(&self) -> bool {
        let process = self.process.as_ref().expect("the server runs");
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", process.id())) else { return true };
        threads.flatten().all(|thread| {
            let Ok(stat) = fs::read_to_string(thread.path().join("stat")) else { return true };
            // The state follows the name, which is in parentheses and may have some of its own.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// Lets a paused server go on.
    pub fn resume(&mut self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("the server runs");
        let sent = Command::new("kill").arg(signal).arg(process.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
    }

    /// Starts a killed server again, on the same port and directory, and waits until it answers.
    pub async fn restart(&mut self) {
        self.kill();
        self.spawn();
        self.answer().await;
    }

    fn spawn(&mut self) {
        let directory = self.directory.display();
        fs::create_dir_all(&self.directory).expect("a directory for the server");
        let NatsSettings { jetstream, server, without_jetstream } = &self.settings;
        let jetstream = match without_jetstream {
            true => String::new(),
            false => format!("jetstream {{\nstore_dir: \"{directory}\"\n{jetstream}\n}}"),
        };
        let port = self.port;
        let text =
            format!("listen: \"127.0.0.1:{port}\"\nlog_file: \"{directory}/log\"\n{jetstream}\n{server}\n");
        let file = self.directory.join("nats.conf");
        fs::write(&file, text).expect("a configuration for the server");
        let process = Command::new(&self.binary)
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", self.binary.display()));
        self.process = Some(process);
    }

    async fn answer(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        while !self.answers() {
            let ended = self.process.as_mut().is_some_and(|p| p.try_wait().is_ok_and(|exit| exit.is_some()));
            if ended || Instant::now() > deadline {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                panic!("{} does not answer; its log:\n{log}", self.binary.display());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// A server greets whoever connects with an `INFO` line, once JetStream has recovered.
    fn answers(&self) -> bool {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let Ok(connection) = TcpStream::connect_timeout(&address, POLL) else { return false };
        let mut greeting = String::new();
        connection.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
            && BufReader::new(connection).read_line(&mut greeting).is_ok()
            && greeting.starts_with("INFO ")
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on, below those that the system gives to outgoing connections: while a server is
/// down, no client's socket may sit on its port.
fn free_port() -> u16 {
    std::iter::repeat_with(|| 10_000 + (uuid::Uuid::new_v4().as_u128() % 20_000) as u16)
        .take(1000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
